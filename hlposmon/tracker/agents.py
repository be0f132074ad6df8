"""Keeps which configured addresses are agents', and asks for the reload that watches their accounts."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from hlposmon.config.identities import AGENTS_FILE, known_agents
from hlposmon.engine.effects import FoundAgent
from hlposmon.supervision.logs import fields
from hlposmon.system.files import replace_file

log = logging.getLogger(__name__)


def remember_agent(state_dir: Path, agent: str, owner: str) -> None:
    """Keep that `agent` is an agent of the account at `owner`. Raises OSError if it cannot be written."""
    known = known_agents(state_dir) | {agent: owner}
    replace_file(state_dir / AGENTS_FILE, json.dumps(known, indent=1) + "\n", mode=0o640, durable=True)


class Agents:
    """`ask_reload` has the supervisor read the settings again. Each agent is handled once a process."""

    def __init__(self, state_dir: Path, ask_reload: Callable[[], None]) -> None:
        self._state_dir, self._ask_reload = state_dir, ask_reload
        self._handled: set[tuple[str, str]] = set()

    def found(self, effect: FoundAgent) -> None:
        """Keep the account behind an agent and ask for a reload; if it cannot be kept, only log that."""
        pair = effect.agent, effect.owner
        if pair in self._handled:
            return
        self._handled.add(pair)
        facts = {"account": effect.account, "agent": effect.agent, "address": effect.owner}
        try:
            if known_agents(self._state_dir).get(effect.agent) != effect.owner:
                remember_agent(self._state_dir, effect.agent, effect.owner)
        except OSError as error:
            log.error("the account behind an agent is not watched", extra=fields(**facts, reason=error))
            return
        log.warning("an agent's address: the account behind it is watched", extra=fields(**facts))
        self._ask_reload()

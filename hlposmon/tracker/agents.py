"""Keeps what the exchange says of configured addresses, and asks for the reload that watches accordingly:
which are agents', so that their accounts are watched, and which sub-accounts they have.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from hlposmon.config.identities import AGENTS_FILE, all_known_agents
from hlposmon.config.sub_accounts import SUB_ACCOUNTS_FILE, all_known_sub_accounts
from hlposmon.engine.effects import FoundAgent, FoundSubAccounts
from hlposmon.supervision.logs import fields
from hlposmon.system.files import replace_file

log = logging.getLogger(__name__)


def remember_agent(state_dir: Path, api_url: str, agent: str, owner: str) -> None:
    """Keep that `agent` is an agent of the account at `owner`. Raises OSError if it cannot be written."""
    known = all_known_agents(state_dir)
    known.setdefault(api_url, {})[agent] = owner
    replace_file(state_dir / AGENTS_FILE, json.dumps(known, indent=1) + "\n", mode=0o640, durable=True)


def remember_sub_accounts(
    state_dir: Path, api_url: str, master: str, found: tuple[tuple[str, str], ...]
) -> None:
    """Keep the sub-accounts of the account at `master`, pairs of address and name. One that is known
    keeps its name. Raises OSError if they cannot be written."""
    known = all_known_sub_accounts(state_dir)
    subs = known.setdefault(api_url, {}).setdefault(master, {})
    for address, name in found:
        subs.setdefault(address, name)
    replace_file(state_dir / SUB_ACCOUNTS_FILE, json.dumps(known, indent=1) + "\n", mode=0o640, durable=True)


class Agents:
    """`ask_reload` has the supervisor read the settings again; it may raise OSError. Each agent and each
    sub-account is handled once a process."""

    def __init__(self, state_dir: Path, api_url: str, ask_reload: Callable[[], None]) -> None:
        self._state_dir, self._api_url, self._ask_reload = state_dir, api_url, ask_reload
        self._handled: set[tuple[str, str]] = set()

    def found(self, effect: FoundAgent) -> None:
        """Keep the account behind an agent and ask for a reload; if it cannot be kept, only log that."""
        pair = effect.agent, effect.owner
        if pair in self._handled:
            return
        self._handled.add(pair)
        facts = {"account": effect.account, "agent": effect.agent, "address": effect.owner}
        try:
            remember_agent(self._state_dir, self._api_url, effect.agent, effect.owner)
            log.warning("an agent's address: the account behind it is watched", extra=fields(**facts))
            self._ask_reload()
        except OSError as error:
            log.error("the account behind an agent is not watched", extra=fields(**facts, reason=error))

    def found_sub_accounts(self, effect: FoundSubAccounts) -> None:
        """Keep the sub-accounts of an account and ask for a reload; if they cannot be kept, only log that."""
        pairs = {(effect.master, address) for address, _ in effect.found}
        if pairs <= self._handled:
            return
        self._handled |= pairs
        facts = {"account": effect.account, "addresses": ", ".join(address for address, _ in effect.found)}
        try:
            remember_sub_accounts(self._state_dir, self._api_url, effect.master, effect.found)
            log.warning("an account's sub-accounts are watched too", extra=fields(**facts))
            self._ask_reload()
        except OSError as error:
            log.error("an account's sub-accounts are not watched", extra=fields(**facts, reason=error))

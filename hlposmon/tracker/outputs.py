"""Carries out the engine's effects in a fixed order: journal, stream, snapshot, workers, log.

The effects of a turn are carried out together: the journal is written once, before anything is published.
This module decides nothing.
"""

import logging
import time
from collections.abc import Iterable, Sequence

from hlposmon.api.publisher import Publisher
from hlposmon.domain.changes import Filled, Funded
from hlposmon.domain.reports import Fill
from hlposmon.engine.effects import (
    Announce,
    Effect,
    FoundAgent,
    FoundSubAccounts,
    Log,
    LogChange,
    Now,
    Publish,
    PublishPrice,
    Ring,
    Show,
    Tell,
)
from hlposmon.metrics.measures import Counts
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.system.clock import now_ms
from hlposmon.tracker.agents import Agents
from hlposmon.tracker.journal_output import JOURNALLED, JournalOutput
from hlposmon.tracker.log_fields import facts_of, level_of, name_of
from hlposmon.tracker.snapshot_output import SnapshotOutput
from hlposmon.tracker.worker_queues import WorkerQueues

log = logging.getLogger(__name__)

Message = Publish | PublishPrice | Announce


class Outputs:
    """All outputs of the tracker: journal, stream, snapshot, workers' queues, log, and counters."""

    def __init__(
        self,
        journal: JournalOutput,
        publisher: Publisher,
        snapshot: SnapshotOutput,
        queues: WorkerQueues,
        counts: Counts,
        agents: Agents,
    ) -> None:
        self._journal, self._publisher, self._agents = journal, publisher, agents
        self._snapshot, self._queues, self._counts = snapshot, queues, counts
        self._repeats = Repeats()

    def begin_turn(self, now: Now) -> None:
        """Let the journal add a checkpoint that is due. Call before the engine decides anything."""
        self._journal.begin_turn(now)

    def carry_out(self, effects: Sequence[Effect], now: Now) -> None:
        """Carry out all `effects`: first journal, then publish, then show, then tell workers and log.

        Of several Show effects for a position only the newest is shown.
        """
        messages: list[Message] = []
        shown: dict[tuple[str, str], Show] = {}  # of each position the newest
        told: list[Effect] = []
        is_journalled = False
        for effect in effects:
            if isinstance(effect, JOURNALLED):
                self._journal.append(effect)
                is_journalled = True
            elif isinstance(effect, Message):
                messages.append(effect)
            elif isinstance(effect, Show):
                shown[effect.view.account, effect.view.key] = effect
            else:
                told.append(effect)
        if is_journalled:
            self._journal.commit(now)
        if messages:
            self._send(messages)
        for show in shown.values():
            self._snapshot.show(show.view, show.at_ms)
        if told:
            self._tell(told)

    def commit(self, now: Now) -> None:
        """Write the journal's pending lines, also after an earlier failure, and run its syncer."""
        self._journal.commit(now)

    # ------------------------------------------------------------------ within

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, Publish):
                self._publisher.change(message.change, message.view, message.at_ms)
            elif isinstance(message, Announce):
                self._publisher.of_account(message.kind, message.account, message.facts, message.at_ms)
            else:
                self._publisher.price(message.view, message.at_ms)
        self._publisher.flush()
        for message in messages:
            if isinstance(message, Publish) and isinstance(message.change, Filled):
                self._count(message, message.change.fill)

    def _count(self, effect: Publish, fill: Fill) -> None:
        self._counts.fills[fill.account, fill.key] += 1
        self._counts.causes[fill.account, fill.cause] += 1
        if effect.heard_s is not None:
            self._counts.published(
                heard_s=effect.heard_s, made_ms=fill.time_ms, now_s=time.monotonic(), now_ms=now_ms()
            )

    def _tell(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Tell):
                self._queues.tell(effect.worker, effect.ask)
            elif isinstance(effect, Ring):
                self._queues.ring(effect.bell)
            elif isinstance(effect, FoundAgent):
                self._agents.found(effect)
            elif isinstance(effect, FoundSubAccounts):
                self._agents.found_sub_accounts(effect)
            elif isinstance(effect, LogChange) and not isinstance(effect.change, Filled | Funded):
                change = effect.change
                log.log(level_of(change), name_of(change), extra=fields(**facts_of(change)))
            elif isinstance(effect, Log):
                self._log(effect)

    def _log(self, effect: Log) -> None:
        if effect.key is None:
            log.log(effect.level, effect.message, extra=fields(**effect.facts))
        else:
            self._repeats.log(
                log, effect.level, effect.message, now=time.monotonic(), key=effect.key, **effect.facts
            )

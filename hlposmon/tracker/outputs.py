"""Carries out what the engine decided, in the order of the law: journal, stream, snapshot, workers, log.

All effects of one turn are carried out together: the journal is written once, before anybody is told.
It decides nothing.
"""

import logging
import time
from collections.abc import Iterable

from hlposmon.api.publisher import Publisher
from hlposmon.domain.changes import Filled, Funded
from hlposmon.engine.effects import (
    Effect,
    JournalChange,
    JournalCheckpoint,
    JournalEvent,
    Log,
    LogChange,
    Now,
    Publish,
    PublishPrice,
    RecordStatement,
    Ring,
    Show,
    Tell,
)
from hlposmon.journal.lines import body_of, event
from hlposmon.metrics.measures import Counts
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.system.clock import now_ms
from hlposmon.tracker.archive import Archive
from hlposmon.tracker.log_fields import facts_of, level_of, name_of
from hlposmon.tracker.snapshot_output import SnapshotOutput
from hlposmon.tracker.worker_queues import WorkerQueues

log = logging.getLogger(__name__)


class Outputs:
    """The ways out of the tracker."""

    def __init__(
        self,
        archive: Archive,
        publisher: Publisher,
        snapshot: SnapshotOutput,
        queues: WorkerQueues,
        counts: Counts,
    ) -> None:
        self._archive, self._journal = archive, archive.journal
        self._publisher, self._snapshot, self._queues = publisher, snapshot, queues
        self._counts = counts
        self._repeats = Repeats()

    def carry_out(self, effects: Iterable[Effect], now: Now) -> None:
        """Journal, publish, show, tell and log, each for all of these effects before the next."""
        if not effects:
            return
        later: list[Effect] = []
        is_journalled = False
        for effect in effects:
            if not isinstance(effect, JournalChange | JournalEvent | JournalCheckpoint):
                later.append(effect)
                continue
            is_journalled = True
            self._append(effect)
        if is_journalled:
            self._archive.commit(now.s, now.ms)
        self._send(later)
        self._show(later)
        self._tell(later)

    def commit(self, now: Now) -> None:
        """Write what waits in the journal."""
        self._archive.commit(now.s, now.ms)

    # ------------------------------------------------------------------ within

    def _append(self, effect: JournalChange | JournalEvent | JournalCheckpoint) -> None:
        if isinstance(effect, JournalChange):
            body = body_of(effect.change, now_ms=effect.at_ms)
            assert body is not None, "only what is journalled is said to be"
            self._journal.append(body, effect.at_ms)
        elif isinstance(effect, JournalEvent):
            self._journal.append(event(effect.kind, now_ms=effect.at_ms, **effect.facts), effect.at_ms)
        else:
            self._journal.append_checkpoint(effect.at_ms)

    def _send(self, effects: Iterable[Effect]) -> None:
        fills = []
        for effect in effects:
            if isinstance(effect, Publish):
                self._publisher.change(effect.change, effect.view, effect.at_ms)
                if isinstance(effect.change, Filled):
                    fills.append(effect)
            elif isinstance(effect, PublishPrice):
                self._publisher.price(effect.view, effect.at_ms)
        self._publisher.flush()
        for effect in fills:
            self._count(effect)

    def _count(self, effect: Publish) -> None:
        assert isinstance(effect.change, Filled)
        fill = effect.change.fill
        self._counts.fills[fill.account, fill.key] += 1
        if effect.heard_s is not None:
            self._counts.published(
                heard_s=effect.heard_s, made_ms=fill.time_ms, now_s=time.monotonic(), now_ms=now_ms()
            )

    def _show(self, effects: Iterable[Effect]) -> None:
        newest = {(one.view.account, one.view.key): one for one in effects if isinstance(one, Show)}
        for show in newest.values():
            self._snapshot.show(show.view, show.at_ms)

    def _tell(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Tell):
                self._queues.tell(effect.worker, effect.ask)
            elif isinstance(effect, Ring):
                self._queues.ring(effect.bell)
            elif isinstance(effect, RecordStatement):
                self._archive.settled(effect.statement, list(effect.differing), effect.at_ms)
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

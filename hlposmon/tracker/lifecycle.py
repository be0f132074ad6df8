"""The tracker's start, reload and end: recovers the engine's state, and journals start and stop."""

import logging
from typing import Any

from hlposmon import __version__
from hlposmon.config import Settings
from hlposmon.domain.reports import HistoryState
from hlposmon.engine.effects import Now
from hlposmon.engine.engine import Engine, Watched
from hlposmon.engine.freshness import FreshnessLimits
from hlposmon.journal.lines import checkpoint, event
from hlposmon.journal.writer import Journal
from hlposmon.supervision.logs import fields
from hlposmon.tracker.journal_output import JournalOutput
from hlposmon.tracker.recovery import recover

log = logging.getLogger(__name__)


def watched_by(settings: Settings) -> Watched:
    """Return what to watch with these settings: addresses, feeds, and when news is late or stale, in seconds.

    Fills are late after 5 s and stale after 15 s. Prices: 5 and 15 intervals, at least as long. Reconciling:
    2 and 5 intervals, at least 120 s and 300 s.
    """
    price_s, reconcile_s = settings.prices.interval_s, settings.reconcile.interval_s
    others = (f"fill-{number}" for number in range(2, settings.hyperliquid.fill_feeds + 1))
    return Watched(
        addresses={account.name: account.address for account in settings.hyperliquid.accounts},
        feeds=("fill", *others),
        limits=FreshnessLimits(
            fills=(5.0, 15.0),
            prices=(max(5.0, 5 * price_s), max(15.0, 15 * price_s)),
            reconcile=(max(120.0, 2 * reconcile_s), max(300.0, 5 * reconcile_s)),
        ),
        min_pnl_change=settings.stream.min_pnl_change,
        polled=tuple(account.name for account in settings.hyperliquid.polled),
        round_s=settings.watch_plan.round_s or 0.0,
    )


class Lifecycle:
    """Owns the journal from start to end; `settings` are the current ones."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings, self._engine = settings, engine
        self._journal = Journal(
            settings.paths.log_dir, fsync=settings.audit.fsync, checkpoint=self._checkpoint
        )
        self.journal = JournalOutput(self._journal)

    def recover(self, now: Now) -> None:
        """Recover the book from the journal and the history, and journal the start; call once, first.

        Only accounts that still have the same address are recovered, and none from a run in another world
        (simulated or live).
        """
        beginning = recover(self._journal, self.settings.paths.state_dir, now.ms)
        found, addresses = beginning.found, self._engine.watched.addresses
        self._engine.history = HistoryState(beginning.history_seq)
        ours = {name for name, address in addresses.items() if found.addresses.get(name) == address}
        if found.mode not in ("", self.settings.world):
            log.warning("another world's journal is not taken up", extra=fields(mode=found.mode))
            ours = set()
        memories = [memory for memory in found.memories.values() if memory.account in ours]
        self._engine.recall(
            memories,
            {name: base for name, base in found.base_ms.items() if name in ours},
            {name: since_ms for name, since_ms in found.unsure.items() if name in ours},
            now,
            {name: memory for name, memory in found.cash.items() if name in ours},
        )
        self._say_start(now, recovered=len(memories))

    def _say_start(self, now: Now, *, recovered: int) -> None:
        facts = {
            "version": __version__,
            "mode": self.settings.world,
            "accounts": dict(self._engine.watched.addresses),
        }
        self._journal.append(event("start", now_ms=now.ms, **facts, recovered=recovered), now.ms)
        self._journal.append_checkpoint(now.ms)
        if self._journal.missing is not None:
            first, last = self._journal.missing
            log.warning("audit lines are not in this folder", extra=fields(first=first, last=last))
            missing = {"first": first, "last": last, "count": last - first + 1}
            self._journal.append(event("rejoined", now_ms=now.ms, **missing), now.ms)
        self.journal.commit(now)
        log.info("tracker up", extra=fields(recovered=recovered, audit=self._journal.folder))

    def reload(self, settings: Settings) -> Watched:
        """Apply new settings and return what to watch with them."""
        self.settings = settings
        self._journal.fsync = settings.audit.fsync
        return watched_by(settings)

    def leave(self, now: Now, until_s: float) -> None:
        """Journal the stop and close the journal; `until_s` limits the wait for the disk, in monotonic
        seconds."""
        self._journal.begin_turn(now.ms)
        self._journal.append(event("stop", now_ms=now.ms, backlog=self._journal.backlog), now.ms)
        self._journal.close(within_s=max(0.5, until_s - now.s))
        if self._journal.backlog:
            said = "audit lines were not written before the end: their fills are fetched at the next start"
            log.error(said, extra=fields(lines=self._journal.backlog, reason=self._journal.failure))

    def _checkpoint(self) -> dict[str, Any]:
        """Return the facts of a checkpoint of the book as it is now."""
        book = self._engine.book
        return checkpoint(
            book.memories(),
            book.base_ms(),
            dict(self._engine.watched.addresses),
            unsure=book.unsure(),
            unfinished=book.unfinished(),
            cash=book.cash_memories(),
            mode=self.settings.world,
        )

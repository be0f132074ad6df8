"""A tracker's start, reload and end: what it takes up from those before it, and what it leaves behind.

What is watched is decided here, by the settings: a name that stands for another address is another account.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from hlposmon import __version__
from hlposmon.config import Settings
from hlposmon.domain.book import Book
from hlposmon.domain.reports import Welcome
from hlposmon.engine.feeds import Feeds
from hlposmon.engine.freshness import Clocks, Limits
from hlposmon.journal.lines import checkpoint, event
from hlposmon.journal.writer import Journal
from hlposmon.supervision.logs import fields
from hlposmon.system.clock import now_ms
from hlposmon.tracker.archive import Archive

log = logging.getLogger(__name__)


def archive_of(settings: Settings, *, checkpoint: Callable[[], dict[str, Any]]) -> Archive:
    """The journal that the settings name."""
    journal = Journal(settings.paths.log_dir, fsync=settings.audit.fsync, checkpoint=checkpoint)
    return Archive(journal, settings.paths.state_dir)


class Tenure:
    """What the book begins with, what it watches, and what is kept of it."""

    def __init__(
        self,
        settings: Settings,
        book: Book,
        clocks: Clocks,
        feeds: Feeds,
        archive: Archive,
    ) -> None:
        self.settings = settings
        self._book, self._clocks, self._feeds = book, clocks, feeds
        self._archive, self._journal = archive, archive.journal

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses that are watched, by the accounts' names."""
        return {account.name: account.address for account in self.settings.hyperliquid.accounts}

    def memory(self) -> dict[str, Any]:
        """What a checkpoint keeps of the book."""
        return checkpoint(
            self._book.memories(),
            self._book.base_ms(),
            self.addresses,
            unsure=self._book.unsure(),
            mode=self.settings.world,
        )

    def welcome(self, accounts: Iterable[str] | None = None) -> Welcome:
        """What a worker is told that joins, or that tells of new accounts: up to when the fills are known."""
        names = self._book.accounts if accounts is None else accounts
        marks_ms = {name: self._book.high_water_ms(name) for name in names}
        return Welcome(marks_ms, self._book.modes(), self._book.roles())

    def recover(self) -> None:
        """Take up what outlived the tracker before; call once, first."""
        at_ms = now_ms()
        found = self._archive.recover(at_ms)
        ours = {name for name, address in self.addresses.items() if found.addresses.get(name) == address}
        if found.mode not in ("", self.settings.world):
            log.warning("another world's journal is not taken up", extra=fields(mode=found.mode))
            ours = set()
        memories = [memory for memory in found.memories.values() if memory.account in ours]
        self._book.recall(
            memories,
            {name: ms for name, ms in found.base_ms.items() if name in ours},
            {name: since_ms for name, since_ms in found.unsure.items() if name in ours},
        )
        facts = {"version": __version__, "mode": self.settings.world, "accounts": self.addresses}
        self._journal.append(event("start", now_ms=at_ms, **facts, recovered=len(memories)), at_ms)
        self._journal.append_checkpoint(at_ms)
        self._archive.commit(time.monotonic(), now_ms())
        log.info("tracker up", extra=fields(recovered=len(memories), audit=self._journal.folder))

    def reload(self, settings: Settings) -> set[str]:
        """Watch what the new settings want; the accounts that were not watched before."""
        before, addresses, self.settings = self.settings, self.addresses, settings
        now = self.addresses
        same = {name for name in now if addresses.get(name) == now[name]}
        # A name that stands for another address now is another account.
        self._book.watch(same)
        self._book.watch(now)
        feeds = [f"fill-{number}" for number in range(2, settings.hyperliquid.fill_feeds + 1)]
        self._feeds.watch(["fill", *feeds])
        former = range(2, before.hyperliquid.fill_feeds + 1)
        self._book.forget_feeds({f"fill-{number}" for number in former} - {*feeds})
        self._clocks.watch(same, ["fill", *feeds])
        self._clocks.limits = Limits.of(settings)
        self._journal.fsync = settings.audit.fsync
        self._journal.append_checkpoint(now_ms())
        self._archive.commit(time.monotonic(), now_ms())
        return now.keys() - same

    def leave(self, until_s: float) -> None:
        """Say that it ends, and write what can be written until then."""
        self._journal.append(event("stop", now_ms=now_ms(), backlog=self._journal.backlog), now_ms())
        self._archive.close(within_s=max(0.5, until_s - time.monotonic()))

"""What the workers report, one by one, to the book: what it makes of it is told at once.

What is no fact of the book (a notice, a feed's state) is noted where it belongs.
"""

import logging
import time
from collections.abc import Callable, Iterable

from hlposmon.domain.book import Book
from hlposmon.domain.changes import Drift, Filled
from hlposmon.domain.reports import (
    Bell,
    FeedState,
    Fills,
    Funding,
    Happened,
    Heard,
    Joined,
    Marks,
    Notice,
    Report,
    Statement,
    Unlisted,
    Welcome,
)
from hlposmon.supervision.logs import fields
from hlposmon.tracker.archive import Archive
from hlposmon.tracker.clocks import Clocks
from hlposmon.tracker.feeds import Feeds
from hlposmon.tracker.incidents import Incidents
from hlposmon.tracker.inlets import Inlets
from hlposmon.tracker.telling import Telling
from hlposmon.tracker.wall import now_ms

log = logging.getLogger(__name__)

# How long a first statement waits for the feed of fills, which tells what happened around it.
FEED_WAIT_S = 10.0


class Intake:
    """Takes reports. `welcome` is what a worker that joins is answered."""

    def __init__(
        self,
        book: Book,
        clocks: Clocks,
        feeds: Feeds,
        incidents: Incidents,
        archive: Archive,
        inlets: Inlets,
        telling: Telling,
        *,
        welcome: Callable[[], Welcome],
    ) -> None:
        self._book, self._clocks, self._feeds, self._incidents = book, clocks, feeds, incidents
        self._archive, self._inlets, self._telling, self._welcome = archive, inlets, telling, welcome
        self._watched_s = dict.fromkeys(book.accounts, time.monotonic())
        self._held: dict[str, Statement] = {}

    def watch(self, accounts: Iterable[str]) -> None:
        """These accounts from now on."""
        began_s = time.monotonic()
        self._watched_s = {name: self._watched_s.get(name, began_s) for name in accounts}

    def take(self, report: Report) -> None:
        match report:
            case Fills():
                self._fill(report)
            case Statement():
                self._settle(report)
            case Funding():
                self._telling.tell(self._book.fund(report))
            case FeedState():
                self._feed(report)
            case Heard(feed=feed, at_s=at_s):
                self._clocks.heard_feed(feed, at_s)
            case Notice():
                if self._book.notice(report):
                    log.warning("notice", extra=fields(account=report.account, text=report.text))
            case Happened(account=account, kind=kind, text=text):
                if self._book.happen(report):
                    log.info("happened", extra=fields(account=account, kind=kind, text=text))
            case Unlisted():
                if self._book.unlist(report):
                    self._unlisted(report)
            case Joined():
                self._inlets.welcome(report, self._welcome())
            case Marks():
                self._clocks.heard_prices(report.heard_s)
                self._telling.mark(report)

    def feed_gone(self, feed: str) -> None:
        """A feed whose process is dead is down, whatever it said last."""
        for name in self._book.accounts:
            self._feed_is(FeedState(name, feed, False, time.monotonic(), "its process is gone"))

    def settle_overdue(self, now_s: float) -> None:
        """First statements that have waited long enough for a feed of fills."""
        for name, statement in list(self._held.items()):
            if now_s - self._watched_s.get(name, 0.0) > FEED_WAIT_S:
                del self._held[name]
                self._settle(statement)

    # ------------------------------------------------------------------ within

    def _fill(self, fills: Fills) -> None:
        changes = self._book.apply(fills)
        new = {change.fill.identity for change in changes if isinstance(change, Filled)}
        if fills.source in self._feeds.tallies and self._book.unsure().get(fills.account):
            new.update(fill.identity for fill in fills.fills)  # what waits behind a gap is new too
        self._feeds.brought(fills.source, fills.account, fills.fills, new, time.monotonic())
        self._telling.tell(changes, fills)

    def _unlisted(self, unlisted: Unlisted) -> None:
        facts = {"since_ms": unlisted.since_ms, "until_ms": unlisted.until_ms, "reason": unlisted.reason}
        self._telling.note("unlisted", unlisted.account, **facts)
        self._telling.commit()
        self._incidents.unlisted(unlisted, time.monotonic())
        log.warning("fills not listed any more", extra=fields(account=unlisted.account, **facts))

    def _settle(self, statement: Statement) -> None:
        name = statement.account
        if name not in self._book.accounts:
            return
        self._clocks.heard_statement(name, statement.asked_s, pushed=statement.pushed)
        waited = time.monotonic() - self._watched_s[name] > FEED_WAIT_S
        if not (self._book.is_stated(name) or self._book.is_live(name) or waited):
            self._held[name] = statement
            return
        first = not self._book.is_stated(name)
        changes = self._book.settle(statement)
        if first and self._book.is_stated(name):
            self._telling.note("stated", name, base_ms=self._book.base_ms()[name])
        drifted = {change.key for change in changes if isinstance(change, Drift)}
        in_doubt = {view.key for view in self._book.views(name) if view.in_doubt}
        self._archive.settled(statement, sorted(drifted | in_doubt), now_ms())
        self._telling.tell(changes)

    def _feed(self, state: FeedState) -> None:
        if state.account not in self._book.accounts:
            return
        was_live = self._book.is_live(state.account)
        self._feed_is(state)
        if state.live and not was_live:
            if (held := self._held.pop(state.account, None)) is not None:
                self._settle(held)
            self._telling.ring(Bell(state.account, None, 0.0, "the feed of fills came up"))

    def _feed_is(self, state: FeedState) -> None:
        """Tell the book; whether an account's fills come in at all is journalled, and since when not."""
        was_live, known_ms = self._book.is_live(state.account), self._book.high_water_ms(state.account)
        self._book.feed(state)
        self._feeds.state(state, time.monotonic())
        live = self._book.is_live(state.account)
        if live != was_live:
            facts = {"live": live, "since_ms": None if live else known_ms, "reason": state.reason}
            self._telling.note("feed", state.account, **facts)
            self._telling.commit()

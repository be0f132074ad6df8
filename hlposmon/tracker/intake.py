"""What the workers report, one by one, to the book: what it makes of it is told at once.

What is no fact of the book (a notice, a feed's state) is noted where it belongs.
"""

import logging
import time
from collections.abc import Callable, Collection, Set

from hlposmon.domain.book import Book
from hlposmon.domain.changes import Drift, Filled
from hlposmon.domain.reports import (
    OVERLAP_MS,
    AccountMode,
    AccountRole,
    Bell,
    BellReason,
    FeedState,
    Fetched,
    Fills,
    Following,
    Funding,
    Happened,
    Heard,
    Joined,
    Live,
    Marks,
    NotFetched,
    Notice,
    NotWatched,
    Place,
    Report,
    Statement,
    Unlisted,
    Welcome,
)
from hlposmon.engine.catchup import FIRST_LOOK_MS, CatchUp
from hlposmon.engine.feeds import Feeds
from hlposmon.engine.freshness import Clocks
from hlposmon.engine.incidents import Incidents
from hlposmon.supervision.logs import fields
from hlposmon.system.clock import now_ms
from hlposmon.tracker.archive import Archive
from hlposmon.tracker.inlets import Inlets
from hlposmon.tracker.telling import Telling

log = logging.getLogger(__name__)

# How long a first statement waits for the feed of fills, which tells what happened around it.
FEED_WAIT_S = 10.0
# What an account holds elsewhere is asked for by REST where no push has told it for so long; and no sooner
# than this after the last time.
UNSEEN_S, LOOK_AGAIN_S = 5.0, 30.0
SEEN_S = 180.0


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
        self._catchup = CatchUp()
        self._seen_s: dict[str, float] = {}  # when it was told what an account holds on other dexes
        self._looked_s: dict[str, float] = {}

    def watch(self, accounts: Collection[str], new: Set[str]) -> None:
        """These accounts from now on; of the `new` ones, which may have a name that another had, nothing is
        known."""
        began_s = time.monotonic()
        kept = {*accounts} - new
        self._catchup.keep(kept)
        for known in (self._watched_s, self._held, self._seen_s, self._looked_s):
            for name in known.keys() - kept:
                del known[name]
        self._watched_s = {name: self._watched_s.get(name, began_s) for name in accounts}

    def take(self, report: Report) -> None:
        account = getattr(report, "account", None)
        if account is not None and account not in self._book.accounts:
            return
        match report:
            case Fills():
                self._fills(report)
            case Statement():
                self._settle(report)
            case Funding():
                self._telling.tell(self._book.fund(report))
            case Following():
                self._follows(report)
            case Fetched():
                self._fetched(report)
            case NotFetched():
                self._not_fetched(report)
            case FeedState():
                self._feed(report)
            case Heard(feed=feed, at_s=at_s):
                self._clocks.heard_feed(feed, at_s)
            case Unlisted():
                if self._book.unlist(report):
                    self._unlisted(report)
            case Joined():
                self._joined(report)
            case Marks():
                self._clocks.heard_prices(report.heard_s, report.missing)
                self._telling.mark(report)
            case _:
                self._note(report)

    def feed_gone(self, feed: str) -> None:
        """A feed whose process is dead is down, whatever it said last."""
        for name in self._book.accounts:
            self._feed(FeedState(name, feed, False, time.monotonic(), "its process is gone"))

    def tick(self, now_s: float) -> None:
        """What time alone brings: fetches and looks that are due, and what has waited long enough."""
        for name, statement in list(self._held.items()):
            if now_s - self._watched_s.get(name, 0.0) > FEED_WAIT_S:
                del self._held[name]
                self._settle(statement)
        for name in self._catchup.overdue(now_s):
            self._release(name)
        for name in self._book.accounts:
            self._fetch_if_due(name, now_s)
            self._look_if_unseen(name, now_s)

    # ------------------------------------------------------------------ workers

    def _joined(self, joined: Joined) -> None:
        self._book.forget_notices(joined.worker)
        self._inlets.welcome(joined, self._welcome())
        if joined.kind == "reconcile":  # who was asked before is gone
            self._catchup.ask_again()
            self._telling.ring_again_soon()

    def _note(self, report: Report) -> None:
        """What is no fact of a position."""
        match report:
            case Notice(account=account, code=code, text=text):
                if self._book.notice(report):
                    log.warning("notice", extra=fields(account=account, code=code.value, text=text))
            case NotWatched():
                self._not_watched(report)
            case AccountMode():
                self._book.mode(report)
            case AccountRole():
                self._book.role(report)
            case Happened(account=account, kind=kind, text=text):
                if self._book.happen(report):
                    log.info("happened", extra=fields(account=account, kind=kind, text=text))

    def _not_watched(self, report: NotWatched) -> None:
        now_s, name = time.monotonic(), report.account
        if report.place is Place.DEXES:
            self._seen_s[name] = now_s
        if self._book.not_watched(report):
            text = ", ".join(report.holdings) or "nothing"
            log.warning(
                "what is not watched", extra=fields(account=name, place=report.place.value, holds=text)
            )
        if report.place is Place.TRADED:
            self._look(name, BellReason.SPOT, now_s)

    def _look_if_unseen(self, name: str, now_s: float) -> None:
        """Where no push tells what it holds on other dexes."""
        seen_s, since_s = self._seen_s.get(name), self._watched_s[name]
        unseen = now_s - since_s > UNSEEN_S if seen_s is None else now_s - seen_s > SEEN_S
        if unseen and self._book.is_stated(name):
            self._look(name, BellReason.NOT_WATCHED, now_s)

    def _look(self, name: str, reason: BellReason, now_s: float) -> None:
        is_due = now_s - self._looked_s.get(name, -LOOK_AGAIN_S) >= LOOK_AGAIN_S
        if is_due and self._inlets.ring(Bell(name, None, reason)):
            self._looked_s[name] = now_s

    # ------------------------------------------------------------------ fills

    def _fills(self, fills: Fills) -> None:
        now_s = time.monotonic()
        if fills.heard_s is not None:
            self._clocks.took_fill(fills.heard_s, now_s)
            if not self._book.is_live(fills.account) and self._catchup.holds(fills, now_s):
                return
        self._apply(fills)

    def _apply(self, fills: Fills) -> None:
        changes = self._book.apply(fills)
        new = {change.fill.identity for change in changes if isinstance(change, Filled)}
        if fills.source in self._feeds.tallies and self._book.has_gap(fills.account):
            new.update(fill.identity for fill in fills.fills)  # what waits behind a gap is new too
        self._feeds.brought(fills.source, fills.account, fills.fills, new, time.monotonic())
        self._telling.tell(changes, fills)

    def _release(self, name: str) -> None:
        for fills in self._catchup.release(name):
            self._apply(fills)

    def _unlisted(self, unlisted: Unlisted) -> None:
        facts = {"since_ms": unlisted.since_ms, "until_ms": unlisted.until_ms, "reason": unlisted.reason}
        self._telling.note("unlisted", unlisted.account, **facts)
        self._telling.commit()
        self._incidents.unlisted(unlisted, time.monotonic())
        log.warning("fills not listed any more", extra=fields(account=unlisted.account, **facts))

    # ------------------------------------------------------------------ feeds

    def _follows(self, report: Following) -> None:
        """A feed is live at once if it has told all that this tracker does not know; else it is fetched."""
        name, whole_from_ms = report.account, report.whole_from_ms
        known_ms = self._book.high_water_ms(name) or 0
        if whole_from_ms is not None and whole_from_ms <= known_ms:
            self._goes_live(report)
            self._telling.ring(Bell(name, None, BellReason.LIVE))
            return
        self._catchup.follows(report, time.monotonic())

    def _fetched(self, report: Fetched) -> None:
        wanted_ms = self._fetch_from_ms(report.account)
        for following in self._catchup.fetched(report, wanted_ms):
            self._goes_live(following)

    def _not_fetched(self, report: NotFetched) -> None:
        name = report.account
        for following in self._catchup.failed(name):
            reason = f"fills from before it came up could not be fetched: {report.reason}"
            self._feed_is(FeedState(name, following.feed, False, time.monotonic(), reason))
        self._release(name)

    def _goes_live(self, following: Following) -> None:
        name, was_live = following.account, self._book.is_live(following.account)
        self._catchup.lost(name, following.feed)
        self._catchup.went_live(name)
        self._feed_is(FeedState(name, following.feed, True, following.since_s))
        self._release(name)
        # What was fetched is journalled by now, so that a new tracker knows it, but what waits behind a gap.
        known_ms = None if self._book.has_gap(name) else self._book.high_water_ms(name)
        self._inlets.tell(following.feed, Live(name, known_ms, following.since_s))
        if not was_live and (held := self._held.pop(name, None)) is not None:
            self._settle(held)

    def _feed(self, state: FeedState) -> None:
        """A feed went down: what it is to be told again begins with its next word."""
        self._catchup.lost(state.account, state.feed)
        self._feed_is(state)

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

    def _fetch_if_due(self, name: str, now_s: float) -> None:
        if not self._catchup.waits(name):
            return
        from_ms = self._fetch_from_ms(name)
        if from_ms is None or not self._catchup.is_due(name, now_s, live=self._book.is_live(name)):
            return
        if self._inlets.ring(Bell(name, from_ms, BellReason.FEED)):
            self._catchup.asked(name, now_s)

    def _fetch_from_ms(self, name: str) -> int | None:
        """From when on fills are wanted for a feed that comes up: from where they are known, or a while
        before the first statement; None until there is one."""
        known_ms = self._book.high_water_ms(name)
        if known_ms is not None:
            return max(0, known_ms - OVERLAP_MS)
        held = self._held.get(name)
        return None if held is None else max(0, held.time_ms - FIRST_LOOK_MS)

    # ------------------------------------------------------------------ statements

    def _settle(self, statement: Statement) -> None:
        name = statement.account
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
        in_doubt = self._book.doubtful_keys(name)
        self._archive.settled(statement, sorted(drifted.union(in_doubt)), now_ms())
        self._telling.tell(changes)
        if not statement.pushed:  # pushes come each second: for the snapshot the moved marks do as well
            self._telling.show(name)

"""The engine makes every decision of the monitor, as a function of the reports and their times.

`receive` handles a report, `tick` handles what changes with time alone, and `revalue` handles the next
positions whose mark moved. Each returns effects, which the shell carries out. The same reports at the same
times give the same effects: there is no clock, I/O, logging or randomness in here. The engine owns the book
and the state around it: feed freshness, live feeds, requests to the workers, listed positions.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from types import MappingProxyType
from typing import Any

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.book import Book
from hlposmon.domain.cash import LedgerMemory
from hlposmon.domain.changes import Adopted, Change, Doubt, Drift, Filled, Funded, Gap, whose
from hlposmon.domain.instrument import SPOT, Instrument
from hlposmon.domain.placing import LAG_MS
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    OTHER_SCOPES,
    REPLAY_OVERLAP_MS,
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    Ask,
    Bell,
    BellReason,
    Collateral,
    FeedState,
    Fetched,
    FillCause,
    Fills,
    Following,
    Funding,
    Heard,
    HistoryRemark,
    HistoryState,
    Joined,
    Left,
    Live,
    MarginTables,
    Marks,
    NotFetched,
    Notice,
    Place,
    PlaceRead,
    Report,
    Statement,
    StatementsWanted,
    SubAccounts,
    TradedOnSpot,
    Unlisted,
    Welcome,
)
from hlposmon.domain.views import Memory, View
from hlposmon.engine import account_lines
from hlposmon.engine.catchup import FIRST_LOOK_MS, CatchUp
from hlposmon.engine.effects import (
    Announce,
    Effect,
    FoundAgent,
    FoundSubAccounts,
    JournalChange,
    JournalCheckpoint,
    JournalEvent,
    JournalStatement,
    Log,
    LogChange,
    Now,
    Publish,
    PublishPrice,
    Ring,
    Show,
    Tell,
)
from hlposmon.engine.feeds import Feeds
from hlposmon.engine.freshness import FreshnessLimits, FreshnessOfFeeds, ScopeName
from hlposmon.engine.incidents import Incidents
from hlposmon.engine.listing import Listing
from hlposmon.engine.requests import Requests
from hlposmon.engine.rounds import Rounds
from hlposmon.engine.unfinished import UnfinishedFetches

# How long a first statement waits for the feed of fills, which tells what happened around it.
FEED_WAIT_S = 10.0
# The kinds of workers that ask for statements, or are pushed them.
STATING = ("reconcile", "state", "price")
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched: accounts' addresses by name, the names of the feeds of fills, the freshness limits,
    and the smallest change of unrealised P&L (USD) that is published.

    The accounts in `polled` have no feed of fills: each has one round in `round_s` seconds."""

    addresses: Mapping[str, str]
    feeds: tuple[str, ...]
    limits: FreshnessLimits
    min_pnl_change: Decimal
    polled: tuple[str, ...] = ()
    round_s: float = 0.0

    @property
    def rounds_s(self) -> dict[str, float]:
        """The seconds between two rounds, by polled account."""
        return dict.fromkeys(self.polled, self.round_s)


class Engine:
    """One engine has one book. `now` of each call is not before that of the call before."""

    def __init__(self, watched: Watched, now: Now) -> None:
        self.watched = watched
        self.book = Book(watched.addresses)
        self.freshness = FreshnessOfFeeds(watched.limits)
        self.feeds = Feeds()
        self.incidents = Incidents()
        self.listing = Listing()
        self._catchup = CatchUp()
        self._rounds = Rounds()
        self._poll(watched, (), now)
        self._requests = Requests()
        self._requests.watch(watched.addresses, (), now.s)
        self._watched_s = dict.fromkeys(watched.addresses, now.s)
        self._unfinished = UnfinishedFetches()
        self._held: dict[ScopeName, Statement] = {}  # first statements that wait for a feed of fills
        self._differing: dict[ScopeName, tuple[str, ...]] = {}  # by scope: keys unlike its last statement
        self._workers: dict[str, Joined] = {}
        self.history = HistoryState(0)  # as its process last reported it
        self._told_pnl: dict[Name, Decimal | None] = {}
        self._updated_ms: dict[Name, int] = {}
        self._moved: dict[Name, None] = {}  # in the order in which their prices moved
        self._effects: list[Effect] = []
        self._refresh(now)

    # ------------------------------------------------------------------ told

    def receive(self, report: Report, now: Now) -> list[Effect]:
        """Handle a report; the effects that follow. One about an account that is not watched has none."""
        if self.freshness.note_call(now.s):
            self._refresh(now)
        account = getattr(report, "account", None)
        if account is None or account in self.watched.addresses:
            handle = _HANDLERS.get(type(report))
            if handle is not None:
                handle(self, report, now)
                self._note_opened(now)
                self._judge(now)
        return self._take_effects()

    def tick(self, now: Now) -> list[Effect]:
        """Handle what changes with time alone; the effects. Call it a few times a second."""
        self.freshness.note_call(now.s)
        self._refresh(now)
        for held, statement in list(self._held.items()):
            if now.s - self._watched_s[statement.account] > FEED_WAIT_S:
                del self._held[held]
                self._reconcile(statement, now)
        for name in self._catchup.overdue(now.s):
            self._release(name, now)
        for name in self._catchup.waiting():
            self._fetch_if_due(name, now)
        if self._has_reconciler:
            for name in self._rounds.due(self.book.is_stated, now.s):
                self._ask_round(name)
        for name in self._requests.unseen(now.s):
            looked = self.book.is_stated(name) and self._look(name, BellReason.NOT_WATCHED, now)
            self._requests.look_later(name, now.s, asked=looked)
        for feed, count in self.feeds.judge(now.s).items():
            facts = {"feed": feed, "fills": count}
            self._effects.append(Log(logging.WARNING, "a feed missed fills", facts, key=feed))
        doubtful, unclear = dict(self.book.doubtful()), self.book.modes_in_doubt()
        self._effects += map(Ring, self._requests.due(doubtful, unclear, now.s))
        self._judge(now)
        return self._take_effects()

    def revalue(self, now: Now, most: int) -> list[Effect]:
        """Show up to `most` positions whose prices have moved, and publish material changes; the effects."""
        for name in list(islice(self._moved, most)):
            del self._moved[name]
            self._revalue(name, now)
        return self._take_effects()

    @property
    def has_moved(self) -> bool:
        """Whether `revalue` has something to do."""
        return bool(self._moved)

    def note_suspension(self, seconds: float, now: Now) -> None:
        """Note that the machine was suspended: everything that was heard is older by `seconds`."""
        self._rounds.note_suspension(now.s)
        self.freshness.note_suspension(seconds, now.s)

    def recall(
        self,
        memories: Iterable[Memory],
        base_ms: Mapping[str, Mapping[str, int]],
        unsure: Mapping[str, Mapping[str, int]],
        now: Now,
        cash: Mapping[str, LedgerMemory] = MappingProxyType({}),
    ) -> None:
        """Restore what the previous engine has journalled. Call it once, before anything else."""
        self.book.recall(memories, base_ms, unsure, cash)
        self.book.take_opened()  # the journal has them
        self._refresh(now)
        self.book.judge()
        self.listing.begin(self.book.views())

    def watch(self, watched: Watched, now: Now) -> list[Effect]:
        """Change what is watched; the effects. A name with another address than before is another account."""
        before, self.watched = self.watched, watched
        addresses = watched.addresses
        same = {name for name in addresses if before.addresses.get(name) == addresses[name]}
        self.book.watch(same)
        self.book.watch(addresses)
        gone = {*before.feeds} - {*watched.feeds}
        for name in sorted(same):  # the time without a feed is not known to be whole
            for feed in sorted({*before.feeds} if name in watched.polled else gone):
                self._catchup.lost(name, feed)
                self._feed_is(FeedState(name, feed, False, now.s, "the settings want it no more"), now)
            if name in watched.polled:
                self._release(name, now)
        self.book.forget_feeds(gone)
        self.feeds.watch(watched.feeds, same)
        self.incidents.watch(same)
        self.freshness.watch(same, watched.feeds)
        self.freshness.limits = watched.limits
        self._poll(watched, same, now)
        self._catchup.keep(same)
        self._requests.watch(addresses, same, now.s)
        self._unfinished.keep(same)
        self._held = {name: one for name, one in self._held.items() if name[0] in same}
        self._differing = {name: keys for name, keys in self._differing.items() if name[0] in same}
        self._watched_s = {name: self._watched_s[name] if name in same else now.s for name in addresses}
        self._told_pnl = {name: pnl for name, pnl in self._told_pnl.items() if name[0] in same}
        self._updated_ms = {name: at_ms for name, at_ms in self._updated_ms.items() if name[0] in same}
        self._moved = {name: None for name in self._moved if name[0] in same}
        self._refresh(now)
        self._judge(now)  # one that is polled now, or followed, is not proven by what it was before
        self.listing.begin(self.book.views())
        self._effects.append(JournalCheckpoint(now.ms))
        new = addresses.keys() - same
        # Reports about the new accounts that came before this call were ignored. The welcome makes workers
        # that already run on the new settings repeat them.
        for joined in self._workers.values():
            if new and (not joined.addresses or any(self._is_same(joined, name) for name in new)):
                self._tell(joined.worker, self._welcome(joined, new))
        return self._take_effects()

    # ------------------------------------------------------------------ asked

    def updated_ms(self, account: str, key: str) -> int | None:
        """When the position last changed in any way, Unix milliseconds."""
        return self._updated_ms.get((account, key))

    # ------------------------------------------------------------------ within

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _poll(self, watched: Watched, kept: Collection[str], now: Now) -> None:
        """Poll the accounts that no stream follows; `kept` were watched before."""
        self.book.poll(watched.rounds_s)
        self.freshness.poll(watched.rounds_s)
        self._rounds.watch(watched.polled, watched.round_s, kept, now.s)

    def _refresh(self, now: Now) -> None:
        """Tell the book whose feeds have become fresh or stale."""
        for name, scope in self.freshness.changed(self._all_scopes, now.s):
            self.book.set_freshness(name, self.freshness.freshness(name, now.s, scope), scope)

    def _all_scopes(self) -> list[ScopeName]:
        return [(name, scope) for name in self.book.accounts for scope in self.book.scope_names(name)]

    def _note_opened(self, now: Now) -> None:
        """Markets on which an account now holds or trades something: judge them, and have them stated."""
        opened = self.book.take_opened()
        for (account, scope), flat_ms in opened.items():
            if flat_ms is not None and OTHER_SCOPES not in self.book.base_ms()[account]:
                # It held nothing, and no line says so yet: that of its first fill has to follow one.
                self._event("stated", now, account=account, base_ms=flat_ms, scope=scope)
            self.freshness.stated((account, scope), self.book.statement_asked_s(account, scope))
            self.book.set_freshness(account, self.freshness.freshness(account, now.s, scope), scope)
        for account in dict.fromkeys(account for account, _ in opened):
            markets = {scope for name, scope in opened if name == account}
            for joined in self._workers.values():
                if joined.kind in STATING:
                    self._tell(joined.worker, self._statements_wanted(account))
            if self.book.is_polled(account) and self._has_reconciler and markets - {SPOT}:
                self._ask_round(account)  # the round under way does not state the new market

    def _statements_wanted(self, account: str) -> StatementsWanted:
        return StatementsWanted(account, tuple(filter(None, self.book.scope_names(account))))

    def _judge(self, now: Now) -> None:
        """Journal and publish the verdicts that have changed."""
        if changes := self.book.judge():
            self._say(changes, now)

    def _say(self, changes: Sequence[Change], now: Now, brought: Fills | None = None) -> None:
        """Journal and publish these changes and the verdicts that follow; show the positions concerned.

        `brought` are the fills that the changes came from: those that only waited for them are older.
        """
        if not changes:
            return
        self._note_opened(now)
        changes = [*changes, *self._liquidations(changes)]
        effects, at_ms = self._effects, now.ms
        self.incidents.note(changes, now.s)
        self.book.note_booked(changes)
        changes = [*changes, *self.book.judge()]  # what is published bears the verdict of now
        heard_s = brought.heard_s if brought is not None else None
        live = {id(fill) for fill in brought.fills} if brought is not None and heard_s is not None else ()
        views: dict[Name, View] = {}
        for change in changes:
            name = whose(change)
            if name not in views:
                views[name] = self.book.view(*name)
                self._updated_ms[name] = at_ms
            if not isinstance(change, Doubt):
                effects.append(JournalChange(change, at_ms))
        if any(isinstance(change, Adopted) for change in changes):
            # The lines alone cannot tell which fills the adopted size includes; a checkpoint does.
            effects.append(JournalCheckpoint(at_ms))
        for change in changes:
            view = views[whose(change)]
            if isinstance(change, Filled):
                view = _after(change, view)
                effects.append(Publish(change, view, at_ms, heard_s if id(change.fill) in live else None))
            else:
                if not isinstance(change, Doubt):
                    effects.append(Publish(change, view, at_ms))
                if isinstance(change, Gap | Doubt):
                    self._ask_about(change, now)
                if not isinstance(change, Funded):
                    effects.append(LogChange(change))
        for name, view in views.items():
            self._told_pnl[name] = view.figures.unrealized
            self.listing.note(view)
            effects.append(Show(view, at_ms))

    def _liquidations(self, changes: Sequence[Change]) -> list[Change]:
        """What fills among these changes tell of liquidations: for each order once."""
        found: list[Change] = []
        for change in changes:
            if isinstance(change, Filled) and change.fill.cause is FillCause.LIQUIDATION:
                fill, coin = change.fill, Instrument.of(change.fill.key).name
                told = AccountEvent(
                    fill.account, fill.time_ms, AccountEventKind.LIQUIDATION, coin, (fill.key,)
                )
                found += self.book.liquidated(told, fill)
                self.book.record_event(told)
        return found

    def _ask_about(self, change: Gap | Doubt, now: Now) -> None:
        """Ask for a fetch: at once for a gap, after SECOND_LOOK_S for a doubt, which may be over by then."""
        if isinstance(change, Gap):
            self._requests.rung(change.account, now.s)
            self._effects.append(Ring(Bell(change.account, change.since_ms, BellReason.GAP)))
        else:
            self._requests.doubted(change.account, now.s)

    def _event(self, kind: str, now: Now, **facts: Any) -> None:
        self._effects.append(JournalEvent(kind, facts, now.ms))

    def _log(self, level: int, message: str, **facts: Any) -> None:
        self._effects.append(Log(level, message, facts))

    def _tell(self, worker: str, ask: Ask) -> None:
        self._effects.append(Tell(worker, ask))

    # ------------------------------------------------------------------ fills

    def _fills(self, fills: Fills, now: Now) -> None:
        if fills.heard_s is not None:
            if self.freshness.took_fill(fills.heard_s, now.s):
                self._refresh(now)
            if not self.book.is_live(fills.account) and not self.book.is_polled(fills.account):
                if self._catchup.holds(fills, now.s):
                    return
                self._release(fills.account, now)
        self._apply(fills, now)

    def _apply(self, fills: Fills, now: Now) -> None:
        changes = self.book.apply(fills)
        new = [change.fill.identity for change in changes if isinstance(change, Filled)]
        if self.feeds.has(fills.source) and self.book.has_gap(fills.account):
            new += [fill.identity for fill in fills.fills]  # what waits behind a gap is new too
        if changes and fills.heard_s is None and fills.from_ms is None:
            self._requests.rung(fills.account, now.s)  # the rest of a fetch need not be asked for yet
        self.feeds.brought(fills.source, fills.account, fills.fills, new, now.s)
        partial = self.book.partial(fills.account)
        if not partial and fills.heard_s is not None:
            self._say(changes, now, fills)
            return
        for key, since_ms in self._unfinished.note_begun(fills.account, partial):
            self._event("fetching", now, account=fills.account, key=key, since_ms=since_ms)
        self._say(changes, now, fills)
        self._note_ended(fills.account, partial, now)

    def _note_ended(self, name: str, partial: Mapping[str, int], now: Now) -> None:
        for key in self._unfinished.note_ended(name, partial):
            self._event("fetched", now, account=name, key=key)

    def _release(self, name: str, now: Now) -> None:
        for fills in self._catchup.release(name):
            self._apply(fills, now)

    def _funding(self, funding: Funding, now: Now) -> None:
        self._say(self.book.apply_funding(funding), now)

    def _unlisted(self, unlisted: Unlisted, now: Now) -> None:
        if not self.book.unlist(unlisted):
            return
        facts = {"since_ms": unlisted.since_ms, "until_ms": unlisted.until_ms, "reason": unlisted.reason}
        self._event("unlisted", now, account=unlisted.account, **facts)
        self.incidents.unlisted(unlisted, now.s)
        self._log(logging.WARNING, "fills not listed any more", account=unlisted.account, **facts)

    # ------------------------------------------------------------------ feeds

    def _follows(self, report: Following, now: Now) -> None:
        """A feed is live at once if it has told all that this engine does not know; else it is fetched.

        A fill that was missing before a restart is one that the feeds had not brought: what they tell again
        does not have it either.
        """
        if report.feed not in self.watched.feeds or self.book.is_polled(report.account):
            return  # a worker on the settings before a reload
        name, whole_from_ms = report.account, report.whole_from_ms
        known_ms = self.book.high_water_ms(name) or 0
        has_told_all = whole_from_ms is not None and whole_from_ms <= known_ms
        if has_told_all and not self.book.has_recalled_gap(name):
            self._goes_live(report, now)
            self._requests.rung(name, now.s)
            self._effects.append(Ring(Bell(name, None, BellReason.LIVE)))
            return
        self._catchup.follows(report, now.s)

    def _fetched(self, report: Fetched, now: Now) -> None:
        self.book.fetched(report.account, report.from_ms)
        self._rounds.fetched(report)
        self._note_ended(report.account, self.book.partial(report.account), now)
        wanted_ms = self._fetch_from_ms(report.account)
        for following in self._catchup.fetched(report, wanted_ms):
            self._goes_live(following, now)

    def _not_fetched(self, report: NotFetched, now: Now) -> None:
        name = report.account
        for following in self._catchup.failed(name):
            reason = f"fills from before it came up could not be fetched: {report.reason}"
            self._feed_is(FeedState(name, following.feed, False, now.s, reason), now)
        self._release(name, now)

    def _goes_live(self, following: Following, now: Now) -> None:
        name, was_live = following.account, self.book.is_live(following.account)
        self._catchup.lost(name, following.feed)
        self._catchup.went_live(name)
        self._feed_is(FeedState(name, following.feed, True, following.since_s), now)
        self._release(name, now)
        self._tell(following.feed, Live(name, self._journalled_until_ms(name), following.since_s))
        if not was_live:
            for held_name in [one for one in self._held if one[0] == name]:
                self._reconcile(self._held.pop(held_name), now)

    def _journalled_until_ms(self, name: str) -> int | None:
        """The time up to which a restarted tracker will know all fills from the journal. None if unknown:
        fills behind a gap, and fills that the first statement includes, have no line."""
        known_ms = self.book.high_water_ms(name)
        if known_ms is None or self.book.has_gap(name):
            return None
        return known_ms if self.book.unreported_until_ms(name) < known_ms - REPLAY_OVERLAP_MS else None

    def _feed(self, state: FeedState, now: Now) -> None:
        """A feed went down; its catch-up starts over with its next `Following` report."""
        if state.feed not in self.watched.feeds or self.book.is_polled(state.account):
            return  # a reload took it away
        self._catchup.lost(state.account, state.feed)
        self._feed_is(state, now)

    def _feed_is(self, state: FeedState, now: Now) -> None:
        """Pass the state to the book; journal when the account's first feed comes up and when its last one
        goes down, with the time up to which its fills are known."""
        was_live, known_ms = self.book.is_live(state.account), self.book.high_water_ms(state.account)
        self.book.feed(state)
        self.feeds.state(state, now.s)
        live = self.book.is_live(state.account)
        if live != was_live:
            facts = {"live": live, "since_ms": None if live else known_ms, "reason": state.reason}
            self._event("feed", now, account=state.account, **facts)

    def _fetch_if_due(self, name: str, now: Now) -> None:
        from_ms = self._fetch_from_ms(name)
        if from_ms is None or not self._catchup.is_due(name, now.s, live=self.book.is_live(name)):
            return
        if self._has_reconciler:
            self._effects.append(Ring(Bell(name, from_ms, BellReason.FEED)))
            self._catchup.asked(name, now.s)

    def _fetch_from_ms(self, name: str) -> int | None:
        """From when on fills are wanted for a feed that comes up: from where they are known, or a while
        before the first statement; None until there is one."""
        known_ms = self.book.high_water_ms(name)
        if known_ms is not None:
            return max(0, known_ms - REPLAY_OVERLAP_MS)
        held = self._held.get((name, FIRST_SCOPE))
        return None if held is None else max(0, held.time_ms - FIRST_LOOK_MS)

    def _heard(self, heard: Heard, now: Now) -> None:
        if heard.feed not in self.watched.feeds:
            return
        self.freshness.heard_feed(heard.feed, heard.at_s)
        self._refresh(now)

    # ------------------------------------------------------------------ rounds

    def _ask_round(self, name: str) -> None:
        """Have all fills of a polled account fetched since they are known, and then statements of it. The
        answers of two servers may be LAG_MS apart, so the fetch begins that much earlier."""
        known_ms = self.book.high_water_ms(name)
        from_ms = None if known_ms is None else max(0, known_ms - LAG_MS)
        self._effects.append(Ring(Bell(name, from_ms, BellReason.ROUND)))

    def _note_round(self, statement: Statement, now: Now) -> None:
        """Note that a statement completes a round, if it does."""
        found = self._rounds.round_of(statement, now.s) if self.book.is_polled(statement.account) else None
        if found is not None and self.book.note_round(statement, *found):
            self._rounds.completed(statement.account)

    # ------------------------------------------------------------------ prices

    def _marks(self, marks: Marks, now: Now) -> None:
        self.freshness.heard_prices(marks.heard_s, marks.missing)
        for name in self.book.mark(marks):
            self._moved[name] = None
        self._refresh(now)

    def _revalue(self, name: Name, now: Now) -> None:
        """A mark moved: worth a message when unrealised P&L did, by more than the threshold."""
        view = self.book.view(*name)
        self._updated_ms[name] = now.ms
        pnl, told = view.figures.unrealized, self._told_pnl.get(name)
        if pnl is not None and self._is_material(pnl, told):
            self._told_pnl[name] = pnl
            self._effects.append(PublishPrice(view, now.ms))
        self._effects.append(Show(view, now.ms))

    def _is_material(self, pnl: Decimal, told: Decimal | None) -> bool:
        if told is None:
            return True
        with exactly():
            return abs(pnl - told) > self.watched.min_pnl_change

    # ------------------------------------------------------------------ statements

    def _reconcile(self, statement: Statement, now: Now) -> None:
        name, scope = statement.account, statement.scope
        if scope == FIRST_SCOPE:
            self.freshness.heard_statement(name, statement.asked_s, pushed=statement.pushed)
        if not self.book.takes(statement):
            return
        first = not self.book.is_stated(name, scope)
        waited = now.s - self._watched_s[name] > FEED_WAIT_S
        if first and not self.book.is_live(name) and not waited and not self.book.is_polled(name):
            self.book.open(name, scope)
            self._held[name, scope] = statement
            return
        changes = self.book.reconcile(statement)
        if not first:  # what a scope starts with is as of its own time, which is later than the fetch
            self._note_round(statement, now)
        self.freshness.stated((name, scope), self.book.statement_asked_s(name, scope))
        self._note_opened(now)
        self._refresh(now)
        drifted = {change.key for change in changes if isinstance(change, Drift)}
        self._note_statement(statement, drifted, now)
        self._say(changes, now)
        if first and self.book.is_stated(name, scope):
            # This line must follow the positions: one that a crash cut off would be recovered as flat.
            of_scope = {"scope": scope} if scope else {}
            self._event("stated", now, account=name, base_ms=self.book.base_ms()[name][scope], **of_scope)
            if not any(isinstance(change, Adopted) for change in changes):
                self._effects.append(JournalCheckpoint(now.ms))
            if self.book.persist_flat(name):
                self._journal_flat(name, now)
        self._compare_cash(statement, now)
        if not statement.pushed:
            # It tells a later time, for the snapshot too; pushes come too often for that.
            self._moved.update(dict.fromkeys((name, key) for key in self.book.keys(name, scope)))

    def _compare_cash(self, statement: Statement, now: Now) -> None:
        """Journal how the cash of a dex came about; ask for what is missing where a statement has more or
        less of it than was booked."""
        name, scope = statement.account, statement.scope
        was_odd = self.book.odd_cash_since_ms(name, scope) is not None
        point = self.book.compare_cash(statement)
        odd_since_ms = self.book.odd_cash_since_ms(name, scope)
        if odd_since_ms is not None and not was_odd and self._has_reconciler:
            since_ms = max(0, odd_since_ms - REPLAY_OVERLAP_MS)
            self._effects.append(Ring(Bell(name, since_ms, BellReason.CASH)))
        if point is not None:
            quote = self.book.quotes.get(scope)
            self._event("ledger", now, **account_lines.ledger(point, quote))

    def _note_statement(self, statement: Statement, drifted: set[str], now: Now) -> None:
        """Journal every requested statement. Pushed ones come every second: journal one only if the set of
        keys that differ from the book has changed."""
        name = statement.account, statement.scope
        differing = tuple(sorted(drifted | set(self.book.doubtful_keys(*name))))
        before, self._differing[name] = self._differing.get(name), differing
        if not statement.pushed or before != differing:
            self._effects.append(JournalStatement(statement, differing, now.ms))

    # ------------------------------------------------------------------ accounts

    def _notice(self, notice: Notice, _now: Now) -> None:
        if self.book.notice(notice):
            facts = {"account": notice.account, "code": notice.code.value, "text": notice.text}
            self._log(logging.WARNING, "notice", **facts)

    def _place_read(self, report: PlaceRead, now: Now) -> None:
        name = report.account
        if report.place is Place.DEXES:
            self._requests.seen(name, now.s, is_polled=self.book.is_polled(name))
            self._note_nothing_else(report, now)
        if self.book.place_read(report):
            unread = ", ".join(report.unread) or "nothing"
            facts = {"account": name, "place": report.place.value, "unread": unread}
            self._log(logging.WARNING, "other holdings read", **facts)

    def _traded_on_spot(self, report: TradedOnSpot, now: Now) -> None:
        self._look(report.account, BellReason.SPOT, now)

    def _note_nothing_else(self, report: PlaceRead, now: Now) -> None:
        """All dexes were stated: those without a scope held nothing. Journalled once, as the start of what
        is known of them. Where one could not be read, nothing is said of those without a scope."""
        name = report.account
        if report.asked_s is None or report.unread:
            return
        flat = Statement(
            name, "", report.time_ms, report.asked_s, (), equity=ZERO, margin_used=ZERO, withdrawable=ZERO
        )
        is_new = self.book.note_nothing_else(flat)
        for scope in self.book.scope_names(name):
            self.freshness.stated((name, scope), self.book.statement_asked_s(name, scope))
        self._refresh(now)
        if is_new:
            self._journal_flat(name, now)

    def _journal_flat(self, name: str, now: Now) -> None:
        base_ms = self.book.base_ms()[name][OTHER_SCOPES]
        self._event("stated", now, account=name, base_ms=base_ms, scope=OTHER_SCOPES)

    def _look(self, name: str, reason: BellReason, now: Now) -> bool:
        """Ask what the account holds elsewhere; False when it cannot be asked now, or was just asked."""
        if not self._has_reconciler or not self._requests.may_look(name, now.s):
            return False
        self._effects.append(Ring(Bell(name, None, reason)))
        return True

    def _collateral(self, collateral: Collateral, _now: Now) -> None:
        self.book.collateral(collateral)
        self._show_anew(collateral.scope)

    def _margin_tables(self, report: MarginTables, _now: Now) -> None:
        self.book.note_margin_tables(report)
        self._show_anew(report.scope)

    def _show_anew(self, scope: str) -> None:
        """All positions of a market are to be shown anew, and summed: it has turned out what their figures
        mean."""
        for name in self.book.accounts:
            if scope in self.book.scope_names(name):
                self._moved.update(dict.fromkeys((name, key) for key in self.book.keys(name, scope)))

    def _mode(self, mode: AccountMode, now: Now) -> None:
        before = self.book.modes().get(mode.account)
        self.book.mode(mode)
        if before is not None and mode.mode is not None and mode.mode != before:
            self._say_of_account("mode", mode.account, {"mode": mode.mode, "before": before}, now)

    def _say_of_account(self, kind: str, account: str, facts: Mapping[str, Any], now: Now) -> None:
        """Journal and publish something that concerns a whole account."""
        self._event(kind, now, account=account, **facts)
        self._effects.append(Announce(kind, account, facts, now.ms))

    def _role(self, role: AccountRole, _now: Now) -> None:
        self.book.role(role)
        addresses = self.watched.addresses
        if role.role == "agent" and role.owner is not None and role.owner not in addresses.values():
            self._effects.append(FoundAgent(role.account, addresses[role.account], role.owner))

    def _sub_accounts(self, subs: SubAccounts, _now: Now) -> None:
        addresses = self.watched.addresses
        if any(address not in addresses.values() for address, _ in subs.found):
            self._effects.append(FoundSubAccounts(subs.account, addresses[subs.account], subs.found))

    def _account_event(self, event: AccountEvent, now: Now) -> None:
        is_liquidation = event.kind is AccountEventKind.LIQUIDATION
        is_new = self.book.take_transfer(event)
        changes = self.book.liquidated(event) if is_liquidation and is_new else []
        if is_new and not is_liquidation:
            self._say_of_account("transfer", event.account, account_lines.transfer(event), now)
            # Where it is not known what it moved, look at everything that it may have changed.
            reason = BellReason.SPOT if event.moves else BellReason.NOT_WATCHED
            self._look(event.account, reason, now)
        if self.book.record_event(event) and (is_new or event.kind is not AccountEventKind.TRANSFER):
            facts = {"account": event.account, "kind": event.kind, "text": event.text}
            self._log(logging.INFO, "account event", **facts)
            self._say(changes, now)

    # ------------------------------------------------------------------ workers

    @property
    def _has_reconciler(self) -> bool:
        return any(joined.kind == "reconcile" for joined in self._workers.values())

    def _joined(self, joined: Joined, now: Now) -> None:
        if joined.worker in self._workers:  # the process before it is gone
            self._left(Left(joined.worker, joined.kind), now)
        self._workers[joined.worker] = joined
        self.book.forget_notices(joined.worker)
        self._tell(joined.worker, self._welcome(joined, self.watched.addresses))
        if joined.kind in STATING:
            for name in self.watched.addresses:
                if (wanted := self._statements_wanted(name)).scopes:
                    self._tell(joined.worker, wanted)
        if joined.kind == "reconcile":  # who was asked before is gone
            self._catchup.ask_again()
            self._rounds.ask_again()
            self._requests.ask_again()

    def _left(self, left: Left, now: Now) -> None:
        """A worker's process is dead: its feed is down, whatever it said last."""
        self._workers.pop(left.worker, None)
        if left.kind == "history":  # a dead process is not a failure of its file
            self.history = HistoryState(self.history.seq)
        if left.kind == "fill":
            for name in self.watched.addresses:
                self._feed(FeedState(name, left.worker, False, now.s, "its process is gone"), now)

    def _history_state(self, state: HistoryState, _now: Now) -> None:
        self.history = state

    def _history_remark(self, remark: HistoryRemark, now: Now) -> None:
        self._event(remark.event.value, now, **remark.facts)

    def _is_same(self, joined: Joined, name: str) -> bool:
        """Whether the name stands for the same address in the worker's settings as in ours."""
        return joined.addresses.get(name) == self.watched.addresses.get(name)

    def _welcome(self, joined: Joined, names: Collection[str]) -> Welcome:
        """The high-water marks of these accounts; modes and roles only of accounts whose name means the same
        address to the worker."""
        marks_ms = {name: self.book.high_water_ms(name) for name in names}
        modes = {name: mode for name, mode in self.book.modes().items() if self._is_same(joined, name)}
        roles = {name: role for name, role in self.book.roles().items() if self._is_same(joined, name)}
        return Welcome(marks_ms, modes, roles)


def _after(change: Filled, view: View) -> View:
    """The position right after this fill: each of several fills taken together is published with its own."""
    time_ms = change.fill.time_ms
    as_of_ms = None if view.as_of_ms is None else min(view.as_of_ms, time_ms)
    if change.position is view.position and as_of_ms == view.as_of_ms:
        return view
    return replace(view, position=change.position, last_fill_ms=time_ms, as_of_ms=as_of_ms)


_HANDLERS: dict[type, Callable[[Engine, Any, Now], None]] = {
    Fills: Engine._fills,
    Marks: Engine._marks,
    Statement: Engine._reconcile,
    Funding: Engine._funding,
    Following: Engine._follows,
    Fetched: Engine._fetched,
    NotFetched: Engine._not_fetched,
    FeedState: Engine._feed,
    Heard: Engine._heard,
    Unlisted: Engine._unlisted,
    Notice: Engine._notice,
    PlaceRead: Engine._place_read,
    TradedOnSpot: Engine._traded_on_spot,
    Collateral: Engine._collateral,
    MarginTables: Engine._margin_tables,
    AccountMode: Engine._mode,
    AccountRole: Engine._role,
    SubAccounts: Engine._sub_accounts,
    AccountEvent: Engine._account_event,
    Joined: Engine._joined,
    Left: Engine._left,
    HistoryState: Engine._history_state,
    HistoryRemark: Engine._history_remark,
}

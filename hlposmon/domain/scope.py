"""A scope: what one statement covers, which is one account at one market of one venue.

"A coin that is not in it is flat" holds inside a scope and nowhere else. The order of its statements, the
start of its positions, what is in doubt and how fresh it is belong to it; by which law sizes are proven is
its continuity. One stream has the fills of all scopes of an account: each keeps the state of its feeds, and
up to when its fills are known is the account's to say. No other scope in here.

An account without a stream is polled in rounds: all fills since the time up to which they are known, and then
a statement. Between two rounds fills may be missing, so its positions are as of the last one.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from hlposmon.domain.changes import Change, Filled, Funded, VerdictChanged
from hlposmon.domain.continuity import FILL_CHAIN, Continuity
from hlposmon.domain.cross_equity import available_at_marks
from hlposmon.domain.holding import Holding
from hlposmon.domain.instrument import SPOT, InstrumentType
from hlposmon.domain.ledger import Ledger
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.placing import LAG_MS
from hlposmon.domain.position import FillEffect, Position
from hlposmon.domain.prices import Prices
from hlposmon.domain.reports import (
    AccountEvent,
    FeedState,
    Fill,
    Fills,
    Funding,
    MarginMode,
    Statement,
    Unlisted,
)
from hlposmon.domain.verdict import UNHEARD, Evidence, Freshness, Verdict, judge
from hlposmon.domain.views import Memory, ScopeView, View

FAR_BEHIND_MS = 600_000
# How many recent events are kept as possible causes of a drift.
KEPT_EVENTS = 64

Kept = TypeVar("Kept", AccountEvent, Unlisted)


@dataclass(slots=True, eq=False)
class Scope:
    """The holdings of one scope by key, its feeds of fills, and what the venue last said of it."""

    account: str
    name: str
    prices: Prices
    continuity: Continuity = FILL_CHAIN
    # By market, the token in which its figures are, as far as it is known.
    quotes: Mapping[str, str] = field(default_factory=dict)
    margin_tables: Mapping[str, MarginTable] = field(default_factory=dict)  # by key, as far as known
    stated: bool = False
    base_ms: int = 0
    # The time of the first fill that waits for the first statement; None while there is none.
    waiting_ms: int | None = None
    # The time of the newest statement that was taken while a feed of fills was live.
    whole_ms: int = 0
    # A fill older than this is so late that the newest statement states a later size.
    late_ms: int = 0
    # The newest statement; when the newest requested one was requested; and the time of the newest push.
    statement: Statement | None = None
    answer_asked_s: float | None = None
    push_ms: int | None = None
    feeds: dict[str, FeedState] = field(default_factory=dict)
    is_live: bool = False  # whether at least one of them is up
    live_since_s: float | None = None
    # Whether it is polled, and when the fills of its last complete round were asked for.
    is_polled: bool = False
    round_asked_s: float | None = None
    holdings: dict[str, Holding] = field(default_factory=dict)
    unlisted: list[Unlisted] = field(default_factory=list)
    # Keys (or "" for all) whose fills are not known to be whole since a time, in milliseconds.
    unsure: dict[str, int] = field(default_factory=dict)
    freshness: Freshness = UNHEARD
    verdict: Verdict | None = None
    reason: str | None = None
    # Kept up to date by `_note_change`, so that no question walks all holdings: those in doubt, and the
    # latest time up to which the fills of one are known (None without a holding).
    doubtful: dict[str, Holding] = field(default_factory=dict)
    known_ms: int | None = None
    _latest_known: Holding | None = None
    # Whether its statements have what backs its cross positions (plain account modes), and whether its cash
    # has moved since the newest one.
    is_plain: bool = False
    has_cash_moved: bool = False
    _available: tuple[Statement, int, Decimal | None] | None = None
    # Whether there is something to judge; the holdings to judge; and the evidence for the other verdicts.
    is_unjudged: bool = True
    _changed: dict[str, Holding] = field(default_factory=dict)
    _judged_on: tuple[Evidence, tuple[str | None, ...]] | None = None

    # ------------------------------------------------------------------ fills

    def take(self, fills: Fills) -> list[Change]:
        """Take fills in any order, with any repetition.

        A fetch arrives in parts, and each part is applied on arrival. A part alone may mislead: half of a
        round trip that no feed delivered gives a size that the venue no longer has, while the other half is
        on its way. So every position that a part changed is in doubt until the fetch ends. Example: the
        position is flat, as a statement of :60 says, and a fetch brings

            :61.0  part 1   0 -> 2 of :30         size 2, unproven: it is wanted since :30
            :61.1  part 2   2 -> 0 of :31         size 0, unproven still: there may be a third
            :61.1  the end  all since :20         proven again

        If the worker dies in between, fills are fetched again from :30 on, and the end of that fetch ends the
        doubt. The last part marks the end, so a fetch of one part raises no doubt; neither does a part that
        changes nothing.

        A live fill that is far older than the newest statement is treated like a part: the statement includes
        later fills, and a feed that is so late may still have to deliver them.
        """
        live, late_ms = fills.heard_s is not None, self.late_ms
        if live and len(fills.fills) == 1 and (filled := self._take_next(fills.fills[0])) is not None:
            return [filled]
        is_part = fills.from_ms is None and (not live or any(one.time_ms < late_ms for one in fills.fills))
        by_key: dict[str, list[int]] = {}
        for index, fill in enumerate(fills.fills):
            by_key.setdefault(fill.key, []).append(index)
        changes: list[Change] = []
        if not self.stated:
            known = [] if self.waiting_ms is None else [self.waiting_ms]
            self.waiting_ms = min([*known, *(fill.time_ms for fill in fills.fills)], default=None)
        for key, indexes in by_key.items():
            holding = self._holding(key)
            of_line = self.continuity.take(holding, [fills.fills[index] for index in indexes], live=live)
            if is_part:
                holding.note_part(of_line)
            elif of_line and not live:
                holding.doubt_fetched()
            changes += of_line
            self._note_change(key, holding)
        self.has_cash_moved |= bool(changes)
        if fills.from_ms is not None:
            self.note_fetched(fills.from_ms)
        return changes

    def note_fetched(self, from_ms: int) -> None:
        """All fills from then on were handed on: of a fetch that began so early nothing is under way."""
        for key, holding in list(self.doubtful.items()):
            if holding.note_fetched(from_ms):
                self._note_change(key, holding)

    def copy_feeds_of(self, other: "Scope") -> None:
        """Take over the state of the feeds of another scope of the account: one stream has the fills of
        both."""
        self._set_feeds(other.feeds)
        self.live_since_s, self.whole_ms = other.live_since_s, other.whole_ms
        self.is_polled, self.freshness = other.is_polled, other.freshness
        self.unlisted = list(other.unlisted)
        if "" in other.unsure:
            self.unsure[""] = other.unsure[""]

    def start_flat(self, base_ms: int, statement: Statement | None) -> None:
        """Start a scope that held nothing at `base_ms`, nor at the time of this later statement, if any."""
        self.stated, self.base_ms = True, base_ms
        if statement is not None:
            self._note_statement(replace(statement, scope=self.name))

    def note_flat(self, statement: Statement) -> None:
        """Take an empty statement of other dexes as one of this scope, if it holds nothing, nothing is in
        doubt, and no newer one came."""
        if (
            not self.stated
            or self.doubtful
            or (self.statement and self.statement.asked_s >= statement.asked_s)
        ):
            return
        if not any(holding.ledger.position.size for holding in self.holdings.values()):
            self._note_statement(replace(statement, scope=self.name))

    def _take_next(self, fill: Fill) -> Filled | None:
        """The short way of a live fill that is plainly the next one of its holding; None for any other."""
        holding = self.holdings.get(fill.key)
        if holding is None or fill.time_ms < self.late_ms or not self.continuity.rests_on_fills:
            return None
        filled = holding.take_next(fill)
        if filled is None:
            return None
        self.has_cash_moved = True
        if self.known_ms is None or fill.time_ms >= self.known_ms:
            self.known_ms, self._latest_known = fill.time_ms, holding
        if filled.effect is FillEffect.OPENED or filled.effect is FillEffect.CLOSED:
            # Prices are wanted of what is open only; nothing else can have changed of what is judged.
            self._changed[fill.key] = holding
            self.is_unjudged = True
        return filled

    def apply_funding(self, funding: Funding) -> list[Change]:
        """Book a funding payment once; payments from before the start are ignored."""
        if not self.stated or funding.time_ms <= self.base_ms:
            return []
        ledger = self._holding(funding.key).ledger
        if not ledger.payments.owes(funding.time_ms):
            return []
        ledger.payments = ledger.payments.paid(funding.time_ms)
        ledger.position = ledger.position.funded(funding.amount)
        self.has_cash_moved = True
        return [Funded(funding, ledger.position)]

    # ------------------------------------------------------------- statements

    def takes(self, statement: Statement) -> bool:
        """Whether a statement says anything: not when a newer one of its kind came, or its server is far
        behind the fills."""
        return not (self._is_old(statement) or self._is_far_behind(statement))

    def reconcile(self, statement: Statement, events: Sequence[AccountEvent]) -> list[Change]:
        """Compare with the venue's statement; the first one starts the positions. `events` may name the cause
        of a drift.

        Answers are taken in the order in which they were asked for, pushes in the order of their times:
        an answer that was asked for before a push was heard counts all the same.
        """
        if not self.takes(statement):
            return []
        first, newest, is_confirmed = not self.stated, self._is_newest(statement), self.is_confirmed
        stated = {position.key: position for position in statement.positions}
        changes: list[Change] = []
        keys = {
            key
            for key, holding in self.holdings.items()
            if not holding.is_confirmed_by(stated.get(key), statement, newest=newest)
        }
        for key in sorted(keys.union(stated.keys() - self.holdings.keys(), statement.unread)):
            holding = self._holding(key)
            before = holding.basis
            if not is_confirmed:
                holding.expect_agreement()
            holding.unread = statement.unread.get(key)
            if holding.unread is None:
                row = stated.get(key)
                changes += self.continuity.reconcile(holding, row, statement, events, self.unlisted)
                if newest:
                    holding.keep_details(row, statement.asked_s)
            if holding.basis != before:
                self._note_change(key, holding)
        if first:
            self.stated, self.base_ms = True, statement.time_ms
            if self.continuity.rests_on_fills and not self.is_live:
                # Fills that come in before a feed is live do not make the time before them whole.
                self.unsure[""] = statement.time_ms
        self._note_statement(statement)
        return changes

    def _is_old(self, statement: Statement) -> bool:
        """Whether a newer one of its kind was told. Pushes of two connections come slightly out of order."""
        if not statement.pushed:
            return self.answer_asked_s is not None and statement.asked_s <= self.answer_asked_s
        return self.push_ms is not None and statement.time_ms < self.push_ms

    def _is_far_behind(self, statement: Statement) -> bool:
        """Whether it is more than FAR_BEHIND_MS older than the last fill. Block times never go back, so its
        server is far behind the others and the statement is no evidence."""
        return self.known_ms is not None and self.known_ms > statement.time_ms + FAR_BEHIND_MS

    def _is_newest(self, statement: Statement) -> bool:
        """Whether no statement of either kind is newer, so that its figures are those to show."""
        return self.statement is None or statement.asked_s >= self.statement.asked_s

    def _note_statement(self, statement: Statement) -> None:
        """Keep a statement as the newest of its kind, and of all if it is."""
        self.is_unjudged = True
        self.late_ms = max(self.late_ms, statement.time_ms - LAG_MS)
        if self.is_live:
            self.whole_ms = max(self.whole_ms, statement.time_ms)
        if self._is_newest(statement):
            self.statement, self.has_cash_moved = statement, False
        if statement.pushed:
            self.push_ms = statement.time_ms
        else:
            self.answer_asked_s = statement.asked_s

    # ------------------------------------------------------------------ feeds

    @property
    def is_confirmed(self) -> bool:
        """Whether the venue has stated the scope since a feed of fills last came up, or in a round."""
        if self.is_polled:
            return self.round_asked_s is not None
        asked_s = self.statement.asked_s if self.statement else None
        return asked_s is not None and self.live_since_s is not None and asked_s >= self.live_since_s

    def note_feed(self, state: FeedState, known_ms: int | None) -> None:
        """A feed of fills came up or went down; up to `known_ms` the account's fills were known. One live
        feed of several is enough."""
        was_live = self.is_live
        self.is_unjudged = True
        self._set_feeds(self.feeds | {state.feed: state})
        if state.live:
            self.unsure.clear()  # all from there on was fetched
        if state.live and not was_live:
            self.live_since_s = state.at_s
        elif was_live and not self.is_live and known_ms is not None:
            # What comes in now by other ways does not make the time before it whole.
            self.unsure[""] = known_ms

    def poll(self, known_ms: int | None, *, is_polled: bool) -> None:
        """Poll the scope from now on, or no more; up to `known_ms` the account's fills are known. A polled
        scope has no feed that is live: the caller ends them first."""
        if is_polled == self.is_polled:
            return
        self.is_polled, self.round_asked_s, self.is_unjudged = is_polled, None, True
        if is_polled and known_ms is not None:
            self.unsure.setdefault("", known_ms)

    def note_round(self, whole_ms: int, asked_s: float) -> None:
        """Note a complete round: all fills from before the time up to which they were known were handed on,
        and then the venue stated the scope. They are known up to `whole_ms` now; they were asked for at
        `asked_s`."""
        known_ms = max(whole_ms, self.unsure.get("", whole_ms))
        self.unsure.clear()
        self.unsure[""] = known_ms
        self.round_asked_s = max(asked_s, self.round_asked_s or asked_s)
        self.is_unjudged = True

    def unlist(self, unlisted: Unlisted) -> bool:
        """Note that some fills cannot be fetched any more; whether this was new."""
        self.is_unjudged = True
        return keep(self.unlisted, unlisted)

    @property
    def _may_lack_fills(self) -> bool:
        """Whether fills may be missing that cannot be fetched, as no statement is surely newer than they.

        Example: those up to :21 are not listed any more. A statement of :26 may lag and be of :18, and a
        position that agrees with it may lack a fill of :20. One of :31 is of :21 at the earliest.
        """
        until_ms = max((lost.until_ms for lost in self.unlisted), default=None)
        if until_ms is None:
            return False
        return self.statement is None or self.statement.time_ms < until_ms + LAG_MS

    def forget_feeds(self, gone: Set[str]) -> None:
        """Forget these feeds: their states no longer count."""
        self.is_unjudged = True
        self._set_feeds({name: state for name, state in self.feeds.items() if name not in gone})

    def _set_feeds(self, feeds: dict[str, FeedState]) -> None:
        self.feeds, self.is_live = feeds, any(feed.live for feed in feeds.values())

    @property
    def whole_until_ms(self) -> int | None:
        """The time since which fills may have been missed because no feed is live, which is that of the last
        round where the account is polled; None while one is live, or if sizes do not rest on fills."""
        if self.is_live or not self.continuity.rests_on_fills:
            return None
        return max(self.whole_ms, self.unsure.get("", self.base_ms))

    @property
    def gaps(self) -> dict[str, int]:
        """The keys whose fills wait behind a missing one, and since when one is missing."""
        gaps = ((key, holding.ledger.gap) for key, holding in self.doubtful.items())
        return {key: gap.since_ms for key, gap in gaps if gap is not None}

    @property
    def missing(self) -> dict[str, int]:
        """As `gaps`, with the keys for which an unfinished fetch has brought fills."""
        missing = ((key, holding.missing_ms) for key, holding in self.doubtful.items())
        return {key: since_ms for key, since_ms in missing if since_ms is not None}

    @property
    def partial(self) -> dict[str, int]:
        """The keys for which an unfinished fetch has brought fills, and since when."""
        partial = ((key, holding.fetched_since_ms) for key, holding in self.doubtful.items())
        return {key: since_ms for key, since_ms in partial if since_ms is not None}

    @property
    def newest_ms(self) -> int | None:
        """The newest time of which its fills say that they are known; None before the start."""
        if not self.stated:
            return None
        return self.base_ms if self.known_ms is None else self.known_ms

    @property
    def missing_since_ms(self) -> list[int]:
        """The times from which fills may be missing, or wait for the first statement."""
        waiting = [self.waiting_ms] if self.waiting_ms is not None and not self.stated else []
        return [*self.unsure.values(), *self.missing.values(), *waiting]

    @property
    def wanted_ms(self) -> int | None:
        """The time from which fills are wanted that may end the doubt; None if none are."""
        wanted = (holding.wanted_ms for holding in self.doubtful.values())
        return min((since_ms for since_ms in wanted if since_ms is not None), default=None)

    @property
    def is_partly_unread(self) -> bool:
        """Whether one of its positions is entirely unknown, because its row could not be read."""
        holdings = self.doubtful.values()
        return any(holding.unread is not None and not holding.ledger.has_base for holding in holdings)

    @property
    def doubtful_keys(self) -> list[str]:
        """The keys whose views are `in_doubt`."""
        return [key for key, holding in self.doubtful.items() if _is_shown(holding)]

    # ---------------------------------------------------------------- judging

    def set_freshness(self, freshness: Freshness) -> None:
        """Note how old the feeds are. The scope is judged again only if that may change a verdict."""
        if self.freshness.decisive != freshness.decisive:
            self.is_unjudged = True
        self.freshness = freshness

    def judge(self) -> list[VerdictChanged]:
        """Judge the scope and its changed holdings, or all of them if the evidence that they share has
        changed; the verdicts that differ from before."""
        shared = self._evidence()
        doubt = None
        if self.doubtful:
            key = min(self.doubtful)
            doubt = f"{key}: {next(one for one in self.doubtful[key].doubts() if one)}"
        fresh = self.freshness
        self.verdict, self.reason = judge(replace(shared, doubt=doubt), fresh)
        basis = shared, fresh.decisive
        holdings = self._changed if basis == self._judged_on else self.holdings
        # What waits for the first statement is no position yet.
        judged = [holding.judge(shared, fresh) for holding in holdings.values() if holding.ledger.has_base]
        self._judged_on, self._changed, self.is_unjudged = basis, {}, False
        return [change for change in judged if change is not None]

    def _evidence(self) -> Evidence:
        """The evidence that all its holdings share."""
        if not self.continuity.rests_on_fills:
            # A statement from before a restart confirms nothing.
            is_told = self.statement is not None
            return Evidence(stated=self.stated, confirmed=is_told, rests_on_fills=False, open=False)
        down = None
        if not self.is_live and not self.is_polled:
            reasons = [feed.reason for feed in self.feeds.values() if feed.reason]
            down = (
                f"the feed of fills is down: {reasons[-1]}" if reasons else "the feed of fills is not up yet"
            )
        return Evidence(
            stated=self.stated,
            confirmed=self.is_confirmed,
            feed_down=down,
            unlisted=self._may_lack_fills,
            open=False,
        )

    def _note_change(self, key: str, holding: Holding) -> None:
        """A report has changed this holding: mark it to be judged, and keep the totals over all true."""
        self._changed[key] = holding
        self.is_unjudged = True
        if holding.is_doubtful:
            self.doubtful[key] = holding
        else:
            self.doubtful.pop(key, None)
        known_ms = holding.ledger.known_ms
        if self.known_ms is None or known_ms >= self.known_ms:
            self.known_ms, self._latest_known = known_ms, holding
        elif holding is self._latest_known:
            # After a drift its known time may be earlier than before, and than that of others.
            self._latest_known = max(self.holdings.values(), key=lambda one: one.ledger.known_ms)
            self.known_ms = self._latest_known.ledger.known_ms

    # ------------------------------------------------------------------ shown

    @property
    def quote(self) -> str | None:
        """The token in which its figures are; None while the venue has not said."""
        return self.quotes.get(self.name)

    @property
    def as_of_ms(self) -> int | None:
        """The time of its newest statement, or of its last round if that is earlier; None before both."""
        if self.statement is None:
            return None
        whole_ms = self.whole_until_ms if self.is_polled else None
        return self.statement.time_ms if whole_ms is None else min(self.statement.time_ms, whole_ms)

    def view(self, key: str) -> View:
        """One position; KeyError when there is none."""
        return self._view(self.holdings[key], self.quote, self.whole_until_ms)

    def views(self) -> list[View]:
        """All positions, flat ones too, in no order."""
        quote, whole_ms = self.quote, self.whole_until_ms
        return [self._view(holding, quote, whole_ms) for holding in filter(_is_shown, self.holdings.values())]

    def _view(self, holding: Holding, quote: str | None, whole_ms: int | None) -> View:
        stated, table = holding.stated, self.margin_tables.get(holding.ledger.key)
        available = None
        if table is not None and stated is not None and stated.margin_mode is MarginMode.CROSS:
            available = self._cross_available
        return holding.view(self.continuity.proof, quote, whole_ms, table, available)

    @property
    def _cross_available(self) -> Decimal | None:
        """What its cross positions have above their maintenance margin at present marks, None if that is not
        known. Worked out once for all of them when one is viewed, as often as marks move."""
        said, version = self.statement, self.prices.version
        if said is None or not self.is_plain or self.has_cash_moved:
            return None
        found = self._available
        if found is None or found[0] is not said or found[1] != version:
            available = available_at_marks(said, self.holdings, self.margin_tables)
            found = self._available = said, version, available
        return found[2]

    def as_whole(self) -> ScopeView:
        """The scope itself."""
        said = self.statement
        return ScopeView(
            account=self.account,
            name=self.name,
            proof=self.continuity.proof,
            verdict=self.verdict or Verdict.UNPROVEN,
            reason=self.reason if self.verdict else "not judged yet",
            equity=said.equity if said else None,
            margin_used=said.margin_used if said else None,
            withdrawable=said.withdrawable if said else None,
            as_of_ms=self.as_of_ms,
            market=InstrumentType.BASE_TOKEN if self.name == SPOT else InstrumentType.PERP,
            quote=self.quote,
        )

    # --------------------------------------------------------------- recovery

    def memories(self) -> list[Memory]:
        """Everything that is needed to restore the scope."""
        found = []
        for key, holding in self.holdings.items():
            ledger = holding.ledger
            if ledger.has_base:
                known_ms = ledger.remembered_ms
                seen = ledger.identities_since(known_ms)
                is_first = ledger.is_as_first_stated
                memory = Memory(self.account, key, ledger.position, known_ms, ledger.payments, seen, is_first)
                found.append(memory)
        return found

    def recall(self, memories: Iterable[Memory], base_ms: int | None) -> None:
        """Restore the scope, watched and stated since `base_ms` (None: not stated yet). `set_unsure_after` is
        called when all scopes of the account are restored."""
        if base_ms is not None:
            self.stated, self.base_ms, self.is_unjudged = True, base_ms, True
        for memory in memories:
            holding = self._holding(memory.key)
            holding.ledger.start(memory.position, memory.known_ms, memory.seen, is_first=memory.is_first)
            holding.ledger.payments = memory.payments
            holding.last_fill_ms = max((identity[0] for identity in memory.seen), default=None)
            self._note_change(memory.key, holding)

    def set_unsure_after(self, known_ms: int | None) -> None:
        """After a restart: until a feed is live, no fills after `known_ms` are known to be whole."""
        if known_ms is not None:
            self.unsure[""] = known_ms

    def _holding(self, key: str) -> Holding:
        holding = self.holdings.get(key)
        if holding is None:
            holding = Holding(Ledger(self.account, key))
            self.prices.show_on(holding)
            if self.stated and not (self.statement and key in self.statement.unread):
                # The venue stated the scope without this coin: it was flat then.
                holding.ledger.start(Position(), self.base_ms)
                holding.agreed_ms = self.statement.time_ms if self.statement else None
                holding.told_ms = holding.agreed_ms or 0
            self.holdings[key] = holding
            self._note_change(key, holding)
        return holding


def keep(kept: list[Kept], one: Kept) -> bool:
    """Add `one` unless it is there, and keep the newest KEPT_EVENTS; whether it was new."""
    if one in kept:
        return False
    kept.append(one)
    del kept[:-KEPT_EVENTS]
    return True


def _is_shown(holding: Holding) -> bool:
    """Whether the holding is shown as a position: not if its row has never been readable."""
    return holding.ledger.has_base or holding.unread is None

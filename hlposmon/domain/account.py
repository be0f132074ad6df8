"""An account as a whole: its scopes, notices, account mode, role, and events.

Owned by the Book. Positions and statements belong to the scopes. The first dex has a scope from the start;
another dex has one from the first statement or fill on that shows something there. What is known of all
dexes without a scope is one fact: that they held nothing at a time (`flat_since_ms`), and at a later one
(`nothing_else`). So an account costs the same whether the exchange has eight dexes or two hundred.

Example: at 10 every dex is stated and holds nothing but the first. A fill at 90 on the dex `xyz` opens its
scope. As nothing was held there at 10 and the feed has been live since, the chain begins at zero: a first
fill that says that it starts at 3 shows that one is missing. Without the fact of 10, the 3 would have been
taken for a position from before the watch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hlposmon.domain.account_margin import Dex, Margin, plain_margin, unified_margin
from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.cash import CashLedger, LedgerMemory, Point, Terms
from hlposmon.domain.changes import Change
from hlposmon.domain.continuity import law_of
from hlposmon.domain.instrument import SPOT, USD, Instrument, InstrumentType, market_of
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.prices import Prices
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    OTHER_SCOPES,
    AccountEvent,
    AccountMode,
    AccountRole,
    MarginPool,
    Notice,
    NoticeCode,
    Place,
    PlaceRead,
    Statement,
)
from hlposmon.domain.scope import Scope, keep
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, Memory, ScopeView

# The places that must have been checked before an account counts as fully covered.
LOOKS = frozenset({Place.DEXES, Place.SPOT})
ONE = Decimal(1)
# Statements of two dexes that are further apart may count money twice that was moved between them.
APART_S = 15.0
CENT = Decimal("0.01")
# An event may be the cause of a drift of the first statement that was lagging.
BEFORE_WATCH_MS = 60_000
# Roles of an address that has no account of its own; the venue answers for it as for an empty account.
NO_ACCOUNT = ("missing", "agent")


@dataclass(slots=True)
class Account:
    """One account. Its scopes are in the order in which they were opened."""

    name: str
    prices: Prices
    quotes: Mapping[str, str]  # by market, the token in which its figures are
    margin_tables: Mapping[str, MarginTable]  # by key
    scopes: dict[str, Scope] = field(default_factory=dict)
    # Since when and when last the dexes without a scope are known to hold nothing; None while it is unknown.
    flat_since_ms: int | None = None
    nothing_else: Statement | None = None
    # Whether that may be remembered over a restart, see `persist_flat`.
    is_flat_persisted: bool = False
    notices: dict[tuple[str, NoticeCode], Notice] = field(default_factory=dict)
    # The places that were looked at, and what of them could not be read.
    elsewhere: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    mode: AccountMode | None = None
    role: AccountRole | None = None
    is_mode_in_doubt: bool = False
    events: list[AccountEvent] = field(default_factory=list)
    cash: CashLedger = field(init=False)
    # Seconds between two rounds where it is polled; None where a stream has its fills.
    round_s: float | None = None

    def __post_init__(self) -> None:
        self.cash = CashLedger(self.name)
        self.scope(FIRST_SCOPE)

    def scope(self, name: str) -> Scope:
        """The scope of this name, opened if there is none yet."""
        found = self.scopes.get(name)
        if found is None:
            found = self.scopes[name] = Scope(
                self.name, name, self.prices, law_of(name), self.quotes, self.margin_tables
            )
            found.is_plain = self._is_plain
            if name != FIRST_SCOPE:
                found.copy_feeds_of(self.scopes[FIRST_SCOPE])
                if self.flat_since_ms is not None and name != SPOT:
                    found.start_flat(self.flat_since_ms, self.nothing_else)
                    self.cash.pocket(name, self.flat_since_ms)
        return found

    @property
    def is_wholly_stated(self) -> bool:
        """Whether the venue has stated every scope, so that sums over its positions are known."""
        return all(scope.stated for scope in self.scopes.values())

    def is_stated(self, scope: str) -> bool:
        """Whether the venue has stated this scope, even if only by a statement that names everything else."""
        found = self.scopes.get(scope)
        return self.flat_since_ms is not None if found is None else found.stated

    def note_nothing_else(self, flat: Statement) -> None:
        """Note that on every dex without a scope it held nothing at the time of this empty statement."""
        before = self.nothing_else
        if before is None or flat.asked_s >= before.asked_s:
            self.nothing_else = flat
        if self.flat_since_ms is None:
            self.flat_since_ms = flat.time_ms
        for scope in self._dexes:
            # It covers scopes that hold nothing, too: one of a dex that exists no more is stated no more.
            if scope.name != FIRST_SCOPE:
                scope.note_flat(flat)

    def persist_flat(self) -> bool:
        """Remember over a restart, from now on, that the dexes without a scope held nothing, if all scopes
        are stated; whether that is new. Before, a restart would forget that one of the scopes is no such dex,
        and take it for one that held nothing."""
        if self.is_flat_persisted or self.flat_since_ms is None:
            return False
        self.is_flat_persisted = all(scope.stated for scope in self._dexes)
        return self.is_flat_persisted

    @property
    def high_water_ms(self) -> int | None:
        """Up to when the fills of all its scopes are known to be whole; None before the start.

        One stream has them all: a fill on one dex shows that the stream has told those of all others before.
        The first statement of another dex shows nothing of the kind.
        """
        newest_ms = self.scopes[FIRST_SCOPE].newest_ms
        if newest_ms is None:
            return None
        scopes = [scope for scope in self.scopes.values() if scope.continuity.rests_on_fills]
        known = (scope.known_ms for scope in scopes if scope.stated)
        known_ms = max([newest_ms, *(at_ms for at_ms in known if at_ms is not None)])
        return min([known_ms, *(at_ms for scope in scopes for at_ms in scope.missing_since_ms)])

    def poll(self, round_s: float | None) -> None:
        """Poll it every so many seconds from now on; None: a stream has its fills."""
        known_ms, self.round_s = self.high_water_ms, round_s
        for scope in self.scopes.values():
            scope.poll(known_ms, is_polled=round_s is not None)

    def note_round(self, statement: Statement, whole_ms: int, asked_s: float) -> bool:
        """Note the statement that ends a round, whose fills were asked for at `asked_s` and are known up to
        `whole_ms`; whether the round is complete: its fills reach back to where they were known before.

        Example: fills are known up to :10, and a round has all since :00. With a statement of :40, and the
        fills asked for a second before it came, they are known up to :39. A round since :20 would say nothing
        of those from :10 to :20.
        """
        scope, known_ms = self.scopes.get(statement.scope), self.high_water_ms
        if self.round_s is None or scope is None or not scope.continuity.rests_on_fills:
            return False
        from_ms = statement.fills_from_ms
        if not scope.stated or known_ms is None or from_ms is None or from_ms > known_ms:
            return False
        scope.note_round(whole_ms, asked_s)
        return True

    @property
    def as_of_ms(self) -> int | None:
        """The time of the oldest of its scopes' last statements, or rounds where it is polled; None while one
        has none."""
        times = [scope.as_of_ms for scope in self.scopes.values()]
        known = [at_ms for at_ms in times if at_ms is not None]
        return min(known) if len(known) == len(times) else None

    @property
    def statements(self) -> list[Statement]:
        """The newest statement of each scope that has one."""
        return [scope.statement for scope in self.scopes.values() if scope.statement is not None]

    def base_ms(self) -> dict[str, int]:
        """Since when each stated scope is watched, by name; OTHER_SCOPES stands for the dexes without one."""
        found = {name: scope.base_ms for name, scope in self.scopes.items() if scope.stated}
        if self.is_flat_persisted and self.flat_since_ms is not None:
            found[OTHER_SCOPES] = self.flat_since_ms
        return found

    def recall(
        self, memories: Iterable[Memory], base_ms: Mapping[str, int], unsure: Mapping[str, int]
    ) -> None:
        """Restore its scopes: `base_ms` as the method returns it, and since when keys ("" for all) may lack
        fills."""
        by_scope: dict[str, list[Memory]] = {name: [] for name in base_ms if name != OTHER_SCOPES}
        for memory in memories:
            by_scope.setdefault(market_of(memory.key), []).append(memory)
        for key in unsure.keys() - {""}:  # its first fill may be the one that is missing
            by_scope.setdefault(market_of(key), [])
        flat_ms = base_ms.get(OTHER_SCOPES)
        for name in dict.fromkeys((FIRST_SCOPE, *by_scope)):
            scope = self.scope(name)
            scope.unsure.update(
                {key: at_ms for key, at_ms in unsure.items() if not key or market_of(key) == name}
            )
            scope.recall(by_scope.get(name, ()), base_ms.get(name, flat_ms if name else None))
        self.flat_since_ms, self.is_flat_persisted = flat_ms, flat_ms is not None
        known_ms = self.high_water_ms
        for scope in self.scopes.values():
            scope.set_unsure_after(known_ms)

    def note_equity(self, before: Statement | None, after: Statement | None) -> None:
        """Note a scope's new newest statement: the mode is in doubt if equity fell to zero."""
        if before and after and before.equity and not after.equity and self._is_plain:
            # It may be withdrawn, or kept elsewhere from now on: the mode can change at any time.
            self.is_mode_in_doubt = True

    def take_notice(self, notice: Notice) -> bool:
        """Replace the notice of the same source and code, or remove it if this one has no text; whether that
        changed anything."""
        name = notice.source, notice.code
        before = self.notices.pop(name, None)
        if notice.text:
            self.notices[name] = notice
        return before != self.notices.get(name)

    def take_place_read(self, report: PlaceRead) -> bool:
        """Note that a place was read, and what of it could not be; whether its notices change."""
        before = self._left_out()
        self.elsewhere[report.place] = report.unread
        return before != self._left_out()

    def take_mode(self, mode: AccountMode) -> None:
        """The venue has answered how the balances are kept."""
        self.mode, self.is_mode_in_doubt = mode, False
        for scope in self.scopes.values():
            scope.is_plain = mode.plain
        if not mode.plain:
            self.cash.forget()

    def record_event(self, event: AccountEvent) -> bool:
        """Keep an event as a possible cause of a later drift; whether it was new. One from before the watch
        is the cause of nothing."""
        first = self.scopes[FIRST_SCOPE]
        if first.stated and event.time_ms < first.base_ms - BEFORE_WATCH_MS:
            return False
        return keep(self.events, event)

    # ------------------------------------------------------------------- cash

    def note_booked(self, change: Change, scope: str) -> None:
        """Note what a change of a position in this scope booked."""
        self.cash.note(change, scope)

    def take_transfer(self, event: AccountEvent) -> bool:
        """Book what an event moved, once; whether it was new."""
        for move in event.moves:
            if move.scope not in self.scopes and move.scope != SPOT:
                self.cash.pocket(move.scope, self.flat_since_ms)
        return self.cash.take(event)

    def compare_cash(self, statement: Statement) -> Point | None:
        """Compare the cash of a dex with a statement; the point to journal, if there is one.

        Nothing is compared where the statement is not the newest of its scope or some row could not be read,
        where fills may be missing, and where equity is kept elsewhere (account mode).
        """
        name = statement.scope
        scope = self.scopes.get(name)
        if name == FIRST_SCOPE:
            self.cash.begin(statement.time_ms)
        if scope is None or name == SPOT or scope.statement is not statement or statement.unread:
            return None
        if statement.time_ms < self.cash.from_ms:
            return None
        if scope.verdict is not Verdict.PROVEN or not self._is_plain or self.is_mode_in_doubt:
            return None
        may_open = _has_our_costs(scope, statement)
        return self.cash.pocket(name).compare(statement, _booked(scope), may_open=may_open)

    def recall_cash(self, memory: LedgerMemory) -> None:
        """Restore the cash; call it after `recall`."""
        holdings = (holding for scope in self.scopes.values() for holding in scope.holdings.values())
        newest = (scope.newest_ms for scope in self.scopes.values())
        known_ms = max((at_ms for at_ms in newest if at_ms is not None), default=None)
        self.cash.recall(memory, {one.ledger.key: one.ledger.position for one in holdings}, known_ms)

    @property
    def _unexplained(self) -> tuple[Decimal | None, str | None]:
        """What of the dexes' cash nothing that was reported explains, in USD; or why that is not known."""
        reason = self._margin_reason
        if reason is not None:
            return None, reason
        amounts = []
        for scope in self._dexes:
            pocket = self.cash.pockets.get(scope.name)
            if pocket is None or pocket.opening is None:
                of = f"the dex {scope.name}" if scope.name else "the first dex"
                return None, f"what moved the cash of {of} has not been compared with two statements yet"
            amounts.append((pocket.unexplained, self._rate_of(scope) or ZERO))
        return _sum(amounts), None

    def _left_out(self) -> list[str]:
        """The texts of notices about what could not be read of what it holds."""
        return [
            f"what it holds on the dex {dex} is not known: its state could not be read"
            for dex in self.elsewhere.get(Place.DEXES, ())
        ]

    @property
    def _is_plain(self) -> bool:
        return self.mode is not None and self.mode.plain

    @property
    def _margin_reason(self) -> str | None:
        """Why the figures of its dexes' statements are not those of the account; None if they are."""
        if self.mode is None or self._is_plain or self._account_reason is not None:
            return self._account_reason or self._dexes_reason
        return self.mode.reason

    @property
    def _account_reason(self) -> str | None:
        """Why nothing is known of its money; None if that hangs on its mode."""
        if not self.statements:
            return "no statement from the venue yet"
        if self.role is not None and self.role.role in NO_ACCOUNT:
            return "the venue has no account at this address"
        if self.mode is None:
            return "it is not known yet how its balances are kept (account mode)"
        if self.is_mode_in_doubt:
            return "its equity fell to zero: it is asked again how its balances are kept (account mode)"
        return None

    @property
    def _dexes_reason(self) -> str | None:
        """Why the figures of its dexes cannot be added up; None if they can."""
        asked_s = [scope.statement.asked_s for scope in self._dexes if scope.statement is not None]
        if max(asked_s, default=0.0) - min(asked_s, default=0.0) > APART_S:
            return "its dexes were stated at different times, and money may have moved between them"
        for scope in self._dexes:
            if scope.statement is None or scope.statement.equity is None:
                return f"no statement of the dex {scope.name} yet"
            if scope.quote is None:
                return f"it is not known yet in which token the figures of the dex {scope.name} are"
            if (scope.statement.equity or scope.statement.positions) and self._rate_of(scope) is None:
                return f"the figures of the dex {scope.name} are in {scope.quote}, whose price is not known"
        return None

    def _rate_of(self, scope: Scope) -> Decimal | None:
        """What one token of a dex's collateral is worth in USD; None if that is not known."""
        if scope.quote == USD:
            return ONE
        venue = "" if scope.statement is None else scope.statement.venue
        return self.prices.mark_of(f"{venue}:{InstrumentType.BASE_TOKEN}:{scope.quote}")

    @property
    def _margin(self) -> Margin:
        """What its positions must keep, by the rules of its mode (see account_margin)."""
        mode, reason = self.mode, self._margin_reason
        if reason is None:
            return plain_margin(self._stated_dexes, self.margin_tables)
        if mode is None or mode.pool is None or self._account_reason is not None:
            return Margin(None, None, reason)
        spot, reason = self.scopes.get(SPOT), self._pool_reason(mode.pool)
        if reason is not None:
            return Margin(None, None, reason)
        if mode.pool is MarginPool.ACCOUNT:
            ratio = None if spot is None or spot.statement is None else spot.statement.margin_ratio
            what = "no margin ratio" if ratio is None else "its margin ratio alone"
            return Margin(None, ratio, f"account mode {mode.mode}: the exchange states {what}")
        held = () if spot is None else spot.holdings.values()
        totals = {Instrument.of(one.ledger.key).name: one.ledger.position.size for one in held}
        return unified_margin(self._stated_dexes, totals, self.margin_tables)

    def _pool_reason(self, pool: MarginPool) -> str | None:
        """Why it is not known what backs the positions of an account that is not plain; None if it is."""
        spot = self.scopes.get(SPOT)
        if self._balances_reason is not None:
            return self._balances_reason
        if spot is not None and spot.verdict is not Verdict.PROVEN:
            return f"its balances on spot are not proven: {spot.reason}"
        if pool is MarginPool.ACCOUNT:
            return None
        if Place.DEXES not in self.elsewhere:
            return "it is not known yet what it holds on other dexes"
        return next(iter(self._left_out()), self._dexes_reason)

    @property
    def _stated_dexes(self) -> list[Dex]:
        """Its dexes that have a statement. Those without a token or rate hold nothing, if `_dexes_reason` is
        None."""
        return [
            Dex(scope.statement, scope.quote or USD, self._rate_of(scope) or ZERO)
            for scope in self._dexes
            if scope.statement is not None
        ]

    @property
    def _balances_reason(self) -> str | None:
        """Why it is not known what tokens it holds; None if it is."""
        if SPOT not in self.scopes:
            unknown = self.elsewhere.get(Place.SPOT)
            if unknown is None:
                return "it is not known yet what it holds on spot"
            return f"the exchange does not tell {', '.join(unknown)}" if unknown else None
        spot = self.scopes[SPOT]
        if spot.statement is None:
            return "no statement of spot yet"
        if spot.statement.unread:
            return f"the balance of {min(spot.statement.unread)} could not be read"
        return None

    @property
    def _spot_reason(self) -> str | None:
        """Why it is not known what its tokens are worth; None if it is."""
        reason = self._balances_reason
        if reason is not None or SPOT not in self.scopes:
            return reason
        spot = self.scopes[SPOT]
        unpriced = [
            one.ledger.key for one in spot.holdings.values() if one.ledger.position.size and one.mark is None
        ]
        return f"the price of {min(unpriced)} is not known" if unpriced else None

    @property
    def _spot_value(self) -> Decimal:
        """What its tokens are worth at their marks; None counts for nothing, see `_spot_reason`."""
        if SPOT not in self.scopes:
            return ZERO
        with exactly():
            held = self.scopes[SPOT].holdings.values()
            return sum((one.ledger.position.size * (one.mark or ZERO) for one in held), ZERO)

    @property
    def _dexes(self) -> list[Scope]:
        return [scope for name, scope in self.scopes.items() if name != SPOT]

    def scope_views(self) -> list[ScopeView]:
        """Its scopes, in the order in which they were opened; the equity of spot is what its tokens are
        worth."""
        views = [scope.as_whole() for scope in self.scopes.values()]
        worth = self._spot_value if self._spot_reason is None else None
        return [replace(view, equity=worth) if view.name == SPOT else view for view in views]

    @property
    def _unsettled(self) -> str | None:
        """What must still be learned before the account counts as fully covered; None if nothing."""
        if not self.elsewhere.keys() >= LOOKS:
            missing = ", ".join(sorted(LOOKS - self.elsewhere.keys()))
            return f"not looked yet at what else it holds ({missing})"
        known = self.role is not None and self.role.role
        if not known and self.statements and not any(one.positions or one.equity for one in self.statements):
            return "it holds nothing, and it is not known yet whether the venue knows its address"
        return None

    @property
    def _verdict(self) -> tuple[Verdict, str | None]:
        """The verdict and reason of the first scope that is not proven."""
        for scope in self.scopes.values():
            if scope.verdict is None:
                return Verdict.UNPROVEN, "not judged yet"
            if scope.verdict is not Verdict.PROVEN:
                return scope.verdict, f"{scope.name}: {scope.reason}" if scope.name else scope.reason
        return Verdict.PROVEN, None

    def view(self, name: str) -> AccountView:
        """The account as it may be shown under that name: the verdict, and equity where it is known. An
        amount that is not known is None, with the reason in `equity_reason`."""
        reason = self._margin_reason
        # Why it is not known what it is worth: margins do not depend on its tokens.
        equity_reason = self._spot_reason if reason is None else reason
        # Those without a rate hold nothing, where the reason is None.
        summed = [
            (scope.statement, self._rate_of(scope) or ZERO)
            for scope in self._dexes
            if scope.statement and reason is None
        ]
        unexplained, unexplained_reason = self._unexplained
        left_out = (Notice(name, NoticeCode.NOT_WATCHED, text) for text in self._left_out())
        verdict, why = self._verdict
        margin = self._margin
        return AccountView(
            account=name,
            verdict=verdict,
            reason=why,
            equity=_sum([*((one.equity, rate) for one, rate in summed), (self._spot_value, ONE)])
            if equity_reason is None
            else None,
            margin_used=_sum((one.margin_used, rate) for one, rate in summed),
            withdrawable=_sum((one.withdrawable, rate) for one, rate in summed),
            notices=(*self.notices.values(), *left_out),
            equity_reason=equity_reason,
            unexplained=unexplained,
            unexplained_reason=unexplained_reason,
            mode=self.mode.mode if self.mode else None,
            role=self.role.role if self.role else None,
            owner=self.role.owner if self.role else None,
            unsettled=self._unsettled,
            stated=self.is_wholly_stated,
            as_of_ms=self.as_of_ms,
            round_s=self.round_s,
            maintenance_margin=margin.maintenance,
            margin_ratio=margin.ratio,
            margin_reason=margin.reason,
        )


def _has_our_costs(scope: Scope, statement: Statement) -> bool:
    """Whether what positions cost is in the book as the statement has it, where their sizes are the same. If
    not, a round trip is missing that has left the size as it was."""
    with exactly():
        for one in statement.positions:
            holding = scope.holdings.get(one.key)
            if holding is None or holding.ledger.position.size != one.size or one.entry_price is None:
                continue
            off = abs(one.size * one.entry_price - holding.ledger.position.cost)
            if off > max(CENT, abs(one.size) * one.tolerance):
                return False
    return True


def _booked(scope: Scope) -> Terms:
    """What was earned and paid with the positions of a scope, since they are watched."""
    with exactly():
        held = [holding.ledger.position for holding in scope.holdings.values()]
        return Terms(
            sum((one.realized for one in held), ZERO),
            sum((one.fees for one in held), ZERO),
            sum((one.funding for one in held), ZERO),
        )


def _sum(amounts: Iterable[tuple[Decimal | None, Decimal]]) -> Decimal | None:
    """The sum of amounts times their rates; None of none, or where an amount is not known."""
    found = list(amounts)
    if not found or any(amount is None for amount, _ in found):
        return None
    with exactly():
        return sum((amount * rate for amount, rate in found if amount is not None), ZERO)

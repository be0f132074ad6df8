"""Frozen views of what the book shows, never without a verdict, and of what it must remember."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hlposmon.domain.amounts import CONTEXT, ZERO, exactly
from hlposmon.domain.instrument import USD, InstrumentType
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.payments import Payments
from hlposmon.domain.position import Position
from hlposmon.domain.reports import SEVERE, Identity, MarginMode, Notice
from hlposmon.domain.verdict import Proof, Verdict

# Fills remembered over a restart: those within WINDOW_MS before the last fill, at most WINDOW_FILLS to bound
# the memory. In this window a fetch can tell a round trip that no feed delivered from fills already counted.
WINDOW_MS = 60_000
WINDOW_FILLS = 200


@dataclass(frozen=True, slots=True)
class Figures:
    """What follows from a position and a mark: exact, in the quote token."""

    unrealized: Decimal | None
    notional: Decimal | None
    total: Decimal | None


_UNKNOWN = Figures(None, None, None)


def figures_of(position: Position, mark: Decimal | None) -> Figures:
    """`total = realised + unrealised - fees + funding`; None where there is no mark for an open one."""
    if position.size and mark is None:
        return _UNKNOWN
    add = CONTEXT.add
    booked = add(CONTEXT.subtract(position.realized, position.fees), position.funding)
    if not position.size or mark is None:
        return Figures(ZERO, ZERO, booked)
    value = CONTEXT.multiply(position.size, mark)
    unrealized = CONTEXT.subtract(value, position.cost)
    return Figures(unrealized, abs(value) if value.is_signed() else value, add(booked, unrealized))


@dataclass(frozen=True, slots=True)
class View:
    """One position as it may be shown: never without its verdict.

    `in_doubt`: a fill is missing, or the venue states another size; then it is shown even if it is flat.
    `as_of_ms`: the venue's time up to which the position is known, never later; None while nothing is known.
    `block`: the block of the statement that it rests on; None for a venue without blocks. `quote`: the token
    that all its figures but the size are in; None while the venue has not said. `hold`: what of a token is
    reserved, by the newest statement. `margin_mode` and `max_leverage` are those of the newest statement too.
    `margin_table` has the tiers that `max_leverage` is of; None while they are not known.
    """

    account: str
    key: str
    position: Position
    mark: Decimal | None
    verdict: Verdict
    reason: str | None
    leverage: Decimal | None
    margin_used: Decimal | None
    liquidation_price: Decimal | None
    last_fill_ms: int | None
    in_doubt: bool = False
    proof: Proof = Proof.FILLS
    as_of_ms: int | None = None
    block: int | None = None
    quote: str | None = USD
    hold: Decimal | None = None
    margin_mode: MarginMode | None = None
    max_leverage: Decimal | None = None
    margin_table: MarginTable | None = None
    _figures: Figures | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def is_booked(self) -> bool:
        """Whether what was earned and paid is known: not where the venue's word is all there is."""
        return self.proof is not Proof.STATEMENT

    @property
    def maintenance_margin(self) -> Decimal | None:
        """The margin that it must keep at this size and mark, in its quote token; None where it is flat, or
        its mark or its tiers are not known. Worked out when asked for: most views are never asked."""
        if self.margin_table is None or not self.position.size:
            return None
        notional = self.figures.notional
        return None if notional is None else self.margin_table.maintenance(notional)

    @property
    def liquidation_distance(self) -> Decimal | None:
        """How far the mark may move against it until it is liquidated, as a fraction of the mark; negative
        where the mark is beyond that price. None where either is not known, or no price liquidates it."""
        mark, price, size = self.mark, self.liquidation_price, self.position.size
        if not mark or price is None or not size:
            return None
        with exactly():
            return (mark - price if size > 0 else price - mark) / mark

    @property
    def figures(self) -> Figures:
        """What follows from position and mark; worked out once."""
        found = self._figures
        if found is None:
            found = figures_of(self.position, self.mark)
            if not self.is_booked:
                found = replace(found, total=None)
            object.__setattr__(self, "_figures", found)  # a memory of what the fields say already
        return found


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as it may be shown.

    `equity`, `margin_used` and `withdrawable` are None while they are not known, and `equity_reason` says
    why. `unexplained` is what of the dexes' cash nothing that was reported explains, in USD; None where
    that is not known, and `unexplained_reason` says why. `notices` are those in force, what of it could not
    be read among them. `unsettled` says what has to be known before the account counts as ready; None when
    nothing is missing. `stated`: the venue has stated it, so that sums over its positions are known.
    `as_of_ms` is the time of its last statement, or of its last round where it is polled, which is every
    `round_s` seconds (None: a stream has its fills).
    `maintenance_margin` is what its positions must keep, `margin_ratio` the highest share that this is of the
    equity behind them (see account_margin); `margin_reason` says why one of these is None.
    """

    account: str
    verdict: Verdict
    reason: str | None
    equity: Decimal | None
    margin_used: Decimal | None
    withdrawable: Decimal | None
    notices: tuple[Notice, ...]
    equity_reason: str | None = None
    unexplained: Decimal | None = None
    unexplained_reason: str | None = None
    mode: str | None = None
    role: str | None = None
    owner: str | None = None
    unsettled: str | None = None
    stated: bool = False
    as_of_ms: int | None = None
    maintenance_margin: Decimal | None = None
    margin_ratio: Decimal | None = None
    margin_reason: str | None = None
    round_s: float | None = None

    @property
    def severe(self) -> tuple[Notice, ...]:
        """The notices that mean that the account is not watched as its owner intends."""
        return tuple(notice for notice in self.notices if notice.code in SEVERE)


@dataclass(frozen=True, slots=True)
class ScopeView:
    """What one statement covers, as it may be shown. Its figures are in its quote token; None: not known.
    `market` is what kind of things it holds, and `quote` is None while the venue has not said."""

    account: str
    name: str
    proof: Proof
    verdict: Verdict
    reason: str | None
    equity: Decimal | None
    margin_used: Decimal | None
    withdrawable: Decimal | None
    as_of_ms: int | None
    market: InstrumentType = InstrumentType.PERP
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What must be kept to take a holding up again: `seen` are all fills since `known_ms` that the
    position holds; what is older is history. `is_first`: it is what the first statement said, no more."""

    account: str
    key: str
    position: Position
    known_ms: int
    payments: Payments
    seen: tuple[Identity, ...]
    is_first: bool = False


def window_ms(taken_ms: Iterable[int], from_ms: int) -> int:
    """From when on fills are remembered over a restart, if those at `taken_ms` were taken and none is to be
    remembered from before `from_ms`. Whole milliseconds: the last one, however many fills it has."""
    times = sorted(at for at in taken_ms if at >= from_ms)
    if not times:
        return from_ms
    begins_ms = max(from_ms, times[-1] - WINDOW_MS)
    if len(times) > WINDOW_FILLS:
        begins_ms = max(begins_ms, times[-WINDOW_FILLS - 1] + 1)
    return min(begins_ms, times[-1])

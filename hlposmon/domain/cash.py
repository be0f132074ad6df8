"""Proves the cash of an account's dexes: what a statement says must follow from what was booked.

The settled cash of a dex is its equity without the unrealised P&L of its open positions, by one statement:

    cash = equity - sum(size * (mark - entry))

It does not move with prices. It moves with what is realised, fees, funding and transfers, and with nothing
else. So the difference between it and the sum of all that was booked is constant; it is the `opening`, found
when the watch begins. Where a later statement gives another difference, the rest is `unexplained`: money came
or went that nothing reported.

A statement and a booking have no common number, as with sizes: a statement may be some seconds old, and a
fill may be told before it or after it. So a statement agrees if it is explained by the bookings up to *some*
point of the last seconds. Example, with an opening of 1000:

    :01  fee 0.50 booked          statement of :02 says 999.50     agrees
    :05  realised 20, fee 0.30    statement of :06 says 999.50     agrees: it is of before the fill
    :07  (nothing is booked)      statement of :08 says 1119.20    20 + 100 too much: 100 are unexplained
    :09  deposit of 100 booked    statement of :10 says 1119.20    agrees again, nothing is unexplained

What is unexplained is taken over when a second statement, SECOND_LOOK_MS newer, does not agree either; what
was missing is fetched in between. Nothing is compared while fills may be missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.changes import Change, Filled, Funded
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.placing import LAG_MS
from hlposmon.domain.position import Position
from hlposmon.domain.reports import AccountEvent, Statement

# Amounts in statements have six decimals each; less than half a cent is no difference. Of very large ones the
# exchange prints fewer decimals than that: a double has 15 digits.
TOLERANCE = Decimal("0.005")
PART = Decimal("1e-13")
SECOND_LOOK_MS = 5_000
# Shortest time between two pushed statements of one dex that are compared.
PUSHED_MS = 5_000
# Longest time between two points of a dex, and the shortest while only booked sums change.
POINT_MS, SHORTEST_POINT_MS = 3_600_000, 60_000
# Transfers remembered, so that one that is told twice counts once; all older ones count as known.
REMEMBERED_TRANSFERS = 200

Booking = tuple[int, Decimal]


@dataclass(frozen=True, slots=True)
class Terms:
    """What moved the settled cash of a dex since the watch began, in its quote token. Fees paid are positive,
    funding and transfers received are positive."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    transfers: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """What they add to the cash."""
        with exactly():
            return self.realized - self.fees + self.funding + self.transfers


@dataclass(frozen=True, slots=True)
class Point:
    """The accounts of one dex as of a statement: `equity = opening + terms.total + unexplained + unrealized`,
    within TOLERANCE. All in the dex's quote token; `time_ms` is the venue's time of the statement."""

    account: str
    scope: str
    time_ms: int
    opening: Decimal
    since_ms: int
    equity: Decimal
    unrealized: Decimal
    terms: Terms
    unexplained: Decimal


@dataclass(frozen=True, slots=True)
class CashMemory:
    """What must be remembered of one dex's cash over a restart."""

    opening: Decimal
    since_ms: int
    transfers: Decimal
    unexplained: Decimal
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class LedgerMemory:
    """What must be remembered of an account's cash over a restart: the dexes by name; and the transfers that
    are booked: all up to `floor_ms`, and of those since then `seen`, each as its time and name."""

    dexes: Mapping[str, CashMemory] = field(default_factory=dict)
    floor_ms: int = 0
    seen: tuple[tuple[int, str], ...] = ()

    def with_transfer(
        self, event_id: tuple[int, str], moves: Iterable[tuple[str, Decimal]]
    ) -> "LedgerMemory":
        """The memory with one more transfer booked, `moves` being its amounts by dex."""
        if event_id[0] <= self.floor_ms or event_id in self.seen:
            return self
        dexes = dict(self.dexes)
        for scope, amount in moves:
            if scope in dexes:
                with exactly():
                    dexes[scope] = replace(dexes[scope], transfers=dexes[scope].transfers + amount)
        floor_ms, seen = _remembered(self.floor_ms, (*self.seen, event_id))
        return LedgerMemory(dexes, floor_ms, seen)


def _remembered(floor_ms: int, seen: tuple[tuple[int, str], ...]) -> tuple[int, tuple[tuple[int, str], ...]]:
    """The newest transfers, and up to when all others count as known."""
    ordered = tuple(sorted(seen))
    if len(ordered) <= REMEMBERED_TRANSFERS:
        return floor_ms, ordered
    gone_ms = ordered[-REMEMBERED_TRANSFERS - 1][0]
    # Those of one millisecond stay or go together.
    return max(floor_ms, gone_ms), tuple(one for one in ordered if one[0] > gone_ms)


@dataclass(slots=True)
class Pocket:
    """The cash of one dex of an account; `opening` is None until statements agree on it."""

    account: str
    scope: str
    opening: Decimal | None = None
    since_ms: int = 0
    transfers: Decimal = ZERO
    unexplained: Decimal = ZERO
    as_of_ms: int | None = None  # of the last statement that agreed
    recent: list[Booking] = field(default_factory=list)
    from_ms: int = 0  # older statements are not compared
    _openings: list[Decimal] = field(default_factory=list)
    _odd_ms: int | None = None  # since when statements do not agree
    _compared_ms: int = 0
    _point: Point | None = None

    @property
    def is_odd(self) -> bool:
        """Whether the last statement that was compared did not agree."""
        return self._odd_ms is not None

    def book(self, time_ms: int, amount: Decimal, *, late: bool = False) -> None:
        """Note that something was booked that moves the cash, at the venue's `time_ms`. `late`: it changed
        what fills after it have realised, so that the amounts of the last seconds are not those of their
        times: nothing is compared before they are old."""
        if late:
            newest_ms = max([time_ms, *(at_ms for at_ms, _ in self.recent)])
            self.from_ms, self._openings = newest_ms + LAG_MS, []
        if self.opening is not None and time_ms <= self.since_ms:
            self._book_before_opening(time_ms, amount)
            return
        if self.opening is None and time_ms <= self._compared_ms:
            self._openings = []  # those statements may have held it already
        self.recent.append((time_ms, amount))
        if self.recent[0][0] < time_ms - 6 * LAG_MS:
            self.recent = [one for one in self.recent if one[0] >= time_ms - 6 * LAG_MS]

    def _book_before_opening(self, time_ms: int, amount: Decimal) -> None:
        """A booking from before the opening, which holds it; if it is of the last seconds before, that is not
        known, and the opening is looked for again."""
        if self.since_ms - time_ms <= LAG_MS:
            self.opening, self._openings = None, []
            self.recent.append((time_ms, amount))
            return
        assert self.opening is not None, "it is found"
        with exactly():
            self.opening -= amount

    def compare(self, statement: Statement, booked: Terms, *, may_open: bool = True) -> Point | None:
        """Compare with a statement, `booked` being all that was booked without the transfers; the point to
        journal, None while there is nothing to say. `may_open`: it may be the one that the opening is taken
        from, as its entry prices are those of the book.

        The caller passes only statements whose sizes agree with the book, when no fill may be missing.
        """
        is_soon = statement.pushed and statement.time_ms < self._compared_ms + PUSHED_MS
        if statement.time_ms < self.from_ms:
            return None
        if statement.equity is None or (is_soon and self.opening is not None and not self.is_odd):
            return None
        if self.opening is None and not may_open:
            self._openings = []
            return None
        self._compared_ms = statement.time_ms
        terms = replace(booked, transfers=self.transfers)
        unrealized = _unrealized(statement)
        with exactly():
            cash = statement.equity - unrealized
            differences = [cash - total for total in self._totals(statement.time_ms, terms.total)]
        tolerance = _tolerance(statement)
        if self.opening is None:
            if not self._open(differences, statement.time_ms, tolerance):
                return None
        elif not self._is_explained(self.opening, differences, statement.time_ms, tolerance):
            return None
        opening = self.opening
        assert opening is not None, "it was found above"
        self.as_of_ms = statement.time_ms
        point = Point(
            self.account, self.scope, statement.time_ms, opening, self.since_ms, statement.equity, unrealized,
            terms, self.unexplained,
        )  # fmt: skip
        if not self._is_due(point):
            return None
        self._point = point
        return point

    def _totals(self, time_ms: int, total: Decimal) -> list[Decimal]:
        """What had been booked at each point of the last seconds before the statement, the newest first."""
        totals = [total]
        late = [one for one in self.recent if one[0] > time_ms - LAG_MS]
        for _, amount in sorted(late, key=lambda one: one[0], reverse=True):
            totals.append(totals[-1] - amount)
        return totals

    def _open(self, differences: Sequence[Decimal], time_ms: int, tolerance: Decimal) -> bool:
        """Find the opening: the one difference that this statement has in common with those before it. While
        there are several, as something was just booked, it waits for further statements."""
        before = self._openings
        common = [one for one in differences if any(abs(one - other) <= tolerance for other in before)]
        self._openings = common or list(differences)
        if not common or max(common) - min(common) > tolerance:
            return False
        self.opening, self.since_ms, self.unexplained = common[0], time_ms, ZERO
        self._openings = []
        return True

    def _is_explained(
        self, opening: Decimal, differences: Sequence[Decimal], time_ms: int, tolerance: Decimal
    ) -> bool:
        """Whether the statement agrees, or what it does not explain has been taken over."""
        with exactly():
            rests = [one - opening for one in differences]
            # That all is explained comes first; else what was not explained before stays so.
            wanted = ZERO if min(map(abs, rests)) <= tolerance else self.unexplained
            rest = min(rests, key=lambda one: abs(one - wanted))
            is_same = abs(rest - self.unexplained) <= tolerance
        if is_same:
            self._odd_ms = None
            return True
        if self._odd_ms is None:
            self._odd_ms = time_ms
        if time_ms < self._odd_ms + SECOND_LOOK_MS:
            return False
        self._odd_ms = None
        self.unexplained = rest if abs(rest) > tolerance else ZERO
        return True

    def _is_due(self, point: Point) -> bool:
        last = self._point
        if last is None or last.unexplained != point.unexplained or last.opening != point.opening:
            return True
        age_ms = point.time_ms - last.time_ms
        return age_ms >= POINT_MS or (age_ms >= SHORTEST_POINT_MS and last.terms != point.terms)


def _tolerance(statement: Statement) -> Decimal:
    """How far the cash of a statement may be off by the exchange's own print."""
    with exactly():
        values = (abs(one.size) * (one.mark_price or ZERO) for one in statement.positions)
        return max(TOLERANCE, PART * (abs(statement.equity or ZERO) + sum(values, ZERO)))


def _unrealized(statement: Statement) -> Decimal:
    """The unrealised P&L of its positions, by its own marks and entry prices."""
    with exactly():
        return sum(
            (
                one.size * ((one.mark_price or ZERO) - (one.entry_price or ZERO))
                for one in statement.positions
            ),
            ZERO,
        )


@dataclass(slots=True)
class CashLedger:
    """The cash of an account: its dexes by name, and the transfers that are booked: all up to `floor_ms`, and
    of those since then `seen`. Before the first statement it is 0, and no transfer is booked."""

    account: str
    pockets: dict[str, Pocket] = field(default_factory=dict)
    floor_ms: int = 0
    seen: tuple[tuple[int, str], ...] = ()
    # Older statements are not compared: what was booked shortly before a restart is not known one by one.
    from_ms: int = 0
    # By key, the position after the last change that was noted.
    _noted: dict[str, Position] = field(default_factory=dict)

    def pocket(self, scope: str, flat_since_ms: int | None = None) -> Pocket:
        """The cash of a dex. A new one that is known to have held nothing since a time opens with nothing."""
        found = self.pockets.get(scope)
        if found is None:
            found = self.pockets[scope] = Pocket(self.account, scope)
            if flat_since_ms is not None:
                found.opening, found.since_ms, found.as_of_ms = ZERO, flat_since_ms, flat_since_ms
        return found

    def begin(self, time_ms: int) -> None:
        """The venue has stated the account for the first time: transfers from shortly before are booked, as
        the statement may be old."""
        self.floor_ms = self.floor_ms or max(1, time_ms - LAG_MS)

    def forget(self) -> None:
        """The venue keeps the money elsewhere from now on: what was compared so far tells nothing of it."""
        self.pockets.clear()

    def note(self, change: Change, scope: str) -> None:
        """Note what a fill or a payment booked."""
        late = False
        if isinstance(change, Filled):
            key, time_ms, late = change.fill.key, change.fill.time_ms, change.late
        elif isinstance(change, Funded):
            key, time_ms = change.funding.key, change.funding.time_ms
        else:
            return
        before, now = self._noted.get(key, _NOTHING), change.position
        self._noted[key] = now
        with exactly():
            amount = now.realized - before.realized - (now.fees - before.fees) + now.funding - before.funding
        self.pocket(scope).book(time_ms, amount, late=late)

    def take(self, event: AccountEvent) -> bool:
        """Book a transfer once; whether it was new. One from before the watch is not."""
        if not self.floor_ms or event.time_ms <= self.floor_ms or event.id in self.seen:
            return False
        self.floor_ms, self.seen = _remembered(self.floor_ms, (*self.seen, event.id))
        for move in event.moves:
            if move.scope != SPOT:
                pocket = self.pocket(move.scope)
                with exactly():
                    pocket.transfers += move.amount
                pocket.book(event.time_ms, move.amount)
        return True

    # --------------------------------------------------------------- recovery

    def memory(self) -> LedgerMemory:
        """What must be remembered."""
        dexes = {
            scope: CashMemory(one.opening, one.since_ms, one.transfers, one.unexplained, one.as_of_ms)
            for scope, one in self.pockets.items()
            if one.opening is not None and one.as_of_ms is not None
        }
        return LedgerMemory(dexes, self.floor_ms, self.seen)

    def recall(
        self, memory: LedgerMemory, positions: Mapping[str, Position], known_ms: int | None = None
    ) -> None:
        """Restore it; `positions` are those of the account, by key, with all that was booked up to
        `known_ms`."""
        self.from_ms = 0 if known_ms is None else known_ms + LAG_MS
        self.floor_ms, self.seen, self._noted = memory.floor_ms, memory.seen, dict(positions)
        for scope, one in memory.dexes.items():
            self.pockets[scope] = Pocket(
                self.account, scope, one.opening, one.since_ms, one.transfers, one.unexplained, one.as_of_ms
            )


_NOTHING = Position()

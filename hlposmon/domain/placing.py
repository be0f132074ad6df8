"""Where a statement stands among the fills near it.

A statement and a fill have no common sequence number, and a statement's time need not be that of its
contents. So a statement is placed by its size: it stands where the chain of fills has that size, and
among several such places at the one that its time is nearest to. Pure.

Example. A first statement of 10:00:05 says 2; of the fills near it we have

    10:00:03  +1   1 -> 2        and        10:00:07  -1   2 -> 1
    10:00:04  +1   2 -> 3                   10:00:09  +1   1 -> 2
    10:00:06  -1   3 -> 2

The size is 2 after the fills of :03, :06 and :09. A statement's contents are no newer than its time, so it
stands after :03 and lags a second behind: :03 is included, and :04 and all later are applied to it. Where a
lead is allowed, as no other place explains what we have, the one of :06 is as near, and of equals the latest
counts.

Where the chain never has the stated size, fills are missing between the two, and which of them is older is
not known: a statement's contents may be some seconds older than its time. Only what is older than these
seconds is in it. Example: a first statement of :05 says 0, and of the fills the venue lists but -2 -> -3 of
:04, as those before it are listed no more. The statement may be of :02, and the size be -3 now: the fill is
not history but waits behind a gap, unproven, until it is sure to be older than a later statement. A statement
is taken to lag by LAG_MS at most, here as in `reconcile`: a size that we had longer ago has come back in some
other way, by fills that are not listed yet or by none.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from decimal import Decimal

from hlposmon.domain.chain import leads_to, segments, sizes_along
from hlposmon.domain.changes import AdoptionReason
from hlposmon.domain.reports import Fill, Identity

# A statement's time is not known to be that of its contents: fills this near are kept and compared with it.
STATEMENT_BLUR_MS = 15_000
# How far a statement may lag behind the fills and still be understood as one of their prefixes.
LAG_MS = 10_000


@dataclass(frozen=True, slots=True)
class Base:
    """What a chain begins from: `size`, stated at about `time_ms`.

    `reason` is START or DRIFT for a statement. None is for a position that this book itself had before a
    restart: it includes all fills up to `time_ms` except those lost then, and none after.
    `is_settled`: a statement that is surely newer than all fills near the base has confirmed the size, so the
    base may include fills that look later than it.
    `is_exact`: it is the size before the first fill of `time_ms`, stated by that fill and by no statement.
    `holds_ms`: the base includes every fill up to this time, whatever its size. After a drift the adopted
    size already includes fills that arrive late from before the end of the old chain. Example: we have fills
    up to :10, with some missing in between, and adopt 2 at :14. Then a fill 2 -> 3 of :08 arrives. It happens
    to fit, but it is only counted and not applied.
    """

    size: Decimal
    time_ms: int
    reason: AdoptionReason | None
    is_exact: bool = False
    is_settled: bool = False
    holds_ms: int = 0

    @property
    def edge_ms(self) -> int:
        """Fills after this are not in the base, whatever their size."""
        if self.is_exact:
            return self.time_ms - 1
        return max(self.holds_ms, self.time_ms + (STATEMENT_BLUR_MS if self.reason is not None else 0))

    def near(self, fill: Fill) -> bool:
        """Whether a statement made now may be as old as this fill."""
        return fill.time_ms >= self.time_ms - STATEMENT_BLUR_MS

    def contained(self, held: Sequence[Fill], fills: Sequence[Fill]) -> list[Fill]:
        """The fills, out of `fills` and of those considered included so far (`held`), that the base includes.

        Fills that a first statement includes are history from before our time, and are released again if more
        fills show that the statement was placed wrongly. Those of a drift are booked for good, so uncertain
        ones are left out.
        """
        if self.is_exact:
            return [fill for fill in (*held, *fills) if fill.time_ms < self.time_ms]
        if self.reason is None:
            return self._round_trips([*held, *fills])
        of_old = [fill for fill in (*held, *fills) if fill.time_ms <= self.holds_ms]
        parts = segments([fill for fill in (*held, *fills) if fill.time_ms > self.holds_ms])
        by_time_ms = self.time_ms - (0 if self.is_settled else LAG_MS)
        lead_ms = STATEMENT_BLUR_MS if self.is_settled else 0
        before = {fill.identity for fill in held}
        return of_old + _before_it(parts, self, before, lead_ms, by_time_ms)

    def _round_trips(self, fills: list[Fill]) -> list[Fill]:
        """The chain is whole without them: fills are in it if they lead back to where they began. But those
        of its last millisecond may be what comes next."""
        for found in (fills, [fill for fill in fills if fill.time_ms < self.time_ms]):
            if all(map(_is_closed, segments(found))):
                return found
        return []


def _is_closed(part: Sequence[Fill]) -> bool:
    return leads_to(part) == part[0].start_position


def place_of(
    size: Decimal,
    time_ms: int,
    parts: Sequence[Sequence[Fill]],
    *,
    held: Set[Identity] = frozenset(),
    lead_ms: int = 0,
) -> tuple[int, int] | None:
    """Where on these chains a statement of `size` at about `time_ms` stands: the index of the chain, and how
    many of its fills come before; None where it stands on none. The nearest in time, of equals the latest."""
    best: tuple[int, int, int] | None = None
    for index, part in enumerate(parts):
        for count, reached in enumerate(sizes_along(part, part[0].start_position)):
            if reached != size:
                continue
            leads_ms = part[count - 1].time_ms - time_ms if count else 0
            lags_ms = time_ms - part[count].time_ms if count < len(part) else 0
            # A statement is made between two blocks, so it does not split fills of one millisecond.
            amid = 0 < count < len(part) and part[count - 1].time_ms == part[count].time_ms
            if amid and (part[count - 1].identity not in held or part[count].identity in held):
                continue
            off_ms = max(0, leads_ms, lags_ms)
            if leads_ms <= lead_ms and lags_ms <= LAG_MS and (best is None or off_ms <= best[0]):
                best = off_ms, index, count
    return None if best is None else best[1:]


def _before_it(
    parts: Sequence[Sequence[Fill]], base: Base, held: Set[Identity], lead_ms: int, by_time_ms: int
) -> list[Fill]:
    place = place_of(base.size, base.time_ms, parts, held=held, lead_ms=lead_ms)
    if place is None:
        return [fill for part in parts for fill in part if fill.time_ms <= by_time_ms]
    index, count = place
    earlier = [fill for part in parts[:index] for fill in part]
    later = [fill for part in parts[index + 1 :] for fill in part if fill.time_ms <= by_time_ms]
    return [*earlier, *parts[index][:count], *later]

"""The trade cursor: a size from trades that do not state the size before them. Pure.

For venues that number an account's trades and list all of them from a number on. Numbers need not be
consecutive, so a missing trade leaves no trace in them: that none is missing is known from the list, which
has to begin where the last one ended. A statement has no number either: it is one of a cursor if the lists
read before and after it both end there. Example:

    stated 5, the lists before and after it end at 100     size 5 at 100, agreed
    listed from 100 on: 103 (+1), 107 (-2)                 size 4 at 107, proven
    listed from 110 on: 112 (+1)                           what came between is missing: not taken, unproven
    listed from 107 on: 109 (+1), 112 (+1)                 size 6 at 112, proven
    stated 9, the lists before and after it end at 112     9 and 6 differ: unproven

No scope rests on it yet; `continuity` has the laws that do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from hlposmon.domain.amounts import CONTEXT


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade as the venue lists it: its number, and what it adds to the size."""

    number: int
    moved: Decimal


@dataclass(frozen=True, slots=True)
class TradeCursor:
    """One instrument: `size` holds all trades up to number `cursor`.

    `missing_from` is the number behind which trades are missing. `disputed` has a stated size that differs.
    `agreed`: a statement has agreed since the start.
    """

    size: Decimal
    cursor: int
    agreed: bool = False
    missing_from: int | None = None
    disputed: Decimal | None = None

    @property
    def doubt(self) -> str | None:
        """Why the size is not proven; None when it is."""
        if self.missing_from is not None:
            return f"trades behind number {self.missing_from} are missing"
        if self.disputed is not None:
            return f"the venue states {self.disputed:f}, the trades lead to {self.size:f}"
        return None if self.agreed else "no statement has agreed yet"

    def listed(self, after: int, trades: Iterable[Trade]) -> "TradeCursor":
        """With all trades behind number `after`, as the venue lists them now; in any order, some twice."""
        if after > self.cursor:
            return replace(self, missing_from=self.cursor)
        size, cursor = self.size, self.cursor
        for number, moved in sorted({trade.number: trade.moved for trade in trades}.items()):
            if number > self.cursor:
                size, cursor = CONTEXT.add(size, moved), number
        return replace(self, size=size, cursor=cursor, missing_from=None)

    def stated(self, size: Decimal, before: int, after: int) -> "TradeCursor":
        """With a stated size; the lists read before and after it ended at these numbers. A statement that is
        of no cursor, or of another than this one, says nothing."""
        if not before == after == self.cursor or self.missing_from is not None:
            return self
        if size == self.size:
            return replace(self, agreed=True, disputed=None)
        return replace(self, disputed=size)

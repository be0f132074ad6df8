"""A position and the four cases of a fill: added, reduced, closed, flipped. All stand here.

Size is signed. `cost` is what the open part cost, signed like the size, so that
`unrealised = size * mark - cost` on both sides and the entry price is `cost / size`, divided only to
be shown. Not here: which fill is which (chain), time, and what may be claimed (verdict).
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.reports import Fill


class FillEffect(StrEnum):
    """What a fill did to the position."""

    OPENED = "opened"
    ADDED = "added"
    REDUCED = "reduced"
    CLOSED = "closed"
    FLIPPED = "flipped"


def cost_before(fill: Fill, size: Decimal, cost: Decimal) -> Decimal:
    """What a position of `size` cost before `fill`, if it costs `cost` after it: `Position.after` reversed.

    A fill that closed or flipped leaves no trace of that cost; there it follows from the venue's profit.
    """
    with exactly():
        after = size + fill.signed_size
        if not size:
            return ZERO
        if (fill.signed_size > 0) == (size > 0):
            return cost - fill.signed_size * fill.price
        if after and (after > 0) == (size > 0):
            return cost * size / after
    return cost_by_profit(fill, size)


def cost_by_profit(fill: Fill, size: Decimal) -> Decimal:
    """What a position of `size` cost before a fill that closed some of it, by what the venue gained for it.

    Source: `closed_pnl = closed * (price - entry)`, with the entry truncated to a few digits: this is exact
    to that truncation only.
    """
    with exactly():
        closed = size if abs(fill.signed_size) >= abs(size) else -fill.signed_size
        return size * fill.price - fill.closed_pnl * size / closed


@dataclass(frozen=True, slots=True)
class Position:
    """One net position in one instrument. All amounts are in the quote token but `size` (base units).

    `realized` is gross of fees and funding, from the exact average cost; `closed_pnl` is the sum of
    what the venue booked, which it works out from its truncated entry price. `fees` paid are
    positive; `funding` received is positive.
    """

    size: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    closed_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    fills: int = 0

    def __post_init__(self) -> None:
        assert self.size or not self.cost, "a flat position has no cost"

    @property
    def is_flat(self) -> bool:
        """Whether its size is zero."""
        return not self.size

    @property
    def entry_price(self) -> Decimal | None:
        """The average price of the open part; None when flat."""
        if not self.size:
            return None
        with exactly():
            return self.cost / self.size

    def unrealized(self, mark: Decimal) -> Decimal:
        """`size * mark - cost`, exact. Source: the venue's unrealizedPnl, which uses the mark price."""
        with exactly():
            return self.size * mark - self.cost

    def notional(self, mark: Decimal) -> Decimal:
        """`|size| * mark`, never negative."""
        with exactly():
            return abs(self.size) * mark

    def after(self, fill: Fill) -> tuple["Position", FillEffect]:
        """The position after `fill`, and what the fill did.

        The size follows from side and size of the fill alone. A reduction keeps the entry price; the
        remaining cost is then carried with sixty digits, as the division may not end. A fill that
        crosses zero closes all at its price and opens the rest at its price.
        """
        with exactly():
            moved = fill.signed_size
            size = self.size + moved
            if not self.size:
                effect, cost, gained = FillEffect.OPENED, moved * fill.price, ZERO
            elif (moved > 0) == (self.size > 0):
                effect, cost, gained = FillEffect.ADDED, self.cost + moved * fill.price, ZERO
            elif not size:
                effect, cost, gained = FillEffect.CLOSED, ZERO, self.size * fill.price - self.cost
            elif (size > 0) == (self.size > 0):
                cost = self.cost * size / self.size
                effect, gained = FillEffect.REDUCED, -moved * fill.price - (self.cost - cost)
            else:
                effect, cost, gained = (
                    FillEffect.FLIPPED,
                    size * fill.price,
                    self.size * fill.price - self.cost,
                )
            return Position(
                size=size,
                cost=cost,
                realized=self.realized + gained,
                closed_pnl=self.closed_pnl + fill.closed_pnl,
                fees=self.fees + fill.fee,
                funding=self.funding,
                fills=self.fills + 1,
            ), effect

    def restated(self, size: Decimal, entry_price: Decimal | None) -> "Position":
        """The position with the venue's size and entry; what was earned and paid so far stays.

        With no entry price from the venue the old one is kept, so that no profit is invented.
        """
        with exactly():
            entry = entry_price if entry_price is not None else (self.entry_price or ZERO)
            return replace(self, size=size, cost=size * entry if size else ZERO)

    def booked(self, fill: Fill) -> "Position":
        """The position with what `fill` earned and paid, its size left alone: the size held it already."""
        with exactly():
            return replace(
                self,
                closed_pnl=self.closed_pnl + fill.closed_pnl,
                fees=self.fees + fill.fee,
                fills=self.fills + 1,
            )

    def funded(self, received: Decimal) -> "Position":
        """The position after a funding payment: cash only, never size or entry."""
        with exactly():
            return replace(self, funding=self.funding + received)

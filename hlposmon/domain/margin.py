"""What a position must keep as margin, and the mark at which it is liquidated. Arithmetic alone.

A position must keep half of the initial margin at the greatest leverage that is granted for its notional.
That leverage falls in steps, the tiers, so the rate rises; a deduction keeps the margin from leaping where a
tier begins. Source: the exchange's documentation, margin tiers:

    maintenance = notional * rate_n - deduction_n           n: the tier of the notional
    rate_n      = 1 / (2 * max_leverage_n)
    deduction_n = deduction_(n-1) + lower_n * (rate_n - rate_(n-1))

Example: 25x, and 15x from 100 million on. The rates are 1/50 and 1/30, the deductions 0 and 1 333 333.33. A
notional of 150 million must keep 5 000 000 - 1 333 333.33 = 3 666 666.67: as much as 100 million at 1/50 and
50 million at 1/30. As the rates rise, that is the highest of the amounts by each tier's line, so no tier has
to be looked up.

A position is liquidated when the equity behind it falls to the maintenance margin of all that it is behind.
Source: the exchange's documentation, liquidations, with the rate of the tier at the liquidation price:

    price = mark - side * available / |size| / (1 - rate * side)

`side` is 1 for a long and -1 for a short, `available` the equity above maintenance: of an isolated position
its own, of a cross position that of all cross positions of its dex. Example: 4 HYPE short at the mark 48.145
with 211.144417 of cash, isolated, 10x. The equity is 211.144417 - 192.58 = 18.564417, the maintenance margin
192.58 / 20 = 9.629, so 8.935417 is available, and the price 48.145 + 8.935417 / 4 / 1.05 = 50.2724802381.
With several tiers, each gives a price, and the one that the mark reaches first counts: for a long the
highest, for a short the lowest.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

from hlposmon.domain.amounts import ZERO, exactly

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Tier:
    """The greatest leverage that is granted from a notional on, in the token of the market's figures."""

    lower: Decimal
    max_leverage: Decimal


@dataclass(frozen=True, slots=True)
class MarginTable:
    """The tiers of an instrument. The first begins at zero, and the leverage falls from each to the next;
    ValueError otherwise, and for a leverage below 1."""

    tiers: tuple[Tier, ...]
    # By tier: rate and deduction.
    _lines: tuple[tuple[Decimal, Decimal], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.tiers or self.tiers[0].lower or self.tiers[-1].max_leverage < 1:
            raise ValueError("the first margin tier begins at zero, and no leverage is below 1")
        steps = pairwise(self.tiers)
        if not all(one.lower < two.lower and one.max_leverage > two.max_leverage for one, two in steps):
            raise ValueError("each margin tier begins above the one before it, and grants less leverage")
        lines, last, deduction = [], ZERO, ZERO
        with exactly():
            for tier in self.tiers:
                rate = ONE / (2 * tier.max_leverage)
                deduction += tier.lower * (rate - last)
                lines.append((rate, deduction))
                last = rate
        object.__setattr__(self, "_lines", tuple(lines))

    @classmethod
    def single(cls, max_leverage: Decimal) -> "MarginTable":
        """The table with one tier."""
        return cls((Tier(ZERO, max_leverage),))

    def grants(self, max_leverage: Decimal | None) -> bool:
        """Whether this is the leverage of one of its tiers. Where the venue states another one for a
        position, the position has terms of its own, or the table is out of date."""
        return any(tier.max_leverage == max_leverage for tier in self.tiers)

    def maintenance(self, notional: Decimal) -> Decimal:
        """The margin that a position of this notional, at least zero, must keep."""
        with exactly():
            return max([notional * rate - deduction for rate, deduction in self._lines])

    def liquidation_price(self, size: Decimal, mark: Decimal, available: Decimal) -> Decimal | None:
        """The mark at which a position of this signed size, not zero, is liquidated; None if no positive one
        does. `available` is the equity above maintenance at `mark`, that of this position included."""
        with exactly():
            held = abs(size)
            notional = held * mark
            own = max([notional * rate - deduction for rate, deduction in self._lines])
            # By each tier's line, with `side / |size| / (1 - rate * side)` as `1 / (size - |size| * rate)`.
            prices = [
                mark - (available + own - notional * rate + deduction) / (size - held * rate)
                for rate, deduction in self._lines
            ]
        first = max(prices) if size > 0 else min(prices)
        return first if first > 0 else None

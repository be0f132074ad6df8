"""One account's exact book: what a fill, a funding payment or a correction does to it.

Pure: no time, no dice, no wire. Size is signed. Sources of the rules: sections 6 and 8 of the
venue's arithmetic as measured on its own answers: the entry price is exact inside and truncated
where it is shown, and a close is booked from the truncated one, gross of fees.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from hlposmon.simulator.markets import Market
from hlposmon.simulator.numbers import rounded, truncated

ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Margin:
    """How a coin is margined in an account."""

    leverage: int
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """One open position. `raw` is the cash of an isolated pocket, and 0 under cross margin."""

    market: Market
    size: Fraction
    entry: Fraction  # exact
    margin: Margin
    raw: Fraction = ZERO
    funding_open: Fraction = ZERO  # paid since it was opened; positive is paid
    funding_change: Fraction = ZERO  # paid since the size last changed

    @property
    def shown_entry(self) -> Fraction:
        """The entry price as the venue shows and uses it: cut toward zero."""
        return truncated(self.entry, self.market.places)


@dataclass(frozen=True, slots=True)
class Move:
    """What one trade does: the position after it (None: flat), what was realized, and the venue's word."""

    after: Position | None
    closed_pnl: Fraction
    cash: Fraction  # change of the cross pocket's cash, fee not counted
    word: str


def moved(before: Position | None, market: Market, margin: Margin, change: Fraction, price: Fraction) -> Move:
    """The four cases of a trade of `change` (signed, not 0) at `price`: added, reduced, closed, flipped."""
    assert change, "a trade has a size"
    if before is None or before.size * change > 0:
        return _added(before, market, margin, change, price)
    if abs(change) < abs(before.size):
        return _reduced(before, change, price)
    if abs(change) == abs(before.size):
        return _closed(before, price)
    return _flipped(before, change, price)


def _added(
    before: Position | None, market: Market, margin: Margin, change: Fraction, price: Fraction
) -> Move:
    old = before or Position(market, ZERO, ZERO, margin)
    size = old.size + change
    entry = (old.size * old.entry + change * price) / size
    word = f"Open {_side(size)}"
    if not old.margin.isolated:
        after = Position(old.market, size, entry, old.margin, old.raw, old.funding_open)
        return Move(after, ZERO, -change * price, word)
    pledge = rounded(abs(change) * price / old.margin.leverage)
    raw = old.raw - change * price + pledge
    return Move(replace(old, size=size, entry=entry, raw=raw, funding_change=ZERO), ZERO, -pledge, word)


def _reduced(before: Position, change: Fraction, price: Fraction) -> Move:
    word = f"Close {_side(before.size)}"
    pnl = _realized(before, abs(change), price)
    size = before.size + change
    after = Position(before.market, size, before.entry, before.margin, before.raw, before.funding_open)
    if not before.margin.isolated:
        return Move(after, pnl, -change * price, word)
    equity = before.size * price + before.raw
    released = rounded(equity * abs(change) / abs(before.size))
    return Move(replace(after, raw=before.raw - change * price - released), pnl, released, word)


def _closed(before: Position, price: Fraction) -> Move:
    pnl = _realized(before, abs(before.size), price)
    return Move(None, pnl, before.raw + before.size * price, f"Close {_side(before.size)}")


def _flipped(before: Position, change: Fraction, price: Fraction) -> Move:
    shut = _closed(before, price)
    opened = _added(None, before.market, before.margin, before.size + change, price)
    word = f"{_side(before.size)} > {_side(-before.size)}"
    return Move(opened.after, shut.closed_pnl, shut.cash + opened.cash, word)


def _realized(before: Position, closed: Fraction, price: Fraction) -> Fraction:
    sign = 1 if before.size > 0 else -1
    return rounded(sign * (price - before.shown_entry) * closed)


def _side(size: Fraction) -> str:
    return "Long" if size > 0 else "Short"


def funded(position: Position, oracle: Fraction, rate: Fraction) -> tuple[Position, Fraction]:
    """The position after an hour's funding, and what it paid (negative: received), to 6 decimals."""
    paid = rounded(position.size * oracle * rate)
    after = replace(
        position,
        funding_open=position.funding_open + paid,
        funding_change=position.funding_change + paid,
        raw=position.raw - paid if position.margin.isolated else position.raw,
    )
    return after, paid

"""Amounts, prices and words as a person reads them on a terminal. Pure; the exact strings are in --json."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

SIGNIFICANT = 5  # the digits in which the venue quotes prices
SIGNIFICANT_ALONE = 8  # of a price that stands beside no mark


def plain(value: object) -> str:
    """Text from outside, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def word(value: object) -> str:
    return "-" if value is None else plain(value)


def money(amount: object, *, sign: bool = False, missing: str = "-") -> str:
    """USD to the cent, rounded half-even."""
    value = decimal(amount)
    if value is None:
        return missing
    return f"{value:+,.2f}" if sign else f"{value:,.2f}"


def price(amount: object, places: int | None) -> str:
    """A price to so many decimals, rounded half-even; None: to eight significant digits."""
    value = decimal(amount)
    if value is None:
        return word(amount)
    if places is None:
        exponent = int(value.as_tuple().exponent)
        places = max(0, min(-exponent, SIGNIFICANT_ALONE - 1 - value.adjusted()))
    return f"{value:.{places}f}"


def places_of(mark: object) -> int | None:
    """The decimals in which prices beside this mark are shown; None without a mark.

    As many as the mark has, and no fewer than five significant digits of it take: marks come without their
    trailing zeros, and one of 0.2 would round an entry of 0.1962 away.
    """
    value = decimal(mark)
    if value is None:
        return None
    exponent = int(value.as_tuple().exponent)
    return max(0, -exponent, SIGNIFICANT - 1 - value.adjusted())


def aligned(texts: Sequence[str]) -> list[str]:
    """The texts filled up with blanks to one width, their decimal points below each other."""
    tails = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    longest = max(tails, default=0)
    padded = [text + " " * (longest - tail) for text, tail in zip(texts, tails, strict=True)]
    width = max(map(len, padded), default=0)
    return [text.rjust(width) for text in padded]


def difference(received: object, paid: object) -> str | None:
    plus, minus = decimal(received), decimal(paid)
    return None if plus is None or minus is None else str(plus - minus)


def gain(amount: object) -> str:
    """The style of a profit or a loss; none for zero and for what is not known."""
    value = decimal(amount)
    if not value:
        return ""
    return "green" if value > 0 else "red"


def decimal(amount: object) -> Decimal | None:
    """The amount of a JSON string; None for anything that is none."""
    if not isinstance(amount, str):
        return None
    try:
        value = Decimal(amount)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

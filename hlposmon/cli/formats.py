"""Formats amounts, prices and words for a terminal. Pure; the exact strings are in --json."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

SIGNIFICANT = 5  # significant digits in which the venue quotes prices
SIGNIFICANT_ALONE = 8  # significant digits of a price that has no mark beside it


def plain(value: object) -> str:
    """Text from outside with non-printable characters replaced by `?`; they may control the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def word(value: object) -> str:
    """The value as plain text, `-` for None."""
    return "-" if value is None else plain(value)


def money(amount: object, *, sign: bool = False, missing: str = "-") -> str:
    """A decimal string as USD to the cent, rounded half-even; `missing` if it is none."""
    value = decimal(amount)
    if value is None:
        return missing
    return f"{value:+,.2f}" if sign else f"{value:,.2f}"


def percent(fraction: object, *, missing: str = "-") -> str:
    """A decimal string that is a fraction as percent, rounded half-even to two decimals: 0.0123 is 1.23%."""
    value = decimal(fraction)
    return missing if value is None else f"{value.scaleb(2):,.2f}%"


def price(amount: object, places: int | None) -> str:
    """A decimal string as a price with `places` decimals, rounded half-even; with None, at most eight
    significant digits. Text that is no decimal is returned as it is."""
    value = decimal(amount)
    if value is None:
        return word(amount)
    if places is None:
        exponent = int(value.as_tuple().exponent)
        places = max(0, min(-exponent, SIGNIFICANT_ALONE - 1 - value.adjusted()))
    return f"{value:.{places}f}"


def places_of(mark: object) -> int | None:
    """The number of decimals for prices shown beside this mark; None without a mark.

    It is the number of decimals of the mark, but at least what five significant digits of it need, since
    marks come without trailing zeros. Example: a mark of 0.2 alone would show an entry of 0.1962 as 0.2; five
    digits give five decimals, so it is shown as 0.19620.
    """
    value = decimal(mark)
    if value is None:
        return None
    exponent = int(value.as_tuple().exponent)
    return max(0, -exponent, SIGNIFICANT - 1 - value.adjusted())


def aligned(texts: Sequence[str]) -> list[str]:
    """The texts padded with blanks to the same width, so that their decimal points line up."""
    tails = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    longest = max(tails, default=0)
    padded = [text + " " * (longest - tail) for text, tail in zip(texts, tails, strict=True)]
    width = max(map(len, padded), default=0)
    return [text.rjust(width) for text in padded]


def difference(received: object, paid: object) -> str | None:
    """`received` less `paid`, all decimal strings; None if either is missing."""
    plus, minus = decimal(received), decimal(paid)
    return None if plus is None or minus is None else str(plus - minus)


def gain(amount: object) -> str:
    """The rich style of an amount: green above zero, red below, none for zero or an unknown amount."""
    value = decimal(amount)
    if not value:
        return ""
    return "green" if value > 0 else "red"


def decimal(amount: object) -> Decimal | None:
    """The amount in a decimal string of the API; None for anything else, and for NaN and infinity."""
    if not isinstance(amount, str):
        return None
    try:
        value = Decimal(amount)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def time(text: str) -> datetime | None:
    """The time in an ISO 8601 string; None for anything else."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

"""Exact amounts and their two ways to text: `text` is exact, `printed` is what the venue's servers write.

The ledger keeps every amount as a Fraction, so that it is an oracle which shares neither arithmetic
nor rounding with the code it is used to check. Rounding is done here only, and only to be shown. The one
float is in `printed`: the venue keeps doubles, and what it prints of a large size is not the size.
"""

from fractions import Fraction

MONEY_PLACES = 6  # decimals of USDC amounts on the wire
RATIO_PLACES = 10  # decimals of returnOnEquity and liquidationPx
EXACT_PLACES = 18  # more than any size, price or product of the two has
PRINTED_PLACES = 10  # decimals that the venue prints of a double


def text(value: Fraction) -> str:
    """The exact decimal text ("0.0", "-13.3", "86324.0"); ValueError where no finite one exists."""
    scaled = value * 10**EXACT_PLACES
    if scaled.denominator != 1:
        raise ValueError(f"{value} has no decimal text of {EXACT_PLACES} places")
    digits = f"{abs(scaled.numerator):0{EXACT_PLACES + 1}d}"
    whole, part = digits[:-EXACT_PLACES], digits[-EXACT_PLACES:].rstrip("0")
    return f"{'-' if scaled < 0 else ''}{whole}.{part or '0'}"


def printed(value: Fraction) -> str:
    """The text on the wire: the nearest double, with ten decimals, zeros cut, one decimal kept.

    "1064075.6000000001" for 1064075.6: from 2**19 on a double is not close enough for ten decimals.
    Source: captures of the venue's own answers.
    """
    shown = f"{value.numerator / value.denominator:.{PRINTED_PLACES}f}".rstrip("0")
    shown += "0" if shown.endswith(".") else ""
    return "0.0" if shown == "-0.0" else shown


def rounded(value: Fraction, places: int = MONEY_PLACES) -> Fraction:
    """The nearest amount with so many decimals (half to even)."""
    return nearest(value.numerator, value.denominator, places)


def nearest(number: int, below: int, places: int) -> Fraction:
    """The amount with so many decimals that is nearest to number/below (half to even; `below` is positive).

    Computed with integers: each operation on Fractions searches a common divisor, for no use here.
    """
    scale = 10**places
    whole, rest = divmod(number * scale, below)
    return Fraction(whole + (2 * rest > below or (2 * rest == below and whole % 2 == 1)), scale)


def truncated(value: Fraction, places: int) -> Fraction:
    """Cut toward zero to so many decimals, as the venue shows an entry price."""
    scaled = value * 10**places
    cut = abs(scaled.numerator) // scaled.denominator
    return Fraction(cut if value >= 0 else -cut, 10**places)


def money(value: Fraction, places: int = MONEY_PLACES) -> str:
    """What is printed of an amount that the venue rounds to so many decimals."""
    return printed(rounded(value, places))


def amount(value: object) -> Fraction:
    """An amount from a scripted action: decimal text or an int; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'{value!r} is no amount: write it as text, such as "1.5"')
    return Fraction(value)


def tick_of(price: Fraction, sz_decimals: int) -> Fraction:
    """The smallest lawful step of an order's price: 5 significant figures, at most 6 - szDecimals decimals.

    Whole numbers are always lawful. Source: the venue's tick and lot rules for perpetuals.
    """
    digits = len(str(price.numerator * 10**EXACT_PLACES // price.denominator))
    magnitude = digits - 1 - EXACT_PLACES  # 10**magnitude <= price < 10**(magnitude + 1)
    return Fraction(1, 10 ** max(0, min(4 - magnitude, 6 - sz_decimals)))


def lawful(price: Fraction, sz_decimals: int) -> Fraction:
    """The nearest price that an order may have (`tick_of`), at least one tick."""
    tick = tick_of(price, sz_decimals)
    return max(round(price / tick), 1) * tick

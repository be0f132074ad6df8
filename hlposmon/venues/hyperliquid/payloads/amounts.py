"""Reads all of Hyperliquid's amounts, rounded to what a double can carry.

The servers keep amounts as doubles and print them with ten decimals, so that a large one ends in digits
that nobody traded: a size of 1064075.6 comes as "1064075.6000000001", and the fill after one of 3695042.9
says that it starts at "3695042.8999999999". A double preserves 15 significant decimal digits: rounded to 15,
both amounts are exact again, and the fills chain.

    1064075.6000000001  ->  1064075.6        (the tenth decimal is the 17th digit)
    3695042.8999999999  ->  3695042.9
    0.0001234567        ->  0.0001234567     (fewer digits stay as they are)
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any

from hlposmon.domain.amounts import CONTEXT, amount
from hlposmon.venues.hyperliquid.payloads import fields

DIGITS = 15
_DOUBLE = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)


def amount_of(body: dict[str, Any], name: str, *, is_rare: bool = False) -> Decimal:
    """The amount in a field of a payload, without the noise of a double. Raises WireError naming the field.

    `is_rare`: the text is unlikely to come again and is not cached. Cached texts of a large statement would
    keep the memory into which its rows were read from being freed.
    """
    text = body.get(name)
    if type(text) is str:
        try:
            return _read(text) if is_rare else _repeated(text)
        except ValueError:
            pass
    return fields.amount_of(body, name)  # it raises, and says what is wrong


def _read(text: str) -> Decimal:
    value = amount(text)
    # Most texts are too short to have more digits, and counting digits takes longer than reading them.
    return value if len(text) <= DIGITS else denoised(value)


# The same few fees, prices and zeros come again and again in a burst.
_repeated = lru_cache(maxsize=1024)(_read)


def denoised(value: Decimal) -> Decimal:
    """`value` rounded half-even to 15 significant digits; a value with no more digits keeps its spelling."""
    if len(value.as_tuple().digits) <= DIGITS:
        return value
    return _DOUBLE.plus(value).normalize(CONTEXT)

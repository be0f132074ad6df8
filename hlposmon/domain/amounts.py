"""The one door from text to Decimal, and the one decimal context.

Money, prices and sizes enter as text and stay Decimal; a float raises TypeError. Sums and products
of what venues send are exact in CONTEXT (a price of 12 digits times a size of 20 has 32); only a
division can be inexact, and then by less than one part in 10**59. No rounding for display here.
"""

import re
from decimal import (
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)

CONTEXT = Context(prec=60, traps=[Clamped, DivisionByZero, FloatOperation, InvalidOperation, Overflow])
ZERO = Decimal(0)

# The longest number seen on the wire has 20 characters; sixty digits are what CONTEXT holds exactly.
_PLAIN = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?\Z", re.ASCII)


def amount(text: str) -> Decimal:
    """The number that `text` spells in plain decimal notation, exactly.

    Raises TypeError for anything but str (a float has already lost digits) and ValueError for text
    that is not a plain, finite decimal: no exponent, no sign but a leading minus, no blanks.
    """
    if type(text) is not str:
        raise TypeError(f"an amount is text, not {type(text).__name__}: {text!r}")
    if not _PLAIN.match(text):
        raise ValueError(f"not a plain decimal: {text[:60]!r}")
    return Decimal(text)


def plain(value: Decimal) -> str:
    """`value` in plain decimal notation, all digits, never an exponent, never a negative zero."""
    if type(value) is not Decimal:
        raise TypeError(f"an amount is a Decimal, not {type(value).__name__}: {value!r}")
    return format(value if value else abs(value), "f")


class exactly:  # it reads as a statement: `with exactly():`
    """The context in which all arithmetic of the domain is done: `with exactly(): ...`.

    As decimal.localcontext(CONTEXT), but without the copy of CONTEXT that takes most of the time there.
    """

    __slots__ = ("_outside",)

    def __enter__(self) -> None:
        self._outside = getcontext()
        setcontext(CONTEXT)

    def __exit__(self, *failure: object) -> None:
        setcontext(self._outside)

"""Strict access to the fields of a JSON value: a missing or mistyped one raises WireError with its name.

There are no defaults and no coercion: a number where text should be is an error, and so is money as a
float. No venue in here.
"""

from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import amount
from hlposmon.errors import WireError

# The last time that can be written as a date: the last millisecond of the year 9999.
_LAST_MS = 253_402_300_799_999


def object_of(value: Any, name: str) -> dict[str, Any]:
    """`value`, which must be an object; the error calls it `name`."""
    if not isinstance(value, dict):
        raise WireError(f"{name}: an object is wanted, not {type(value).__name__}")
    return value


def list_of(value: Any, name: str) -> list[Any]:
    """`value`, which must be a list; the error calls it `name`."""
    if not isinstance(value, list):
        raise WireError(f"{name}: a list is wanted, not {type(value).__name__}")
    return value


def text_of(body: dict[str, Any], name: str) -> str:
    """A field that is text."""
    value = body.get(name)
    if not isinstance(value, str):
        raise WireError(f"{name}: text is wanted, not {value!r:.60}")
    return value


def integer_of(body: dict[str, Any], name: str) -> int:
    """A field that is a whole number, and not a bool."""
    value = body.get(name)
    if type(value) is not int:
        raise WireError(f"{name}: a whole number is wanted, not {value!r:.60}")
    return value


def time_of(body: dict[str, Any]) -> int:
    """The field `time`: Unix milliseconds of a date."""
    value = integer_of(body, "time")
    if not 0 <= value <= _LAST_MS:
        raise WireError(f"time: not milliseconds of a date: {value}")
    return value


def amount_of(body: dict[str, Any], name: str) -> Decimal:
    """A field that is an amount: text, exact to the last digit."""
    value = body.get(name)
    try:
        return amount(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise WireError(f"{name}: {error}") from error

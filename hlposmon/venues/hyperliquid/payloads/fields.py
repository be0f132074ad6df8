"""Fields of a JSON value, strictly: what is missing or of another kind raises WireError with its name.

Nothing is made up and nothing is coerced: a number where text should be is a mistake, and money that
came as a float is one too. No venue in here.
"""

from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import amount
from hlposmon.errors import WireError

# What can be written as a date: the last millisecond of the year 9999.
_LAST_MS = 253_402_300_799_999


def object_of(value: Any, name: str) -> dict[str, Any]:
    """An object; `name` is what it is called in the error."""
    if not isinstance(value, dict):
        raise WireError(f"{name}: an object is wanted, not {type(value).__name__}")
    return value


def list_of(value: Any, name: str) -> list[Any]:
    """A list; `name` is what it is called in the error."""
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

"""JSON text to plain values and back; orjson's only door. Numbers stay what JSON made of them:
an amount must have arrived as a string, so a float is found out by `domain.amounts.amount`.
"""

from decimal import Decimal
from typing import Any

import orjson

from hlposmon.domain.amounts import plain
from hlposmon.errors import WireError


def loads(raw: bytes | str) -> Any:
    """The value that JSON text spells; WireError when it is not JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        start = raw[:60] if isinstance(raw, str) else raw[:60].decode("utf-8", "replace")
        raise WireError(f"not JSON ({error}): {start!r}") from error


def dumps(value: Any) -> bytes:
    """Compact JSON; a Decimal becomes a plain string, anything else unknown raises TypeError."""
    return orjson.dumps(value, default=_decimal)


Fragment = orjson.Fragment


def fragment(value: Any) -> Fragment:
    """`value` as JSON that `dumps` copies to wherever it stands: what stands twice is encoded once.

    It is kept in a block of its own size: orjson leaves its whole buffer behind each text, 8 kB and more
    behind one of 900 bytes.
    """
    return orjson.Fragment(bytes(memoryview(dumps(value))))


def _decimal(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")

"""Decodes the margin tiers of a dex from its description, a meta answer."""

import contextlib
from decimal import Decimal
from typing import Any

from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.coins import new_key_of
from hlposmon.venues.hyperliquid.payloads.fields import amount_of, integer_of, list_of, object_of, text_of

# A table of a lower id is not listed: it has one tier, whose leverage is the id. Source: the exchange's
# documentation, margin tiers.
FIRST_LISTED = 50


def margin_tables(body: Any) -> dict[str, MarginTable]:
    """The margin tables of a meta answer by the coin's key. A coin whose table cannot be read is left out."""
    meta = object_of(body, "meta")
    listed: dict[int, MarginTable] = {}
    for row in list_of(meta.get("marginTables", []), "marginTables"):
        with contextlib.suppress(WireError, ValueError):  # an odd table harms only the coins that have it
            number, table = _pair(row)
            listed[number] = _table(table)
    found: dict[str, MarginTable] = {}
    for row in list_of(meta.get("universe"), "universe"):
        with contextlib.suppress(WireError, ValueError):
            coin = object_of(row, "market")
            key, number = new_key_of(text_of(coin, "name")), integer_of(coin, "marginTableId")
            if number in listed:
                found[key] = listed[number]
            elif number < FIRST_LISTED:
                found[key] = MarginTable.single(Decimal(number))
    return found


def _pair(row: Any) -> tuple[int, Any]:
    pair = list_of(row, "marginTables")
    if len(pair) != 2 or type(pair[0]) is not int:
        raise WireError(f"marginTables: an id and its table are wanted, not {row!r:.60}")
    return pair[0], pair[1]


def _table(body: Any) -> MarginTable:
    tiers = [
        object_of(tier, "tier") for tier in list_of(object_of(body, "table").get("marginTiers"), "tiers")
    ]
    return MarginTable(
        tuple(Tier(amount_of(tier, "lowerBound"), Decimal(integer_of(tier, "maxLeverage"))) for tier in tiers)
    )

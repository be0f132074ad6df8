"""Decodes funding payments.

A row that cannot be read is set aside and named; the other rows of the answer count.
"""

from typing import Any

from hlposmon.domain.reports import Funding
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fields import list_of, object_of, text_of, time_of


def fundings(rows: Any, account: str) -> tuple[list[Funding], list[str]]:
    """The funding payments of watched perpetuals, and a text for each row that could not be read. REST wraps
    each payment in `delta`, the stream does not."""
    found, unread = [], []
    for row in list_of(rows, "fundings"):
        try:
            body = object_of(row, "funding")
            delta = object_of(body["delta"], "delta") if "delta" in body else body
            coin = text_of(delta, "coin")
            if is_watched(coin):
                found.append(
                    Funding(
                        account=account,
                        key=key_of(coin),
                        time_ms=time_of(body),
                        amount=amount_of(delta, "usdc"),
                        size=amount_of(delta, "szi"),
                        rate=amount_of(delta, "fundingRate"),
                    )
                )
        except WireError as error:
            unread.append(f"a funding payment could not be read: {error}")
    return found, unread

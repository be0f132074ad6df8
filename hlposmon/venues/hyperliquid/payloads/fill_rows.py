"""Decodes fill rows, which REST and the stream write in the same way.

A row that cannot be read is set aside and named; the other rows of the message count.
"""

from dataclasses import dataclass
from typing import Any

from hlposmon.domain.reports import Fill, Side
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fields import integer_of, list_of, object_of, text_of, time_of
from hlposmon.venues.port import UnreadFill

_SIDES = {"B": Side.BUY, "A": Side.SELL}


@dataclass(frozen=True, slots=True)
class FillRows:
    """Decoded rows in their order: fills of watched perpetuals, the coins of all others, unreadable rows."""

    fills: list[Fill]
    others: list[str]
    unread: list[UnreadFill]


def fills(rows: Any, account: str, address: str) -> FillRows:
    """Decode fill rows of the account `account` at `address`. Raises WireError if `rows` is not a list."""
    found = FillRows([], [], [])
    for row in list_of(rows, "fills"):
        try:
            body = object_of(row, "fill")
            coin = text_of(body, "coin")
            if is_watched(coin):
                found.fills.append(_fill(body, coin, account, address))
            else:
                found.others.append(coin)
        except WireError as error:
            found.unread.append(UnreadFill(_named(row, error), _time_or_none(row)))
    return found


def times(rows: Any) -> list[int]:
    """The times of rows of any kind in milliseconds, in the order given; rows without one are left out."""
    found = (_time_or_none(row) for row in list_of(rows, "rows"))
    return [time_ms for time_ms in found if time_ms is not None]


def _time_or_none(row: Any) -> int | None:
    try:
        return time_of(object_of(row, "row"))
    except WireError:
        return None


def _named(row: Any, error: WireError) -> str:
    coin = row.get("coin") if isinstance(row, dict) else None
    return f"a fill of {coin:.44} could not be read: {error}" if isinstance(coin, str) else f"a fill: {error}"


def _fill(body: dict[str, Any], coin: str, account: str, address: str) -> Fill:
    side = _SIDES.get(text_of(body, "side"))
    if side is None:
        raise WireError(f"side is neither B nor A: {body['side']!r:.60}")
    size = amount_of(body, "sz")
    if size <= 0:
        raise WireError(f"sz is not positive: {body['sz']!r}")
    liquidation = body.get("liquidation")
    if liquidation is not None:
        liquidation = object_of(liquidation, "liquidation")
    # Both parties' fills carry this object; the liquidation is ours only if the liquidated user is.
    ours = liquidation is not None and str(liquidation.get("liquidatedUser", "")).lower() == address.lower()
    return Fill(
        account=account,
        key=key_of(coin),
        time_ms=time_of(body),
        side=side,
        size=size,
        price=amount_of(body, "px"),
        start_position=amount_of(body, "startPosition"),
        fee=amount_of(body, "fee"),
        # Rows of 2023 have neither: fees were in USDC, and no trade id was given.
        fee_token=text_of(body, "feeToken") if "feeToken" in body else "USDC",
        closed_pnl=amount_of(body, "closedPnl"),
        order_id=integer_of(body, "oid"),
        trade_id=integer_of(body, "tid") if "tid" in body else None,
        hash=text_of(body, "hash"),
        direction=text_of(body, "dir"),
        crossed=body.get("crossed") is True,
        liquidation=str(liquidation.get("method", "market")) if ours and liquidation else None,
    )

"""Fills, as REST and the stream give them: the same rows."""

from typing import Any

from hlposmon.domain.reports import Fill, Side
from hlposmon.errors import WireError
from hlposmon.wire.fields import amount_of, integer_of, list_of, object_of, text_of, time_of
from hlposmon.wire.hyperliquid.coins import is_watched, key_of

_SIDES = {"B": Side.BUY, "A": Side.SELL}


def fills(rows: Any, account: str, address: str) -> tuple[list[Fill], list[str]]:
    """The fills of watched perpetuals in the order given, and the coins of the others."""
    found, others = [], []
    for row in list_of(rows, "fills"):
        body = object_of(row, "fill")
        coin = text_of(body, "coin")
        if is_watched(coin):
            found.append(_fill(body, coin, account, address))
        else:
            others.append(coin)
    return found, others


def times(rows: Any) -> list[int]:
    """The times of rows of any kind, in the order given."""
    return [time_of(object_of(row, "row")) for row in list_of(rows, "rows")]


def _fill(body: dict[str, Any], coin: str, account: str, address: str) -> Fill:
    side = _SIDES.get(text_of(body, "side"))
    if side is None:
        raise WireError(f"fill: side is neither B nor A: {body['side']!r}")
    size = amount_of(body, "sz")
    if size <= 0:
        raise WireError(f"fill: sz is not positive: {body['sz']!r}")
    liquidation = body.get("liquidation")
    if liquidation is not None:
        liquidation = object_of(liquidation, "liquidation")
    # Both sides' fills carry it; it was ours only when the liquidated user is.
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

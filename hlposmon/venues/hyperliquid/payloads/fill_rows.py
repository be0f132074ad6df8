"""Decodes fill rows, which REST and the stream write in the same way.

A row that cannot be read is set aside and named; the other rows of the message count.

What caused a fill is told by several fields, of which the first that applies counts:
1. `liquidation` names the account as the liquidated user. All parties' fills carry this object, and a market
   liquidation has the direction of an ordinary close. Where the object or its user is missing, a direction
   that begins with "Liquidated" says the same of a backstop liquidation.
2. `dir` is one of the venue's own acts (_ACTS).
3. `twapId` is set. In rows of `userTwapSliceFills` it is null inside, and stands beside the fill.
4. `dir` is that of an ordinary trade (_TRADES). Any other is OTHER: the venue adds directions.
"""

from dataclasses import dataclass
from typing import Any

from hlposmon.domain.reports import Fill, FillCause, Side
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fields import integer_of, list_of, object_of, text_of, time_of
from hlposmon.venues.port import UnreadFill

_SIDES = {"B": Side.BUY, "A": Side.SELL}
_LIQUIDATED = "Liquidated "
_ACTS = {
    "Auto-Deleveraging": FillCause.ADL,
    "Settlement": FillCause.SETTLEMENT,
    "Net Child Vaults": FillCause.VAULT,
    "Spot Dust Conversion": FillCause.DUST,
}
_TRADES = frozenset(
    (
        *("Open Long", "Open Short", "Close Long", "Close Short", "Long > Short", "Short > Long"),
        *("Buy", "Sell"),
    )
)


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
            body = _fill_in(object_of(row, "fill"))
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


def _fill_in(row: dict[str, Any]) -> dict[str, Any]:
    """The fill of a row: the row itself, but for a slice of a TWAP, `{"fill": {...}, "twapId": 3156}`."""
    if "fill" not in row:
        return row
    return object_of(row["fill"], "fill") | {"twapId": row.get("twapId")}


def _time_or_none(row: Any) -> int | None:
    try:
        return time_of(_fill_in(object_of(row, "row")))
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
    direction = text_of(body, "dir")
    liquidation = _liquidation(body, direction, address)
    twap_id = integer_of(body, "twapId") if body.get("twapId") is not None else None
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
        direction=direction,
        crossed=body.get("crossed") is True,
        liquidation=liquidation,
        cause=FillCause.LIQUIDATION if liquidation is not None else _cause(direction, twap_id),
        twap_id=twap_id,
        builder_fee=amount_of(body, "builderFee") if body.get("builderFee") is not None else None,
    )


def _liquidation(body: dict[str, Any], direction: str, address: str) -> str | None:
    """How the account at `address` was liquidated in this fill; None if it was not."""
    told = body.get("liquidation")
    about = {} if told is None else object_of(told, "liquidation")
    is_backstop = direction.startswith(_LIQUIDATED)
    user = about.get("liquidatedUser")
    is_ours = is_backstop if user is None else str(user).lower() == address.lower()
    return str(about.get("method", "backstop" if is_backstop else "market")) if is_ours else None


def _cause(direction: str, twap_id: int | None) -> FillCause:
    """What caused a fill that is no liquidation of the account."""
    act = _ACTS.get(direction)
    if act is not None:
        return act
    if twap_id is not None:
        return FillCause.TWAP
    return FillCause.ORDER if direction in _TRADES else FillCause.OTHER

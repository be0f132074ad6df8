"""Decodes account states, requested or pushed, and computes the exact figures behind the truncated ones."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import CONTEXT, exactly, plain
from hlposmon.domain.reports import StatedPosition, Statement
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of, denoised
from hlposmon.venues.hyperliquid.payloads.coins import VENUE, new_key_of
from hlposmon.venues.hyperliquid.payloads.fields import integer_of, list_of, object_of, text_of, time_of


def statement(
    body: Any,
    account: str,
    *,
    asked_s: float,
    now_ms: int,
    fills_from_ms: int | None = None,
    pushed: bool = False,
) -> Statement:
    """Decode a clearinghouseState into a statement of the first dex. Answers of 2023 have no time, and get
    `now_ms` instead.

    A position that cannot be read is named in `unread`, and its coin is then neither flat nor confirmed. A
    position without a readable coin raises WireError: it may be of any coin, so none is known to be flat.
    """
    state = object_of(body, "clearinghouseState")
    summary = object_of(state.get("marginSummary"), "marginSummary")
    rows = list_of(state.get("assetPositions"), "assetPositions")
    positions, unread = _positions(rows)
    return Statement(
        account=account,
        venue=VENUE,
        time_ms=time_of(state) if "time" in state else now_ms,
        asked_s=asked_s,
        positions=positions,
        equity=amount_of(summary, "accountValue"),
        margin_used=amount_of(summary, "totalMarginUsed"),
        withdrawable=amount_of(state, "withdrawable"),
        fills_from_ms=fills_from_ms,
        pushed=pushed,
        unread=unread,
    )


def _positions(rows: list[Any]) -> tuple[tuple[StatedPosition, ...], dict[str, str]]:
    """The positions that could be read; and by key the reason why each of the others could not."""
    found, unread = [], {}
    for row in rows:
        body = object_of(object_of(row, "assetPosition").get("position"), "position")
        key = new_key_of(text_of(body, "coin"))
        try:
            found.append(_stated(body, key))
        except WireError as error:
            unread[key] = str(error)
    return tuple(found), unread


def state_push(
    data: Any, channel: str, names: Mapping[str, str], *, heard_s: float, now_ms: int
) -> tuple[str, Statement | None, list[str]] | None:
    """Decode a pushed account state: its address, the statement of the first dex, and the coins held on other
    dexes, sorted. None if the address is not in `names`, which has account names by address.

    `channel` is `clearinghouseState` (one dex) or `allDexsClearinghouseState` (all; the first is "").
    The statement is None if the message lacks the first dex: unknown, not flat. A row of another dex that
    cannot be read is listed as `dex:?`.
    """
    body = object_of(data, channel)
    user = text_of(body, "user").lower()
    if channel == "clearinghouseState":
        states = [(text_of(body, "dex"), body.get("clearinghouseState"))]
    else:
        states = [_pair(row) for row in list_of(body.get("clearinghouseStates"), "clearinghouseStates")]
    if user not in names:
        return None
    first, others = None, set()
    for dex, state in states:
        if dex == "":
            first = statement(state, names[user], asked_s=heard_s, now_ms=now_ms, pushed=True)
            continue
        others.update(held_coins(state, dex))
    return user, first, sorted(others)


def held_coins(state: Any, dex: str) -> list[str]:
    """The coins that a clearinghouseState of a dex holds; a row that cannot be read is `dex:?`."""
    coins = []
    for row in list_of(object_of(state, f"dex {dex}").get("assetPositions"), "assetPositions"):
        try:
            coins.append(text_of(object_of(object_of(row, "row").get("position"), "position"), "coin"))
        except WireError:
            coins.append(f"{dex}:?")
    return coins


def spot_holdings(body: Any) -> list[str]:
    """The balances of a spotClearinghouseState, as texts such as `HYPE 12.5 (spot)`. The venue goes on
    listing zero balances, which are left out. `hold` may be negative, and nonzero where the total is zero."""
    held = []
    for row in list_of(object_of(body, "spotClearinghouseState").get("balances"), "balances"):
        try:
            balance = object_of(row, "balance")
            coin, total = text_of(balance, "coin"), amount_of(balance, "total")
            if total or ("hold" in balance and amount_of(balance, "hold")):
                held.append(f"{coin:.44} {plain(total.normalize(CONTEXT))} (spot)")
        except WireError as error:
            held.append(f"a spot balance that could not be read ({error})")
    return held


def dex_names(body: Any) -> list[str]:
    """The names of the dexes that a perpDexs answer lists besides the first, which is null there."""
    rows = [row for row in list_of(body, "perpDexs") if row is not None]
    return [text_of(object_of(row, "dex"), "name") for row in rows]


def _pair(row: Any) -> tuple[str, Any]:
    pair = list_of(row, "clearinghouseStates")
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise WireError(f"clearinghouseStates: a dex and its state are wanted, not {row!r:.60}")
    return pair[0], pair[1]


def _stated(body: dict[str, Any], key: str) -> StatedPosition:
    """Decode one position. The venue shows a truncated entry price; the exact one and the mark are computed:
    `mark = positionValue / |szi|`, `entry = (szi * mark - unrealizedPnl) / szi`."""
    size = amount_of(body, "szi", is_rare=True)
    value = amount_of(body, "positionValue", is_rare=True)
    leverage = object_of(body.get("leverage"), "leverage")
    liquidation = body.get("liquidationPx")
    if not size:
        raise WireError("position: szi is zero; flat coins are left out of a statement")
    if value < 0:
        raise WireError(f"position: positionValue is negative: {body['positionValue']!r}")
    with exactly():
        held = value if size > 0 else -value
        entry = (held - amount_of(body, "unrealizedPnl", is_rare=True)) / size
        # Both amounts have six decimals: entry prices within that rounding, and one in a million, are equal.
        tolerance = Decimal("0.000003") / abs(size) + abs(entry) / 1_000_000
        # A quotient of two doubles: without their noise it is the price from which they were computed.
        mark = denoised(value / abs(size))
    return StatedPosition(
        key=key,
        size=size,
        entry_price=entry,
        mark_price=mark if value else None,
        leverage=Decimal(integer_of(leverage, "value")),
        margin_used=amount_of(body, "marginUsed", is_rare=True),
        liquidation_price=None if liquidation is None else amount_of(body, "liquidationPx", is_rare=True),
        tolerance=tolerance,
    )

"""Account states, asked for and pushed, and the exact figures behind the truncated ones."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import exactly
from hlposmon.domain.reports import StatedPosition, Statement
from hlposmon.errors import WireError
from hlposmon.wire.fields import amount_of, integer_of, list_of, object_of, text_of, time_of
from hlposmon.wire.hyperliquid.coins import VENUE, key_of


def statement(
    body: Any,
    account: str,
    *,
    asked_s: float,
    now_ms: int,
    fills_from_ms: int | None = None,
    pushed: bool = False,
) -> Statement:
    """A clearinghouseState as a statement of the first dex. Answers of 2023 have no time: `now_ms`."""
    state = object_of(body, "clearinghouseState")
    summary = object_of(state.get("marginSummary"), "marginSummary")
    rows = list_of(state.get("assetPositions"), "assetPositions")
    return Statement(
        account=account,
        venue=VENUE,
        time_ms=time_of(state) if "time" in state else now_ms,
        asked_s=asked_s,
        positions=tuple(_stated(object_of(row, "assetPosition").get("position")) for row in rows),
        equity=amount_of(summary, "accountValue"),
        margin_used=amount_of(summary, "totalMarginUsed"),
        withdrawable=amount_of(state, "withdrawable"),
        fills_from_ms=fills_from_ms,
        pushed=pushed,
    )


def state_push(
    data: Any, channel: str, names: Mapping[str, str], *, heard_s: float, now_ms: int
) -> tuple[str, Statement | None, list[str]] | None:
    """A pushed account state: whose (the address), what the first dex states, and the coins that are
    held on other dexes, in their order. `names` has the account's name by address.

    For `clearinghouseState` (one dex) and `allDexsClearinghouseState` (the first dex is ""). No
    statement where the first dex is not in it: that is unknown and not flat. None for a stranger.
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
        for row in list_of(object_of(state, f"dex {dex}").get("assetPositions"), "assetPositions"):
            held = object_of(row, "assetPosition").get("position")
            others.add(text_of(object_of(held, "position"), "coin"))
    return user, first, sorted(others)


def _pair(row: Any) -> tuple[str, Any]:
    pair = list_of(row, "clearinghouseStates")
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise WireError(f"clearinghouseStates: a dex and its state are wanted, not {row!r:.60}")
    return pair[0], pair[1]


def _stated(row: Any) -> StatedPosition:
    """One position. The shown entry price is truncated; the exact one, and the mark, are worked out:
    `mark = positionValue / |szi|`, `entry = (szi * mark - unrealizedPnl) / szi`."""
    body = object_of(row, "position")
    size, value = amount_of(body, "szi"), amount_of(body, "positionValue")
    leverage = object_of(body.get("leverage"), "leverage")
    liquidation = body.get("liquidationPx")
    if not size:
        raise WireError("position: szi is zero; flat coins are left out of a statement")
    if value < 0:
        raise WireError(f"position: positionValue is negative: {body['positionValue']!r}")
    with exactly():
        held = value if size > 0 else -value
        entry = (held - amount_of(body, "unrealizedPnl")) / size
        # Both amounts are given to six decimals; beyond that and a part in a million they are equal.
        tolerance = Decimal("0.000003") / abs(size) + abs(entry) / 1_000_000
        mark = value / abs(size)
    return StatedPosition(
        key=key_of(text_of(body, "coin")),
        size=size,
        entry_price=entry,
        mark_price=mark if value else None,
        leverage=Decimal(integer_of(leverage, "value")),
        margin_used=amount_of(body, "marginUsed"),
        liquidation_price=None if liquidation is None else amount_of(body, "liquidationPx"),
        tolerance=tolerance,
    )


def marks_of(statements: Iterable[Statement]) -> dict[str, Decimal]:
    """The mark prices that statements imply, exact where the venue's are."""
    return {
        position.key: position.mark_price
        for statement in statements
        for position in statement.positions
        if position.mark_price is not None
    }

"""Decodes account states, requested or pushed, and computes the exact figures behind the truncated ones."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import exactly
from hlposmon.domain.instrument import SPOT, USD
from hlposmon.domain.reports import FIRST_SCOPE, MarginMode, StatedPosition, Statement
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of, denoised
from hlposmon.venues.hyperliquid.payloads.coins import VENUE, dex_of, new_key_of, token_key_of
from hlposmon.venues.hyperliquid.payloads.fields import integer_of, list_of, object_of, text_of, time_of

ONE = Decimal(1)
_MARGIN_MODES = {mode.value: mode for mode in MarginMode}


def statement(
    body: Any,
    account: str,
    *,
    dex: str = FIRST_SCOPE,
    asked_s: float,
    now_ms: int,
    fills_from_ms: int | None = None,
    pushed: bool = False,
) -> Statement:
    """Decode a clearinghouseState into a statement of that dex ("" is the first). Answers of 2023 have no
    time, and get `now_ms` instead.

    A position that cannot be read is named in `unread`, and its coin is then neither flat nor confirmed. A
    position without a readable coin raises WireError: it may be of any coin, so none is known to be flat. So
    does one of another dex's coin: the answer is not that of the question.
    """
    state = object_of(body, "clearinghouseState")
    summary = object_of(state.get("marginSummary"), "marginSummary")
    rows = list_of(state.get("assetPositions"), "assetPositions")
    positions, unread = _positions(rows, dex)
    # Answers of 2023 lack some of these.
    cross = object_of(state.get("crossMarginSummary", {}), "crossMarginSummary")
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
        scope=dex,
        cross_equity=_maybe(cross, "accountValue"),
        cross_cash=_maybe(cross, "totalRawUsd"),
        cross_maintenance=_maybe(state, "crossMaintenanceMarginUsed"),
    )


def _maybe(body: dict[str, Any], name: str) -> Decimal | None:
    return amount_of(body, name, is_rare=True) if name in body else None


def _positions(rows: list[Any], dex: str) -> tuple[tuple[StatedPosition, ...], dict[str, str]]:
    """The positions that could be read; and by key the reason why each of the others could not."""
    found, unread = [], {}
    for row in rows:
        body = object_of(object_of(row, "assetPosition").get("position"), "position")
        coin = text_of(body, "coin")
        key = new_key_of(coin)
        if dex_of(coin) != dex:
            raise WireError(f"coin: {coin:.60} is not of the dex {dex!r:.60}")
        try:
            found.append(_stated(body, key))
        except WireError as error:
            unread[key] = str(error)
    return tuple(found), unread


@dataclass(frozen=True, slots=True)
class StatePush:
    """A pushed account state: its address, a statement of each dex, and the dexes that could not be read."""

    user: str
    statements: tuple[Statement, ...]
    unread: tuple[str, ...]


def state_push(
    data: Any, channel: str, names: Mapping[str, str], *, heard_s: float, now_ms: int
) -> StatePush | None:
    """Decode a pushed account state. None if the address is not in `names`, which has account names by
    address.

    `channel` is `clearinghouseState` (one dex) or `allDexsClearinghouseState` (all; the first is ""). A dex
    whose state cannot be read harms no other; raises WireError if that is the first.
    """
    body = object_of(data, channel)
    user = text_of(body, "user").lower()
    if channel == "clearinghouseState":
        states = [(text_of(body, "dex"), body.get("clearinghouseState"))]
    else:
        states = [_pair(row) for row in list_of(body.get("clearinghouseStates"), "clearinghouseStates")]
    if user not in names:
        return None
    found, unread = [], []
    for dex, state in states:
        try:
            said = statement(state, names[user], dex=dex, asked_s=heard_s, now_ms=now_ms, pushed=True)
            found.append(said)
        except WireError:
            if dex == FIRST_SCOPE:
                raise
            unread.append(dex)
    return StatePush(user, tuple(found), tuple(unread))


def spot_statement(
    body: Any, account: str, *, time_ms: int, asked_s: float, pushed: bool = False
) -> Statement:
    """Decode a spotClearinghouseState: a balance for each token with a total. It has no time of its own, so
    the caller gives the venue's.

    `total` includes `hold`; it is negative where the token is borrowed. What a token cost is `entryNtl`, in
    USDC, and 0 for USDC itself, which counts as one dollar. A balance that cannot be read is named in
    `unread`; one without a readable name raises WireError. In portfolio margin it has the account's ratio.
    """
    found: dict[str, StatedPosition] = {}
    unread: dict[str, str] = {}
    for row in list_of(object_of(body, "spotClearinghouseState").get("balances"), "balances"):
        balance = object_of(row, "balance")
        key = token_key_of(text_of(balance, "coin"))
        try:
            stated = _balance(balance, key)
            if key in found:
                raise WireError(f"there are two balances of {key}")
            if stated.size:
                found[key] = stated
        except WireError as error:
            unread[key] = str(error)
    positions = tuple(stated for key, stated in found.items() if key not in unread)
    ratio = None
    with contextlib.suppress(WireError):  # it is there in portfolio margin only, and harms no balance
        ratio = amount_of(body, "portfolioMarginRatio", is_rare=True)
    return Statement(
        account,
        VENUE,
        time_ms,
        asked_s,
        positions,
        pushed=pushed,
        unread=unread,
        scope=SPOT,
        margin_ratio=ratio,
    )


def _balance(balance: dict[str, Any], key: str) -> StatedPosition:
    total = amount_of(balance, "total", is_rare=True)
    hold = amount_of(balance, "hold", is_rare=True) if "hold" in balance else None
    cost = amount_of(balance, "entryNtl", is_rare=True)
    entry = None
    if key == token_key_of(USD):
        entry = ONE
    elif total:
        with exactly():
            entry = cost / total
    return StatedPosition(key, total, entry if entry is None or entry >= 0 else None, hold=hold)


def spot_pairs(body: Any) -> dict[str, str]:
    """The keys of the tokens of a spotMeta answer that are traded for USDC, by their pair's name (`@107`):
    a pair's price is that of its token. Pairs and tokens are joined by index, not by place."""
    tokens = token_names(body)
    found: dict[str, str] = {}
    for row in list_of(object_of(body, "spotMeta").get("universe"), "universe"):
        with contextlib.suppress(WireError):  # an odd pair prices nothing, and harms no other
            pair = object_of(row, "pair")
            sides = list_of(pair.get("tokens"), "tokens")
            if len(sides) != 2 or not all(type(side) is int for side in sides):
                continue
            if tokens.get(sides[1]) == USD and sides[0] in tokens:
                found[text_of(pair, "name")] = token_key_of(tokens[sides[0]])
    return found


def token_prices(body: Any) -> dict[str, Decimal]:
    """The marks of a spotMetaAndAssetCtxs answer by the token's key; USDC is 1. Contexts are joined to their
    pairs by name: they stand in another order. One that cannot be read is left out."""
    pair = list_of(body, "spotMetaAndAssetCtxs")
    if len(pair) != 2:
        raise WireError("spotMetaAndAssetCtxs: a meta and its contexts are wanted")
    keys, found = spot_pairs(pair[0]), {token_key_of(USD): ONE}
    for row in list_of(pair[1], "contexts"):
        with contextlib.suppress(WireError):
            context = object_of(row, "context")
            key = keys.get(text_of(context, "coin"))
            if key is not None:
                found[key] = amount_of(context, "markPx")
    return found


def token_names(body: Any) -> dict[int, str]:
    """The names of all tokens of a spotMeta answer by index, which is not their place in the list."""
    rows = [object_of(row, "token") for row in list_of(object_of(body, "spotMeta").get("tokens"), "tokens")]
    return {integer_of(row, "index"): text_of(row, "name") for row in rows}


def collateral_token(body: Any) -> int:
    """The index of the token that a meta answer names as the collateral of its dex."""
    return integer_of(object_of(body, "meta"), "collateralToken")


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
        margin_mode=_MARGIN_MODES.get(str(leverage.get("type"))),
        max_leverage=Decimal(integer_of(body, "maxLeverage")) if "maxLeverage" in body else None,
        cash=_maybe(leverage, "rawUsd"),
    )

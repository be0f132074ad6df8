"""What each channel carries: the messages of live facts, of snapshots, and of what is pushed each second.

Pure: values in, JSON-ready values out. Live messages have no `isSnapshot` key, snapshots have it
true and stand oldest first, as seen on the venue.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hlposmon.simulator import metas
from hlposmon.simulator.facts import Fact, Fill, FundingPayment, LedgerUpdate, Row
from hlposmon.simulator.info import PAGE, Info
from hlposmon.simulator.ledger import ZERO
from hlposmon.simulator.numbers import printed
from hlposmon.simulator.subscription import Subscription
from hlposmon.simulator.world import World

OF_FILLS = ("userFills", "userEvents", "orderUpdates")


def message(subscription: Subscription, data: Any) -> Row:
    """One message of a subscription's channel."""
    return {"channel": subscription.channel, "data": data}


def of_fills(subscription: Subscription, fills: Sequence[Fill]) -> list[Row]:
    """The messages that a subscription gets for fills of its user that were made in one block."""
    rows = [fill.row() for fill in fills]
    if subscription.kind == "userFills":
        return [message(subscription, {"user": subscription.user, "fills": rows})]
    if subscription.kind == "userEvents":
        return [message(subscription, {"fills": rows})]
    if subscription.kind == "orderUpdates":
        return [message(subscription, [_order_update(fill) for fill in _last_of_orders(fills)])]
    return []


def _last_of_orders(fills: Sequence[Fill]) -> list[Fill]:
    return list({fill.order.oid: fill for fill in fills}.values())


def _order_update(fill: Fill) -> Row:
    order: Row = {
        "coin": fill.coin,
        "side": fill.side,
        "limitPx": printed(fill.price),
        "sz": "0.0",
        "oid": fill.order.oid,
        "timestamp": fill.time,
        "origSz": printed(fill.size),
    }
    if fill.order.cloid is not None:
        order["cloid"] = fill.order.cloid
    return {"order": order, "status": "filled", "statusTimestamp": fill.time}


def of_fundings(subscription: Subscription, payments: Sequence[FundingPayment]) -> list[Row]:
    """The messages that a subscription gets for its user's funding payments."""
    rows = [payment.flat() for payment in payments]
    if subscription.kind == "userFundings":
        return [message(subscription, {"user": subscription.user, "fundings": rows})]
    if subscription.kind == "userEvents":
        return [message(subscription, {"funding": row}) for row in rows]
    return []


def of_updates(subscription: Subscription, updates: Sequence[LedgerUpdate]) -> list[Row]:
    """The messages that a subscription gets for its user's ledger updates."""
    if subscription.kind == "userNonFundingLedgerUpdates":
        rows = [update.row() for update in updates]
        return [message(subscription, {"user": subscription.user, "nonFundingLedgerUpdates": rows})]
    if subscription.kind == "userEvents":
        return [
            message(subscription, {"liquidation": _liquidation(update)})
            for update in updates
            if update.delta["type"] == "liquidation"
        ]
    return []


def _liquidation(update: LedgerUpdate) -> Row:
    delta = update.row()["delta"]
    return {
        "lid": update.time,
        "liquidator": metas.NULL_ADDRESS,
        "liquidated_user": update.account,
        "liquidated_ntl_pos": delta["liquidatedNtlPos"],
        "liquidated_account_value": delta["accountValue"],
    }


def told(subscription: Subscription, facts: Sequence[Fact]) -> list[Row]:
    """The messages that a subscription gets for facts about its user."""
    fills = [fact for fact in facts if isinstance(fact, Fill)]
    payments = [fact for fact in facts if isinstance(fact, FundingPayment)]
    updates = [fact for fact in facts if isinstance(fact, LedgerUpdate)]
    said = of_fills(subscription, fills) if fills else []
    said += of_fundings(subscription, payments) if payments else []
    return said + (of_updates(subscription, updates) if updates else [])


def snapshot(subscription: Subscription, info: Info) -> Row | None:
    """The first message of a channel that begins with one; at most 2000 rows, oldest first."""
    account, user = info.account(subscription.user), subscription.user
    if subscription.kind == "userFills":
        rows = [fill.row() for fill in info.kept_fills(user)[-PAGE:]]
        return message(subscription, {"user": user, "fills": rows, "isSnapshot": True})
    if subscription.kind == "userFundings":
        rows = [payment.flat() for payment in account.fundings[-PAGE:]] if account else []
        return message(subscription, {"user": user, "fundings": rows, "isSnapshot": True})
    if subscription.kind == "userNonFundingLedgerUpdates":
        rows = [update.row() for update in account.updates[-PAGE:]] if account else []
        return message(subscription, {"user": user, "nonFundingLedgerUpdates": rows, "isSnapshot": True})
    if subscription.kind == "userTwapSliceFills":
        return message(subscription, {"user": user, "twapSliceFills": [], "isSnapshot": True})
    return None


def pushed(subscription: Subscription, world: World, info: Info, now: int) -> Row | None:
    """What a subscription is sent each second, and at once when it begins; None for the others."""
    data = _of_prices(subscription, world, now) or _of_account(subscription, world, info, now)
    return None if data is None else message(subscription, data)


def _of_prices(subscription: Subscription, world: World, now: int) -> Row | None:
    kind, coin, dex = subscription.kind, subscription.coin, subscription.dex
    if kind == "allMids":
        named = {"dex": dex} if dex else {}
        return {"mids": metas.mids(world, dex), **named}
    if kind == "activeAssetCtx":
        return {"coin": coin, "ctx": metas.context(world.quotes[coin])}
    if kind == "assetCtxs":
        return {"dex": dex, "ctxs": metas.contexts(world, dex)}
    if kind == "allDexsAssetCtxs":
        return {"ctxs": [[name, metas.contexts(world, name)] for name in metas.DEXS]}
    if kind == "bbo":
        quote = world.quotes[coin]
        levels = [{"px": printed(price), "sz": "10.0", "n": 1} for price in (quote.bid, quote.ask)]
        return {"coin": coin, "time": now, "bbo": levels}
    return None


def _of_account(subscription: Subscription, world: World, info: Info, now: int) -> Row | None:
    kind, user, dex = subscription.kind, subscription.user, subscription.dex
    if kind == "clearinghouseState":
        return {"dex": dex, "user": user, "clearinghouseState": info.state(user, dex, now)}
    if kind == "allDexsClearinghouseState":
        states = [[name, info.state(user, name, now)] for name in metas.DEXS]
        return {"user": user, "clearinghouseStates": states}
    if kind == "spotState":
        return {"user": user, "spotState": info.spot(user)}
    if kind == "openOrders":
        orders = info.answer({"type": "frontendOpenOrders", "user": user, "dex": dex}, now)
        return {"dex": dex, "user": user, "orders": orders}
    if kind == "activeAssetData":
        return _asset_data(subscription, world, info, now)
    if kind == "webData3":
        state: Row = {"agentAddress": None, "serverTime": now, "cumLedger": "0.0", "isVault": False}
        return {"userState": state | {"user": user}, "perpDexStates": [{} for _ in metas.DEXS]}
    return None


def _asset_data(subscription: Subscription, world: World, info: Info, now: int) -> Row:
    user, coin = subscription.user, subscription.coin
    quote = world.quotes[coin]
    held = info.view(user, now).positions.get(coin)
    leverage = held.margin.leverage if held else min(10, quote.market.max_leverage)
    cash = max(ZERO, info.view(user, now).cash.get(quote.market.dex, ZERO))
    lot = 10**quote.market.sz_decimals
    size = printed(Fraction(int(cash * leverage / quote.mark * lot), lot))
    return {
        "user": user,
        "coin": coin,
        "leverage": {"type": "cross", "value": leverage},
        "maxTradeSzs": [size, size],
        "availableToTrade": [printed(cash), printed(cash)],
        "markPx": printed(quote.mark),
    }


def packed(contexts: dict[str, dict[str, str]]) -> str:
    """The text of a `fastAssetCtxs` message: base64 of raw DEFLATE of JSON."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = squeeze.compress(json.dumps(contexts, separators=(",", ":")).encode()) + squeeze.flush()
    return base64.b64encode(raw).decode()

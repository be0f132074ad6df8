"""The socket's messages as plain values in the shapes of docs/api.md: position, fill, account."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from hlposmon.domain.rendering import (
    Rendered,
    Renderer,
    entry,
    fill_id,
    is_listed,
    money,
    number,
    side_of,
    symbol_of,
    time_text,
)
from hlposmon.domain.reports import Fill
from hlposmon.domain.views import AccountView, ScopeView, View
from hlposmon.text import Fragment, fragment

T = TypeVar("T")
_CENT = Decimal("0.01")


def position(shown: Rendered, updated_ms: int | None) -> dict[str, Any]:
    """Return a position as the summary and the stream show it, for `text.dumps`.

    Money, prices and sizes are decimal strings, times RFC 3339; an unknown value is None. `updated_ms` is the
    wall-clock time of its last change in Unix milliseconds.
    """
    view = shown.view
    held = view.position
    return {
        "key": shown.key,
        "account": shown.account,
        "venue": shown.venue,
        "type": shown.type,
        "dex": shown.dex,
        "quote": view.quote,
        "coin": shown.coin,
        "symbol": shown.symbol,
        "side": side_of(held.size),
        "quantity": shown.quantity,
        "size": shown.size,
        "entry_price": shown.entry_price,
        "current_price": shown.mark_price,
        "mark_price": shown.mark_price,
        "unrealized_pnl": shown.unrealized_pnl,
        "realized_pnl": shown.realized_pnl,
        "closed_pnl": shown.closed_pnl,
        "fees": shown.fees,
        "funding": shown.funding,
        "total_pnl": shown.total_pnl,
        "notional_value": shown.notional_value,
        "margin_mode": None if view.margin_mode is None else view.margin_mode.value,
        "leverage": shown.leverage,
        "max_leverage": shown.max_leverage,
        "margin_used": shown.margin_used,
        # The margin and the distance move with each mark: they are worked out where a position is encoded.
        "maintenance_margin": None if view.margin_table is None else money(view.maintenance_margin),
        "liquidation_price": shown.liquidation_price,
        "liquidation_distance": None if view.liquidation_price is None else entry(view.liquidation_distance),
        "hold": number(view.hold),
        "fills": held.fills,
        "verdict": str(view.verdict),
        "verdict_reason": view.reason,
        "proof": str(view.proof),
        "as_of": time_text(view.as_of_ms),
        "block": view.block,
        "last_fill_time": time_text(view.last_fill_ms),
        "last_updated": time_text(updated_ms),
        "is_flat": held.is_flat,
    }


def fill(one: Fill) -> dict[str, Any]:
    """Return a fill as the stream shows it, for `text.dumps`.

    `quantity` is unsigned, `side` is buy or sell, and ids are strings except `tid` and `twap_id`.
    `builder_fee` is a part of `fee`; `liquidation` is how the account itself was liquidated.
    """
    return {
        "symbol": symbol_of(one.key),
        "side": str(one.side),
        "quantity": number(one.size),
        "price": number(one.price),
        "timestamp": time_text(one.time_ms),
        "order_id": str(one.order_id),
        "fill_id": fill_id(one),
        "tid": one.trade_id,
        "fee": money(one.fee),
        "fee_token": one.fee_token,
        "builder_fee": None if one.builder_fee is None else money(one.builder_fee),
        "cause": str(one.cause),
        "liquidation": one.liquidation,
        "twap_id": one.twap_id,
    }


def positions(
    views: Iterable[View], renderer: Renderer, updated_ms: Callable[[str, str], int | None]
) -> dict[str, Fragment]:
    """Return the listed positions of one account, each encoded, by symbol, or by key if two share a symbol.

    `updated_ms` returns the time of a position's last change (account, key). A position is encoded again
    only when it has changed.
    """
    listed = [renderer.render(view) for view in views if is_listed(view)]
    held = Counter(shown.symbol for shown in listed)
    has_double = len(held) < len(listed)
    return {
        shown.key if has_double and held[shown.symbol] > 1 else shown.symbol: encoded_position(
            shown, updated_ms(shown.account, shown.key)
        )
        for shown in listed
    }


def encoded_position(shown: Rendered, updated_ms: int | None) -> Fragment:
    """Return `position(shown, updated_ms)` as JSON, cached on `shown` until the position changes.

    The message about a change and all later summaries share the encoded bytes.
    """
    if shown.encoded is None or shown.encoded[0] != updated_ms:
        shown.encoded = updated_ms, fragment(position(shown, updated_ms))
    encoded: Fragment = shown.encoded[1]
    return encoded


def of_all(shown: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """Return the positions of several accounts in one dict, by `account/label`."""
    return {f"{name}/{label}": row for name, rows in shown.items() for label, row in rows.items()}


def account(
    view: AccountView, scopes: Iterable[ScopeView], address: str | None, agent: str | None = None
) -> dict[str, Any]:
    """Return the summary's fields of an account other than its sums and positions.

    `address` is watched; `agent` was configured in its place, if that is an agent's: then `role` is that of
    the agent, and `master` the account. `equity`, `margin_used` and `withdrawable` are decimal strings; they
    are None while unknown, never 0, and `equity_reason` says why. So are `maintenance_margin` and
    `margin_ratio` (a fraction), with `margin_reason`. `followed` is how its fills are known: by `stream`, or
    by `poll` in a round each `round_s` seconds (None for a stream).
    """
    return {
        "address": address,
        "equity": money(view.equity),
        "margin_used": money(view.margin_used),
        "maintenance_margin": money(view.maintenance_margin),
        "margin_ratio": entry(view.margin_ratio),
        "withdrawable": money(view.withdrawable),
        "equity_reason": view.equity_reason,
        "margin_reason": view.margin_reason,
        "unexplained": _cents(view.unexplained),
        "unexplained_reason": view.unexplained_reason,
        "mode": view.mode,
        "role": "agent" if agent else view.role or None,
        "master": address if agent else view.owner,
        "agent": agent,
        "followed": "stream" if view.round_s is None else "poll",
        "round_s": view.round_s,
        "verdict": view.verdict.value,
        "verdict_reason": view.reason,
        "as_of": time_text(view.as_of_ms),
        "scopes": [scope(one) for one in scopes],
        "notices": [notice.text for notice in view.notices],
    }


def _cents(value: Decimal | None) -> str | None:
    """An amount that is compared to the cent, to the cent."""
    if value is None:
        return None
    cents = value.quantize(_CENT)
    return str(cents or abs(cents))  # never -0.00


def scope(view: ScopeView) -> dict[str, Any]:
    """Return a scope of an account: one market, with figures in its `quote` token (None while unknown)."""
    return {
        "name": view.name,
        "market": view.market.value,
        "quote": view.quote,
        "equity": money(view.equity),
        "margin_used": money(view.margin_used),
        "withdrawable": money(view.withdrawable),
        "as_of": time_text(view.as_of_ms),
        "proof": view.proof.value,
        "verdict": view.verdict.value,
        "verdict_reason": view.reason,
    }


# Fields of an announcement (gap, healed, drift, liquidation) that its compact form renames or leaves out.
_HEAD = ("type", "seq", "account", "key", "symbol", "timestamp")


def compact_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the compact form of a message: only what changed, about 100 bytes for a price.

    `e` event (`p` for a price), `a` account, `k` symbol, `m` mark price, `u` unrealised P&L in USD, `t` the
    time as of which it holds, `s` size, `x` entry price, `r` realised P&L; of a verdict `v` and `why`; of a
    fill `side`, `q` quantity, `p` price, `id`, `c` cause. Announcements keep the names of their other fields.
    """
    event = body.get("event_type", body["type"])
    short = {"seq": body["seq"], "e": event, "a": body["account"]}
    if "symbol" in body:  # not where a message concerns a whole account
        short["k"] = body["symbol"]
    if body["type"] != "position_update":
        return short | {name: value for name, value in body.items() if name not in _HEAD}
    position = body["position"]
    if event == "price_update":
        return short | {"e": "p", "m": position["mark_price"], "u": position["unrealized_pnl"]}
    short["t"] = position["as_of"]
    if event == "verdict":
        return short | {"v": position["verdict"], "why": position["verdict_reason"]}
    short |= {"s": position["size"], "x": position["entry_price"], "r": position["realized_pnl"]}
    if (fill := body["fill"]) is not None:
        short |= {"side": fill["side"], "q": fill["quantity"], "p": fill["price"], "id": fill["fill_id"]}
        short["c"] = fill["cause"]
    return short

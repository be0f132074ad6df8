"""What the socket serves, as plain values in the contract's shapes: position, summary, fill, change.

Times are RFC 3339 UTC with milliseconds and a Z; amounts are decimal strings without exponent. Sizes
and marks keep all their digits, an entry price has ten significant ones, and money that a division
made endless is rounded half-even to ten decimals. Rounding for display happens here and nowhere else.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, TypeVar

from hlposmon.domain.amounts import CONTEXT, ZERO, exactly, plain
from hlposmon.domain.reports import Fill
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, View
from hlposmon.wire.record import PositionRecord

T = TypeVar("T")

_TEN_DIGITS = Context(prec=10, rounding=ROUND_HALF_EVEN)
_TEN_DECIMALS = Decimal(1).scaleb(-10)
# Room for ten decimals behind the largest product that CONTEXT holds.
_WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)
_CENTS = 2


def time_text(ms: int | None) -> str | None:
    """Unix milliseconds as `2026-11-20T10:00:00.123Z`."""
    if ms is None:
        return None
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}Z"


def number(value: Decimal | None) -> str | None:
    """All digits, without trailing zeros."""
    return None if value is None else plain(value.normalize(CONTEXT))


def entry(value: Decimal | None) -> str | None:
    """An average price: ten significant digits."""
    return None if value is None else number(_TEN_DIGITS.plus(value))


def money(value: Decimal | None) -> str | None:
    """At least cents, at most ten decimals."""
    if value is None:
        return None
    if value.as_tuple().exponent < -10:  # type: ignore[operator]  # never NaN
        value = value.quantize(_TEN_DECIMALS, context=_WIDE)
    text = plain(value.normalize(CONTEXT))
    _, _, decimals = text.partition(".")
    if len(decimals) < _CENTS:
        text = (text if decimals else text + ".") + "0" * (_CENTS - len(decimals))
    return text


def symbol_of(key: str) -> str:
    """`BTC-USD` for `hyperliquid:Perp:BTC`; the bare name for what is not a perpetual."""
    _, kind, name = key.split(":", 2)
    return f"{name}-USD" if kind == "Perp" else name


def side_of(size: Decimal) -> str:
    return "flat" if not size else "long" if size > 0 else "short"


@dataclass(frozen=True, slots=True)
class Figures:
    """What follows from a position and a mark: exact, in the quote token."""

    unrealized: Decimal | None
    notional: Decimal | None
    total: Decimal | None


def figures(view: View) -> Figures:
    """`total = realised + unrealised - fees + funding`; None where there is no mark for an open one."""
    position = view.position
    with exactly():
        booked = position.realized - position.fees + position.funding
        if position.is_flat:
            return Figures(ZERO, ZERO, booked)
        if view.mark is None:
            return Figures(None, None, None)
        unrealized = position.unrealized(view.mark)
        return Figures(unrealized, position.notional(view.mark), booked + unrealized)


def position(view: View, updated_ms: int | None) -> dict[str, Any]:
    held, shown = view.position, figures(view)
    venue, _, coin = view.key.split(":", 2)
    return {
        "key": view.key,
        "account": view.account,
        "venue": venue,
        "coin": coin,
        "symbol": symbol_of(view.key),
        "side": side_of(held.size),
        "quantity": number(abs(held.size)),
        "size": number(held.size),
        "entry_price": entry(held.entry_price),
        "current_price": number(view.mark),
        "mark_price": number(view.mark),
        "unrealized_pnl": money(shown.unrealized),
        "realized_pnl": money(held.realized),
        "closed_pnl": money(held.closed_pnl),
        "fees": money(held.fees),
        "funding": money(held.funding),
        "total_pnl": money(shown.total),
        "notional_value": money(shown.notional),
        "leverage": number(view.leverage),
        "margin_used": money(view.margin_used),
        "liquidation_price": number(view.liquidation_price),
        "fills": held.fills,
        "verdict": view.verdict.value,
        "verdict_reason": view.reason,
        "last_fill_time": time_text(view.last_fill_ms),
        "last_updated": time_text(updated_ms),
        "is_flat": held.is_flat,
    }


def record(view: View, updated_ms: int) -> PositionRecord:
    """The same figures for the snapshot: both surfaces show the same digits."""
    held, shown = view.position, figures(view)
    return PositionRecord(
        account=view.account,
        key=view.key,
        symbol=symbol_of(view.key),
        verdict=view.verdict.value,
        verdict_reason=view.reason or "",
        size=_shown(number(held.size)),
        entry_price=_maybe(entry(held.entry_price)),
        mark_price=_maybe(number(view.mark)),
        unrealized_pnl=_maybe(money(shown.unrealized)),
        realized_pnl=_shown(money(held.realized)),
        fees=_shown(money(held.fees)),
        funding=_shown(money(held.funding)),
        notional_value=_maybe(money(shown.notional)),
        leverage=_maybe(number(view.leverage)),
        margin_used=_maybe(money(view.margin_used)),
        liquidation_price=_maybe(number(view.liquidation_price)),
        last_fill_ms=view.last_fill_ms,
        last_updated_ms=updated_ms,
        fills=held.fills,
    )


def _shown(text: str | None) -> Decimal:
    return Decimal(text or 0)


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def fill(one: Fill) -> dict[str, Any]:
    return {
        "symbol": symbol_of(one.key),
        "side": one.side.value,
        "quantity": number(one.size),
        "price": number(one.price),
        "timestamp": time_text(one.time_ms),
        "order_id": str(one.order_id),
        "fill_id": fill_id(one),
        "tid": one.trade_id,
        "fee": money(one.fee),
        "fee_token": one.fee_token,
    }


def fill_id(one: Fill) -> str:
    """The trade id as text; for rows older than trade ids, order and time."""
    return str(one.trade_id) if one.trade_id is not None else f"{one.order_id}-{one.time_ms}"


def is_listed(view: View) -> bool:
    """Open positions are listed, and flat ones while their flatness is in doubt."""
    return not view.position.is_flat or view.in_doubt or view.verdict is Verdict.DRIFT


def totals(views: Iterable[View], *, is_whole: bool = True) -> dict[str, Any]:
    """Sums over positions, flat ones included: what was earned on them stays.

    While an open position has no mark, the sums that need one are None: a part of a sum is no sum. So it is
    where they are not of the whole, as something that is held could not be read.
    """
    count, is_marked = 0, is_whole
    sums = dict.fromkeys(("exposure", "total", "realized", "unrealized", "fees", "funding"), ZERO)
    with exactly():
        for view in views:
            shown, held = figures(view), view.position
            count += not held.is_flat
            is_marked = is_marked and shown.total is not None
            sums["exposure"] += shown.notional or ZERO
            sums["unrealized"] += shown.unrealized or ZERO
            sums["total"] += shown.total or ZERO
            sums["realized"] += held.realized
            sums["fees"] += held.fees
            sums["funding"] += held.funding
    return {
        "active_positions": count,
        "total_exposure": money(sums["exposure"]) if is_marked else None,
        "total_pnl": money(sums["total"]) if is_marked else None,
        "realized_pnl": money(sums["realized"]),
        "unrealized_pnl": money(sums["unrealized"]) if is_marked else None,
        "fees": money(sums["fees"]),
        "funding": money(sums["funding"]),
    }


def positions(
    views: Iterable[View], updated_ms: Callable[[str, str], int | None]
) -> dict[str, dict[str, Any]]:
    """The positions of one account by symbol, by key where a symbol would stand for two."""
    listed = [view for view in views if is_listed(view)]
    held = Counter(symbol_of(view.key) for view in listed)
    return {
        symbol_of(view.key) if held[symbol_of(view.key)] == 1 else view.key: position(
            view, updated_ms(view.account, view.key)
        )
        for view in listed
    }


def of_all(shown: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """The positions of several accounts by `account/label`."""
    return {f"{name}/{label}": row for name, rows in shown.items() for label, row in rows.items()}


def account(view: AccountView, address: str | None) -> dict[str, Any]:
    return {
        "address": address,
        "equity": money(view.equity),
        "margin_used": money(view.margin_used),
        "withdrawable": money(view.withdrawable),
        "equity_reason": view.equity_reason,
        "mode": view.mode,
        "role": view.role or None,
        "master": view.owner,
        "verdict": view.verdict.value,
        "verdict_reason": view.reason,
        "notices": [notice.text for notice in view.notices],
    }

"""A position's figures as text: the one place where a number is rounded to be shown.

Times are RFC 3339 UTC with milliseconds and a Z; amounts are decimal strings without exponent. Sizes
and marks keep all their digits, an entry price has ten significant ones, and money that a division
made endless is rounded half-even to ten decimals. Which message
or record holds which field is not decided here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from hlposmon.domain.amounts import CONTEXT, ZERO, exactly, plain
from hlposmon.domain.instrument import Instrument
from hlposmon.domain.reports import Fill
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import View

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
    return Instrument.of(key).label


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


def fill_id(one: Fill) -> str:
    """The trade id as text; for rows older than trade ids, order and time."""
    return str(one.trade_id) if one.trade_id is not None else f"{one.order_id}-{one.time_ms}"


def is_listed(view: View) -> bool:
    """Open positions are listed, and flat ones while their flatness is in doubt."""
    return not view.position.is_flat or view.in_doubt or view.verdict is Verdict.DRIFT


def totals(views: Iterable[View], *, is_whole: bool = True, is_stated: bool = True) -> dict[str, Any]:
    """Sums over positions, flat ones included: what was earned on them stays.

    While an open position has no mark, the sums that need one are None: a part of a sum is no sum. So it is
    where they are not of the whole, as something that is held could not be read. All sums are None where an
    account that they are over is not stated yet: nothing is known of it.
    """
    count, is_marked = 0, is_whole and is_stated
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
        "realized_pnl": money(sums["realized"]) if is_stated else None,
        "unrealized_pnl": money(sums["unrealized"]) if is_marked else None,
        "fees": money(sums["fees"]) if is_stated else None,
        "funding": money(sums["funding"]) if is_stated else None,
    }

"""A position's figures as text: the one place where a number is rounded to be shown.

Times are RFC 3339 UTC with milliseconds and a Z; amounts are decimal strings without exponent. Sizes
and marks keep all their digits, an entry price has ten significant ones, and money that a division
made endless is rounded half-even to ten decimals. Which message
or record holds which field is not decided here.
"""

from collections.abc import Container, Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any, overload

from hlposmon.domain.amounts import ZERO, plain
from hlposmon.domain.instrument import USD, Instrument
from hlposmon.domain.reports import Fill
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import View

_TEN_DIGITS = Context(prec=10, rounding=ROUND_HALF_EVEN)
_TEN_DECIMALS = Decimal(1).scaleb(-10)
# Room for ten decimals behind the largest product that CONTEXT holds, and for exact sums of such.
_WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)
_DECIMALS, _CENTS = 10, 2
_NOTHING = "0.00"  # one for all: most positions have several of it


@lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@overload
def time_text(ms: int) -> str: ...
@overload
def time_text(ms: int | None) -> str | None: ...
def time_text(ms: int | None) -> str | None:
    """Unix milliseconds as `2026-11-20T10:00:00.123Z`."""
    if ms is None:
        return None
    second, rest = divmod(ms, 1000)
    return f"{_second_text(second)}.{rest:03d}Z"


@overload
def number(value: Decimal) -> str: ...
@overload
def number(value: Decimal | None) -> str | None: ...
def number(value: Decimal | None) -> str | None:
    """All digits, without trailing zeros."""
    if not value:
        return None if value is None else _zero(value, "0")
    text = plain(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


@overload
def entry(value: Decimal) -> str: ...
@overload
def entry(value: Decimal | None) -> str | None: ...
def entry(value: Decimal | None) -> str | None:
    """An average price: ten significant digits."""
    return None if value is None else number(_TEN_DIGITS.plus(value))


def _price(value: Decimal | None) -> str | None:
    """A price that a division may have made endless: ten decimals at most, as the venue shows it."""
    text = number(value)
    if value is None or text is None or len(text.partition(".")[2]) <= _DECIMALS:
        return text
    return number(value.quantize(_TEN_DECIMALS, context=_WIDE))


@overload
def money(value: Decimal) -> str: ...
@overload
def money(value: Decimal | None) -> str | None: ...
def money(value: Decimal | None) -> str | None:
    """At least cents, at most ten decimals."""
    if not value:
        return None if value is None else _zero(value, _NOTHING)
    text = plain(value)
    whole, _, decimals = text.partition(".")
    if len(decimals) > _DECIMALS:
        text = plain(value.quantize(_TEN_DECIMALS, context=_WIDE))
        whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals:0<{_CENTS}}"


def _zero(value: Decimal, text: str) -> str:
    assert type(value) is Decimal, f"an amount is a Decimal: {value!r}"
    return text


@lru_cache(maxsize=100_000)
def symbol_of(key: str) -> str:
    """`BTC-USD` for `hyperliquid:Perp:BTC`; the bare name for what is not a perpetual."""
    return Instrument.of(key).label


def side_of(size: Decimal) -> str:
    """`long`, `short` or `flat`, by the sign of a size."""
    return "flat" if not size else "long" if size > 0 else "short"


class Rendered:
    """A position's figures as text, each formatted again only when its input has changed.

    One object serves one position: stream messages, the summary and the snapshot show the same digits.
    """

    __slots__ = (
        "account", "closed_pnl", "coin", "dex", "encoded", "entry_price", "fees", "funding", "key",
        "leverage", "liquidation_price", "margin_used", "mark_price", "max_leverage", "notional_value",
        "quantity", "realized_pnl", "size", "symbol", "total_pnl", "type", "unrealized_pnl", "venue", "view",
    )  # fmt: skip

    def __init__(self, view: View) -> None:
        instrument = Instrument.of(view.key)
        self.account, self.key, self.symbol = view.account, view.key, symbol_of(view.key)
        self.venue, self.coin = instrument.venue, instrument.name
        self.type, self.dex = instrument.type.value, instrument.dex
        self._render_held(view)
        self._render_value(view)
        self._render_stated(view)
        self.view = view
        # A cache for the encoder of the whole position: the time of the encoded update, and its encoding.
        self.encoded: tuple[int | None, Any] | None = None

    def update(self, view: View) -> None:
        """Update the texts to this view of the position."""
        before, self.view, self.encoded = self.view, view, None
        if view.position is not before.position:
            self._render_held(view)
            self._render_value(view)
        elif view.mark is not before.mark:
            self._render_value(view)
        if (
            view.margin_used is not before.margin_used
            or view.leverage is not before.leverage
            or view.max_leverage is not before.max_leverage
            or view.liquidation_price is not before.liquidation_price
        ):
            self._render_stated(view)

    def _render_held(self, view: View) -> None:
        held = view.position
        self.size = number(held.size)
        self.quantity = self.size.lstrip("-")
        self.entry_price = entry(held.entry_price)
        self.realized_pnl: str | None
        self.closed_pnl: str | None
        self.fees: str | None
        self.funding: str | None
        if not view.is_booked:
            self.realized_pnl = self.closed_pnl = self.fees = self.funding = None
            return
        self.realized_pnl, self.closed_pnl = money(held.realized), money(held.closed_pnl)
        self.fees, self.funding = money(held.fees), money(held.funding)

    def _render_value(self, view: View) -> None:
        shown = view.figures
        self.mark_price = number(view.mark)
        self.unrealized_pnl, self.total_pnl = money(shown.unrealized), money(shown.total)
        self.notional_value = money(shown.notional)

    def _render_stated(self, view: View) -> None:
        self.leverage, self.margin_used = number(view.leverage), money(view.margin_used)
        self.max_leverage = number(view.max_leverage)
        self.liquidation_price = _price(view.liquidation_price)


class Renderer:
    """The rendered positions, by account and key, and the sums over each account. Sums are updated with each
    position, so that a question for one does not add up thousands of positions."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[str, str], Rendered] = {}
        self._sums: dict[str, Sums] = {}

    def render(self, view: View) -> Rendered:
        """The position as text. The next call for this position updates and returns the same object."""
        found = self._rendered.get((view.account, view.key))
        if found is None:
            found = self._rendered[view.account, view.key] = Rendered(view)
            self._sums.setdefault(view.account, Sums()).change(None, view)
        elif found.view is not view:
            self._sums[view.account].change(found.view, view)
            found.update(view)
        return found

    def sums(self, account: str) -> "Sums":
        """The sums over all positions of the account that were rendered, each as it was rendered last."""
        return self._sums.get(account) or Sums()

    def keep(self, names: Container[tuple[str, str]]) -> None:
        """Forget all positions but these, by account and key."""
        rendered = [one for name, one in self._rendered.items() if name in names]
        self._rendered = {(one.account, one.key): one for one in rendered}
        self._sums = {}
        for one in rendered:
            self._sums.setdefault(one.account, Sums()).change(None, one.view)


def fill_id(one: Fill) -> str:
    """The trade id as text; for rows older than trade ids, order and time."""
    return str(one.trade_id) if one.trade_id is not None else f"{one.order_id}-{one.time_ms}"


def is_listed(view: View) -> bool:
    """Whether a position is listed: while it is open, and while it is flat and in doubt or in drift."""
    return not view.position.is_flat or view.in_doubt or view.verdict is Verdict.DRIFT


def _is_summed(view: View) -> bool:
    return view.quote == USD and view.is_booked


class Sums:
    """Sums over positions, including flat ones, whose earnings still count.

    They are exact, so that taking a position out leaves no residue. `unmarked` counts open positions without
    a mark; while there are any, the sums that need a mark are incomplete. `unvalued` counts those whose
    figures are in another token than USD, or in one that is not known: they are never added, and while there
    are any, no sum of money is complete; `unvalued_open` are the open ones of them. Balances on spot are
    counted and not summed: what was earned with them is not known, and what they are worth is in the equity.
    """

    __slots__ = (
        "count",
        "exposure",
        "fees",
        "funding",
        "realized",
        "unmarked",
        "unrealized",
        "unvalued",
        "unvalued_open",
    )

    def __init__(self, views: Iterable[View] = ()) -> None:
        self.count = self.unmarked = self.unvalued = self.unvalued_open = 0
        self.exposure = self.unrealized = ZERO
        self.realized = self.fees = self.funding = ZERO
        for view in views:
            self.change(None, view)

    def change(self, before: View | None, now: View) -> None:
        """Replace a position's part in the sums: from `before` (None if it had none) to `now`."""
        if not (_is_summed(now) and (before is None or _is_summed(before))):
            self._change_apart(before, now)
            return
        add, subtract = _WIDE.add, _WIDE.subtract
        held, was = now.position, None if before is None else before.position
        if held is not was:
            if was is not None:
                self.count -= not was.is_flat
                self.realized = subtract(self.realized, was.realized)
                self.fees = subtract(self.fees, was.fees)
                self.funding = subtract(self.funding, was.funding)
            self.count += not held.is_flat
            self.realized = add(self.realized, held.realized)
            self.fees = add(self.fees, held.fees)
            self.funding = add(self.funding, held.funding)
        elif before is not None and now.mark is before.mark:
            return
        if before is not None:
            of = before.figures
            if of.unrealized is None or of.notional is None:
                self.unmarked -= 1
            else:
                self.unrealized = subtract(self.unrealized, of.unrealized)
                self.exposure = subtract(self.exposure, of.notional)
        of = now.figures
        if of.unrealized is None or of.notional is None:
            self.unmarked += 1
        else:
            self.unrealized = add(self.unrealized, of.unrealized)
            self.exposure = add(self.exposure, of.notional)

    def _change_apart(self, before: View | None, now: View) -> None:
        """As `change`, where one of the two is not summed: it is counted, and no more."""
        if before is not None:
            self.count -= not before.position.is_flat
            if _is_summed(before):
                self._take_out(before)
            elif before.is_booked:
                self.unvalued -= 1
                self.unvalued_open -= not before.position.is_flat
        if _is_summed(now):
            self.change(None, now)
            return
        self.count += not now.position.is_flat
        if now.is_booked:
            self.unvalued += 1
            self.unvalued_open += not now.position.is_flat

    def _take_out(self, view: View) -> None:
        """Take out the money of a position in USD."""
        subtract, held, of = _WIDE.subtract, view.position, view.figures
        self.realized = subtract(self.realized, held.realized)
        self.fees = subtract(self.fees, held.fees)
        self.funding = subtract(self.funding, held.funding)
        if of.unrealized is None or of.notional is None:
            self.unmarked -= 1
        else:
            self.unrealized = subtract(self.unrealized, of.unrealized)
            self.exposure = subtract(self.exposure, of.notional)

    def add(self, other: "Sums") -> None:
        """Add the sums over other positions."""
        add = _WIDE.add
        self.count += other.count
        self.unmarked += other.unmarked
        self.unvalued += other.unvalued
        self.unvalued_open += other.unvalued_open
        self.exposure = add(self.exposure, other.exposure)
        self.unrealized = add(self.unrealized, other.unrealized)
        self.realized = add(self.realized, other.realized)
        self.fees = add(self.fees, other.fees)
        self.funding = add(self.funding, other.funding)

    @property
    def total(self) -> Decimal:
        """Realised - fees + funding + unrealised; the last without `unmarked` positions."""
        booked = _WIDE.add(_WIDE.subtract(self.realized, self.fees), self.funding)
        return _WIDE.add(booked, self.unrealized)

    def shown(self, *, is_whole: bool = True, is_stated: bool = True) -> dict[str, Any]:
        """The sums as they are shown.

        Incomplete sums are not shown: those that need marks are None if an open position has no mark or if a
        position could not be read (not `is_whole`). All sums of money are None while one is in another token.
        All are None if one of the accounts has not been stated yet (not `is_stated`).
        """
        is_valued = not self.unvalued and is_stated
        is_marked = not self.unmarked and not self.unvalued_open and is_whole and is_stated
        return {
            "active_positions": self.count if is_stated else None,
            "total_exposure": money(self.exposure) if is_marked else None,
            "total_pnl": money(self.total) if is_marked and is_valued else None,
            "realized_pnl": money(self.realized) if is_valued else None,
            "unrealized_pnl": money(self.unrealized) if is_marked else None,
            "fees": money(self.fees) if is_valued else None,
            "funding": money(self.funding) if is_valued else None,
        }

"""The figures that a threshold can be set on, read from the monitor's answers. Pure.

A figure that is not known is None, never zero: an exchange that has not answered is not flat.
"""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

# perfdata label, key in ages_s, and the thresholds in seconds for a monitor that names none
AGES = (
    ("fills_age", "fills", (5, 15)),
    ("price_age", "prices", (5, 15)),
    ("sync_age", "reconcile", (120, 300)),
)


class Figure:
    """A metric. `read` extracts it from the health, or from the summary if `is_summed` (one more request).

    `unit` and `least` are its perfdata unit and minimum.
    """

    __slots__ = ("is_summed", "least", "read", "unit")

    def __init__(
        self,
        read: Callable[[dict[str, Any]], Any],
        unit: str = "",
        least: str = "0",
        *,
        is_summed: bool = False,
    ) -> None:
        self.read, self.unit, self.least, self.is_summed = read, unit, least, is_summed

    def value(self, health: dict[str, Any], summary: dict[str, Any] | None) -> Decimal | None:
        """The exact value, or None if it is not known."""
        from decimal import Decimal, InvalidOperation

        answer = summary if self.is_summed else health
        found = None if answer is None else self.read(answer)
        try:
            value = None if found is None or isinstance(found, bool) else Decimal(str(found))
        except InvalidOperation:
            return None
        return value if value is None or value.is_finite() else None


def _age(key: str) -> Figure:
    return Figure(lambda health: (health.get("ages_s") or {}).get(key), "s")


def _verdict(name: str) -> Figure:
    return Figure(lambda health: _if_stated(health, (health.get("verdicts") or {}).get(name, 0)))


def _of(room: str, key: str) -> Figure:
    return Figure(lambda health: (health.get(room) or {}).get(key))


def position_count(health: dict[str, Any]) -> int | None:
    """The number of open positions; None if the exchange has not stated them yet."""
    count = int(health.get("positions") or 0)
    return count if health.get("stated", True) or count else None


def flat_in_doubt(health: dict[str, Any]) -> int:
    """The number of coins that are listed as flat but not proven to be flat."""
    return int(health.get("flat_in_doubt") or 0)


def _if_stated(answer: dict[str, Any], value: Any) -> Any:
    return value if answer.get("stated", True) or value else None


def _equity(summary: dict[str, Any]) -> Decimal | None:
    return _sum(summary, "equity")


def _margin_used(summary: dict[str, Any]) -> Decimal | None:
    """Margin used in percent of equity, over all accounts, to 0.01; None if unknown or without equity."""
    margin, equity = _sum(summary, "margin_used"), _sum(summary, "equity")
    return None if margin is None or not equity else _rounded(100 * margin / equity)


def _margin_ratio(summary: dict[str, Any]) -> Decimal | None:
    """The highest margin ratio of all accounts in percent, to 0.01; None while one is not known."""
    from decimal import Decimal

    ratios = [account.get("margin_ratio") for account in (summary.get("accounts") or {}).values()]
    return None if not ratios or None in ratios else _rounded(100 * max(map(Decimal, ratios)))


def _liquidation_distance(summary: dict[str, Any]) -> Decimal | None:
    """The shortest distance of a position to its liquidation price in percent of the mark, to 0.01; 100 at
    most, as where no price liquidates any. None while one is not known."""
    from decimal import Decimal

    if not summary.get("stated", True):
        return None
    shortest = Decimal(1)
    for position in (summary.get("positions") or {}).values():
        distance = _distance(position)
        if distance is None:
            return None
        shortest = min(shortest, distance)
    return _rounded(100 * shortest)


def _distance(position: dict[str, Any]) -> Decimal | None:
    """The distance of one position as a fraction. Where its margin is known, and no liquidation price, there
    is no such price."""
    from decimal import Decimal

    distance = position.get("liquidation_distance")
    if distance is not None:
        return Decimal(distance)
    is_open = position.get("type", "Perp") == "Perp" and not position.get("is_flat")
    is_unknown = position.get("margin_used") is None or position.get("liquidation_price") is not None
    return None if is_open and is_unknown else Decimal(1)


def _sum(summary: dict[str, Any], key: str) -> Decimal | None:
    from decimal import Decimal

    amounts = [account.get(key) for account in (summary.get("accounts") or {}).values()]
    if not amounts or None in amounts:
        return None
    return sum(map(Decimal, amounts), Decimal(0))


def _weight(summary: dict[str, Any]) -> Decimal | None:
    """Request weight of the last minute in percent of the exchange's limit, to 0.01; None if unknown."""
    from decimal import Decimal

    quota = summary.get("quota") or {}
    used, limit = quota.get("weight_used"), quota.get("weight_limit")
    return None if used is None or not limit else _rounded(100 * Decimal(str(used)) / Decimal(str(limit)))


def _rounded(percent: Decimal) -> Decimal:
    from decimal import Decimal

    return percent.quantize(Decimal("0.01"))


def _total(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda answer: answer.get(key) if answer.get("stated", True) else None


FIGURES = {
    "fills_age": _age("fills"),
    "price_age": _age("prices"),
    "sync_age": _age("reconcile"),
    "positions": Figure(position_count),
    "drift": _verdict("drift"),
    "unproven": _verdict("unproven"),
    "stale": _verdict("stale"),
    "upnl": Figure(_total("unrealized_pnl"), least=""),
    "restarts": Figure(lambda health: health.get("restarts")),
    "gaps": _of("incidents", "gap"),
    "drifts": _of("incidents", "drift"),
    "journal_backlog": _of("journal", "backlog"),
    "history_backlog": _of("history", "backlog"),
    "push_age": _age("pushes"),
    "rest_age": _age("rest"),
    "exposure": Figure(_total("total_exposure"), is_summed=True),
    "total_pnl": Figure(_total("total_pnl"), least="", is_summed=True),
    "equity": Figure(_equity, least="", is_summed=True),
    "margin_used": Figure(_margin_used, "%", is_summed=True),
    "margin_ratio": Figure(_margin_ratio, "%", is_summed=True),
    "liquidation_distance": Figure(_liquidation_distance, "%", least="", is_summed=True),
    "weight_used": Figure(_weight, "%", is_summed=True),
}
DEFAULTS = ("fills_age", "price_age", "sync_age", "positions", "drift")

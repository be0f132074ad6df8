"""A position as it may be shown, for the tests of what is made of it."""

from decimal import Decimal

from hlposmon.domain.position import Position
from hlposmon.domain.reports import MarginMode
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import View

BTC = "hyperliquid:Perp:BTC"
T = 1_790_000_000_123


def view(
    size="0.15",
    cost="7525",
    mark="51000",
    key=BTC,
    account="main",
    verdict=Verdict.PROVEN,
    reason=None,
    **position,
):
    held = Position(
        size=Decimal(size),
        cost=Decimal(cost),
        **{name: Decimal(value) for name, value in {"fees": "3.76", **position}.items()},
        fills=2,
    )
    return View(
        account=account,
        key=key,
        position=held,
        mark=None if mark is None else Decimal(mark),
        verdict=verdict,
        reason=reason,
        leverage=Decimal(20),
        margin_used=Decimal("382.5"),
        liquidation_price=None,
        last_fill_ms=T,
        as_of_ms=T + 1000,
        margin_mode=MarginMode.CROSS,
        max_leverage=Decimal(40),
    )

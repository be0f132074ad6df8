"""What lives have found and is not mended yet. Each test says when it no longer fails."""

from decimal import Decimal

import pytest

from hlposmon.domain.reports import (
    Fetched,
    Fill,
    Fills,
    Following,
    Heard,
    Joined,
    Marks,
    Side,
    Statement,
    Unlisted,
)
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import View
from hlposmon.engine.effects import Now
from hlposmon.engine.engine import Engine
from tests.simulation.scheduler import BEGIN_MS
from tests.simulation.shell import watched

BTC = "hyperliquid:Perp:BTC"


class Desk:
    """An engine of one account, told what it is told at seconds after BEGIN_MS."""

    def __init__(self) -> None:
        self.engine = Engine(watched({"main": "0xa1"}, 1, 60.0), Now(0.0, BEGIN_MS))
        self.told(0, Joined("fill", "fill"), Joined("reconcile", "reconcile"))

    def told(self, s: float, *reports: object) -> None:
        now = Now(s, BEGIN_MS + int(s * 1000))
        for report in (Heard("fill", s), Marks({BTC: Decimal(50_000)}, s), *reports):
            self.engine.receive(report, now)
        self.engine.tick(now)

    def view(self) -> View:
        return self.engine.book.view("main", BTC)


def at(s: float) -> int:
    return BEGIN_MS + int(s * 1000)


def flat(s: float) -> Statement:
    return Statement("main", "hyperliquid", at(s), s, ())


def fill(number: int, s: float, start: str, moved: str) -> Fill:
    side = Side.BUY if Decimal(moved) > 0 else Side.SELL
    size, price = abs(Decimal(moved)), Decimal(50_000)
    return Fill(
        "main", BTC, at(s), side, size, price, Decimal(start), Decimal(1), "USDC", Decimal(0), number, number
    )


@pytest.mark.xfail(strict=True, reason="a fetch is applied piece by piece, each as if it were all")
def test_half_of_a_round_trip_that_no_feed_brought_is_not_proven_while_the_other_half_is_fetched():
    """The venue has just said that the account is flat; what is fetched is half a minute older."""
    desk = Desk()
    desk.told(1, flat(1), Following("main", "fill", 1.0), Fetched("main", 0, 1.0), flat(2))
    desk.told(60, flat(60))

    desk.told(61, Fills("main", "fetch", (fill(1, 30, "0", "2"),)))

    assert (desk.view().position.size, desk.view().verdict) != (Decimal(2), Verdict.PROVEN)


@pytest.mark.xfail(strict=True, reason="fills that do not chain to a first statement count as history")
def test_fills_that_a_first_statement_does_not_hold_are_not_passed_over_where_those_between_are_gone():
    """The statement is some seconds older than it says, and the fills between it and these are not listed."""
    desk = Desk()
    listed = (fill(2, 4, "-2", "-1"), fill(3, 4.5, "-3", "-1"))

    desk.told(5, flat(5), Following("main", "fill", 5.0))
    desk.told(6, Unlisted("main", at(-300), at(3), "only the newest are listed"))
    desk.told(6, Fills("main", "fetch", listed), Fetched("main", at(-300), 6.0), flat(6))

    assert (desk.view().position.size, desk.view().verdict) != (Decimal(0), Verdict.PROVEN)

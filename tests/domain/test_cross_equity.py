"""The liquidation price of cross positions between two statements, by present marks."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.margin import MarginTable
from hlposmon.domain.rendering import Rendered
from hlposmon.domain.reports import (
    AccountMode,
    MarginMode,
    MarginTables,
    Marks,
    StatedPosition,
)
from tests.domain.language import ACCOUNT, Desk, fill, key, statement

FIFTY = MarginTable.single(Decimal(50))
TABLES = {key("ETH"): FIFTY, key("BTC"): FIFTY}
STATED = Decimal("2020.2")  # rounded otherwise than what is worked out, to tell the two apart


def row(coin: str, size: str, mark: str, **changes) -> StatedPosition:
    of = StatedPosition(key(coin), Decimal(size), Decimal(mark), Decimal(mark), max_leverage=Decimal(50))
    return replace(of, **{"margin_mode": MarginMode.CROSS, "liquidation_price": STATED, **changes})


ETH = row("ETH", "2", "2500")


def desk(*rows: StatedPosition, tables=TABLES, cash: str | None = "-4000", mode: str = "default", **changes):
    one = Desk()
    one.book.mode(AccountMode(ACCOUNT, mode, plain=mode == "default", reason="not plain"))
    one.book.note_margin_tables(MarginTables("", tables))
    tell(one, *rows, cash=cash, **changes)
    return one


def tell(one: Desk, *rows: StatedPosition, cash: str | None = "-4000", at: float = 0, **changes) -> None:
    said = replace(statement("", at=at), positions=rows, **changes)
    one.book.reconcile(replace(said, cross_cash=None if cash is None else Decimal(cash)))


def marked(one: Desk, **prices: str) -> None:
    one.book.mark(Marks({key(coin): Decimal(price) for coin, price in prices.items()}, 1.0))


def price(one: Desk, coin: str = "ETH") -> str | None:
    return Rendered(one.view(coin)).liquidation_price


def test_the_documented_example():
    one = desk(ETH)
    assert price(one) == "2020.202020202"
    marked(one, ETH="2400")
    assert price(one) == "2020.202020202"  # its own mark does not move it


def test_the_mark_of_another_position_moves_it_and_a_view_is_made_anew_only_then():
    one = desk(ETH, row("BTC", "-0.1", "50000"), cash="1000")
    one.book.judge()
    before = one.view("ETH")
    assert one.view("ETH") is before
    assert before.liquidation_price < 2100

    marked(one, BTC="55000")

    with_loss = one.view("ETH")
    assert with_loss.liquidation_price > before.liquidation_price
    # equity and maintenance meet: 1000 - 0.1 * 55000 + 2 p = (5500 + 2 p) / 100
    assert abs(Decimal("1.98") * with_loss.liquidation_price - 4555) < Decimal("1e-40")


def test_an_isolated_position_has_the_stated_price_and_backs_no_other():
    one = desk(ETH, row("BTC", "1", "50000", margin_mode=MarginMode.ISOLATED))
    marked(one, BTC="40000")

    assert price(one, "BTC") == "2020.2"
    assert price(one) == "2020.202020202"


@pytest.mark.parametrize(
    "one",
    [
        lambda: desk(ETH, mode="unifiedAccount"),
        lambda: desk(ETH, cash=None),
        lambda: desk(ETH, tables={}),
        lambda: desk(ETH, row("BTC", "1", "50000"), tables={key("ETH"): FIFTY}),
        lambda: desk(ETH, row("BTC", "1", "50000", max_leverage=Decimal(40))),
        lambda: desk(ETH, row("BTC", "1", "50000", margin_mode=None)),
        lambda: desk(ETH, row("BTC", "1", "50000", mark_price=None)),
        lambda: desk(ETH, unread={key("BTC"): "no text"}),
    ],
    ids=["mode", "cash", "tiers", "tiers of another", "own terms", "backing", "mark", "unread"],
)
def test_where_it_cannot_be_worked_out_the_stated_one_is_shown(one):
    assert price(one()) == "2020.2"


def test_after_a_fill_or_a_payment_the_stated_one_is_shown_until_the_next_statement():
    one = desk(ETH, row("BTC", "1", "50000"), cash="-50000")
    assert price(one) != "2020.2"
    one.heard(fill("tid=1 sell 0.5 BTC @ 50000 from 1 at 5"))
    assert (price(one), price(one, "BTC")) == ("2020.2", None)
    tell(one, ETH, row("BTC", "0.5", "50000"), cash="-25000", at=20)
    assert price(one) != "2020.2"

    one.funded("ETH", "-3", at=25)
    assert price(one) == "2020.2"
    tell(one, ETH, row("BTC", "0.5", "50000"), cash="-25003", at=30)
    assert price(one) != "2020.2"
    one.told(fill("tid=2 sell 0.5 BTC @ 50000 from 0.5 at 40"))
    assert price(one) == "2020.2"


def test_while_the_book_has_another_size_than_the_statement_the_stated_one_is_shown():
    one = desk(ETH, row("BTC", "1", "50000"), cash="-50000")
    tell(one, ETH, row("BTC", "0.7", "50000"), cash="-35000", at=20)

    assert one.view("BTC").in_doubt
    assert price(one) == "2020.2"


def test_a_position_that_no_price_liquidates_has_none_even_if_one_was_stated():
    assert price(desk(ETH, cash="100")) is None

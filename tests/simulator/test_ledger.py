"""The exact book of one account: the four cases of a trade, and what funding does."""

from fractions import Fraction

import pytest

from hlposmon.simulator.ledger import Margin, Move, Position, funded, moved
from hlposmon.simulator.markets import MARKETS

HYPE = next(market for market in MARKETS if market.coin == "HYPE")
CROSS, ISOLATED = Margin(10), Margin(5, isolated=True)


def trades(*deals: tuple[str, str], margin: Margin = CROSS) -> list[Move]:
    """Trades of (signed size, price), one after another from flat."""
    moves: list[Move] = []
    for size, price in deals:
        before = moves[-1].after if moves else None
        moves.append(moved(before, HYPE, margin, Fraction(size), Fraction(price)))
    return moves


def held(move: Move) -> Position:
    assert move.after is not None
    return move.after


def test_an_increase_averages_the_entry_exactly_and_shows_it_truncated() -> None:
    after = held(trades(("1", "30"), ("2", "31"))[-1])

    assert after.entry == Fraction(92, 3)
    assert after.shown_entry == Fraction("30.6666")


def test_a_reduction_keeps_the_entry_and_books_from_the_truncated_one() -> None:
    move = trades(("1", "30"), ("2", "31"), ("-1", "32"))[-1]

    assert held(move).entry == Fraction(92, 3)
    assert move.closed_pnl == Fraction("1.3334")
    assert move.word == "Close Long"


def test_a_short_gains_when_it_is_bought_back_lower() -> None:
    move = trades(("-4", "50"), ("4", "48"))[-1]

    assert (move.after, move.closed_pnl, move.word) == (None, 8, "Close Short")


def test_a_flip_books_the_old_side_and_opens_the_rest_at_its_price() -> None:
    move = trades(("1", "30"), ("-3", "33"))[-1]

    assert (held(move).size, held(move).entry) == (-2, 33)
    assert (move.closed_pnl, move.word) == (3, "Long > Short")


@pytest.mark.parametrize("margin", [CROSS, ISOLATED])
def test_cash_and_positions_at_the_last_price_change_by_what_was_gained(margin: Margin) -> None:
    moves = trades(("10", "30"), ("2", "30.5"), ("-4", "31"), ("-13", "29"), ("5", "28"), margin=margin)
    cash = sum((move.cash for move in moves), Fraction(0))
    flows = -sum(
        Fraction(size) * Fraction(price)
        for size, price in (("10", "30"), ("2", "30.5"), ("-4", "31"), ("-13", "29"), ("5", "28"))
    )

    assert moves[-1].after is None
    assert cash == flows


def test_an_isolated_pocket_holds_its_margin_and_gives_it_back() -> None:
    opened, closed = trades(("10", "30"), ("-10", "33"), margin=ISOLATED)

    assert opened.cash == -60
    assert held(opened).raw == -240
    assert closed.cash == 90


def test_half_of_an_isolated_position_frees_half_of_its_pocket() -> None:
    half = trades(("10", "30"), ("-5", "33"), margin=ISOLATED)[-1]

    assert half.cash == 45
    assert held(half).size * 33 + held(half).raw == 45


def test_funding_moves_no_size_and_no_entry() -> None:
    before = held(trades(("-4", "50"))[-1])
    after, paid = funded(before, oracle=Fraction(50), rate=Fraction("0.0000125"))

    assert paid == Fraction("-0.0025")
    assert (after.size, after.entry, after.funding_open) == (before.size, before.entry, paid)


def test_isolated_funding_is_paid_out_of_the_pocket() -> None:
    before = held(trades(("10", "30"), margin=ISOLATED)[-1])
    after, paid = funded(before, oracle=Fraction(30), rate=Fraction("0.0001"))

    assert after.raw == before.raw - paid


def test_a_round_trip_of_a_real_account_is_booked_to_its_last_digit() -> None:
    """A capture of the venue: HIP-3 and HYPE closes are gross and from the truncated entry."""
    moves = trades(("0.73", "33.209"), ("0.5", "33.4111"), ("-1.23", "34.0"))
    entry = (Fraction("0.73") * Fraction("33.209") + Fraction("0.5") * Fraction("33.4111")) / Fraction("1.23")
    shown = Fraction(int(entry * 10_000), 10_000)

    assert moves[-1].closed_pnl == (34 - shown) * Fraction("1.23")


@pytest.mark.parametrize("deal", [("1", "50"), ("-1", "50")])
def test_a_change_of_size_begins_a_new_count_of_funding(deal: tuple[str, str]) -> None:
    before, _ = funded(held(trades(("4", "50"))[-1]), oracle=Fraction(50), rate=Fraction("0.0001"))
    after = held(moved(before, HYPE, CROSS, Fraction(deal[0]), Fraction(deal[1])))

    assert before.funding_change == before.funding_open == Fraction("0.02")
    assert (after.funding_change, after.funding_open) == (0, Fraction("0.02"))

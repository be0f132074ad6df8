"""A position after each of the cases of a fill, against fractions that know nothing of it."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.position import FillEffect, Position
from tests.domain.exchange import Truth
from tests.domain.language import chain, fill

ONE_PART_IN_1E45 = Fraction(1, 10**45)


def after(text: str, position: Position | None = None) -> Position:
    position = position or Position()
    for one in chain(text):
        position, _ = position.after(one)
    return position


@pytest.mark.parametrize(
    ("story", "effect", "size", "entry", "realized"),
    [
        ("BTC 0: +2@100", FillEffect.OPENED, "2", "100", "0"),
        ("BTC 0: -2@100", FillEffect.OPENED, "-2", "100", "0"),
        ("BTC 0: +2@100 +2@110", FillEffect.ADDED, "4", "105", "0"),
        ("BTC 0: -2@100 -2@110", FillEffect.ADDED, "-4", "105", "0"),
        ("BTC 0: +2@100 -1@110", FillEffect.REDUCED, "1", "100", "10"),
        ("BTC 0: -2@100 +1@110", FillEffect.REDUCED, "-1", "100", "-10"),
        ("BTC 0: +2@100 -2@90", FillEffect.CLOSED, "0", None, "-20"),
        ("BTC 0: -2@100 +2@90", FillEffect.CLOSED, "0", None, "20"),
        ("BTC 0: +2@100 -5@110", FillEffect.FLIPPED, "-3", "110", "20"),
        ("BTC 0: -2@100 +5@110", FillEffect.FLIPPED, "3", "110", "-20"),
    ],
)
def test_every_case_of_a_fill(story, effect, size, entry, realized):
    *before, last = chain(story)
    position = Position()
    for one in before:
        position, _ = position.after(one)
    position, done = position.after(last)

    assert done is effect
    assert position.size == Decimal(size)
    assert position.entry_price == (None if entry is None else Decimal(entry))
    assert position.realized == Decimal(realized)
    assert position.is_flat is (size == "0")


def test_what_was_earned_paid_and_received_is_kept_apart():
    position = after("BTC 0: +2@100 -1@110").funded(Decimal("-0.5"))

    assert (position.realized, position.closed_pnl) == (Decimal(10), Decimal(3))
    assert (position.fees, position.funding, position.fills) == (Decimal("0.003"), Decimal("-0.5"), 2)


def test_unrealised_profit_and_notional_follow_the_mark():
    short = after("BTC 0: -2@100")

    assert short.unrealized(Decimal(90)) == Decimal(20)
    assert short.notional(Decimal(90)) == Decimal(180)
    assert Position().unrealized(Decimal(90)) == Position().notional(Decimal(90)) == 0


def test_a_restated_position_keeps_what_it_earned_and_its_entry_when_none_is_given():
    position = after("BTC 0: +2@100 -1@110")

    assert position.restated(Decimal(3), None).entry_price == 100
    assert position.restated(Decimal(3), Decimal(120)).cost == 360
    assert position.restated(Decimal(0), Decimal(120)) == Position(
        realized=Decimal(10), closed_pnl=Decimal(3), fees=Decimal("0.003"), fills=2
    )


def test_a_booked_fill_counts_but_does_not_move():
    position = Position(size=Decimal(1), cost=Decimal(100)).booked(fill("buy 1 BTC @ 7 fee 0.1 pnl 5"))

    assert (position.size, position.cost, position.realized) == (1, 100, 0)
    assert (position.fees, position.closed_pnl, position.fills) == (Decimal("0.1"), 5, 1)


def test_a_flat_position_with_a_cost_is_refused():
    with pytest.raises(AssertionError):
        Position(cost=Decimal(1))


amounts = st.decimals(min_value="0.00001", max_value="100000", places=5)
moves = st.lists(st.tuples(st.sampled_from(["buy", "sell"]), amounts, amounts, st.booleans()), max_size=40)


@given(moves)
def test_size_entry_and_profit_are_those_of_exact_fractions(steps):
    position, truth = Position(), Truth()
    gained = fees = Fraction(0)
    for number, (way, much, price, close) in enumerate(steps):
        side, size = way, much
        if close and position.size:
            side, size = ("sell" if position.size > 0 else "buy"), abs(position.size)
        one = fill(
            f"tid={number} {side} {size:f} BTC @ {price:f} from {position.size:f} fee {price / 1000:f}"
        )
        position, _ = position.after(one)
        gained += truth.fill(Fraction(one.signed_size), Fraction(price))
        fees += Fraction(price) / 1000

    assert Fraction(position.size) == truth.size
    assert Fraction(position.fees) == fees
    assert abs(Fraction(position.realized) - gained) <= (1 + abs(gained)) * ONE_PART_IN_1E45
    if truth.size:
        assert abs(Fraction(position.entry_price) - truth.entry) <= truth.entry * ONE_PART_IN_1E45
        unrealized = truth.size * (Fraction(50) - truth.entry)
        assert (
            abs(Fraction(position.unrealized(Decimal(50))) - unrealized)
            <= (1 + abs(unrealized)) * ONE_PART_IN_1E45
        )


@given(
    moves, st.sampled_from(["Open Long", "Close Short", "Auto-Deleveraging", "Long > Short", "nonsense", ""])
)
def test_size_is_the_sum_of_signed_fills_whatever_the_direction_says(steps, direction):
    position, total = Position(), Fraction(0)
    for side, size, price, _ in steps:
        text = f"{side} {size:f} BTC @ {price:f} from {position.size:f}"
        position, _ = position.after(
            fill(text + (f" dir {direction.replace(' ', '_')}" if direction else ""))
        )
        total += Fraction(size) * (1 if side == "buy" else -1)

    assert Fraction(position.size) == total

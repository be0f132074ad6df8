"""Amounts are exact, and written as the venue writes them."""

import random
from decimal import Context
from fractions import Fraction

import pytest

from hlposmon.simulator.numbers import amount, lawful, money, printed, rounded, text, tick_of, truncated


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0.0"),
        ("-13.3", "-13.3"),
        ("86324", "86324.0"),
        ("0.00494", "0.00494"),
        ("-0.000001", "-0.000001"),
    ],
)
def test_an_amount_is_written_plainly(value: str, shown: str) -> None:
    assert text(Fraction(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        # As the venue has printed them.
        ("1064075.6", "1064075.6000000001"),
        ("1161681.9", "1161681.8999999999"),
        ("-3695042.9", "-3695042.8999999999"),
        ("2703997.45", "2703997.4500000002"),
        # What a double is close enough to is printed plainly.
        ("0", "0.0"),
        ("-13.3", "-13.3"),
        ("86324", "86324.0"),
        ("0.00494", "0.00494"),
        ("524287.9", "524287.9"),
        ("1000000000000", "1000000000000.0"),
        ("-0.00000000001", "0.0"),
    ],
)
def test_an_amount_is_printed_as_the_double_that_the_venue_keeps(value: str, shown: str) -> None:
    assert printed(Fraction(value)) == shown


def test_what_is_printed_gives_back_every_amount_of_fifteen_digits() -> None:
    """A reader who rounds to 15 significant digits has the number; one who does not has dust in most."""
    dice, reader, dusty = random.Random(1), Context(prec=15), 0
    for _ in range(20_000):
        places = dice.randrange(6)
        exact = Fraction(dice.randrange(1, 10 ** dice.randrange(6, 16)), 10**places)
        shown = printed(exact)
        dusty += shown != text(exact)
        assert Fraction(reader.create_decimal(shown)) == exact

    assert dusty > 1000


def test_what_has_no_decimal_text_is_not_written() -> None:
    with pytest.raises(ValueError, match="no decimal text"):
        text(Fraction(1, 3))


def test_truncation_goes_toward_zero_on_both_sides() -> None:
    assert truncated(Fraction("64716.46828"), 1) == Fraction("64716.4")
    assert truncated(Fraction("-64716.46828"), 1) == Fraction("-64716.4")


def test_rounding_is_half_to_even() -> None:
    assert (rounded(Fraction("0.5"), 0), rounded(Fraction("1.5"), 0)) == (0, 2)
    assert money(Fraction(2, 3)) == "0.666667"


@pytest.mark.parametrize(
    ("price", "sz_decimals", "tick"),
    [
        ("86250", 5, "1"),
        ("9999", 5, "0.1"),
        ("2871.4", 4, "0.1"),
        ("33.2", 2, "0.001"),
        ("0.145", 0, "0.00001"),
        ("0.0042", 0, "0.000001"),
        ("123456", 5, "1"),
        ("1.05", 5, "0.1"),
    ],
)
def test_the_tick_is_five_figures_and_no_more_decimals_than_allowed(
    price: str, sz_decimals: int, tick: str
) -> None:
    assert tick_of(Fraction(price), sz_decimals) == Fraction(tick)


def test_a_lawful_price_is_on_the_tick() -> None:
    assert lawful(Fraction("86250.7"), 5) == 86251
    assert lawful(Fraction("0.0000001"), 0) == Fraction("0.000001")


@pytest.mark.parametrize("value", [1.5, True, None, "one"])
def test_a_float_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        amount(value)

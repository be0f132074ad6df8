"""Text becomes Decimal by one door, exactly or not at all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.amounts import amount, exactly, plain


@pytest.mark.parametrize("text", ["0", "0.0", "-13.3", "2703997.4500000002", "00.10", "-0.0", "9" * 40])
def test_plain_decimals_are_taken_digit_by_digit(text):
    assert str(amount(text)) == str(Decimal(text))


@pytest.mark.parametrize("value", [1.5, 1, None, Decimal(1), b"1", True])
def test_what_is_not_text_is_a_type_error(value):
    with pytest.raises(TypeError):
        amount(value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            " 1",
            "1 ",
            "1\n",
            "+1",
            "1e5",
            "1E5",
            ".5",
            "5.",
            "1_000",
            "1,5",
            "0x1",
            "--1",
            "-",
            "1.2.3",
        ),
        *("NaN", "sNaN", "Infinity", "-inf", "\u0661", "\uff11", "\u00b2", "\u22121"),
        *("9" * 41, "0." + "1" * 41, "1" * 1_000_000),
    ],
)
def test_text_that_is_no_plain_decimal_is_a_value_error(text):
    with pytest.raises(ValueError, match="not a plain decimal"):
        amount(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15))
def test_plain_has_every_digit_no_exponent_and_no_negative_zero(value):
    text = plain(value)

    assert "e" not in text.lower()
    assert Decimal(text) == value
    assert not (value == 0 and text.startswith("-"))


@pytest.mark.parametrize("value", [0.1, 1, "1"])
def test_plain_takes_decimals_only(value):
    with pytest.raises(TypeError):
        plain(value)


def test_a_float_cannot_slip_into_the_arithmetic():
    with exactly(), pytest.raises(TypeError):
        Decimal(1) + 0.5  # type: ignore[operator]
    with exactly(), pytest.raises(Exception, match="FloatOperation"):
        Decimal(0.5)  # noqa: RUF032


def test_products_of_long_numbers_are_exact():
    with exactly():
        assert str(Decimal("123456789012.34567891") * Decimal("99999999999999.99999999")) == (
            "12345678901234567890.9998765432109876543" + "2109"
        ) or Decimal("123456789012.34567891") * Decimal("99999999999999.99999999") == Decimal(
            12345678901234567891 * 9999999999999999999999
        ).scaleb(-16)

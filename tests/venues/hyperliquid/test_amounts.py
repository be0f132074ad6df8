"""Amounts were doubles on the server: what a double adds is taken away, and no digit that somebody traded."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlposmon.domain.amounts import amount
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.payloads.amounts import denoised
from hlposmon.workers.price import marks_of
from tests.venues.hyperliquid.payloads import (
    US,
    balance,
    fill_row,
    key,
    ledger,
    packed,
    paid_row,
    position_row,
    printed,
    spot_state,
    state,
)

# Seen in answers of the real servers, but the last two: the largest that fit, and what has too many digits.
NOISY = [
    ("1064075.6000000001", "1064075.6"),
    ("1161681.8999999999", "1161681.9"),
    ("-3695042.8999999999", "-3695042.9"),
    ("2703997.4500000002", "2703997.45"),
    ("4009341.0098000001", "4009341.0098"),
    ("-36430067.9412349984", "-36430067.941235"),
    ("595188109.0328299999", "595188109.03283"),
    ("99999999999999.9000000000", "99999999999999.9"),
    ("0.12345678901234567", "0.123456789012346"),
]


@pytest.mark.parametrize(("text", "meant"), NOISY)
def test_the_noise_of_a_double_is_rounded_away(text, meant):
    assert str(denoised(amount(text))) == meant


@pytest.mark.parametrize(
    "text",
    [
        "0.0001234567",
        "1064075.60",
        "16.0",
        "0.0",
        "-0.0",
        "86324.0",
        "0.000000000000000000000000000001",
        "1234567890.12345",
        "-999999999999999",
    ],
)
def test_a_number_of_fifteen_digits_or_fewer_keeps_its_spelling(text):
    assert str(denoised(amount(text))) == str(Decimal(text))
    assert f"{denoised(amount(text)):f}" == text


@st.composite
def traded(draw):
    """An amount of at most fifteen digits, ten of them decimals, and up to 10**12."""
    decimals = draw(st.integers(0, 10))
    most = min(10**15 - 1, 10 ** (12 + decimals))
    # Short numbers come often enough by themselves; those that fill a double have to be asked for.
    digits = draw(st.integers(-most, most) | st.integers(most // 10, most))
    return Decimal(digits).scaleb(-decimals)


@settings(max_examples=2000, deadline=None)
@given(traded())
def test_whatever_was_traded_comes_back_from_what_a_double_prints(meant):
    assert denoised(amount(printed(meant))) == meant


@settings(max_examples=300, deadline=None)
@given(traded(), traded())
def test_what_was_traded_on_from_a_printed_size_chains(start, moved):
    """The next fill starts at a sum that was printed by itself: both spellings are one number."""
    end = start + moved
    if len(end.as_tuple().digits) <= 15:
        seen = denoised(amount(printed(start))) + denoised(amount(printed(moved)))
        assert seen == denoised(amount(printed(end))) == end


def test_noise_begins_where_the_servers_begin_to_print_it():
    """Else the printing of these tests would be gentler than the exchange's own."""
    assert printed(Decimal("1048575.9")) == "1048575.9"
    assert printed(Decimal("1064075.6")) == "1064075.6000000001"
    assert printed(Decimal("-3695042.9")) == "-3695042.8999999999"
    assert printed(Decimal("16")) == "16.0"


# ------------------------------------------------------------------ every door


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("px", "price"),
        ("sz", "size"),
        ("startPosition", "start_position"),
        ("fee", "fee"),
        ("closedPnl", "closed_pnl"),
    ],
)
def test_every_amount_of_a_fill_is_free_of_noise(name, of):
    [fill] = payloads.fills([fill_row(**{name: "1064075.6000000001"})], "main", US).fills

    assert getattr(fill, of) == Decimal("1064075.6")


@pytest.mark.parametrize(
    ("name", "of"), [("szi", "size"), ("marginUsed", "margin_used"), ("liquidationPx", "liquidation_price")]
)
def test_every_amount_of_a_position_is_free_of_noise(name, of):
    body = state(position_row(**{name: "1064075.6000000001"}))
    [position] = payloads.statement(body, "main", asked_s=0.0, now_ms=0).positions

    assert getattr(position, of) == Decimal("1064075.6")


def test_every_amount_of_an_account_is_free_of_noise():
    summary = {"accountValue": "1064075.6000000001", "totalMarginUsed": "1161681.8999999999"}
    body = state(marginSummary=summary, withdrawable="2703997.4500000002")
    one = payloads.statement(body, "main", asked_s=0.0, now_ms=0)

    assert (one.equity, one.margin_used, one.withdrawable) == (
        Decimal("1064075.6"),
        Decimal("1161681.9"),
        Decimal("2703997.45"),
    )


@pytest.mark.parametrize(
    ("size", "value", "mark"),
    [
        ("21836.18", "4009341.0098000001", "183.61"),
        ("-970359.0", "4299078.5136000002", "4.4304"),
        ("1064075.6000000001", "98852.62324", "0.0929"),
    ],
)
def test_a_mark_worked_out_of_noisy_amounts_is_the_price_that_they_were_made_of(size, value, mark):
    body = state(position_row(szi=size, positionValue=value))
    one = payloads.statement(body, "main", asked_s=0.0, now_ms=0)

    assert marks_of([one]) == {key("HYPE"): Decimal(mark)}
    assert len(one.positions[0].mark_price.as_tuple().digits) == len(mark.replace(".", "").lstrip("0"))


def test_a_mark_that_does_not_divide_evenly_has_fifteen_digits():
    [position] = payloads.statement(
        state(position_row(szi="3", positionValue="10")), "main", asked_s=0.0, now_ms=0
    ).positions

    assert position.mark_price == Decimal("3.33333333333333")


def test_funding_the_ledger_prices_and_balances_are_free_of_noise():
    [paid], _ = payloads.fundings([paid_row(usdc="-1064075.6000000001", szi="1161681.8999999999")], "main")
    [deposit] = payloads.account_events([ledger("deposit", usdc="2703997.4500000002")], "main", US)
    prices, _ = payloads.fast_marks(packed({"BTC": {"markPx": "1064075.6000000001"}}))

    assert (paid.amount, paid.size) == (Decimal("-1064075.6"), Decimal("1161681.9"))
    assert deposit.text == "deposit of 2703997.45 USDC"
    assert prices == {key("BTC"): Decimal("1064075.6")}
    [held] = payloads.spot_statement(
        spot_state(balance("USDC", "7678466.9041772699", "4104640.2134164399")),
        "main",
        time_ms=1,
        asked_s=0.0,
    ).positions
    assert (held.size, held.hold) == (Decimal("7678466.90417727"), Decimal("4104640.21341644"))


def test_a_row_that_is_set_aside_is_named_with_the_amount_as_the_server_spelled_it():
    [unread] = payloads.fills([fill_row(sz="-1064075.6000000001")], "main", US).unread

    assert "sz is not positive: '-1064075.6000000001'" in unread.text

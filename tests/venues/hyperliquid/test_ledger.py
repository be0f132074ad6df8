"""Funding, and what else befalls an account: the same from an answer and from the stream."""

from decimal import Decimal

import pytest

from hlposmon.domain.reports import AccountEvent, AccountEventKind
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from tests.venues.hyperliquid.payloads import PAID, US, ledger, paid_row

# ------------------------------------------------------------------ funding


def test_funding_reads_the_same_from_an_answer_and_from_the_stream():
    answer = {"time": 5, "hash": "0x00", "delta": {"type": "funding", **PAID}}

    assert payloads.fundings([answer], "main") == payloads.fundings([{"time": 5, **PAID}], "main")
    [paid], unread = payloads.fundings([answer], "main")
    assert (paid.time_ms, paid.amount, paid.size) == (5, Decimal("-3.625312"), Decimal("49.1477"))
    assert unread == []


def test_funding_of_another_dex_is_read_as_that_of_the_first():
    [paid], [unread] = payloads.fundings(
        [paid_row(coin="xyz:TSLA"), paid_row(coin="xyz:TSLA", usdc=0.5)], "main"
    )

    assert (paid.key, paid.amount) == ("hyperliquid:Perp:xyz:TSLA", Decimal("-3.625312"))
    assert unread.startswith("a funding payment could not be read: usdc: ")


@pytest.mark.parametrize("coin", ["@107", "PURR/USDC", "#1200"])
def test_funding_of_what_is_no_perpetual_is_passed_over_whatever_else_is_in_it(coin):
    assert payloads.fundings([paid_row(coin=coin), paid_row(coin=coin, usdc=0.5)], "main") == ([], [])


def set_aside(row):
    """What is said of a payment that cannot be read, between two that can."""
    found, [unread] = payloads.fundings([paid_row(time=1), row, paid_row(time=2)], "main")
    assert [paid.time_ms for paid in found] == [1, 2]
    return unread


@pytest.mark.parametrize("name", ["usdc", "szi", "fundingRate"])
@pytest.mark.parametrize("value", [0.1, None, ..., "1e-5", True])
def test_a_payment_with_a_wrong_amount_is_set_aside_and_names_it(name, value):
    assert set_aside(paid_row(**{name: value})).startswith(f"a funding payment could not be read: {name}: ")


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (5, "funding"),
        (paid_row(time=...), "time"),
        (paid_row(time=-1), "time"),
        (paid_row(coin=None), "coin"),
        ({"time": 5, "delta": None}, "delta"),
    ],
)
def test_a_payment_of_another_shape_is_set_aside_and_says_where(row, name):
    assert f"could not be read: {name}: " in set_aside(row)


@pytest.mark.parametrize("rows", [None, {}, "[]"])
def test_payments_that_are_no_list_are_a_wire_error(rows):
    with pytest.raises(WireError, match="fundings: a list is wanted"):
        payloads.fundings(rows, "main")


# ------------------------------------------------------------------ the ledger


def test_a_liquidation_in_the_ledger_names_every_coin_and_has_the_keys_of_the_perpetuals():
    lost = [{"coin": coin, "szi": "1"} for coin in ("BTC", "xyz:TSLA", "@107")]
    keys = ("hyperliquid:Perp:BTC", "hyperliquid:Perp:xyz:TSLA")

    assert payloads.account_events([ledger("liquidation", liquidatedPositions=lost)], "main") == [
        AccountEvent("main", 7, AccountEventKind.LIQUIDATION, "BTC, xyz:TSLA, @107", keys)
    ]


@pytest.mark.parametrize(
    ("row", "kind", "text"),
    [
        (ledger("withdraw", usdc="5.50", fee="1"), "transfer", "withdraw of 5.50 USDC"),
        (ledger("send", token="HYPE", amount="2", usdcValue="9"), "transfer", "send of 2 HYPE"),
        (ledger("send", token=5, amount="2"), "transfer", "send of 2 ?"),
        (ledger("vaultWithdraw", netWithdrawnUsd="3"), "transfer", "vaultWithdraw of 3 USDC"),
        (ledger("gossipPriorityGasAuction"), "transfer", "gossipPriorityGasAuction"),
        (ledger("activateDexAbstraction", dex="xyz"), "mode change", "dex abstraction was activated"),
        (ledger("somethingNew", amount="1"), "other", "somethingNew of 1 USDC"),
        (ledger("somethingNew"), "other", "somethingNew"),
    ],
)
def test_what_the_ledger_tells_reads_the_same_from_an_answer_and_from_the_stream(row, kind, text):
    expected = [AccountEvent("main", 7, AccountEventKind(kind), text)]

    assert payloads.account_events([row], "main") == expected
    assert payloads.account_events({"user": US, "nonFundingLedgerUpdates": [row]}, "main") == expected


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"time": 7}, "delta"),
        ({"time": 7, "delta": {}}, "type"),
        (ledger(5), "type"),
        (ledger("withdraw", usdc=5.5), "usdc"),
        (ledger("liquidation"), "liquidatedPositions"),
        (ledger("liquidation", liquidatedPositions=[5]), "liquidated position"),
        (ledger("liquidation", liquidatedPositions=[{}]), "coin"),
    ],
)
def test_a_row_with_a_time_that_cannot_be_read_is_told_as_something_other_beside_the_rest(row, name):
    first, odd, last = payloads.account_events(
        [ledger("deposit", usdc="1"), row, ledger("deposit", usdc="2")], "main"
    )

    assert (first.text, last.text) == ("deposit of 1 USDC", "deposit of 2 USDC")
    assert (odd.time_ms, odd.kind, odd.keys) == (7, AccountEventKind.OTHER, ())
    assert odd.text.startswith(f"a row that could not be read: {name}: ")


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (None, "nonFundingLedgerUpdates"),
        ({}, "nonFundingLedgerUpdates"),
        ([5], "ledger update"),
        ([{"delta": {"type": "withdraw"}}], "time"),
        ([{"time": "7", "delta": {"type": "withdraw"}}], "time"),
    ],
)
def test_a_ledger_in_which_a_row_has_no_time_says_where(rows, name):
    with pytest.raises(WireError, match=name):
        payloads.account_events(rows, "main")

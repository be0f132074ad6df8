"""Funding, and what else befalls an account: the same from an answer and from the stream."""

import json
from decimal import Decimal

import pytest

from hlposmon.domain.reports import AccountEvent, AccountEventKind
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from tests.venues.hyperliquid.payloads import PAID, THEM, US, ledger, paid_row

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

    assert payloads.account_events([ledger("liquidation", liquidatedPositions=lost)], "main", US) == [
        AccountEvent(
            "main", 7, AccountEventKind.LIQUIDATION, "BTC, xyz:TSLA, @107", keys, "liquidation", (), "0x00"
        )
    ]


@pytest.mark.parametrize(
    ("row", "kind", "text"),
    [
        (ledger("withdraw", usdc="5.50", fee="1"), "transfer", "withdraw of 5.50 USDC"),
        (ledger("send", token="HYPE", amount="2", usdcValue="9"), "transfer", "send of 2 HYPE"),
        (ledger("vaultWithdraw", netWithdrawnUsd="3"), "transfer", "vaultWithdraw of 3 USDC"),
        (
            ledger("activateDexAbstraction", dex="xyz", token="USDC", amount="1"),
            "mode change",
            "dex abstraction was activated",
        ),
        (ledger("borrowLend", operation="supply"), "transfer", "borrowLend"),
        (ledger("somethingNew", amount="1"), "other", "somethingNew"),
        (ledger("somethingNew"), "other", "somethingNew"),
    ],
)
def test_what_the_ledger_tells_reads_the_same_from_an_answer_and_from_the_stream(row, kind, text):
    [told] = payloads.account_events([row], "main", US)

    assert payloads.account_events({"user": US, "nonFundingLedgerUpdates": [row]}, "main", US) == [told]
    assert (told.account, told.time_ms, told.kind, told.text, told.hash) == ("main", 7, kind, text, "0x00")


USER, DESTINATION = {"user": US, "destination": THEM}, {"user": THEM, "destination": US}
VAULT = {"vault": THEM, "user": US}


@pytest.mark.parametrize(
    ("row", "moves"),
    [
        (ledger("deposit", usdc="5"), [("", "USDC", "5")]),
        (ledger("withdraw", usdc="5", fee="1", nonce=1), [("", "USDC", "-6")]),
        (ledger("internalTransfer", usdc="5", fee="1", **USER), [("", "USDC", "-6")]),
        (ledger("internalTransfer", usdc="5", fee="1", **DESTINATION), [("", "USDC", "5")]),
        (ledger("subAccountTransfer", usdc="5", **USER), [("", "USDC", "-5")]),
        (ledger("subAccountTransfer", usdc="5", **DESTINATION), [("", "USDC", "5")]),
        (ledger("accountClassTransfer", usdc="5", toPerp=True), [("", "USDC", "5"), ("spot", "USDC", "-5")]),
        (ledger("accountClassTransfer", usdc="5", toPerp=False), [("", "USDC", "-5"), ("spot", "USDC", "5")]),
        (
            ledger(
                "spotTransfer", token="PURR", amount="5", fee="1", feeToken="", nativeTokenFee="2", **USER
            ),
            [("spot", "PURR", "-5"), ("spot", "USDC", "-1"), ("spot", "HYPE", "-2")],
        ),
        (
            ledger("spotTransfer", token="PURR", amount="5", fee="1", nativeTokenFee="0.0", **DESTINATION),
            [("spot", "PURR", "5")],
        ),
        (
            ledger(
                "send", token="USDH", amount="5", sourceDex="spot", destinationDex="flx", fee="1",
                feeToken="USDH", nativeTokenFee="0.0", user=US, destination=US,
            ),
            [("spot", "USDH", "-5"), ("spot", "USDH", "-1"), ("flx", "USDH", "5")],
        ),
        (ledger("spotGenesis", token="PURR", amount="-5"), [("spot", "PURR", "-5")]),
        (ledger("rewardsClaim", token="HYPE", amount="5"), [("spot", "HYPE", "5")]),
        (ledger("rewardsClaim", amount="5"), [("", "USDC", "5")]),
        (ledger("vaultCreate", usdc="5", fee="100", **VAULT), [("", "USDC", "-105")]),
        (ledger("vaultDeposit", usdc="5", **VAULT), [("", "USDC", "-5")]),
        (ledger("vaultDeposit", usdc="5", vault=US, user=THEM), [("", "USDC", "5")]),
        (ledger("vaultDistribution", usdc="5", **VAULT), [("", "USDC", "5")]),
        (ledger("vaultDistribution", usdc="5", vault=US), [("", "USDC", "-5")]),
        (ledger("vaultWithdraw", requestedUsd="9", netWithdrawnUsd="5", **VAULT), [("", "USDC", "5")]),
        (ledger("vaultWithdraw", requestedUsd="9", netWithdrawnUsd="5", vault=US), [("", "USDC", "-5")]),
        (ledger("vaultLeaderCommission", usdc="5", user=US), [("", "USDC", "5")]),
        (ledger("cStakingTransfer", token="HYPE", amount="5", isDeposit=True), [("spot", "HYPE", "-5")]),
        (ledger("cStakingTransfer", token="HYPE", amount="5", isDeposit=False), [("spot", "HYPE", "5")]),
        (
            ledger("activateDexAbstraction", dex="xyz", token="USDC", amount="5"),
            [("", "USDC", "-5"), ("xyz", "USDC", "5")],
        ),
        (ledger("deployGasAuction", token="HYPE", amount="5"), [("spot", "HYPE", "-5")]),
        (ledger("gossipPriorityGasAuction", token="HYPE", amount="5"), [("spot", "HYPE", "-5")]),
        (ledger("borrowLend", token="USDC", operation="borrow", amount="5"), []),
        (ledger("deposit", usdc="0.0"), []),
    ],
)  # fmt: skip
def test_each_type_says_what_it_adds_to_which_market(row, moves):
    [told] = payloads.account_events([row], "main", US)

    assert [(move.scope, move.token, str(move.amount)) for move in told.moves] == moves
    assert (told.type, told.row) == (row["delta"]["type"], "")


def test_a_row_of_a_type_that_is_not_known_is_kept_whole():
    row = ledger("somethingNew", amount="1", to={"be": ["seen"]})
    [told] = payloads.account_events([row], "main", US)

    assert (told.type, told.moves, json.loads(told.row)) == ("somethingNew", (), row)


def test_a_row_with_a_number_beyond_all_bounds_is_kept_too():
    [told] = payloads.account_events([ledger("somethingNew", nonce=1 << 70)], "main", US)

    assert str(1 << 70) in told.row


def test_two_transfers_of_one_transaction_have_ids_of_their_own():
    first, second, again = (
        payloads.account_events([ledger("deposit", usdc=usdc)], "main", US)[0].id for usdc in ("1", "2", "1")
    )
    assert first != second
    assert first == again


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
        [ledger("deposit", usdc="1"), row, ledger("deposit", usdc="2")], "main", US
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
        payloads.account_events(rows, "main", US)

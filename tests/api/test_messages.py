"""What the socket serves: the contract's shapes to the letter, and numbers that a person can read."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.api import messages
from hlposmon.domain.amounts import ZERO
from hlposmon.domain.rendering import Rendered, Renderer
from hlposmon.domain.reports import Fill, FillCause, Notice, NoticeCode, Side
from hlposmon.domain.verdict import Proof, Verdict
from hlposmon.domain.views import AccountView, ScopeView
from hlposmon.text import dumps
from tests.domain.shown import BTC, T, view

FLAT = view("0", "0", None)


def one_fill(**changes):
    facts = {
        "account": "main",
        "key": BTC,
        "time_ms": T,
        "side": Side.BUY,
        "size": Decimal("0.10"),
        "price": Decimal("50000.0"),
        "start_position": Decimal(0),
        "fee": Decimal("2.5"),
        "fee_token": "USDC",
        "closed_pnl": Decimal(0),
        "order_id": 123,
        "trade_id": 456,
    }
    return Fill(**(facts | changes))


# ------------------------------------------------------------------ shapes


def test_a_position_is_the_contracts_to_the_letter():
    shown = messages.position(Rendered(view()), T)

    assert {name: value for name, value in shown.items() if name not in ("closed_pnl", "fills")} == {
        "key": "hyperliquid:Perp:BTC",
        "account": "main",
        "venue": "hyperliquid",
        "type": "Perp",
        "dex": "",
        "quote": "USDC",
        "coin": "BTC",
        "symbol": "BTC-USD",
        "side": "long",
        "quantity": "0.15",
        "size": "0.15",
        "entry_price": "50166.66667",
        "current_price": "51000",
        "mark_price": "51000",
        "unrealized_pnl": "125.00",
        "realized_pnl": "0.00",
        "fees": "3.76",
        "funding": "0.00",
        "total_pnl": "121.24",
        "notional_value": "7650.00",
        "margin_mode": "cross",
        "leverage": "20",
        "max_leverage": "40",
        "margin_used": "382.50",
        "maintenance_margin": None,
        "liquidation_price": None,
        "liquidation_distance": None,
        "hold": None,
        "verdict": "proven",
        "verdict_reason": None,
        "proof": "fills",
        "as_of": "2026-09-21T14:13:21.123Z",
        "block": None,
        "last_fill_time": "2026-09-21T14:13:20.123Z",
        "last_updated": "2026-09-21T14:13:20.123Z",
        "is_flat": False,
    }


def test_a_short_has_an_unsigned_quantity_and_a_signed_size():
    shown = messages.position(Rendered(view("-2", "-200", "90", fees="1", funding="0.5", realized="7")), None)

    assert (shown["side"], shown["quantity"], shown["size"]) == ("short", "2", "-2")
    assert (shown["entry_price"], shown["unrealized_pnl"], shown["notional_value"]) == (
        "100",
        "20.00",
        "180.00",
    )
    assert shown["total_pnl"] == "26.50"  # 7 + 20 - 1 + 0.5
    assert shown["last_updated"] is None


def test_a_flat_position_has_no_entry_and_no_unrealized_profit():
    shown = messages.position(Rendered(FLAT), T)

    assert (shown["side"], shown["size"], shown["entry_price"], shown["is_flat"]) == ("flat", "0", None, True)
    assert (shown["unrealized_pnl"], shown["notional_value"], shown["total_pnl"]) == ("0.00", "0.00", "-3.76")


def test_without_a_mark_nothing_is_claimed_that_needs_one():
    shown = messages.position(Rendered(view(mark=None)), T)

    assert [shown[name] for name in ("mark_price", "unrealized_pnl", "notional_value", "total_pnl")] == [
        None
    ] * 4


def test_a_fill_is_the_contracts_to_the_letter():
    assert messages.fill(one_fill()) == {
        "symbol": "BTC-USD",
        "side": "buy",
        "quantity": "0.1",
        "price": "50000",
        "timestamp": "2026-09-21T14:13:20.123Z",
        "order_id": "123",
        "fill_id": "456",
        "tid": 456,
        "fee": "2.50",
        "fee_token": "USDC",
        "builder_fee": None,
        "cause": "order",
        "liquidation": None,
        "twap_id": None,
    }


def test_a_fill_says_what_caused_it():
    liquidated = messages.fill(one_fill(cause=FillCause.LIQUIDATION, liquidation="backstop"))
    slice_ = messages.fill(one_fill(cause=FillCause.TWAP, twap_id=3156, builder_fee=Decimal("0.5")))

    assert (liquidated["cause"], liquidated["liquidation"]) == ("liquidation", "backstop")
    assert (slice_["cause"], slice_["twap_id"], slice_["builder_fee"]) == ("twap", 3156, "0.50")
    assert slice_["fee"] == "2.50"  # of which the builder's fee is a part


def test_a_fill_without_a_trade_id_still_has_an_id():
    shown = messages.fill(one_fill(trade_id=None))

    assert (shown["fill_id"], shown["tid"]) == (f"123-{T}", None)


def test_what_is_known_of_no_time_has_no_as_of():
    assert messages.position(Rendered(replace(view(), as_of_ms=None)), T)["as_of"] is None


def test_a_polled_account_says_so_and_how_long_a_round_is():
    one = AccountView("main", Verdict.PROVEN, None, None, None, None, (), as_of_ms=T, round_s=862.0)
    shown = messages.account(one, [], "0xab")

    assert (shown["followed"], shown["round_s"]) == ("poll", 862.0)
    assert shown["as_of"] == "2026-09-21T14:13:20.123Z"


def test_an_account_shows_its_figures_and_its_notices():
    notices = (
        Notice("main", NoticeCode.NO_PUSHES, "a notice", "state"),
        Notice("main", NoticeCode.NOT_WATCHED, "HYPE 1 (spot) is held but not watched"),
    )
    one = AccountView(
        "main",
        Verdict.UNPROVEN,
        "a gap",
        Decimal("10.5"),
        None,
        Decimal(3),
        notices,
        mode="default",
        role="subAccount",
        owner="0xcd",
        as_of_ms=T,
        maintenance_margin=Decimal(4),
        margin_ratio=Decimal(8) / 21,
    )
    xyz = ScopeView("main", "xyz", Proof.FILLS, Verdict.PROVEN, None, Decimal(7), ZERO, None, T, quote="USDH")

    assert messages.account(one, [xyz], "0xab") == {
        "address": "0xab",
        "equity": "10.50",
        "margin_used": None,
        "maintenance_margin": "4.00",
        "margin_ratio": "0.380952381",
        "withdrawable": "3.00",
        "unexplained": None,
        "unexplained_reason": None,
        "equity_reason": None,
        "margin_reason": None,
        "mode": "default",
        "role": "subAccount",
        "master": "0xcd",
        "agent": None,
        "followed": "stream",
        "round_s": None,
        "verdict": "unproven",
        "verdict_reason": "a gap",
        "as_of": "2026-09-21T14:13:20.123Z",
        "scopes": [
            {
                "name": "xyz",
                "market": "Perp",
                "quote": "USDH",
                "equity": "7.00",
                "margin_used": "0.00",
                "withdrawable": None,
                "as_of": "2026-09-21T14:13:20.123Z",
                "proof": "fills",
                "verdict": "proven",
                "verdict_reason": None,
            }
        ],
        "notices": ["a notice", "HYPE 1 (spot) is held but not watched"],
    }


def test_an_account_that_is_behind_an_agent_says_so():
    one = AccountView("bot", Verdict.PROVEN, None, None, None, None, (), role="user")
    shown = messages.account(one, [], "0xab", "0xa9")
    assert (shown["address"], shown["role"], shown["master"], shown["agent"]) == (
        "0xab",
        "agent",
        "0xab",
        "0xa9",
    )


@pytest.mark.parametrize("role", [None, ""])
def test_figures_that_are_not_known_are_null_with_the_reason_and_never_zero(role):
    why = "account mode portfolioMargin: its balances are kept in its spot state"
    one = AccountView(
        "main",
        Verdict.PROVEN,
        None,
        None,
        None,
        None,
        (),
        equity_reason=why,
        margin_reason="the exchange states no ratio",
        mode="portfolioMargin",
        role=role,
    )
    shown = messages.account(one, [], "0xab")

    unknown = ("equity", "margin_used", "withdrawable", "maintenance_margin", "margin_ratio")
    assert [shown[name] for name in unknown] == [None] * 5
    assert shown["margin_reason"] == "the exchange states no ratio"
    assert (shown["equity_reason"], shown["mode"]) == (why, "portfolioMargin")
    assert (shown["role"], shown["master"]) == (None, None)


def labels(*views):
    return list(messages.positions(views, Renderer(), lambda account, key: T))


def test_positions_of_an_account_are_keyed_by_symbol():
    assert labels(view(), view(key="hyperliquid:Perp:ETH")) == ["BTC-USD", "ETH-USD"]


def test_positions_of_several_accounts_are_keyed_by_account_and_symbol():
    shown = {
        name: messages.positions([view(account=name)], Renderer(), lambda account, key: T)
        for name in ("a", "b")
    }

    assert messages.of_all(shown) == {
        "a/BTC-USD": shown["a"]["BTC-USD"],
        "b/BTC-USD": shown["b"]["BTC-USD"],
    }


def test_a_symbol_held_twice_is_keyed_by_its_key():
    assert labels(view(), view(key="other:Perp:BTC"), view(key="aave:aToken:BTC")) == [
        "hyperliquid:Perp:BTC",
        "other:Perp:BTC",
        "BTC",
    ]


def test_flat_positions_are_listed_only_while_their_flatness_is_in_doubt():
    flat = view("0", "0", None, verdict=Verdict.UNPROVEN, reason="a gap")
    doubt = replace(flat, in_doubt=True)
    drift = view("0", "0", None, verdict=Verdict.DRIFT, reason="why", key="hyperliquid:Perp:ETH")

    assert labels(FLAT) == []
    assert labels(doubt, drift) == ["BTC-USD", "ETH-USD"]


@pytest.mark.parametrize(
    ("key", "symbol", "coin"),
    [
        (BTC, "BTC-USD", "BTC"),
        ("hyperliquid:Perp:xyz:TSLA", "xyz:TSLA-USD", "xyz:TSLA"),
        ("aave:aToken:aUSDC", "aUSDC", "aUSDC"),
    ],
)
def test_a_key_is_split_at_its_first_two_colons_only(key, symbol, coin):
    shown = messages.position(Rendered(view(key=key)), T)

    assert (shown["symbol"], shown["coin"]) == (symbol, coin)


# ------------------------------------------------------------------ numbers, times


PLAIN = re.compile(r"-?\d+(\.\d+)?\Z", re.ASCII)
# As large, small and long as the wire lets in, and what sums and products of such are.
ANY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**60), max_value=10**60) | st.builds(
    lambda digits, scale: Decimal(digits).scaleb(scale), st.integers(-(10**59), 10**59), st.integers(-60, 20)
)


@given(ANY, ANY.filter(bool), ANY)
def test_a_position_of_any_figures_is_shown_without_an_exponent_or_a_float(cost, size, mark):
    shown = messages.position(Rendered(view(size, cost, mark)), T)

    assert b"E" not in re.sub(rb'"(key|symbol|coin)":"[^"]*"', b"", dumps(shown)).replace(b"USD", b"")
    assert not any(isinstance(value, float) for value in shown.values())

"""A statement keeps the identities of the venue's own statements, real ones and ours."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hlposmon.simulator.account import View
from hlposmon.simulator.ledger import Margin, Position
from hlposmon.simulator.markets import MARKETS, Market, Quote
from hlposmon.simulator.statement import clearinghouse_state
from hlposmon.simulator.trader import Trader
from hlposmon.simulator.world import World, addresses

NOW = 1_790_000_000_000
CENT = Fraction(1, 100_000)


def world(seed: int, orders: int = 0) -> World:
    found = World(seed, addresses(seed, 3), 6)
    trader = Trader(found, seed)
    trader.live(NOW)
    for n in range(orders):
        found.walk()
        trader.order(list(found.accounts.values())[n % 3], NOW + n * 1000)
    return found


def states(here: World) -> list[Any]:
    return [clearinghouse_state(a.view(), "", here.quotes, NOW) for a in here.accounts.values()]


def check_identities(state: Any) -> None:
    """Section 8 of the venue's arithmetic: positionValue, account values, margin, maintenance, ROE."""
    rows = [row["position"] for row in state["assetPositions"]]
    value = {row["coin"]: Fraction(row["positionValue"]) for row in rows}
    signed = {row["coin"]: value[row["coin"]] * (1 if Fraction(row["szi"]) > 0 else -1) for row in rows}
    whole, cross = state["marginSummary"], state["crossMarginSummary"]
    isolated = [row for row in rows if row["leverage"]["type"] == "isolated"]
    pockets = sum((Fraction(row["marginUsed"]) for row in isolated), Fraction(0))
    assert abs(Fraction(whole["accountValue"]) - Fraction(whole["totalRawUsd"]) - sum(signed.values())) < CENT
    assert abs(Fraction(whole["accountValue"]) - Fraction(cross["accountValue"]) - pockets) < CENT
    assert abs(Fraction(whole["totalNtlPos"]) - sum(value.values())) < CENT
    for row in isolated:
        pocket = signed[row["coin"]] + Fraction(row["leverage"]["rawUsd"])
        assert abs(Fraction(row["marginUsed"]) - pocket) < CENT
    for row in rows:
        if row["leverage"]["type"] == "cross":
            used = value[row["coin"]] / row["leverage"]["value"]
            assert abs(Fraction(row["marginUsed"]) - used) < CENT
        check_liquidation_price(row, cross, Fraction(state["crossMaintenanceMarginUsed"]))


def check_liquidation_price(row: Any, cross: Any, maintenance: Fraction) -> None:
    size, rate = Fraction(row["szi"]), Fraction(1, 2 * row["maxLeverage"])
    sign, mark = (1 if size > 0 else -1), Fraction(row["positionValue"]) / abs(size)
    available = Fraction(cross["accountValue"]) - maintenance
    if row["leverage"]["type"] == "isolated":
        available = Fraction(row["marginUsed"]) - Fraction(row["positionValue"]) * rate
    price = mark - sign * available / abs(size) / (1 - rate * sign)
    if row["liquidationPx"] is None:
        assert price < Fraction(1, 10**5)
    else:
        assert abs(Fraction(row["liquidationPx"]) - price) <= abs(price) / 10**6


@pytest.mark.parametrize("seed", range(4))
def test_every_statement_keeps_the_identities(seed: int) -> None:
    found = states(world(seed, orders=150))

    assert sum(len(state["assetPositions"]) for state in found) > 8
    for state in found:
        check_identities(state)


def test_a_real_statement_keeps_the_same_identities(real_data: Path) -> None:
    rows = json.loads((real_data / "ccxt" / "clearinghouse_states.json").read_text())
    recent = [row["state"] for row in rows if row["state"].get("time", 0) > 1_760_000_000_000]

    assert recent
    for state in recent:
        if state["crossMarginSummary"]["totalNtlPos"] == "0.0":  # others were shortened by hand
            check_identities(state)


def market(coin: str, max_leverage: int) -> Market:
    found = next(one for one in MARKETS if one.coin == coin)
    return Market(found.coin, found.sz_decimals, max_leverage, found.start)


def test_a_real_isolated_short_is_reproduced_to_the_last_digit() -> None:
    """A statement of the venue, of 2025-10-30."""
    hype = market("HYPE", 10)
    held = Position(hype, Fraction(-4), Fraction("47.993225"), Margin(10, True), Fraction("211.144417"))
    quote = Quote(hype)
    quote.hold(Fraction("48.145"))
    view = View(0, {"": Fraction("57.6421")}, {"HYPE": held}, {})
    state = clearinghouse_state(view, "", {"HYPE": quote}, 1761803589961)
    row = state["assetPositions"][0]["position"]

    assert state["marginSummary"] == {
        "accountValue": "76.206517",
        "totalNtlPos": "192.58",
        "totalRawUsd": "268.786517",
        "totalMarginUsed": "18.564417",
    }
    assert state["crossMarginSummary"]["accountValue"] == state["withdrawable"] == "57.6421"
    assert (row["entryPx"], row["unrealizedPnl"]) == ("47.9932", "-0.6071")
    assert (row["liquidationPx"], row["marginUsed"]) == ("50.2724802381", "18.564417")
    assert row["returnOnEquity"] == "-0.0316242553"


def test_unrealized_pnl_gives_back_the_exact_entry() -> None:
    here = world(3, orders=100)
    account = next(iter(here.accounts.values()))
    state = clearinghouse_state(account.view(), "", here.quotes, NOW)

    for row in (each["position"] for each in state["assetPositions"]):
        size, mark = Fraction(row["szi"]), Fraction(row["positionValue"]) / abs(Fraction(row["szi"]))
        entry = (size * mark - Fraction(row["unrealizedPnl"])) / size
        assert abs(entry - account.positions[row["coin"]].entry) < Fraction(1, 10**5) / abs(size)


def test_an_account_that_has_nothing_is_all_zero() -> None:
    here = world(1)
    state = clearinghouse_state(View(0, {}, {}, {}), "", here.quotes, NOW)

    assert state["assetPositions"] == []
    assert set(state["marginSummary"].values()) == {"0.0"}
    assert (state["withdrawable"], state["crossMaintenanceMarginUsed"]) == ("0.0", "0.0")

"""The domain's laws held against answers of Hyperliquid's real servers, where they are at hand.

The folder is named by HLPOSMON_REAL_DATA, or lies beside the repository.
"""

import json
import os
import random
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from hlposmon.domain.amounts import amount, exactly
from hlposmon.domain.chain import is_counter_leg, segments
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill, Side
from tests.domain.language import ACCOUNT, Desk, key, kinds

ROOT = Path(os.environ.get("HLPOSMON_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "real-data"))

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no real data at {ROOT}")


def load(name: str):
    return json.loads((ROOT / name).read_text())


def parsed(row: dict) -> Fill:
    return Fill(
        account=ACCOUNT,
        key=key(row["coin"]),
        time_ms=row["time"],
        side=Side.BUY if row["side"] == "B" else Side.SELL,
        size=amount(row["sz"]),
        price=amount(row["px"]),
        start_position=amount(row["startPosition"]),
        fee=amount(row["fee"]),
        fee_token=row.get("feeToken", ""),
        closed_pnl=amount(row["closedPnl"]),
        order_id=row["oid"],
        trade_id=row.get("tid"),
        hash=row["hash"],
        direction=row["dir"],
        crossed=row["crossed"],
    )


@pytest.fixture(scope="module")
def page() -> list[Fill]:
    """500 fills of one account, newest first, and in their order inside a millisecond."""
    return [parsed(row) for row in load("hyperliquid-python-sdk/test_get_user_fills.json")["body"]]


def by_coin(fills: list[Fill]) -> list[list[Fill]]:
    coins: dict[str, list[Fill]] = {}
    for one in fills:
        coins.setdefault(one.key, []).append(one)
    return list(coins.values())


def links(fills: list[Fill]) -> tuple[int, int]:
    pairs = [pair for coin in by_coin(fills) for pair in pairwise(coin)]
    return sum(after.start_position == before.end_position for before, after in pairs), len(pairs)


def oldest_first(page: list[Fill]) -> list[Fill]:
    return sorted(page, key=lambda one: one.time_ms)


def test_inside_a_millisecond_the_list_stands_in_the_order_of_execution(page):
    assert links(oldest_first(page)) == (318, 485)
    assert links(page[::-1])[0] == 202


def test_with_each_self_trade_as_one_unit_all_links_hold_but_the_edge_of_the_page(page):
    trades = held = count = 0
    for coin in by_coin(oldest_first(page)):
        size, index = coin[0].start_position, 0
        units = 0
        while index < len(coin):
            one = coin[index]
            paired = index + 1 < len(coin) and is_counter_leg(coin[index + 1], one)
            if units:
                held += one.start_position == size
                count += 1
            size = one.start_position if paired else one.end_position
            trades += paired
            index += 2 if paired else 1
            units += 1
    assert (trades, held, count) == (83, 401, 402)


def test_the_chain_finds_its_way_from_any_order_of_the_page(page):
    mixed = by_coin(random.Random(1).sample(page, len(page)))
    found = {coin[0].key: sorted(len(part) for part in segments(coin)) for coin in mixed}

    # The oldest fill of SUI is the second leg of a trade whose first leg is on the next page.
    assert found.pop(key("SUI")) == [1, 241]
    assert all(len(parts) == 1 for parts in found.values())
    assert sum(sum(parts) for parts in found.values()) == 500 - 242


def test_a_book_takes_the_whole_page_without_a_gap(page):
    desk = Desk()
    desk.stated("", at=-10_000_000_000)
    firsts = [segments(coin)[-1][0] for coin in by_coin(page)]
    for one in firsts:  # a fill that brings the coin to where the page begins
        if one.start_position:
            side = Side.BUY if one.start_position > 0 else Side.SELL
            size = abs(one.start_position)
            before = {"time_ms": one.time_ms - 1, "start_position": Decimal(0), "hash": ""}
            desk.told(replace(one, side=side, size=size, **before))
    desk.said.clear()
    desk.told(*page[:-1])
    desk.told(*page[:-1])

    assert kinds(desk.said) == ["Filled"] * 499
    assert max(desk.filled().values()) == 1


def states() -> list[tuple[dict, list[dict]]]:
    found = [
        (row["state"], [item["position"] for item in row["state"]["assetPositions"]])
        for row in load("ccxt/clearinghouse_states.json")
    ]
    hlp = load("hyperliquid-math/2026-07-19-mainnet-m3.json")["selection"]
    return [*found, (hlp, hlp["positions"])]


def test_an_account_is_worth_its_cash_and_its_positions_at_the_mark():
    for state, positions in states():
        summary, cross = state["marginSummary"], state["crossMarginSummary"]
        with exactly():
            isolated = sum(
                (amount(p["marginUsed"]) for p in positions if p["leverage"]["type"] == "isolated"),
                Decimal(0),
            )
            assert amount(summary["accountValue"]) == amount(cross["accountValue"]) + isolated
            if len(positions) == len(state.get("assetPositions", [])):
                signed = sum(
                    (amount(p["positionValue"]).copy_sign(amount(p["szi"])) for p in positions), Decimal(0)
                )
                assert amount(summary["accountValue"]) == amount(summary["totalRawUsd"]) + signed


def test_the_entry_price_is_the_exact_one_truncated():
    positions = load("hyperliquid-math/2026-07-19-mainnet-m3.json")["selection"]["positions"]
    positions += load("hyperliquid-math/2026-07-19-mainnet-m2.json")["selection"]["positions"]
    decimals = {"BTC": 1, "ETH": 2, "DYDX": 5}
    differ = 0
    for row in positions:
        size, value = amount(row["szi"]), amount(row["positionValue"])
        mark = value / abs(size)
        position = Position(size=size, cost=size * mark - amount(row["unrealizedPnl"]))
        step = Decimal(1).scaleb(-decimals[row["coin"]])

        assert position.unrealized(mark) == amount(row["unrealizedPnl"])
        assert position.notional(mark) == value
        assert position.entry_price.quantize(step, ROUND_DOWN) == amount(row["entryPx"])
        differ += position.entry_price.quantize(step) != amount(row["entryPx"])
    assert differ > 0  # rounding would have failed


def test_the_venue_works_its_profit_out_from_the_truncated_entry_and_we_from_the_exact_one():
    rows = load("ccxt/user_fills_0x193bd350.json")
    close = parsed(next(row for row in rows if row["coin"] == "flx:CRCL" and row["side"] == "A"))
    added = parsed(next(row for row in rows if row["coin"] == "flx:CRCL" and row["side"] == "B"))
    position = Position(size=Decimal("0.13"), cost=Decimal("0.13") * Decimal("80.262"))
    position, _ = position.after(added)
    entry = position.entry_price
    position, _ = position.after(close)

    truncated = entry.quantize(Decimal("0.0001"), ROUND_DOWN)
    assert close.size * (close.price - truncated) == close.closed_pnl
    assert position.size == 0
    assert position.realized != close.closed_pnl
    assert abs(position.realized - close.closed_pnl) < close.size * Decimal("0.0001")

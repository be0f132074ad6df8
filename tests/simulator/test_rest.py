"""The REST endpoint: shapes, bounds, order, errors and weights of the venue's own."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Venues = Callable[..., Any]
STRANGER = "0x" + "ab" * 20
UNREADABLE = "Failed to deserialize the JSON body into the target type"


def keys(value: Any) -> Any:
    """The shape of a JSON value: its keys and kinds, lists by their first element."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


def recorded(real_data: Path, name: str) -> Any:
    return json.loads((real_data / "hyperliquid-python-sdk" / name).read_text())["body"]


def test_fills_have_the_keys_of_a_real_answer(venue: Venues, real_data: Path) -> None:
    rows = json.loads((real_data / "ccxt" / "user_fills_0x193bd350.json").read_text())
    optional = ("builderFee", "cloid", "liquidation")
    real = {key: kind for key, kind in keys(rows[0]).items() if key not in optional}
    ours = venue().ask("userFills", user=venue().account)

    for row in ours:
        assert {key: kind for key, kind in keys(row).items() if key not in optional} == real


def test_a_statement_has_the_keys_of_real_ones(venue: Venues, real_data: Path) -> None:
    real = json.loads((real_data / "ccxt" / "clearinghouse_states.json").read_text())[0]["state"]
    here = venue()
    ours = here.state()
    position = real["assetPositions"][0]["position"]
    isolated = next(
        row["position"] for row in ours["assetPositions"] if row["position"]["leverage"]["type"] == "isolated"
    )

    assert set(ours) == set(real)
    assert keys(ours["marginSummary"]) == keys(real["marginSummary"])
    assert keys(isolated) == keys(position)


def test_ledger_funding_and_order_rows_have_the_keys_of_real_ones(venue: Venues, real_data: Path) -> None:
    here = venue()
    here.control.funding()
    user = {"user": here.account}
    funding = recorded(real_data, "test_user_funding_history_with_end_time.json")[0]
    ledger = recorded(real_data, "test_user_non_funding_ledger_updates_without_end_time.json")[0]
    orders = recorded(real_data, "test_get_frontend_open_orders.json")[0]
    ours = here.ask("userFunding", startTime=0, **user)[0]

    assert set(ours) == set(funding)
    assert set(ours["delta"]) == set(funding["delta"])
    assert keys(here.ask("userNonFundingLedgerUpdates", startTime=0, **user)[0]) == keys(ledger)
    assert set(orders) <= set(here.ask("frontendOpenOrders", **user)[0])
    assert keys(here.ask("portfolio", **user)[0]) == keys(recorded(real_data, "test_portfolio.json")[0])
    assert set(recorded(real_data, "test_user_rate_limit.json")) <= set(here.ask("userRateLimit", **user))


def test_contexts_have_the_keys_of_real_ones(venue: Venues, real_data: Path) -> None:
    folder = real_data / "hyperliquid-math"
    real = json.loads((folder / "2026-07-19-mainnet-m2.json").read_text())["selection"]["btcAssetContext"]
    spot = json.loads((folder / "2026-07-19-mainnet-m5.json").read_text())["selection"]
    here = venue()
    meta, contexts = here.ask("metaAndAssetCtxs")

    assert len(meta["universe"]) == len(contexts)
    assert set(real) <= set(contexts[0])
    assert set(spot["spotAssetContexts"][0]) - {"index"} <= set(here.ask("spotMetaAndAssetCtxs")[1][0])
    assert set(spot["spotTokens"][0]) == set(here.ask("spotMeta")["tokens"][0])


def test_numbers_are_plain_text_and_times_are_ints(venue: Venues) -> None:
    here = venue()

    def check(value: Any) -> None:
        assert not isinstance(value, float)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    for kind in ("clearinghouseState", "userFills", "userRateLimit", "portfolio"):
        check(here.ask(kind, user=here.account))
    check(here.ask("metaAndAssetCtxs"))


def test_the_delisted_market_stays_with_nulls(venue: Venues) -> None:
    meta, contexts = venue().ask("metaAndAssetCtxs")
    place = next(n for n, market in enumerate(meta["universe"]) if market.get("isDelisted"))

    assert contexts[place]["midPx"] is None
    assert contexts[place]["markPx"] == "0.5123"
    assert len(meta["universe"]) >= 30


def test_an_unknown_address_is_all_zero_and_no_error(venue: Venues) -> None:
    here = venue()

    assert here.state(STRANGER)["assetPositions"] == []
    assert here.state(STRANGER)["marginSummary"]["accountValue"] == "0.0"
    assert here.ask("userFills", user=STRANGER) == []
    assert here.ask("userRole", user=STRANGER) == {"role": "missing"}
    assert here.ask("userRole", user=here.account) == {"role": "user"}


def test_an_address_may_be_written_in_any_case(venue: Venues) -> None:
    here = venue()
    shouted = "0x" + here.account[2:].upper()

    assert here.ask("userFills", user=shouted) == here.ask("userFills", user=here.account)


def test_another_dex_is_another_account(venue: Venues) -> None:
    here = venue()
    assert here.ask("clearinghouseState", user=here.account, dex="xyz")["assetPositions"] == []
    here.control.fill(here.account, "xyz:TSLA", "B", "1.5", "402.15")
    state = here.ask("clearinghouseState", user=here.account, dex="xyz")

    assert [row["position"]["coin"] for row in state["assetPositions"]] == ["xyz:TSLA"]
    assert here.ask("perpDexs")[0] is None
    assert [market["name"] for market in here.ask("meta", dex="xyz")["universe"]][1] == "xyz:TSLA"
    assert "xyz:TSLA" not in here.ask("allMids")


def test_many_statements_come_in_the_order_asked(venue: Venues) -> None:
    here = venue()
    found = here.ask("batchClearinghouseStates", users=[here.accounts[1], STRANGER, here.accounts[0]])

    assert [len(state["assetPositions"]) > 0 for state in found] == [True, False, True]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"type": "weather"},
        {"type": "clearinghouseState"},
        {"type": "userFills", "user": "0x12"},
        {"type": "userFillsByTime", "user": STRANGER},
        {"type": "userFillsByTime", "user": STRANGER, "startTime": "0"},
        {"type": "meta", "dex": 7},
        {"type": "batchClearinghouseStates", "users": "all"},
        {"type": "subAccounts2"},
        {"type": "vaultDetails", "user": STRANGER},
        {"type": "delegatorSummary", "user": "0x12"},
    ],
)
def test_a_bad_request_is_422_in_plain_text(venue: Venues, request_: Any) -> None:
    answer = venue().post(**request_)

    assert (answer.status_code, answer.text) == (422, UNREADABLE)
    assert answer.headers["content-type"].startswith("text/plain")


def test_user_fills_are_newest_first_inside_a_block_too(venue: Venues) -> None:
    here = venue()
    one = {"account": here.account, "coin": "BTC", "side": "B", "size": "0.001", "price": "86250"}
    made = here.control.fills(*[one] * 3, same_block=True)
    later = here.control.fill(here.account, "ETH", "B", "0.1", "2871.4")
    tids = [fill["tid"] for fill in here.ask("userFills", user=here.account)]

    assert tids[:4] == [later["tid"], *[fill["tid"] for fill in reversed(made)]]
    assert tids[::-1] == [fill["tid"] for fill in here.control.made(here.account)]


def test_user_fills_by_time_are_oldest_first_and_both_bounds_count(venue: Venues) -> None:
    here = venue()
    every = here.ask("userFillsByTime", user=here.account, startTime=0)
    begin, end = every[3]["time"], every[-4]["time"]
    span = here.ask("userFillsByTime", user=here.account, startTime=begin, endTime=end)

    assert [fill["time"] for fill in every] == sorted(fill["time"] for fill in every)
    assert span == [fill for fill in every if begin <= fill["time"] <= end]
    assert here.ask("userFillsByTime", user=here.account, startTime=0, reversed=True) == every[::-1]


def all_pages(here: Any) -> list[int]:
    """The tids of all fills that are listed, by pages that begin where the last one ended."""
    seen: dict[int, None] = {}
    begin = 0
    while True:
        page = here.ask("userFillsByTime", user=here.account, startTime=begin)
        assert len(page) <= 2000
        seen |= {fill["tid"]: None for fill in page}
        if len(page) < 2000:
            break
        begin = page[-1]["time"]
    return list(seen)


def test_a_page_has_2000_fills_and_all_fills_are_listed(venue: Venues) -> None:
    here = venue()
    here.control.random_fills(12_000, account=here.account)

    assert all_pages(here) == [fill["tid"] for fill in here.control.made(here.account)]
    assert here.truth()["fills"] > 12_000
    assert len(here.ask("userFills", user=here.account)) == 2000


def test_a_script_can_have_only_the_newest_fills_listed(venue: Venues) -> None:
    here = venue()
    made = [fill["tid"] for fill in here.control.made(here.account)]
    here.control.horizon(7)
    seen = here.feed().subscribe("userFills", user=here.account).next("userFills")["fills"]

    assert all_pages(here) == made[-7:]
    assert [fill["tid"] for fill in here.ask("userFills", user=here.account)] == made[:-8:-1]
    assert [fill["tid"] for fill in seen] == made[-7:]
    here.control.horizon(0)
    assert all_pages(here) == []
    here.control.horizon(None)
    assert all_pages(here) == made
    here.control.horizon(7)
    here.control.clear()
    assert all_pages(here) == made


def test_funding_is_newest_first_unless_it_is_asked_for_from_a_time_on(venue: Venues) -> None:
    here = venue()
    for _ in range(3):
        here.control.funding()
    newest = here.ask("userFunding", user=here.account)
    oldest = here.ask("userFunding", user=here.account, startTime=0)

    assert newest == oldest[::-1]
    assert [row["time"] for row in oldest] == sorted(row["time"] for row in oldest)
    assert oldest[0]["time"] < oldest[-1]["time"]


@pytest.mark.parametrize("kind", ["exchangeStatus", "userRole", "perpDexs", "userAbstraction"])
def test_a_server_can_be_one_that_does_not_know_the_newer_requests(venue: Venues, kind: str) -> None:
    here = venue()
    here.control.refuse_request("newer")
    answer = here.post(type=kind, user=here.account)

    assert (answer.status_code, answer.text) == (422, UNREADABLE)
    assert answer.headers["content-type"].startswith("text/plain")
    assert here.state()["assetPositions"]
    here.control.refuse_request("newer", release=True)
    assert here.post(type=kind, user=here.account).status_code == 200


def test_one_type_of_request_can_be_refused_until_it_is_released_or_all_is_cleared(venue: Venues) -> None:
    here = venue()
    here.control.refuse_request("userFunding")
    assert here.post(type="userFunding", user=here.account).status_code == 422
    assert here.ask("userRole", user=here.account)
    here.control.clear()

    assert here.ask("userFunding", user=here.account) is not None


def test_no_account_holds_anything_on_spot_unless_a_script_says_so(venue: Venues) -> None:
    here = venue()
    feed = here.watching("spotState")
    nothing = {"coin": "USDC", "token": 0, "total": "0.0", "hold": "0.0", "entryNtl": "0.0"}
    assert here.ask("spotClearinghouseState", user=here.account) == {"balances": [nothing]}
    assert here.ask("spotClearinghouseState", user=STRANGER) == {"balances": []}
    here.control.spot(here.account, "HYPE", "12.5")
    here.control.spot(here.account, "+107580", "3")
    held = here.ask("spotClearinghouseState", user=here.account)["balances"]

    assert held == [
        nothing,
        {"coin": "HYPE", "token": 150, "total": "12.5", "hold": "0.0", "entryNtl": "0.0"},
        {"coin": "+107580", "total": "3.0", "hold": "0.0", "entryNtl": "0.0"},
    ]
    pushed = feed.until(lambda said: len(said["data"].get("spotState", {}).get("balances", [])) == 3)
    assert pushed["data"] == {"user": here.account, "spotState": {"balances": held}}
    here.control.spot(here.account, "HYPE", "0")
    assert here.ask("spotClearinghouseState", user=here.account)["balances"][1]["total"] == "0.0"


def test_the_exchange_tells_its_time(venue: Venues) -> None:
    assert abs(venue().ask("exchangeStatus")["time"] - time.time() * 1000) < 5000


def test_beyond_1200_of_weight_a_minute_the_answer_is_429_and_null(venue: Venues) -> None:
    here = venue(limits=True)
    answers = [here.post(type="userRole", user=here.account) for _ in range(21)]

    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert answers[-1].text == "null"
    assert here.control.state()["weight_used"] == 1200


def test_rows_cost_weight_too(venue: Venues) -> None:
    here = venue(limits=True)
    here.control.random_fills(380, account=here.account)
    rows = here.ask("userFills", user=here.account)

    assert len(rows) > 400
    assert here.control.state()["weight_used"] == 20 + len(rows) // 20


def test_nothing_else_is_served(venue: Venues) -> None:
    here = venue()

    assert here.session.get(here.url + "/info", timeout=30).status_code == 405
    assert here.session.post(here.url + "/else", timeout=30).status_code == 404


def test_a_vault_has_the_keys_of_a_real_one(venue: Venues, real_data: Path) -> None:
    here = venue()
    here.control.vault(STRANGER, here.account, "HLP", children=["0x" + "01" * 20])
    ours = here.ask("vaultDetails", vaultAddress=STRANGER)
    theirs = json.loads((real_data / "gocryptotrader/http_vaultDetails.json").read_text())

    assert set(theirs) <= set(ours)
    assert keys(ours["relationship"]) == keys(theirs["relationship"])
    assert [type(ours[name]) for name in ("apr", "maxWithdrawable")] == [float, float]


def test_a_stake_in_a_vault_has_the_keys_of_a_real_one(venue: Venues, real_data: Path) -> None:
    here = venue()
    here.control.vault_stake(here.account, STRANGER, "1.5", 1734824439201)
    theirs = recorded(real_data, "test_user_vault_equities.json")

    assert keys(here.ask("userVaultEquities", user=here.account)) == keys(theirs)


def test_who_owns_nothing_is_answered_as_by_the_venue(venue: Venues) -> None:
    here = venue()

    assert here.ask("subAccounts", user=here.account) is None
    assert here.ask("subAccounts2", user=here.account) is None
    assert here.ask("userVaultEquities", user=here.account) == []
    assert here.ask("vaultDetails", vaultAddress=here.account) is None
    assert here.ask("delegatorSummary", user=here.account) == {
        "delegated": "0.0",
        "undelegated": "0.0",
        "totalPendingWithdrawal": "0.0",
        "nPendingWithdrawals": 0,
    }


def test_a_sub_account_is_listed_with_its_states_and_is_no_part_of_its_masters(venue: Venues) -> None:
    here = venue()
    master, sub = here.account, "0x" + "95" * 20
    before = here.state(master)["assetPositions"]
    here.control.sub_account(sub, master, "arb")
    [first] = here.ask("subAccounts", user=master)
    [all_dexes] = here.ask("subAccounts2", user=master)

    assert (first["name"], first["subAccountUser"], first["master"]) == ("arb", sub, master)
    assert first["clearinghouseState"]["assetPositions"] == [] and first["spotState"] == {"balances": []}
    assert [dex for dex, _ in all_dexes["dexToClearinghouseState"]] == ["", "xyz"]
    assert here.ask("userRole", user=sub) == {"role": "subAccount", "data": {"master": master}}
    assert [row["position"]["coin"] for row in here.state(master)["assetPositions"]] == [
        row["position"]["coin"] for row in before
    ]


def test_a_vault_is_a_parent_a_child_or_neither(venue: Venues) -> None:
    here = venue()
    parent, child, alone = ("0x" + digits * 20 for digits in ("01", "02", "03"))
    here.control.vault(child, here.account, "HLP A")
    here.control.vault(alone, here.account, "own")
    here.control.vault(parent, here.account, "HLP", children=[child])
    relations = [here.ask("vaultDetails", vaultAddress=one)["relationship"] for one in (parent, child, alone)]

    assert relations == [
        {"type": "parent", "data": {"childAddresses": [child]}},
        {"type": "child"},
        {"type": "normal"},
    ]
    assert here.ask("userRole", user=parent) == {"role": "vault"}

"""Every scripted action does what its table says, and the truth can be read beside it."""

import json
import time
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
import requests
import websocket

from hlposmon.simulator.client import ControlError
from tests.clock import awake_s

Venues = Callable[..., Any]


def position(venue: Any, coin: str) -> Any:
    rows = [row["position"] for row in venue.state()["assetPositions"]]
    return next((row for row in rows if row["coin"] == coin), None)


def until(wanted: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def tids(messages: list[list[Any]]) -> list[list[int]]:
    return [[fill["tid"] for fill in message] for message in messages]


def buy_all(here: Any, *coins: str) -> list[int]:
    prices = {"BTC": "86250", "ETH": "2871.4", "DOGE": "0.145"}
    return [here.buy(coin, "1", prices[coin])["tid"] for coin in coins]


def test_an_explicit_fill_is_made_exactly(venue: Venues) -> None:
    here = venue()
    before = Fraction(position(here, "BTC")["szi"])
    made = here.buy("BTC", "0.01234", "86251")

    assert (made["coin"], made["px"], made["sz"], made["side"]) == ("BTC", "86251.0", "0.01234", "B")
    assert Fraction(made["startPosition"]) == before
    assert Fraction(position(here, "BTC")["szi"]) == before + Fraction("0.01234")


def test_the_truth_agrees_with_the_statement(venue: Venues) -> None:
    here = venue()
    here.control.random_fills(50)
    truth = here.truth()

    assert {coin: held["szi"] for coin, held in truth["positions"].items()} == {
        row["position"]["coin"]: row["position"]["szi"] for row in here.state()["assetPositions"]
    }
    for coin, held in truth["positions"].items():
        assert position(here, coin)["entryPx"] == held["entryPx"]
    made = list(here.control.made(here.account))
    assert truth["fills"] == len(made)
    assert Fraction(truth["closedPnl"]) == sum(Fraction(fill["closedPnl"]) for fill in made)
    assert Fraction(truth["fees"]) == sum(Fraction(fill["fee"]) for fill in made)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"action": "dance"}, "action must be one of"),
        ({"action": "pace"}, "per_second is missing"),
        ({"action": "pace", "per_second": 1, "speed": 2}, "unknown: speed"),
        ({"action": "lose", "account": "0x00"}, "no account of this exchange"),
        ({"action": "drop", "feed": 3}, "there are 0 connections"),
        ({"action": "flow", "count": -1}, "count must be a whole number"),
        ({"action": "flow", "count": 1, "coins": 99}, "coins must be from 1 to 6"),
        ({"action": "set_mark", "coin": "BTC", "price": 1.5}, "is no amount"),
        ({"action": "garble", "what": "weather"}, "what must be one of fill, fill_rest"),
        ({"action": "garble", "what": "fill", "field": "szi"}, "field must be one of sz, px"),
        ({"action": "garble", "what": "state", "tid": 7}, "none is chosen by its tid"),
        ({"action": "garble", "what": "fill_rest", "feed": 1}, "none is chosen by its feed"),
        ({"action": "refuse_request", "type": "weather"}, "type must be one of newer"),
        ({"action": "horizon"}, "rows is missing"),
        ({"action": "horizon", "rows": -1}, "rows must be a whole number"),
    ],
)
def test_a_script_that_is_wrong_is_refused_with_the_reason(venue: Venues, action: Any, words: str) -> None:
    answer = requests.post(venue().url + "/control", json=action, timeout=30)

    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize(("size", "price"), [("0.000001", "86250"), ("0.1", "86250.5"), ("0", "86250")])
def test_an_unlawful_fill_is_refused_and_nothing_is_made(venue: Venues, size: str, price: str) -> None:
    here = venue()
    before = here.truth()["fills"]
    good = {"account": here.account, "coin": "ETH", "side": "B", "size": "1", "price": "2871.4"}
    with pytest.raises(ControlError):
        here.control.fills(good, good | {"coin": "BTC", "size": size, "price": price})

    assert here.truth()["fills"] == before


def test_a_flow_makes_so_many_fills_at_its_rate(venue: Venues) -> None:
    here = venue()
    before = sum(here.truth(account)["fills"] for account in here.accounts)
    began = time.monotonic()
    number = here.control.flow(100, per_second=200, coins=3)
    until(lambda: bool(here.control.status(number)["finished"]))
    took = time.monotonic() - began
    after = sum(here.truth(account)["fills"] for account in here.accounts)

    assert after - before == 100
    assert took > 0.4


def test_the_accounts_trade_by_themselves_at_the_pace(venue: Venues) -> None:
    here = venue()
    before = here.truth()["fills"]
    here.control.pace(200)
    until(lambda: here.truth()["fills"] > before + 5)
    here.control.pace(0)
    still = here.truth()["fills"]
    here.ask("exchangeStatus")

    assert here.truth()["fills"] == still


def test_lost_fills_exist_but_are_not_told(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.lose(2, here.account, "ETH")
    made = buy_all(here, "ETH", "BTC", "ETH", "ETH")

    assert tids(feed.fills(2)) == [[made[1]], [made[3]]]
    assert {fill["tid"] for fill in here.ask("userFills", user=here.account)} >= set(made)


def test_fills_can_be_lost_on_one_connection_only(venue: Venues) -> None:
    here = venue()
    here.watching("clearinghouseState")
    one, two = here.watching(), here.watching()
    here.control.lose_feed(2, count=1)
    made = buy_all(here, "BTC", "ETH")

    assert tids(one.fills(2)) == [[made[0]], [made[1]]]
    assert tids(two.fills(1)) == [[made[1]]]


def test_a_message_can_come_twice(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.duplicate(1)
    made = buy_all(here, "BTC", "ETH")

    assert tids(feed.fills(3)) == [[made[0]], [made[0]], [made[1]]]


def test_messages_can_come_backwards(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.reverse(3)
    made = buy_all(here, "BTC", "ETH", "DOGE", "BTC")

    assert tids(feed.fills(4)) == [[made[2]], [made[1]], [made[0]], [made[3]]]


def test_fills_inside_a_message_can_be_turned(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.reverse(1, within=True)
    one = {"account": here.account, "coin": "BTC", "side": "B", "size": "0.001", "price": "86250"}
    made = [fill["tid"] for fill in here.control.fills(one, one, one, same_block=True)]

    assert tids(feed.fills(3)) == [made[::-1]]


def test_fills_can_be_batched_into_one_message(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.batch(3, here.account)
    made = buy_all(here, "BTC", "ETH", "DOGE", "BTC")

    assert tids(feed.fills(4)) == [made[:3], made[3:]]


def test_cleared_rules_do_nothing_more(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.lose(5)
    here.control.http_fault("500", times=5)
    here.control.clear()
    made = buy_all(here, "BTC")

    assert tids(feed.fills(1)) == [made]
    assert here.state()["assetPositions"]


def test_drop_says_goodbye_with_its_code(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    assert here.control.drop(1012) == 1
    opcode, data = feed.socket.recv_data()

    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert int.from_bytes(data[:2], "big") == 1012


def test_abort_resets_the_connection(venue: Venues) -> None:
    here = venue()
    one, two = here.watching(), here.watching()
    here.control.abort(feed=1)
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        one.socket.recv()

    assert two.say(method="ping").next_pong()


def test_a_stalled_feed_is_open_and_silent_until_it_is_resumed(venue: Venues) -> None:
    here = venue()
    stalled, other = here.watching(), here.watching()
    here.control.stall(feed=1)
    lost = buy_all(here, "BTC")
    stalled.say(method="ping")
    assert tids(other.fills(1)) == [lost]
    assert stalled.silent("pong", "userFills")
    assert here.control.state()["connections"][0]["stalled"]
    here.control.resume()
    assert stalled.next_pong()
    made = buy_all(here, "ETH")

    assert tids(stalled.fills(1)) == [made]


def test_a_stall_ends_by_itself(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    began = time.monotonic()
    here.control.stall(0.3)
    feed.say(method="ping")

    assert feed.next_pong()
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(("what", "rest", "feeds"), [("rest", True, False), ("websocket", False, True)])
def test_newcomers_can_be_refused(venue: Venues, what: str, rest: bool, feeds: bool) -> None:
    here = venue()
    old = here.watching()
    here.control.refuse(60, what)

    def fails(act: Callable[[], Any]) -> bool:
        try:
            act()
        except (OSError, websocket.WebSocketException):
            return True
        return False

    assert fails(here.state) == rest
    assert fails(here.feed) == feeds
    assert old.say(method="ping").next_pong()


def test_an_outage_ends_all_and_then_is_over(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.outage(0.3)
    with pytest.raises((OSError, websocket.WebSocketException)):
        feed.socket.recv()
    with pytest.raises(requests.ConnectionError):
        here.state()

    def answers() -> bool:
        try:
            return bool(here.state())
        except requests.ConnectionError:
            return False

    until(answers)


@pytest.mark.parametrize(
    ("kind", "status", "text"), [("429", 429, "null"), ("500", 500, "null"), ("null", 200, "null")]
)
def test_an_answer_can_be_an_error(venue: Venues, kind: str, status: int, text: str) -> None:
    here = venue()
    here.control.http_fault(kind, "clearinghouseState", times=2)
    here.ask("meta")
    answers = [here.post(type="clearinghouseState", user=here.account) for _ in range(3)]

    assert [(answer.status_code, answer.text) for answer in answers[:2]] == [(status, text)] * 2
    assert answers[2].json()["assetPositions"]


def test_an_answer_can_be_a_gateways_page(venue: Venues) -> None:
    here = venue()
    here.control.http_fault("html")
    answer = here.post(type="meta")

    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")


@pytest.mark.parametrize("kind", ["cut", "close"])
def test_an_answer_can_be_cut_short(venue: Venues, kind: str) -> None:
    here = venue()
    here.control.http_fault(kind)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        here.post(type="meta")

    assert here.ask("meta")


@pytest.mark.parametrize("kind", ["delay", "drip"])
def test_an_answer_can_be_late_and_others_do_not_wait_for_it(venue: Venues, kind: str) -> None:
    here = venue()
    here.control.http_fault(kind, "meta", delay_s=0.5)
    began, awake = time.monotonic(), awake_s()
    with requests.post(here.url + "/info", json={"type": "meta"}, timeout=30, stream=True) as late:
        here.ask("allMids") if kind == "drip" else None
        between = awake_s() - awake
        assert late.json()["universe"]

    assert time.monotonic() - began >= 0.4
    assert kind == "delay" or between < 0.4


def test_an_answer_can_be_huge(venue: Venues) -> None:
    here = venue()
    here.control.http_fault("huge", bytes=3_000_000)

    assert len(here.post(type="meta").content) == 3_000_000


@pytest.mark.parametrize("kind", ["text", "cut_json", "wrong_types", "unknown_channel", "binary", "huge"])
def test_junk_is_sent_and_the_feed_goes_on(venue: Venues, kind: str) -> None:
    here = venue()
    feed = here.watching()
    here.control.ws_junk(kind, bytes=100_000)
    junk = feed.socket.recv()

    assert len(junk) > 100_000 if kind == "huge" else junk
    assert feed.say(method="ping").next_pong()


def test_a_delayed_statement_lags_behind_the_fills(venue: Venues) -> None:
    here = venue()
    before = position(here, "BTC")["szi"]
    here.control.state_delay(30)
    here.buy("BTC", "0.5", "86250")
    assert position(here, "BTC")["szi"] == before
    here.control.state_delay(0)

    assert Fraction(position(here, "BTC")["szi"]) == Fraction(before) + Fraction("0.5")


def test_a_liquidation_has_a_fill_a_ledger_row_and_no_position_left(venue: Venues) -> None:
    here = venue()
    feed = here.watching("userNonFundingLedgerUpdates")
    fill = here.control.liquidate(here.account, "BTC")
    row = feed.next("userNonFundingLedgerUpdates")["nonFundingLedgerUpdates"][0]

    assert fill["liquidation"]["liquidatedUser"] == here.account
    assert (fill["dir"], fill["liquidation"]["method"]) == ("Close Long", "market")
    assert row["delta"]["liquidatedPositions"][0]["coin"] == "BTC"
    assert position(here, "BTC") is None


def test_a_backstop_liquidation_says_so(venue: Venues) -> None:
    here = venue()
    fill = here.control.liquidate(here.account, "SOL", "0.5", backstop=True)

    assert fill["dir"] == "Liquidated Isolated Long"
    assert fill["liquidation"]["method"] == "backstop"
    assert position(here, "SOL") is not None


@pytest.mark.parametrize(("action", "word"), [("adl", "Auto-Deleveraging"), ("settle", "Settlement")])
def test_the_venue_can_close_a_position_by_its_own_act(venue: Venues, action: str, word: str) -> None:
    here = venue()
    fill = getattr(here.control, action)(here.account, "BTC", "80000.5")

    assert (fill["dir"], fill["fee"], fill["px"]) == (word, "0.0", "80000.5")
    assert position(here, "BTC") is None


def test_the_netting_of_child_vaults_has_no_fee_and_an_ordinary_hash(venue: Venues) -> None:
    here = venue()
    fill = here.control.net(here.account, "BTC")

    assert (fill["dir"], fill["fee"]) == ("Net Child Vaults", "0.0")
    assert int(fill["hash"], 16)
    assert position(here, "BTC") is None


def test_a_script_says_of_what_order_a_fill_is(venue: Venues) -> None:
    here = venue()
    other = "0x" + "cd" * 20
    given = {"account": here.account, "coin": "BTC", "side": "B", "size": "0.5", "price": "86250"}
    plain, slice_, built, against = here.control.fills(
        given, given | {"twap": 3156}, given | {"builder": True}, given | {"liquidated": other}
    )

    assert (slice_["twapId"], int(slice_["hash"], 16)) == (3156, 0)
    assert 0 < Fraction(built["builderFee"]) < Fraction(built["fee"])
    assert (against["dir"], against["liquidation"]["liquidatedUser"]) == ("Open Long", other)
    assert plain["twapId"] is None
    assert not plain.keys() & {"builderFee", "liquidation"}


def test_a_ghost_changes_a_position_and_tells_nobody(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    fills = here.truth()["fills"]
    here.control.ghost(here.account, "BTC", "-1.5")

    assert position(here, "BTC")["szi"] == "-1.5"
    assert here.truth()["fills"] == fills
    assert feed.silent("userFills")


def test_funding_is_told_with_the_opposite_sign_of_what_a_position_has_paid(venue: Venues) -> None:
    here = venue()
    before = Fraction(position(here, "BTC")["cumFunding"]["allTime"])
    here.control.funding()
    rows = here.ask("userFunding", user=here.account, startTime=0)
    row = [row for row in rows if row["delta"]["coin"] == "BTC"][-1]
    after = Fraction(position(here, "BTC")["cumFunding"]["allTime"])

    assert Fraction(row["delta"]["usdc"]) == before - after != 0


def test_a_transfer_changes_cash_and_leaves_a_row(venue: Venues) -> None:
    here = venue()
    before = Fraction(here.truth()["cash"][""])
    here.control.transfer(here.account, "100.5")
    rows = here.ask("userNonFundingLedgerUpdates", user=here.account, startTime=0)

    assert Fraction(here.truth()["cash"][""]) == before + Fraction("100.5")
    assert rows[-1]["delta"] == {"type": "deposit", "usdc": "100.5"}


def test_a_mark_can_be_held_and_let_go(venue: Venues) -> None:
    here = venue()
    here.control.set_mark("BTC", "90000.5", oracle="90001")
    held = position(here, "BTC")
    assert Fraction(held["positionValue"]) == Fraction(held["szi"]) * Fraction("90000.5")
    here.control.release_mark("BTC")

    until(lambda: here.truth()["positions"]["BTC"]["markPx"] != "90000.5")


def test_an_agent_is_told_apart_and_has_nothing(venue: Venues) -> None:
    here = venue()
    wallet = "0x" + "cd" * 20
    here.control.agent(wallet, here.account)

    assert here.ask("userRole", user=wallet) == {"role": "agent", "data": {"user": here.account}}
    assert here.state(wallet)["assetPositions"] == []


def test_an_agents_key_expires_when_a_script_says_or_is_in_no_list(venue: Venues) -> None:
    here = venue()
    usual, scripted, unlisted = ("0x" + digits * 20 for digits in ("c1", "c2", "c3"))
    here.control.agent(usual, here.account)
    here.control.agent(scripted, here.account, expires_ms=1_700_000_000_000)
    here.control.agent(unlisted, here.account, listed=False)
    expiries = {row["address"]: row["validUntil"] for row in here.ask("extraAgents", user=here.account)}

    assert expiries[usual] / 1000 > time.time() + 80 * 86_400
    assert expiries[scripted] == 1_700_000_000_000
    assert unlisted not in expiries


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"action": "sub_account", "address": "0x12", "master": "0x" + "ab" * 20, "name": "a"}, "address"),
        ({"action": "sub_account", "address": "0x" + "ab" * 20, "master": "0x" + "ab" * 20}, "name"),
        ({"action": "vault", "address": "0x" + "ab" * 20, "leader": "0x" + "ab" * 20, "name": "a",
          "children": ["0x12"]}, "children"),
        ({"action": "vault_stake", "address": "0x" + "ab" * 20, "vault": "0x" + "ab" * 20,
          "equity": 1.5}, "equity"),
        ({"action": "staking", "address": "0x" + "ab" * 20, "delegated": "1", "much": 1}, "unknown: much"),
    ],
)  # fmt: skip
def test_what_is_owned_is_set_whole_or_not_at_all(venue: Venues, action: dict[str, Any], said: str) -> None:
    here = venue()
    fields = dict(action)
    with pytest.raises(ControlError, match=said):
        here.control.do(fields.pop("action"), **fields)
    assert here.ask("userRole", user="0x" + "ab" * 20) == {"role": "missing"}


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_the_exchanges_clock_can_be_wrong(venue: Venues, seconds: int) -> None:
    here = venue()
    here.control.clock_skew(seconds)
    off = here.ask("exchangeStatus")["time"] / 1000 - time.time()

    assert abs(off - seconds) < 10


def test_requests_are_counted_by_type(venue: Venues) -> None:
    here = venue()
    here.ask("meta")
    here.ask("meta")
    here.watching()
    state = here.control.state()

    assert state["requests"] == {"meta": 2}
    assert state["connections"][0]["subscriptions"][0]["type"] == "userFills"


def test_a_type_of_subscription_can_be_refused_and_allowed_again(venue: Venues) -> None:
    here = venue()
    here.control.refuse_subscription("allDexsClearinghouseState")
    feed = here.feed().subscribe("allDexsClearinghouseState", user=here.account)

    assert feed.heard[-1]["channel"] == "error"
    words, _, request = feed.heard[-1]["data"].partition(": ")
    assert words == "Error parsing JSON into valid websocket request"
    assert json.loads(request) == {
        "method": "subscribe",
        "subscription": {"type": "allDexsClearinghouseState", "user": here.account},
    }
    here.control.refuse_subscription("allDexsClearinghouseState", release=True)
    feed.subscribe("allDexsClearinghouseState", user=here.account)
    assert feed.next("allDexsClearinghouseState")["user"] == here.account


def test_a_subscription_can_be_refused_as_one_that_is_badly_asked_for(venue: Venues) -> None:
    here = venue()
    here.control.refuse_subscription("userFills", words="invalid")
    feed = here.feed().subscribe("userFills", user=here.account)

    assert feed.heard[-1]["data"].startswith('Invalid subscription {"type":"userFills","user":"0x')


def test_the_states_of_all_dexs_are_pushed_each_second(venue: Venues) -> None:
    here = venue()
    feed = here.watching("allDexsClearinghouseState")
    held = here.truth()["positions"]["BTC"]["szi"]
    here.buy("BTC", "0.5", "90000")
    began_s = awake_s()
    pushed = [feed.next("allDexsClearinghouseState") for _ in range(2)]

    assert awake_s() - began_s < 4
    (first_dex, state), *_ = pushed[-1]["clearinghouseStates"]
    assert first_dex == ""
    sizes = {row["position"]["coin"]: row["position"]["szi"] for row in state["assetPositions"]}
    assert Decimal(sizes["BTC"]) == Decimal(held) + Decimal("0.5")


def test_the_mode_of_an_account_can_be_changed(venue: Venues) -> None:
    here = venue()
    before = here.ask("userAbstraction", user=here.account)
    here.control.mode(here.account, "unifiedAccount")

    assert (before, here.ask("userAbstraction", user=here.account)) == ("default", "unifiedAccount")


@pytest.mark.parametrize("mode", ["null", None])
def test_the_mode_of_an_account_can_be_null(venue: Venues, mode: str | None) -> None:
    here = venue()
    requests.post(
        here.url + "/control", json={"action": "mode", "account": here.account, "mode": mode}, timeout=5
    )

    assert here.ask("userAbstraction", user=here.account) is None


def test_a_ledger_row_of_any_type_can_be_sent_and_nothing_moves(venue: Venues) -> None:
    here = venue()
    feed = here.watching("userNonFundingLedgerUpdates")
    before = here.truth()
    row = here.control.ledger(here.account, "gossipPriorityGasAuction")
    sent = here.control.ledger(here.account, "send", token="HYPE", amount="2.5", sourceDex="spot")
    listed = here.ask("userNonFundingLedgerUpdates", user=here.account, startTime=0)

    assert row["delta"] == {"type": "gossipPriorityGasAuction", "token": "HYPE", "amount": "0.342"}
    assert (sent["delta"]["amount"], sent["delta"]["destinationDex"]) == ("2.5", "spot")
    assert listed[-2:] == [row, sent]
    assert feed.next("userNonFundingLedgerUpdates")["nonFundingLedgerUpdates"] == [row]
    after = here.truth()
    assert {name: after[name] for name in ("cash", "positions")} == {
        name: before[name] for name in ("cash", "positions")
    }
    with pytest.raises(ControlError, match="type must be one of"):
        here.control.ledger(here.account, "lottery")


@pytest.mark.parametrize("scale", ["1048576", "1000000000", "1000000000000"])
def test_an_account_can_trade_in_a_scale_whose_sizes_have_fifteen_digits(venue: Venues, scale: str) -> None:
    here = venue(coins=12)
    here.control.scale(scale)
    made = here.control.random_fills(600)["fills"]
    sizes = [Decimal(fill[name]) for fill in made for name in ("sz", "startPosition")]
    held = [
        Decimal(row["szi"]) for account in here.accounts for row in here.truth(account)["positions"].values()
    ]

    assert all(size == Context(prec=15).plus(size) for size in [*sizes, *held])
    assert max(map(abs, held)) > Decimal(scale) / 4
    assert sum(size != size.to_integral_value() for size in sizes) > len(sizes) / 4
    wire = here.ask("userFills", user=here.account) + here.ask("userFills", user=here.accounts[1])
    assert any(len(fill["sz"].partition(".")[2]) == 10 for fill in wire)
    here.control.scale("0")
    usual = here.control.random_fills(400, account=here.account)["fills"]
    assert max(Decimal(fill["sz"]) * Decimal(fill["px"]) for fill in usual[-20:]) < Decimal(scale) * 100


def test_the_most_that_was_asked_in_any_minute_is_known_and_can_be_begun_anew(venue: Venues) -> None:
    here = venue(limits=True)
    for _ in range(22):
        here.post(type="userRole", user=here.account)  # 60 each, of 1200
    state = here.control.state()
    assert (state["weight_used"], state["weight_most"]) == (1200, 22 * 60)
    here.ahead += 61
    here.ask("meta")
    assert here.control.state()["weight_most"] == 22 * 60
    here.control.weigh()
    here.ask("meta")
    state = here.control.state()

    assert (state["weight_used"], state["weight_most"]) == (40, 20)


def test_the_fills_of_an_account_can_be_read_on_from_where_one_was(venue: Venues) -> None:
    here = venue()
    here.control.random_fills(30, account=here.account)
    everything = list(here.control.made(here.account))

    assert list(here.control.made(here.account, since=len(everything) - 7)) == everything[-7:]
    assert list(here.control.made(here.account, since=len(everything))) == []

"""The WebSocket's habits, as they were seen on the venue."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import websocket

Venues = Callable[..., Any]
STRANGER = "0x" + "AB" * 20


def test_the_greeting_is_no_json(venue: Venues) -> None:
    assert venue().feed().greeting == "Websocket connection established."


def test_a_ping_is_answered(venue: Venues) -> None:
    assert venue().feed().say(method="ping").until(lambda m: True) == {"channel": "pong"}


def test_an_acknowledgement_is_normalised(venue: Venues) -> None:
    feed = venue().feed().subscribe("userFills", user=STRANGER)

    assert feed.heard[-1]["data"] == {
        "method": "subscribe",
        "subscription": {"type": "userFills", "user": STRANGER.lower(), "aggregateByTime": False},
    }


def test_the_snapshot_is_marked_and_oldest_first_and_live_messages_are_not_marked(venue: Venues) -> None:
    here = venue()
    feed = here.feed().subscribe("userFills", user=here.account)
    snapshot = feed.next("userFills")
    made = here.buy("BTC", "0.01", "86250")
    live = feed.next("userFills")

    assert snapshot["isSnapshot"] is True
    assert snapshot["fills"] == here.ask("userFillsByTime", user=here.account, startTime=0)[:-1]
    assert live == {"user": here.account, "fills": [{k: v for k, v in made.items() if k != "account"}]}


def test_a_large_size_is_dusty_wherever_it_is_printed_and_exact_in_the_truth(venue: Venues) -> None:
    here = venue()
    here.control.settle(here.account, "SOL")
    fills, states = here.watching(), here.watching("allDexsClearinghouseState")
    made = here.control.fill(here.account, "SOL", "B", "1064075.6", "131")
    after = here.control.fill(here.account, "SOL", "B", "1", "131")
    here.control.funding()
    [[first], [second]] = fills.fills(2)
    listed = here.ask("userFillsByTime", user=here.account, startTime=made["time"])

    def held(state: Any) -> Any:
        rows = [row["position"] for row in state["assetPositions"]]
        return next((row["szi"] for row in rows if row["coin"] == "SOL"), None)

    assert (made["sz"], after["startPosition"]) == ("1064075.6", "1064075.6")
    assert (first["sz"], second["startPosition"]) == ("1064075.6000000001", "1064075.6000000001")
    assert listed == [first, second]
    assert held(here.state()) == "1064076.6000000001"
    assert here.truth()["positions"]["SOL"]["szi"] == "1064076.6"
    states.until(lambda said: held(said["data"]["clearinghouseStates"][0][1]) == "1064076.6000000001")
    rows = here.ask("userFunding", user=here.account, startTime=made["time"])
    paid = {row["delta"]["coin"]: row["delta"] for row in rows}
    exact = {row["coin"]: row for row in here.control.paid(here.account)}
    assert (paid["SOL"]["szi"], exact["SOL"]["szi"]) == ("1064076.6000000001", "1064076.6")
    assert [fill["sz"] for fill in here.control.made(here.account)][-2:] == ["1064075.6", "1.0"]


def test_an_account_without_fills_has_an_empty_snapshot(venue: Venues) -> None:
    assert venue().feed().subscribe("userFills", user=STRANGER).next("userFills")["fills"] == []


def test_a_block_is_one_message(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    one = {"account": here.account, "coin": "BTC", "side": "B", "size": "0.001", "price": "86250"}
    here.control.fills(one, one | {"coin": "ETH", "price": "2871.4"}, one, same_block=True)
    here.control.fills(one, one)

    assert [len(message) for message in feed.fills(5)] == [3, 1, 1]


def test_live_fills_continue_the_snapshot_without_a_gap(venue: Venues) -> None:
    here = venue()
    feed = here.feed().subscribe("userFills", user=here.account)
    fills = feed.next("userFills")["fills"]
    here.control.flow(300, 500, account=here.account)
    fills += [fill for message in feed.fills(300) for fill in message]

    assert fills == list(here.control.made(here.account))
    assert here.control.status()["finished"]


@pytest.mark.parametrize(
    ("subscription", "words"),
    [
        ({"type": "userFills"}, 'Invalid subscription {"type":"userFills"}'),
        ({"type": "bbo", "coin": "NONE"}, 'Invalid subscription {"type":"bbo","coin":"NONE"}'),
    ],
)
def test_a_subscription_that_is_none_is_refused(venue: Venues, subscription: Any, words: str) -> None:
    feed = venue().feed().say(method="subscribe", subscription=subscription)

    assert feed.next("error") == words


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("subscription", [{"type": "weather", "user": STRANGER}, {}, None, 5])
def test_a_type_that_is_not_known_makes_the_whole_request_unreadable(
    venue: Venues, method: str, subscription: Any
) -> None:
    request = json.dumps({"method": method, "subscription": subscription}, separators=(",", ":"))
    feed = venue().feed()
    feed.socket.send(request)

    assert feed.next("error") == f"Error parsing JSON into valid websocket request: {request}"


def test_twice_is_once_too_often(venue: Venues) -> None:
    feed = venue().feed().subscribe("bbo", coin="BTC").subscribe("bbo", coin="BTC")
    assert feed.heard[-1]["data"] == 'Already subscribed: {"type":"bbo","coin":"BTC"}'
    for _ in range(2):
        feed.say(method="unsubscribe", subscription={"type": "bbo", "coin": "BTC"})

    assert feed.next("subscriptionResponse")["method"] == "unsubscribe"
    assert feed.next("error") == 'Already unsubscribed: {"type":"bbo","coin":"BTC"}'


def test_what_is_no_request_is_said_to_be_none(venue: Venues) -> None:
    feed = venue().feed()
    feed.socket.send("garbage")

    assert feed.next("error").startswith("Error parsing JSON")


def test_a_post_answers_like_the_info_endpoint(venue: Venues) -> None:
    here = venue()
    payload = {"type": "clearinghouseState", "user": here.account}
    feed = here.feed().say(method="post", id=7, request={"type": "info", "payload": payload})
    good = feed.next("post")
    feed.say(method="post", id=8, request={"type": "info", "payload": {"type": "weather"}})
    bad = feed.next("post")

    assert (good["id"], good["response"]["payload"]["type"]) == (7, "clearinghouseState")
    assert good["response"]["payload"]["data"]["assetPositions"]
    assert (bad["id"], bad["response"]["type"]) == (8, "error")
    assert bad["response"]["payload"].startswith("Failed to deserialize")


CHANNELS = {
    "allMids": {"mids"},
    "clearinghouseState": {"dex", "user", "clearinghouseState"},
    "allDexsClearinghouseState": {"user", "clearinghouseStates"},
    "spotState": {"user", "spotState"},
    "openOrders": {"dex", "user", "orders"},
    "activeAssetCtx": {"coin", "ctx"},
    "activeAssetData": {"user", "coin", "leverage", "maxTradeSzs", "availableToTrade", "markPx"},
    "assetCtxs": {"dex", "ctxs"},
    "allDexsAssetCtxs": {"ctxs"},
    "bbo": {"coin", "time", "bbo"},
    "webData3": {"userState", "perpDexStates"},
}


@pytest.mark.timeout(30)
def test_every_full_channel_is_pushed_at_once_and_each_second(venue: Venues) -> None:
    here = venue()
    feed = here.feed()
    for kind in CHANNELS:
        feed.subscribe(kind, user=here.account, coin="BTC")
    for kind, wanted in CHANNELS.items():
        assert set(feed.next(kind)) == wanted


def test_main_dex_has_no_name_among_all_dexs(venue: Venues) -> None:
    here = venue()
    states = here.feed().subscribe("allDexsClearinghouseState", user=here.account)
    found = dict(states.next("allDexsClearinghouseState")["clearinghouseStates"])

    assert set(found) == {"", "xyz"}
    assert found[""]["assetPositions"]


def test_fast_contexts_are_full_first_and_then_what_changed(venue: Venues) -> None:
    here = venue()
    for coin in here.control.state()["coins"]:
        here.control.set_mark(coin, "1000")
    feed = here.feed().subscribe("fastAssetCtxs")

    def unpacked() -> Any:
        return json.loads(zlib.decompress(base64.b64decode(feed.next("fastAssetCtxs")), wbits=-15))

    first, second = unpacked(), unpacked()

    assert first["BTC"] == {"markPx": "1000.0", "midPx": "1000.05"}
    assert "xyz:TSLA" in first
    assert "BTC" not in second
    assert "xyz:TSLA" in second


def test_user_events_and_order_updates_carry_no_user(venue: Venues) -> None:
    here = venue()
    feed = here.feed().subscribe("userEvents", user=here.account).subscribe("orderUpdates", user=here.account)
    made = here.buy("BTC", "0.01", "86250")
    events, updates = feed.next("user"), feed.next("orderUpdates")

    assert [fill["tid"] for fill in events["fills"]] == [made["tid"]]
    assert (updates[0]["status"], updates[0]["order"]["oid"]) == ("filled", made["oid"])


def test_funding_and_ledger_have_snapshots_and_live_rows(venue: Venues) -> None:
    here = venue()
    money, funding = here.watching("userNonFundingLedgerUpdates"), here.watching("userFundings")
    row = here.control.transfer(here.account, "-12.5")
    payments = here.control.funding()
    lived = money.next("userNonFundingLedgerUpdates")

    assert lived == {"user": here.account, "nonFundingLedgerUpdates": [row]}
    assert row["delta"]["type"] == "withdraw"
    rows = funding.next("userFundings")["fundings"]
    assert 0 < len(rows) < payments
    assert set(rows[0]) == {"time", "coin", "usdc", "szi", "fundingRate", "nSamples"}


def test_a_sixteenth_user_is_one_too_many_on_all_connections_together(venue: Venues) -> None:
    here = venue(limits=True)
    one, other = here.feed(), here.feed()
    for n in range(15):
        (one if n % 2 else other).subscribe("userFills", user=f"0x{n:040x}")
    one.subscribe("userFills", user=f"0x{99:040x}")
    refused = one.heard[-1]
    one.subscribe("userFundings", user=f"0x{3:040x}")

    assert refused == {"channel": "error", "data": "Cannot track more than 15 total users."}
    assert one.heard[-1]["channel"] == "subscriptionResponse"


def test_an_eleventh_connection_is_refused(venue: Venues) -> None:
    here = venue(limits=True)
    feeds = [here.feed() for _ in range(10)]
    with pytest.raises(websocket.WebSocketBadStatusException):
        here.feed()

    assert len(feeds) == len(here.control.state()["connections"])


def test_thirty_new_connections_a_minute_are_enough(venue: Venues) -> None:
    here = venue(limits=True)
    for _ in range(30):
        here.feed().close()
    with pytest.raises(websocket.WebSocketBadStatusException):
        here.feed()


def test_more_than_2000_messages_a_minute_are_not_heard(venue: Venues) -> None:
    feed = venue(limits=True).feed()
    for _ in range(2001):
        feed.say(method="ping")

    assert feed.next("error") == "Cannot send more than 2000 messages per minute."


def test_a_reader_who_went_away_does_not_hinder_the_others(venue: Venues) -> None:
    here = venue()
    gone, here_still = here.watching(), here.watching()
    gone.socket.sock.close()
    made = here.buy("BTC", "0.01", "86250")

    assert here_still.next("userFills")["fills"][0]["tid"] == made["tid"]


def test_a_connection_to_which_nothing_was_sent_for_a_minute_is_closed(venue: Venues) -> None:
    here = venue()
    quiet, pinging = here.watching(), here.watching()
    here.ahead += 50
    assert pinging.say(method="ping").next_pong()
    here.ahead += 15
    opcode, data = quiet.socket.recv_data()

    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1000)
    assert pinging.say(method="ping").next_pong()


def test_funding_is_paid_when_the_hour_comes(venue: Venues) -> None:
    here = venue(speed=7200.0)
    held = here.truth()["positions"]
    feed = here.watching("userFundings")
    here.ahead += 0.6  # more than an hour of its time
    paid = feed.next("userFundings")["fundings"]

    assert {row["coin"]: row["szi"] for row in paid} == {coin: held[coin]["szi"] for coin in held}

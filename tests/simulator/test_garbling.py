"""Rows that cannot be decoded: the ones that a script asked for, and no other."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

Venues = Callable[..., Any]


def sizes(rows: Any) -> dict[int, Any]:
    return {row["tid"]: row["sz"] for row in rows}


def listed(here: Any, since: Any) -> dict[int, Any]:
    return sizes(here.ask("userFillsByTime", user=here.account, startTime=since["time"]))


def held(here: Any, coin: str, state: Any = None) -> Any:
    rows = (state or here.state())["assetPositions"]
    return next(row["position"]["szi"] for row in rows if row["position"]["coin"] == coin)


def test_the_next_fills_are_odd_on_every_feed_and_right_in_answers(venue: Venues) -> None:
    here = venue()
    one, two = here.watching(), here.watching()
    here.control.garble("fill", 2, here.account, "BTC")
    first = here.buy("BTC", "0.1", "86250")
    other = here.buy("ETH", "1", "2871.4")
    second, third = here.buy("BTC", "0.2", "86250"), here.buy("BTC", "0.3", "86250")
    wanted = {first["tid"]: None, other["tid"]: "1.0", second["tid"]: None, third["tid"]: "0.3"}

    for feed in (one, two):
        assert sizes(fill for message in feed.fills(4) for fill in message) == wanted
    assert listed(here, first) == {
        first["tid"]: "0.1",
        other["tid"]: "1.0",
        second["tid"]: "0.2",
        third["tid"]: "0.3",
    }
    assert [fill["sz"] for fill in here.control.made(here.account)][-4:] == ["0.1", "1.0", "0.2", "0.3"]


def test_an_odd_fill_leaves_those_beside_it_in_the_message_right(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.garble("fill", coin="ETH", field="px")
    row = {"account": here.account, "side": "B", "size": "1"}
    here.control.fills(
        row | {"coin": "BTC", "price": "86250"}, row | {"coin": "ETH", "price": "2871.4"}, same_block=True
    )

    assert [(fill["coin"], fill["px"]) for fill in feed.next("userFills")["fills"]] == [
        ("BTC", "86250.0"),
        ("ETH", 1.5),
    ]


def test_a_fill_can_be_odd_on_one_feed_alone(venue: Venues) -> None:
    here = venue()
    here.watching("clearinghouseState")
    one, two = here.watching(), here.watching()
    here.control.garble("fill", feed=3)
    made = here.buy("BTC", "0.1", "86250")

    assert sizes(one.next("userFills")["fills"]) == {made["tid"]: "0.1"}
    assert sizes(two.next("userFills")["fills"]) == {made["tid"]: None}


def test_the_next_rows_are_odd_in_answers_and_right_on_the_feeds(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    made = here.buy("BTC", "0.1", "86250")
    here.control.garble("fill_rest", 2, tid=made["tid"])
    said = [listed(here, made)[made["tid"]] for _ in range(3)]

    assert sizes(feed.next("userFills")["fills"]) == {made["tid"]: "0.1"}
    assert said == [None, None, "0.1"]


def test_a_fill_that_is_odd_everywhere_stays_so_until_it_is_released(venue: Venues) -> None:
    here = venue()
    feed = here.watching()
    here.control.garble("fill_everywhere", account=here.account, field="startPosition")
    made, other = here.buy("BTC", "0.1", "86250"), here.buy("BTC", "0.2", "86250")

    def starts() -> list[Any]:
        rows = here.ask("userFillsByTime", user=here.account, startTime=made["time"])
        snapshot = here.feed().subscribe("userFills", user=here.account).next("userFills")["fills"]
        assert snapshot[-2:] == rows
        return [row["startPosition"] for row in rows]

    said = [message[0]["startPosition"] for message in feed.fills(2)]
    assert said == [[], other["startPosition"]]
    assert starts() == starts() == said
    here.control.ungarble("fill")
    assert starts() == said
    here.control.ungarble("fill_everywhere")
    assert starts() == [made["startPosition"], other["startPosition"]]


def test_a_fill_that_was_made_before_can_be_named(venue: Venues) -> None:
    here = venue()
    made, other = here.buy("BTC", "0.1", "86250"), here.buy("BTC", "0.2", "86250")
    here.control.garble("fill_everywhere", tid=made["tid"])

    assert listed(here, made) == {made["tid"]: None, other["tid"]: "0.2"}
    here.control.clear()
    assert listed(here, made) == {made["tid"]: "0.1", other["tid"]: "0.2"}


@pytest.mark.parametrize(
    ("place", "rest", "stream"), [("rest", [], ""), ("stream", "", []), ("both", [], [])]
)
def test_a_position_can_be_odd_in_answers_and_in_what_is_pushed(
    venue: Venues, place: str, rest: Any, stream: Any
) -> None:
    here = venue()
    feed = here.watching("allDexsClearinghouseState")
    exact = held(here, "BTC")
    here.control.garble("state", 1000, here.account, "BTC", place=place)
    eth = held(here, "ETH")
    feed.next("allDexsClearinghouseState")  # it may have been under way
    pushed = feed.next("allDexsClearinghouseState")["clearinghouseStates"][0][1]

    assert held(here, "BTC") == (exact if rest == "" else rest)
    assert held(here, "BTC", pushed) == (exact if stream == "" else stream)
    assert held(here, "ETH") == held(here, "ETH", pushed) == eth
    here.control.ungarble()
    assert held(here, "BTC") == exact


def test_only_so_many_rows_of_statements_are_odd(venue: Venues) -> None:
    here = venue()
    exact = held(here, "BTC")
    here.control.garble("state", 2, coin="BTC")

    assert [held(here, "BTC") for _ in range(4)] == [[], [], exact, exact]


def test_a_payment_of_funding_can_be_odd(venue: Venues) -> None:
    here = venue()
    feed = here.watching("userFundings")
    here.control.garble("funding", 1, here.account, "BTC", place="stream")
    here.control.funding()
    said = {row["coin"]: row["usdc"] for row in feed.next("userFundings")["fundings"]}
    rows = here.ask("userFunding", user=here.account, startTime=0)
    asked = {row["delta"]["coin"]: row["delta"]["usdc"] for row in rows}

    assert said.pop("BTC") is None
    assert said.items() <= asked.items()
    assert isinstance(asked["BTC"], str)
    here.control.garble("funding", 1, coin="BTC", field="szi")
    [odd] = [row for row in here.ask("userFunding", user=here.account)[:9] if row["delta"]["szi"] == []]
    assert odd["delta"]["coin"] == "BTC"


def test_a_price_can_be_odd_in_each_answer_and_on_each_channel(venue: Venues) -> None:
    here = venue()
    feed = here.watching("activeAssetCtx", coin="BTC")

    def marks() -> dict[str, Any]:
        meta, contexts = here.ask("metaAndAssetCtxs")
        names = [market["name"] for market in meta["universe"]]
        return {name: context["markPx"] for name, context in zip(names, contexts, strict=True)}

    here.control.garble("price", 1, coin="BTC")
    odd = marks()
    assert odd.pop("BTC") == {}
    assert all(isinstance(mark, str) for mark in odd.values())
    assert isinstance(marks()["BTC"], str)
    here.control.garble("price", 1, coin="BTC", place="rest")
    assert here.ask("allMids")["BTC"] == {}
    here.control.garble("price", 1, coin="BTC", place="stream")
    feed.until(lambda said: said["data"].get("ctx", {}).get("markPx") == {})
    assert isinstance(feed.next("activeAssetCtx")["ctx"]["markPx"], str)


def test_an_odd_price_among_the_fast_ones_is_told_again_with_the_next(venue: Venues) -> None:
    here = venue()
    here.control.set_mark("BTC", "90000")
    here.control.garble("price", 1, coin="BTC", place="stream")
    feed = here.feed().subscribe("fastAssetCtxs")

    def unpacked() -> Any:
        return json.loads(zlib.decompress(base64.b64decode(feed.next("fastAssetCtxs")), wbits=-15))

    first, second, third = unpacked(), unpacked(), unpacked()
    assert first["BTC"]["markPx"] == {}
    assert isinstance(first["ETH"]["markPx"], str)
    assert second["BTC"]["markPx"] == "90000.0"
    assert "BTC" not in third

"""The price worker: marks from the stream, from statements when that is silent, in batches."""

import json
import threading
import time
from decimal import Decimal

import pytest

from hlposmon.config import Account, PriceSettings
from hlposmon.domain.reports import Joined
from hlposmon.supervision.loop import Pulse
from hlposmon.transport.quota import Quota
from hlposmon.venues.hyperliquid.venue import Hyperliquid
from hlposmon.workers import price
from tests.clock import awake_s
from tests.transport.test_websocket import TEXT, Line, frame
from tests.venues.hyperliquid.payloads import packed
from tests.workers.conftest import Tracker

BTC = "hyperliquid:Perp:BTC"
TSLA = "hyperliquid:Perp:xyz:TSLA"
USDC = "hyperliquid:BaseToken:USDC"
HYPE = "hyperliquid:BaseToken:HYPE"
PURR = "hyperliquid:BaseToken:PURR"


def prices(one):
    known = {}
    for marks in one.tracker.marks():
        known |= marks.prices
    return known


def price_of(one, key=BTC):
    return prices(one).get(key)


@pytest.mark.parametrize("source", ["auto", "stream"])
def test_the_stream_brings_the_marks_of_every_coin_on_every_dex(stage, source):
    one = stage()
    one.control.set_mark("BTC", "51234.5")
    one.control.set_mark("xyz:TSLA", "410.5")
    one.start(one.price_worker, source=source)

    one.tracker.until(lambda: price_of(one) == Decimal("51234.5"))
    one.tracker.until(lambda: price_of(one, TSLA) == Decimal("410.5"))
    assert one.tracker.heard[0] == Joined("worker", "price", one.addresses)
    assert len(one.tracker.marks()[0].prices) > 3
    assert all(key.startswith("hyperliquid:Perp:") for key in one.tracker.marks()[0].prices)


def test_a_mark_that_moves_comes_within_its_interval(stage):
    one = stage()
    one.start(one.price_worker)
    one.tracker.until(one.tracker.marks)
    one.control.set_mark("BTC", "60000.5")
    began_s = awake_s()
    one.tracker.until(lambda: price_of(one) == Decimal("60000.5"))

    assert awake_s() - began_s < 2.5


def test_batches_keep_their_interval(stage):
    one = stage()
    began_s = time.monotonic()
    one.start(one.price_worker, source="poll", interval_s=0.6)
    one.tracker.until(lambda: len(one.tracker.marks()) >= 3)

    assert time.monotonic() - began_s >= (len(one.tracker.marks()) - 1) * 0.6


def test_polling_takes_the_marks_from_statements(stage):
    one = stage()
    one.buy("BTC")
    one.control.set_mark("BTC", "52000.5")
    one.start(one.price_worker, source="poll")

    one.tracker.until(lambda: price_of(one) == Decimal("52000.5"))


def test_polling_takes_the_marks_of_other_dexes_from_the_statements_that_are_wanted(stage):
    one = stage(accounts=2)
    one.buy("BTC")
    one.buy("xyz:TSLA", "3")
    one.control.set_mark("BTC", "52000.5")
    one.control.set_mark("xyz:TSLA", "410.5")
    one.start(one.price_worker, source="poll")
    one.tracker.until(lambda: price_of(one) == Decimal("52000.5"))
    assert price_of(one, TSLA) is None
    one.tracker.want_statements("xyz")

    one.tracker.until(lambda: price_of(one, TSLA) == Decimal("410.5"))
    assert one.tracker.marks()[-1].missing == ()


def test_an_account_of_which_one_dex_cannot_be_read_lacks_prices_and_no_other_account_does(stage):
    one = stage(accounts=2)
    one.buy("xyz:TSLA", "3")
    one.buy("ETH", account=one.accounts[1])
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    assert one.tracker.marks()[-1].missing == ()
    one.control.garble("state", 1000, one.account.address, "xyz:TSLA", field="coin")
    one.control.set_mark("ETH", "4321.5")
    one.tracker.want_statements("xyz")

    one.tracker.until(lambda: one.tracker.marks()[-1].missing == ("main",))
    one.tracker.until(lambda: price_of(one, "hyperliquid:Perp:ETH") == Decimal("4321.5"))
    one.control.ungarble()
    one.tracker.until(lambda: TSLA in prices(one))
    assert one.tracker.marks()[-1].missing == ()


def test_polling_many_dexes_keeps_within_its_weight(stage):
    one = stage()
    one.start(one.price_worker, source="poll", interval_s=0.1)
    one.tracker.until(one.tracker.marks)
    before = one.control.state()["requests"]["clearinghouseState"]
    one.tracker.want_statements(*(f"dex{number}" for number in range(8)))
    one.tracker.until(lambda: one.control.state()["requests"]["clearinghouseState"] >= before + 9)
    one.tracker.for_s(1.5)

    # 18 of weight a round: every six seconds. Before it came a round or two of the first dex alone.
    assert one.control.state()["requests"]["clearinghouseState"] <= before + 9 + 3


def test_an_account_that_holds_nothing_still_shows_that_prices_are_fresh(stage):
    one = stage()
    began_s = time.monotonic()
    one.start(one.price_worker, source="poll", interval_s=0.1)
    one.tracker.until(lambda: len(one.tracker.marks()) >= 2)

    assert all(began_s < marks.heard_s < time.monotonic() for marks in one.tracker.marks())


def test_a_silent_stream_is_polled_around_and_taken_up_again(stage, monkeypatch):
    monkeypatch.setattr(price, "SILENT_S", 0.6)
    one = stage()
    one.buy("BTC")
    one.start(one.price_worker)
    one.tracker.until(one.tracker.marks)
    one.control.refuse(30, "websocket")
    one.control.abort()
    one.control.set_mark("BTC", "53000.5")
    one.tracker.until(lambda: price_of(one) == Decimal("53000.5"))
    one.control.resume()
    one.control.set_mark("ETH", "4321.5")

    one.tracker.until(lambda: price_of(one, "hyperliquid:Perp:ETH") == Decimal("4321.5"))


def test_a_stream_alone_is_not_polled_around(stage, monkeypatch):
    monkeypatch.setattr(price, "SILENT_S", 0.2)
    one = stage()
    one.control.refuse(30, "websocket")
    one.start(one.price_worker, source="stream")
    one.tracker.for_s(0.6)

    assert one.tracker.marks() == []


def test_a_new_tracker_is_told_every_price_that_is_known(stage):
    one = stage()
    one.start(one.price_worker)
    one.tracker.until(one.tracker.marks)
    known = set(one.tracker.marks()[0].prices)
    one.tracker.renew()

    one.tracker.until(lambda: one.tracker.marks() and known <= set(one.tracker.marks()[0].prices))


def test_junk_on_the_stream_does_not_end_the_prices(stage):
    one = stage()
    one.start(one.price_worker)
    one.tracker.until(one.tracker.marks)
    for kind in ("text", "cut_json", "wrong_types", "unknown_channel", "binary", "huge"):
        one.control.ws_junk(kind)
    one.control.set_mark("BTC", "60001.5")

    one.tracker.until(lambda: price_of(one) == Decimal("60001.5"))


def test_polling_many_accounts_keeps_within_its_weight(stage):
    one = stage(accounts=9)
    one.start(one.price_worker, source="poll", interval_s=0.1)
    one.tracker.until(one.tracker.marks)
    one.tracker.for_s(0.6)

    assert len(one.tracker.marks()) <= 2  # 18 of weight a round: every six seconds


@pytest.mark.parametrize("source", ["stream", "poll"])
def test_it_ends_within_a_second(stage, end, source):
    one = stage()
    pid = one.process(one.price_worker, source=source)
    one.tracker.until(one.tracker.marks)
    one.control.http_fault("delay", times=50, delay_s=30)
    one.tracker.for_s(0.1)
    status, took_s = end(pid)

    assert (status, took_s < 1) == (0, True)


def test_one_account_that_cannot_be_read_costs_the_polled_prices_of_no_other(stage):
    one = stage(accounts=2)
    one.buy("BTC")
    one.buy("ETH", account=one.accounts[1])
    one.accounts = (*one.accounts, type(one.account)("odd", "0x" + "zz" * 20))
    one.start(one.price_worker, source="poll")
    one.tracker.until(lambda: {"hyperliquid:Perp:BTC", "hyperliquid:Perp:ETH"} <= prices(one).keys())

    assert one.tracker.marks()[-1].missing == ("odd",)


def test_a_position_that_cannot_be_read_costs_the_price_of_its_coin_alone(stage):
    one = stage()
    one.buy("BTC")
    one.buy("ETH")
    one.control.garble("state", 1000, one.account.address, "BTC")
    one.start(one.price_worker, source="poll")

    one.tracker.until(lambda: "hyperliquid:Perp:ETH" in prices(one))
    assert "hyperliquid:Perp:BTC" not in prices(one)


def test_a_price_of_the_stream_that_cannot_be_read_is_left_out_and_the_others_come(stage):
    one = stage()
    one.control.garble("price", 1000, coin="BTC")
    one.start(one.price_worker, source="stream")

    one.tracker.until(lambda: "hyperliquid:Perp:ETH" in prices(one))
    assert "hyperliquid:Perp:BTC" not in prices(one)


# ------------------------------------------------------------------ prices of tokens


def requests(one):
    return one.control.state()["requests"]


def tokens(one):
    return {key for key in prices(one) if ":BaseToken:" in key}


@pytest.mark.parametrize("scope", ["spot", "xyz"])
def test_the_stream_prices_tokens_once_statements_of_any_scope_are_wanted(stage, scope):
    one = stage(accounts=2)
    one.start(one.price_worker, source="stream")
    one.tracker.until(one.tracker.marks)
    assert ("spotMeta" in requests(one), tokens(one)) == (False, set())
    one.tracker.want_statements(scope, account="other-1")
    one.tracker.until(lambda: price_of(one, USDC) == 1)
    one.tracker.want_statements("spot")
    count = len(one.tracker.marks())
    one.tracker.until(lambda: len(one.tracker.marks()) >= count + 2)

    assert requests(one)["spotMeta"] == 1
    assert "spotMetaAndAssetCtxs" not in requests(one)
    assert one.tracker.marks()[-1].missing == ()


def test_a_price_of_a_token_on_the_stream_comes_under_the_tokens_key(stage, tmp_path, server):
    said = {"channel": "fastAssetCtxs", "data": packed({"@107": {"markPx": "33.21"}, "BTC": {"markPx": "5"}})}

    def told(sock, at):
        line = Line(sock, at)
        line.send(frame(TEXT, json.dumps(said).encode()))
        line.stay()

    exchange = stage().venue  # it answers which pairs there are
    ws_url = f"ws://127.0.0.1:{server(told).port}/ws"
    tracker, pulse = Tracker(tmp_path / "q", {"main": None}), Pulse.alone("price")
    worker = price.PriceWorker(
        pulse,
        accounts=[Account("main", "0x" + "ab" * 20)],
        settings=PriceSettings(0.1, "stream"),
        venue=Hyperliquid(exchange.url, ws_url, share=Quota().share(), deadline=pulse),
        queue=tracker.path,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        tracker.until(tracker.marks)
        tracker.want_statements("spot")
        worker_told = tracker.until(lambda: [marks for marks in tracker.marks() if HYPE in marks.prices])
    finally:
        pulse.stop()
        thread.join(30)
        tracker.close()
        pulse.close()

    assert worker_told[0].prices[HYPE] == Decimal("33.21")


def test_pairs_that_cannot_be_had_are_asked_for_again_and_other_prices_come_meanwhile(stage, monkeypatch):
    monkeypatch.setattr(price, "PAIRS_AGAIN_S", 0.2)
    one = stage()
    one.control.refuse_request("spotMeta")
    one.start(one.price_worker, source="stream")
    one.tracker.until(one.tracker.marks)
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: requests(one).get("spotMeta", 0) >= 2)
    one.control.set_mark("BTC", "51234.5")
    one.tracker.until(lambda: price_of(one) == Decimal("51234.5"))
    assert tokens(one) == set()
    one.control.refuse_request("spotMeta", release=True)

    one.tracker.until(lambda: price_of(one, USDC) == 1)


def test_pairs_that_cannot_be_had_are_not_asked_for_again_at_once(stage):
    one = stage()
    one.control.refuse_request("spotMeta")
    one.start(one.price_worker, source="stream")
    one.tracker.until(one.tracker.marks)
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: requests(one).get("spotMeta"))
    count = len(one.tracker.marks())
    one.tracker.until(lambda: len(one.tracker.marks()) >= count + 2)

    assert requests(one)["spotMeta"] == 1


def test_polling_asks_for_the_prices_of_tokens_too_once_they_are_wanted(stage):
    one = stage()
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    assert ("spotMetaAndAssetCtxs" in requests(one), tokens(one)) == (False, set())
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: tokens(one) == {USDC, HYPE, PURR})

    assert (price_of(one, USDC), price_of(one, HYPE)) == (1, Decimal("33.21"))
    assert one.tracker.marks()[-1].missing == ()
    assert "spotMeta" not in requests(one)  # pairs are for the stream


def test_spot_has_no_statement_of_its_own_to_poll(stage):
    one = stage()
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: HYPE in prices(one))
    rounds = len(one.tracker.marks()) + 2
    one.tracker.until(lambda: len(one.tracker.marks()) >= rounds)
    asked = requests(one)

    # One statement a round; another round may have begun.
    assert asked["clearinghouseState"] <= rounds + 1
    assert "spotClearinghouseState" not in asked


def test_prices_of_tokens_are_polled_less_often_than_statements(stage):
    one = stage()
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: HYPE in prices(one))
    before = requests(one)["clearinghouseState"]
    one.tracker.until(lambda: requests(one)["clearinghouseState"] >= before + 2)

    assert requests(one)["spotMetaAndAssetCtxs"] == 1


def test_prices_of_tokens_are_polled_again(stage, monkeypatch):
    monkeypatch.setattr(price, "TOKENS_POLL_S", 0.1)
    one = stage()
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    one.tracker.want_statements("spot")

    one.tracker.until(lambda: requests(one).get("spotMetaAndAssetCtxs", 0) >= 2)
    one.tracker.until(lambda: sum(HYPE in marks.prices for marks in one.tracker.marks()) >= 2)


def test_where_tokens_are_not_priced_the_accounts_with_scopes_lack_prices_and_no_other_does(stage):
    one = stage(accounts=2)
    one.control.set_mark("ETH", "4321.5")
    one.buy("ETH", account=one.accounts[1])
    one.control.refuse_request("spotMetaAndAssetCtxs")
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    assert one.tracker.marks()[-1].missing == ()
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: one.tracker.marks()[-1].missing == ("main",))
    one.tracker.until(lambda: price_of(one, "hyperliquid:Perp:ETH") == Decimal("4321.5"))
    assert tokens(one) == set()
    one.control.refuse_request("spotMetaAndAssetCtxs", release=True)

    one.tracker.until(lambda: HYPE in prices(one))
    assert one.tracker.marks()[-1].missing == ()


def test_a_new_tracker_is_told_the_known_prices_of_tokens_too(stage):
    one = stage()
    one.start(one.price_worker, source="poll")
    one.tracker.until(one.tracker.marks)
    one.tracker.want_statements("spot")
    one.tracker.until(lambda: HYPE in prices(one))
    one.tracker.renew()

    one.tracker.until(one.tracker.marks)
    assert tokens(one) == {USDC, HYPE, PURR}

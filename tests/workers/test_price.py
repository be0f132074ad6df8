"""The price worker: marks from the stream, from statements when that is silent, in batches."""

import time
from decimal import Decimal

import pytest

from hlposmon.domain.reports import Joined
from hlposmon.workers import price
from tests.clock import awake_s

BTC = "hyperliquid:Perp:BTC"
TSLA = "hyperliquid:Perp:xyz:TSLA"


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

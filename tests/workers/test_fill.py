"""The fill worker, and the one that fetches: every fill reaches the tracker, whoever went away in between."""

import os
import signal
import time
from dataclasses import replace

import pytest

from hlposmon.domain.reports import (
    FeedState,
    Fetched,
    Fills,
    Following,
    Funding,
    Heard,
    Joined,
    NotFetched,
    Notice,
    NoticeCode,
    TradedOnSpot,
    Welcome,
)
from hlposmon.errors import VenueUnavailable
from hlposmon.supervision.loop import Pulse
from hlposmon.venues.hyperliquid import feed
from hlposmon.venues.hyperliquid.client import HyperliquidClient
from hlposmon.venues.port import NotUnderstood, PushedFills, Refused, UnreadFill
from hlposmon.workers import fill as fills
from hlposmon.workers import reconcile, replay_buffer


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What failed is tried again soon."""
    monkeypatch.setattr(fills, "RETRY_S", 0.2)
    monkeypatch.setattr(reconcile, "RETRY_S", 0.2)
    monkeypatch.setattr(reconcile, "FUNDING_RETOLD_S", 0.1)


def start_ms(one):
    """A high-water mark from before everything."""
    return {account.name: 1 for account in one.accounts}


def test_it_joins_is_welcomed_and_says_when_it_is_live(stage):
    one = stage().following()

    assert isinstance(one.tracker.heard[0], Joined)
    assert Joined("worker", "fill", one.addresses) in one.tracker.of(Joined)
    assert one.tracker.of(Following)[-1].feed == "worker"
    one.tracker.until(lambda: one.tracker.of(Heard))


def test_fills_come_as_they_are_made(stage):
    one = stage().following()
    tids = [one.buy() for _ in range(20)]

    one.tracker.until(lambda: len(one.tracker.tids()) == 20)
    assert one.tracker.tids() == tids
    assert {fill.account for batch in one.tracker.of(Fills) for fill in batch.fills} == {"main"}


def test_fills_that_are_read_in_one_turn_are_one_report_in_their_order(stage, end):
    one = stage()
    pid = one.process(one.fill_worker)
    one.fetching()
    one.tracker.until(one.tracker.is_live)
    os.kill(pid, signal.SIGSTOP)
    tids = [one.buy() for _ in range(30)]
    os.kill(pid, signal.SIGCONT)

    one.tracker.until(lambda: len(one.tracker.tids()) == 30)
    live = [batch for batch in one.tracker.of(Fills) if batch.heard_s is not None]
    assert [fill.trade_id for batch in live for fill in batch.fills] == tids
    assert len(live) < 10
    assert [batch.heard_s for batch in live] == sorted(batch.heard_s for batch in live)
    end(pid)


def test_fills_of_each_account_come_under_its_name(stage):
    one = stage(accounts=3).following()
    one.tracker.until(lambda: all(one.tracker.is_live(account.name) for account in one.accounts))
    tids = {account.name: [one.buy(account=account)] for account in one.accounts}

    one.tracker.until(lambda: all(one.tracker.tids(name) == made for name, made in tids.items()))


def test_funding_comes_too(stage):
    one = stage().following()
    one.buy()
    began_ms = int(time.time() * 1000) - 1000
    one.control.funding()

    def paid():
        new = [funding for funding in one.tracker.of(Funding) if funding.time_ms > began_ms]
        return [funding.account for funding in new if funding.key.endswith(":BTC")]

    assert set(one.tracker.until(paid)) == {"main"}


def fundings(one):
    """The payments that came, each once."""
    return {(paid.time_ms, paid.key) for paid in one.tracker.of(Funding)}


def owed(one, since_ms):
    """Those that the exchange made from then on: twenty and more, by several hours."""
    info = one.followed(Pulse.alone("test")).client()
    try:
        made = {(paid.time_ms, paid.key) for paid in info.fundings_since(one.account, since_ms)[0]}
    finally:
        info.close()
    assert len(made) >= 20
    return made


def test_funding_is_asked_for_until_it_is_had_though_the_fills_were(stage, monkeypatch):
    """The fills move the mark into the present hour; what was paid in the last one is owed still."""
    monkeypatch.setattr(replay_buffer, "FUNDINGS", 10)  # the stream's snapshot is not kept so far back
    one = stage().following()
    one.buy()
    since_ms = one.control.state()["time"]
    one.control.refuse(0.4, "websocket")
    one.control.drop()
    one.tracker.until(lambda: not one.tracker.is_live())
    one.control.clock_skew(3600)
    for _ in range(20):
        one.control.funding()
    one.control.clock_skew(7200)
    missed = one.buy()
    one.control.http_fault("500", times=3, type="userFunding")
    one.tracker.until(one.tracker.is_live)

    assert missed in one.tracker.tids()
    made = owed(one, since_ms)
    one.tracker.until(lambda: made <= fundings(one))


def test_a_new_tracker_is_told_all_the_funding_from_its_own_mark(stage, monkeypatch):
    """More of it than is kept to be said again."""
    monkeypatch.setattr(replay_buffer, "FUNDINGS", 10)
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.following()
    one.buy()
    since_ms = one.control.state()["time"]
    for _ in range(20):
        one.control.funding()
    made = owed(one, since_ms)
    one.tracker.until(lambda: made <= fundings(one))
    one.tracker.renew()

    one.tracker.until(lambda: made <= fundings(one))


def test_what_is_lost_while_the_fetch_is_under_way_is_fetched_again(stage):
    """A message that cannot be read comes in its midst: what it held may be missing in the answer."""
    one = stage(first=0)
    one.control.http_fault("delay", type="userFillsByTime", delay_s=0.7)
    one.start(one.fill_worker).fetching()
    one.tracker.until(lambda: one.control.state()["requests"].get("userFillsByTime"))
    one.control.ws_junk("cut_json")
    one.control.lose(1)
    lost = one.buy()

    one.tracker.until(lambda: lost in one.tracker.tids())


def test_what_was_made_before_is_fetched_from_the_high_water_mark(stage):
    one = stage()
    old = [one.buy() for _ in range(5)]
    one.tracker.high_water_ms = start_ms(one)
    one.following()

    assert one.tracker.tids() == old


def test_what_the_tracker_knows_is_not_told_again(stage):
    one = stage()
    one.buy()
    one.tracker.high_water_ms = {"main": int(time.time() * 1000) + 60_000}
    one.following()

    assert one.tracker.tids() == []


def test_a_page_boundary_in_the_midst_of_a_millisecond_loses_nothing(stage):
    one = stage()
    made = 0
    while made < 2100:  # pages of 2000, blocks of 7: no page ends with a block
        rows = [
            {
                "account": one.account.address,
                "coin": "BTC",
                "side": side,
                "size": "0.1",
                "price": "5000",
            }
            for side in "BBABABA"
        ]
        one.control.fills(*rows, same_block=True)
        made += 7
    one.tracker.high_water_ms = start_ms(one)
    one.start(one.fill_worker).fetching()
    one.tracker.until(one.tracker.is_live)

    everything = [row["tid"] for row in one.control.made(one.account.address)]
    assert one.tracker.tids() == [tid for tid in everything if tid not in one.tracker.history]
    assert len(one.tracker.tids()) == made


@pytest.mark.parametrize("end", ["drop", "abort", "stall"])
def test_what_was_made_while_the_connection_was_gone_is_fetched(stage, end):
    one = stage().following()
    before = one.buy()
    one.tracker.until(lambda: one.tracker.tids() == [before])
    one.control.refuse(0.3, "websocket")
    getattr(one.control, end)()
    one.tracker.until(lambda: not one.tracker.is_live())
    missed = [one.buy() for _ in range(3)]
    one.tracker.until(one.tracker.is_live)

    assert one.tracker.tids() == [before, *missed]
    after = one.buy()
    one.tracker.until(lambda: after in one.tracker.tids())


def test_a_long_absence_is_made_up_for_by_one_that_was_never_given_a_mark(stage):
    """The first welcome knows nothing; from then on what was fetched is the mark."""
    one = stage().following()
    one.control.refuse(0.4, "websocket")
    one.control.drop()
    one.tracker.until(lambda: not one.tracker.is_live())
    one.control.clock_skew(3600)  # an hour passes on the exchange
    missed = one.buy()
    one.control.clock_skew(7200)
    one.tracker.until(one.tracker.is_live)

    assert missed in one.tracker.tids()


def test_a_new_tracker_is_told_everything_from_its_own_mark(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.following()
    tids = [one.buy() for _ in range(5)]
    one.tracker.until(lambda: len(one.tracker.tids()) == 5)
    one.tracker.renew()
    one.tracker.until(one.tracker.is_live)

    assert one.tracker.tids() == tids


def test_what_was_made_while_no_tracker_lived_reaches_the_next_one(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.following()
    one.tracker.renew()
    tids = [one.buy() for _ in range(5)]
    one.tracker.until(lambda: one.tracker.is_live() and len(one.tracker.tids()) == 5)

    assert sorted(one.tracker.tids()) == sorted(tids)


@pytest.mark.parametrize("kind", ["text", "cut_json", "wrong_types"])
def test_a_message_that_was_not_understood_is_fetched_instead(stage, kind):
    one = stage(first=0).following()  # junk is about the account of only zeros
    one.control.ws_junk(kind)
    one.tracker.until(lambda: not one.tracker.is_live())
    assert one.tracker.of(FeedState)[-1].reason
    one.control.lose(1)
    lost = one.buy()
    one.tracker.until(one.tracker.is_live)

    assert lost in one.tracker.tids()


@pytest.mark.parametrize("kind", ["500", "null", "cut"])
def test_a_fetch_that_fails_is_tried_again(stage, kind):
    one = stage()
    tid = one.buy()
    one.tracker.high_water_ms = start_ms(one)
    one.control.http_fault(kind, times=2, type="userFillsByTime")
    one.following()

    assert one.tracker.tids() == [tid]


def test_a_fill_after_a_failed_fetch_does_not_hide_those_before_it(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.following()
    one.control.http_fault("500", times=1000, type="userFillsByTime")
    one.control.refuse(0.5, "websocket")
    one.control.drop()
    missed = one.buy()
    one.tracker.until(lambda: one.tracker.of(NotFetched))
    shown = one.buy()
    one.tracker.until(lambda: shown in one.tracker.tids())
    assert missed not in one.tracker.tids()
    assert not one.tracker.is_live()

    one.control.clear()

    one.tracker.until(one.tracker.is_live)
    assert sorted(one.tracker.tids()) == sorted([missed, shown])


def test_the_fills_of_a_feed_are_not_held_up_by_the_fetch_of_those_before_it(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.control.http_fault("delay", type="userFillsByTime", delay_s=1.5)
    one.start(one.fill_worker).fetching()
    one.tracker.until(lambda: one.control.state()["requests"].get("userFillsByTime"))
    tid = one.buy()

    one.tracker.until(lambda: tid in one.tracker.tids())
    assert not one.tracker.of(Fetched)


def test_two_feeds_that_come_up_together_are_fetched_for_once(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.start(one.fill_worker, name="fill").start(one.fill_worker, name="fill-2").fetching()
    one.tracker.until(lambda: {("main", "fill"), ("main", "fill-2")} <= one.tracker.live)

    assert one.control.state()["requests"]["userFillsByTime"] == 1


def test_a_row_that_cannot_be_read_is_named_and_costs_only_its_account_a_fetch(stage):
    one = stage(accounts=2)
    worker = one.fill_worker(Pulse.alone("worker"))
    try:
        one.tracker.until(lambda: worker._hear_tracker() or worker._high_water_ms)
        for each in worker._watches.values():
            each.since_s = 1.0
        worker._fills(PushedFills("main", [], unread=["a fill of BTC could not be read: sz"]))
        one.tracker.until(one.tracker.notices)

        assert "BTC could not be read: sz" in one.tracker.notices()[0]
        assert {state.account for state in one.tracker.of(FeedState)} == {"main"}
    finally:
        worker._link.close()
        worker._pulse.close()


def test_coins_that_are_traded_on_spot_are_told_with_their_account(stage):
    one = stage(accounts=2)
    worker = one.fill_worker(Pulse.alone("worker"))
    try:
        one.tracker.until(lambda: worker._hear_tracker() or worker._high_water_ms)
        worker._fills(PushedFills("other-1", [], others=["PURR/USDC", "@107", "@107"]))

        one.tracker.until(lambda: one.tracker.of(TradedOnSpot))
        assert one.tracker.of(TradedOnSpot) == [TradedOnSpot("other-1", ("@107", "PURR/USDC"))]
    finally:
        worker._link.close()
        worker._pulse.close()


def test_fills_and_payments_on_another_dex_come_as_those_on_the_first(stage):
    one = stage().following()
    tids = [one.buy(), one.buy("xyz:TSLA", "3"), one.buy()]
    one.control.funding()

    one.tracker.until(lambda: one.tracker.tids() == tids)
    keys = {fill.trade_id: fill.key for batch in one.tracker.of(Fills) for fill in batch.fills}
    assert [keys[tid] for tid in tids] == [
        "hyperliquid:Perp:BTC",
        "hyperliquid:Perp:xyz:TSLA",
        "hyperliquid:Perp:BTC",
    ]
    one.tracker.until(lambda: "hyperliquid:Perp:xyz:TSLA" in {paid.key for paid in one.tracker.of(Funding)})
    assert not one.tracker.of(TradedOnSpot)


def test_accounts_beyond_the_exchanges_limit_do_not_take_the_others_down(stage, monkeypatch):
    monkeypatch.setattr(feed, "ACK_DEADLINE_S", 0.3)
    one = stage(accounts=17, limits=True)
    one.start(one.fill_worker).fetching()
    one.tracker.until(lambda: sum(one.tracker.is_live(account.name) for account in one.accounts) >= 10)
    one.tracker.for_s(0.4)

    live = [account for account in one.accounts if one.tracker.is_live(account.name)]
    assert 10 <= len(live) < 17
    assert any("refuses its feed" in notice for notice in one.tracker.notices())
    tid = one.buy(account=live[0])
    one.tracker.until(lambda: tid in one.tracker.tids(live[0].name))


@pytest.mark.parametrize("state", ["live", "refused"])
def test_it_ends_within_a_second(stage, end, state):
    one = stage()
    if state == "refused":
        one.control.refuse(30)
    pid = one.process(one.fill_worker)
    one.tracker.until(lambda: one.tracker.of(Following if state == "live" else Joined))
    one.tracker.for_s(0.1)
    status, took_s = end(pid)

    assert status == 0
    assert took_s < 1


def test_it_ends_while_a_full_queue_makes_it_wait(stage, end):
    one = stage()
    pid = one.process(one.fill_worker)
    one.tracker.until(lambda: one.tracker.of(Following))
    one.control.random_fills(2000, account=one.account.address)
    time.sleep(0.2)  # nobody reads its queue meanwhile

    assert end(pid)[1] < 1


def test_it_serves_once_all_accounts_are_live_and_while_it_is_connected(stage):
    one = stage(accounts=2)
    one.control.refuse(0.5, "websocket")
    one.following()
    pulse, _ = one.running[0]
    one.tracker.until(lambda: all(one.tracker.is_live(account.name) for account in one.accounts))
    one.tracker.until(lambda: pulse.serving)
    one.control.refuse(60, "websocket")
    one.control.drop()

    one.tracker.until(lambda: not pulse.serving)


def test_a_welcome_of_a_new_account_leaves_the_others_live(stage):
    one = stage(accounts=2).following()
    one.tracker.until(lambda: all(one.tracker.is_live(account.name) for account in one.accounts))
    before = len(one.tracker.of(Following))
    [queue] = [queue for queue, joined in one.tracker.queues.items() if joined.kind == "fill"]
    queue.put(Welcome({"other-1": None}))

    one.tracker.until(lambda: len(one.tracker.of(Following)) == before + 1)
    assert one.tracker.of(Following)[-1].account == "other-1"
    made = one.buy()
    one.tracker.until(lambda: one.tracker.tids() == [made])


@pytest.mark.parametrize("words", ["unknown", "invalid"])
def test_a_server_that_refuses_the_stream_of_funding_does_not_keep_the_fills(stage, words):
    one = stage()
    one.control.refuse_subscription("userFundings", words=words)
    one.following()
    made = one.buy()

    one.tracker.until(lambda: made in one.tracker.tids())


def test_a_server_that_refuses_the_newer_requests_does_not_keep_the_fills(stage):
    one = stage()
    one.control.refuse_request("newer")
    one.following()
    made = one.buy()

    one.tracker.until(lambda: made in one.tracker.tids())


def test_what_a_feed_tells_again_is_the_end_of_no_fetch(stage):
    """A fetch that began earlier may be under way, for a fill that this feed never had."""
    one = stage().following()
    tids = [one.buy() for _ in range(3)]
    one.tracker.until(lambda: set(one.tracker.tids()) >= {*tids} and one.tracker.is_live())
    last_ms = max(fill.time_ms for said in one.tracker.of(Fills) for fill in said.fills)
    one.tracker.renew({"main": last_ms})
    one.tracker.until(lambda: any(said.source == "again" for said in one.tracker.of(Fills)))

    [again] = [said for said in one.tracker.of(Fills) if said.source == "again"]
    assert again.from_ms is not None
    assert again.from_ms > max(fill.time_ms for fill in again.fills)


def test_a_new_tracker_is_told_the_notices_also_where_a_fill_found_the_old_one_gone(stage):
    one = stage(accounts=2)
    worker = one.fill_worker(Pulse.alone("worker"))
    worker._notices.say("main", NoticeCode.UNREADABLE, "a row could not be read")
    try:
        one.tracker.until(lambda: worker._hear_tracker() or one.tracker.notices())
        one.tracker.renew()
        assert one.tracker.notices() == []
        worker._tell_heard()
        while worker._link.fileno() is not None:  # as the next thing that is told finds out
            worker._link.put(Heard("worker", 1.0))

        one.tracker.until(lambda: worker._hear_tracker() or one.tracker.notices())
    finally:
        worker._link.close()
        worker._pulse.close()


def test_rows_that_cannot_be_read_again_and_again_do_not_keep_a_feed_down(stage):
    one = stage(accounts=2).following()
    one.control.garble("fill_everywhere", 1000, one.account.address, "BTC")
    for _ in range(8):
        one.buy("BTC")
        one.tracker.for_s(0.15)
    one.control.ungarble()

    one.tracker.until(one.tracker.is_live)
    assert any("BTC could not be read" in text for text in one.tracker.notices())
    sound = one.buy("ETH")
    one.tracker.until(lambda: sound in one.tracker.tids())


def test_a_message_of_one_account_that_is_odd_costs_no_other_its_feed(stage):
    one = stage(accounts=2)
    worker = one.fill_worker(Pulse.alone("worker"))
    try:
        one.tracker.until(lambda: worker._hear_tracker() or worker._high_water_ms)
        worker._not_understood(NotUnderstood("fills: a list is wanted", "main"))
        one.tracker.until(lambda: one.tracker.of(FeedState))
        one.tracker.for_s(0.1)

        assert {state.account for state in one.tracker.of(FeedState)} == {"main"}
    finally:
        worker._link.close()
        worker._pulse.close()


def test_an_account_whose_fills_are_refused_is_named_and_no_other(stage):
    one = stage(accounts=2)
    worker = one.fill_worker(Pulse.alone("worker"))
    try:
        one.tracker.until(lambda: worker._hear_tracker() or worker._high_water_ms)
        worker._refused(Refused("Invalid subscription", ("other-1",)))
        one.tracker.until(one.tracker.notices)

        assert [notice.account for notice in one.tracker.of(Notice) if notice.text] == ["other-1"]
    finally:
        worker._link.close()
        worker._pulse.close()


def test_a_feed_tells_a_new_tracker_again_only_what_it_has_heard_itself(stage):
    """Another worker fetched what came before it: a tracker that does not know that has it fetched again."""
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    fetched = [one.buy() for _ in range(3)]
    one.following()
    heard = one.buy()
    one.tracker.until(lambda: heard in one.tracker.tids())
    one.tracker.renew()
    one.tracker.until(lambda: set(one.tracker.tids()) >= {*fetched, heard})
    one.tracker.until(lambda: one.tracker.of(Fetched))  # it is told behind the last of the fills

    assert next(said.whole_from_ms for said in one.tracker.of(Following)) > 1


def test_a_page_with_a_bad_row_is_fetched_again_where_a_later_page_failed(stage, monkeypatch):
    """All is fetched only when the row could be read, whatever became of the page behind it."""
    asked_ms: list[int] = []
    real = HyperliquidClient.fills_since

    def fills_since(self, account, start_ms, *, urgent=True):
        asked_ms.append(start_ms)
        pages = list(real(self, account, start_ms, urgent=urgent))
        if len(asked_ms) > 1:
            yield from pages
            return
        yield replace(pages[0], last=False, unread=(UnreadFill("a row", pages[0].fills[0].time_ms),))
        raise VenueUnavailable("the second page")

    one = stage()
    for _ in range(3):
        one.buy()
    one.tracker.high_water_ms = start_ms(one)
    monkeypatch.setattr(HyperliquidClient, "fills_since", fills_since)
    one.following()

    assert asked_ms[1] == asked_ms[0]

"""The fill worker: every fill reaches the tracker, whoever went away in between."""

import time

import pytest

from hlposmon.domain.reports import FeedState, Fills, Funding, Heard, Joined, Notice, Welcome
from hlposmon.supervision.loop import Pulse
from hlposmon.workers import backfill, recent
from hlposmon.workers import fill as fills
from tests.clock import awake_s


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What failed is tried again soon."""
    monkeypatch.setattr(fills, "RETRY_S", 0.2)
    monkeypatch.setattr(backfill, "RETRY_S", 0.2)


def start_ms(one):
    """A high-water mark from before everything."""
    return {account.name: 1 for account in one.accounts}


def test_it_joins_is_welcomed_and_says_when_it_is_live(stage):
    one = stage().following()

    assert isinstance(one.tracker.heard[0], Joined)
    assert (one.tracker.heard[0].kind, one.tracker.of(FeedState)[-1].feed) == ("fill", "worker")
    one.tracker.until(lambda: one.tracker.of(Heard))


def test_fills_come_as_they_are_made(stage):
    one = stage().following()
    tids = [one.buy() for _ in range(20)]

    one.tracker.until(lambda: len(one.tracker.tids()) == 20)
    assert one.tracker.tids() == tids
    assert {fill.account for batch in one.tracker.of(Fills) for fill in batch.fills} == {"main"}


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
    info = one.info(Pulse.alone("test"))
    try:
        made = {(paid.time_ms, paid.key) for paid in info.fundings_since(one.account, since_ms)}
    finally:
        info.close()
    assert len(made) >= 20
    return made


def test_funding_is_asked_for_until_it_is_had_though_the_fills_were(stage, monkeypatch):
    """The fills move the mark into the present hour; what was paid in the last one is owed still."""
    monkeypatch.setattr(recent, "FUNDINGS", 10)  # the stream's snapshot is not kept so far back
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
    assert owed(one, since_ms) <= fundings(one)


def test_a_new_tracker_is_told_all_the_funding_from_its_own_mark(stage, monkeypatch):
    """More of it than is kept to be said again."""
    monkeypatch.setattr(recent, "FUNDINGS", 10)
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
    one.tracker.until(one.tracker.is_live)

    assert made <= fundings(one)


def test_what_is_lost_while_the_backfill_is_fetched_is_fetched_again(stage):
    """A message that cannot be read comes in its midst: what it held may be missing in the answer."""
    one = stage(first=0)
    one.control.http_fault("delay", type="userFillsByTime", delay_s=0.7)
    one.start(one.fill_worker)
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
    one.start(one.fill_worker)
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
    """The first welcome knows nothing; from then on the worker's own backfill is its mark."""
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

    assert one.tracker.tids() == tids


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
def test_a_backfill_that_fails_is_tried_again(stage, kind):
    one = stage()
    tid = one.buy()
    one.tracker.high_water_ms = start_ms(one)
    one.control.http_fault(kind, times=2, type="userFillsByTime")
    one.following()

    assert one.tracker.tids() == [tid]


def test_a_fill_after_a_failed_backfill_does_not_hide_those_before_it(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.following()
    one.control.http_fault("500", times=1000, type="userFillsByTime")
    one.control.refuse(0.5, "websocket")
    one.control.drop()
    missed = one.buy()
    one.tracker.until(lambda: "backfill failed" in one.tracker.of(FeedState)[-1].reason)
    one.tracker.for_s((backfill.OVERLAP_MS + 500) / 1000)  # beyond what every backfill reaches back
    shown = one.buy()
    one.tracker.until(lambda: shown in one.tracker.tids())
    assert missed not in one.tracker.tids()

    one.control.clear()

    one.tracker.until(one.tracker.is_live)
    assert sorted(one.tracker.tids()) == sorted([missed, shown])


def test_what_comes_before_the_backfill_is_handed_on_with_it(stage):
    one = stage()
    one.tracker.high_water_ms = start_ms(one)
    one.control.http_fault("delay", type="userFillsByTime", delay_s=0.7)
    one.start(one.fill_worker)
    one.tracker.for_s(0.4)
    tid = one.buy()
    one.tracker.until(lambda: one.tracker.tids() == [tid])


def test_coins_that_are_not_watched_are_told_of_for_each_account_and_each_tracker(stage):
    one = stage(accounts=2)
    pulse = Pulse.alone("worker")
    worker = one.fill_worker(pulse)
    for name in ("main", "other-1", "main"):
        worker._handing.not_watched(name, ["xyz:TSLA", "xyz:TSLA"])
    try:
        worker._hear_tracker()
        one.tracker.turn()
        worker._hear_tracker()
        one.tracker.until(lambda: len(one.tracker.notices()) == 2)
        one.tracker.renew()
        one.tracker.until(lambda: worker._hear_tracker() or len(one.tracker.notices()) == 2)
    finally:
        worker._outlet.close()
        pulse.close()


def test_accounts_beyond_the_exchanges_limit_do_not_take_the_others_down(stage, monkeypatch):
    monkeypatch.setattr(fills, "ACK_DEADLINE_S", 0.3)
    one = stage(accounts=17, limits=True)
    one.start(one.fill_worker, max_users=17)
    one.tracker.until(lambda: sum(one.tracker.is_live(account.name) for account in one.accounts) >= 10)
    one.tracker.for_s(0.4)

    live = [account for account in one.accounts if one.tracker.is_live(account.name)]
    assert 10 <= len(live) < 17
    assert any("refuses its feed" in notice for notice in one.tracker.notices())
    tid = one.buy(account=live[0])
    one.tracker.until(lambda: tid in one.tracker.tids(live[0].name))


@pytest.mark.parametrize("state", ["live", "refused", "hung"])
def test_it_ends_within_a_second(stage, end, state):
    one = stage()
    if state == "refused":
        one.control.refuse(30)
    if state == "hung":
        one.control.http_fault("delay", times=50, delay_s=30)
    pid = one.process(one.fill_worker)
    one.tracker.until(one.tracker.is_live if state == "live" else lambda: one.tracker.of(Joined))
    one.tracker.for_s(0.1)
    status, took_s = end(pid)

    assert status == 0
    assert took_s < 1


def test_it_ends_while_a_full_queue_makes_it_wait(stage, end):
    one = stage()
    pid = one.process(one.fill_worker)
    one.tracker.until(one.tracker.is_live)
    one.control.random_fills(2000, account=one.account.address)
    time.sleep(0.2)  # nobody reads its queue meanwhile

    assert end(pid)[1] < 1


def test_while_one_account_waits_for_its_backfill_the_fills_of_the_others_go_on(stage):
    one = stage(accounts=2)
    one.start(one.fill_worker)
    one.tracker.until(lambda: all(one.tracker.is_live(account.name) for account in one.accounts))
    one.control.http_fault("delay", type="userFillsByTime", times=3, delay_s=4.0)
    one.tracker.renew()  # a new tracker, that knows nothing: all is fetched again
    one.control.drop()
    one.tracker.until(lambda: any(one.tracker.is_live(account.name) for account in one.accounts), 12)
    [live] = [account for account in one.accounts if one.tracker.is_live(account.name)]
    tid = one.control.fill(live.address, "BTC", "B", "0.25", "86000")["tid"]
    began_s = awake_s()
    one.tracker.until(lambda: tid in one.tracker.tids(live.name))

    assert awake_s() - began_s < 1.0
    one.tracker.until(lambda: all(one.tracker.is_live(account.name) for account in one.accounts), 12)


def test_accounts_beyond_what_the_exchange_follows_are_named_and_not_asked_for(stage):
    one = stage(accounts=12, limits=True)
    one.start(one.fill_worker)
    one.tracker.until(lambda: len(one.tracker.notices()) == 2)
    one.tracker.until(lambda: all(one.tracker.is_live(account.name) for account in one.accounts[:10]), 20)

    assert {notice.account for notice in one.tracker.of(Notice) if notice.grave} == {"other-10", "other-11"}
    assert not any(one.tracker.is_live(account.name) for account in one.accounts[10:])


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
    before = len(one.tracker.of(FeedState))
    one.tracker.queues[0].put(Welcome({"other-1": None}))

    one.tracker.until(lambda: len(one.tracker.of(FeedState)) == before + 2)
    told = [(state.account, state.live) for state in one.tracker.of(FeedState)[before:]]
    assert told == [("other-1", False), ("other-1", True)]
    made = one.buy()
    one.tracker.until(lambda: one.tracker.tids() == [made])

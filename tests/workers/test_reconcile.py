"""The reconcile worker: statements at start, each interval, and early by a bell, with the fills behind it."""

import itertools
import time
from decimal import Decimal

import pytest

from hlposmon.domain.reports import (
    AccountEvent,
    BellReason,
    Fetched,
    Fills,
    Funding,
    Joined,
    NotFetched,
    Statement,
    Unlisted,
)
from hlposmon.workers import identity, reconcile
from tests.clock import awake_s

MASTER = "0x" + "99" * 20


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A new tracker is told the last payments again soon, and roles are asked for at once."""
    monkeypatch.setattr(reconcile, "FUNDING_RETOLD_S", 0.1)
    monkeypatch.setattr(identity, "ROLE_LATER_S", 0.0)


def test_a_statement_comes_at_once(stage):
    one = stage()
    one.buy("BTC", "0.25")
    held = one.control.state()["accounts"][one.account.address]["positions"]
    began_s = time.monotonic()
    one.start(one.reconcile_worker)
    [statement] = one.tracker.until(one.tracker.statements)

    assert one.tracker.heard[0] == Joined("worker", "reconcile", one.addresses)
    assert {stated.key: stated.size for stated in statement.positions} == {
        f"hyperliquid:Perp:{coin}": Decimal(row["szi"]) for coin, row in held.items()
    }
    assert (statement.account, statement.fills_from_ms) == ("main", None)
    assert began_s < statement.asked_s < time.monotonic()


def test_every_account_is_stated(stage):
    one = stage(accounts=3)
    one.start(one.reconcile_worker)

    wanted = {account.name for account in one.accounts}
    one.tracker.until(lambda: {said.account for said in one.tracker.statements()} == wanted)


def test_statements_come_each_interval(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.25)
    one.tracker.until(one.tracker.statements)
    began_s = awake_s()
    one.tracker.until(lambda: len(one.tracker.statements()) >= 4)
    took_s = awake_s() - began_s
    asked = [statement.asked_s for statement in one.tracker.statements()]

    assert all(0.2 < after - before for before, after in itertools.pairwise(asked))
    assert took_s < 3 * 1.0


def test_a_bell_brings_one_early_and_the_fills_before_it(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    tids = [one.buy() for _ in range(150)]
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: len(one.tracker.statements()) == 2)

    assert one.tracker.tids() == tids
    assert one.tracker.statements()[-1].fills_from_ms == 1
    told = [*one.tracker.of(Fills), *one.tracker.statements()]
    kinds = [type(heard) for heard in one.tracker.heard if heard in told]
    assert kinds == [Statement, *[Fills] * (len(kinds) - 2), Statement]
    assert max(len(batch.fills) for batch in one.tracker.of(Fills)) == 100


def test_fills_lost_on_the_stream_are_fetched_after_a_bell(stage):
    one = stage().following()
    one.tracker.until(one.tracker.statements)
    one.control.lose(2)
    lost = [one.buy(), one.buy()]
    seen = one.buy()
    one.tracker.until(lambda: seen in one.tracker.tids())
    assert not set(lost) & set(one.tracker.tids())
    one.tracker.ring(since_ms=1)

    one.tracker.until(lambda: set(lost) <= set(one.tracker.tids()))


def test_a_bell_that_rings_without_end_is_answered_with_some_distance(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    while len(one.tracker.statements()) < 4:
        one.tracker.ring()
        one.tracker.for_s(0.02)
    asked = [statement.asked_s for statement in one.tracker.statements()]

    assert all(after - before > 0.45 for before, after in itertools.pairwise(asked))


def test_of_several_bells_the_earliest_time_counts(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    for since_ms in (500, 7, None, 90):
        one.tracker.ring(since_ms=since_ms)
    one.tracker.until(lambda: len(one.tracker.statements()) == 2)

    assert one.tracker.statements()[-1].fills_from_ms == 7
    one.tracker.ring()
    one.tracker.until(lambda: len(one.tracker.statements()) == 3)
    assert one.tracker.statements()[-1].fills_from_ms is None


@pytest.mark.parametrize("kind", ["429", "500", "null", "cut"])
def test_an_exchange_that_fails_is_asked_again_and_never_taken_for_flat(stage, kind):
    one = stage()
    one.buy()
    one.control.http_fault(kind, times=1, type="clearinghouseState")
    one.start(one.reconcile_worker)
    if kind == "429":
        one.tracker.for_s(0.6)  # it keeps still for ten seconds
        assert one.tracker.statements() == []
        return
    one.tracker.until(one.tracker.statements)

    assert all(statement.positions for statement in one.tracker.statements())


def test_a_fetch_that_failed_is_wanted_still(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    tid = one.buy()
    one.control.http_fault("null", times=1, type="userFillsByTime")
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: one.tracker.statements()[-1].fills_from_ms == 1)

    assert one.tracker.tids() == [tid]
    assert [said.fills_from_ms for said in one.tracker.statements()] == [None, None, 1]


def test_fills_are_looked_up_now_and_then_though_nobody_rings(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.5, look_s=1.0)
    one.tracker.until(one.tracker.statements)
    tid = one.buy()

    one.tracker.until(lambda: tid in one.tracker.tids())

    assert one.control.state()["requests"]["userFillsByTime"] <= len(one.tracker.statements())


def test_a_fetch_that_fails_does_not_keep_the_statement_back(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.control.http_fault("500", times=100, type="userFillsByTime")
    one.tracker.ring(since_ms=1)

    one.tracker.until(lambda: len(one.tracker.statements()) == 2)

    assert one.tracker.statements()[-1].fills_from_ms is None


def test_a_new_tracker_is_given_a_statement_at_once(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.tracker.renew()

    one.tracker.until(one.tracker.statements)


def test_a_new_tracker_is_told_the_funding_of_this_hour_and_the_last_again(stage):
    """The one before may have been killed before it had written it down."""
    one = stage()
    one.buy()
    half_past_ms = (one.control.state()["time"] // 3_600_000 + 3) * 3_600_000 + 1_800_000
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(one.tracker.statements)
    one.control.clock_skew((half_past_ms - one.control.state()["time"]) / 1000)
    one.control.funding()

    def is_told():
        return any(paid.time_ms >= half_past_ms for paid in one.tracker.of(Funding))

    one.tracker.until(is_told)
    one.tracker.renew()
    assert not is_told()

    one.tracker.until(is_told)


def test_funding_that_cannot_be_had_is_asked_for_now_and_then_and_delays_no_statement(stage):
    one = stage()
    one.buy()
    half_past_ms = (one.control.state()["time"] // 3_600_000 + 3) * 3_600_000 + 1_800_000
    one.control.http_fault("500", times=1000, type="userFunding")
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(one.tracker.statements)
    one.control.clock_skew((half_past_ms - one.control.state()["time"]) / 1000)
    one.tracker.until(lambda: one.control.state()["requests"].get("userFunding"))
    before = len(one.tracker.statements())
    one.tracker.until(lambda: len(one.tracker.statements()) >= before + 6)

    assert one.control.state()["requests"]["userFunding"] <= 3, "one ask, with its repetitions"


def test_an_agents_address_is_told_of_to_every_tracker(stage):
    one = stage()
    one.control.agent(one.account.address, MASTER)
    one.start(one.reconcile_worker)
    [notice] = one.tracker.until(one.tracker.notices)
    assert MASTER in notice and one.account.address in notice
    one.tracker.renew()

    assert one.tracker.until(one.tracker.notices) == [notice]


def test_an_unknown_address_is_told_of(stage):
    one = stage()
    stranger = "0x" + "77" * 20
    one.accounts = (type(one.account)("main", stranger),)
    one.start(one.reconcile_worker)
    [notice] = one.tracker.until(one.tracker.notices)

    assert "does not know" in notice and stranger in notice


def test_an_unknown_address_among_others_is_told_of_before_their_turn(stage):
    """It answers like an account that is flat; only its role tells."""
    one = stage(accounts=3)
    one.accounts = (*one.accounts, type(one.account)("typo", "0x" + "77" * 20))
    one.start(one.reconcile_worker)
    [notice] = one.tracker.until(one.tracker.notices)

    assert "does not know" in notice


def test_a_known_address_is_no_news(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.2)
    one.tracker.until(lambda: len(one.tracker.statements()) >= 3)

    assert one.tracker.notices() == []


def test_without_a_tracker_it_waits_and_does_not_spin(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.tracker.close()
    time.sleep(0.2)  # it has noticed; what it does with its time from here on is measured
    used_s, began_s = time.process_time(), time.monotonic()
    time.sleep(0.6)

    assert time.process_time() - used_s < (time.monotonic() - began_s) / 2


@pytest.mark.parametrize("hung", [False, True])
def test_it_ends_within_a_second(stage, end, hung):
    one = stage()
    if hung:
        one.control.http_fault("delay", times=50, delay_s=30)
    pid = one.process(one.reconcile_worker)
    one.tracker.until((lambda: one.tracker.of(Joined)) if hung else one.tracker.statements)
    one.tracker.for_s(0.1)
    status, took_s = end(pid)

    assert (status, took_s < 1) == (0, True)


def test_a_fetch_that_one_tracker_wanted_is_not_called_fetched_to_the_next_one(stage):
    """It was killed with half of the pages in its hands: the next one lacks them."""
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.buy()
    one.control.http_fault("delay", times=1, type="userFillsByTime", delay_s=1.0)
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: (one.control.state()["requests"].get("userFillsByTime") or 0) >= 1)
    one.tracker.renew()
    one.tracker.until(one.tracker.statements)
    one.tracker.for_s(1.5)
    assert not one.tracker.of(Fetched)

    one.tracker.ring(since_ms=5)
    [fetched] = one.tracker.until(lambda: one.tracker.of(Fetched))
    told = [fill for batch in one.tracker.of(Fills) for fill in batch.fills]
    assert fetched.from_ms == 5
    assert len(told) == len(list(one.control.made(one.account.address)))


def test_a_fill_that_can_never_be_read_is_tried_again_and_then_told_as_lost_once(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.3, look_s=0.3)
    one.tracker.until(one.tracker.statements)
    one.control.garble("fill_everywhere", 1, one.account.address, "BTC")
    odd = one.buy("BTC")
    sound = one.buy("ETH")
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: one.tracker.of(Unlisted), seconds=30)
    assert one.tracker.of(NotFetched)
    assert sound in one.tracker.tids() and odd not in one.tracker.tids()
    one.tracker.until(lambda: one.tracker.statements()[-1].fills_from_ms is not None)
    assert one.tracker.notices() == []

    before = len(one.tracker.of(NotFetched))
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: len(one.tracker.of(Fetched)) >= 2)
    assert len(one.tracker.of(NotFetched)) == before
    assert len(one.tracker.of(Unlisted)) == 1


@pytest.mark.parametrize("rung", [True, False])
def test_of_the_parts_of_a_fetch_the_last_alone_says_that_all_is_told(stage, rung):
    one = stage()
    row = {"account": one.account.address, "coin": "BTC", "side": "B", "size": "0.1", "price": "5000"}
    one.start(one.reconcile_worker, interval_s=0.3, look_s=1000.0 if rung else 1.0)
    one.tracker.until(one.tracker.statements)
    one.control.fills(*[row] * 250, same_block=False)
    if rung:
        one.tracker.ring(since_ms=5)
    one.tracker.until(
        lambda: len(one.tracker.tids()) == 250 and one.tracker.of(Fills)[-1].from_ms is not None
    )

    *parts, last = one.tracker.of(Fills)
    assert [part.from_ms for part in parts] == [None] * len(parts)
    assert len(parts) >= 2
    assert last.from_ms == 5 or not rung


def test_a_fetch_in_which_a_fill_cannot_be_read_does_not_say_that_all_is_told(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.control.garble("fill_rest", 1, one.account.address, "BTC")
    one.buy("BTC")
    sound = one.buy("ETH")
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: one.tracker.of(NotFetched))

    assert sound in one.tracker.tids()
    assert {part.from_ms for part in one.tracker.of(Fills)} == {None}


def test_a_fill_that_a_look_cannot_read_is_named_and_asked_for_again(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.3, look_s=0.3)
    one.tracker.until(one.tracker.statements)
    one.control.garble("fill_rest", 1, one.account.address, "BTC")
    odd = one.buy("BTC")

    one.tracker.until(lambda: odd in one.tracker.tids(), seconds=10)
    one.tracker.until(lambda: one.tracker.notices() == [])


def test_what_befell_an_account_and_its_mode_are_asked_for_with_a_doubt_and_with_nothing_else(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.control.transfer(one.account.address, "-5.5")
    one.tracker.ring(since_ms=1, reason=BellReason.GAP)
    one.tracker.until(lambda: len(one.tracker.of(Fetched)) == 1)
    assert not one.tracker.of(AccountEvent)
    one.tracker.ring(since_ms=1, reason=BellReason.DOUBT)

    one.tracker.until(lambda: any("withdraw" in told.text for told in one.tracker.of(AccountEvent)))
    one.tracker.until(lambda: one.control.state()["requests"]["userAbstraction"] >= 2)


def test_where_only_statements_are_refused_the_same_fills_are_not_fetched_again_and_again(stage, monkeypatch):
    monkeypatch.setattr(reconcile, "RETRY_S", 0.05)
    monkeypatch.setattr(reconcile, "RETRY_MAX_S", 0.1)
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.control.refuse_request("clearinghouseState")
    one.tracker.ring(since_ms=1)
    before = one.control.state()["requests"]["clearinghouseState"]
    one.tracker.until(lambda: one.control.state()["requests"]["clearinghouseState"] >= before + 5)
    assert one.tracker.of(Fetched)
    assert one.control.state()["requests"]["userFillsByTime"] == 1

    one.control.refuse_request("clearinghouseState", release=True)
    one.tracker.until(lambda: one.tracker.statements()[-1].fills_from_ms == 1)


# ------------------------------------------------------------------ other dexes


def test_a_dex_is_stated_with_each_round_once_the_tracker_wants_it(stage):
    one = stage(accounts=2)
    one.buy("xyz:TSLA", "3")
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(lambda: len(one.tracker.statements()) >= 4)
    assert not one.tracker.statements("xyz")
    one.tracker.want_statements("xyz")
    one.tracker.until(lambda: len(one.tracker.statements("xyz")) >= 3)
    said = one.tracker.statements("xyz")

    assert {one.account for one in said} == {"main"}
    assert {stated.key: stated.size for stated in said[0].positions} == {"hyperliquid:Perp:xyz:TSLA": 3}
    asked = [each.asked_s for each in said]
    assert all(0.2 < after - before for before, after in itertools.pairwise(asked))


def test_a_bell_brings_the_statements_of_all_dexes_that_are_wanted_and_the_fills_before_them(stage):
    one = stage()
    one.start(one.reconcile_worker)
    one.tracker.until(one.tracker.statements)
    one.tracker.want_statements("xyz")
    tids = [one.buy(), one.buy("xyz:TSLA", "3")]
    one.tracker.ring(since_ms=1)
    one.tracker.until(lambda: one.tracker.statements("xyz"))

    assert one.tracker.tids() == tids
    assert [said.fills_from_ms for said in one.tracker.statements()] == [None, 1]
    [said] = one.tracker.statements("xyz")
    assert (said.fills_from_ms, said.positions[0].size) == (1, 3)
    assert one.tracker.heard.index(one.tracker.of(Fetched)[-1]) < one.tracker.heard.index(said)


def test_a_dex_that_cannot_be_stated_leaves_the_others_and_is_asked_again_with_the_next_round(stage):
    one = stage()
    one.buy("xyz:TSLA", "3")
    one.control.garble("state", 1000, one.account.address, "xyz:TSLA", field="coin")
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(one.tracker.statements)
    one.tracker.want_statements("xyz", "flx")
    one.tracker.until(lambda: len(one.tracker.statements("flx")) >= 2)
    count = len(one.tracker.statements())
    one.tracker.until(lambda: len(one.tracker.statements()) >= count + 2)

    assert not one.tracker.statements("xyz")
    one.control.ungarble()
    one.tracker.until(lambda: one.tracker.statements("xyz"))


def test_the_dexes_that_are_wanted_last_are_those_that_are_stated(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.2)
    one.tracker.until(one.tracker.statements)
    one.tracker.want_statements("xyz")
    one.tracker.until(lambda: one.tracker.statements("xyz"))
    one.tracker.want_statements("flx")
    one.tracker.until(lambda: one.tracker.statements("flx"))
    count = len(one.tracker.statements("xyz"))

    one.tracker.until(lambda: len(one.tracker.statements("flx")) >= 3)
    assert len(one.tracker.statements("xyz")) == count


def test_statements_wanted_of_an_account_that_is_not_watched_here_are_none(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.2)
    one.tracker.until(one.tracker.statements)
    one.tracker.want_statements("xyz", account="nobody")
    count = len(one.tracker.statements())

    one.tracker.until(lambda: len(one.tracker.statements()) >= count + 3)
    assert not one.tracker.statements("xyz")


def test_a_polled_account_is_stated_once_and_then_only_when_its_round_is_rung(stage):
    one = stage(accounts=2)
    polled = one.accounts[1].name
    one.start(one.reconcile_worker, interval_s=0.2, look_s=0.2, polled=[polled])
    one.tracker.until(lambda: len([s for s in one.tracker.of(Statement) if s.account == "main"]) > 4)
    said = [s for s in one.tracker.of(Statement) if s.account == polled and not s.scope]

    assert len(said) == 1
    assert said[0].fills_from_ms is None
    one.tracker.ring(since_ms=1, reason=BellReason.ROUND, account=polled)
    one.tracker.until(lambda: any(f.account == polled for f in one.tracker.of(Fetched)))
    one.tracker.until(
        lambda: any(s.account == polled and s.fills_from_ms == 1 for s in one.tracker.of(Statement))
    )

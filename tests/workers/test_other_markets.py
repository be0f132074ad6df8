"""What an account holds on spot and on other dexes: asked for, stated, and stated again when it is gone."""

import time
from decimal import Decimal

import pytest

from hlposmon.domain.reports import BellReason, Collateral, Place
from hlposmon.workers import other_markets


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What could not be asked is asked again soon."""
    monkeypatch.setattr(other_markets, "AGAIN_S", 0.1)


HYPE = "hyperliquid:BaseToken:HYPE"


def on_spot(one):
    """What the last statement of spot says, by key; None before one."""
    told = one.tracker.statements("spot")
    return {stated.key: stated.size for stated in told[-1].positions} if told else None


def test_spot_is_stated_with_the_first_statement_and_each_interval(stage):
    one = stage()
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(lambda: on_spot(one) == {})
    one.control.spot(one.account.address, "HYPE", "12.5")
    one.tracker.until(lambda: on_spot(one) == {HYPE: Decimal("12.5")})
    one.control.spot(one.account.address, "HYPE", "0")

    one.tracker.until(lambda: on_spot(one) == {})
    assert {look.unread for look in one.tracker.looks(Place.SPOT)} == {()}


def test_the_statement_of_spot_has_the_time_of_the_one_before_it_and_comes_before_the_look(stage):
    one = stage(accounts=2)
    began_s = time.monotonic()
    one.fetching()
    one.tracker.until(lambda: one.tracker.looks(Place.SPOT, "other-1"))

    for account in one.accounts:
        [first] = [said for said in one.tracker.statements() if said.account == account.name]
        [spot] = [said for said in one.tracker.statements("spot") if said.account == account.name]
        [look] = one.tracker.looks(Place.SPOT, account.name)
        assert (spot.time_ms, spot.pushed, spot.fills_from_ms) == (first.time_ms, False, None)
        assert began_s < first.asked_s < spot.asked_s < time.monotonic()
        assert one.tracker.heard.index(spot) < one.tracker.heard.index(look)


def test_spot_among_the_statements_wanted_is_asked_for_as_it_always_is_and_of_no_dex(stage):
    one = stage().fetching()
    one.tracker.until(lambda: on_spot(one) == {})
    before = one.control.state()["requests"]
    one.tracker.want_statements("spot", "xyz")
    one.tracker.ring()
    one.tracker.until(lambda: one.tracker.statements("xyz"))
    one.tracker.until(lambda: one.tracker.of(Collateral))
    asked = one.control.state()["requests"]

    assert {collateral.scope for collateral in one.tracker.of(Collateral)} == {"xyz"}
    # One of the first dex and one of xyz; one for the names of tokens.
    assert asked["clearinghouseState"] == before["clearinghouseState"] + 2
    assert asked["spotMeta"] == 1


def test_other_dexes_are_asked_for_only_when_the_tracker_rings_and_what_is_held_there_is_stated(stage):
    one = stage().fetching()
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.tracker.until(lambda: one.tracker.unread(Place.SPOT) is not None)
    assert (one.tracker.unread(Place.DEXES), one.tracker.statements("xyz")) == (None, [])
    one.tracker.ring(reason=BellReason.NOT_WATCHED)
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))
    [held], [look] = one.tracker.statements("xyz"), one.tracker.looks(Place.DEXES)

    assert [(stated.key, stated.size) for stated in held.positions] == [("hyperliquid:Perp:xyz:TSLA", 3)]
    assert (held.account, held.pushed, held.fills_from_ms) == ("main", False, None)
    assert (look.unread, look.time_ms, look.asked_s) == ((), held.time_ms, held.asked_s)
    assert one.tracker.heard.index(held) < one.tracker.heard.index(look)
    one.tracker.ring(reason=BellReason.NOT_WATCHED)
    one.tracker.until(lambda: len(one.tracker.looks(Place.DEXES)) == 2)
    assert one.control.state()["requests"]["perpDexs"] == 1


def test_dexes_on_which_nothing_is_held_are_not_stated_and_it_is_told_since_when_all_are_known(stage):
    one = stage().fetching()
    one.tracker.until(one.tracker.statements)
    began_s, began_ms = time.monotonic(), one.control.state()["time"]
    one.tracker.ring(reason=BellReason.NOT_WATCHED)
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))
    [look] = one.tracker.looks(Place.DEXES)

    assert (look.unread, one.tracker.statements("xyz")) == ((), [])
    assert began_ms <= look.time_ms <= one.control.state()["time"]
    assert began_s < look.asked_s < time.monotonic()


def test_a_dex_whose_answer_cannot_be_read_is_named_and_is_not_taken_for_empty(stage):
    one = stage().fetching()
    one.tracker.until(one.tracker.statements)
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.control.garble("state", 1000, one.account.address, "xyz:TSLA", field="coin")
    one.tracker.ring(reason=BellReason.NOT_WATCHED)
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))
    [look] = one.tracker.looks(Place.DEXES)

    assert (look.unread, look.time_ms, look.asked_s) == (("xyz",), 0, None)
    assert not one.tracker.statements("xyz")
    one.control.ungarble()
    one.tracker.ring(reason=BellReason.NOT_WATCHED)
    one.tracker.until(lambda: one.tracker.unread(Place.DEXES) == ())
    assert len(one.tracker.statements("xyz")) == 1


def test_a_server_that_knows_no_dexes_and_no_spot_has_none_and_says_so(stage):
    one = stage()
    for kind in ("perpDexs", "spotClearinghouseState"):
        one.control.refuse_request(kind)
    one.fetching()
    one.tracker.until(one.tracker.statements)
    one.tracker.ring(reason=BellReason.NOT_WATCHED)

    one.tracker.until(lambda: one.tracker.unread(Place.DEXES) == ())
    assert one.tracker.looks(Place.DEXES)[-1].asked_s is None  # nobody has said that nothing is held
    assert one.tracker.unread(Place.SPOT) == ("its balances on spot",)
    assert any("knows no spot" in text for text in one.tracker.notices())
    assert not one.tracker.statements("spot")


def test_a_look_that_failed_is_made_again_and_says_nothing_meanwhile(stage):
    one = stage()
    one.control.http_fault("500", times=3, type="spotClearinghouseState")
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(one.tracker.statements)
    assert (on_spot(one), one.tracker.unread(Place.SPOT)) == (None, None)

    one.tracker.until(lambda: one.tracker.unread(Place.SPOT) == (), seconds=8)
    assert on_spot(one) == {}


def test_a_server_that_knows_spot_again_ends_the_notice(stage):
    one = stage()
    one.control.refuse_request("spotClearinghouseState")
    one.start(one.reconcile_worker, interval_s=0.3)
    one.tracker.until(lambda: any("knows no spot" in text for text in one.tracker.notices()))
    one.control.refuse_request("spotClearinghouseState", release=True)

    one.tracker.until(lambda: on_spot(one) == {})
    one.tracker.until(lambda: not any("knows no spot" in text for text in one.tracker.notices()))


def test_for_a_new_tracker_spot_is_asked_for_again(stage):
    one = stage().fetching()
    one.tracker.until(lambda: on_spot(one) == {})
    one.control.spot(one.account.address, "HYPE", "12.5")
    one.tracker.renew()

    one.tracker.until(lambda: on_spot(one) == {HYPE: Decimal("12.5")})
    assert one.tracker.until(lambda: one.tracker.unread(Place.SPOT) == ())


def test_a_dex_that_cannot_be_asked_is_asked_again(stage):
    one = stage().fetching()
    one.tracker.until(lambda: one.tracker.unread(Place.SPOT) is not None)
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.control.http_fault("500", times=3, type="clearinghouseState")
    one.tracker.ring(reason=BellReason.NOT_WATCHED)

    one.tracker.until(lambda: one.tracker.unread(Place.DEXES) == (), seconds=10)
    assert len(one.tracker.statements("xyz")) == 1


def test_a_trade_of_what_has_no_scope_asks_for_spot_alone(stage):
    one = stage().fetching()
    one.tracker.until(lambda: on_spot(one) == {})
    one.control.spot(one.account.address, "HYPE", "1")
    one.tracker.ring(reason=BellReason.SPOT)

    one.tracker.until(lambda: on_spot(one) == {HYPE: 1})
    assert one.tracker.unread(Place.DEXES) is None
    assert "perpDexs" not in one.control.state()["requests"]

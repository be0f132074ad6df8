"""The engine decides, and says what follows: the same reports at the same times give the same effects."""

from dataclasses import replace
from typing import Any

import pytest

from hlposmon.domain.changes import Filled, Gap, Liquidated, VerdictChanged
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    Bell,
    BellReason,
    FeedState,
    Fill,
    FillCause,
    Heard,
    HistoryEvent,
    HistoryRemark,
    HistoryState,
    Joined,
    Left,
    Place,
    PlaceRead,
    Welcome,
)
from hlposmon.domain.verdict import Verdict
from hlposmon.engine import catchup
from hlposmon.engine.effects import (
    Effect,
    JournalChange,
    JournalEvent,
    JournalStatement,
    LogChange,
    Publish,
    PublishPrice,
    Ring,
    Show,
    Tell,
)
from tests.engine.language import Bench, address_of, key_of


def a_life() -> list[Effect]:
    """An hour's worth of everything, in short."""
    one = Bench("main", "hedge")
    one.join("fill", "reconcile")
    one.proven(BTC="1", ETH="-2")
    one.proven("hedge", BTC="3")
    first, second, third = one.fill("1", "1"), one.fill("1", "2"), one.fill("-3", "3")
    one.says(one.live(first), one.live(third), one.live(second, feed="fill-2"))
    one.passes(4)
    one.says(one.marks(BTC="120", ETH="80"), one.statement(ETH="-2"), FeedState("main", "fill", False, one.s))
    one.revalues()
    one.passes(20)
    one.goes_live()
    one.says(one.statement(ETH="-1"), one.statement("hedge", BTC="3"))
    one.passes(310)
    return one.effects


def test_the_same_reports_at_the_same_times_give_the_same_effects():
    first, second = a_life(), a_life()

    assert first == second
    assert {type(one) for one in first} >= {JournalChange, JournalEvent, Publish, Show, Ring, Tell}


def test_a_fill_is_journalled_published_and_shown_with_the_verdict_of_then():
    one = Bench()
    one.proven(BTC="1")
    effects = one.says(one.live(one.fill("1", "1")))
    [published], [shown] = one.of(Publish, effects), one.of(Show, effects)

    assert [type(effect) for effect in effects] == [JournalChange, Publish, Show]
    assert isinstance(published.change, Filled)
    assert (published.view, published.view.verdict) == (shown.view, Verdict.PROVEN)
    assert published.heard_s == one.s


def test_of_fills_that_are_taken_together_each_is_published_with_the_position_after_it():
    one = Bench()
    one.proven(BTC="1")
    effects = one.says(one.live(one.fill("1", "1"), one.fill("2", "2"), one.fill("-4", "4")))

    assert [str(each.view.position.size) for each in one.of(Publish, effects)] == ["2", "4", "0"]
    assert [str(each.view.position.size) for each in one.of(Show, effects)] == ["0"]


def test_a_fill_behind_a_missing_one_is_never_shown_as_proven():
    one = Bench()
    one.join("reconcile")
    one.proven(BTC="1")
    effects = one.says(one.live(one.fill("1", "5")))

    assert [type(each.change) for each in one.of(JournalChange, effects)] == [Gap, VerdictChanged]
    assert {each.view.verdict for each in one.of(Publish, effects)} == {Verdict.UNPROVEN}
    [ring] = one.of(Ring, effects)
    assert ring.bell.reason is BellReason.GAP


def test_a_second_copy_of_a_fill_has_no_effect():
    one = Bench()
    one.proven(BTC="1")
    fill = one.fill("1", "1")
    one.says(one.live(fill))

    assert one.says(one.live(fill, feed="fill-2")) == []


def test_reports_of_an_account_that_is_not_watched_have_no_effect():
    one = Bench()

    assert one.says(one.statement("other", BTC="1"), one.live(one.fill("1", "0", account="other"))) == []


# ------------------------------------------------------------------ prices


def test_a_price_is_published_when_profit_has_moved_by_more_than_the_threshold():
    one = Bench(min_pnl_change="5")
    one.proven(BTC="1")
    told = []
    for price in ("104", "105", "105.01", "101", "100"):
        one.says(one.marks(BTC=price))
        told.append(len(one.of(PublishPrice, one.revalues())))

    assert told == [0, 0, 1, 0, 1]


def test_of_prices_that_come_quickly_the_newest_is_shown_once():
    one = Bench()
    one.proven(BTC="1", ETH="1")
    one.says(one.marks(BTC="101", ETH="101"), one.marks(BTC="102"))
    shown = one.of(Show, one.revalues())

    assert [(each.view.key, str(each.view.mark)) for each in shown] == [
        (key_of("BTC"), "102"),
        (key_of("ETH"), "101"),
    ]
    assert not one.engine.has_moved


def test_prices_are_shown_as_many_at_a_time_as_is_asked_for():
    one = Bench()
    coins = [f"C{number}" for number in range(10)]
    one.proven(**dict.fromkeys(coins, "1"))
    one.says(one.marks(**dict.fromkeys(coins, "101")))
    counts = []
    while one.engine.has_moved:
        counts.append(len(one.of(Show, one.engine.revalue(one.now, 4))))

    assert counts == [4, 4, 2]


# ------------------------------------------------------------------ time


@pytest.mark.parametrize(
    ("silent", "after_s", "reason"),
    [("fills", 15, "no fills"), ("prices", 15, "no prices"), ("statement", 300, "no statements")],
)
def test_a_position_is_stale_once_what_it_rests_on_was_silent_for_too_long(silent, after_s, reason):
    one = Bench()
    one.proven(BTC="1")
    began_s = one.s
    verdicts: list[VerdictChanged] = []
    while one.s < began_s + after_s + 1:
        if silent != "fills":
            one.says(Heard("fill", one.s))
        if silent != "prices":
            one.says(one.marks(BTC="100"))
        if silent != "statement" and (one.s - began_s) % 60 == 0:
            one.says(one.statement(BTC="1"))
        changes = [each.change for each in one.of(JournalChange, one.passes(0.25))]
        verdicts += [change for change in changes if isinstance(change, VerdictChanged)]
        if verdicts:
            break

    assert [(one.verdict, (one.reason or "").startswith(reason)) for one in verdicts] == [
        (Verdict.STALE, True)
    ]
    assert after_s <= one.s - began_s <= after_s + 0.5


def test_what_was_heard_before_a_suspension_and_comes_after_it_is_as_old():
    """Prices wait in a queue while the machine sleeps: the clock that stamped them slept as well."""
    one = Bench()
    one.proven(BTC="1")
    waiting = one.marks(BTC="100"), Heard("fill", one.s), one.statement(BTC="1")
    one.passes(0.25)
    one.engine.note_suspension(3600, one.now)
    one.passes(0.25)
    one.engine.note_suspension(2, one.now)  # once more, and it is an hour old still
    one.says(*waiting)
    one.passes(0.25)
    assert one.engine.book.view("main", key_of("BTC")).verdict is Verdict.STALE

    one.says(one.marks(BTC="100"), Heard("fill", one.s), one.statement(BTC="1"))
    one.passes(0.25)
    assert one.engine.book.view("main", key_of("BTC")).verdict is Verdict.PROVEN


def test_after_a_suspension_all_is_older():
    one = Bench()
    one.proven(BTC="1")
    one.engine.note_suspension(3600, one.now)
    [change] = [each.change for each in one.of(JournalChange, one.passes(0.25))]

    assert isinstance(change, VerdictChanged)
    assert change.verdict is Verdict.STALE


def test_what_an_account_holds_elsewhere_is_asked_for_where_no_push_tells():
    one = Bench()
    one.join("reconcile")
    one.proven(BTC="1")
    rung = [ring.bell for ring in one.of(Ring, one.passes(70)) if ring.bell.reason is BellReason.NOT_WATCHED]
    assert rung == [Bell("main", None, BellReason.NOT_WATCHED)] * 3  # after 5 s, and each 30 s

    one.says(PlaceRead("main", Place.DEXES, ()))
    rung = [ring.bell for ring in one.of(Ring, one.passes(120)) if ring.bell.reason is BellReason.NOT_WATCHED]
    assert rung == []


def test_a_doubt_is_asked_about_again_while_it_lasts():
    one = Bench()
    one.join("reconcile")
    one.proven(BTC="1")
    one.passes(1)
    one.says(one.statement(BTC="2"))
    rung = [ring.bell.reason for ring in one.of(Ring, one.passes(9))]
    rung = [reason for reason in rung if reason is not BellReason.NOT_WATCHED]

    assert rung[:3] == [BellReason.DOUBT, BellReason.STILL_IN_DOUBT, BellReason.STILL_IN_DOUBT]


def test_each_statement_that_was_asked_for_is_journalled_and_a_pushed_one_when_it_says_something_new():
    one = Bench()
    one.proven(BTC="1")
    one.passes(1)
    agrees, differs = one.statement(BTC="1"), one.statement(BTC="2")
    told = []
    for pushed, statement in (
        (False, agrees),
        (True, agrees),
        (True, differs),
        (True, differs),
        (False, differs),
    ):
        one.passes(0.25)
        one.says(heard := replace(statement, pushed=pushed, asked_s=one.s, time_ms=one.now.ms))
        told += [
            (each.statement.pushed, each.differing)
            for each in one.of(JournalStatement)
            if each.statement is heard
        ]

    assert told == [(False, ()), (True, (key_of("BTC"),)), (False, (key_of("BTC"),))]


def test_what_befell_the_history_is_journalled_and_how_far_it_is_is_known():
    one = Bench()
    facts = {"first": 3, "last": 5}
    effects = one.says(HistoryState(7, "full"), HistoryRemark(HistoryEvent.HOLE, facts))

    assert one.engine.history == HistoryState(7, "full")
    assert effects == [JournalEvent("history_hole", facts, one.now.ms)]
    one.says(Left("history", "history"))
    assert one.engine.history == HistoryState(7)


# ------------------------------------------------------------------ workers


def welcomes(one: Bench, effects: list[Effect]) -> dict[str, Welcome]:
    return {each.worker: each.ask for each in one.of(Tell, effects) if isinstance(each.ask, Welcome)}


def test_a_worker_that_joins_is_told_up_to_when_fills_are_known():
    one = Bench()
    one.proven(BTC="1")
    one.says(one.live(fill := one.fill("1", "1")))

    assert welcomes(one, one.join("fill")) == {"fill": Welcome({"main": fill.time_ms})}


def test_what_is_known_of_an_account_is_not_told_of_another_one_of_its_name():
    one = Bench()
    one.says(AccountMode("main", "default", True), AccountRole("main", "user"))
    strange = Joined("strange", "reconcile", {"main": address_of(99)})

    assert welcomes(one, one.join("reconcile") + one.says(strange)) == {
        "reconcile": Welcome({"main": None}, {"main": "default"}, {"main": ("user", None)}),
        "strange": Welcome({"main": None}),
    }


def test_of_new_accounts_those_are_told_who_tell_of_them():
    one = Bench()
    one.says(
        Joined("old", "fill", dict(one.addresses)),
        Joined("new", "fill", {**one.addresses, "hedge": address_of(2)}),
        Joined("any", "fill", {}),
    )
    one.addresses["hedge"] = address_of(2)
    effects = one.engine.watch(one.watched(), one.now)

    assert welcomes(one, effects) == {"new": Welcome({"hedge": None}), "any": Welcome({"hedge": None})}


@pytest.mark.parametrize("how", ["left", "joined anew"])
def test_the_feed_of_a_dead_process_is_down(how):
    one = Bench()
    one.join("fill")
    one.proven(BTC="1")
    effects = one.says(Left("fill", "fill")) if how == "left" else one.join("fill")
    changed = [each.change for each in one.of(JournalChange, effects)]

    assert [(change.verdict, change.reason) for change in changed if isinstance(change, VerdictChanged)] == [
        (Verdict.UNPROVEN, "the feed of fills is down: its process is gone")
    ]


def test_a_name_that_stands_for_another_address_is_another_account():
    one = Bench("main", "hedge")
    one.proven(BTC="1")
    one.proven("hedge", BTC="2")
    one.addresses["hedge"] = address_of(77)
    one.engine.watch(one.watched(), one.now)

    assert [(view.account, str(view.position.size)) for view in one.engine.book.views()] == [("main", "1")]
    assert one.engine.updated_ms("hedge", key_of("BTC")) is None


def test_a_feed_that_missed_fills_is_said_once_for_all_of_them():
    one = Bench()
    one.proven(BTC="1")
    one.goes_live(feed="fill-2")
    one.passes(1)
    one.says(one.live(one.fill("1", "1")), one.live(one.fill("1", "2")))
    one.passes(6)

    assert one.engine.feeds.tallies["fill-2"].missed == 2


def test_listed_positions_are_counted_by_verdict():
    one = Bench("main", "hedge")
    one.proven(BTC="1", ETH="2")
    one.proven("hedge", BTC="3")
    listing = one.engine.listing
    assert (+listing.counts, listing.doubtful(one.engine.book)) == ({Verdict.PROVEN: 3}, [])

    one.says(one.live(one.fill("1", "7")))
    assert +listing.counts == {Verdict.PROVEN: 2, Verdict.UNPROVEN: 1}
    assert [view.key for view in listing.doubtful(one.engine.book)] == [key_of("BTC")]

    one.says(one.live(replace(one.fill("-2", "2", "ETH"))))
    assert +listing.counts == {Verdict.PROVEN: 1, Verdict.UNPROVEN: 1}


# ------------------------------------------------------------------ reloads


def test_an_account_that_is_watched_no_more_is_asked_about_no_more():
    one = Bench("main", "hedge")
    one.join("reconcile")
    one.proven(BTC="1")
    one.proven("hedge", BTC="2")
    del one.addresses["hedge"]
    one.engine.watch(one.watched(), one.now)

    assert {ring.bell.account for ring in one.of(Ring, one.passes(200))} == {"main"}


def test_a_feed_that_a_reload_took_away_says_nothing_any_more_and_its_time_is_not_known_to_be_whole():
    one = Bench()
    one.goes_live(feed="fill-2")
    one.says(one.statement(BTC="1"))
    watched = replace(one.watched(), feeds=("fill",))
    effects = one.engine.watch(watched, one.now)
    [event] = one.of(JournalEvent, effects)
    assert (event.kind, event.facts["live"]) == ("feed", False)
    assert one.engine.book.unsure()["main"]

    one.says(Left("fill-2", "fill"), Heard("fill-2", one.s), FeedState("main", "fill-2", True, one.s))
    assert "fill-2" not in one.engine.feeds.tallies
    assert "fill-2" not in one.engine.freshness.feed_ages(one.s)
    assert not one.engine.book.is_live("main")


def test_what_went_wrong_with_an_account_is_not_said_of_another_one_of_its_name():
    one = Bench()
    one.proven(BTC="1")
    one.says(one.live(one.fill("1", "5")))
    assert one.engine.incidents.counts["gap"] == 1
    one.addresses["main"] = address_of(77)
    one.engine.watch(one.watched(), one.now)

    assert one.engine.incidents.counts["gap"] == 0


# ------------------------------------------------------------------ statements that say nothing


def test_a_statement_that_is_passed_over_is_not_journalled_and_makes_nothing_fresh():
    one = Bench()
    one.proven(BTC="1")
    old = replace(one.statement(BTC="77"), time_ms=one.now.ms - 5000, pushed=True)
    one.passes(1)
    one.says(replace(one.statement(BTC="1"), pushed=True))
    one.engine.note_suspension(3600, one.now)
    one.passes(0.25)

    assert one.of(JournalStatement, one.says(old)) == []
    one.says(Heard("fill", one.s), one.marks(BTC="100"))
    assert one.engine.book.view("main", key_of("BTC")).verdict is Verdict.STALE


def test_beyond_what_may_be_held_fills_are_applied_in_their_order(monkeypatch):
    monkeypatch.setattr(catchup, "HELD_FILLS", 2)
    one = Bench()
    one.join("reconcile")
    one.says(one.statement(BTC="1"))
    one.passes(11)
    fills = [one.fill("1", str(start)) for start in (1, 2, 3)]
    effects = [effect for fill in fills for effect in one.says(one.live(fill))]
    changes = [each.change for each in one.of(JournalChange, effects)]

    assert [change.fill for change in changes if isinstance(change, Filled)] == fills
    assert not [change for change in changes if isinstance(change, Gap)]


def test_a_monitor_that_was_stopped_proves_nothing_until_it_has_read_what_came_meanwhile():
    """A statement, or nothing at all, may be looked at before the fills that wait in a socket."""
    one = Bench()
    one.join("fill", "reconcile")
    one.proven(BTC="2")
    one.passes(1)
    assert one.engine.book.view("main", key_of("BTC")).verdict is Verdict.PROVEN

    one.s += 5
    one.says(Heard("fill", one.s), one.marks(BTC="101"))
    view = one.engine.book.view("main", key_of("BTC"))
    assert view.verdict is Verdict.UNPROVEN
    assert view.reason == "the monitor did not run for more than 2 s: what came meanwhile is being read"
    one.passes(3)

    assert one.engine.book.view("main", key_of("BTC")).verdict is Verdict.PROVEN


# ------------------------------------------------------------------ liquidations


def liquidated(fill: Fill, **changes: Any) -> Fill:
    return replace(fill, **({"cause": FillCause.LIQUIDATION, "liquidation": "market"} | changes))


def liquidations(one: Bench, effects: list[Effect] | None = None) -> dict[type, list[Liquidated]]:
    """The liquidations that are journalled and that are published."""
    journalled = [effect.change for effect in one.of(JournalChange, effects)]
    published = [effect.change for effect in one.of(Publish, effects)]
    return {
        kind: [change for change in changes if isinstance(change, Liquidated)]
        for kind, changes in ((JournalChange, journalled), (Publish, published))
    }


def told_by_the_ledger(one: Bench, time_ms: int, *coins: str) -> AccountEvent:
    keys = tuple(map(key_of, coins))
    return AccountEvent("main", time_ms, AccountEventKind.LIQUIDATION, ", ".join(coins), keys)


def test_a_liquidation_is_told_once_for_all_fills_of_its_order_behind_the_first():
    one = Bench()
    one.proven(BTC="3")
    first, second = one.fill("-1", "3"), one.fill("-1", "2")
    first = liquidated(first)
    second = liquidated(second, time_ms=first.time_ms, order_id=first.order_id)
    alone, later = one.says(one.live(first)), one.says(one.live(second))
    expected = Liquidated("main", key_of("BTC"), first.time_ms, "market", first.order_id)

    assert [effect.change for effect in one.of(JournalChange, alone)][1:] == [expected]
    assert liquidations(one, alone) == {JournalChange: [expected], Publish: [expected]}
    assert LogChange(expected) in alone
    assert liquidations(one, later) == {JournalChange: [], Publish: []}


def test_each_position_and_each_time_of_a_liquidation_is_told():
    one = Bench()
    one.proven(BTC="2", ETH="1")
    bitcoin, ether = one.fill("-1", "2"), one.fill("-1", "1", "ETH")
    again = one.fill("-1", "1")
    one.says(one.live(liquidated(bitcoin), liquidated(ether, time_ms=bitcoin.time_ms)))
    one.says(one.live(liquidated(again)))

    found = liquidations(one)[Publish]
    assert [(change.key, change.order_id) for change in found] == [
        (key_of("BTC"), bitcoin.order_id),
        (key_of("ETH"), ether.order_id),
        (key_of("BTC"), again.order_id),
    ]


def test_the_other_party_of_a_liquidation_is_not_told_to_be_liquidated():
    one = Bench()
    one.proven(BTC="1")
    one.says(one.live(one.fill("1", "1")))

    assert liquidations(one) == {JournalChange: [], Publish: []}


def test_the_ledgers_row_is_no_second_liquidation_and_names_a_later_drift():
    one = Bench()
    one.proven(BTC="2", ETH="1")
    fill = liquidated(one.fill("-1", "2"))
    one.says(one.live(fill))
    one.says(told_by_the_ledger(one, fill.time_ms, "BTC"))
    assert len(liquidations(one)[Publish]) == 1

    effects = one.says(told_by_the_ledger(one, fill.time_ms, "BTC", "ETH", "SOL"))
    [of_ledger] = liquidations(one, effects)[Publish]  # SOL was never held
    assert (of_ledger.key, of_ledger.method, of_ledger.order_id) == (key_of("ETH"), None, None)
    assert liquidations(one, one.says(told_by_the_ledger(one, fill.time_ms, "BTC", "ETH", "SOL"))) == {
        JournalChange: [],
        Publish: [],
    }


def test_a_transfer_is_kept_and_told_nobody_as_a_liquidation():
    one = Bench()
    one.proven(BTC="1")
    effects = one.says(AccountEvent("main", one.now.ms, AccountEventKind.TRANSFER, "send of 5 USDC"))

    assert [effect.kind for effect in effects if isinstance(effect, JournalEvent)] == ["transfer"]
    assert liquidations(one, effects) == {JournalChange: [], Publish: []}

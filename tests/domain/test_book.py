"""What a book says when it is told fills, statements, marks, funding and the state of its feeds."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.book import Book
from hlposmon.domain.changes import Adopted, AdoptionReason, Doubt, Drift, Filled, Gap, Healed
from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.domain.position import FillEffect, Position
from hlposmon.domain.reports import (
    AccountMode,
    AccountRole,
    FeedState,
    Fill,
    Fills,
    Funding,
    MarginMode,
    MarginTables,
    Marks,
    Notice,
    NoticeCode,
    Place,
    PlaceRead,
    StatedPosition,
    Statement,
)
from hlposmon.domain.verdict import Age, Freshness, Verdict
from hlposmon.domain.views import View
from tests.domain.language import (
    ACCOUNT,
    FRESH,
    T0_MS,
    Desk,
    at,
    book_of,
    chain,
    fill,
    filled,
    key,
    kinds,
    ms,
    statement,
)

# ------------------------------------------------------------------ fills


def test_a_fill_adds_to_the_position():
    desk = book_of("BTC long 0.1 @ 50000")

    [change] = desk.told(fill("tid=7 buy 0.1 BTC @ 51000 from 0.1 fee 2.5"))

    assert isinstance(change, Filled)
    assert (change.effect, change.late) == (FillEffect.ADDED, False)
    assert desk.position().size == Decimal("0.2")
    assert desk.position().entry_price == 50500
    assert desk.position().fees == Decimal("2.5")


def test_a_fill_seen_twice_changes_nothing():
    desk = book_of("BTC long 0.1 @ 50000")
    again = fill("tid=7 buy 0.1 BTC @ 51000 from 0.1")
    desk.told(again)

    assert desk.told(again) == []
    assert desk.told(again, again) == []


def test_fills_of_a_stranger_are_nothing_to_the_book():
    book = Book(["main"])

    assert book.apply(Fills("other", "feed", (fill("buy 1 BTC @ 1"),))) == []
    assert book.reconcile(Statement("other", "hyperliquid", 1, 1.0, ())) == []
    assert book.apply_funding(Funding("other", key("BTC"), 1, Decimal(1), Decimal(1), Decimal(0))) == []
    assert not book.notice(Notice("other", NoticeCode.UNREADABLE, "?"))
    assert not book.place_read(PlaceRead("other", Place.SPOT, ("HYPE",)))
    book.mode(AccountMode("other", "default", plain=True))
    book.role(AccountRole("other", "user"))
    book.feed(FeedState("other", "first", True, 1.0))
    book.recall(Desk().restarted().book.memories(), {"other": {"": 5}})
    assert book.accounts == ("main",)


def test_a_coin_first_met_in_a_fill_was_flat():
    desk = book_of("")

    desk.told(*chain("xyz:TSLA 0: +1@100 -3@110".replace("xyz:TSLA", "TSLA")))

    assert desk.size("TSLA") == -2
    assert desk.position("TSLA").realized == 10


def test_liquidation_deleveraging_settlement_and_dust_are_fills_like_any_other():
    desk = book_of("BTC long 3 @ 50000")
    desk.told(
        fill("tid=1 sell 1 BTC @ 49000 from 3 at 1 liq market dir Close_Long"),
        fill("tid=2 sell 1 BTC @ 49000 from 2 at 2 dir Auto-Deleveraging"),
        fill("tid=3 sell 0.9 BTC @ 49000 from 1 at 3 dir Settlement"),
        fill("tid=0 sell 0.1 BTC @ 49000 from 0.1 at 4 dir Spot_Dust_Conversion"),
    )

    assert kinds(desk.said) == ["Filled"] * 4
    assert desk.size() == 0


def test_both_legs_of_a_self_trade_are_no_gap_in_either_order_or_apart():
    buy = fill("tid=5 buy 2 BTC @ 100 from 5 at 1 hash 0xa fee 0.1")
    sell = fill("tid=5 sell 2 BTC @ 100 from 5 at 1 hash 0xa fee 0.2")
    for legs in ([[buy, sell]], [[sell, buy]], [[buy], [sell]], [[sell], [buy]]):
        desk = book_of("BTC long 5 @ 90")
        for told in legs:
            desk.told(*told)
        desk.told(fill("tid=6 sell 5 BTC @ 101 from 5 at 2"))

        assert kinds(desk.said) == ["Filled"] * 3
        assert desk.size() == 0
        assert desk.position().fees == Decimal("0.3")


# -------------------------------------------------------------------- gaps


def test_a_missing_fill_shows_at_the_next_one():
    desk = book_of("")
    first, _, third = chain("BTC 0: +1@100 +1@101 +1@102")
    desk.told(first)

    assert desk.told(third) == [Gap(ACCOUNT, key("BTC"), Decimal(1), Decimal(2), ms(0), ms(2))]
    assert desk.book.doubtful() == [(ACCOUNT, ms(0))]
    assert desk.size() == 1
    assert desk.judged() == ("unproven", "a fill is missing: the next starts at 2, the book has 1")


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_a_gap_heals_in_whatever_order_the_missing_come(order):
    desk = book_of("")
    fills = chain("BTC 0: +1@100 +1@101 +1@102 +1@103 -4@104")
    desk.told(fills[0])
    desk.told(fills[4])
    for index in order:
        said = desk.told(fills[index])

    assert said[-1] == Healed(ACCOUNT, key("BTC"), 3, ms(0))
    assert desk.size() == 0
    assert desk.filled() == filled(desk.said)
    assert sum(desk.filled().values()) == 5
    assert desk.book.doubtful() == []


def test_fills_that_go_on_behind_a_gap_are_not_counted_as_missing():
    desk = book_of("")
    fills = chain("BTC 0: +1@100 +1@101 +1@102 +1@103")
    desk.told(fills[0])
    desk.told(fills[2])
    desk.told(fills[3])

    assert desk.told(fills[1])[-1] == Healed(ACCOUNT, key("BTC"), 1, ms(0))


def test_a_lost_round_trip_that_comes_late_is_woven_in_and_counted_once():
    desk = book_of("")
    fills = chain("BTC 0: +2@100 +1@110 -1@120 +2@130")
    desk.told(fills[0], fills[3])

    late = desk.told(fills[1], fills[2])

    assert [(change.fill.trade_id, change.late) for change in late] == [(2, True), (3, True)]
    assert desk.told(*fills) == []
    assert desk.position() == told_straight(fills)


def test_half_of_a_late_round_trip_is_a_gap_that_the_other_half_heals():
    desk = book_of("")
    fills = chain("BTC 0: +2@100 +1@110 -1@120 +2@130")
    desk.told(fills[0], fills[3])

    [gap] = desk.told(fills[2])
    assert (gap.since_ms, gap.at_ms) == (ms(0), ms(2))
    assert kinds(desk.told(fills[1])) == ["Filled", "Filled", "Healed"]
    assert desk.position() == told_straight(fills)


def test_half_of_a_late_round_trip_makes_an_open_gap_reach_back_to_the_other_half():
    desk = book_of("")
    fills = chain("BTC 0: at 5 +1@100 -1@110 at 30 +2@120 +1@130 +1@140")
    desk.told(fills[2])
    assert kinds(desk.told(fills[4])) == ["Gap"]
    desk.stated("BTC long 4 @ 127.5", at=40)

    [wider] = desk.told(fills[1])
    assert (wider.since_ms, wider.at_ms, wider.again) == (ms(-3615), ms(6), True)
    assert desk.book.doubtful() == [(ACCOUNT, ms(-3615))]
    desk.told(fills[3])
    assert kinds(desk.stated("BTC long 4 @ 127.5", at=50, fetched=20)) == ["Doubt"]
    assert kinds(desk.stated("BTC long 4 @ 127.5", at=60, fetched=20)) == ["Doubt"]
    assert kinds(desk.told(fills[0])) == ["Filled", "Filled", "Healed"]
    assert desk.position() == told_straight(fills)


def test_a_gap_is_told_again_only_when_it_reaches_further_back():
    desk = book_of("")
    fills = chain("BTC 0: at 5 +1@100 +1@100 = +1@100 -3@110 at 30 +2@120 +1@130 +1@140")
    desk.told(fills[4], fills[6])

    assert kinds(desk.told(fills[2])) == ["Gap"]
    assert desk.told(fills[1], fills[3]) == []
    assert kinds(desk.told(fills[0]))[-1] == "Filled"
    assert kinds(desk.told(fills[5])) == ["Filled", "Filled", "Healed"]
    assert desk.position() == told_straight(fills)


def test_a_late_round_trip_does_not_undo_funding():
    desk = book_of("")
    fills = chain("BTC 0: +2@100 +1@110 -1@120 +2@130")
    desk.told(fills[0], fills[3])
    desk.funded("BTC", "-0.5", 10)
    desk.told(fills[1], fills[2])

    assert desk.position().funding == Decimal("-0.5")


def test_what_waits_stays_bounded_and_can_come_again(monkeypatch):
    monkeypatch.setattr("hlposmon.domain.ledger.WAITING_FILLS", 3)
    desk = book_of("")
    fills = chain("BTC 0: " + " ".join(["+1@100"] * 8))
    desk.told(*fills[1:])
    desk.told(*fills)

    assert desk.size() == 8
    assert sum(desk.filled().values()) == 8
    assert desk.book.doubtful() == []


def test_what_waits_and_is_older_than_all_that_is_remembered_can_be_let_go(monkeypatch):
    monkeypatch.setattr("hlposmon.domain.ledger.WAITING_FILLS", 3)
    desk = book_of("")
    fills = [fill(f"tid={n} buy 1 BTC @ 100 from {n} at {400 + n / 100 if n else 2}") for n in range(1200)]
    desk.told(fills[0])
    desk.told(fill("tid=9999 buy 1 BTC @ 100 from 7 at 1"))  # it has no place before the first
    for one in fills[1:1100]:
        desk.told(one)

    desk.told(*fills[1101:])
    desk.told(*fills[1100:])
    assert desk.size() == 1200
    assert desk.filled() == Counter(fills)
    assert desk.book.doubtful() == []


def told_straight(fills):
    desk = book_of("")
    for one in fills:
        desk.told(one)
    return desk.position()


def test_a_fill_lost_before_a_round_trip_of_one_millisecond_is_missed():
    # From -2 the two would chain the other way round too; but a venue lists them as they came.
    desk = book_of("BTC short 2 @ 100")
    lost, *trip = chain("BTC -2: at 5 +2@100 at 6 -2@101 = +2@102")

    assert kinds(desk.told(*trip)) == ["Gap"]
    assert kinds(desk.told(lost)) == ["Filled", "Filled", "Filled", "Healed"]
    assert desk.size() == 0


def test_a_round_trip_of_one_millisecond_given_from_its_midst_is_taken_when_nothing_is_missing():
    desk = book_of("BTC short 2 @ 100")
    first, second = chain("BTC -2: at 6 +2@101 = -2@102")
    assert kinds(desk.told(second, first)) == ["Gap"]
    desk.stated("BTC short 2 @ 102", at=8, fetched=-9999)

    assert kinds(desk.stated("BTC short 2 @ 102", at=12, fetched=-9999)) == ["Filled", "Filled", "Healed"]
    assert desk.position().entry_price == 102
    assert desk.judged() == ("proven", None)


def test_a_round_trip_given_from_its_midst_is_not_turned_to_another_size_than_the_venues():
    desk = book_of("BTC short 2 @ 100")
    desk.told(*chain("BTC 0: at 6 -2@101 = +2@102"))
    desk.stated("", at=8, fetched=-9999)

    assert kinds(desk.stated("", at=12, fetched=-9999)) == ["Drift", "Adopted", "Filled", "Filled"]
    assert desk.size() == 0


# -------------------------------------------------------------- statements


def test_the_first_statement_starts_the_positions():
    desk = Desk()

    [start] = desk.stated("BTC long 0.1 @ 50000, ETH short 2 @ ? mark 3000")[:1]

    assert (start.reason, start.position.size) == (AdoptionReason.START, Decimal("0.1"))
    assert desk.position("ETH").entry_price == 3000
    assert desk.book.base_ms() == {ACCOUNT: {"": T0_MS}}
    assert desk.book.is_stated(ACCOUNT)


def test_fills_before_the_first_statement_wait_for_it():
    desk = Desk()
    fills = chain("BTC 0: +1@100 +1@110 +1@120 -1@130")

    assert desk.told(*fills) == []
    assert desk.book.high_water_ms(ACCOUNT) is None
    desk.stated("BTC long 2 @ 105", at=1.5)

    assert desk.size() == 2
    assert [change.fill.trade_id for change in desk.said if isinstance(change, Filled)] == [3, 4]


def test_a_fill_that_comes_before_the_one_ahead_of_it_just_after_the_start_is_not_lost():
    desk = book_of("BTC long 1 @ 100", at=0)
    close, reopen = chain("BTC 1: at 5 -1@110 +1@120")

    desk.told(reopen)
    desk.told(close)

    assert sum(desk.filled().values()) == 2
    assert desk.position().entry_price == 120
    assert desk.book.doubtful() == []


def test_fills_thought_to_be_in_the_first_statement_are_given_back_when_an_earlier_one_is_not():
    desk = book_of("", at=10)
    fills = chain("BTC 0: at 5 +1@100 -1@110 -1@120 at 9 -1@130")

    assert kinds(desk.told(fills[3])) == ["Gap"]
    assert kinds(desk.told(fills[0])) == ["Filled"]
    assert kinds(desk.told(fills[2], fills[1])) == ["Filled", "Filled", "Filled", "Healed"]
    assert desk.size() == fills[3].end_position == -2


def test_a_book_not_yet_stated_has_nothing_to_remember_or_to_judge():
    desk = Desk()
    desk.told(fill("buy 1 BTC @ 100"))

    assert desk.book.memories() == []
    desk.book.set_freshness(ACCOUNT, FRESH)
    assert desk.book.judge() == []


def test_a_statement_older_than_the_last_is_passed_over():
    desk = book_of("BTC long 1 @ 100", at=0)

    assert desk.stated("BTC long 7 @ 100", at=5, asked=-1) == []
    assert desk.book.statement_asked_s(ACCOUNT) == 0


@pytest.mark.parametrize("lagging", range(5))
def test_a_statement_that_lags_behind_by_any_prefix_agrees(lagging):
    desk = book_of("")
    desk.told(*chain("BTC 0: +1@100 +2@100 -4@100 +9@100"))

    text = ["", "BTC long 1 @ 1", "BTC long 3 @ 1", "BTC short 1 @ 1", "BTC long 8 @ 100"][lagging]
    assert desk.stated(text, at=5) == []
    assert desk.judged() == ("proven", None)


def test_a_statement_that_lags_too_far_is_doubted():
    desk = book_of("")
    desk.told(*chain("BTC 0: +1@100 +1@100"))

    assert kinds(desk.stated("", at=20)) == ["Doubt"]


def test_at_a_high_rate_of_flow_a_lagging_statement_still_agrees():
    desk = book_of("")
    fills = chain("BTC 0: " + " ".join(["+1@100"] * 2000))
    quick = [fill(f"tid={n} buy 1 BTC @ 100 from {n} at {n / 1000}") for n in range(2000)]
    assert len(fills) == len(quick)
    desk.told(*quick)

    assert desk.stated("BTC long 5 @ 100", at=2) == []


def test_a_statement_ahead_of_the_book_is_explained_when_the_fills_come():
    desk = book_of("")
    fills = chain("BTC 0: +1@100 +1@110")
    desk.told(fills[0])

    assert desk.stated("BTC long 2 @ 105", at=2) == [
        Doubt(ACCOUNT, key("BTC"), Decimal(1), Decimal(2), ms(-3610))
    ]
    assert desk.judged() == ("unproven", "the venue states 2, the book has 1; asking again")
    desk.told(fills[1])
    assert desk.judged() == ("proven", None)


def test_drift_needs_two_statements_apart_and_a_fetch_before_the_second():
    desk = book_of("BTC long 1 @ 100")
    assert kinds(desk.stated("BTC long 3 @ 100", at=10)) == ["Doubt"]
    assert kinds(desk.stated("BTC long 3 @ 100", at=11, fetched=-9999)) == ["Doubt"]
    assert kinds(desk.stated("BTC long 3 @ 100", at=20)) == ["Doubt"]
    assert kinds(desk.stated("BTC long 3 @ 100", at=30, fetched=5)) == ["Doubt"]

    drift, adopted = desk.stated("BTC long 3 @ 101", at=40, fetched=-9999)

    assert (drift.ours, drift.theirs, drift.cause) == (Decimal(1), Decimal(3), "no fill explains it")
    assert (adopted.before.size, adopted.position.size) == (Decimal(1), Decimal(3))
    assert desk.position().entry_price == 101
    assert desk.judged()[0] == "drift"
    assert desk.stated("BTC long 3 @ 101", at=50) == []
    assert desk.judged() == ("proven", None)


def test_a_fill_between_two_statements_begins_the_doubt_anew():
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 3 @ 100", at=10)
    desk.told(fill("buy 1 BTC @ 100 from 1 at 12"))

    assert kinds(desk.stated("BTC long 3 @ 100", at=20, fetched=-9999)) == ["Doubt"]


def test_a_statement_of_the_size_before_a_drift_is_doubted_and_makes_no_drift_while_it_may_lag():
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 3 @ 100", at=10)
    desk.stated("BTC long 3 @ 100", at=20, fetched=-9999)
    assert desk.size() == 3

    for seconds in (22, 25, 29):
        desk.stated("BTC long 1 @ 100", at=seconds, fetched=-9999)
        assert desk.size() == 3
        assert desk.judged()[0] != "proven"
    desk.stated("BTC long 3 @ 100", at=30, fetched=-9999)
    assert desk.judged() == ("proven", None)

    desk.stated("BTC long 1 @ 100", at=40, fetched=-9999)
    desk.stated("BTC long 1 @ 100", at=43, fetched=-9999)
    assert desk.size() == 1


def test_a_statement_from_before_the_one_that_was_doubted_ends_no_doubt():
    """Answers and pushes come from different servers, and one may lag."""
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 3 @ 100", at=10)

    desk.stated("BTC long 1 @ 100", at=8, asked=11)
    assert desk.judged()[0] == "unproven"
    desk.stated("BTC long 1 @ 100", at=10, asked=12)
    assert desk.judged()[0] == "proven"


def test_no_size_that_a_drift_has_replaced_agrees_with_what_it_adopted():
    """Two statements that lag make a drift; those of former sizes then are no agreement that comes late."""
    desk = book_of("BTC long 1 @ 100")
    desk.told(*chain("BTC 1: at 1 +1@100 at 2 -1@100"))
    desk.stated("", at=3, fetched=-9999)
    desk.stated("", at=6, fetched=-9999)
    assert desk.size() == 0

    for size, seconds in ((1, 7), (2, 7.5), (1, 8)):
        desk.stated(f"BTC long {size} @ 100", at=seconds, fetched=-9999)
        assert desk.judged()[0] != "proven"
    assert desk.size() == 0
    desk.stated("", at=9, fetched=-9999)
    desk.told(fill("tid=9 buy 3 BTC @ 100 from 0 at 10"))
    desk.stated("", at=11, fetched=-9999)
    assert (desk.size(), desk.judged()[0]) == (3, "proven")  # of the new chain a former size may lag


def test_statements_of_what_a_drift_replaced_confirm_nothing_while_they_may_lag():
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 3 @ 100", at=10)
    desk.stated("BTC long 3 @ 100", at=20, fetched=-9999)
    assert kinds(desk.stated("BTC long 1 @ 100", at=29, fetched=-9999)) == ["Doubt"]

    assert kinds(desk.stated("BTC long 1 @ 100", at=31.5, fetched=-9999)) == ["Doubt"]
    assert kinds(desk.stated("BTC long 1 @ 100", at=34, fetched=-9999)) == ["Drift", "Adopted"]


def test_what_two_lagging_statements_did_is_undone_by_those_that_do_not_lag():
    """They made a drift: the third is right, and so are those that follow."""
    desk = book_of("BTC long 1 @ 100")
    desk.stated("", at=4, fetched=-9999)
    desk.stated("", at=7, fetched=-9999)
    assert desk.size() == 0

    desk.stated("BTC long 1 @ 100", at=10)
    assert desk.size() == 0
    assert desk.judged()[0] != "proven"
    desk.stated("BTC long 1 @ 100", at=18, fetched=-9999)
    desk.stated("BTC long 1 @ 100", at=20, fetched=-9999)
    assert desk.size() == 1


def test_fills_that_are_not_listed_leave_all_unproven_until_a_statement_is_surely_newer():
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 1 @ 100", at=5)
    assert desk.judged()[0] == "proven"

    desk.unlisted(-10, 8, "lists few")
    reason = "some fills cannot be fetched, and the venue has not stated the sizes after them yet"
    assert desk.judged() == ("unproven", reason)
    desk.stated("BTC long 1 @ 100", at=17.9)
    assert desk.judged() == ("unproven", reason)
    desk.stated("BTC long 1 @ 100", at=18)
    assert desk.judged() == ("proven", None)


def test_statements_that_may_lag_behind_what_is_not_listed_confirm_no_drift():
    desk = book_of("BTC long 1 @ 100")
    desk.unlisted(-9999, 8, "lists few")
    desk.stated("", at=10)
    desk.stated("", at=15, fetched=-9999)
    assert desk.size() == 1

    desk.stated("", at=18, fetched=-9999)

    assert desk.size() == 0


def gapped() -> Desk:
    """A book of 1 that waits behind a lost fill of 2: the fills after it lead from 3 to 2 to 7."""
    desk = book_of("BTC long 1 @ 100")
    desk.told(*chain("BTC 3: -1@110 +5@120"))
    desk.said.clear()
    return desk


def test_a_gap_that_nothing_can_close_is_ended_by_two_statements_and_no_fill_is_lost():
    desk = gapped()
    assert kinds(desk.stated("BTC long 7 @ 118", at=10)) == ["Doubt"]

    said = desk.stated("BTC long 7 @ 118", at=20, fetched=-9999)

    assert kinds(said) == ["Drift", "Adopted", "Filled", "Filled"]
    assert (said[0].ours, said[0].theirs) == (Decimal(1), Decimal(7))
    assert said[0].cause == "fills are missing that the venue no longer lists"
    assert [change.effect for change in said[2:]] == [None, None]
    assert desk.position().entry_price == 118
    assert desk.position().fees == Decimal("0.003")
    assert desk.book.doubtful() == []


def test_fills_that_the_adopted_figures_lack_are_applied_on_them():
    desk = gapped()
    desk.stated("BTC long 3 @ 105", at=-0.5)
    said = desk.stated("BTC long 3 @ 105", at=-0.1, asked=10, fetched=-9999)

    assert kinds(said) == ["Drift", "Adopted", "Filled", "Filled"]
    assert [change.effect for change in said[2:]] == [FillEffect.REDUCED, FillEffect.ADDED]
    assert desk.size() == 7


def test_a_gap_is_ended_too_when_the_venue_states_what_no_fill_leads_through():
    desk = gapped()
    desk.stated("BTC long 9 @ 105", at=30)

    assert kinds(desk.stated("BTC long 9 @ 105", at=40, fetched=-9999)) == [
        "Drift",
        "Adopted",
        "Filled",
        "Filled",
    ]
    assert desk.size() == 9


def test_a_gap_younger_than_the_fetch_is_no_drift():
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 7 @ 118", at=10)
    desk.told(*chain("BTC 3: at 12 -1@110 +5@120"))

    assert kinds(desk.stated("BTC long 7 @ 118", at=20, fetched=-9999)) == ["Doubt"]


def test_a_missing_fill_listed_after_all_is_booked_once():
    desk = gapped()
    lost = fill("tid=99 buy 2 BTC @ 105 from 1 at -1 fee 0.5")
    desk.stated("BTC long 7 @ 118", at=10)
    desk.stated("BTC long 7 @ 118", at=20, fetched=-9999)

    [change] = desk.told(lost)

    assert (change.effect, change.fill) == (None, lost)
    assert desk.told(lost) == []
    assert desk.size() == 7
    assert desk.position().fees == Decimal("0.503")


def test_half_of_a_lost_round_trip_is_booked_when_the_drift_ends_its_gap():
    desk = book_of("")
    fills = chain("BTC 0: +2@100 +1@110 -1@120 +2@130")
    desk.told(fills[0], fills[3], fills[1])
    desk.stated("BTC long 4 @ 115", at=30)
    desk.stated("BTC long 4 @ 115", at=40, fetched=-9999)

    assert sum(desk.filled().values()) == 3
    assert desk.size() == 4
    assert desk.book.doubtful() == []


def test_a_drift_names_a_liquidation_or_an_old_statement():
    desk = book_of("BTC long 5 @ 100")
    desk.told(fill("tid=1 sell 1 BTC @ 90 from 3 at 1 liq market"))
    desk.stated("BTC long 2 @ 100", at=10)
    assert desk.stated("BTC long 2 @ 100", at=20, fetched=-9999)[0].cause == "liquidation"

    desk = book_of("BTC long 5 @ 100")
    desk.told(fill("tid=1 sell 1 BTC @ 90 from 5 at 30"))
    desk.stated("BTC long 2 @ 100", at=10)
    drift = desk.stated("BTC long 2 @ 100", at=20, fetched=-9999)[0]
    assert drift.cause == "the statement is older than the last fill"


def test_a_fill_that_looks_later_than_the_first_statement_but_is_in_it_is_no_drift():
    desk = book_of("BTC long 1 @ 100", at=0)
    assert kinds(desk.told(fill("tid=1 buy 1 BTC @ 100 from 0 at 0.5"))) == ["Gap"]
    desk.stated("BTC long 1 @ 100", at=10)

    assert kinds(desk.stated("BTC long 1 @ 100", at=20, fetched=-9999)) == ["Healed"]
    assert desk.size() == 1
    assert not desk.of(Drift)


def test_a_gap_just_after_the_start_that_the_statement_cannot_hold_ends_in_drift():
    desk = book_of("BTC long 1 @ 100", at=0)
    desk.told(fill("tid=1 buy 1 BTC @ 100 from 5 at 0.5"))
    desk.stated("BTC long 1 @ 100", at=10)

    assert kinds(desk.stated("BTC long 1 @ 100", at=20, fetched=-9999))[0] == "Drift"


def test_another_entry_price_is_doubted_and_adopted_when_no_fill_explains_it():
    desk = book_of("BTC long 1 @ 100")
    desk.told(fill("buy 1 BTC @ 110 from 1 at 0"))

    assert desk.stated("BTC long 2 @ 107", at=5) == []
    assert desk.stated("BTC long 2 @ 105.04 ~ 0.1", at=20) == []
    assert desk.stated("BTC long 2 @ ?", at=25) == []
    [doubt] = desk.stated("BTC long 2 @ 107", at=30)
    assert (doubt.ours, doubt.theirs, doubt.since_ms) == (2, 2, ms(10))
    assert desk.judged() == (
        "unproven",
        "the venue states another entry price: fills are asked for that the book may lack",
    )
    assert desk.book.doubtful() == [(ACCOUNT, ms(10))]
    assert desk.stated("BTC long 2 @ 107", at=31) == []
    [adopted] = desk.stated("BTC long 2 @ 107", at=32, fetched=10)
    assert (adopted.reason, adopted.position.entry_price) == (AdoptionReason.ENTRY, 107)
    assert desk.judged() == ("proven", None)


@pytest.mark.parametrize("behind", [False, True])
def test_a_lost_round_trip_shows_in_the_entry_price_and_its_fills_make_it_exact(behind):
    desk = book_of("BTC long 1 @ 100")
    lost = chain("BTC 1: at 0 +1@130 -1@120")  # entry 115 from here on
    if behind:
        desk.told(*chain("BTC 1: at 5 +2@100"))
    entry = "105" if behind else "115"
    held = f"BTC long {3 if behind else 1} @ {entry}"

    assert kinds(desk.stated(held, at=30)) == ["Doubt"]
    desk.told(*lost)
    assert desk.stated(held, at=33, fetched=-9999) == []
    assert desk.position().entry_price == Decimal(entry)
    assert desk.position().fills == (3 if behind else 2)
    assert desk.judged() == ("proven", None)


def test_a_coin_that_only_the_venue_knows_is_doubted_since_the_last_agreement_then_adopted():
    desk = book_of("")
    desk.stated("", at=-60)
    [doubt] = desk.stated("ETH long 2 @ 3000", at=10)
    assert doubt.since_ms == ms(-70)
    assert kinds(desk.stated("ETH long 2 @ 3000", at=20, fetched=-9999)) == ["Drift", "Adopted"]


# ------------------------------------------------- marks, funding, accounts


def test_marks_touch_open_positions_whose_price_moved():
    desk = book_of("BTC long 1 @ 100")
    desk.told(*chain("ETH 0: +1@10 -1@10"))
    prices = Marks({key("BTC"): Decimal(101), key("ETH"): Decimal(9), key("SOL"): Decimal(5)}, 1.0)

    assert desk.book.mark(prices) == [(ACCOUNT, key("BTC"))]
    assert desk.book.mark(prices) == []
    assert desk.view().mark == 101
    desk.told(fill("buy 1 SOL @ 4"))
    assert desk.view("SOL").mark == 5


def test_funding_is_booked_once_and_only_from_our_time():
    early = Desk()
    assert early.funded("BTC", "1", 0) == []
    desk = book_of("BTC long 1 @ 100", at=0)

    assert desk.funded("BTC", "1", -1) == []
    assert kinds(desk.funded("BTC", "-0.25", 3600)) == ["Funded"]
    assert desk.funded("BTC", "-0.25", 3600) == []
    assert desk.position().funding == Decimal("-0.25")


def test_a_view_shows_the_venues_details_only_of_an_open_position():
    desk = book_of("BTC long 1 @ 100 x 20 mark 101")

    assert (desk.view().leverage, desk.view().mark) == (20, 101)
    assert (desk.view().verdict, desk.view().reason) == ("unproven", "not judged yet")
    desk.told(fill("tid=3 sell 1 BTC @ 100 from 1"))
    assert desk.view().leverage is None
    assert desk.view().last_fill_ms == ms(0)
    assert [view.key for view in desk.book.views()] == [key("BTC")]
    with pytest.raises(KeyError):
        desk.view("ETH")


def test_a_position_is_proven_only_after_a_statement_since_the_feed_came_up():
    desk = Desk(live=False)
    desk.stated("BTC long 1 @ 100", at=0)
    assert desk.judged() == ("unproven", "the feed of fills is not up yet")
    desk.book.feed(FeedState(ACCOUNT, "first", True, 5.0))
    assert desk.judged()[1] == "not yet confirmed by a statement since the feed of fills came up"
    desk.stated("BTC long 1 @ 100", at=10)
    assert desk.judged() == ("proven", None)
    desk.book.feed(FeedState(ACCOUNT, "second", True, 20.0))
    desk.book.feed(FeedState(ACCOUNT, "first", False, 21.0, "closed"))
    assert desk.book.is_live(ACCOUNT)
    assert desk.judged() == ("proven", None)
    desk.book.feed(FeedState(ACCOUNT, "second", False, 22.0, "silent"))
    assert desk.judged() == ("unproven", "the feed of fills is down: silent")


def test_a_verdict_is_told_only_when_it_changes():
    desk = book_of("BTC long 1 @ 100", at=0)
    desk.book.set_freshness(ACCOUNT, Freshness(Age(0, 1), Age(0, 1), Age(0, 1)))

    assert [change.verdict for change in desk.book.judge()] == ["proven"]
    assert desk.book.judge() == []
    desk.book.set_freshness(ACCOUNT, Freshness(Age(0.5, 1), Age(1, 1), Age(0, 1)))
    assert desk.book.judge() == []
    desk.book.set_freshness(ACCOUNT, Freshness(Age(2, 1), Age(1, 1), Age(0, 1)))
    assert [change.verdict for change in desk.book.judge()] == ["stale"]


def test_accounts_can_be_added_and_let_go():
    desk = book_of("BTC long 1 @ 100")
    desk.book.watch([ACCOUNT, "second"])

    assert desk.book.accounts == (ACCOUNT, "second")
    assert desk.size() == 1
    desk.book.watch(["second"])
    assert desk.book.views() == []


# ---------------------------------------------------------------- recovery


def test_the_high_water_mark_is_the_last_fill_but_not_beyond_a_gap():
    desk = book_of("", at=0)
    assert desk.book.high_water_ms(ACCOUNT) == ms(0)
    desk.told(fill("tid=1 buy 1 BTC @ 1 at 30"))
    assert desk.book.high_water_ms(ACCOUNT) == ms(30)
    desk.told(fill("tid=2 buy 1 BTC @ 1 from 4 at 35"), fill("tid=3 buy 1 ETH @ 1 at 40"))
    assert desk.book.high_water_ms(ACCOUNT) == ms(30)


def test_a_restarted_book_takes_up_where_it_was():
    desk = book_of("ETH long 1 @ 10")
    desk.told(*chain("BTC 0: +1@100 = +1@101 = +1@102"))
    desk.funded("BTC", "1", 3600)
    again = desk.restarted()

    assert again.position() == desk.position()
    assert again.view().last_fill_ms == ms(0)
    assert again.told(*chain("BTC 0: +1@100 = +1@101 = +1@102 +1@103")) != []
    assert again.size() == 4
    assert again.funded("BTC", "1", 3600) == []
    assert again.position("ETH").entry_price == 10


def test_what_waits_behind_a_drift_and_may_be_newer_than_its_statement_is_not_forgotten_over_a_restart():
    """The statement is ahead of its time: it holds all up to 7, and of 5 and 6 it is not known."""
    desk = book_of("BTC long 1 @ 100")
    fills = chain("BTC 3: at 5 -2@110 at 6 +1@110")
    desk.told(*fills)
    desk.stated("BTC long 9 @ 105", at=5.5, fetched=-9999)
    desk.stated("BTC long 9 @ 105", at=7.5, fetched=-9999)
    assert (desk.size(), desk.filled()) == (9, {})

    again = desk.restarted()
    again.told(*fills)

    assert again.book.has_gap(ACCOUNT)
    again.stated("BTC long 9 @ 105", at=40, fetched=-9999)
    again.stated("BTC long 9 @ 105", at=43, fetched=-9999)
    assert again.filled() == dict.fromkeys(fills, 1)


def test_a_fill_that_a_drifts_statement_lags_behind_is_applied_after_a_restart():
    desk = book_of("BTC long 1 @ 100")
    desk.stated("BTC long 9 @ 105", at=2, fetched=-9999)
    desk.stated("BTC long 9 @ 105", at=7, fetched=-9999)
    assert desk.size() == 9

    again = desk.restarted()
    again.told(fill("tid=5 sell 4 BTC @ 100 from 9 at 6"))

    assert again.size() == 5


def test_a_book_that_took_a_drift_and_no_fill_is_not_as_first_stated_to_the_next_one():
    """What waits is of its time: to one that starts anew it would be history from before."""
    desk = book_of("BTC long 1 @ 100")
    fills = chain("BTC 3: at 5 -2@110 = +1@110")
    desk.told(*fills)
    for seconds in (5.5, 7.5):
        desk.stated("BTC long 9 @ 105", at=seconds, fetched=-9999)
    assert (desk.size(), desk.filled()) == (9, {})
    assert [memory.is_first for memory in desk.book.memories()] == [False]
    assert [memory.is_first for memory in book_of("BTC long 1 @ 100").book.memories()] == [True]

    again = desk.restarted()
    again.told(*fills)
    for seconds in (40, 43):
        again.stated("BTC long 9 @ 105", at=seconds, fetched=-9999)

    assert (again.size(), again.filled()) == (9, dict.fromkeys(fills, 1))


def test_it_is_known_up_to_when_the_first_statement_holds_fills():
    desk = Desk()
    desk.told(*chain("BTC 0: at 1 +1@100 at 2 +1@110"))
    desk.stated("BTC long 2 @ 105", at=4)
    assert desk.book.unreported_until_ms(ACCOUNT) == ms(2)

    assert book_of("BTC long 1 @ 100").book.unreported_until_ms(ACCOUNT) == 0
    assert desk.restarted().book.unreported_until_ms(ACCOUNT) == 0


def test_fills_that_look_later_than_the_statement_that_holds_them_stay_in_it_when_others_follow():
    """The first statement is ahead of its time: it says 0, and is of 2."""
    desk = book_of("BTC long 3 @ 100", at=0)
    desk.told(*chain("BTC 1: at 1 +2@110"))
    desk.stated("BTC long 3 @ 100", at=11.5, fetched=-9999)
    assert kinds(desk.stated("BTC long 3 @ 100", at=13.6, fetched=-9999)) == ["Healed"]

    # The first of the three is of our time, as it is later than the statement says: it is reported.
    assert kinds(desk.heard(*chain("BTC 3: at 14 -1@110 = -2@110"))) == ["Filled", "Filled", "Filled"]
    assert (desk.size(), desk.judged()) == (0, ("proven", None))


def test_a_payment_that_is_owed_is_booked_after_a_restart_though_a_later_one_was():
    desk = book_of("BTC long 1 @ 10")
    desk.funded("BTC", "2", 7200)
    again = desk.restarted()

    assert kinds(again.funded("BTC", "1", 3600)) == ["Funded"]
    assert again.funded("BTC", "2", 7200) == again.restarted().funded("BTC", "1", 3600) == []
    assert again.position().funding == 3


def test_a_restart_just_after_the_first_statement_places_fills_near_it_again():
    desk = Desk()
    fills = chain("BTC 0: +1@100 +1@110 +1@120")
    desk.told(*fills[:2])
    desk.stated("BTC long 2 @ 105", at=1.5)
    again = desk.restarted()
    again.told(*fills)

    assert again.size() == 3
    assert sum(again.filled().values()) == 1


def test_after_a_restart_a_lagging_statement_is_known_by_old_fills_that_come_again():
    desk = book_of("")
    fills = chain("BTC 0: +1@100 +2@100 +4@100")
    desk.told(*fills)
    again = desk.restarted()
    again.told(*fills)

    assert again.stated("BTC long 1 @ 100", at=5) == []


def test_a_round_trip_of_the_very_millisecond_of_the_restart_is_booked():
    desk = book_of("")
    fills = chain("BTC 0: +1@100 = +1@101 = -1@102 = +2@103")
    desk.told(fills[0], fills[3])
    again = desk.restarted()
    again.told(fills[1], fills[2])

    assert again.size() == 3
    assert again.position().fills == 4
    assert again.book.doubtful() == []


def lost_trip(text: str = "BTC 0: +2@100 at 10 +1@110 -1@120 at 20 +2@130") -> tuple[Desk, list[Fill]]:
    """A book over a restart, before which all fills but a round trip in their midst were taken."""
    desk = book_of("")
    fills = chain(text)
    desk.told(fills[0], *fills[3:])
    return desk.restarted(), fills


def test_a_round_trip_that_was_lost_before_a_restart_is_booked_once_when_it_is_fetched():
    again, fills = lost_trip()
    assert again.book.high_water_ms(ACCOUNT) == ms(20 - 60)

    assert [(change.fill, change.effect) for change in again.told(*fills)] == [
        (fills[1], None),
        (fills[2], None),
    ]
    assert again.told(*fills) == []
    assert again.position().size == 4
    assert again.position().fees == sum(one.fee for one in fills)
    assert again.position().closed_pnl == sum(one.closed_pnl for one in fills)
    assert again.position().fills == 4
    assert again.book.doubtful() == []
    twice = again.restarted()
    assert twice.told(*fills) == []
    assert twice.position() == again.position()


def test_what_waits_over_two_restarts_is_booked_after_the_second():
    again, fills = lost_trip()
    twice = again.restarted()

    assert sum(filled(twice.told(*fills)).values()) == 2
    assert twice.position().fills == 4


def test_after_a_round_trip_that_was_lost_before_a_restart_the_venues_entry_is_adopted_and_proven():
    again, fills = lost_trip("BTC 0: +2@100 at 10 -1@90 +1@130 at 20 +2@130")
    again.told(*fills)
    held = "BTC long 4 @ 122.5"

    [doubt] = again.stated(held, at=60)
    assert doubt.since_ms == ms(20 - 60 - 10)
    again.told(*fills)
    [adopted] = again.stated(held, at=63, fetched=-50)
    assert adopted.reason is AdoptionReason.ENTRY
    assert again.position().entry_price == Decimal("122.5")
    assert again.judged() == ("proven", None)
    assert sum(again.filled().values()) == 2


def test_half_of_a_round_trip_that_was_lost_before_a_restart_is_a_gap_until_the_other_half_comes():
    again, fills = lost_trip()

    assert kinds(again.told(fills[2])) == ["Gap"]
    assert again.book.doubtful() == [(ACCOUNT, ms(20 - 60))]
    assert kinds(again.told(fills[1])) == ["Filled", "Filled", "Healed"]
    assert again.size() == 4


def test_a_lost_round_trip_is_booked_though_the_last_millisecond_before_the_restart_goes_on():
    again, fills = lost_trip()
    more = fill("tid=9 buy 1 BTC @ 130 from 4 at 20")

    effects = {change.fill.trade_id: change.effect for change in again.told(*fills, more)}
    assert effects == {2: None, 3: None, 9: FillEffect.ADDED}
    assert again.size() == 5


def test_what_is_older_than_the_window_before_a_restart_is_history():
    again, fills = lost_trip("BTC 0: +2@100 at 10 +1@110 -1@120 at 72 +2@130")

    assert again.book.high_water_ms(ACCOUNT) == ms(12)
    assert again.told(*fills) == []
    assert again.book.doubtful() == []


def test_nothing_is_remembered_from_before_the_statement_that_began_it():
    desk = book_of("BTC long 1 @ 100", at=0)
    desk.told(*chain("BTC 1: at 20 +1@100"))
    assert [memory.known_ms for memory in desk.book.memories()] == [ms(0)]

    lagging = book_of("BTC long 1 @ 100", at=0)
    lagging.told(*chain("BTC 1: at -5 +1@100 at 20 +1@100"))
    assert [memory.known_ms for memory in lagging.book.memories()] == [ms(-5)]

    drifted = gapped()
    drifted.stated("BTC long 7 @ 118", at=10)
    drifted.stated("BTC long 7 @ 118", at=20, fetched=-9999)
    drifted.told(*chain("BTC 7: at 40 +1@100"))
    assert [memory.known_ms for memory in drifted.book.memories()] == [ms(5)]  # it may lag


def test_a_fill_that_looks_later_than_the_first_statement_but_is_in_it_is_history_after_a_restart():
    desk = book_of("BTC long 1 @ 100", at=0)
    inside = fill("tid=1 buy 1 BTC @ 100 from 0 at 0.5")
    desk.told(inside)
    desk.stated("BTC long 1 @ 100", at=10)
    desk.stated("BTC long 1 @ 100", at=20, fetched=-9999)
    desk.told(*chain("BTC 1: at 30 +1@100"))

    again = desk.restarted()
    assert again.told(inside) == []
    assert again.book.doubtful() == []


def test_of_many_fills_the_last_two_hundred_are_remembered_in_whole_milliseconds():
    desk = book_of("")
    fills = chain("BTC 0: " + " ".join(["+1@100"] * 150))
    quick = [replace(one, time_ms=ms(number // 3)) for number, one in enumerate(fills)]
    quick += [
        fill(f"tid={number} buy 1 BTC @ 100 from {number} at {50 + number // 3 / 100}")
        for number in range(150, 500)
    ]
    desk.told(*quick)
    [memory] = desk.book.memories()

    assert len(memory.seen) == 200
    assert set(memory.seen) == {one.identity for one in quick if one.time_ms >= memory.known_ms}
    assert desk.restarted().told(*quick) == []


def test_all_fills_of_the_last_millisecond_are_remembered_however_many():
    desk = book_of("")
    fills = at(chain("BTC 0: " + " ".join(["+1@100"] * 300)), 5)
    desk.told(*chain("BTC 0: at 1 +1@100 -1@100"), *fills)

    assert len(desk.book.memories()[0].seen) == 300
    assert desk.restarted().told(*fills) == []


def test_a_drift_soon_after_a_restart_books_no_fill_again_that_is_older_than_what_is_remembered():
    desk = book_of("")
    fills = [fill(f"tid={n + 1} buy 1 BTC @ 100 from {n} at {n / 100} fee 0.1") for n in range(300)]
    desk.told(*fills)
    again = desk.restarted()
    again.stated("BTC long 900 @ 100", at=8)
    assert kinds(again.stated("BTC long 900 @ 100", at=12, fetched=-9999)) == ["Drift", "Adopted"]

    assert again.told(*fills) == []
    assert again.position().fills == 300


def test_what_was_lost_before_a_restart_is_no_drift_when_the_venue_agrees():
    desk = book_of("")
    fills = chain("BTC 0: +1@100 = +1@101 = -1@102 = +2@103")
    desk.told(fills[0], fills[3])
    again = desk.restarted()
    again.told(fills[1])
    again.stated("BTC long 3 @ 102", at=10)

    assert kinds(again.stated("BTC long 3 @ 102", at=20, fetched=-9999)) == ["Filled", "Healed"]
    assert not again.of(Drift)


def test_a_gap_after_a_restart_is_a_gap():
    desk = book_of("")
    desk.told(*chain("BTC 0: +1@100"))
    again = desk.restarted()
    again.told(fill("tid=9 buy 1 BTC @ 1 from 5 at 9"))
    again.stated("BTC long 1 @ 100", at=10)

    assert kinds(again.stated("BTC long 1 @ 100", at=20, fetched=-9999))[0] == "Drift"


def test_an_adopted_position_survives_a_restart():
    desk = gapped()
    desk.stated("BTC long 7 @ 118", at=10)
    desk.stated("BTC long 7 @ 118", at=20, fetched=-9999)
    again = desk.restarted()

    assert again.position() == desk.position()
    assert again.told(*chain("BTC 3: -1@110 +5@120")) == []
    assert desk.of(Adopted)


def test_a_memory_of_an_account_no_longer_watched_is_let_go():
    desk = book_of("BTC long 1 @ 100")
    book = Book(["other"])
    book.recall(desk.book.memories(), desk.book.base_ms())

    assert book.views() == []


def test_statements_name_their_positions_by_key():
    assert statement("BTC long 1 @ 5").positions == (StatedPosition(key("BTC"), Decimal(1), Decimal(5)),)


# ------------------------------------------------------------------ what is not whole


def feed(live: bool, at_s: float, name: str = "first") -> FeedState:
    return FeedState("main", name, live, at_s, "lost")


def test_an_outage_holds_the_high_water_mark_until_a_feed_is_live_again():
    desk = book_of("BTC long 1 @ 100")
    desk.told(*chain("BTC 1: +1@100"))
    known_ms = desk.book.high_water_ms("main")
    desk.book.feed(feed(False, 50.0))
    desk.told(fill("tid=7 buy 1 BTC @ 100 from 2 at 500"))

    assert desk.book.high_water_ms("main") == known_ms
    assert desk.book.unsure() == {"main": {"": known_ms}}

    desk.book.feed(feed(True, 60.0))
    assert desk.book.unsure() == {"main": {}}
    assert (desk.book.high_water_ms("main") or 0) > (known_ms or 0)


def test_what_was_unsure_is_unsure_after_a_restart_and_only_for_whom_is_watched():
    desk = book_of("BTC long 1 @ 100")
    book = Book(["main"])
    book.recall(desk.book.memories(), desk.book.base_ms(), {"main": {key("ETH"): 7}, "other": {"": 5}})

    assert book.high_water_ms("main") == 7
    assert book.has_recalled_gap("main")
    book.feed(feed(True, 60.0))
    assert not book.has_recalled_gap("main")


def test_nothing_is_taken_behind_a_gap_though_it_would_fit():
    desk = book_of("")
    desk.told(*chain("BTC 0: +1@100 -1@100"))
    desk.told(fill("tid=8 sell 2 BTC @ 500 from 2 at 60"))
    desk.told(fill("tid=9 buy 1 BTC @ 100 from 0 at 61"))
    assert desk.size() == 0

    desk.told(fill("tid=7 buy 2 BTC @ 900 from 0 at 59"))

    assert desk.size() == 1
    assert desk.filled().total() == 5


def test_a_mark_that_a_statement_implies_counts_where_the_price_feed_is_quiet():
    desk = book_of("")
    told = chain("BTC 0: +1@100")
    desk.told(*told)
    desk.book.mark(Marks({key("BTC"): Decimal(100)}, heard_s=1000.0))

    def implied(mark: str, asked_s: float) -> Decimal | None:
        stated = (StatedPosition(key("BTC"), Decimal(1), Decimal(100), mark_price=Decimal(mark)),)
        desk.book.reconcile(Statement("main", "hyperliquid", told[0].time_ms + 60_000, asked_s, stated))
        return desk.view().mark

    assert implied("150", 1010.0) == 100  # the feed was heard just now
    assert implied("100.00001", 1020.0) == 100  # no more than rounding
    assert implied("150", 1030.0) == 150
    assert implied("151", 1031.0) == 150


def test_the_maintenance_margin_is_that_of_the_present_size_and_mark_by_the_tiers():
    desk = Desk()
    tiers = (Tier(Decimal(0), Decimal(10)), Tier(Decimal(1000), Decimal(5)))

    def stated(size, at, greatest=10):
        row = StatedPosition(key("BTC"), Decimal(size), Decimal(90), Decimal(100), Decimal(7))
        row = replace(row, max_leverage=Decimal(greatest), margin_mode=MarginMode.ISOLATED)
        desk.book.reconcile(replace(statement("", at=at), positions=(row,)))
        return desk.view()

    before = stated("-5", 1)
    desk.book.note_margin_tables(MarginTables("", {key("BTC"): MarginTable(tiers)}))

    assert before.maintenance_margin is None  # its tiers were not known
    assert replace(desk.view(), mark=None).maintenance_margin is None
    assert (before.margin_mode, before.max_leverage) == (MarginMode.ISOLATED, 10)
    assert desk.view().maintenance_margin == 25
    desk.heard(fill("tid=1 sell 5 BTC @ 100 from -5 at 2"))
    desk.book.mark(Marks({key("BTC"): Decimal(200)}, 2.0))
    assert desk.view().maintenance_margin == 50 + 100
    assert stated("-10", 3, greatest=5).maintenance_margin == 150
    assert stated("-10", 4, greatest=50).maintenance_margin is None  # terms of its own
    desk.heard(fill("tid=2 buy 10 BTC @ 100 from -10 at 5"))
    assert desk.view().maintenance_margin is None  # flat


@pytest.mark.parametrize(
    ("size", "mark", "price", "distance"),
    [
        ("2", "100", "80", "0.2"),
        ("-2", "100", "125", "0.25"),
        ("2", "100", "105", "-0.05"),  # beyond it
        ("-2", "100", "90", "-0.1"),
        ("2", "100", None, None),
        ("2", None, "80", None),
        ("0", "100", "80", None),
    ],
)
def test_the_distance_to_liquidation_is_a_fraction_of_the_mark_and_negative_beyond(
    size, mark, price, distance
):
    held = Position(size=Decimal(size))
    marked = None if mark is None else Decimal(mark)
    liquidation = None if price is None else Decimal(price)
    shown = View(ACCOUNT, key("BTC"), held, marked, Verdict.PROVEN, None, None, None, liquidation, None)

    assert shown.liquidation_distance == (None if distance is None else Decimal(distance))


def test_margin_and_liquidation_price_are_of_the_stated_size():
    desk = book_of("")
    told = chain("BTC 0: +1@100")
    desk.told(*told)
    one = StatedPosition(
        key("BTC"),
        Decimal(1),
        Decimal(100),
        margin_used=Decimal(9),
        liquidation_price=Decimal(8),
        leverage=Decimal(7),
    )
    desk.book.reconcile(Statement("main", "hyperliquid", told[0].time_ms + 60_000, 2e9, (one,)))
    assert (desk.view().margin_used, desk.view().liquidation_price, desk.view().leverage) == (9, 8, 7)

    desk.told(fill("tid=9 sell 3 BTC @ 100 from 1 at 90"))

    assert (desk.view().margin_used, desk.view().liquidation_price, desk.view().leverage) == (None, None, 7)


def test_an_account_is_in_doubt_while_one_of_its_coins_is():
    desk = book_of("BTC long 1 @ 100")
    desk.told(fill("tid=9 buy 1 ETH @ 100 from 5 at 9"))
    desk.judged("ETH")

    assert desk.view("ETH").in_doubt
    assert "ETH" in (desk.book.account("main").reason or "")


# ------------------------------------------------------- a server that is far behind

HOUR = 3600


def test_a_statement_from_long_before_the_last_fill_is_no_evidence_of_anything():
    desk = book_of("BTC long 1 @ 100", at=0)
    desk.told(*chain("BTC 1: at 10 +1@110"))
    desk.stated("BTC long 2 @ 105", at=60)

    assert desk.stated("BTC long 7 @ 105", at=60 - HOUR, asked=61) == []
    assert desk.stated("BTC long 7 @ 105", at=65 - HOUR, asked=66, fetched=-9999) == []
    assert desk.judged() == ("proven", None)
    assert desk.size() == 2


def test_whether_a_statement_says_anything_is_known_before_it_is_taken():
    desk = book_of("BTC long 1 @ 100", at=0)
    desk.told(*chain("BTC 1: at 10 +1@110"))
    desk.stated("BTC long 2 @ 105", at=60)
    later, behind = statement("BTC long 2 @ 105", at=61), statement("BTC long 7 @ 105", at=61 - HOUR)

    assert [desk.book.takes(one) for one in (later, behind)] == [True, False]
    assert not desk.book.takes(replace(later, account="a stranger"))
    assert not desk.book.takes(replace(later, asked_s=0.0))


def test_fills_of_long_before_are_history_whatever_a_statement_says():
    desk = book_of("BTC long 1 @ 100", at=0)
    old = chain("BTC 1: at 10 +1@110 -1@120 +1@110")
    desk.told(*old)
    desk.told(*chain(f"BTC 2: at {HOUR} +1@120"))
    desk.stated("BTC long 2 @ 105", at=20, asked=HOUR + 1)

    assert desk.told(*old) == []
    assert desk.size() == 3


def test_a_payment_that_comes_after_a_later_one_is_booked_and_each_once():
    desk = book_of("BTC long 1 @ 100", at=0)

    assert kinds(desk.funded("BTC", "3", 7200)) == ["Funded"]
    assert kinds(desk.funded("BTC", "2", 3600)) == ["Funded"]
    assert desk.funded("BTC", "3", 7200) == desk.funded("BTC", "2", 3600) == []
    assert desk.position().funding == 5
    for hour in range(3, 200):
        desk.funded("BTC", "1", hour * 3600)
    assert desk.funded("BTC", "2", 3600) == []
    assert desk.position().funding == 5 + 197

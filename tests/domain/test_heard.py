"""Fills that come live around an account's first statement: told like any other, once, and in their order."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.changes import Adopted, AdoptionReason, Change, Drift, Filled
from hlposmon.domain.reports import Fill
from tests.domain.language import ACCOUNT, Desk, book_of, chain, fill, key, kinds, ms, near, statement


def told(changes: list[Change]) -> list[tuple[int | None, str | None, Decimal, bool]]:
    """Of each fill that was told its number, its effect, the size told with it, and whether it was late."""
    return [
        (one.fill.trade_id, one.effect and one.effect.value, one.position.size, one.late)
        for one in changes
        if isinstance(one, Filled)
    ]


def heard_then_stated(text: str, stated: str, *, at: float = 10) -> tuple[Desk, list[Fill]]:
    """A desk that heard these fills live, and then the first statement."""
    desk, fills = Desk(), chain(text)
    assert desk.heard(*fills) == []
    desk.stated(stated, at=at)
    return desk, fills


def entry_at_start(text: str, stated: str) -> Decimal | None:
    """The entry price that the position had before these fills, as the start tells it."""
    desk, _ = heard_then_stated(text, stated)
    [start] = desk.of(Adopted)
    assert isinstance(start, Adopted)
    return start.position.entry_price


# ----------------------------------------------------------- before the first statement


def test_fills_that_come_live_before_the_first_statement_are_told_in_their_order():
    desk, _ = heard_then_stated("BTC 1: +1@110 -1@120 +2@130", "BTC long 3 @ 120")

    start, *after = desk.said
    assert isinstance(start, Adopted)
    assert (start.reason, start.before.size, start.position.size) == (AdoptionReason.START, 0, 1)
    assert told(after) == [(1, "added", 2, False), (2, "reduced", 1, False), (3, "added", 3, False)]
    assert desk.position().entry_price == 120
    assert desk.position().fees == Decimal("0.006")
    assert desk.position().closed_pnl == 6
    assert desk.position().fills == 3
    assert desk.judged() == ("proven", None)


def test_they_are_told_though_they_are_much_older_than_the_statement():
    desk, fills = heard_then_stated("BTC 0: at -900 +1@100 at -60 +1@110 at -1 +1@120", "BTC long 3 @ 110")

    assert [number for number, *_ in told(desk.said)] == [1, 2, 3]
    assert desk.book.base_ms() == {ACCOUNT: {"": ms(10)}}
    assert desk.told(*fills) == desk.heard(*fills) == []


def test_a_position_that_was_opened_and_closed_before_a_flat_statement_is_told():
    desk, _ = heard_then_stated("BTC 0: +2@100 -2@110", "")

    assert kinds(desk.said) == ["Filled", "Filled"]
    assert told(desk.said) == [(1, "opened", 2, False), (2, "closed", 0, False)]
    assert desk.position().realized == 20
    assert desk.judged() == ("proven", None)


def test_a_position_that_was_opened_just_after_a_flat_statement_is_told():
    desk, _ = heard_then_stated("BTC 0: at 11 +2@100", "")

    assert told(desk.said) == [(1, "opened", 2, False)]
    assert desk.judged() == ("proven", None)


def test_what_was_fetched_is_history_up_to_the_first_live_fill_of_its_coin():
    desk, fills = Desk(), chain("BTC 0: +1@100 +1@110 +1@120 +1@130")
    desk.told(*fills[:2])
    desk.heard(fills[2])
    desk.told(fills[3], *chain("ETH 0: at 2 +1@10"))
    desk.stated("BTC long 4 @ 115, ETH long 1 @ 10", at=5)

    assert told(desk.said) == [(3, "added", 3, False), (4, "added", 4, False)]
    assert desk.told(*fills) == []
    assert desk.size("ETH") == 1


@pytest.mark.parametrize("order", ["heard first", "fetched first", "heard twice"])
def test_a_fill_that_comes_both_ways_is_told_once(order):
    desk, fills = Desk(), chain("BTC 0: +1@100 +1@110")
    first, second = {
        "heard first": (desk.heard, desk.told),
        "fetched first": (desk.told, desk.heard),
        "heard twice": (desk.heard, desk.heard),
    }[order]
    first(*fills)
    second(*fills)
    desk.stated("BTC long 2 @ 105", at=5)

    assert told(desk.said) == [(1, "opened", 1, False), (2, "added", 2, False)]
    assert desk.position().fills == 2


def test_fills_of_two_feeds_that_lost_some_and_came_out_of_order_are_told_in_their_order():
    desk, fills = Desk(), chain("BTC 0: at 1 +1@100 = +2@101 at 3 -1@102 at 4 +3@103 at 5 -5@104 +1@105")
    desk.heard(fills[2], fills[4])
    desk.heard(fills[0], fills[1], fills[4])
    desk.heard(fills[3])
    desk.told(*fills)
    desk.stated("BTC long 1 @ 105", at=7)

    assert [number for number, *_ in told(desk.said)] == [1, 2, 3, 4, 5, 6]
    assert desk.judged() == ("proven", None)


def test_fills_that_the_first_statement_lacks_go_on_from_it():
    desk, _ = heard_then_stated("BTC 1: at 9 +1@110 at 10 +2@120", "BTC long 2 @ 105", at=9.5)

    assert told(desk.said) == [(1, "added", 2, False), (2, "added", 4, False)]
    assert desk.position().entry_price == Decimal("112.5")


def test_what_was_fetched_counts_from_the_first_statement_on_though_something_was_heard_only_later():
    # The statement is held back until a feed is up.
    desk, fills = Desk(), chain("BTC 1: at 8 +1@100 at 12 +1@100 at 13 +1@100")
    desk.told(*fills[:2])
    desk.heard(fills[2])
    desk.stated("BTC long 2 @ 100", at=10)

    assert [number for number, *_ in told(desk.said)] == [2, 3]
    assert desk.size() == 4


def test_a_round_trip_of_the_first_millisecond_begins_as_it_was_given_whole():
    desk, fills = Desk(), chain("BTC 0: at 5 +1@100 = +1@110 = -2@120")
    desk.told(fills[2])
    desk.heard(*fills)
    desk.stated("", at=7)

    assert told(desk.said) == [(1, "opened", 1, False), (2, "added", 2, False), (3, "closed", 0, False)]
    assert desk.judged() == ("proven", None)


# ------------------------------------------------------------------ what it had cost


@pytest.mark.parametrize(
    ("text", "stated", "entry"),
    [
        ("BTC 2: +1@120", "BTC long 3 @ 110", "105"),
        ("BTC -2: -1@120", "BTC short 3 @ 110", "105"),
        ("BTC 3: -1@120", "BTC long 2 @ 110", "110"),
        ("BTC -3: +1@90", "BTC short 2 @ 110", "110"),
        ("BTC 2: +2@120 -1@130", "BTC long 3 @ 110", "100"),
        # What was closed had cost what follows from the venue's profit, here 1.
        ("BTC 2: -2@120", "", "119.5"),
        ("BTC -2: +2@120", "", "120.5"),
        ("BTC 2: -3@120", "BTC short 1 @ 120", "119.5"),
        ("BTC 2: -2@120 +4@90", "BTC long 4 @ 90", "119.5"),
        # The statement stands before all of them, or lacks the last one.
        ("BTC 2: at 12 +1@120", "BTC long 2 @ 100", "100"),
        ("BTC 2: +1@120 at 24 -3@90", "BTC long 3 @ 110", "105"),
    ],
)
def test_what_a_position_had_cost_before_live_fills_is_worked_back_from_the_statement(text, stated, entry):
    assert entry_at_start(text, stated) == Decimal(entry)


def test_the_statements_entry_price_is_met_to_the_last_digit():
    desk, _ = heard_then_stated("BTC 7: -1@110 -2@120 +3@130 at 20 -1@140", "BTC long 7 @ 113.37", at=10)

    prices = [one.position.entry_price for one in desk.of(Filled) if isinstance(one, Filled)]
    assert prices[2] == prices[3] == Decimal("113.37")
    assert desk.position().cost == 6 * Decimal("113.37")


def test_what_live_fills_have_opened_costs_what_they_tell():
    desk, _ = heard_then_stated("BTC 0: +1@100 +1@110 +1@120", "BTC long 3 @ 109.9 ~ 1")

    assert desk.position().entry_price == 110


def test_of_a_statement_without_an_entry_price_the_mark_is_taken():
    assert entry_at_start("BTC 1: +1@110", "BTC long 2 @ ? mark 120") == 130


@pytest.mark.parametrize(
    ("text", "stated", "entry"),
    [
        ("BTC 2: +1@120 -1@120", "BTC long 9 @ 110", "117"),  # from 3 @ 118, as the second gained 2
        ("BTC 2: +1@120", "BTC long 9 @ 110", "110"),
        ("BTC 2: +1@120", "", "120"),
        ("BTC 2: +1@120", "BTC long 3 @ ?", "120"),
    ],
)
def test_what_it_had_cost_is_guessed_if_the_statement_does_not_tell(text, stated, entry):
    assert entry_at_start(text, stated) == Decimal(entry)


def test_a_cost_that_was_guessed_is_corrected_by_a_later_statement():
    desk, _ = heard_then_stated("BTC 2: +1@120", "BTC long 9 @ 110")
    desk.heard(fill("tid=9 buy 6 BTC @ 110 from 3 at 9"))
    assert desk.judged() == ("proven", None)

    desk.stated("BTC long 9 @ 108", at=30)
    assert desk.judged()[0] == "unproven"
    [adopted] = desk.stated("BTC long 9 @ 108", at=33, fetched=-9999)
    assert (adopted.reason, adopted.position.entry_price) == (AdoptionReason.ENTRY, 108)


# ------------------------------------------------------------ where the chain is not whole


def test_a_first_statement_that_is_ahead_of_the_live_fills_is_doubted_until_they_come():
    desk, _ = heard_then_stated("BTC 0: at 9 +1@100", "BTC long 3 @ 100")

    assert kinds(desk.said) == ["Filled", "Doubt"]
    assert desk.book.doubtful() == [(ACCOUNT, ms(9 - 10))]
    assert desk.judged()[0] == "unproven"
    desk.heard(fill("tid=2 buy 2 BTC @ 100 from 1 at 9.5"))
    assert desk.judged() == ("proven", None)
    assert [number for number, *_ in told(desk.said)] == [1, 2]


def test_a_first_push_that_differs_is_doubted_at_once():
    desk = Desk()
    desk.heard(*chain("BTC 0: at 9 +1@100"))
    said = replace(statement("BTC long 3 @ 100", at=10), pushed=True)

    assert kinds(desk.book.reconcile(said)) == ["Filled", "Doubt"]
    assert desk.judged()[0] == "unproven"


def test_what_two_feeds_lost_before_the_first_statement_is_a_gap_until_it_is_fetched():
    desk, fills = Desk(), chain("BTC 0: +1@100 +1@110 +1@120")
    desk.heard(fills[0], fills[2])
    desk.stated("BTC long 3 @ 110", at=5)

    assert kinds(desk.said) == ["Filled", "Gap", "Doubt"]
    assert kinds(desk.told(*fills)) == ["Filled", "Filled", "Healed"]
    assert [number for number, *_ in told(desk.said)] == [1, 2, 3]
    assert desk.judged() == ("proven", None)


def test_what_was_lost_before_the_first_statement_and_cannot_be_had_is_a_drift_and_no_fill_is_lost():
    desk = Desk()
    first, _, last = chain("BTC 0: +1@100 +1@110 +1@120")
    desk.heard(first, last)
    desk.stated("BTC long 3 @ 110", at=5)

    assert kinds(desk.stated("BTC long 3 @ 110", at=10, fetched=-9999)) == ["Drift", "Adopted", "Filled"]
    assert told(desk.said) == [(1, "opened", 1, False), (3, None, 3, False)]
    assert desk.position().entry_price == 110


# --------------------------------------------------------- a stream slower than the statement


def test_a_live_fill_that_the_first_statement_holds_already_is_told_with_what_it_did():
    desk = book_of("BTC long 3 @ 110", at=0)

    [one] = desk.heard(fill("tid=7 buy 1 BTC @ 120 from 2 at -1 fee 0.5"))
    assert told([one]) == [(7, "added", 3, False)]
    assert desk.position().entry_price == 110
    assert (desk.position().fees, desk.position().fills) == (Decimal("0.5"), 1)
    assert told(desk.heard(fill("tid=8 buy 1 BTC @ 114 from 3 at 1"))) == [(8, "added", 4, False)]
    assert desk.position().entry_price == 111


def test_a_round_trip_that_the_first_statement_holds_already_is_told():
    desk = book_of("", at=0)
    opened, closed, after = chain("BTC 0: at -2 +1@100 at -1 -1@105 at 5 +1@90")
    desk.heard(opened, closed)
    desk.heard(after)

    assert told(desk.said) == [(1, "opened", 1, False), (2, "closed", 0, False), (3, "opened", 1, False)]
    assert desk.position().realized == 5


def test_live_fills_that_come_later_than_those_after_them_are_told_late_with_what_they_earned():
    desk = book_of("BTC long 1 @ 100", at=0)
    early, late = chain("BTC 3: at -2 -2@130 at 4 -1@120")
    desk.heard(late)
    assert desk.position().realized == 20

    assert told(desk.heard(early)) == [(1, "reduced", 0, True)]
    assert desk.position().realized == 20 + 60
    assert desk.position().fees == early.fee + late.fee
    assert desk.position().size == 0
    # What comes between them later finds the sums as they are.
    trip = [replace(one, time_ms=ms(1)) for one in chain("BTC 1: +1@120 -1@130")]
    assert told(desk.heard(*[replace(one, trade_id=9) for one in trip])) == [
        (9, "added", 0, True),
        (9, "reduced", 0, True),
    ]
    assert desk.position().realized == 60 + 20 + 10


def test_live_fills_that_came_before_all_others_are_told_late_when_they_lead_up_to_them():
    desk, fills = Desk(), chain("BTC 0: at 1 +1@100 +1@110 +1@120")
    desk.told(fills[0], fills[1])
    desk.heard(fills[2])
    desk.stated("BTC long 3 @ 110", at=5)
    assert told(desk.said) == [(3, "added", 3, False)]

    assert told(desk.heard(fills[0])) == [(1, "opened", 3, True), (2, "added", 3, True)]
    assert desk.position().entry_price == 110
    assert desk.position().fills == 3
    assert desk.heard(*fills) == []


def test_a_live_fill_that_does_not_lead_up_to_the_statement_waits_for_the_one_between():
    desk = book_of("BTC long 3 @ 110", at=0)
    first, between = chain("BTC 1: at -3 +1@110 at -2 +1@120")

    assert kinds(desk.heard(first)) == ["Gap"]
    said = desk.told(between)
    assert (told(said[:2]), kinds(said[2:])) == (
        [(1, "added", 2, False), (2, "added", 3, False)],
        ["Healed"],
    )
    assert desk.position().entry_price == 110
    assert desk.book.doubtful() == []


def test_of_the_first_millisecond_a_fill_may_come_later_than_its_fellows():
    desk, fills = Desk(), chain("BTC 0: at 5 +1@100 = +1@110 = +1@120")
    desk.heard(fills[1], fills[2])
    desk.stated("BTC long 3 @ 110", at=6)

    assert told(desk.told(fills[0])) == [(1, "opened", 3, True)]
    assert desk.position().fills == 3
    assert desk.judged() == ("proven", None)


def test_a_live_fill_that_looks_later_than_the_first_statement_but_is_in_it_is_told_when_that_is_sure():
    desk = book_of("BTC long 1 @ 100", at=0)
    assert kinds(desk.heard(fill("tid=1 buy 1 BTC @ 100 from 0 at 0.5"))) == ["Gap"]
    desk.stated("BTC long 1 @ 100", at=10)

    said = desk.stated("BTC long 1 @ 100", at=20, fetched=-9999)
    assert kinds(said) == ["Filled", "Healed"]
    assert told(said) == [(1, "opened", 1, False)]
    assert desk.size() == 1


def test_a_live_fill_of_which_nothing_could_be_said_is_booked_when_a_drift_ends_the_doubt():
    desk = book_of("BTC long 3 @ 110", at=0)
    desk.heard(fill("tid=1 buy 1 BTC @ 100 from 1 at -3 fee 0.5"))
    desk.stated("BTC long 5 @ 110", at=20)
    said = desk.stated("BTC long 5 @ 110", at=30, fetched=-9999)

    assert kinds(said) == ["Drift", "Adopted", "Filled"]
    assert told(said) == [(1, None, 5, False)]
    assert desk.position().fees == Decimal("0.5")


def test_a_fill_that_the_chain_goes_on_with_after_all_was_not_in_the_statement():
    # Flat at -9, and flat again at 5: the statement is of then, and the fills behind it are a second gap.
    desk = book_of("", at=0)
    trip, lost, after = chain("BTC 3: at -9 -3@100 at 1 +1@90 +1@95")
    desk.heard(trip, after)

    assert told(desk.said) == [(1, "closed", 0, False)]
    assert kinds(desk.said) == ["Filled", "Gap"]
    assert kinds(desk.heard(lost)) == ["Filled", "Filled", "Healed"]
    assert desk.size() == 2


# ------------------------------------------------------------------------- restarts


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("BTC 1: at 5 +1@110 -1@120 +2@130", "BTC long 3 @ 120"),
        ("BTC 1: at -300 +1@110 at -100 -1@120 at 4 +2@130", "BTC long 3 @ 120"),
        ("BTC 0: at 5 +2@100 -2@110", ""),
        ("BTC 2: at 5 +2@100 -4@110", ""),
        ("BTC 2: at 5 +2@100", "BTC long 9 @ 100"),
    ],
)
def test_a_restart_right_after_the_start_tells_no_fill_again_and_loses_none(text, stated):
    desk, fills = heard_then_stated(text, stated)
    again = desk.restarted()
    more = fill(f"tid=99 buy 1 BTC @ 100 from {fills[-1].end_position} at 11")
    again.told(*chain("BTC 7: at -400 +1@90"), *fills)
    again.heard(*fills, more)

    assert [number for number, *_ in told(again.said)] == [99]
    assert again.size() == fills[-1].end_position + 1
    assert again.position().fills == len(fills) + 1
    assert near(again.position().realized, desk.position().realized)
    assert again.book.high_water_ms(ACCOUNT) == ms(11)


def test_a_restart_after_a_live_fill_that_the_statement_held_tells_it_no_more():
    desk = book_of("BTC long 3 @ 110", at=0)
    one, after = chain("BTC 2: at -1 +1@120 at 5 +1@110")
    desk.heard(one)
    again = desk.restarted()

    assert again.position() == desk.position()
    assert told(again.heard(one, after)) == [(2, "added", 4, False)]


def test_nothing_more_is_remembered_of_what_was_heard_once_the_start_is_long_ago():
    desk, _ = heard_then_stated("BTC 0: +1@100", "BTC long 1 @ 100")
    for number in range(300):
        desk.heard(fill(f"tid={number + 9} buy 1 BTC @ 100 from {number + 1} at {20 + number}"))
    late = fill("tid=5 buy 1 BTC @ 100 from 0 at 0.5")

    assert desk.heard(late) == []
    assert desk.of(Drift) == []
    assert desk.view().key == key("BTC")

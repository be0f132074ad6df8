"""What a pushed state means: it is compared at once, proves like any statement, and confirms no drift."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.changes import Doubt, Drift
from tests.domain.language import ACCOUNT, Desk, book_of, chain, fill, key, kinds, ms, statement


def push(desk: Desk, text: str, *, at: float, heard: float | None = None, equity: str = "1000"):
    said = statement(text, at=at, asked=at if heard is None else heard)
    return desk._heard(desk.book.reconcile(replace(said, pushed=True, equity=Decimal(equity))))


def quiet(text: str) -> Desk:
    """A book that has been quiet since its account was stated and pushed alike."""
    desk = book_of(text)
    push(desk, text, at=0)
    return desk


def test_a_push_that_disagrees_is_doubted_at_once_and_only_once():
    desk = quiet("BTC long 1 @ 100")

    assert push(desk, "BTC long 3 @ 100", at=1) == [
        Doubt(ACCOUNT, key("BTC"), Decimal(1), Decimal(3), ms(-10))
    ]
    assert [push(desk, "BTC long 3 @ 100", at=at) for at in (2, 3, 4, 5)] == [[]] * 4
    assert desk.judged() == ("unproven", "the venue states 3, the book has 1; asking again")
    assert desk.book.doubtful() == [(ACCOUNT, ms(-10))]


def test_a_push_starts_an_account_and_proves_it():
    desk = Desk()

    assert kinds(push(desk, "BTC long 1 @ 100", at=5)) == ["Adopted"]
    push(desk, "BTC long 1 @ 100", at=6)
    assert desk.judged() == ("proven", None)


def test_pushes_alone_never_confirm_a_drift():
    desk = quiet("BTC long 1 @ 100")
    for at in range(1, 100):
        push(desk, "BTC long 3 @ 100", at=at)

    assert not desk.of(Drift)
    assert desk.size() == 1


def test_after_a_push_two_answers_confirm_and_pushes_between_them_do_not_hinder():
    desk = quiet("BTC long 1 @ 100")
    for at in range(1, 4):
        push(desk, "BTC long 3 @ 100", at=at)
    assert kinds(desk.stated("BTC long 3 @ 100", at=4, fetched=-9999)) == ["Doubt"]
    for at in range(5, 8):
        push(desk, "BTC long 3 @ 100", at=at)
    push(desk, "BTC long 8 @ 100", at=8)

    assert kinds(desk.stated("BTC long 3 @ 100", at=7.5, fetched=-9999)) == ["Drift", "Adopted"]
    assert push(desk, "BTC long 3 @ 100", at=9) == []
    assert desk.judged() == ("proven", None)


def test_an_answer_that_was_asked_for_before_a_push_was_heard_counts_all_the_same():
    desk = quiet("BTC long 1 @ 100")
    push(desk, "BTC long 3 @ 100", at=10, equity="7")

    assert kinds(desk.stated("BTC long 3 @ 100", at=9)) == ["Doubt"]
    assert desk.book.account(ACCOUNT).equity == 7
    assert desk.book.statement_asked_s(ACCOUNT) == 10
    assert kinds(desk.stated("BTC long 3 @ 100", at=12, fetched=-9999)) == ["Drift", "Adopted"]


def test_the_fills_that_a_push_was_ahead_of_explain_it():
    desk = quiet("BTC long 1 @ 100")
    lost, after = chain("BTC 1: at 3 +2@100 -1@100")
    push(desk, "BTC long 3 @ 100", at=3.5)

    desk.told(lost)
    assert desk.judged() == ("proven", None)
    desk.told(after)
    assert push(desk, "BTC long 2 @ 100", at=5) == []


def test_while_fills_come_in_a_push_may_be_ahead_of_them_and_the_next_one_tells():
    desk = quiet("BTC long 1 @ 100")
    first, second = chain("BTC 1: at 1 +1@100 +1@100")
    desk.told(first)

    assert push(desk, "BTC long 3 @ 100", at=2.1) == []
    assert desk.judged() == ("proven", None)
    assert kinds(push(desk, "BTC long 3 @ 100", at=3.1)) == ["Doubt"]
    desk.told(second)
    assert desk.judged() == ("proven", None)


def test_a_push_that_was_ahead_of_fills_which_then_came_leaves_no_trace():
    desk = quiet("BTC long 1 @ 100")
    fills = chain("BTC 1: at 1 " + " ".join(["+1@100"] * 20))
    for number, one in enumerate(fills, start=1):
        push(desk, f"BTC long {number + 1} @ 100", at=number - 0.1)
        desk.told(one)

    assert len(desk.of(Doubt)) == 1  # the first, out of the quiet


def test_a_gap_is_rung_for_once_and_pushes_add_nothing_to_it():
    desk = quiet("BTC long 1 @ 100")
    assert kinds(desk.told(*chain("BTC 3: at 1 -1@110"))) == ["Gap"]

    assert push(desk, "BTC long 2 @ 100", at=2) == []
    assert kinds(desk.stated("BTC long 2 @ 100", at=3)) == ["Doubt"]
    for at in (4, 5, 6):
        assert push(desk, "BTC long 9 @ 100", at=at) == []
    assert kinds(desk.stated("BTC long 2 @ 100", at=7, fetched=-9999)) == ["Drift", "Adopted", "Filled"]


def test_what_a_push_said_while_a_fill_was_missing_is_not_forgotten_when_the_gap_closes():
    """The venue has corrected the size to 9, and no fill tells of that."""
    desk = quiet("BTC long 1 @ 100")
    up, down = chain("BTC 1: at 1 +2@110 -1@110")
    assert kinds(desk.told(down)) == ["Gap"]
    assert push(desk, "BTC long 5 @ 100", at=3) == []
    assert push(desk, "BTC long 9 @ 100", at=4) == []

    assert kinds(desk.told(up)) == ["Filled", "Filled", "Healed"]
    assert desk.judged() == ("unproven", "the venue states 9, the book has 1; asking again")
    desk.stated("BTC long 9 @ 100", at=5, fetched=-9999)
    assert desk.judged()[0] == "unproven"
    desk.stated("BTC long 9 @ 100", at=8, fetched=-9999)
    assert desk.size() == 9


def test_one_push_amid_a_gap_and_amid_fills_is_enough():
    desk = quiet("BTC long 1 @ 100")
    up, down = chain("BTC 1: at 1 +2@110 -1@110")
    desk.told(down)
    push(desk, "BTC long 9 @ 100", at=2)

    desk.told(up)

    assert desk.judged()[0] == "unproven"


def test_what_a_push_said_while_a_fill_was_missing_may_be_what_the_fill_leads_to():
    desk = quiet("BTC long 1 @ 100")
    up, down = chain("BTC 1: at 1 +2@110 -1@110")
    desk.told(down)
    push(desk, "BTC long 2 @ 105", at=3)

    desk.told(up)

    assert desk.judged() == ("proven", None)


def test_a_suspicion_of_quieter_times_gives_way_when_fills_come():
    desk = quiet("BTC long 1 @ 100")
    desk.stated("BTC long 9 @ 100", at=1)
    desk.told(*chain("BTC 1: at 2 +1@100"))

    assert push(desk, "BTC long 8 @ 100", at=3) == []
    assert desk.judged()[1] == "the venue states 8, the book has 2; asking again"
    assert kinds(desk.stated("BTC long 8 @ 100", at=9, fetched=-9999)) == ["Doubt"]
    assert kinds(desk.stated("BTC long 8 @ 100", at=12, fetched=-9999)) == ["Drift", "Adopted"]


def test_of_two_pushes_that_disagree_the_newer_one_is_shown():
    desk = quiet("BTC long 1 @ 100")
    push(desk, "BTC long 8 @ 100", at=1)
    push(desk, "BTC long 9 @ 100", at=2)

    assert desk.judged()[1] == "the venue states 9, the book has 1; asking again"


def test_pushes_of_two_connections_may_come_twice_and_out_of_order():
    desk = quiet("BTC long 1 @ 100")
    desk.told(*chain("BTC 1: at 1 +1@100"))
    push(desk, "BTC long 2 @ 100", at=2, equity="22")

    assert push(desk, "BTC long 2 @ 100", at=2, heard=2.2, equity="22") == []
    assert push(desk, "BTC long 7 @ 100", at=1.5, heard=2.4, equity="15") == []
    assert desk.book.account(ACCOUNT).equity == 22


def test_a_push_that_is_older_than_the_last_is_passed_over():
    desk = quiet("BTC long 1 @ 100")

    assert push(desk, "BTC long 3 @ 100", at=-3600, heard=5) == []
    assert push(desk, "BTC long 3 @ 100", at=-3595, heard=60) == []
    assert desk.judged() == ("proven", None)


def test_a_push_refreshes_what_the_venue_says_beside_the_sizes():
    desk = quiet("BTC long 1 @ 100")
    push(desk, "BTC long 1 @ 100 x 5 mark 120", at=60, equity="1200")

    assert (desk.view().leverage, desk.view().mark) == (5, 120)
    assert desk.book.account(ACCOUNT).equity == 1200


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_pushes_that_lag_behind_quick_fills_agree(lag):
    desk = quiet("")
    fills = [fill(f"tid={n} buy 1 BTC @ 100 from {n} at {n / 200}") for n in range(2000)]
    for second in range(10):
        desk.told(*fills[200 * second : 200 * second + 200])
        shown = max(0, 200 * (second + 1 - lag))
        text = f"BTC long {shown} @ 100" if shown else ""
        assert push(desk, text, at=second + 1) == []
        assert desk.judged() == ("proven", None)


def test_while_a_doubt_stands_a_size_of_former_times_proves_nothing():
    desk = quiet("")
    desk.told(*chain("BTC 0: at 5 +1@100 +1@100"))
    push(desk, "BTC long 2 @ 100", at=7)
    push(desk, "BTC long 7 @ 100", at=8)
    push(desk, "BTC long 7 @ 100", at=9)
    assert desk.judged()[0] == "unproven"

    push(desk, "", at=10)  # the book was flat seconds ago, and the venue is again, by other fills
    assert desk.judged()[0] == "unproven"
    push(desk, "BTC long 2 @ 100", at=11)
    assert desk.judged()[0] == "proven"


def test_the_first_push_since_a_feed_came_up_confirms_nothing_that_it_does_not_agree_with():
    """In the flow the next one would tell; but no statement before this one has agreed."""
    desk = quiet("").restarted()
    desk.told(*chain("BTC 0: at 5 +1@100 +1@100"))

    push(desk, "", at=30)

    assert desk.judged() == ("unproven", "the venue states 0, the book has 2; asking again")
    push(desk, "BTC long 2 @ 100", at=31)
    assert desk.judged() == ("proven", None)


def test_a_push_long_after_the_last_fill_is_ahead_of_none():
    """Fills came in since the push before; but this one is of eleven seconds after the last of them."""
    desk = quiet("BTC long 1 @ 100")
    desk.told(*chain("BTC 1: at 3 +1@100"))

    assert kinds(push(desk, "BTC long 5 @ 100", at=14)) == ["Doubt"]

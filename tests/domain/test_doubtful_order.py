"""Where fills and statements do not fit together, and which of them is older cannot be known."""

from tests.domain.language import book_of, chain, fill, kinds


def test_fills_that_a_lagging_first_statement_may_not_hold_wait_behind_a_gap():
    """-2 -> -4 is listed, and what led to -2 is listed no more: a statement of 0 is from before it."""
    desk = book_of("", at=5)

    assert kinds(desk.told(*chain("BTC -2: at 4 -1@100 -1@100"))) == ["Gap"]
    for seconds in (6, 9, 12):  # all older than they say: an answer may be of ten seconds ago
        assert kinds(desk.stated("", at=seconds, fetched=-9999)) in (["Doubt"], [])
        assert desk.judged()[0] == "unproven"


def test_once_a_statement_is_surely_newer_and_says_the_same_they_were_in_the_first():
    desk = book_of("", at=5)
    desk.told(*chain("BTC -2: at 4 -1@100 -1@100"))
    for seconds in (6, 9):
        desk.stated("", at=seconds, fetched=-9999)

    assert kinds(desk.stated("", at=16, fetched=-9999)) == ["Healed"]
    desk.stated("", at=17)
    assert (desk.size(), desk.judged()) == (0, ("proven", None))


def test_where_a_later_statement_says_what_they_lead_to_they_were_not_in_the_first():
    desk = book_of("", at=5)
    desk.told(*chain("BTC -2: at 4 -1@100 -1@100"))
    desk.stated("", at=6, fetched=-9999)

    assert kinds(desk.stated("BTC short 4 @ 100", at=9, fetched=-9999)) == [
        "Drift",
        "Adopted",
        "Filled",
        "Filled",
    ]
    desk.stated("BTC short 4 @ 100", at=10)
    assert (desk.size(), desk.judged()) == (-4, ("proven", None))


def test_after_a_jump_that_no_fill_tells_the_fills_behind_it_are_not_in_a_statement_from_before_it():
    desk = book_of("BTC long 1 @ 100", at=10)
    before, behind = chain("BTC 0: at 5 +1@100"), chain("BTC 7: at 9 +1@100")

    assert kinds(desk.told(*before, *behind)) == ["Gap"]
    assert desk.size() == 1


def test_a_late_fill_from_before_a_drift_is_counted_though_it_happens_to_fit():
    desk = book_of("")
    desk.told(*chain("BTC 0: at 10 +1@100"))
    for seconds in (14, 17):
        desk.stated("BTC long 2 @ 100", at=seconds, fetched=-9999)
    late = fill("tid=9 buy 1 BTC @ 100 from 2 at 8")

    assert [(change.effect, change.fill) for change in desk.told(late)] == [(None, late)]
    assert desk.size() == 2


def test_a_second_drift_holds_what_the_first_did():
    desk = book_of("")
    desk.told(*chain("BTC 0: at 10 +1@100"))
    for size, seconds in ((3, 14), (3, 17), (2, 20), (2, 23)):
        desk.stated(f"BTC long {size} @ 100", at=seconds, fetched=-9999)

    desk.told(fill("tid=9 buy 1 BTC @ 100 from 2 at 9"))
    assert desk.size() == 2


def test_what_was_made_after_the_last_fill_before_a_drift_is_still_applied():
    desk = book_of("")
    desk.told(*chain("BTC 0: at 10 +1@100"))
    for seconds in (14, 17):
        desk.stated("BTC long 2 @ 100", at=seconds, fetched=-9999)

    desk.told(fill("tid=9 buy 1 BTC @ 100 from 2 at 11"))
    assert desk.size() == 3


def test_sizes_that_only_late_fills_lead_through_are_former_ones_and_no_drift():
    """1 -> 2 of :09 is applied. 2 -> 1 of :08 waits, as what led to its 2 is listed no more. A statement of 1
    is some seconds old."""
    desk = book_of("BTC long 1 @ 100")
    desk.told(*chain("BTC 1: at 9 +1@100"))

    assert kinds(desk.told(*chain("BTC 2: at 8 -1@100"))) == ["Gap"]
    for seconds in (12, 15, 18):
        desk.stated("BTC long 1 @ 100", at=seconds, fetched=-9999)
        assert (desk.size(), desk.judged()[0]) == (2, "unproven")
    for seconds in (21, 24):
        desk.stated("BTC long 2 @ 100", at=seconds, fetched=-9999)
    desk.stated("BTC long 2 @ 100", at=26)
    assert (desk.size(), desk.judged()) == (2, ("proven", None))

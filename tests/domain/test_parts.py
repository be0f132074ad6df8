"""What is fetched in parts is in doubt until the last of them."""

import pytest

from hlposmon.domain.reports import Fills
from tests.domain.language import ACCOUNT, Desk, book_of, chain, key, ms


def quiet() -> Desk:
    desk = book_of("")
    desk.stated("", at=60)
    assert desk.told() == []
    return desk


def test_a_part_of_a_fetch_that_changed_a_size_is_in_doubt_until_the_fetch_has_ended():
    desk, (up, down) = quiet(), chain("BTC 0: at 30 +2@100 -2@100")

    desk.told_in_part(up)
    assert desk.judged() == ("unproven", "older fills of it have come, and more may be on their way")
    assert desk.view().as_of_ms == ms(30)
    desk.told_in_part(down)
    assert (desk.size(), desk.judged()[0]) == (0, "unproven")
    desk.book.fetched(ACCOUNT, ms(30))
    assert desk.judged() == ("proven", None)


def test_fills_are_wanted_from_the_first_that_it_brought_and_known_up_to_there():
    desk, (up, down, again) = quiet(), chain("BTC 0: at 30 +2@100 -2@100 +1@100")

    assert desk.book.partial(ACCOUNT) == {}
    desk.told_in_part(up)
    desk.told_in_part(down, again)
    assert desk.book.partial(ACCOUNT) == {key("BTC"): ms(30)}

    assert desk.book.doubtful() == [(ACCOUNT, ms(30))]
    assert desk.book.high_water_ms(ACCOUNT) == ms(30)
    assert desk.book.unfinished() == {ACCOUNT: {key("BTC"): ms(30)}}
    assert not desk.book.has_gap(ACCOUNT)


def test_what_a_fetch_makes_of_a_position_is_held_against_a_statement_that_surely_holds_it():
    """The venue closed the position in a way that no fill tells of, before the missing fills were fetched."""
    desk = book_of("", at=0)
    desk.stated("", at=32)

    desk.told(*chain("BTC 0: at 15 +3@100"))
    assert desk.judged() == ("unproven", "the venue states 0, the book has 3; asking again")
    desk.stated("BTC long 3 @ 100", at=33)
    assert desk.judged() == ("proven", None)


def test_a_fetch_in_parts_is_held_against_the_statement_when_it_has_ended():
    desk, (up, down) = book_of("ETH long 1 @ 10", at=0), chain("BTC 0: at 15 +3@100 -3@100")
    desk.stated("ETH long 1 @ 10", at=32)

    desk.told_in_part(up)
    assert desk.judged()[1] == "older fills of it have come, and more may be on their way"
    desk.told_in_part(down)
    desk.told()
    assert desk.judged() == ("proven", None)

    desk.stated("ETH long 1 @ 10, BTC long 3 @ 100", at=50)
    desk.told_in_part(chain("ETH 1: at 33 +1@10")[0])
    desk.told()
    assert desk.judged("ETH") == ("unproven", "the venue states 1, the book has 2; asking again")


def test_what_a_fetch_brings_that_a_statement_may_lag_behind_is_not_doubted():
    desk = book_of("", at=0)
    desk.stated("", at=24)

    desk.told(*chain("BTC 0: at 15 +3@100"))
    assert desk.judged()[0] == "proven"


def test_with_a_gap_as_well_fills_are_wanted_since_the_earlier_of_the_two():
    desk, fills = quiet(), chain("BTC 0: at 30 +1@100 +1@100 +1@100 +1@100")

    desk.told_in_part(fills[0])
    desk.told_in_part(fills[3])
    assert desk.book.unfinished() == {ACCOUNT: {key("BTC"): ms(30)}}
    desk.told_in_part(fills[1], fills[2])
    assert desk.judged()[0] == "unproven"
    desk.told()
    desk.stated("BTC long 4 @ 100", at=61)
    assert desk.judged()[0] == "proven"


def test_the_end_of_a_fetch_that_began_later_says_nothing():
    desk, (up, _) = quiet(), chain("BTC 0: at 30 +2@100 -2@100")
    desk.told_in_part(up)

    desk.book.fetched(ACCOUNT, ms(31))
    assert desk.judged()[0] == "unproven"
    desk.book.fetched("nobody", ms(0))
    assert desk.judged()[0] == "unproven"


def test_what_a_part_did_not_change_stays_proven():
    desk, known = book_of(""), chain("BTC 0: at 30 +2@100")
    desk.told(*known)
    desk.stated("BTC long 2 @ 100", at=60)

    desk.told_in_part(*known)
    assert desk.judged() == ("proven", None)
    desk.book.apply(Fills(ACCOUNT, "fetch", tuple(chain("ETH 0: at 31 +1@100"))))
    assert desk.judged("ETH")[0] == "unproven"
    assert desk.judged("BTC") == ("proven", None)


@pytest.mark.parametrize(("seconds", "verdict"), [(61, "proven"), (51, "proven"), (49, "unproven")])
def test_a_live_fill_is_a_part_only_where_it_is_far_older_than_the_newest_statement(seconds, verdict):
    for together in (True, False):
        desk, (one, two) = quiet(), chain(f"BTC 0: at {seconds} +1@100 = +1@100")
        if together:
            desk.heard(one, two)
        else:
            desk.heard(one)
            desk.heard(two)

        assert (desk.size(), desk.judged()[0]) == (2, verdict)


def test_a_very_late_live_fill_is_in_doubt_also_where_it_is_plainly_the_next():
    desk, (one, two) = book_of(""), chain("BTC 0: at 30 +1@100 at 40 +1@100")
    desk.heard(one)
    desk.stated("BTC long 1 @ 100", at=60)

    desk.heard(two)
    assert (desk.size(), desk.judged()[0]) == (2, "unproven")
    assert desk.book.doubtful() == [(ACCOUNT, ms(40))]
    desk.told(one, two)
    desk.stated("BTC long 2 @ 100", at=61)
    assert desk.judged()[0] == "proven"

"""The worked examples of `placing` and `weaving`, as they stand there."""

from decimal import Decimal

import pytest

from hlposmon.domain.beginning import Applied
from hlposmon.domain.chain import segments
from hlposmon.domain.placing import place_of
from hlposmon.domain.position import Position
from hlposmon.domain.weaving import weave
from tests.domain.language import Desk, at, book_of, chain, kinds, ms


@pytest.mark.parametrize(("lead_ms", "count"), [(0, 1), (15_000, 3)])
def test_a_statement_stands_where_the_chain_has_its_size_at_the_nearest_time(lead_ms, count):
    fills = chain("BTC 1: at 3 +1@10 +1@10 at 6 -1@10 -1@10 at 9 +1@10")

    assert place_of(Decimal(2), ms(5), segments(fills), lead_ms=lead_ms) == (0, count)


def test_of_a_first_statement_that_lags_the_later_fills_are_applied():
    desk = Desk()
    desk.told(*chain("BTC 1: at 3 +1@10 +1@10 at 6 -1@10 -1@10 at 9 +1@10"))
    desk.stated("BTC long 2 @ 10", at=5)

    assert (desk.size(), desk.position().fills) == (2, 4)


@pytest.mark.parametrize(("seconds", "size"), [(11, -1), (14, -4), (17, -4)])
def test_a_first_statement_is_of_no_time_longer_ago_than_a_statement_may_lag(seconds, size):
    """It says -4, as before the fills of 2 and 4, and may be of that time until 12. Later it cannot be: the
    size came back in some other way, and these fills are history."""
    desk = Desk()
    desk.told(*chain("BTC -4: at 2 +4@10 at 4 -1@10"))
    desk.stated("BTC short 4 @ 10", at=seconds)

    assert desk.size() == size


def test_a_round_trip_that_came_late_is_woven_in_and_half_of_it_is_not():
    first, second = chain("BTC 0: at 0 +1@10 at 2 +2@10")
    up, down = at(chain("BTC 1: +1@10 -1@10"), 1)
    after, _ = Position().after(first)
    applied = [Applied(first, Position()), Applied(second, after)]

    assert weave([up, down], applied) == (1, [up, down, second])
    assert weave([up], applied) is None


def test_a_gap_is_said_and_healed_as_the_ledger_says():
    desk = book_of("BTC long 1 @ 10")
    late, early = chain("BTC 3: at 9 +1@10"), chain("BTC 1: at 8 +2@10")

    assert kinds(desk.told(*late)) == ["Gap"]
    assert kinds(desk.told(*early)) == ["Filled", "Filled", "Healed"]
    assert [(gap.expected, gap.found) for gap in desk.said[:1]] == [(1, 3)]
    assert desk.said[-1].missing == 1


def test_a_round_trip_that_was_given_from_its_midst_on_is_no_gap_if_the_venue_has_our_size():
    down, up = reversed(at(chain("BTC 0: +1@10 -1@10"), 20))
    desk = book_of("")
    assert kinds(desk.told(down, up)) == ["Gap"]
    for time in (40, 50):
        desk.stated("", at=time, fetched=-9999)

    assert (desk.position().fills, desk.book.doubtful()) == (2, [])

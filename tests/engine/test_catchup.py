"""Feeds that come up wait for what came before them, which is fetched once for all of them."""

from hlposmon.domain.reports import Fetched, Fills, Following
from hlposmon.engine.catchup import AGAIN_S, HELD_FILLS, HELD_S, SPACING_S, TOGETHER_S, CatchUp
from tests.domain.language import fill

FROM_MS = 1000


def follows(feed: str, since_s: float) -> Following:
    return Following("main", feed, since_s)


def fetched(asked_s: float, from_ms: int = FROM_MS) -> Fetched:
    return Fetched("main", from_ms, asked_s)


def some(count: int = 1) -> Fills:
    return Fills("main", "fill", tuple(fill(f"tid={n} buy 1 BTC @ 1 from {n}") for n in range(count)), 1.0)


def catchup(*feeds: Following) -> CatchUp:
    found = CatchUp()
    for one in feeds:
        found.follows(one, one.since_s)
    return found


def test_one_fetch_is_enough_for_feeds_that_come_up_together():
    one = catchup(follows("fill", 10.0), follows("fill-2", 10.1))
    assert not one.is_due("main", 10.1 + TOGETHER_S / 2, live=False)
    assert one.is_due("main", 10.1 + TOGETHER_S, live=False)
    one.asked("main", 10.3)
    assert not one.is_due("main", 10.4, live=False)

    assert [each.feed for each in one.fetched(fetched(10.3), FROM_MS)] == ["fill", "fill-2"]
    assert one.waiting() == []
    assert not one.is_due("main", 20.0, live=True)


def test_a_fetch_that_began_before_a_feed_followed_says_nothing_of_what_came_between():
    one = catchup(follows("fill", 10.0))
    one.asked("main", 10.2)

    assert one.fetched(fetched(9.9), FROM_MS) == []
    assert one.is_due("main", 10.3, live=False), "another is wanted at once"


def test_a_fetch_that_does_not_reach_back_far_enough_makes_no_feed_live():
    one = catchup(follows("fill", 10.0))

    assert one.fetched(fetched(11.0, from_ms=FROM_MS + 1), FROM_MS) == []
    assert one.fetched(fetched(11.0), None) == [], "nothing was stated yet"
    assert [each.feed for each in one.fetched(fetched(11.0), FROM_MS)] == ["fill"]


def test_a_fetch_nobody_answered_is_asked_for_again_and_at_once_when_who_was_asked_is_gone():
    one = catchup(follows("fill", 10.0))
    one.asked("main", 10.2)
    assert not one.is_due("main", 10.2 + AGAIN_S / 2, live=False)
    assert one.is_due("main", 10.2 + AGAIN_S, live=False)
    one.asked("main", 13.2)
    one.ask_again()

    assert one.is_due("main", 13.3, live=False)


def test_while_another_feed_is_live_fetches_keep_their_distance():
    one = catchup(follows("fill", 10.0))
    one.asked("main", 10.2)
    one.fetched(fetched(10.3), FROM_MS)
    one.follows(follows("fill-2", 11.0), 11.0)

    assert not one.is_due("main", 12.0, live=True)
    assert one.is_due("main", 10.2 + SPACING_S, live=True)


def test_a_feed_that_is_lost_waits_no_more():
    one = catchup(follows("fill", 10.0))
    one.lost("main", "fill")

    assert not one.is_due("main", 20.0, live=False)
    assert one.fetched(fetched(20.0), FROM_MS) == []


def test_fills_are_held_in_their_order_and_released_once():
    one = catchup(follows("fill", 10.0))
    first, second = some(), some(2)
    assert one.holds(first, 10.1)
    assert one.holds(second, 10.2)

    assert one.release("main") == [first, second]
    assert one.release("main") == []


def test_fills_are_not_held_after_a_fetch_that_failed_until_a_feed_is_live_again():
    one = catchup(follows("fill", 10.0))
    assert [each.feed for each in one.failed("main")] == ["fill"]
    assert not one.holds(some(), 10.1)
    one.went_live("main")

    assert one.holds(some(), 10.2)


def test_a_fetch_that_fails_while_no_feed_waits_lets_nothing_through_early():
    one = CatchUp()
    assert one.failed("main") == []

    assert one.holds(some(), 10.0)


def test_fills_are_not_held_for_ever_nor_without_bound():
    one = catchup(follows("fill", 10.0))
    assert one.holds(some(), 10.0)
    assert one.overdue(10.0 + HELD_S) == []
    assert one.overdue(10.1 + HELD_S) == ["main"]
    assert not one.holds(some(), 10.2 + HELD_S)

    one = catchup(follows("fill", 10.0))
    many = some(HELD_FILLS // 2)
    assert one.holds(many, 10.0) and one.holds(many, 10.0)
    assert not one.holds(some(), 10.0)


def test_of_a_name_that_is_watched_no_more_nothing_is_kept():
    one = catchup(follows("fill", 10.0))
    one.holds(some(), 10.1)
    one.keep({"other"})

    assert one.waiting() == []
    assert one.release("main") == []

"""Up to when a position is known, in the venue's time: never later than the fills and statements say."""

from decimal import Decimal

from hlposmon.domain.changes import Gap
from hlposmon.domain.reports import FeedState, Marks
from hlposmon.domain.verdict import Proof
from tests.domain.language import ACCOUNT, Desk, fill, key, ms


def as_of(desk: Desk, coin: str = "BTC") -> int | None:
    """Seconds after T0."""
    at_ms = desk.view(coin).as_of_ms
    return None if at_ms is None else (at_ms - ms(0)) // 1000


def opened() -> Desk:
    """Stated flat at 0, then a fill at 10."""
    desk = Desk()
    desk.stated("", at=0)
    desk.heard(fill("tid=1 buy 1 BTC @ 100 from 0 at 10"))
    return desk


def down(desk: Desk) -> None:
    desk.book.feed(FeedState(ACCOUNT, "first", False, 0.0, "lost"))


def test_nothing_is_known_before_the_first_statement():
    desk = Desk()
    desk.heard(fill("tid=1 buy 1 BTC @ 100 from 0 at 10"))

    assert as_of(desk) is None
    assert desk.book.account(ACCOUNT).as_of_ms is None


def test_a_perpetual_is_proven_by_its_fills_whatever_its_verdict():
    desk = opened()
    desk.heard(fill("tid=3 buy 1 BTC @ 100 from 2 at 12"))

    assert desk.judged()[0] == "unproven"
    assert desk.view().proof is Proof.FILLS
    assert desk.view().block is None


def test_it_is_known_up_to_its_last_fill():
    assert as_of(opened()) == 10


def test_a_statement_of_the_same_size_makes_it_known_up_to_then():
    desk = opened()
    desk.stated("BTC long 1 @ 100", at=14)

    assert as_of(desk) == 14
    assert desk.book.account(ACCOUNT).as_of_ms == ms(14)


def test_a_statement_that_lags_behind_the_fills_takes_nothing_back():
    desk = opened()
    desk.stated("", at=9)

    assert as_of(desk) == 10


def test_a_mark_makes_no_position_newer():
    desk = opened()
    desk.book.mark(Marks({key("BTC"): Decimal(101)}, heard_s=500.0))

    assert as_of(desk) == 10


def test_behind_a_gap_nothing_is_known():
    desk = opened()
    desk.stated("BTC long 1 @ 100", at=14)
    desk.heard(fill("tid=3 buy 1 BTC @ 100 from 2 at 20"))

    [gap] = desk.of(Gap)
    assert isinstance(gap, Gap)
    assert desk.view().as_of_ms == gap.since_ms == ms(10)
    desk.told(fill("tid=2 buy 1 BTC @ 100 from 1 at 16"))
    assert as_of(desk) == 20


def test_while_the_venue_states_another_size_nothing_is_known_after_the_time_that_is_asked_for():
    desk = opened()
    desk.stated("BTC long 1 @ 100", at=100)
    desk.stated("BTC long 3 @ 100", at=200)

    wanted = dict(desk.book.doubtful())[ACCOUNT]
    assert desk.view().as_of_ms == wanted < ms(100)
    desk.stated("BTC long 3 @ 100", at=210, fetched=0)
    assert as_of(desk) == 210  # adopted


def test_while_the_venue_states_another_entry_price_nothing_is_known_after_the_time_that_is_asked_for():
    desk = opened()
    desk.stated("BTC long 1 @ 100", at=100)
    desk.stated("BTC long 1 @ 107", at=200)

    assert desk.view().as_of_ms == dict(desk.book.doubtful())[ACCOUNT] < ms(200)


def test_without_a_feed_of_fills_a_statement_proves_no_later_time():
    """A round trip may have been missed: the size is the same, and what was earned is not."""
    desk = opened()
    desk.stated("BTC long 1 @ 100", at=14)
    down(desk)
    desk.stated("BTC long 1 @ 100", at=60)
    assert as_of(desk) == 14

    desk.book.feed(FeedState(ACCOUNT, "first", True, 70.0))
    assert as_of(desk) == 60


def test_fills_that_chain_are_known_without_a_live_feed():
    desk = opened()
    down(desk)
    desk.told(fill("tid=2 buy 1 BTC @ 100 from 1 at 30"))

    assert as_of(desk) == 30


def test_a_first_statement_without_a_feed_is_known_as_of_its_own_time():
    desk = Desk(live=False)
    desk.stated("BTC long 1 @ 100", at=5)
    desk.stated("BTC long 1 @ 100", at=65)

    assert as_of(desk) == 5


def test_a_restart_knows_it_up_to_the_last_fill_until_a_statement_comes():
    again = opened().restarted()
    assert as_of(again) == 10
    assert again.book.account(ACCOUNT).as_of_ms is None

    again.stated("BTC long 1 @ 100", at=40)
    assert as_of(again) == 40

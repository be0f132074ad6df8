"""Two feeds for the same fills: what one did not bring is counted, and nothing else is."""

from decimal import Decimal

import pytest

from hlposmon.domain.reports import FeedState, Fill, Side
from hlposmon.engine.feeds import GRACE_S, KEPT_S, Feeds


def fill(tid: int) -> Fill:
    return Fill(
        "main", "hyperliquid:Perp:BTC", 1000 + tid, Side.BUY, Decimal(1), Decimal(50_000), Decimal(tid),
        Decimal(0), "USDC", Decimal(0), tid, tid,
    )  # fmt: skip


class Pair:
    """Two feeds that are live for one account since the beginning."""

    def __init__(self) -> None:
        self.feeds, self.known = Feeds(), set()
        self.goes("fill", live=True, at=0.0)
        self.goes("fill-2", live=True, at=0.0)

    def goes(self, feed: str, *, live: bool, at: float) -> None:
        self.feeds.state(FeedState("main", feed, live, at), at)

    def gives(self, source: str, *tids: int, at: float) -> None:
        fills = [fill(tid) for tid in tids]
        new = {one.identity for one in fills} - self.known
        self.known |= new
        self.feeds.brought(source, "main", fills, new, at)

    def missed(self, at: float) -> dict[str, int]:
        return self.feeds.judge(at)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_feeds_that_bring_the_same_do_not_diverge(pair):
    pair.gives("fill", 1, 2, at=1.0)
    pair.gives("fill-2", 1, 2, at=1.5)

    assert pair.missed(at=60.0) == {}
    assert (pair.feeds.tallies["fill"].first, pair.feeds.tallies["fill-2"].fills) == (2, 2)


def test_what_only_one_brought_is_missed_by_the_other(pair):
    pair.gives("fill", 1, 2, at=1.0)
    pair.gives("fill-2", 2, at=1.0)

    assert pair.missed(at=1.0 + GRACE_S) == {"fill-2": 1}
    assert pair.feeds.tallies["fill-2"].missed == 1


def test_a_copy_within_its_time_is_waited_for(pair):
    pair.gives("fill", 1, at=1.0)
    assert pair.missed(at=0.9 + GRACE_S) == {}
    pair.gives("fill-2", 1, at=0.9 + GRACE_S)

    assert pair.missed(at=60.0) == {}


def test_what_had_to_be_fetched_was_missed_by_both(pair):
    pair.gives("fetch", 1, at=1.0)

    assert pair.missed(at=60.0) == {"fill": 1, "fill-2": 1}


def test_what_was_missed_is_counted_once(pair):
    pair.gives("fill", 1, at=1.0)
    pair.missed(at=10.0)

    assert pair.missed(at=11.0) == {}
    assert pair.feeds.tallies["fill-2"].missed == 1


def test_a_feed_that_was_down_missed_nothing(pair):
    pair.goes("fill-2", live=False, at=0.5)
    pair.gives("fill", 1, at=1.0)
    pair.goes("fill-2", live=True, at=2.0)

    assert pair.missed(at=60.0) == {}


def test_what_is_fetched_again_is_no_news(pair):
    pair.gives("fill", 1, at=1.0)
    pair.gives("fill-2", 1, at=1.0)
    pair.missed(at=10.0)
    pair.gives("fetch", 1, at=60.0)

    assert pair.missed(at=120.0) == {}


def test_a_copy_that_is_very_late_does_not_accuse_the_other(pair):
    pair.gives("fill", 1, at=1.0)
    pair.missed(at=1.0 + KEPT_S + 1)
    pair.gives("fill-2", 1, at=1.0 + KEPT_S + 2)

    assert pair.missed(at=120.0) == {}
    assert pair.feeds.tallies["fill"].missed == 0


def test_what_is_kept_is_bounded(pair):
    for start in range(0, 60_000, 1000):
        pair.gives("fill", *range(start, start + 1000), at=1.0)

    assert len(pair.feeds._arrivals) <= 20_000

"""What the tracker counts, as plain numbers."""

from decimal import Decimal

import pytest

from hlposmon.domain.changes import Gap, Healed
from hlposmon.engine.incidents import Incidents
from hlposmon.metrics.measures import BOUNDS_S, Counts, Spread


def _gap(*, again: bool = False, account: str = "main") -> Gap:
    return Gap(account, "hyperliquid:Perp:BTC", Decimal(1), Decimal(2), 1, 2, again)


def test_a_time_counts_in_its_bucket_and_in_all_wider_ones():
    spread = Spread()
    for seconds in (0.00005, 0.0001, 0.0002, 3.0, 100.0):
        spread.see(seconds)
    within = dict(spread.buckets())

    assert (within["0.0001"], within["0.00025"], within["2.5"], within["5.0"]) == (2, 3, 3, 4)
    assert (within["10.0"], within["+Inf"]) == (4, 5)
    assert spread.sum_s == pytest.approx(103.00035)


def test_the_buckets_reach_from_100_us_to_10_s_and_rise():
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (0.0001, 10.0)
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))


def test_a_time_that_two_clocks_made_negative_is_none_at_all():
    spread = Spread()
    spread.see(-0.5)

    assert spread.buckets()[0] == ("0.0001", 1)
    assert spread.sum_s == 0


@pytest.mark.parametrize(
    ("told", "reconnects"),
    [
        ([1], 0),
        ([1, 2, 3], 2),
        ([5], 0),  # this tracker is new: what was before it is not its to count
        ([5, 7], 2),
        ([3, 1], 0),  # a new process's first connection is no reconnect
        ([3, 4, 1, 2], 2),
        ([2, 2, 2], 0),  # said again to a tracker that knows it
    ],
)
def test_reconnects_are_the_connections_behind_the_first_of_each_process(told: list[int], reconnects: int):
    counts = Counts()
    for count in told:
        counts.connected("fill", count)

    assert counts.reconnects == {"fill": reconnects}


def test_a_gap_that_is_told_again_is_one_gap():
    incidents = Incidents()
    incidents.note([_gap()], 0.0)
    incidents.note([_gap(again=True), _gap(again=True)], 1.0)
    incidents.note([Healed("main", "hyperliquid:Perp:BTC", 2, 1)], 2.0)
    incidents.note([_gap(account="hedge")], 3.0)

    assert incidents.counts == {"gap": 2, "healed": 1, "drift": 0, "unlisted": 0}
    assert incidents.by_account["main"]["gap"] == incidents.by_account["hedge"]["gap"] == 1

"""Fills are put into the order in which they chain, whatever order they are given in."""

import random
import sys
import time
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.chain import follows, is_counter_leg, segments, sizes_along, thread
from tests.domain.language import at, chain, end_of, fill


def threaded(fills, size="0", last=None):
    chained, left = thread(fills, Decimal(size), last)
    return [one.trade_id for one in chained], [one.trade_id for one in left]


def test_a_chain_given_in_any_order_is_found():
    fills = chain("BTC 0: +1@100 +2@101 -4@102 +1@99")

    assert threaded(fills[::-1]) == ([1, 2, 3, 4], [])


def test_inside_a_millisecond_all_fills_chain_if_they_can():
    # Taking the first that fits, 0 -> -1, would strand the other two.
    fills = at(chain("BTC 0: +1@100 -1@101 -1@102"), 5)

    assert threaded([fills[2], fills[0], fills[1]]) == ([1, 2, 3], [])


def test_the_order_given_is_kept_where_it_chains():
    fills = at(chain("BTC 0: +1@100 -1@101 +1@102"), 5)

    assert threaded(fills) == ([1, 2, 3], [])
    assert threaded([fills[2], fills[1], fills[0]]) == ([3, 2, 1], [])


def test_a_round_trip_of_one_millisecond_is_not_begun_in_its_midst_if_not_told_to():
    fills = at(chain("BTC 0: +2@100 -2@101"), 5)

    assert threaded(fills, "2") == ([], [1, 2])
    assert thread(fills, Decimal(2), rotate=True) == (fills[::-1], [])


def test_a_fill_that_does_not_chain_is_passed_over():
    fills = chain("BTC 0: +1@100 +1@101 -1@102 +3@103")

    assert threaded([fills[0], fills[2], fills[3]]) == ([1, 4], [3])


def test_fills_of_a_millisecond_are_not_torn_apart_because_one_fits():
    fills = at(chain("BTC 0: +1@100 +2@101"), 5)

    assert threaded(fills, "1") == ([], [1, 2])
    assert threaded(fills, "0") == ([1, 2], [])


def test_fills_of_a_millisecond_with_one_missing_chain_as_far_as_they_can():
    fills = at(chain("BTC 0: +1@100 +1@101 +1@102 +1@103"), 5)

    assert threaded([fills[3], fills[0]]) == ([1], [4])


def test_both_legs_of_a_self_trade_follow_one_another():
    buy = fill("tid=1 buy 2 BTC @ 100 from 5 at 1 hash 0xa")
    sell = fill("tid=1 sell 2 BTC @ 100 from 5 at 1 hash 0xa")
    after = fill("tid=2 sell 5 BTC @ 101 from 5 at 1")

    assert is_counter_leg(sell, buy)
    assert not is_counter_leg(sell, None)
    assert follows(sell, Decimal(7), buy)
    assert not follows(sell, Decimal(7), None)
    assert thread([buy, sell, after], Decimal(5)) == ([buy, sell, after], [])
    assert thread([after, sell, buy], Decimal(5)) == ([sell, buy, after], [])
    assert thread([sell], Decimal(7), buy) == ([sell], [])


def test_legs_that_only_look_like_a_self_trade_are_told_by_the_chain():
    # Fills of one order of system trades may all have the same empty hash.
    first = fill("tid=1 buy 1 BTC @ 100 from 0 at 1")
    second = fill("tid=2 sell 1 BTC @ 99 from 1 at 1")
    third = fill("tid=3 sell 1 BTC @ 100 from 0 at 1")

    assert threaded([first, third, second]) == ([1, 2, 3], [])


def test_segments_are_chains_as_long_as_can_be():
    fills = chain("BTC 0: +1@100 +1@101 +1@102 +1@103 -4@104")

    assert [
        [one.trade_id for one in part] for part in segments([fills[4], fills[3], fills[0], fills[1]])
    ] == [
        [1, 2],
        [4, 5],
    ]
    assert segments([]) == []


def test_the_sizes_along_a_chain_begin_with_the_first():
    assert sizes_along(chain("BTC 0: +1@100 -3@100"), Decimal(0)) == [0, 1, -2]


@given(st.lists(st.integers(-3, 3).filter(bool), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_fills_of_one_millisecond_chain_from_any_order(moves, rng):
    fills = at(chain("BTC 0: " + " ".join(f"{move:+d}@100" for move in moves)), 5)
    mixed = rng.sample(fills, len(fills))

    chained, left = thread(mixed, Decimal(0), rotate=True)

    assert left == []
    assert sizes_along(chained, Decimal(0))[-1] == end_of(fills)
    size = Decimal(0)
    for one in chained:
        assert one.start_position == size
        size += one.signed_size


def test_thousands_of_fills_in_one_millisecond_take_no_time():
    rng = random.Random(7)
    moves = " ".join(f"{rng.choice((-1, 1)):+d}@{100 + i % 3}" for i in range(4000))
    fills = at(chain(f"BTC 0: {moves}"), 5)
    began = time.process_time()

    assert thread(rng.sample(fills, len(fills)), Decimal(0), rotate=True)[1] == []
    assert time.process_time() - began < (20 if sys.gettrace() else 1)

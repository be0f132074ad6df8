"""Which hours' funding is booked: once each, in any order, for two days."""

import random

from hlposmon.domain.payments import REMEMBERED, Payments


def test_nothing_is_booked_at_first():
    assert Payments().owes(1)
    assert Payments().last_ms == 0


def test_a_payment_is_booked_once():
    paid = Payments().paid(3)

    assert (paid.owes(3), paid.owes(2), paid.owes(4)) == (False, True, True)
    assert paid.paid(3) == paid


def test_one_may_come_after_a_later_one():
    assert Payments().paid(3).paid(1) == Payments().paid(1).paid(3) == Payments(0, (1, 3))
    assert Payments().paid(3).paid(1).last_ms == 3


def test_what_is_behind_the_floor_counts_as_booked():
    assert not Payments(5).owes(5)
    assert Payments(5).paid(4) == Payments(5)
    assert Payments(5).last_ms == 5


def test_so_many_are_remembered_and_the_oldest_of_more_becomes_the_floor():
    times = list(range(1, REMEMBERED + 11))
    random.Random(1).shuffle(times)
    paid = Payments()
    for number, time_ms in enumerate(times, 1):
        paid = paid.paid(time_ms)
        assert len(paid.booked) == min(number, REMEMBERED) or paid.floor_ms

    assert len(paid.booked) <= REMEMBERED
    assert paid.last_ms == REMEMBERED + 10
    assert paid.floor_ms < min(paid.booked)

"""Backoff doubles and is forgiven; a weight budget slides over sixty seconds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.pacing import Backoff, WeightBudget


def steady(**kwargs: float) -> Backoff:
    return Backoff(**kwargs, jitter=0.0)


def test_delays_double_up_to_the_longest():
    backoff = steady(first_s=0.5, max_s=3.0)

    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_reset_the_first_delay_comes_again():
    backoff = steady(first_s=0.5, max_s=30.0)
    backoff.next()
    backoff.next()
    backoff.reset()

    assert backoff.next() == 0.5


def test_jitter_shortens_by_its_share_and_no_more():
    assert Backoff(10.0, 30.0, jitter=0.2, rng=lambda: 0.0).next() == 10.0
    assert Backoff(10.0, 30.0, jitter=0.2, rng=lambda: 1.0).next() == pytest.approx(8.0)


def test_jitter_does_not_disturb_the_doubling():
    backoff = Backoff(1.0, 30.0, jitter=0.5, rng=lambda: 0.5)

    assert [backoff.next() for _ in range(3)] == [0.75, 1.5, 3.0]


def test_by_default_two_backoffs_do_not_march_in_step():
    assert Backoff().next() != Backoff().next()


def test_with_the_same_dice_the_delays_are_the_same():
    def of(seed: int) -> list[float]:
        backoff = Backoff(rng=random.Random(seed).random)
        return [backoff.next() for _ in range(4)]

    assert of(7) == of(7)


@pytest.mark.parametrize(("first_s", "max_s", "jitter"), [(0, 1, 0), (2, 1, 0), (1, 2, 1.0), (1, 2, -0.1)])
def test_a_backoff_that_could_not_wait_is_refused(first_s: float, max_s: float, jitter: float):
    with pytest.raises(ValueError):
        Backoff(first_s, max_s, jitter=jitter)


def test_within_the_budget_nothing_waits():
    budget = WeightBudget(1200)
    budget.spend(1180, 0.0)

    assert budget.wait_s(20, 1.0) == 0.0


def test_over_the_budget_waits_until_enough_has_left_the_window():
    budget = WeightBudget(100)
    budget.spend(40, 0.0)
    budget.spend(40, 10.0)

    assert budget.wait_s(60, 30.0) == pytest.approx(30.0)  # the first 40 leave at 60
    assert budget.wait_s(61, 30.0) == pytest.approx(40.0)  # that takes the second 40 too, at 70


def test_the_window_slides():
    budget = WeightBudget(100)
    budget.spend(40, 0.0)
    budget.spend(30, 30.0)

    assert budget.used(59.9) == 70
    assert budget.used(60.0) == 30
    assert budget.used(90.0) == 0


def test_a_weight_above_the_whole_budget_waits_for_an_empty_window():
    budget = WeightBudget(10)
    assert budget.wait_s(20, 0.0) == 0.0
    budget.spend(20, 0.0)

    assert budget.wait_s(1, 0.0) == pytest.approx(60.0)
    assert budget.wait_s(20, 60.0) == 0.0


def test_after_a_429_nothing_may_be_spent_until_the_silence_is_over():
    budget = WeightBudget(100)
    budget.punish(10.0, for_s=5.0)

    assert budget.wait_s(1, 10.0) == 5.0
    assert budget.wait_s(1, 14.0) == 1.0
    assert budget.wait_s(1, 15.0) == 0.0


def test_a_shorter_punishment_does_not_end_a_longer_one():
    budget = WeightBudget(100)
    budget.punish(0.0, for_s=30.0)
    budget.punish(1.0, for_s=2.0)

    assert budget.wait_s(1, 5.0) == 25.0


def test_the_longer_of_silence_and_window_decides():
    budget = WeightBudget(10)
    budget.spend(10, 0.0)
    budget.punish(0.0, for_s=5.0)

    assert budget.wait_s(1, 0.0) == 60.0


@pytest.mark.parametrize("per_minute", [0, -1])
def test_a_budget_of_nothing_is_refused(per_minute: int):
    with pytest.raises(ValueError):
        WeightBudget(per_minute)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError):
        WeightBudget(10).spend(-1, 0.0)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20)), max_size=80))
def test_who_waits_as_told_never_spends_more_than_the_budget_in_any_minute(asks: list[tuple[int, int]]):
    budget, now, spent = WeightBudget(100), 0.0, []
    for weight, pause in asks:
        now += pause
        now += budget.wait_s(weight, now)
        assert budget.wait_s(weight, now) == 0.0
        budget.spend(weight, now)
        spent.append((now, weight))

    for end, _ in spent:
        assert sum(weight for at, weight in spent if end - 60 < at <= end) <= 100


def test_weight_that_nobody_counted_is_given_back():
    budget = WeightBudget(100)
    budget.spend(100, 0.0)
    assert budget.wait_s(1, 1.0) > 0

    budget.refund(100, 1.0)

    assert budget.used(1.0) == 0
    assert budget.wait_s(100, 1.0) == 0
    assert budget.used(61.5) == 0

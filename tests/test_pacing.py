"""Backoff doubles and is forgiven; a window slides over sixty seconds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.pacing import Backoff, MinuteWindow


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


def window(parties: int = 1) -> MinuteWindow:
    return MinuteWindow(memoryview(bytearray(8 * MinuteWindow.WORDS_A_PARTY * parties)).cast("Q"))


def test_within_the_limit_nothing_waits():
    spent = window()
    spent.add(0, 1180, 100.0)

    assert spent.wait_s(20, 101.0, 1200) == 0.0


def test_over_the_limit_waits_until_enough_has_left_the_window():
    spent = window()
    spent.add(0, 40, 100.0)
    spent.add(0, 40, 110.0)

    assert spent.wait_s(60, 130.0, 100) == pytest.approx(31.0)  # the first 40 leave at 161
    assert spent.wait_s(61, 130.0, 100) == pytest.approx(41.0)  # that takes the second 40 too


def test_the_window_slides_and_a_second_counts_until_it_is_wholly_past():
    spent = window()
    spent.add(0, 40, 100.9)
    spent.add(0, 30, 130.0)

    assert [spent.used(now) for now in (131.0, 160.9, 161.0, 191.0)] == [70, 70, 30, 0]


def test_all_parties_spend_from_one_window_and_each_is_known():
    spent = window(parties=3)
    spent.add(0, 40, 100.0)
    spent.add(2, 30, 100.0)

    assert [spent.used(100.0), *(spent.used(100.0, party) for party in range(3))] == [70, 40, 0, 30]


def test_an_amount_above_the_whole_limit_waits_for_an_empty_window():
    spent = window()
    assert spent.wait_s(20, 100.0, 10) == 0.0
    spent.add(0, 20, 100.0)

    assert spent.wait_s(1, 100.0, 10) == pytest.approx(61.0)
    assert spent.wait_s(20, 161.0, 10) == 0.0


def test_what_nobody_counted_is_given_back_in_its_second():
    spent = window()
    spent.add(0, 100, 100.0)
    spent.add(0, 20, 101.0)
    spent.add(0, -100, 100.4)

    assert spent.used(102.0) == 20


def test_what_is_given_back_too_late_takes_nothing_from_others():
    spent = window()
    spent.add(0, 100, 100.0)
    spent.add(0, 30, 164.0)  # the same word of the ring
    spent.add(0, -100, 100.0)

    assert spent.used(164.0) == 30


@pytest.mark.parametrize("words", [0, 7, 65])
def test_a_window_of_no_party_is_refused(words: int):
    with pytest.raises(ValueError):
        MinuteWindow(memoryview(bytearray(8 * words)).cast("Q") if words else memoryview(b"").cast("Q"))


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20), st.integers(0, 2)), max_size=80))
def test_who_waits_as_told_never_spends_more_than_the_limit_in_any_minute(asks: list[tuple[int, int, int]]):
    window_, now, spent = window(parties=3), 1000.0, []
    for weight, pause, party in asks:
        now += pause
        now += window_.wait_s(weight, now, 100)
        assert window_.wait_s(weight, now, 100) == 0.0
        window_.add(party, weight, now)
        spent.append((now, weight))

    for end, _ in spent:
        assert sum(weight for at, weight in spent if end - 60 < at <= end) <= 100

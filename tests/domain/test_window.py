"""The window behind the last fill that is remembered over a restart."""

from hlposmon.domain.views import WINDOW_FILLS, WINDOW_MS, window_ms


def test_where_nothing_was_taken_it_begins_at_the_base():
    assert window_ms([], 1000) == 1000
    assert window_ms([10, 999], 1000) == 1000


def test_it_reaches_a_minute_back_and_not_before_the_base():
    assert window_ms([5_000, 500_000], 0) == 500_000 - WINDOW_MS
    assert window_ms([5_000, 500_000], 499_000) == 499_000


def test_of_many_fills_it_holds_the_last_and_the_last_millisecond_whole():
    assert window_ms(range(1000, 2000), 0) == 2000 - WINDOW_FILLS
    assert window_ms([7] * 1000, 0) == 7

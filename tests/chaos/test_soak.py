"""The short form of the soak: a day and a bit, over a midnight at least."""

import pytest

from tests.chaos import places
from tests.chaos.soak import Outcome, Sample, soak

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_a_day_of_hourly_funding_over_a_midnight_is_booked_to_the_last_payment():
    try:
        found = soak(25, 0.3)
    except places.Unavailable as why:
        pytest.skip(str(why))

    assert list(found.check()) == []
    assert found.audit_files >= 2
    assert found.fundings >= 25 * 50


def test_a_week_that_never_warms_up_is_no_success():
    cold = [Sample(1, 1, fills=11_999, by_process=())] * 168

    assert any("never warm" in each for each in Outcome(168, samples=cold, audit_files=8).check())
    assert not list(Outcome(25, samples=cold[:25], audit_files=2).check())


def a_week(*sizes_mb: float) -> Outcome:
    """One whose memory was that much on each of its days."""
    days = [[Sample(int(size * 2**20), 1, fills=12_000, by_process=())] * 24 for size in sizes_mb]
    return Outcome(168, samples=[one for day in days for one in day], audit_files=8)


def test_memory_may_settle_in_the_first_days_and_must_not_grow_in_the_last_three():
    assert not list(a_week(100, 120, 130, 140, 140, 141, 141).check())
    assert any("grew by 4.0%" in each for each in a_week(100, 100, 100, 100, 100, 102, 104).check())

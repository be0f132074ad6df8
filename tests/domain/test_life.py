"""Thousands of lives of a book beside a model exchange: what is shown at the end is what is true.

`HLPOSMON_SEEDS=20000` runs more of them; a seed that fails is printed and can be run alone.
"""

import os
from collections.abc import Iterable

import pytest

from hlposmon.domain.changes import Drift, Filled
from hlposmon.domain.position import FillEffect
from tests.domain.exchange import HORIZON, Life

SEEDS = int(os.environ.get("HLPOSMON_SEEDS", "40"))


def fails(seed: int, **kind: bool) -> str | None:
    life = Life(seed, **kind).run()
    faults = life.faults()
    return f"seed {seed} ({life.plan}):\n  " + "\n  ".join(faults) if faults else None


def failures(seeds: Iterable[int], **kind: bool) -> list[str]:
    return [failure for seed in seeds if (failure := fails(seed, **kind)) is not None]


@pytest.mark.parametrize("pushes", [False, True], ids=["answers", "and pushes"])
@pytest.mark.parametrize("restarts", [False, True], ids=["running on", "with restarts"])
@pytest.mark.parametrize("changes", [False, True], ids=["fills only", "with changes without a fill"])
@pytest.mark.timeout(3600)
def test_when_all_has_arrived_the_book_is_the_exchange(restarts, changes, pushes):
    failed = failures(range(SEEDS), restarts=restarts, changes=changes, pushes=pushes)

    assert not failed, "\n".join(failed[:5])


# Losses before a round trip of one millisecond, and a first statement amid lost fills: these lives ended in a
# false drift once. In 628 half of a lost round trip came late, while a later gap was open.
ONCE_FAILED = (628, 3676, 5988, 21094, 1853, 2811, 2947, 4171, 4660, 4712, 5239, 6342, 6525, 6855, 20043)


@pytest.mark.parametrize("restarts", [False, True], ids=["running on", "with restarts"])
@pytest.mark.parametrize("changes", [False, True], ids=["fills only", "with changes without a fill"])
def test_lives_that_ended_in_a_false_drift_once(restarts, changes):
    assert not failures(ONCE_FAILED, restarts=restarts, changes=changes)


@pytest.mark.parametrize("restarts", [False, True], ids=["running on", "with restarts"])
@pytest.mark.parametrize("pushes", [False, True], ids=["answers", "and pushes"])
@pytest.mark.timeout(3600)
def test_where_lost_fills_are_listed_no_more_the_sizes_are_right_and_the_drift_says_so(restarts, pushes):
    failed = failures(range(SEEDS // 2), restarts=restarts, pushes=pushes, horizon=True)

    assert not failed, "\n".join(failed[:5])


def test_lives_in_which_a_drift_after_a_restart_booked_fills_twice_once():
    assert not failures((311, 635), restarts=True, horizon=True)


@pytest.mark.parametrize("restarts", [False, True], ids=["running on", "with restarts"])
@pytest.mark.parametrize("pushes", [False, True], ids=["answers", "and pushes"])
@pytest.mark.timeout(3600)
def test_an_exchange_whose_clock_is_an_hour_off_is_followed(restarts, pushes):
    failed = failures(range(SEEDS // 2), restarts=restarts, pushes=pushes, clocks=True)

    assert not failed, "\n".join(failed[:5])


@pytest.mark.parametrize("restarts", [False, True], ids=["running on", "with restarts"])
@pytest.mark.parametrize("pushes", [False, True], ids=["answers", "and pushes"])
@pytest.mark.parametrize("changes", [False, True], ids=["fills only", "with changes without a fill"])
@pytest.mark.timeout(3600)
def test_fills_that_come_live_before_the_first_statement_are_told_once_and_in_their_order(
    restarts, pushes, changes
):
    failed = failures(range(SEEDS), restarts=restarts, pushes=pushes, changes=changes, early=True)

    assert not failed, "\n".join(failed[:5])


def test_amid_the_lives_that_begin_with_live_fills_many_are_told_from_before_the_statement():
    lives = [Life(seed, early=True).run() for seed in range(20)]
    told = [
        change
        for life in lives
        for change in life.said
        if isinstance(change, Filled) and change.fill.time_ms <= life.begun_ms
    ]

    assert len(told) > 300
    assert {one.effect for one in told} == {*FillEffect}


def test_amid_the_lives_beyond_the_horizon_some_drift_names_it():
    lives = [Life(seed, horizon=True).run() for seed in range(20)]

    assert any(isinstance(change, Drift) and change.cause == HORIZON for one in lives for change in one.said)


def test_a_size_that_changed_without_a_fill_is_told_with_both_figures():
    lives = [Life(seed, changes=True).run() for seed in range(40)]
    drifts = [change for life in lives for change in life.said if isinstance(change, Drift)]

    assert sum(life.exchange.changed for life in lives) > 20
    assert drifts
    assert all(abs(drift.ours - drift.theirs) > 500 for drift in drifts if "no fill" in drift.cause)

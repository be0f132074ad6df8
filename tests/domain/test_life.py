"""Thousands of lives of a book beside a model exchange: what is shown at the end is what is true.

`HLPOSMON_SEEDS=20000` runs more of them; a seed that fails is printed and can be run alone.
"""

import os

import pytest

from hlposmon.domain.changes import Drift
from tests.domain.exchange import Life

SEEDS = int(os.environ.get("HLPOSMON_SEEDS", "80"))


def fails(seed: int, **kind: bool) -> str | None:
    life = Life(seed, **kind).run()
    faults = life.faults()
    return f"seed {seed} ({life.plan}):\n  " + "\n  ".join(faults) if faults else None


@pytest.mark.parametrize("pushes", [False, True], ids=["answers", "and pushes"])
@pytest.mark.parametrize("restarts", [False, True], ids=["running on", "with restarts"])
@pytest.mark.parametrize("changes", [False, True], ids=["fills only", "with changes without a fill"])
@pytest.mark.timeout(3600)
def test_when_all_has_arrived_the_book_is_the_exchange(restarts, changes, pushes):
    failures = [
        failure
        for seed in range(SEEDS)
        if (failure := fails(seed, restarts=restarts, changes=changes, pushes=pushes)) is not None
    ]

    assert not failures, "\n".join(failures[:5])


def test_a_size_that_changed_without_a_fill_is_told_with_both_figures():
    lives = [Life(seed, changes=True).run() for seed in range(40)]
    drifts = [change for life in lives for change in life.said if isinstance(change, Drift)]

    assert sum(life.exchange.changed for life in lives) > 20
    assert drifts
    assert all(abs(drift.ours - drift.theirs) > 500 for drift in drifts if "no fill" in drift.cause)

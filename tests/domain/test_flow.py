"""Two hundred fills a second beside a state pushed each second: no false drift, and nothing lost is missed.

Ten seconds by default; `HLPOSMON_FLOW_S=3600` is an hour.
"""

import os

import pytest

from hlposmon.domain.changes import Doubt, Drift, Filled
from tests.domain.exchange import Life, Plan

FLOW_S = int(os.environ.get("HLPOSMON_FLOW_S", "10"))
# A block has two fills on the average.
PACE_MS = 10


def flow(
    seed: int,
    *,
    seconds: int = FLOW_S,
    loss: float = 0.0,
    delay_ms: int = 300,
    push_lag_ms: int = 400,
    changes: float = 0.0,
) -> Life:
    """A life at two hundred fills a second, with pushes that lag by up to `push_lag_ms`."""
    plan = Plan(
        pace_ms=PACE_MS,
        steps=seconds * 1000 // PACE_MS,
        loss=loss,
        delay_ms=delay_ms,
        lag_ms=500,
        restarts=0.0,
        changes=changes,
        push_lag_ms=push_lag_ms,
        fine=True,
    )
    return Life(seed, plan=plan).run()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("push_lag_ms", [0, 400, 5000])
@pytest.mark.parametrize("delay_ms", [0, 300, 4000])
@pytest.mark.parametrize("loss", [0.0, 0.002])
def test_a_flow_of_fills_and_pushes_that_lag_or_lead_is_never_a_drift(push_lag_ms, delay_ms, loss):
    life = flow(7, push_lag_ms=push_lag_ms, delay_ms=delay_ms, loss=loss)

    assert life.faults() == []
    assert not any(isinstance(change, Drift) for change in life.said)
    assert sum(isinstance(change, Filled) for change in life.said) > 150 * FLOW_S
    if delay_ms < 1000 and not loss:
        # Each doubt costs a fetch of thousands of fills: pushes just ahead of the fills must not raise one.
        assert sum(isinstance(change, Doubt) for change in life.said) < 4 + FLOW_S / 10


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_sizes_that_change_without_a_fill_amid_the_flow_are_found_and_healed(seed):
    life = flow(seed, seconds=30, changes=0.001)

    assert life.exchange.changed
    assert life.faults() == []
    assert life.mended_after_ms
    assert max(life.mended_after_ms) < 10_000

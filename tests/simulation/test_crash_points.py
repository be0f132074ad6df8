"""Every point at which a short life may break: each write, sync, opening and sending in its turn.

The script is one seed without a fault: a start, a statement, fills of which no feed brings some, the fetch
that closes the gap, funding, prices, and a clean end. At the N-th call, for every N, that call of the disk
fails once; or the tracker ends there, leaving any part of a write; or the machine does, losing what was not
synced. It begins again, and in the end all is safe, proven and equal.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.life import Crash, Life
from tests.simulation.plan import Plan

SEED = 0
SCRIPT = Plan(coins=2, pace_s=0.5, faults_s=6.0, both_lost=0.3, fundings=40.0, interval_s=5.0, tick_s=0.5)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_script_meets_what_it_is_there_for():
    life = Life(SEED, SCRIPT).run()

    assert not life.wrong
    assert {"gap", "healed", "funding booked", "both feeds lost fills"} <= life.states.seen.keys()
    assert life.disk.calls > 60


@pytest.mark.parametrize("fsync", ["each", "batch", "off"])
@pytest.mark.parametrize(
    "kind",
    [{"fails": True}, {}, {"power": True}],
    ids=["that call fails once", "the tracker ends there", "the power goes there"],
)
def test_at_every_call(fsync: str, kind: dict[str, bool]):
    script = replace(SCRIPT, fsync=fsync)
    calls = Life(SEED, script).run().disk.calls

    wrong = {}
    for call in range(1, calls + 1):
        life = Life(SEED, script, crash=Crash(call, **kind)).run()
        if life.wrong:
            wrong[call] = life.wrong
    assert not wrong

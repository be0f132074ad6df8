"""The equality: what the exchange holds, the book, the snapshot, the journal and the history are one."""

import os
import random
import signal
import time

import pytest

from tests.system.world import World, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

QUICK_RESTARTS = "[supervision]\nbackoff_s = 0.2\nbackoff_max_s = 1.0\n"
KILLS_EACH = int(os.environ.get("HLPOSMON_KILLS", "3"))
KINDS = ("fill", "price", "reconcile", "history", "tracker")


def _settled(here: World, begun: int) -> None:
    """Wait until all agree; say where they do not. Fills are waited for as long as more and more come."""
    wrong: list[str] = []

    def journalled() -> int:
        files = (here.log_dir / "trading").glob("*.jsonl")
        return sum(path.read_bytes().count(b'"type":"fill"') for path in files)

    def agree() -> bool:
        wrong[:] = here.disagreements(fills_from=begun)
        return not wrong

    try:
        known, made = 0, _made(here) - begun
        while known < made:
            until("more fills are journalled", lambda before=known: journalled() > before)
            known = journalled()
        until("all agree", agree)
    except AssertionError:
        pytest.fail("\n".join([*wrong, here.log()]))


def _made(here: World) -> int:
    return int(here.control.state()["accounts"][here.accounts[0]]["fills"])


def test_ten_thousand_fills_over_twenty_coins_at_500_a_second_agree_to_the_last_digit():
    with world() as here:
        here.open_exchange("--seed", "11", "--pace", "0", "--coins", "20")
        here.flatten()
        here.start()
        begun = _made(here)

        flow = here.control.flow(10_000, 500, coins=20, account=here.accounts[0])
        until("the flow is done", lambda: here.control.status(flow)["finished"], within_s=120)

        _settled(here, begun)
        assert len(here.positions()) >= 10
        assert _made(here) - begun == 10_000


def test_nothing_is_lost_or_doubled_while_every_kind_of_process_is_killed():
    seed = int(os.environ.get("HLPOSMON_SEED", str(random.randrange(10**6))))
    print(f"HLPOSMON_SEED={seed}")
    chance = random.Random(seed)
    with world() as here:
        here.open_exchange("--seed", str(seed), "--pace", "0", "--coins", "12", "--accounts", "1")
        here.flatten()
        here.start("--address", f"main={here.accounts[0]}", *here.urls, config=QUICK_RESTARTS)
        begun = _made(here)
        here.control.pace(100)

        killed: dict[str, list[int]] = {kind: [] for kind in KINDS}
        while left := [kind for kind in KINDS if len(killed[kind]) < KILLS_EACH]:
            kind = chance.choice(left)
            pids = until(
                f"a {kind} process is up",
                lambda kind=kind: [pid for pid in here.pids(kind) if pid not in killed[kind]],
                within_s=45,
            )
            time.sleep(chance.uniform(0, 0.7))  # the random instant that the test is about
            victim = chance.choice(pids)
            os.kill(victim, signal.SIGKILL)
            killed[kind].append(victim)

        here.control.pace(0)
        _settled(here, begun)
        restarted = dict.fromkeys(KINDS, KILLS_EACH)
        until("each is replaced", lambda: {kind: here.restarts()[kind] for kind in KINDS} == restarted)
        assert _made(here) - begun > 100
        assert here.stop() == 0

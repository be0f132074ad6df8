"""Many runs side by side, each in a process of its own."""

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from tests.chaos.run import Result, run

FOLDER = Path("build/chaos")
LONGEST_S = 240
PR_SET_PDEATHSIG = 1


def runs(seeds: Sequence[int], *, jobs: int, only: str | None = None) -> Iterator[Result]:
    """The results of all seeds as they come, `jobs` of them at a time."""
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(seeds))
    under_way: dict[Future[Result], int] = {}
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_go_with_parent) as pool:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                seed = waiting.pop()
                under_way[pool.submit(guarded, seed, only)] = seed
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                seed = under_way.pop(future)
                yield future.result()


def guarded(seed: int, only: str | None) -> Result:
    """A run that cannot hang."""

    def late(_signum: int, _frame: object) -> None:
        raise TimeoutError(f"the run took longer than {LONGEST_S} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST_S)
    try:
        return run(seed, only=only, keep=FOLDER)
    finally:
        signal.alarm(0)


def _go_with_parent() -> None:
    """When the one who hands out the seeds is gone, a run ends too, and takes what it started with it."""
    signal.signal(signal.SIGTERM, lambda _signum, _frame: sys.exit(1))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

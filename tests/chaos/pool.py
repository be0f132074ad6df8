"""Many runs side by side, each in a process of its own."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tests.chaos.plan import plan_of
from tests.chaos.run import Result, run

FOLDER = Path("build/chaos")
LONGEST_S = 240
PR_SET_PDEATHSIG = 1
# What a process does with a seed and, where one was named, a fault.
Work = Callable[[int, str | None], Result]


def runs(
    seeds: Sequence[int], *, jobs: int, only: str | None = None, work: Work | None = None
) -> Iterator[Result]:
    """The results of all seeds as they come, `jobs` of them at a time.

    A run whose process dies has failed, and takes no other with it: each has a pool of its own.
    """
    work = work or guarded
    waiting = list(reversed(seeds))
    idle = [_pool() for _ in range(jobs)]
    under_way: dict[Future[Result], tuple[int, ProcessPoolExecutor]] = {}
    try:
        while waiting or under_way:
            while waiting and idle:
                seed, pool = waiting.pop(), idle.pop()
                under_way[pool.submit(_do, work, seed, only)] = seed, pool
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                seed, pool = under_way.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    result = Result(seed, plan_of(seed, only=only).line(), error=str(error))
                    pool.shutdown()
                    pool = _pool()
                idle.append(pool)
                yield result
    finally:
        for pool in [*idle, *(each for _, each in under_way.values())]:
            pool.shutdown(cancel_futures=True)


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


def _pool() -> ProcessPoolExecutor:
    """A process for one run after the other."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _go_with_parent)


def _do(work: Work, seed: int, only: str | None) -> Result:
    """Do a run. One that is told to end has cleaned up: end its process too, since the pool would take
    SystemExit for a result and wait for the next seed."""
    try:
        return work(seed, only)
    except SystemExit:
        os._exit(1)


def _go_with_parent() -> None:
    """When the one who hands out the seeds is gone, a run ends too, and takes what it started with it."""
    signal.signal(signal.SIGTERM, lambda _signum, _frame: sys.exit(1))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

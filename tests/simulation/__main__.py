"""Lives by the thousand: `python -m tests.simulation --lives 200000 --from-seed 0 --jobs 2`.

`--seed N` repeats one, with a trace of all that was told and followed. Progress goes to stderr, the result to
stdout, and with `--write docs/reliability.md` into that report. Ends with 0 when every life was safe and
whole in the end and no rare state was missed, else with 1. `--mutations` puts faults into the product, one
after the other, and ends with 0 when lives find each.
"""

import argparse
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.simulation import report
from tests.simulation.life import CONVERGED_S, Life
from tests.simulation.mutations import LIVES, MUTATIONS
from tests.simulation.places import clear_left
from tests.simulation.result import Result
from tests.simulation.states import WANTED

PIECE = 25  # lives a process does before it reports
# A run of so many lives reaches every state; a shorter one may miss some.
LONG = 20_000
TRACED = 3
PR_SET_PDEATHSIG = 1  # prctl(2)


def lives(seeds: range) -> Result:
    """One process's share. A life's objects know each other and are let go together, behind this."""
    logging.disable(logging.CRITICAL)  # what the shell logs of each effect is no part of it
    result = Result()
    gc.disable()
    try:
        _live(seeds, result)
    finally:
        gc.enable()
        gc.collect()
    return result


def _live(seeds: range, result: Result) -> None:
    for seed in seeds:
        life = Life(seed)
        try:
            life.run()
        except Exception as error:  # noqa: BLE001 - the seed is told, and the others go on
            life.wrong.append(f"{type(error).__name__}: {error}")
        result.lives += 1
        result.fills += sum(map(len, life.venue.fills.values()))
        result.claims += life.witness.claims
        result.slowest_s = max(result.slowest_s, life.converged_s or 0.0)
        result.seen += life.states.seen
        if life.wrong:
            result.wrong[seed] = life.wrong
        life.let_go()


def run(first: int, count: int, jobs: int) -> Result:
    clear_left()
    pieces = [range(at, min(at + PIECE, first + count)) for at in range(first, first + count, PIECE)]
    total, began_s, told_s = Result(), time.monotonic(), time.monotonic()
    try:
        for result in _results(pieces, jobs):
            total.add(result)
            for seed, texts in sorted(result.wrong.items()):
                print(f"seed {seed}: {texts[0]}", file=sys.stderr, flush=True)
            now_s = time.monotonic()
            if now_s - told_s >= 5.0 or total.lives == count:
                told_s = now_s
                print(_progress(total, count, now_s - began_s), file=sys.stderr, flush=True)
    finally:
        clear_left(at_end=True)
    return total


def _progress(total: Result, count: int, took_s: float) -> str:
    rate = total.lives / took_s
    left_min = (count - total.lives) / rate / 60
    failed = f"{len(total.unsafe)} unsafe, {len(total.late)} not whole"
    return f"{total.lives} of {count} lives, {rate * 60:.0f} a minute, {failed}, {left_min:.1f} min left"


def _results(pieces: list[range], jobs: int) -> Iterator[Result]:
    # What is loaded by now stays: no collection of what lives leave need look through it.
    gc.collect()
    gc.freeze()
    if jobs == 1:
        yield from map(lives, pieces)
        return
    with multiprocessing.get_context("fork").Pool(jobs, _end_with_parent) as pool:
        yield from pool.imap_unordered(lives, pieces)


def _end_with_parent() -> None:
    """A job whose run is killed has nobody to tell, and waits for its next piece for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends its jobs by itself
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def trace(seed: int) -> int:
    logging.disable(logging.CRITICAL)
    life = Life(seed, say=print)
    print(life.plan)
    life.run()
    print("\n".join(life.wrong) or f"whole {life.converged_s:.1f} s after the last fault")
    return 1 if life.wrong else 0


def missed(total: Result) -> list[str]:
    return [state for state in WANTED if not total.seen[state]]


def tell(total: Result) -> int:
    for state in WANTED:
        print(f"{total.seen[state]:9d}  {state}")
    print(
        f"{total.lives} lives, {total.fills} fills, {total.claims} claims checked;"
        f" {len(total.unsafe)} unsafe, {len(total.late)} not whole within {CONVERGED_S:g} s;"
        f" the slowest took {total.slowest_s:.1f} s after the last fault."
    )
    for seed in sorted(total.wrong)[:20]:
        print(f"seed {seed}: {total.wrong[seed][0]}")
    for seed in sorted(total.wrong)[:TRACED]:
        print(f"--- seed {seed}")
        trace(seed)
    print(report.bound(total))
    is_short, never = total.lives < LONG, missed(total)
    if never:
        print(f"never reached: {', '.join(never)}" + (" (a short run)" if is_short else ""))
    return 1 if total.wrong or (never and not is_short) else 0


def mutate(first: int, jobs: int) -> int:
    """Whether lives find each fault that is put in; within how many, and by what."""
    not_found = 0
    for mutation in MUTATIONS:
        with mutation.made():
            done, said = find(first, LIVES, jobs)
        not_found += said is None
        found = f"not found in {done} lives" if said is None else f"found in {done} lives: {said}"
        print(f"{mutation.name}: {found}", flush=True)
    return 1 if not_found else 0


def find(first: int, count: int, jobs: int) -> tuple[int, str | None]:
    """Live until a life fails: how many were lived, and what was wrong."""
    pieces = [range(at, min(at + PIECE, first + count)) for at in range(first, first + count, PIECE)]
    done = 0
    with closing(_results(pieces, jobs)) as results:
        for result in results:
            done += result.lives
            for seed, texts in sorted(result.wrong.items()):
                return done, f"seed {seed}, {texts[0]}"
    return done, None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--lives", type=int, default=2000)
    parser.add_argument("--from-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, help="this one alone, with a trace")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the result into this report")
    parser.add_argument("--mutations", action="store_true", help="see that faults in the product are found")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left
    if asked.seed is not None:
        return trace(asked.seed)
    if asked.mutations:
        return mutate(asked.from_seed, asked.jobs)
    began_s = time.monotonic()
    total = run(asked.from_seed, asked.lives, asked.jobs)
    if asked.write:
        facts = f"--lives {asked.lives} --from-seed {asked.from_seed} --jobs {asked.jobs}"
        command = f"python -m tests.simulation {facts}"
        minutes = (time.monotonic() - began_s) / 60
        report.write(asked.write, total, command=command, missed=missed(total), minutes=minutes)
    return tell(total)


if __name__ == "__main__":
    sys.exit(main())

"""Lives by the thousand: `python -m tests.simulation --lives 200000 --from-seed 0 --jobs 2`.

`--seed N` repeats one, with a trace of all that was told and followed. Progress goes to stderr, the result to
stdout. Ends with 0 when every life was safe and whole in the end and no rare state was missed, else with 1.
"""

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.life import CONVERGED_S, Life
from tests.simulation.states import WANTED

PIECE = 25  # lives a process does before it reports
# A run of so many lives reaches every state; a shorter one may miss some.
LONG = 20_000
TRACED = 3


@dataclass
class Result:
    lives: int = 0
    fills: int = 0
    claims: int = 0
    slowest_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Result") -> None:
        self.lives += other.lives
        self.fills += other.fills
        self.claims += other.claims
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.seen += other.seen
        self.wrong |= other.wrong


def lives(seeds: range) -> Result:
    """One process's share."""
    logging.disable(logging.CRITICAL)  # what the shell logs of each effect is no part of it
    result = Result()
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
    return result


def run(first: int, count: int, jobs: int) -> Result:
    pieces = [range(at, min(at + PIECE, first + count)) for at in range(first, first + count, PIECE)]
    total, began_s, told_s = Result(), time.monotonic(), time.monotonic()
    for result in _results(pieces, jobs):
        total.add(result)
        now_s = time.monotonic()
        if now_s - told_s >= 5.0 or total.lives == count:
            told_s = now_s
            rate = total.lives / (now_s - began_s)
            left_s = (count - total.lives) / rate
            print(
                f"{total.lives} of {count} lives, {rate * 60:.0f} a minute, {len(total.wrong)} wrong,"
                f" {left_s / 60:.1f} min left",
                file=sys.stderr,
                flush=True,
            )
    return total


def _results(pieces: list[range], jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(lives, pieces)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(lives, pieces)


def trace(seed: int) -> int:
    logging.disable(logging.CRITICAL)
    life = Life(seed, say=print)
    print(life.plan)
    life.run()
    print("\n".join(life.wrong) or f"whole {life.converged_s:.1f} s after the last fault")
    return 1 if life.wrong else 0


def tell(total: Result) -> int:
    for state in WANTED:
        print(f"{total.seen[state]:9d}  {state}")
    missed = [state for state in WANTED if not total.seen[state]]
    bound = f"at 95 % confidence fewer than {3 / total.lives:.2g} of all lives" if not total.wrong else ""
    print(
        f"{total.lives} lives, {total.fills} fills, {total.claims} claims checked; {len(total.wrong)} unsafe"
        f" or not whole within {CONVERGED_S:g} s; the slowest took {total.slowest_s:.1f} s after the last"
        " fault."
    )
    if bound:
        print(f"0 of {total.lives} bounds what was not seen: {bound} (3/n).")
    for seed in sorted(total.wrong)[:20]:
        print(f"seed {seed}: {total.wrong[seed][0]}")
    for seed in sorted(total.wrong)[:TRACED]:
        print(f"--- seed {seed}")
        trace(seed)
    is_short = total.lives < LONG
    if missed:
        print(f"never reached: {', '.join(missed)}" + (" (a short run)" if is_short else ""))
    return 1 if total.wrong or (missed and not is_short) else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--lives", type=int, default=2000)
    parser.add_argument("--from-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, help="this one alone, with a trace")
    asked = parser.parse_args()
    if asked.seed is not None:
        return trace(asked.seed)
    return tell(run(asked.from_seed, asked.lives, asked.jobs))


if __name__ == "__main__":
    sys.exit(main())

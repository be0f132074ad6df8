"""Many runs side by side: `python -m tests.chaos --runs 1000 --jobs 6 [--from-seed 1] [--only FAULT]`.

Each failed seed is named with its plan and the folder of its logs; the exit status is 1 if there is
one. `--seed N` repeats a single run. `--write docs/reliability.md` puts the results into the report.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.chaos import report
from tests.chaos.faults.table import BY_NAME
from tests.chaos.pool import FOLDER, runs
from tests.chaos.run import Result, as_row


def main() -> int:
    given = _arguments()
    if given.list:
        print("\n".join(f"{fault.name:36} {fault.group}" for fault in BY_NAME.values()))
        return 0
    seeds = (
        [given.seed] if given.seed is not None else list(range(given.from_seed, given.from_seed + given.runs))
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    results, rows = [], []
    commit = report.commit()
    began_s = time.monotonic()
    with given.results.open("a" if given.resume else "w") as file:
        for result in runs(seeds, jobs=given.jobs, only=given.only):
            rows.append(as_row(result) | {"commit": commit})
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            results.append(result)
            _say(result, len(results), len(seeds), began_s, results)
    failed = [result for result in results if not result.ok]
    if given.resume:
        rows = report.read(given.results)
    missed = [] if given.only else report.never_done(rows)
    if given.write:
        report.write_chaos(given.write, rows, command=_command(given, rows), missed=missed)
    print(f"{len(results)} runs, {len(failed)} failed, {time.monotonic() - began_s:.0f} s")
    for result in failed:
        print(f"  FAILED {result.plan}\n    {_why(result)}\n    logs: {result.kept}")
        print(
            f"    again: python -m tests.chaos --seed {result.seed}"
            + (f" --only '{given.only}'" if given.only else "")
        )
    if missed:
        print(f"  not done once in {len(rows)} runs: {', '.join(missed)}")
    return 1 if failed or missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--from-seed", type=int, default=1)
    parser.add_argument("--seed", type=int, help="this run alone")
    parser.add_argument("--only", choices=sorted(BY_NAME), help="this fault in each run")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the results into this report")
    parser.add_argument(
        "--results", type=Path, default=FOLDER / "results.jsonl", help="a JSON line for each run"
    )
    parser.add_argument("--resume", action="store_true", help="add to the results that are there")
    parser.add_argument("--list", action="store_true", help="the faults there are")
    return parser.parse_args()


def _command(given: argparse.Namespace, rows: list[report.Row]) -> str:
    """What makes the same again; several parts of one batch say which seeds they were together."""
    only = f" --only '{given.only}'" if given.only else ""
    seeds = sorted(row["seed"] for row in rows)
    if given.seed is not None and seeds == [given.seed]:
        return f"`python -m tests.chaos --seed {given.seed}{only}`"
    if seeds == list(range(given.from_seed, given.from_seed + given.runs)):
        count, first = given.runs, given.from_seed
        return f"`python -m tests.chaos --runs {count} --jobs {given.jobs} --from-seed {first}{only}`"
    return f"`python -m tests.chaos{only}`, in several parts: seeds {report.spans(seeds)}"


def _say(result: Result, done: int, count: int, began_s: float, results: list[Result]) -> None:
    failed = sum(not each.ok for each in results)
    took_s = time.monotonic() - began_s
    word = "ok    " if result.ok else "FAILED"
    print(f"{word} {result.seconds:5.1f} s  {result.plan}", flush=True)
    if not result.ok:
        print(f"       {_why(result)}", flush=True)
    if result.slow:
        print(f"       slow: {'; '.join(result.slow)}", flush=True)
    if done % 20 == 0:
        left_s = took_s / done * (count - done)
        print(
            f"-- {done} of {count}, {failed} failed, {took_s:.0f} s, about {left_s:.0f} s to go", flush=True
        )


def _why(result: Result) -> str:
    drifts = [f"{result.drifts} times drift, and no fill was out of reach"] if result.drifts else []
    last = result.error.strip().splitlines()[-1:] if not (result.wrong or result.unequal) else []
    return " | ".join(
        [*result.wrong[:3], *result.unequal[:3], *result.unsaid, *result.left[:3], *drifts, *last]
    )


if __name__ == "__main__":
    sys.exit(main())

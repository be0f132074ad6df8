"""What many accounts cost the tracker: `python -m tests.bench.many [--accounts 300] [--positions 50]`.

The engine with the tracker's own outputs in this process, without clients; each figure is the median of
seven. While a summary is made no fill is taken. It prints one JSON object.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hlposmon.text import dumps
from tests.tracker.shell import Shell

ROUNDS = 7


def median_ms(work: Callable[[], object]) -> float:
    took_ms = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        work()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took_ms)


def figures(here: Shell) -> dict[str, float]:
    """Milliseconds each; `prices` is what each second costs in which every price moves."""
    prices, sizes = iter(range(200, 1000)), iter(range(1, 1000))

    def fill() -> None:
        name, size = next(iter(here.addresses)), str(next(sizes))
        assert here.end.put(here.live(here.fill("1", size, here.coins[0], account=name)), lambda: True)
        here.takes()

    def moves() -> None:
        here.moves_prices(str(next(prices)))

    fill()
    moves()  # what is made once and kept is not the matter here
    found = {
        "fill ms": median_ms(fill),
        "idle tick ms": median_ms(lambda: here.carries_out(here.passes(0.25))),
        "prices ms": median_ms(moves),
        "summary ms": median_ms(lambda: dumps(here.answers.summary(None))),
        "health ms": median_ms(lambda: dumps(here.answers.health())),
    }
    return {**found, "summary MB": len(dumps(here.answers.summary(None))) / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.many", description=__doc__)
    parser.add_argument("--accounts", type=int, default=300)
    parser.add_argument("--positions", type=int, default=50, help="of each account")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hlp-") as folder:
        here = Shell(Path(folder), given.accounts, given.positions)
        gc.collect()
        gc.freeze()
        gc.disable()  # the tracker collects when it rests
        print(json.dumps(figures(here)))
        here.close()


if __name__ == "__main__":
    main()

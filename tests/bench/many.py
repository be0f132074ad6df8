"""What many accounts cost the tracker: `python -m tests.bench.many [--accounts 300] [--positions 50]`.

The engine with the tracker's own outputs in this process, without clients; each figure is the median of
seven. While a summary is made no fill is taken.
"""

import argparse
import gc
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
        prices = iter(range(200, 1000))
        sizes = iter(range(1, 1000))

        def fill() -> None:
            name, size = next(iter(here.addresses)), str(next(sizes))
            assert here.end.put(here.live(here.fill("1", size, here.coins[0], account=name)), lambda: True)
            here.takes()

        def ticks() -> None:
            here.carries_out(here.passes(0.25))

        def moves() -> None:
            here.moves_prices(str(next(prices)))

        def summary_after_prices() -> float:
            moves()
            return median_ms(lambda: dumps(here.answers.summary(None)))

        print(f"{given.accounts} accounts of {given.positions} positions, milliseconds:")
        print(f"  a fill, from its datagram to the last output: {median_ms(fill):.3f}")
        print(f"  an idle tick (four a second): {median_ms(ticks):.3f}")
        print(f"  every price moves, everything is shown: {median_ms(moves):.1f}")
        print(f"  summary, welcome: {median_ms(lambda: dumps(here.answers.summary(None))):.1f}")
        print(f"  the same after every price has moved: {summary_after_prices():.1f}")
        print(f"  health: {median_ms(lambda: dumps(here.answers.health())):.2f}")
        print(f"  size of the summary: {len(dumps(here.answers.summary(None))) / 1e6:.2f} MB")
        here.close()


if __name__ == "__main__":
    main()

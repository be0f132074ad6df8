"""What metrics cost: counting beside a fill, and a scrape. `python -m tests.bench.metrics`. Medians.

Counting is in the tracker's loop at every fill; a scrape holds the loop for as long as it takes.
"""

import statistics
import subprocess
import sys
import time
import timeit
from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.reports import Fills, StatedPosition
from hlposmon.metrics.measures import Counts
from tests.tracker.desk import Desk, desk, until

POSITIONS = (1, 10, 100, 1000)
ROUNDS = 15


def counting_us() -> float:
    counts = Counts()

    def one_fill() -> None:
        counts.fills["main", "hyperliquid:Perp:BTC"] += 1
        counts.published(
            heard_s=time.monotonic() - 0.0005,
            made_ms=1_790_000_000_000,
            now_s=time.monotonic(),
            now_ms=int(time.time() * 1000),
        )

    return min(timeit.repeat(one_fill, number=20_000, repeat=5)) / 20_000 * 1e6


def with_positions(here: Desk, count: int) -> None:
    keys = [f"hyperliquid:Perp:C{number}" for number in range(count)]
    stated = tuple(StatedPosition(key, Decimal(2), Decimal("50.5")) for key in keys)
    worker = here.join()
    worker.is_live()
    worker.says(replace(here.statement(), positions=stated))
    for at in range(0, count, 100):
        fills = tuple(here.fill("buy", "1", "2", key=key) for key in keys[at : at + 100])
        worker.says(Fills("main", "fill", fills, time.monotonic()))
    until(
        "all are taken",
        lambda: sum(row["fills"] for row in here.api.summary()["positions"].values()) == count,
        within_s=60,
    )


def scrape_ms(here: Desk) -> tuple[float, int]:
    took, size = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        size = len(here.tracker.metrics("")[1])  # in the test's thread: while the loop waits
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), size


def import_ms() -> float:
    code = (
        "import time, hlposmon.tracker.tracker; began = time.perf_counter();"
        "import hlposmon.metrics.exposition; print((time.perf_counter() - began) * 1000)"
    )
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    )


def main() -> None:
    print(f"{'counting one fill':<46}{counting_us():>12.2f} us")
    print(f"{'loading the library, at the first scrape':<46}{import_ms():>12.1f} ms")
    for count in POSITIONS:
        with desk() as here, here.running():
            with_positions(here, count)
            took_ms, size = scrape_ms(here)
        print(f"{f'a scrape with {count} positions ({size // 1000} kB)':<46}{took_ms:>12.1f} ms")


if __name__ == "__main__":
    main()

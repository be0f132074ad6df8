"""What is counted while the tracker works: fills, connections, and how long a fill takes. Pure.

Plain numbers: whoever is never asked for metrics shall not carry their library, and a count must cost
next to nothing beside a fill. All begin at zero with the process: a new tracker's are seen as reset.
"""

from bisect import bisect_left
from collections import Counter

# From a tenth of a millisecond to ten seconds: what a fill takes on an idle machine is half a millisecond.
BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Spread:
    """How many of what was seen lie within each bound, in seconds; the last count is for those beyond."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def see(self, seconds: float) -> None:
        """What is negative by the difference of two clocks counts as nothing."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += max(0.0, seconds)

    def buckets(self) -> list[tuple[str, float]]:
        """Prometheus's: each bound, and how many lie within it."""
        within, found = 0, []
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], self.counts, strict=True):
            within += count
            found.append((bound, float(within)))
        return found


class Counts:
    """`fills` by account and key. The spreads are of fills that a stream brought: from the worker's hearing
    of one to its being published, and from the exchange's time to then (of two clocks, theirs and ours)."""

    def __init__(self) -> None:
        self.fills: Counter[tuple[str, str]] = Counter()
        self.heard_to_published = Spread()
        self.made_to_published = Spread()
        self.reconnects: dict[str, int] = {}
        self._connections: dict[str, int] = {}

    def published(self, *, heard_s: float, made_ms: int, now_s: float, now_ms: int) -> None:
        """A fill was published; `_s` are of the monotonic clock, `_ms` of the wall clocks."""
        self.heard_to_published.see(now_s - heard_s)
        self.made_to_published.see((now_ms - made_ms) / 1000)

    def connected(self, worker: str, count: int) -> None:
        """A worker had its `count`th connection. What it had before this tracker began is not counted, and
        the first one of each process is no reconnect."""
        before = self._connections.get(worker, count)
        self._connections[worker] = count
        since = count - before if count >= before else count - 1
        self.reconnects[worker] = self.reconnects.get(worker, 0) + since

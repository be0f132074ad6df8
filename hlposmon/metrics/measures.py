"""Counters that the tracker updates while it works: fills, connections, and latencies of fills. Pure.

They are plain numbers, so that a tracker that is never scraped need not load the metrics library, and
counting costs almost nothing per fill. All start at zero with the process; Prometheus sees a reset.
"""

from bisect import bisect_left
from collections import Counter

# Upper bounds of the buckets, in seconds; a fill takes about half a millisecond on an idle machine.
BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Spread:
    """A histogram of durations.

    `counts[i]` is how many were at most BOUNDS_S[i] and above the bound before it; the last count is for
    those above all bounds. `sum_s` is the sum in seconds.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def see(self, seconds: float) -> None:
        """Count one duration. A negative one (two clocks that differ) counts as zero."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += max(0.0, seconds)

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative buckets as Prometheus expects them: each bound as text ("+Inf" last), and how
        many durations were at most that."""
        within, found = 0, []
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], self.counts, strict=True):
            within += count
            found.append((bound, float(within)))
        return found


class Counts:
    """The tracker's counters: `fills` by account and key, `causes` of fills by account and cause,
    `reconnects` by worker.

    The histograms cover fills from a stream: `heard_to_published` from their receipt by the worker to their
    publication, `made_to_published` from the exchange's time of the fill, so it compares two clocks.
    """

    def __init__(self) -> None:
        self.fills: Counter[tuple[str, str]] = Counter()
        self.causes: Counter[tuple[str, str]] = Counter()
        self.heard_to_published = Spread()
        self.made_to_published = Spread()
        self.reconnects: dict[str, int] = {}
        self._connections: dict[str, int] = {}

    def published(self, *, heard_s: float, made_ms: int, now_s: float, now_ms: int) -> None:
        """Record the latencies of a published fill.

        `heard_s` and `now_s` are monotonic seconds; `made_ms` (the exchange's clock) and `now_ms` (ours) are
        Unix milliseconds.
        """
        self.heard_to_published.see(now_s - heard_s)
        self.made_to_published.see((now_ms - made_ms) / 1000)

    def connected(self, worker: str, count: int) -> None:
        """Record that a worker process opened its `count`th connection to the exchange.

        Connections from before this tracker started are not counted, and a process's first connection is not
        a reconnect: after the reports 3, 4, 1, 2 the total is 0, 1, 1, 2 (the 1 is from a new process).
        """
        before = self._connections.get(worker, count)
        self._connections[worker] = count
        since = count - before if count >= before else count - 1
        self.reconnects[worker] = self.reconnects.get(worker, 0) + since

"""A clock for upper bounds, which stands still while this process and its descendants wait for a processor.

On a busy machine everything takes longer, and no bound in seconds of the wall clock holds. The kernel counts
for each thread how long it was ready to run and did not: the second number of /proc/PID/task/TID/schedstat,
in nanoseconds (Documentation/scheduler/sched-stats.rst). That is taken off. On a quiet machine it is the wall
clock, and the bounds are sharp. Threads that wait side by side are all counted, so it may even go backwards:
it serves for "no later than" and never for "no sooner than". Where the kernel does not count, it is the wall
clock.
"""

import contextlib
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from time import monotonic  # by name: who replaces that of `time` does not replace it here

LOOK_S = 0.1
KEPT_S = 600


def awake_s() -> float:
    """Seconds of the clock."""
    _watch.begin()
    return monotonic() - _watch.look()


def awake_here_s() -> float:
    """The same for this process without its descendants, which costs less."""
    _watch.note(Path("/proc/self"))
    return monotonic() - _watch.sum_s()


def awake_between(began_s: float, ended_s: float) -> float:
    """The same between two times of time.monotonic(), both later in this test than an `awake_s()`."""
    return ended_s - began_s - _watch.waited_s(began_s, ended_s)


def count_orphans(pids: Iterable[int]) -> None:
    """Count these too, which are no descendants any more once their parent is gone."""
    _watch.orphans.update(pids)


def rest() -> None:
    """The test is over."""
    _watch.end()


class _Watch:
    """What all have waited. A thread looks now and then, for the sake of processes that end before the test
    asks; it runs in tests that ask and in no others, since it opens files, and some tests count those."""

    def __init__(self) -> None:
        self.orphans: set[int] = set()
        self._waited_ns: dict[
            tuple[str, str], int
        ] = {}  # by process and thread, of those too that have ended
        self._looks: deque[tuple[float, float]] = deque(maxlen=int(KEPT_S / LOOK_S))  # when, and the sum then
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def begin(self) -> None:
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._go_on, name="tests.clock", daemon=True)
            self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
        self.orphans.clear()

    def _go_on(self) -> None:
        while not self._over.is_set():
            self.look()
            self._over.wait(LOOK_S)

    def look(self) -> float:
        found = [Path("/proc/self"), *(Path("/proc", str(pid)) for pid in tuple(self.orphans))]
        while found:
            found += self.note(found.pop())
        self._looks.append((monotonic(), self.sum_s()))
        return self._looks[-1][1]

    def note(self, process: Path) -> list[Path]:
        """Take down what the threads of a process have waited; its children."""
        children: list[Path] = []
        with contextlib.suppress(OSError):
            for thread in (process / "task").iterdir():
                if self._thread is not None and thread.name == str(self._thread.native_id):
                    continue
                with contextlib.suppress(OSError):
                    waited = int((thread / "schedstat").read_text().split()[1])
                    self._waited_ns[process.name, thread.name] = waited
                    children += [Path("/proc", pid) for pid in (thread / "children").read_text().split()]
        return children

    def sum_s(self) -> float:
        return sum(list(self._waited_ns.values())) / 1e9

    def waited_s(self, began_s: float, ended_s: float) -> float:
        self.look()
        at_s, waited_s = zip(*tuple(self._looks), strict=True)
        first = max(bisect_right(at_s, began_s) - 1, 0)
        last = min(bisect_left(at_s, ended_s), len(at_s) - 1)
        return float(waited_s[last] - waited_s[first])


_watch = _Watch()

"""A clock for upper bounds, which goes only while this process gets the processor when it asks for it.

On a busy machine everything takes longer, and no bound in seconds of the wall clock holds. Here a thread asks
to be woken again and again, and what is counted is how often it was: while the machine keeps it from running,
the clock stands still, and what is measured with it was kept from running as well. It never goes faster than
the wall clock, so it serves for "no later than" and not for "no sooner than".
"""

import threading
import time
from collections import deque
from time import sleep  # by name, so that who replaces time.sleep does not replace it here

TICK_S = 0.01
KEPT_S = 600


class _Ticks(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="tests.clock", daemon=True)
        self.count = 0
        self.last: deque[float] = deque(maxlen=int(KEPT_S / TICK_S))

    def run(self) -> None:
        while True:
            sleep(TICK_S)
            self.count += 1
            self.last.append(time.monotonic())


_ticks = _Ticks()
_ticks.start()


def awake_s() -> float:
    """Seconds since this was loaded in which this process could run."""
    return _ticks.count * TICK_S


def awake_between(began_s: float, ended_s: float) -> float:
    """The same between two times of time.monotonic(), which lie in the last ten minutes."""
    return sum(began_s < at_s <= ended_s for at_s in tuple(_ticks.last)) * TICK_S

"""The wall clock, for timestamps, and how long this machine was suspended.

The wall clock may be set back: measure durations with time.monotonic() instead.
"""

import time


def now_ms() -> int:
    """Return the time in Unix milliseconds, rounded down."""
    return int(time.time() * 1000)


def asleep_s() -> float:
    """Return how many seconds this machine has been suspended since it booted.

    CLOCK_BOOTTIME counts while the machine is suspended, CLOCK_MONOTONIC does not (clock_gettime(2)).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

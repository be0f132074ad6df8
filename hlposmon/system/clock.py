"""The wall clock, which stamps what is told, and how long this machine slept. No age is taken of it."""

import time


def now_ms() -> int:
    """Unix milliseconds."""
    return int(time.time() * 1000)


def asleep_s() -> float:
    """How long this machine has been suspended since it booted: CLOCK_MONOTONIC stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

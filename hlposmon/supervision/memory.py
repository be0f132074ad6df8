"""When a child collects garbage (while idle) and returns free memory to the kernel (once a minute).

Python's own collector runs when enough was allocated, which is often in the middle of a fill: 0.1 to 3 ms,
for one fill in twenty. A child that reports when it is idle collects then instead.

glibc keeps freed memory for reuse: after one large answer of a venue (2000 fills are 1 MB of text and
several MB of objects) a worker stays larger by that amount. malloc_trim(3) returns whole free pages to the
kernel, also from the middle of the heap. It takes up to a millisecond, and a few microseconds if there is
nothing to return.
"""

import ctypes
import gc
import sys

# Interval between collections of young objects, and how much later one is forced in a child that never rests.
COLLECT_S, OVERDUE_S = 1.0, 10.0
# A full collection runs when the number of allocated blocks has grown by a quarter since the last one (the
# ratio that CPython uses for its oldest generation), and at least this often.
GROWTH, COLLECT_ALL_S = 1.25, 600.0


class Garbage:
    """Collects this process's garbage while it is idle; creating one turns Python's own collector off."""

    def __init__(self, now_s: float) -> None:
        gc.disable()
        self._due_s, self._all_due_s = now_s + COLLECT_S, now_s + COLLECT_ALL_S
        self._blocks = sys.getallocatedblocks()

    def collect_if_due(self, now_s: float, *, idle: bool) -> None:
        """Collect garbage if it is due: COLLECT_S after the last time if `idle` (no work waits), else
        OVERDUE_S later. `now_s` is monotonic seconds. Calling it more often costs nothing.
        """
        if now_s < self._due_s + (0.0 if idle else OVERDUE_S):
            return
        self._due_s = now_s + COLLECT_S
        if now_s < self._all_due_s and sys.getallocatedblocks() < GROWTH * self._blocks:
            gc.collect(1)
        else:
            gc.collect()
            self._blocks, self._all_due_s = sys.getallocatedblocks(), now_s + COLLECT_ALL_S


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
LARGE_BYTES = 128 << 10


def disable_adaptive_malloc() -> None:
    """Make glibc return large blocks (a statement's text, a checkpoint's line) to the kernel when freed.

    This is glibc's initial behaviour, but freeing a large block raises its thresholds (mallopt(3)): blocks of
    that size then stay in the heap and fragment it. Call it once, before the first fork; children inherit it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Return free memory to the kernel (malloc_trim(3)); does nothing without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps less
    if trim is not None:
        trim(0)

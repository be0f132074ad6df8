"""When a child's memory is tidied: garbage while nothing waits, free memory once a minute.

Python collects garbage when enough was allocated, which is in the midst of a fill: 0.1 to 3 ms, for one
fill in twenty. A child that says when it is idle collects then, and at no other time.

glibc keeps what was freed for the next time: after one large answer of a venue (2000 fills are 1 MB of text
and several MB of objects) a worker stays larger by that, for good. malloc_trim(3) gives back whole pages,
also from amid what is in use; it takes up to a millisecond, and some microseconds when there is nothing.
"""

import ctypes
import gc
import sys

# How often young garbage is collected, and how much later at the most where a child is never idle.
COLLECT_S, OVERDUE_S = 1.0, 10.0
# Old garbage is collected too when memory in use has grown by a quarter since the last time, as in Python,
# and in any case this often.
GROWTH, COLLECT_ALL_S = 1.25, 600.0


class Garbage:
    """Collects this process's garbage when there is time for it, in the place of Python's own rule."""

    def __init__(self, now_s: float) -> None:
        gc.disable()
        self._due_s, self._all_due_s = now_s + COLLECT_S, now_s + COLLECT_ALL_S
        self._blocks = sys.getallocatedblocks()

    def collect_if_due(self, now_s: float, *, idle: bool) -> None:
        """`idle`: nothing waits. Call it as often as you like: it is done once a second."""
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
    """Let large blocks (a statement's text, a checkpoint's line) go back to the kernel once they are free.

    glibc begins so, but learns from each large block that was freed to keep those of its size: for good, with
    holes in it. Once, before the first fork: children inherit it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Give the kernel what is free."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps less
    if trim is not None:
        trim(0)

"""Memory that is free goes back to the kernel.

glibc keeps what was freed for the next time: after one large answer of a venue (2000 fills are 1 MB of text
and several MB of objects) a worker stays larger by that, for good. malloc_trim(3) gives back whole pages,
also from amid what is in use; it takes up to a millisecond, and some microseconds when there is nothing.
"""

import ctypes


def give_back() -> None:
    """Give the kernel what is free."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps less
    if trim is not None:
        trim(0)

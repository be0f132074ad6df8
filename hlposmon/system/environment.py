"""Erases a variable from the initial environment block, which the kernel shows.

/proc/PID/environ shows the memory block of variables that a process started with, for as long as it lives,
and for the processes forked from it as well (proc(5)). Unsetting a variable removes it from lookups, but its
value stays in that block.
"""

import ctypes


def wipe(name: str) -> None:
    """Overwrite the value of a variable with zeros in place, if it is set; the caller must unset it then."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    at = libc.getenv(name.encode())
    if at is not None:
        ctypes.memset(at, 0, len(ctypes.string_at(at)))

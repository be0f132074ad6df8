"""The environment as the kernel keeps it.

A process starts with its variables in a block of memory that /proc/PID/environ shows for as long as it lives,
and so do those that are forked from it. To unset a variable takes it from what the process itself looks up,
and leaves it there.
"""

import ctypes


def wipe(name: str) -> None:
    """Overwrite the value of a variable with zeros where it lies, if there is one; unset it afterwards."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    at = libc.getenv(name.encode())
    if at is not None:
        ctypes.memset(at, 0, len(ctypes.string_at(at)))

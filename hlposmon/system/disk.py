"""The system calls that change files durably, wrapped once: whoever writes a journal is handed a Disk.

Another Disk than this one loses what was not synced, refuses a call, or ends the process in the midst of
one: so recovery is tried at every byte, without a machine that is switched off.
"""

import os
from pathlib import Path


class Disk:
    """The operating system's own calls, by the same names. Each raises OSError as it does."""

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        """As os.open."""
        return os.open(path, flags, mode)

    def dup(self, fd: int) -> int:
        """As os.dup."""
        return os.dup(fd)

    def close(self, fd: int) -> None:
        """As os.close."""
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """As os.write: how many bytes were written, maybe fewer than given."""
        return os.write(fd, data)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """As os.pwrite."""
        return os.pwrite(fd, data, offset)

    def ftruncate(self, fd: int, length: int) -> None:
        """As os.ftruncate."""
        os.ftruncate(fd, length)

    def fdatasync(self, fd: int) -> None:
        """As os.fdatasync: returns when the data is on the disk."""
        os.fdatasync(fd)

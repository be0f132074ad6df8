"""The system calls that change files durably, behind one class: code that writes a journal is given a Disk.

Tests pass another Disk, which loses what was not synced, fails a call, or ends the process during one. That
way recovery is tested at every byte, without cutting the power of a machine.
"""

import os
from pathlib import Path


class Disk:
    """The operating system's calls, under the names of the module os. Each raises OSError."""

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
        """As os.write: return how many bytes were written, possibly fewer than given."""
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

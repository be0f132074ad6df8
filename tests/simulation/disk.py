"""A disk that fails, and a machine that loses its power: real bytes in a folder of tmpfs.

Every call that changes a file is counted. It may be refused, or be the last one of the process: a write then
leaves any part of its bytes. What is written stays when a process ends, as the kernel has it; when the power
goes, each file is cut anywhere behind what was synced.
"""

import errno
import os
import random
from pathlib import Path

from hlposmon.system.disk import Disk


class ProcessEnded(BaseException):
    """The process is killed in the midst of a call. Nothing in the product may catch it."""


class FaultyDisk(Disk):
    """`refuses` has the calls that fail now, by name; `ends_at` is the number of the last call."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.refuses: frozenset[str] = frozenset()
        self.fails_at: int | None = None
        self.ends_at: int | None = None
        self.calls = 0
        self.refused = 0
        self._paths: dict[int, Path] = {}  # by open descriptor
        self._synced: dict[Path, int] = {}

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        self._call("open")
        fd = super().open(path, flags, mode)
        self._paths[fd] = path
        self._synced.setdefault(path, os.fstat(fd).st_size)
        return fd

    def dup(self, fd: int) -> int:
        copy = super().dup(fd)
        self._paths[copy] = self._paths[fd]
        return copy

    def close(self, fd: int) -> None:
        self._paths.pop(fd, None)
        super().close(fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """A disk that refuses may first take a part: the call says how much, and the next one fails."""
        if self.calls + 1 == self.ends_at:
            self._write_part(fd, data)
        elif "write" in self.refuses and self._dice.random() < 0.5 and len(data) > 1:
            self.calls += 1
            return super().write(fd, memoryview(data)[: self._dice.randint(1, len(data) - 1)])
        self._call("write")
        return super().write(fd, data)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._call("write")
        return super().pwrite(fd, data, offset)

    def ftruncate(self, fd: int, length: int) -> None:
        self._call("truncate")
        super().ftruncate(fd, length)

    def fdatasync(self, fd: int) -> None:
        self._call("sync")
        # tmpfs needs no sync: what counts is what would have been safe.
        self._synced[self._paths[fd]] = os.fstat(fd).st_size

    def sends(self) -> None:
        """Something is sent to a client or a worker; a process may end there, too."""
        self.calls += 1
        if self.calls == self.ends_at:
            raise ProcessEnded("send")

    def ends(self) -> None:
        """The process is gone, and its descriptors with it."""
        for fd in list(self._paths):
            self.close(fd)
        self.refuses, self.ends_at = frozenset(), None

    def loses_power(self) -> dict[str, int]:
        """Cut each file anywhere behind what was synced; how many bytes of each are lost, by name."""
        lost = {}
        for path, synced in self._synced.items():
            size = path.stat().st_size
            if size > synced:
                length = self._dice.randint(synced, size)
                if length < size:
                    lost[path.name] = size - length
                os.truncate(path, length)
            self._synced[path] = min(size, synced)
        return lost

    # ------------------------------------------------------------------ within

    def _call(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.ends_at:
            raise ProcessEnded(name)
        if name in self.refuses or self.calls == self.fails_at:
            self.refused += 1
            raise OSError(errno.EIO if name == "sync" else errno.ENOSPC, f"the disk refuses to {name}")

    def _write_part(self, fd: int, data: bytes | memoryview) -> None:
        length = self._dice.randint(0, len(data))
        if length:
            super().write(fd, memoryview(data)[:length])

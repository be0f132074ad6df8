"""The journal's open file, to which whole lines are appended: all lines of one write, or none.

It opens the file of the day that it is given, notices when it was removed, renamed or emptied, and ends a
half-written line of a crash before it appends. The syncer decides when lines reach the disk. This module
neither numbers lines nor buffers them.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hlposmon.journal.fsync import Syncer
from hlposmon.journal.recovery import opened
from hlposmon.system.disk import Disk

# More than the longest line that a failed write has left half of.
_LONGEST_HALF = 64 << 20


@dataclass(frozen=True, slots=True)
class TornLine:
    """Half a line at a file's end: its bytes counted, and their SHA-256."""

    length: int
    digest: str


class PartialWrite(Exception):
    """The disk took only so many whole lines; `cause` says why."""

    def __init__(self, whole: int, cause: OSError) -> None:
        super().__init__(whole)
        self.whole, self.cause = whole, cause


class DayFile:
    """`<folder>/audit-YYYY-MM-DD.jsonl`, of one day at a time."""

    def __init__(self, folder: Path, syncer: Syncer, disk: Disk | None = None) -> None:
        self.folder = folder
        self._syncer, self._disk = syncer, disk or Disk()
        self._fd: int | None = None
        self._day = ""
        self._name = ""
        self._identity = (0, 0)
        self._length: int | None = None  # as `is_for` has just found it
        self._least = 0  # what was written by us, and must be there still

    def is_for(self, day: str) -> bool:
        """Whether that day's file is open, still has its name, and is not shorter than we left it. Otherwise
        lines would go to nobody, or behind what `logrotate` with `copytruncate` has emptied."""
        if self._fd is None or self._day != day:
            return False
        try:
            found = os.stat(self._name)  # noqa: PTH116 - looked at before each write
        except FileNotFoundError:
            return False
        self._length = found.st_size
        return (found.st_dev, found.st_ino) == self._identity and found.st_size >= self._least

    def open(self, day: str) -> bool:
        """Open or create the day's file; whether it is empty. Call `terminate_torn_line` next."""
        self.close()
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._fd = self._disk.open(self._path(day), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        self._day, self._name = day, os.fspath(self._path(day))
        found = os.fstat(self._fd)
        self._identity, self._least = (found.st_dev, found.st_ino), found.st_size
        return not found.st_size

    def half(self) -> TornLine | None:
        """What a crash or a full disk left at the end of the open file; None where that is no half line."""
        fd, size = self._open_fd(), self._size()
        if not size or os.pread(fd, 1, size - 1) == b"\n":
            return None
        raw = os.pread(fd, _LONGEST_HALF, max(0, size - _LONGEST_HALF)).rpartition(b"\n")[2]
        if opened(raw) is not None:
            return None  # a whole line that lacks its newline alone
        return TornLine(len(raw), hashlib.sha256(raw).hexdigest())

    def terminate_torn_line(self) -> None:
        """After half a line, the next one begins on one of its own."""
        fd, size = self._open_fd(), self._size()
        if size and os.pread(fd, 1, size - 1) != b"\n":
            self._disk.write(fd, b"\n")
        self._syncer.opened(fd, self._path(self._day))

    def write(self, lines: Sequence[bytes]) -> None:
        """All of them or none: what a full disk took is cut off again. Where even that is refused, whole
        lines that stand there count (PartialWrite tells how many), and half a line stays behind them."""
        fd, length = self._open_fd(), self._length
        self._length = None
        if length is None:
            length = self._size()
        raw = b"".join(lines)
        view = memoryview(raw)
        try:
            while view:
                view = view[self._disk.write(fd, view) :]
        except OSError as error:
            try:
                self._disk.ftruncate(fd, length)
            except OSError:
                written = len(raw) - len(view)
                whole = _whole(lines, written)
                self._syncer.wrote(b"".join(lines[:whole])[:written])
                raise PartialWrite(whole, error) from error
            raise
        self._least = length + len(raw)
        self._syncer.wrote(raw)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            self._syncer.left()
            with contextlib.suppress(OSError):
                self._disk.close(self._fd)
            self._fd = None

    # ------------------------------------------------------------------ within

    def _path(self, day: str) -> Path:
        return self.folder / f"audit-{day}.jsonl"

    def _open_fd(self) -> int:
        assert self._fd is not None, "a file is open"
        return self._fd

    def _size(self) -> int:
        return os.fstat(self._open_fd()).st_size


def _whole(lines: Sequence[bytes], written: int) -> int:
    """How many of the lines stand there, of so many bytes. One that lacks its newline alone does, too:
    `terminate_torn_line` ends it, and to write it once more would put it there twice."""
    count = 0
    for line in lines:
        written -= len(line)
        if written < -1:
            break
        count += 1
    return count

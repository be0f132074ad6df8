"""The journal's open file: appends whole lines, all lines of one write or none.

It opens the file of a given day, detects when that file was removed, renamed or truncated, and terminates a
line that a crash left half written before it appends. The syncer decides when lines reach the disk. This
module neither numbers lines nor buffers them.
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

# Bytes read back from the end of a file to find a torn line; longer than any line the monitor writes.
_LONGEST_HALF = 64 << 20


@dataclass(frozen=True, slots=True)
class TornLine:
    """A partial line at the end of a file: its length in bytes and the SHA-256 of those bytes, in hex."""

    length: int
    digest: str


class PartialWrite(Exception):
    """A write failed midway and could not be undone: the first `whole` lines are in the file. `cause` is the
    OSError of the write."""

    def __init__(self, whole: int, cause: OSError) -> None:
        super().__init__(whole)
        self.whole, self.cause = whole, cause


class DayFile:
    """The file `<folder>/audit-YYYY-MM-DD.jsonl` of one UTC day at a time, opened for appending."""

    def __init__(self, folder: Path, syncer: Syncer, disk: Disk | None = None) -> None:
        self.folder = folder
        self._syncer, self._disk = syncer, disk or Disk()
        self._fd: int | None = None
        self._day = ""
        self._name = ""
        self._identity = (0, 0)
        self._length: int | None = None  # the file's size as `is_for` just found it; used by one `write`
        self._least = 0  # size after our last write; a smaller file was truncated by somebody else

    def is_for(self, day: str) -> bool:
        """Return whether the file of `day` is open, still has its name, and is not shorter than we left it.

        Otherwise lines would go to a deleted file, or to one that `logrotate` emptied (`copytruncate`).
        """
        if self._fd is None or self._day != day:
            return False
        try:
            found = os.stat(self._name)  # noqa: PTH116 - looked at before each write
        except FileNotFoundError:
            return False
        self._length = found.st_size
        return (found.st_dev, found.st_ino) == self._identity and found.st_size >= self._least

    def open(self, day: str) -> bool:
        """Open or create the file of `day` (YYYY-MM-DD) and return whether it is empty. Raises OSError.

        Call `terminate_torn_line` before the first `write`.
        """
        self.close()
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._fd = self._disk.open(self._path(day), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        self._day, self._name = day, os.fspath(self._path(day))
        found = os.fstat(self._fd)
        self._identity, self._least = (found.st_dev, found.st_ino), found.st_size
        return not found.st_size

    def half(self) -> TornLine | None:
        """Return the partial line that a crash or a full disk left at the end of the open file, or None.

        A sound line that lacks only its newline counts as whole. Raises OSError.
        """
        fd, size = self._open_fd(), self._size()
        if not size or os.pread(fd, 1, size - 1) == b"\n":
            return None
        raw = os.pread(fd, _LONGEST_HALF, max(0, size - _LONGEST_HALF)).rpartition(b"\n")[2]
        if opened(raw) is not None:
            return None  # a whole line that lacks only its newline
        return TornLine(len(raw), hashlib.sha256(raw).hexdigest())

    def terminate_torn_line(self) -> None:
        """Write a newline if the file does not end with one, and register the file with the syncer.

        The next line then starts on a line of its own. Raises OSError.
        """
        fd, size = self._open_fd(), self._size()
        if size and os.pread(fd, 1, size - 1) != b"\n":
            self._disk.write(fd, b"\n")
        self._syncer.opened(fd, self._path(self._day))

    def write(self, lines: Sequence[bytes]) -> None:
        """Append all `lines`, or none: after a failed write the file is truncated to its former length.

        Raises OSError when nothing was appended. If the truncation fails too, raises PartialWrite: its
        `whole` lines count as written, and part of the next one may follow them in the file.
        """
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
        """Close the file; the syncer still syncs what was written to it. Does nothing when none is open."""
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
    """Return how many of `lines` are complete when `written` bytes of them reached the file.

    A line that lacks only its newline counts: `terminate_torn_line` adds the newline, and writing the line
    again would duplicate it. Example: of three lines of 10 bytes, 19 written bytes hold two.
    """
    count = 0
    for line in lines:
        written -= len(line)
        if written < -1:
            break
        count += 1
    return count

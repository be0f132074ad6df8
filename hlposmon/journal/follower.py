"""Follows the audit from another process while it is written: across days, rotation, compression, crashes.

The newest file stays open and is read on from the end of its last whole line. Every other event (a new day,
a file renamed, compressed, removed, or truncated after a failed write) is handled in one way: the follower
searches the files for the number of the last line it took. It writes nothing, and its only position is that
number and the line's hash.

    taken up to 7; audit-20.jsonl is renamed to audit-20.jsonl.1, and audit-21.jsonl begins with line 10

    read the open file to its end (8): the journal may have written there until it noticed the rename; then
    list the folder: …-20.jsonl.1 and …-21.jsonl may hold lines after 8. The first one holds line 8 with our
    hash, then 9; the second one holds 10 and stays open.

At each search, the journal's line of our number must have our hash; if that line is gone, the next line must
chain to our hash. Otherwise this is not the journal that was followed (`Diverged`). If the journal ends
before our number, either it lost its end or it will continue after our number; its next line tells which.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hlposmon.errors import NotPermitted, WireError
from hlposmon.journal.files import LONGEST_LINE, PRUNED_NAME, UNPACKABLE, Part, bounded, opened, pruned_in
from hlposmon.journal.lines import open_line
from hlposmon.journal.reader import parts_behind, seq_of, skip_to

_CHUNK_BYTES = 1 << 18
# `take` stops after this many bytes, because it holds what it returns in memory (a checkpoint may be long).
MOST_BYTES = 128 << 10
# A folder that changed less than this long ago may change again within the same tick of the file system's
# clock, without a new time of change (the "racy git" problem).
_RACY_NS = 1_000_000_000
# This many suspicious places are read a second time; beyond that, what looks wrong is believed at once.
_MOST_DOUBTS = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """A sound line: its number and hash, its JSON object, and its length in bytes, newline included."""

    seq: int
    hash: str
    body: dict[str, Any]
    length: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Lines `first` to `last` are in no file; if `last` is smaller than `first`, none is known to be missing.
    `damaged` are the files there that could not be read completely: name and reason."""

    first: int
    last: int
    damaged: tuple[tuple[str, str], ...] = ()

    @property
    def count(self) -> int:
        """How many lines are missing; 0 when the hole only reports damaged files."""
        return self.last - self.first + 1


class Diverged(Exception):
    """The journal's lines differ from those that were taken.

    `found` is the hash that the journal has for our last line; empty when the journal lost its end and went
    on with numbers that were taken already.
    """

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


class Follower:
    """Follows the journal in `folder`. `seq` and `hash` are those of the last line taken; `seq` is 0 before
    the first one."""

    def __init__(self, folder: Path, seq: int, digest: str) -> None:
        self.folder, self.seq, self.hash = folder, seq, digest
        self._walk: Iterator[Line | Hole | None] | None = None
        self._tail: BinaryIO | None = None
        self._offset = 0
        self._folder_ns: int | None = None
        self._is_lost = False  # the offset in the open file cannot be trusted: search again
        # Whether our last line was found in the journal; if the journal ended before it, its last number.
        self._is_anchored = False
        self._ends_at: int | None = None
        self._last_number = 0
        # Suspicious places seen once: (inode, offset) of a bad line or (first, last) of a hole.
        self._doubted: set[tuple[int, int | None]] = set()
        self._damaged: list[tuple[str, str]] = []
        self._damaged_told: set[str] = set()

    def take(self, most: int) -> list[Line | Hole]:
        """Return the next lines and holes: at most `most` items, and no more once MOST_BYTES are reached.

        The list is empty when nothing was written since. Raises Diverged; raises OSError or NotPermitted for
        a file that cannot be read, in which case nothing was taken.
        """
        taken: list[Line | Hole] = []
        left = MOST_BYTES
        try:
            while len(taken) < most and left > 0:
                if self._walk is None:
                    self._walk = self._follow()
                one = next(self._walk)
                if one is None:
                    break
                taken.append(one)
                left -= one.length if isinstance(one, Line) else 0
        except (OSError, NotPermitted):
            self._walk = None
            if not taken:
                raise
        return taken

    def close(self) -> None:
        self._walk = None
        self._leave()

    # ------------------------------------------------------------------ within

    def _follow(self) -> Iterator[Line | Hole | None]:
        """Yield all lines and holes, and None whenever there is no new line yet."""
        while True:
            self._folder_ns = self._changed_ns()
            self._is_lost = False
            yield from self._search()
            while not self._is_lost:
                yield None
                has_moved = self._has_moved()
                yield from self._appended()  # read to its end even if a newer file exists
                if has_moved:
                    break

    def _has_moved(self) -> bool:
        """Return whether a new search is needed. Costs one stat of the folder and one of the open file."""
        if self._is_lost or self._folder_ns == -1 or self._changed_ns() != self._folder_ns:
            return True
        return self._tail is not None and os.fstat(self._tail.fileno()).st_size < self._offset

    def _changed_ns(self) -> int | None:
        """Return when a file was last added to the folder or removed from it, in Unix nanoseconds.

        -1 means less than _RACY_NS ago, too recent to be trusted; None means that there is no folder.
        """
        try:
            changed_ns = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        return -1 if abs(time.time_ns() - changed_ns) < _RACY_NS else changed_ns

    def _search(self) -> Iterator[Line | Hole]:
        """Find our last line in the files and yield the lines after it; the newest file stays open."""
        self._leave()
        self._is_anchored, self._last_number = self.seq == 0, 0
        pruned = pruned_in(self.folder)
        if pruned is not None and pruned.seq > self.seq:
            reason = f"lines up to seq {pruned.seq} of {pruned.day} were removed on purpose"
            self._is_damaged(PRUNED_NAME, reason)
        parts = parts_behind(self.folder, self.seq - 1)
        for part in parts:
            yield from self._part(part, is_newest=part is parts[-1])
            if self._is_lost:
                return
        if self._damaged:
            yield Hole(self.seq + 1, self.seq, self._take_damaged())
        self._compare_ends()

    def _part(self, part: Part, *, is_newest: bool) -> Iterator[Line | Hole]:
        begins = True
        try:
            file = opened(part.path)
        except FileNotFoundError:
            self._is_lost = True  # renamed since it was listed
            return
        if not part.is_packed:
            skip_to(file, self.seq - 1)
            self._tail, self._offset = file, file.tell()
            yield from self._appended(begins=True)
            if not is_newest and not self._is_lost:
                self._leave()
            return
        try:
            with file:
                for raw in bounded(file):
                    yield from self._read(raw, begins=begins)
                    begins = False
                    if self._is_lost:
                        return
        except UNPACKABLE as error:
            self._is_damaged(part.name, str(error))

    def _appended(self, *, begins: bool = False) -> Iterator[Line | Hole]:
        """Yield the lines of the open file after the last whole line that was read."""
        if self._tail is None:
            return
        fd, size = self._tail.fileno(), _CHUNK_BYTES
        while raw := os.pread(fd, size, self._offset):
            whole, has, _ = raw.rpartition(b"\n")
            if not has:
                if len(raw) < size:
                    break  # a partial line: the rest is being written, or will never come
                if size >= LONGEST_LINE:
                    self._offset += len(raw)
                size = min(size * 4, LONGEST_LINE)
                continue
            for line in whole.split(b"\n"):
                yield from self._read(line + b"\n", begins=begins, at=self._offset)
                begins = False
                if self._is_lost:
                    return
                self._offset += len(line) + 1
        if self._ends_at is not None:
            self._compare_ends()

    def _read(self, raw: bytes, *, begins: bool, at: int | None = None) -> Iterator[Line | Hole]:
        """Yield the line if it is sound and new, after the hole before it if there is one.

        Two findings may be transient and are believed only when a second search finds them again: an unsound
        line (a failed write was truncated while we read it) and a hole at the start of a file (a file was
        renamed while the folder was listed). The first time, `_is_lost` is set and nothing is yielded.
        """
        number = seq_of(raw)
        try:
            body = open_line(raw) if number is not None else None
        except WireError:
            body = None
        if body is None or number is None:
            is_new = at is not None and (number is None or number > self.seq)
            self._is_lost = is_new and self._is_new_doubt((self._inode(), at))
            return
        self._last_number = max(self._last_number, number)
        if number <= self.seq:
            if number == self.seq:
                self._anchor(body["hash"])
            return
        missed = Hole(self.seq + 1, number - 1)
        if missed.count and begins and self._is_new_doubt((missed.first, missed.last)):
            self._is_lost = True
            return
        if not missed.count and not self._is_anchored:
            self._anchor(body["prev"])
        self._is_anchored, self._ends_at = True, None
        self.seq, self.hash = number, body["hash"]
        if missed.count or self._damaged:
            yield Hole(missed.first, missed.last, self._take_damaged())
        yield Line(number, self.hash, body, len(raw))

    def _anchor(self, digest: str) -> None:
        """Compare `digest`, the hash that the journal has for our last line, with ours. Raises Diverged."""
        if digest != self.hash:
            raise Diverged(digest)
        self._is_anchored, self._ends_at = True, None

    def _compare_ends(self) -> None:
        """Detect a journal that lost its end.

        It ended before our number (say at 300 of 380). If it then grows with numbers that we already have
        (301), its lines differ from ours: raise Diverged. If it continues after 380, nothing is wrong.
        """
        if self._is_anchored or self._last_number >= self.seq:
            self._ends_at = None
            return
        if self._ends_at is not None and self._last_number > self._ends_at:
            raise Diverged("")
        self._ends_at = self._last_number if self._ends_at is None else min(self._ends_at, self._last_number)

    def _is_new_doubt(self, doubt: tuple[int, int | None]) -> bool:
        if doubt in self._doubted or len(self._doubted) >= _MOST_DOUBTS:
            return False
        self._doubted.add(doubt)
        return True

    def _inode(self) -> int:
        return os.fstat(self._tail.fileno()).st_ino if self._tail is not None else 0

    def _is_damaged(self, name: str, reason: str) -> None:
        if name not in self._damaged_told:
            self._damaged.append((name, reason))
            self._damaged_told.add(name)

    def _take_damaged(self) -> tuple[tuple[str, str], ...]:
        damaged, self._damaged = tuple(self._damaged), []
        return damaged

    def _leave(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None

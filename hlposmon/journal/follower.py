"""The audit's lines as they are written, read by another process: over days, rotation, compression, crashes.

The newest file is kept open and read on from where its last whole line ended. Everything else (a new day, a
file that was renamed, compressed, removed, or cut off behind a failed write) is one case: the place is
found again by the number of the last line taken. Nothing is written here, and nothing is kept but that
number and its hash.

    taken up to 7; audit-20.jsonl is renamed to audit-20.jsonl.1, and audit-21.jsonl begins with line 10

    the open file is read to its end (8), since the journal may have written there until it saw the rename;
    then the folder is listed: the files that may hold lines behind 8 are …-20.jsonl.1 and …-21.jsonl. In the
    first, line 8 is found with our hash, then 9; in the second, 10. That one stays open.

At each such search the journal's line of our number must have our hash, or, where it is not there any more,
the next line must be chained to it: else this is another journal than the one that was followed
(`Diverged`). If the journal ends before our number, it has lost its end or will continue after our number;
its next line tells which.
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
# What is taken at once is held in memory: lines, and bytes (a checkpoint may be long).
MOST_BYTES = 128 << 10
# A folder whose time of change is so near may have changed again within the same tick of the file system's
# clock.
_RACY_NS = 1_000_000_000
# This many suspect places are checked a second time; any beyond that count as wrong at once.
_MOST_DOUBTS = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """A sound line: its number and hash, the object, and its length in bytes."""

    seq: int
    hash: str
    body: dict[str, Any]
    length: int


@dataclass(frozen=True, slots=True)
class Hole:
    """The files hold no line from `first` to `last`; none is known to be missing where `last` is smaller.
    `damaged` are files there that cannot be read as a whole: name, and why."""

    first: int
    last: int
    damaged: tuple[tuple[str, str], ...] = ()

    @property
    def count(self) -> int:
        return self.last - self.first + 1


class Diverged(Exception):
    """The journal's lines are others than those that were taken; `found` is the hash that it has instead."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


class Follower:
    """`seq` and `hash` are those of the last line taken; 0 where nothing was."""

    def __init__(self, folder: Path, seq: int, digest: str) -> None:
        self.folder, self.seq, self.hash = folder, seq, digest
        self._walk: Iterator[Line | Hole | None] | None = None
        self._tail: BinaryIO | None = None
        self._offset = 0
        self._folder_ns: int | None = None
        self._is_lost = False  # the place in the open file is not to be trusted
        # Whether our own last line was found; up to which number the journal came where it ended before that.
        self._is_anchored = False
        self._ends_at: int | None = None
        self._last_number = 0
        # Looked at twice before it is believed.
        self._doubted: set[tuple[int, int | None]] = set()
        self._damaged: list[tuple[str, str]] = []
        self._damaged_told: set[str] = set()

    def take(self, most: int) -> list[Line | Hole]:
        """What comes next, up to so many and to MOST_BYTES; nothing when nothing was written since.

        Raises Diverged, and OSError or NotPermitted for a file that cannot be read; then nothing was taken.
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
        """All lines; None whenever there is none for now."""
        while True:
            self._folder_ns = self._changed_ns()
            self._is_lost = False
            yield from self._search()
            while not self._is_lost:
                yield None
                has_moved = self._has_moved()
                yield from self._appended()  # to its end, also where another comes after it
                if has_moved:
                    break

    def _has_moved(self) -> bool:
        """Whether the place has to be found again: one look at the folder, one at the open file."""
        if self._is_lost or self._folder_ns == -1 or self._changed_ns() != self._folder_ns:
            return True
        return self._tail is not None and os.fstat(self._tail.fileno()).st_size < self._offset

    def _changed_ns(self) -> int | None:
        """When a file last came to the folder or left it; -1 for just now, None where there is no folder."""
        try:
            changed_ns = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        return -1 if abs(time.time_ns() - changed_ns) < _RACY_NS else changed_ns

    def _search(self) -> Iterator[Line | Hole]:
        """Find our last line in the files, and give what comes behind it; the newest file stays open."""
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
        """What the open file holds behind the last whole line that was read."""
        if self._tail is None:
            return
        fd, size = self._tail.fileno(), _CHUNK_BYTES
        while raw := os.pread(fd, size, self._offset):
            whole, has, _ = raw.rpartition(b"\n")
            if not has:
                if len(raw) < size:
                    break  # half a line: the rest is being written, or never comes
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
        """The line, if it is sound and new. What looks wrong is looked for once more before it is believed:
        a line that is none (a failed write was cut off behind us), a hole between two files (one was renamed
        while they were listed)."""
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
        """The journal has this as the hash of our last line."""
        if digest != self.hash:
            raise Diverged(digest)
        self._is_anchored, self._ends_at = True, None

    def _compare_ends(self) -> None:
        """Where the journal ends before our number: it lost its end if it goes on with numbers that we
        have."""
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

"""Imports the journal's lines into the history, in order and each once, from where the history ends.

The history holds the journal's lines as rows. If the journal's lines differ from those that were imported (it
lost its end in a power cut, or its folder was exchanged), the journal is right: the history is rolled back to
the last line that both have, or set aside completely. Remarks for people are kept until `take_remarks`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlposmon.domain.reports import HistoryEvent
from hlposmon.errors import NotPermitted
from hlposmon.history.transaction import Mark
from hlposmon.history.writer import History
from hlposmon.journal.follower import Diverged, Follower, Hole, Line
from hlposmon.journal.reader import first_seq, line_at

# The most lines of one transaction.
PIECE_LINES = 1_000
# Ranges of missing lines reported one by one while the history catches up; the rest are combined.
NAMED_HOLES = 20
_READ_AGAIN_S = 1.0

Remark = tuple[HistoryEvent, Mapping[str, Any]]


class Importer:
    """Imports the journal in `folder` into `history`, piece by piece; call `step` repeatedly."""

    def __init__(self, folder: Path, history: History) -> None:
        self._remarks: list[Remark] = []
        self._folder, self._history = folder, history
        self._follower: Follower | None = None
        # Why the journal could not be read, and when to try again.
        self._unread: str | None = None
        self._read_at_s = 0.0
        # Damaged files and missing lines that were reported already, for as long as the history is the same:
        # names of files, how many ranges, their highest number, and the combined rest (first, last, count).
        self._damaged_told: set[str] = set()
        self._holes, self._holes_to = 0, 0
        self._more_holes: tuple[int, int, int] | None = None

    @property
    def failure(self) -> str | None:
        """Why the history does not follow the journal; None if it does."""
        return self._history.failure or self._unread

    def step(self, now_s: float, now_ms: int) -> bool:
        """Import new lines, at most PIECE_LINES; return whether there may be more right now.

        `now_s` is monotonic seconds, `now_ms` Unix milliseconds. Failures are in `failure` and retried.
        """
        is_full = self._bring(now_s, now_ms)
        self._note_begun()
        return is_full

    def take_remarks(self) -> list[Remark]:
        """Return what happened to the history since the last call: events with their facts."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def close(self) -> None:
        self._forget_place()
        self._history.close()

    # ------------------------------------------------------------------ within

    def _bring(self, now_s: float, now_ms: int) -> bool:
        if now_s < self._read_at_s:
            return False
        if not self._history.open(now_s, now_ms):
            self._forget_place()
            return bool(self._history.begun)  # a broken file was set aside: begin the new one at once
        if self._follower is None or self._follower.seq < self._history.seq:
            self._follower = Follower(self._folder, self._history.seq, self._history.hash)
        if self._history.begun:
            self._forget_place()
            return True
        try:
            taken = self._follower.take(PIECE_LINES)
        except Diverged as error:
            self._forget_place()
            return self._go_back(error.found, now_s, now_ms)
        except (OSError, NotPermitted) as error:
            self._cannot_read(error, now_s)
            return False
        self._unread = None
        return self._write(taken, now_s, now_ms)

    def _write(self, taken: list[Line | Hole], now_s: float, now_ms: int) -> bool:
        lines = [one for one in taken if isinstance(one, Line)]
        if not self._history.write(lines, now_s, now_ms):
            self._forget_place()
            return bool(self._history.begun)
        for one in taken:
            if isinstance(one, Hole):
                self._miss(one)
        if not lines:
            self._miss_more()
        return bool(lines)

    def _cannot_read(self, error: OSError | NotPermitted, now_s: float) -> None:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        self._unread = f"the audit cannot be read: {reason}"
        self._read_at_s = now_s + _READ_AGAIN_S
        self._forget_place()

    def _go_back(self, found: str, now_s: float, now_ms: int) -> bool:
        """Roll the history back to the newest mark that the journal has, or set it aside if there is none.

        `found` is the hash that the journal has instead of ours. Returns False if this must be tried again.
        """
        history, was = self._history, (self._history.seq, self._history.hash)
        marks = history.marks(now_s, now_ms)
        if marks is None:
            return False
        try:
            mark = self._last_common(marks)
            checkpoint = line_at(self._folder, mark.checkpoint_seq) if mark and mark.checkpoint_seq else None
        except (OSError, NotPermitted) as error:
            self._cannot_read(error, now_s)
            return False
        if mark is not None:
            if not history.go_back(mark, checkpoint, now_s, now_ms):
                return False
            facts = {"first": mark.seq + 1, "last": was[0], "count": was[0] - mark.seq}
            self._remarks.append((HistoryEvent.END_LOST, facts))
            return True
        aside = history.leave("other-journal", now_s, now_ms)
        if aside is None:
            return False
        self._forget_told()
        facts_of_it = {"history_seq": was[0], "history_hash": was[1], "found": found, "kept_as": aside.name}
        self._remarks.append((HistoryEvent.OTHER_JOURNAL, facts_of_it))
        return True

    def _last_common(self, marks: list[Mark]) -> Mark | None:
        """Return the newest mark whose line the journal has with the same hash; None if there is none.

        Binary search: if the journal has a mark, it has all earlier ones too. Of the marks 120, 250, 380 and
        410, the journal lost what follows 300: 380 differs, 250 matches, so the result is 250. Marks before
        the first line that is left (older files were pruned) cannot be compared and are left out; any other
        mark whose line is in no file counts as different.
        """
        least = first_seq(self._folder)
        marks = [mark for mark in marks if mark.seq >= least]
        low, high = 0, len(marks)
        while low < high:
            middle = (low + high) // 2
            line = line_at(self._folder, marks[middle].seq)
            if line is not None and line["hash"] == marks[middle].hash:
                low = middle + 1
            else:
                high = middle
        return marks[low - 1] if low else None

    def _forget_place(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    # ------------------------------------------------------------------ said

    def _note_begun(self) -> None:
        while self._history.begun:
            one = self._history.begun.popleft()
            self._forget_told()
            aside = None if one.aside is None else one.aside.name
            self._remarks.append((HistoryEvent.REBUILT, {"reason": one.reason, "kept_as": aside}))

    def _forget_told(self) -> None:
        self._damaged_told.clear()
        self._holes, self._holes_to, self._more_holes = 0, 0, None

    def _miss(self, hole: Hole) -> None:
        """Report missing lines and damaged files, each once; after NAMED_HOLES ranges, combine the rest."""
        damaged = [one for one in hole.damaged if one[0] not in self._damaged_told]
        self._damaged_told.update(name for name, _ in damaged)
        is_new = hole.last > self._holes_to and hole.count > 0
        self._holes_to = max(self._holes_to, hole.last)
        if not is_new and not damaged:
            return
        if self._holes >= NAMED_HOLES and not damaged:
            began, _, so_far = self._more_holes or (hole.first, 0, 0)
            self._more_holes = (began, hole.last, so_far + hole.count)
            return
        self._holes += 1
        first, last = (hole.first, hole.last) if hole.count > 0 else (None, None)
        self._say_missing(first, last, max(0, hole.count), damaged)

    def _miss_more(self) -> None:
        if self._more_holes is not None:
            first, last, count = self._more_holes
            self._more_holes = None
            self._say_missing(first, last, count, [])

    def _say_missing(
        self, first: int | None, last: int | None, count: int, damaged: list[tuple[str, str]]
    ) -> None:
        files = [name for name, _ in damaged]
        reason = "; ".join(dict.fromkeys(why for _, why in damaged)) or None
        facts = {"first": first, "last": last, "count": count, "files": files, "reason": reason}
        self._remarks.append((HistoryEvent.HOLE, facts))

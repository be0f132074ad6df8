"""The living end of the audit's chain: lines are numbered and sealed here, wait, and are written in order.

A line that has its number is written or kept: what the disk refuses waits, and what can wait no longer
is let go from the oldest on, counted, and told of by a line of its own. What earlier files hold, and what
waits for a number, is the journal's.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from hlposmon.journal.day_file import DayFile, Refused
from hlposmon.journal.lines import CHECKPOINT_MARK, FIRST_PREV, event, replay, seal
from hlposmon.journal.recovery import ReadBack, Unsound, opened

# What is handed to the disk at once: after a long failure the backlog is not copied at every attempt.
_PIECE_BYTES = 1 << 20


class Tail:
    """`checkpoint` gives the whole book; `sealed` hears each line, and `kept_seq` says up to which number
    it was kept there."""

    def __init__(
        self,
        file: DayFile,
        *,
        checkpoint: Callable[[], dict[str, Any]],
        sealed: Callable[[dict[str, Any], str, bytes], object] | None,
        kept_seq: Callable[[], int],
    ) -> None:
        self._file = file
        self._book, self.sealed, self._kept_seq = checkpoint, sealed, kept_seq
        # The last line that has a number; the day of the newest file; the time that lines are given.
        self.seq, self.prev = 0, FIRST_PREV
        self.day = ""
        self.now_ms = 0
        self.since_checkpoint = 0
        self.pending: deque[tuple[str, bytes]] = deque()
        self.lost = 0
        # Whether half a line at the end of the file was told of already.
        self.is_marked = False
        self._let_go: tuple[int, int] | None = None
        # Numbers of lines that are not in the folder, found at the start; and whether what was
        # recovered rests on all lines since a checkpoint.
        self.missing: tuple[int, int] | None = None
        self.is_whole = False

    @property
    def written_seq(self) -> int:
        """Up to this number every line is in a file, or will never be. Lines that had to be let go count
        until a later one is written."""
        return self._let_go[0] - 1 if self._let_go is not None else self.seq - len(self.pending)

    def add(self, body: dict[str, Any]) -> None:
        """Give a line its number and its place in the chain; `write` writes it."""
        self.seq += 1
        self.since_checkpoint += 1
        prev = self.prev
        line, self.prev = seal(body, seq=self.seq, prev=prev)
        self.pending.append((self.day, line))
        if self.sealed is not None:
            whole = {"seq": self.seq, **body, "prev": prev, "hash": self.prev}
            self.sealed(whole, self.day, line)

    def checkpoint(self) -> dict[str, Any]:
        """A checkpoint line's body; the next one is a long way off."""
        self.day = max(day_of(self.now_ms), self.day)
        self.since_checkpoint = 0
        return event("checkpoint", now_ms=self.now_ms, **self._book())

    def write(self) -> None:
        """Write all that waits, and then tell of what was let go. Raises OSError."""
        self._write_waiting()
        if self._let_go is not None:
            first, last = self._let_go
            self._let_go = None
            facts = {"first": first, "last": last, "count": last - first + 1}
            kept = max(0, min(last, self._kept_seq()) - first + 1)
            self.add(event("lost", now_ms=self.now_ms, **facts, in_history=kept))
            self._write_waiting()

    def let_go_beyond(self, most: int) -> None:
        """Keep so many lines at the most: the oldest are let go."""
        while len(self.pending) > most:
            self.pending.popleft()
            self.lost += 1
            last = self.seq - len(self.pending)
            self._let_go = (self._let_go[0] if self._let_go else last, last)

    def take_back(self, kept: Iterable[tuple[str, bytes]], back: ReadBack) -> None:
        """Take back the lines that were kept elsewhere; half of the first may end the file."""
        for day, raw in kept:
            body = opened(raw)
            if body is None or body["seq"] <= self.seq:
                continue
            if body["prev"] != self.prev:
                self.missing = self.missing or (self.seq + 1, body["seq"] - 1)
                self.is_whole = False
            if not self.pending and back.torn and _cut_off(back.torn[-1], raw):
                del back.torn[-1]
            self.seq, self.prev = body["seq"], body["hash"]
            self.day = max(self.day, day)
            self.pending.append((day, raw))
            replay(body, back.found)
            back.found.seq, back.found.prev = self.seq, self.prev

    def rise_to(self, floor: tuple[int, str] | None) -> None:
        """Go on behind that number and hash, if that is further on."""
        if floor is not None and floor[0] > self.seq:
            first = self.missing[0] if self.missing else self.seq + 1
            self.missing = (first, floor[0])
            self.seq, self.prev = floor

    # ------------------------------------------------------------------ within

    def _write_waiting(self) -> None:
        while self.pending:
            day = self.pending[0][0]
            if not self._file.is_for(day):
                self._open(day)
            piece, length = [], 0
            for other, line in self.pending:
                if other != day or length > _PIECE_BYTES:
                    break
                piece.append(line)
                length += len(line)
            try:
                self._file.write(piece)
            except Refused as refused:
                self._wrote(refused.whole)
                self.is_marked = False
                raise refused.cause from None
            self._wrote(len(piece))

    def _wrote(self, lines: int) -> None:
        for _ in range(lines):
            self.pending.popleft()

    def _open(self, day: str) -> None:
        is_empty = self._file.open(day)
        if is_empty and not any(CHECKPOINT_MARK in line for _, line in self.pending):
            self.add(self.checkpoint())  # the one before was taken away, and its checkpoints too
        half = None if self.is_marked else self._file.half()
        if half is not None:
            self.add(event("torn", now_ms=self.now_ms, bytes=half.length, sha256=half.digest))
        self.is_marked = True
        self._file.end_half()


def day_of(now_ms: int) -> str:
    """The UTC day whose file a line of that time is for."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%d")


def _cut_off(half: Unsound, whole: bytes) -> bool:
    """Take half a line away when it is the beginning of one that is about to be written whole."""
    if hashlib.sha256(whole[: half.length]).hexdigest() != half.digest:
        return False
    try:
        if half.path.stat().st_size != half.end:
            return False
        os.truncate(half.path, half.end - half.length)
    except OSError:
        return False
    return True

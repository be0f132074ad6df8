"""The open end of the audit's chain: numbers and seals lines, buffers them, and writes them in order.

A numbered line is written or stays pending. Lines that the disk refuses stay pending; if half of one was
written, a `torn` line must come first, so the pending lines are numbered again. If too many are pending, the
oldest are dropped and counted, and a `lost` line reports them. `Journal` handles what earlier files hold and
the lines that have no number yet.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hlposmon.journal.day_file import DayFile, PartialWrite
from hlposmon.journal.lines import CHECKPOINT_MARK, FIRST_PREV, event, open_line, seal

# Bytes of one write: after a long failure, the whole backlog must not be copied at every attempt.
_PIECE_BYTES = 1 << 20
_DAY_MS = 86_400_000
_CHAIN_FIELDS = frozenset(("seq", "prev", "hash"))
# Up to this many pending lines are renumbered to insert one before them; it takes about 0.1 s.
_MAX_RENUMBERED = 10_000


class Tail:
    """The end of the chain, and the lines that are not in a file yet (`pending`: day and bytes of each).

    `checkpoint` returns the facts of a checkpoint, the whole book. `seq` and `prev` are number and hash of
    the last numbered line, `day` (YYYY-MM-DD) that of the newest file, `now_ms` the time given to lines that
    are added here, in Unix milliseconds; `lost` counts the lines dropped unwritten.
    """

    def __init__(self, file: DayFile, *, checkpoint: Callable[[], dict[str, Any]]) -> None:
        self._file = file
        self._book = checkpoint
        self.seq, self.prev = 0, FIRST_PREV
        self.day = ""
        self.now_ms = 0
        self.since_checkpoint = 0
        self.pending: deque[tuple[str, bytes]] = deque()
        self.lost = 0
        # Whether a `torn` line already reports the partial line at the end of the file, if there is one.
        self.is_marked = False
        self._let_go: tuple[int, int] | None = None
        # Names of files that were gone or empty when lines were to be appended.
        self.taken_away: list[str] = []
        # First and last number of lines that are not in the folder, found at the start; and whether the
        # recovered state includes every line since a checkpoint.
        self.missing: tuple[int, int] | None = None
        self.is_whole = False

    @property
    def written_seq(self) -> int:
        """Every line up to this number is in a file or dropped for good. Dropped lines still count as pending
        until a later line is written."""
        return self._let_go[0] - 1 if self._let_go is not None else self.seq - len(self.pending)

    def add(self, body: dict[str, Any]) -> None:
        """Number and seal a line, and add it to the pending ones; `write` writes it."""
        self.seq += 1
        self.since_checkpoint += 1
        line, self.prev = seal(body, seq=self.seq, prev=self.prev)
        self.pending.append((self.day, line))

    def checkpoint(self) -> dict[str, Any]:
        """Return the body of a checkpoint line, and restart the count of lines since the last one."""
        self.day = max(day_of(self.now_ms), self.day)
        self.since_checkpoint = 0
        return event("checkpoint", now_ms=self.now_ms, **self._book())

    def write(self) -> None:
        """Write all pending lines, then a `lost` line if some were dropped. Raises OSError.

        Lines that were not written stay pending.
        """
        self._write_waiting()
        if self._let_go is not None:
            first, last = self._let_go
            self._let_go = None
            facts = {"first": first, "last": last, "count": last - first + 1}
            self.add(event("lost", now_ms=self.now_ms, **facts))
            self._write_waiting()

    def drop_oldest_beyond(self, most: int) -> None:
        """Drop the oldest pending lines until at most `most` are left, and count them in `lost`."""
        while len(self.pending) > most:
            self.pending.popleft()
            self.lost += 1
            last = self.seq - len(self.pending)
            self._let_go = (self._let_go[0] if self._let_go else last, last)

    def advance_to(self, floor: tuple[int, str] | None) -> None:
        """Continue the chain after `floor` (number and hash) if that is further than the last line.

        The numbers in between become `missing`.
        """
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
            except PartialWrite as partial:
                self._wrote(partial.whole)
                self.is_marked = False
                raise partial.cause from None
            self._wrote(len(piece))

    def _wrote(self, lines: int) -> None:
        for _ in range(lines):
            self.pending.popleft()

    def _open(self, day: str) -> None:
        is_empty = self._file.open(day)
        if is_empty and not any(CHECKPOINT_MARK in line for _, line in self.pending):
            self.taken_away.append(f"audit-{day}.jsonl")
            self.add(self.checkpoint())  # the previous file was removed, and its checkpoints with it
        half = None if self.is_marked else self._file.half()
        if half is not None:
            self._add_first(day, event("torn", now_ms=self.now_ms, bytes=half.length, sha256=half.digest))
        self.is_marked = True
        self._file.terminate_torn_line()

    def _add_first(self, day: str, body: dict[str, Any]) -> None:
        """Add a line before the pending ones, or after them if they are more than _MAX_RENUMBERED.

        None of the pending lines is in a file yet, so they can be renumbered: with 8, 9 and 10 pending, the
        new line becomes 8 and they become 9, 10 and 11. At the end, after a checkpoint, the line could be
        lost in a power cut, and recovery, which starts at the checkpoint, would never look for it.
        """
        waiting, now_day, since_checkpoint = [*self.pending], self.day, self.since_checkpoint
        if waiting and len(waiting) <= _MAX_RENUMBERED:
            first = open_line(waiting[0][1])
            self.seq, self.prev = first["seq"] - 1, first["prev"]
            self.pending.clear()
            self.day = day
        else:
            waiting = []
        self.add(body)
        for self.day, line in waiting:
            self.add({name: fact for name, fact in open_line(line).items() if name not in _CHAIN_FIELDS})
        self.day, self.since_checkpoint = now_day, since_checkpoint + 1


def day_of(now_ms: int) -> str:
    """Return the UTC day (YYYY-MM-DD) of a time in Unix milliseconds: the file that its lines belong to."""
    return _day_text(now_ms // _DAY_MS)


@lru_cache(maxsize=8)
def _day_text(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY_MS // 1000, UTC).strftime("%Y-%m-%d")

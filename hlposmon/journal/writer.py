"""The audit journal: one file per UTC day, one JSON object per line, chained by hashes across days.

Changes of the book are appended here before they are published. A checkpoint with the whole book begins each
file, follows each start, and is repeated every CHECKPOINT_LINES, so that recovery reads nothing older than
the last one. Lines that cannot be written (disk full, folder read-only) stay in order and are written later;
`failure` gives the reason meanwhile. While older files cannot be read nothing is appended, because the chain
would fork. This module does not know what a line means.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hlposmon.domain.rendering import time_text
from hlposmon.errors import NotPermitted
from hlposmon.journal.day_file import DayFile
from hlposmon.journal.files import written_below
from hlposmon.journal.fsync import CLOSE_TIMEOUT_S, Background, Syncer
from hlposmon.journal.lines import Recovered, event
from hlposmon.journal.recovery import ReadBack, Unsound, read_back
from hlposmon.journal.tail import Tail, day_of
from hlposmon.system.disk import Disk

CHECKPOINT_LINES = 5_000
# Lines kept while the disk refuses writes, about 1 kB each, or 2 kB while they have no number: what a machine
# with 512 MB can spare. Beyond that, the oldest are dropped and counted.
BACKLOG_LINES = 50_000
_RETRY_S = 1.0
# How many altered lines a start reports one by one.
_NAMED_DAMAGES = 20


class Journal:
    """Appends lines to `<log_dir>/trading/audit-YYYY-MM-DD.jsonl`.

    Call `recover` first; then, each turn, `begin_turn`, any number of `append`, and `commit`. Failures are
    not raised: they are in `failure`, and `commit` tries again.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        fsync: str,
        checkpoint: Callable[[], dict[str, Any]],
        disk: Disk | None = None,
        background: Background | None = None,
    ) -> None:
        """`fsync` is each, batch or off. `checkpoint` returns the facts of a checkpoint, the whole book.

        `disk` and `background` default to the operating system's calls and a thread.
        """
        self.folder = written_below(log_dir)
        self._refusal: str | None = None
        self._syncer = Syncer(fsync, disk=disk, background=background)
        self._remarks: list[tuple[str, dict[str, Any]]] = []
        # Why older files could not be read, since when (Unix ms), and the lines that wait for it: they get
        # their numbers only once the chain's end is known.
        self._unread: str | None = None
        self._unread_since_ms = 0
        self._unsealed: deque[tuple[str, dict[str, Any]]] = deque()
        # Number and hash that the chain must continue after, as another copy of it says.
        self._floor: tuple[int, str] | None = None
        self._retry_at_s = 0.0
        self._lost_before = 0
        self._is_wanted = False
        self._file = DayFile(self.folder, self._syncer, disk)
        self._tail = Tail(self._file, checkpoint=checkpoint)
        # The number of the checkpoint that was recovered from; 0 where there was none.
        self.checkpoint_seq = 0

    @property
    def seq(self) -> int:
        """The number of the last line appended."""
        return self._tail.seq

    @property
    def hash(self) -> str:
        """The hash of the last line appended."""
        return self._tail.prev

    @property
    def day(self) -> str:
        """The day of the newest file (YYYY-MM-DD); empty before the first one."""
        return self._tail.day

    @property
    def written_seq(self) -> int:
        """Every line up to this number is in a file or dropped for good. Dropped lines still count as pending
        until a later line is written."""
        return self._tail.written_seq

    @property
    def lost(self) -> int:
        """How many lines were dropped unwritten since the start."""
        return self._tail.lost

    @property
    def missing(self) -> tuple[int, int] | None:
        """First and last number of lines that are not in this folder, found at the start."""
        return self._tail.missing

    @property
    def is_whole(self) -> bool:
        """Whether the recovered state includes every line since a checkpoint."""
        return self._tail.is_whole

    @property
    def backlog(self) -> int:
        """How many lines are not in a file yet."""
        return len(self._tail.pending) + len(self._unsealed)

    @property
    def failure(self) -> str | None:
        """Why lines are not in a file, or may not be on the disk; None if all is well."""
        if self._refusal is not None and self.lost > self._lost_before:
            return f"{self._refusal}; {self.lost - self._lost_before} lines had to be let go"
        return self._refusal or self._syncer.failure

    @property
    def fsync(self) -> str:
        """The policy: each, batch or off; may be set at any time."""
        return self._syncer.policy

    @fsync.setter
    def fsync(self, policy: str) -> None:
        self._syncer.policy = policy

    def take_remarks(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what was found wrong with the files since the last call: log sentences with facts."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def recover(self, now_ms: int) -> Recovered:
        """Recover the state from the last checkpoint on and continue after the last line; call once, first.

        `now_ms` is Unix milliseconds. A line that a crash left half written stays; a `torn` line after it
        reports it. If files cannot be read, an empty state is returned, `failure` gives the reason, and
        `commit` tries again.
        """
        self._tail.now_ms = self._unread_since_ms = now_ms
        try:
            return self._take_up(self._read_back())
        except (OSError, NotPermitted) as error:
            self._refusal = self._unread = self._why_unread(error)
            return Recovered()

    def continue_after(self, seq: int, digest: str) -> None:
        """Chain the next line to line `seq` with this hash, known from elsewhere, if it is further on."""
        self._floor = seq, digest
        if self._unread is None:
            self._tail.advance_to(self._floor)

    def begin_turn(self, now_ms: int) -> None:
        """Add a checkpoint if one is due. Call before deciding anything that will be appended.

        Only then is the book exactly the state that the lines so far describe.
        """
        self._tail.now_ms = now_ms
        is_due = self._is_wanted or self._tail.since_checkpoint >= CHECKPOINT_LINES
        if self._unread is None and (is_due or day_of(now_ms) > self._tail.day):
            self.append_checkpoint(now_ms)

    def want_checkpoint(self) -> None:
        """Begin the next turn with a checkpoint, because the lines do not describe all of the book."""
        self._is_wanted = True

    def append(self, body: dict[str, Any], now_ms: int) -> None:
        """Add a line of the time `now_ms` (Unix milliseconds), after a checkpoint if it begins a new day.

        `commit` writes it.
        """
        self._tail.now_ms = now_ms
        day = day_of(now_ms)
        # The clock may be set back: the journal never returns to the file of an earlier day.
        if day > self._tail.day:
            self._tail.day = day
            self.append_checkpoint(now_ms)
        self._add(body)

    def append_checkpoint(self, now_ms: int) -> None:
        """Add a checkpoint line; `commit` writes it."""
        self._tail.now_ms, self._is_wanted = now_ms, False
        self._add(self._tail.checkpoint())

    def commit(self, now_s: float) -> bool:
        """Write all appended lines and run the syncer; return whether no line is left over.

        `now_s` is monotonic seconds. After a failure, writing is tried again once a second.
        """
        if (self._tail.pending or self._unread) and (self._refusal is None or now_s >= self._retry_at_s):
            try:
                if self._unread is not None:
                    self._read_again()
                self._tail.write()
                self._refusal = None
                self._tell_lost()
            except (OSError, NotPermitted) as error:
                self._refusal = self._why_unread(error) if self._unread else _reason(error, self.folder)
                self._retry_at_s = now_s + _RETRY_S
                self._file.close()
                self._drop_oldest_beyond(BACKLOG_LINES)
        for name in self._tail.taken_away:
            said = "the audit's file was removed, renamed or emptied: a new one is begun"
            self._remarks.append((said, {"folder": self.folder, "file": name}))
        self._tail.taken_away.clear()
        self._syncer.step(now_s)
        for mended in self._syncer.take_mended():
            facts = {
                "file": mended.path.name,
                "reason": mended.reason,
                "offset": mended.offset,
                "rewritten": mended.rewritten,
                "unsure": mended.unsure,
            }
            self._remarks.append(("the disk had refused to sync the audit; it was written again", facts))
            self._add(event("resynced", now_ms=self._tail.now_ms, **facts))
        return not self.backlog

    def close(self, *, within_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write what can be written, close the file, and wait up to `within_s` seconds for the sync."""
        with contextlib.suppress(OSError, NotPermitted):
            if self._unread is not None:
                self._read_again()
            self._tail.write()
        self._file.close()
        self._syncer.close(within_s=within_s)

    # ------------------------------------------------------------------ within

    def _tell_lost(self) -> None:
        """Add a remark about dropped lines once writing works again: they are in no file."""
        if self.lost > self._lost_before:
            said = "audit lines had to be let go while they could not be written"
            facts = {"lines": self.lost - self._lost_before, "backlog_lines": BACKLOG_LINES}
            self._remarks.append((said, facts))
            self._lost_before = self.lost

    def _read_back(self) -> ReadBack:
        # If the folder cannot be created, its file system may not be mounted yet, with our files on it.
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return read_back(self.folder)

    def _take_up(self, back: ReadBack) -> Recovered:
        """Continue the chain after the last line read back; first append what was found wrong with files."""
        self._tail.seq, self._tail.prev = back.found.seq, back.found.prev
        self._tail.is_whole = back.is_whole
        day, self._tail.day = self._tail.day, back.day or self._tail.day
        self.checkpoint_seq = back.checkpoint_seq
        self._tail.advance_to(self._floor)
        for one in back.torn:
            self._add(event("torn", now_ms=self._tail.now_ms, bytes=one.length, sha256=one.digest))
        self._tail.is_marked = True
        for one in back.damaged[:_NAMED_DAMAGES]:
            self._damaged("a line of the audit was altered and is not believed", one)
        if back.anew:
            self._damaged("no checkpoint of the audit is sound: the book begins anew", None)
        self._tail.day = max(day, self._tail.day)
        if back.headless:
            self._tail.since_checkpoint = CHECKPOINT_LINES  # every file begins with one
        return back.found

    def _damaged(self, said: str, one: Unsound | None) -> None:
        facts = {} if one is None else {"file": one.path.name, "line": one.line}
        self._remarks.append((said, {"folder": self.folder, **facts}))
        self._add(event("audit_damaged", now_ms=self._tail.now_ms, reason=said, **facts))

    def _read_again(self) -> None:
        """Read the files that could not be read at the start, then number the lines that waited for it."""
        back = self._read_back()
        reason, self._unread = self._unread, None
        unsealed, self._unsealed = self._unsealed, deque()
        self._take_up(back)
        day, self._tail.day = self._tail.day, back.day or self._tail.day
        if back.found.seq:
            said = "the audit could not be read at the start"
            said += ": the book began anew" if self._floor is None else ""
            self._remarks.append((said, {"reason": reason, "lines": len(unsealed)}))
            facts = {"reason": reason, "since": time_text(self._unread_since_ms), "lines": len(unsealed)}
            self._add(event("audit_unread", now_ms=self._tail.now_ms, **facts))
        for its_day, body in unsealed:
            self._tail.day = max(its_day, self._tail.day)
            self._add(body)
        self._tail.day = max(day, self._tail.day)

    def _why_unread(self, error: OSError | NotPermitted) -> str:
        if isinstance(error, NotPermitted):
            return str(error)
        return f"{error.filename or self.folder}: the audit cannot be read: {error.strerror}"

    def _drop_oldest_beyond(self, most: int) -> None:
        while len(self._unsealed) > most:  # these have no number yet
            self._unsealed.popleft()
            self._tail.lost += 1
        self._tail.drop_oldest_beyond(most)

    def _add(self, body: dict[str, Any]) -> None:
        if self._unread is not None:
            self._unsealed.append((self._tail.day, body))
        else:
            self._tail.add(body)


def _reason(error: OSError | NotPermitted, folder: Path) -> str:
    return f"{error.filename or folder}: {error.strerror}" if isinstance(error, OSError) else str(error)

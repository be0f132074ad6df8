"""The audit journal: one file a UTC day, one JSON object a line, chained by hashes across days.

What the book says is appended here before anybody is told. Each file, each start and every so many
lines begin with a checkpoint that holds the whole book, so recovery reads from the last checkpoint on
and nothing before. When a line cannot be written (disk full, folder read-only)
it is kept in order and written when it can be; `failure` says so meanwhile. Nothing is claimed to be
written that is not. As long as older files cannot be read nothing is appended: the chain would fork.
Whoever is told of each `sealed` line may keep those that could not be written, and hand them back at the
next start. It knows lines, not what they mean.
"""

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hlposmon.channels.following import lines_after
from hlposmon.channels.recovery import ReadBack, Unsound, opened, read_back
from hlposmon.channels.syncer import PATIENCE_S, Syncer
from hlposmon.errors import NotPermitted
from hlposmon.wire.lines import CHECKPOINT_MARK, FIRST_PREV, Recovered, event, open_line, replay, seal
from hlposmon.wire.published import time_text

CHECKPOINT_LINES = 5_000
# Lines kept while the disk refuses, about 1 kB each, and 2 kB while they have no number: what a machine with
# 512 MB has to spare. Beyond that the oldest are let go, and counted; the history may still have them.
BACKLOG_LINES = 50_000
# What is handed to the disk at once: after a long failure the backlog is not copied at every attempt.
_PIECE_BYTES = 1 << 20
_RETRY_S = 1.0
# More than the longest line that a failed write has left half of.
_LONGEST_HALF = 64 << 20
# Lines of altered bytes that a start names one by one.
_NAMED_DAMAGES = 20
# A sealed line: the object, the day whose file it is for, its bytes.
Sealed = tuple[dict[str, Any], str, bytes]


class Journal:
    """Appends lines to `<log_dir>/trading/audit-YYYY-MM-DD.jsonl`. `fsync` is each, batch or off; `sealed`
    hears each line, and `kept_seq` says up to which number it was kept there."""

    def __init__(
        self,
        log_dir: Path,
        *,
        fsync: str,
        checkpoint: Callable[[], dict[str, Any]],
        sealed: Callable[[dict[str, Any], str, bytes], object] | None = None,
        kept_seq: Callable[[], int] = lambda: 0,
    ) -> None:
        self.folder = log_dir / "trading"
        self.lost = 0
        self._refusal: str | None = None
        self._syncer = Syncer(fsync)
        self._remarks: list[tuple[str, dict[str, Any]]] = []
        # Why older files could not be read, and what waits until they can: it has no number before.
        self._unread: str | None = None
        self._unread_since_ms = 0
        self._unsealed: deque[tuple[str, dict[str, Any]]] = deque()
        self._now_ms = 0
        # What others kept while the files could not be read: lines, and how far the chain had come.
        self._kept: list[tuple[str, bytes]] = []
        self._floor: tuple[int, str] | None = None
        # Numbers of lines that are not in this folder, found at the start; and whether what was
        # recovered rests on all lines since a checkpoint.
        self.missing: tuple[int, int] | None = None
        self.is_whole = False
        self._checkpoint, self._sealed, self._kept_seq = checkpoint, sealed, kept_seq
        self._let_go: tuple[int, int] | None = None
        self._seq, self._prev = 0, FIRST_PREV
        self._day = ""
        self._since_checkpoint = 0
        self._pending: deque[tuple[str, bytes]] = deque()
        self._file: int | None = None
        self._file_day = ""
        self._tail_is_marked = False
        self._retry_at_s = 0.0

    @property
    def seq(self) -> int:
        """The number of the last line appended."""
        return self._seq

    @property
    def hash(self) -> str:
        """The hash of the last line appended."""
        return self._prev

    @property
    def day(self) -> str:
        """The day of the newest file."""
        return self._day

    @property
    def written_seq(self) -> int:
        """Up to this number every line is in a file, or will never be: who keeps others keeps them for us.
        Lines that had to be let go count until a later one is written."""
        return self._let_go[0] - 1 if self._let_go is not None else self._seq - len(self._pending)

    @property
    def backlog(self) -> int:
        """Lines that are not in the file yet."""
        return len(self._pending) + len(self._unsealed)

    @property
    def failure(self) -> str | None:
        """Why lines are not in the file, or may not be on the disk."""
        return self._refusal or self._syncer.failure

    @property
    def fsync(self) -> str:
        """The policy: each, batch or off; may be set at any time."""
        return self._syncer.policy

    @fsync.setter
    def fsync(self, policy: str) -> None:
        self._syncer.policy = policy

    def take_remarks(self) -> list[tuple[str, dict[str, Any]]]:
        """What was found wrong with the files since this was last asked: a sentence, and its facts."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def lines_after(
        self, seq: int, damaged: Callable[[str, str], object] = lambda _name, _reason: None
    ) -> Iterator[Sealed]:
        """Every line behind number `seq` that there is, in order: out of the files, then what waits.

        `damaged` hears of each compressed file that cannot be unpacked: its name, and why. The rest of it is
        passed over. Raises OSError or NotPermitted for a file that cannot be read.
        """
        for line, day, raw in lines_after(self.folder, seq, damaged):
            seq = line["seq"]
            yield line, day, raw
        for day, raw in list(self._pending):
            line = open_line(raw)
            if line["seq"] > seq:
                yield line, day, raw

    def recover(self, now_ms: int, unwritten: Iterable[tuple[str, bytes]] = ()) -> Recovered:
        """Read what the files know since the last checkpoint and go on behind the last line; call once,
        first. `unwritten` are the days and bytes of lines that the files would not take before a crash.

        A line that a crash left half written stays where it is; the line after it says so. When there are
        files that cannot be read nothing is recovered, and `commit` tries again: `failure` says why.
        """
        self._now_ms = self._unread_since_ms = now_ms
        self._kept = list(unwritten)
        try:
            return self._take_up(self._read_back())
        except (OSError, NotPermitted) as error:
            self._refusal = self._unread = self._why_unread(error)
            return Recovered()

    def go_on_behind(self, seq: int, digest: str) -> None:
        """The line of that number and hash was written elsewhere: the next one chains to it."""
        self._floor = seq, digest
        if self._unread is None:
            self._rise_to_floor()

    def append(self, body: dict[str, Any], now_ms: int) -> None:
        """Add a line; `commit` writes it. A new day, or a long way since the last, brings a checkpoint."""
        self._now_ms = now_ms
        day = day_of(now_ms)
        # The clock may be set back: a file once left is not returned to.
        if day > self._day or self._since_checkpoint >= CHECKPOINT_LINES:
            self._day = max(day, self._day)
            self.append_checkpoint(now_ms)
        self._add(body)

    def append_checkpoint(self, now_ms: int) -> None:
        """Add a checkpoint line."""
        self._now_ms = now_ms
        self._day = max(day_of(now_ms), self._day)
        self._since_checkpoint = 0
        self._add(event("checkpoint", now_ms=now_ms, **self._checkpoint()))

    def commit(self, now_s: float) -> bool:
        """Write all that was appended; whether nothing is left over. After a failure it is tried again
        once a second."""
        if (self._pending or self._unread) and (self._refusal is None or now_s >= self._retry_at_s):
            try:
                self._try_to_read()
                self._write_pending()
                self._refusal = None
            except (OSError, NotPermitted) as error:
                self._refusal = self._why_unread(error) if self._unread else _reason(error, self.folder)
                self._retry_at_s = now_s + _RETRY_S
                self._close_file()
                self._let_go_beyond(BACKLOG_LINES)
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
            self._add(event("resynced", now_ms=self._now_ms, **facts))
        return not self.backlog

    def close(self, *, within_s: float = PATIENCE_S) -> None:
        """Write what can be written, and let go of the file; the disk is waited for so long."""
        with contextlib.suppress(OSError, NotPermitted):
            self._try_to_read()
            self._write_pending()
        self._close_file()
        self._syncer.close(within_s=within_s)

    # ------------------------------------------------------------------ within

    def _read_back(self) -> ReadBack:
        # A folder that cannot even be made may be one that is not mounted yet, with files of ours in it.
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return read_back(self.folder)

    def _take_up(self, back: ReadBack) -> Recovered:
        """Seal from here on, behind the last line; first what is to be said of the files themselves."""
        self._seq, self._prev = back.found.seq, back.found.prev
        self.is_whole = back.is_whole
        day, self._day = self._day, back.day or self._day
        self._resume(back)
        self._rise_to_floor()
        for one in back.torn:
            self._add(event("torn", now_ms=self._now_ms, bytes=one.length, sha256=one.digest))
        self._tail_is_marked = True
        for one in back.damaged[:_NAMED_DAMAGES]:
            self._damaged("a line of the audit was altered and is not believed", one)
        if back.anew:
            self._damaged("no checkpoint of the audit is sound: the book begins anew", None)
        self._day = max(day, self._day)
        if back.headless:
            self._since_checkpoint = CHECKPOINT_LINES  # every file begins with one
        return back.found

    def _damaged(self, said: str, one: Unsound | None) -> None:
        facts = {} if one is None else {"file": one.path.name, "line": one.line}
        self._remarks.append((said, {"folder": self.folder, **facts}))
        self._add(event("audit_damaged", now_ms=self._now_ms, reason=said, **facts))

    def _try_to_read(self) -> None:
        """Read now what could not be read at the start; then all that has waited gets its number."""
        if self._unread is None:
            return
        back = self._read_back()
        reason, self._unread = self._unread, None
        unsealed, self._unsealed = self._unsealed, deque()
        self._take_up(back)
        day, self._day = self._day, back.day or self._day
        if back.found.seq:
            said = "the audit could not be read at the start"
            said += ": the book began anew" if self._floor is None else ""
            self._remarks.append((said, {"reason": reason, "lines": len(unsealed)}))
            facts = {"reason": reason, "since": time_text(self._unread_since_ms), "lines": len(unsealed)}
            self._add(event("audit_unread", now_ms=self._now_ms, **facts))
        for its_day, body in unsealed:
            self._day = max(its_day, self._day)
            self._add(body)
        self._day = max(day, self._day)

    def _why_unread(self, error: OSError | NotPermitted) -> str:
        if isinstance(error, NotPermitted):
            return str(error)
        return f"{error.filename or self.folder}: the audit cannot be read: {error.strerror}"

    def _resume(self, back: ReadBack) -> None:
        """Take back the lines that were kept elsewhere; half of the first may end the file."""
        kept, self._kept = self._kept, []
        for day, raw in kept:
            body = opened(raw)
            if body is None or body["seq"] <= self._seq:
                continue
            if body["prev"] != self._prev:
                self.missing = self.missing or (self._seq + 1, body["seq"] - 1)
                self.is_whole = False
            if not self._pending and back.torn and _cut_off(back.torn[-1], raw):
                del back.torn[-1]
            self._seq, self._prev = body["seq"], body["hash"]
            self._day = max(self._day, day)
            self._pending.append((day, raw))
            replay(body, back.found)
            back.found.seq, back.found.prev = self._seq, self._prev

    def _rise_to_floor(self) -> None:
        if self._floor is not None and self._floor[0] > self._seq:
            first = self.missing[0] if self.missing else self._seq + 1
            self.missing = (first, self._floor[0])
            self._seq, self._prev = self._floor

    def _let_go_beyond(self, most: int) -> None:
        while len(self._unsealed) > most:  # these have no number yet
            self._unsealed.popleft()
            self.lost += 1
        while len(self._pending) > most:
            self._pending.popleft()
            self.lost += 1
            last = self._seq - len(self._pending)
            self._let_go = (self._let_go[0] if self._let_go else last, last)

    def _add(self, body: dict[str, Any]) -> None:
        if self._unread is not None:
            self._unsealed.append((self._day, body))
            return
        self._seq += 1
        self._since_checkpoint += 1
        prev = self._prev
        line, self._prev = seal(body, seq=self._seq, prev=prev)
        self._pending.append((self._day, line))
        if self._sealed is not None:
            whole = {"seq": self._seq, **body, "prev": prev, "hash": self._prev}
            self._sealed(whole, self._day, line)

    def _write_pending(self) -> None:
        self._write_waiting()
        if self._let_go is not None:
            first, last = self._let_go
            self._let_go = None
            facts = {"first": first, "last": last, "count": last - first + 1}
            kept = max(0, min(last, self._kept_seq()) - first + 1)
            self._add(event("lost", now_ms=self._now_ms, **facts, in_history=kept))
            self._write_waiting()

    def _write_waiting(self) -> None:
        while self._pending:
            day = self._pending[0][0]
            if self._file is None or self._file_day != day or self._is_taken_away():
                self._open(day)
            piece, length = [], 0
            for other, line in self._pending:
                if other != day or length > _PIECE_BYTES:
                    break
                piece.append(line)
                length += len(line)
            self._write_whole(piece)

    def _write_whole(self, lines: Sequence[bytes]) -> None:
        """All of them or none: what a full disk took is cut off again. Where even that is refused, whole
        lines that stand there count, and half a line is marked when the file is opened again."""
        assert self._file is not None, "a file is open"
        raw = b"".join(lines)
        length = os.fstat(self._file).st_size
        view = memoryview(raw)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            try:
                os.ftruncate(self._file, length)
            except OSError:
                self._count_whole(lines, len(raw) - len(view))
            raise
        self._wrote(raw, len(lines))

    def _count_whole(self, lines: Sequence[bytes], written: int) -> None:
        whole: list[bytes] = []
        for line in lines:
            written -= len(line)
            if written < 0:
                break
            whole.append(line)
        self._wrote(b"".join(whole), len(whole))
        self._tail_is_marked = False

    def _wrote(self, raw: bytes, lines: int) -> None:
        self._syncer.wrote(raw)
        for _ in range(lines):
            self._pending.popleft()

    def _path(self, day: str) -> Path:
        return self.folder / f"audit-{day}.jsonl"

    def _is_taken_away(self) -> bool:
        """Whether the open file is no longer the one that has its name: lines would go to nobody."""
        assert self._file is not None, "a file is open"
        try:
            return not os.path.samestat(self._path(self._file_day).stat(), os.fstat(self._file))
        except FileNotFoundError:
            return True

    def _open(self, day: str) -> None:
        self._close_file()
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._file = os.open(self._path(day), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._file_day = day
        if not os.fstat(self._file).st_size and not any(CHECKPOINT_MARK in line for _, line in self._pending):
            self.append_checkpoint(self._now_ms)  # the one before was taken away, and its checkpoints too
        self._end_half_line(self._file)
        self._syncer.opened(self._file, self._path(day))

    def _end_half_line(self, file: int) -> None:
        """After half a line, ours begins on one of its own; a mark follows if none was made."""
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            if not self._tail_is_marked:
                raw = os.pread(file, _LONGEST_HALF, max(0, size - _LONGEST_HALF)).rpartition(b"\n")[2]
                digest = hashlib.sha256(raw).hexdigest()
                self._add(event("torn", now_ms=self._now_ms, bytes=len(raw), sha256=digest))
                self._tail_is_marked = True
            os.write(file, b"\n")
        self._tail_is_marked = True

    def _close_file(self) -> None:
        if self._file is not None:
            self._syncer.left()
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


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


def _reason(error: OSError | NotPermitted, folder: Path) -> str:
    return f"{error.filename or folder}: {error.strerror}" if isinstance(error, OSError) else str(error)

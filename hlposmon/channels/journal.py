"""The audit journal: one file a UTC day, one JSON object a line, chained by hashes across days.

What the book says is appended here before anybody is told. Each file, each start and every so many
lines begin with a checkpoint that holds the whole book, so recovery reads from the last checkpoint on
and nothing before. When a line cannot be written (disk full, folder read-only)
it is kept in order and written when it can be; `failure` says so meanwhile. Nothing is claimed to be
written that is not. Whoever is told of each `sealed` line may keep those that could not be written, and
hand them back at the next start. It knows lines, not what they mean.
"""

import contextlib
import mmap
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hlposmon.channels.days import lines_after
from hlposmon.errors import NotPermitted, WireError
from hlposmon.wire.lines import CHECKPOINT_MARK, FIRST_PREV, Recovered, event, open_line, replay, seal

CHECKPOINT_LINES = 5_000
# Lines kept while the disk refuses: about 100 MB. Beyond that the oldest are let go, and counted.
BACKLOG_LINES = 200_000
# What is handed to the disk at once: after a long failure the backlog is not copied at every attempt.
_PIECE_BYTES = 1 << 20
_BATCH_S = 1.0
_RETRY_S = 1.0
_NAME = re.compile(r"audit-\d{4}-\d{2}-\d{2}\.jsonl\Z")
# A sealed line: the object, the day whose file it is for, its bytes.
Sealed = tuple[dict[str, Any], str, bytes]


class Journal:
    """Appends lines to `<log_dir>/trading/audit-YYYY-MM-DD.jsonl`. `fsync` is each, batch or off."""

    def __init__(
        self,
        log_dir: Path,
        *,
        fsync: str,
        checkpoint: Callable[[], dict[str, Any]],
        sealed: Callable[[dict[str, Any], str, bytes], object] | None = None,
    ) -> None:
        assert fsync in ("each", "batch", "off"), fsync
        self.folder = log_dir / "trading"
        self.failure: str | None = None
        self.lost = 0
        self.fsync = fsync
        # Numbers of lines that are not in this folder, found at the start; and whether what was
        # recovered rests on all lines since a checkpoint.
        self.missing: tuple[int, int] | None = None
        self.is_whole = False
        self._checkpoint, self._sealed = checkpoint, sealed
        self._now_ms = 0
        self._let_go: tuple[int, int] | None = None
        self._seq, self._prev = 0, FIRST_PREV
        self._day = ""
        self._since_checkpoint = 0
        self._pending: deque[tuple[str, bytes]] = deque()
        self._file: int | None = None
        self._file_day = ""
        self._unsynced_since_s: float | None = None
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
    def backlog(self) -> int:
        """Lines that are not in the file yet."""
        return len(self._pending)

    @property
    def written_seq(self) -> int:
        """The number of the last line that is in a file."""
        return self._seq - len(self._pending)

    def lines_after(self, seq: int) -> Iterator[Sealed]:
        """Every line behind number `seq` that there is, in order: out of the files, then what waits."""
        for line, day, raw in lines_after(self.folder, seq):
            seq = line["seq"]
            yield line, day, raw
        for day, raw in list(self._pending):
            line = open_line(raw)
            if line["seq"] > seq:
                yield line, day, raw

    def recover(self, now_ms: int, unwritten: Iterable[tuple[str, bytes]] = ()) -> Recovered:
        """Read what the files know since the last checkpoint and go on behind the last line; call once,
        first. `unwritten` are the days and bytes of lines that the files would not take before a crash.

        A line that a crash left half written stays where it is; the line after it says so.
        Raises NotPermitted when there are files that cannot be read.
        """
        self._now_ms = now_ms
        with contextlib.suppress(OSError):  # where it cannot be made there is nothing to read either
            self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        found = Recovered()
        try:
            torn = self._read(found)
        except OSError as error:
            raise NotPermitted(
                f"{error.filename or self.folder}: the audit cannot be read: {error.strerror}"
            ) from error
        self._seq, self._prev = found.seq, found.prev
        if self._resume(unwritten, torn, found):
            torn = b""
        if torn:
            self._add(event("torn", now_ms=now_ms, bytes=len(torn)))
        return found

    def go_on_behind(self, seq: int, digest: str) -> None:
        """The line of that number and hash was written elsewhere: the next one chains to it."""
        assert seq > self._seq, "a chain does not go back"
        first = self.missing[0] if self.missing else self._seq + 1
        self.missing = (first, seq)
        self._seq, self._prev = seq, digest

    def append(self, body: dict[str, Any], now_ms: int) -> None:
        """Add a line; `commit` writes it. A new day, or a long way since the last, brings a checkpoint."""
        self._now_ms = now_ms
        day = _day_of(now_ms)
        # The clock may be set back: a file once left is not returned to.
        if day > self._day or self._since_checkpoint >= CHECKPOINT_LINES:
            self._day = max(day, self._day)
            self.append_checkpoint(now_ms)
        self._add(body)

    def append_checkpoint(self, now_ms: int) -> None:
        """Add a checkpoint line."""
        self._day = max(_day_of(now_ms), self._day)
        self._since_checkpoint = 0
        self._add(event("checkpoint", now_ms=now_ms, **self._checkpoint()))

    def commit(self, now_s: float) -> bool:
        """Write all that was appended; whether nothing is left over. After a failure it is tried again
        once a second."""
        if self._pending and (self.failure is None or now_s >= self._retry_at_s):
            try:
                self._write_pending()
                self.failure = None
            except OSError as error:
                self.failure = f"{error.filename or self.folder}: {error.strerror}"
                self._retry_at_s = now_s + _RETRY_S
                self._close_file()
                self._let_go_beyond(BACKLOG_LINES)
            else:
                self._unsynced_since_s = self._unsynced_since_s or now_s
        self._sync_if_due(now_s)
        return not self._pending

    def close(self) -> None:
        """Write what can be written, and let go of the file."""
        with contextlib.suppress(OSError):
            self._write_pending()
        self._sync()
        self._close_file()

    # ------------------------------------------------------------------ within

    def _add(self, body: dict[str, Any]) -> None:
        self._seq += 1
        self._since_checkpoint += 1
        prev = self._prev
        line, self._prev = seal(body, seq=self._seq, prev=prev)
        self._pending.append((self._day, line))
        if self._sealed is not None:
            whole = {"seq": self._seq, **body, "prev": prev, "hash": self._prev}
            self._sealed(whole, self._day, line)

    def _resume(self, unwritten: Iterable[tuple[str, bytes]], torn: bytes, found: Recovered) -> bool:
        """Take back lines that were kept elsewhere; whether the half line is the beginning of the first."""
        is_same = False
        for day, raw in unwritten:
            body = _opened(raw)
            if body is None or body["seq"] <= self._seq:
                continue
            if body["prev"] != self._prev:
                self.missing = self.missing or (self._seq + 1, body["seq"] - 1)
                self.is_whole = False
            if not self._pending and torn and raw.startswith(torn):
                is_same = self._cut_off(len(torn))
            self._seq, self._prev = body["seq"], body["hash"]
            self._day = max(self._day, day)
            self._pending.append((day, raw))
            replay(body, found)
            found.seq, found.prev = self._seq, self._prev
        return is_same

    def _cut_off(self, length: int) -> bool:
        """Take a half line away that is about to be written whole."""
        path = max(path for path in self.folder.iterdir() if _NAME.match(path.name))
        try:
            os.truncate(path, path.stat().st_size - length)
        except OSError:
            return False
        return True

    def _let_go_beyond(self, most: int) -> None:
        while len(self._pending) > most:
            self._pending.popleft()
            self.lost += 1
            first = self._let_go[0] if self._let_go else self.written_seq
            self._let_go = (first, self.written_seq)

    def _write_pending(self) -> None:
        self._write_waiting()
        if self._let_go is not None:
            first, last = self._let_go
            self._let_go = None
            self._add(event("lost", now_ms=self._now_ms, first=first, last=last, count=last - first + 1))
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
            self._write_whole(b"".join(piece))
            for _ in piece:
                self._pending.popleft()

    def _write_whole(self, raw: bytes) -> None:
        """All of it or nothing: what a full disk took of it is cut off again."""
        assert self._file is not None, "a file is open"
        length = os.fstat(self._file).st_size
        try:
            view = memoryview(raw)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            with contextlib.suppress(OSError):  # then half a line stays, and the next begins on its own
                os.ftruncate(self._file, length)
            raise

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
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # a crash left half a line: ours begins on one of its own
        self._file_day = day

    def _close_file(self) -> None:
        if self._file is not None:
            self._sync()
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _sync_if_due(self, now_s: float) -> None:
        if self._unsynced_since_s is None or self.fsync == "off":
            return
        if self.fsync == "each" or now_s - self._unsynced_since_s >= _BATCH_S:
            self._sync()

    def _sync(self) -> None:
        if self._file is not None and self.fsync != "off" and self._unsynced_since_s is not None:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self.failure = f"{self.folder}: {error.strerror}"
        self._unsynced_since_s = None

    def _read(self, into: Recovered) -> bytes:
        """Replay all whole lines since the last checkpoint; a half-written one at the end."""
        if not self.folder.exists():
            return b""
        paths = sorted(path for path in self.folder.iterdir() if _NAME.match(path.name))
        if not paths:
            return b""
        self._day = paths[-1].name[6:16]
        wanted: list[bytes] = []
        for path in reversed(paths):
            raw, has_checkpoint = _from_last_checkpoint(path)
            wanted.append(raw)
            if has_checkpoint:
                self.is_whole = True
                break
        for raw in reversed(wanted):
            for line in raw.splitlines(keepends=True):
                body = _opened(line)
                if body is not None:
                    self.is_whole &= into.seq in (0, body["seq"] - 1)
                    replay(body, into)
                    into.seq, into.prev = body["seq"], body["hash"]
        rest = wanted[0].rpartition(b"\n")[2]
        return b"" if _opened(rest) else rest  # a line may be whole and lack but its newline


def _day_of(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%d")


def _opened(line: bytes) -> dict[str, Any] | None:
    """A whole line's object. An altered line is for `audit verify` to find; those after it still count."""
    try:
        return open_line(line)
    except WireError:
        return None


def _from_last_checkpoint(path: Path) -> tuple[bytes, bool]:
    """The file from the line of its last sound checkpoint on; all of it, and False, when it has none."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b"", False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            end = len(mapped)
            while (mark := mapped.rfind(CHECKPOINT_MARK, 0, end)) >= 0:
                start = mapped.rfind(b"\n", 0, mark) + 1
                stop = mapped.find(b"\n", mark)
                if _opened(mapped[start : stop if stop >= 0 else len(mapped)]) is not None:
                    return mapped[start:], True
                end = start
            return mapped[:], False

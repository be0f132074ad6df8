"""The snapshot's reader: reads positions from shared memory, for any program. Standard library only.

It never writes, locks or removes anything, and never blocks the writer. A torn record is read again for a
bounded time and never returned. A record whose writer is silent or gone is returned as stale, so that frozen
data never looks healthy. After a restart of the monitor the reader switches to the new file by itself.
"""

import mmap
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hlposmon.errors import MonitorNotRunning, NotPermitted, WireError
from hlposmon.snapshot.layout import (
    BLOCK_BYTES,
    CLOSED,
    LIVE,
    REPLACED,
    STARTING,
    WORDS_PER_BLOCK,
    DecodeError,
    Header,
    PositionRecord,
    decode_header,
    decode_record,
)

T = TypeVar("T")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOOK_ABOUT_S = 0.25  # if the last beat is older than this, one stat() checks for a new file
# A torn block is read again: first without pauses, because a write takes microseconds, then with pauses,
# which give the processor to a writer that was preempted during a write.
_LOOKS_AT_ONCE = 16
_PAUSE_S = 0.001
_PATIENCE_WITH_THE_DEAD_S = 0.05


class SnapshotStale(MonitorNotRunning):
    """A block stayed torn for the time allowed: its writer died or was stopped during a write."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The header at one moment, its age in seconds, and why its records are stale (None: they are not)."""

    header: Header
    age_s: float
    state: str
    doubt: str | None


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a torn block is read again, in seconds of pauses.

    Pauses are counted instead of measuring time: if this process did not run for a second, it did not look
    either, and the writer may not have run. With 16 looks at once and pauses of 1 ms, a patience of 1 s is
    over after 1016 looks.
    """

    patience_s: float
    limit_s: float

    def is_over(self, looks: int, header: Header | None) -> bool:
        """Return whether to give up after `looks` reads; `header` is the file's (None: not read yet).

        Gives up after 0.05 s already if the header shows that the writer is silent or its process gone.
        """
        waited_s = (looks - _LOOKS_AT_ONCE) * _PAUSE_S
        if waited_s >= self.patience_s:
            return True
        if header is None or waited_s < _PATIENCE_WITH_THE_DEAD_S:
            return False
        return _age_s(header) > self.limit_s or not _may_run(header.pid)


class Snapshot:
    """The positions as the monitor shows them now. Each record is consistent; the whole table is not one
    instant.

    Not thread-safe: open one per thread; each costs one memory mapping.
    """

    def __init__(self, path: Path, *, limit_s: float, patience_s: float) -> None:
        self._path = path
        self._limit_s = limit_s
        self._patience = _Patience(patience_s, limit_s)
        self._boot_id = _boot_id()
        self._slots: dict[str, dict[str, int]] = {}
        self._indexed = 0
        self._file = _MappedFile(path, self._patience)
        try:
            self._header = self._file.header()
        except (SnapshotStale, WireError):
            self._file.close()
            raise

    @classmethod
    def open(cls, path: Path | str, *, limit_s: float = 5.0, patience_s: float = 1.0) -> Self:
        """Map the snapshot at `path`.

        A writer without a beat for `limit_s` seconds counts as silent. A torn record is read again for
        `patience_s` seconds, because on a busy machine a writer may be preempted during a write; only for
        0.05 s if the writer is silent or its process is gone. Both times count the pauses of 1 ms between
        reads, so they are longer by the time that this process did not run.

        Raises MonitorNotRunning (no file, or SnapshotStale: its header stays torn), NotPermitted, and
        WireError for the layout of another version.
        """
        return cls(Path(path), limit_s=limit_s, patience_s=patience_s)

    def positions(self, *, all: bool = False) -> list[PositionRecord]:
        """Return every position that is open or not proven; with `all`, also those that are proven flat.

        An empty list carries no verdict: check `state` as well. Raises SnapshotStale.
        """

        def read(look: _Look) -> list[PositionRecord]:
            records = (self._record(slot, look) for slot in range(look.header.used))
            return [each for each in records if all or not each.is_flat or each.verdict != "proven"]

        return self._reading(read)

    def position(self, key: str, account: str | None = None) -> PositionRecord | None:
        """Return the position with this key, flat or not; None if the snapshot has none.

        Raises ValueError if several accounts have the key and `account` is None, and SnapshotStale.
        """

        def read(look: _Look) -> PositionRecord | None:
            self._index(look.header.used)
            slots = self._slots.get(key, {})
            if account is None and len(slots) > 1:
                raise ValueError(f"{key} is held by several accounts, name one: {', '.join(sorted(slots))}")
            slot = slots.get(account) if account is not None else next(iter(slots.values()), None)
            return None if slot is None else self._record(slot, look)

        return self._reading(read)

    @property
    def age_s(self) -> float:
        """Seconds since the writer's last beat (before the first: since the file was built)."""
        return self._look().age_s

    @property
    def state(self) -> str:
        """live, closed (the monitor stopped) or stale (silent, dead during a write, or no beat yet)."""
        return self._look().state

    @property
    def mode(self) -> str:
        """live, simulated or backtest."""
        return self._look().header.mode

    @property
    def status(self) -> str:
        """The monitor's health at its last beat, as in `SnapshotWriter.beat`; "starting" before the first."""
        return self._look().header.status

    @property
    def seq(self) -> int:
        """The number of the last stream message that the monitor had published at its last beat."""
        return self._look().header.seq

    @property
    def pid(self) -> int:
        """The writer's pid in its own PID namespace, which may differ from ours."""
        return self._look().header.pid

    def close(self) -> None:
        """Unmap the file; records that were read stay valid."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reading(self, read: Callable[[_Look], T]) -> T:
        try:
            return read(self._look())
        except SnapshotStale:
            if not self._follow():
                raise
            return read(self._look())

    def _record(self, slot: int, look: _Look) -> PositionRecord:
        record = self._file.read(1 + slot, decode_record)
        return record if look.doubt is None else replace(record, verdict="stale", verdict_reason=look.doubt)

    def _index(self, used: int) -> None:
        """Index new slots by key and account. A slot is never reused, so old entries stay valid."""
        for slot in range(self._indexed, used):
            record = self._file.read(1 + slot, decode_record)
            self._slots.setdefault(record.key, {})[record.account] = slot
            self._indexed = slot + 1

    def _look(self) -> _Look:
        look = self._judged()
        if (look.doubt is not None or look.age_s > _LOOK_ABOUT_S) and self._follow():
            look = self._judged()
        return look

    def _judged(self) -> _Look:
        try:
            self._header = self._file.header()
            torn = False
        except SnapshotStale:
            torn = True
        header = self._header
        age_s = _age_s(header)
        if header.state in (CLOSED, REPLACED):
            return _Look(header, max(age_s, 0.0), CLOSED, "monitor stopped")
        if header.boot_id != self._boot_id:
            age_s = time.time() - header.beat_wall_ms / 1000
            doubt: str | None = "written before the last boot"
        elif torn:
            doubt = "writer died or stands in mid-write"
        elif header.state == STARTING:
            doubt = "writer has not beaten yet"
        elif age_s > self._limit_s:
            doubt = f"writer silent for {age_s:.1f} s"
        else:
            doubt = None
        return _Look(header, max(age_s, 0.0), LIVE if doubt is None else "stale", doubt)

    def _follow(self) -> bool:
        """Switch to the file that now has the name; return False if that is still ours or cannot be read.

        Do not switch to a new monitor that is still starting, whose empty table would look like no positions,
        unless our file was itself starting or was replaced by a larger one.
        """
        try:
            if self._file.is_at(self._path):
                return False
            file = _MappedFile(self._path, self._patience)
        except (MonitorNotRunning, NotPermitted, OSError):
            return False
        try:
            header: Header | None = file.header()
        except (SnapshotStale, WireError):
            header = None
        if header is None or (header.state == STARTING and self._header.state not in (STARTING, REPLACED)):
            file.close()
            return False
        self._file.close()
        self._file, self._header = file, header
        self._slots, self._indexed = {}, 0
        return True


class _MappedFile:
    """The file behind the name at one moment, mapped for reading."""

    def __init__(self, path: Path, patience: _Patience) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MonitorNotRunning(f"no snapshot at {path}: the monitor is not running") from error
        except PermissionError as error:
            raise NotPermitted.to_outsiders(f"{path} may not be read by this user") from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size < 2 * BLOCK_BYTES:
                raise MonitorNotRunning(f"{path} is not a snapshot: no file, or too short for one")
            self._memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        self._path, self._patience = path, patience
        self._header: Header | None = None
        self._identity = (status.st_dev, status.st_ino)
        self._bytes = memoryview(self._memory)
        blocks = len(self._memory) // BLOCK_BYTES
        self._words = self._bytes[: blocks * BLOCK_BYTES].cast("Q")
        self._known: dict[int, tuple[int, Any]] = {}  # what each block held at that sequence

    def is_at(self, path: Path) -> bool:
        """Return whether `path` is still our file. Our mapping keeps the inode, so its number stays ours."""
        status = path.stat()
        return (status.st_dev, status.st_ino) == self._identity

    def header(self) -> Header:
        header = self._header = self.read(0, decode_header)
        if (1 + header.used) * BLOCK_BYTES > len(self._memory):
            raise WireError(f"{self._path} claims {header.used} positions and is too short for them")
        return header

    def read(self, index: int, decode: Callable[[bytes], T]) -> T:
        """Return a decoded block that is not torn. Raises SnapshotStale when patience is over.

        A seqlock: read the sequence word, copy the block, read the word again. If it was odd or changed, the
        copy is torn. The checksum finds the remaining cases, also on processors that reorder stores.
        Sequences only grow, so an unchanged one means that the block decoded last time is still valid.

            word 4, copy, word 4, checksum right   decode it
            word 4, copy, word 5                   a write began meanwhile: read again
            word 5                                 a write is under way: read again
        """
        word, start = index * WORDS_PER_BLOCK, index * BLOCK_BYTES
        looks = 0
        while True:
            sequence = self._words[word]
            known = self._known.get(index)
            if known is not None and known[0] == sequence:
                value: T = known[1]
                return value
            block = self._memory[start : start + BLOCK_BYTES]
            if sequence % 2 == 0 and self._words[word] == sequence:
                with suppress(DecodeError):
                    value = decode(block)
                    self._known[index] = (sequence, value)
                    return value
            looks += 1
            if looks < _LOOKS_AT_ONCE:
                os.sched_yield()
            elif self._patience.is_over(looks, self._header):
                raise SnapshotStale(
                    f"block {index} of {self._path} was torn at each of {looks} looks:"
                    " its writer has died or stands in mid-write"
                )
            else:
                time.sleep(_PAUSE_S)

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._memory.close()


def _age_s(header: Header) -> float:
    """Return the seconds since the last beat; meaningful only if it was in this boot."""
    return (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - header.beat_ns) / 1e9


def _may_run(pid: int) -> bool:
    """Return whether a process with this pid exists, as far as this process can see.

    In another PID namespace the number may belong to nobody or to another process. Patience is then shorter
    or longer than necessary, but what is read is still right.
    """
    if not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is another user's
    return True


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""

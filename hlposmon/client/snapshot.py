"""The snapshot's reader: positions out of shared memory, for any program, with the standard library alone.

It never writes, locks, removes or waits for the writer. A record that was torn is read again for a bounded
time and never returned; a record whose writer is silent or gone comes out as stale, so that frozen data
never looks healthy. When the monitor has been started anew the reader follows it by itself.
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
_LOOK_ABOUT_S = 0.25  # a beat older than this is reason enough for the one stat() that finds a new file
# A torn block is looked at again: a few times at once, since a write takes microseconds, then with pauses,
# which leave the processor to a writer that was preempted in mid-write.
_LOOKS_AT_ONCE = 16
_PAUSE_S = 0.001
_PATIENCE_WITH_THE_DEAD_S = 0.05


class SnapshotStale(MonitorNotRunning):
    """A record could not be read whole in the time allowed: its writer has died or stands in mid-write."""


@dataclass(frozen=True, slots=True)
class _Look:
    """The header at one moment, and why nothing under it may be believed (None: it may)."""

    header: Header
    age_s: float
    state: str
    doubt: str | None


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a torn block is read again, counted in pauses and not by the clock: while this process was
    itself kept from running, it has not looked, and the writer may not have run either."""

    patience_s: float
    limit_s: float

    def is_over(self, looks: int, header: Header | None) -> bool:
        """After so many looks at a block of the file that has this header (None: not read yet)."""
        waited_s = (looks - _LOOKS_AT_ONCE) * _PAUSE_S
        if waited_s >= self.patience_s:
            return True
        if header is None or waited_s < _PATIENCE_WITH_THE_DEAD_S:
            return False
        return _age_s(header) > self.limit_s or not _may_run(header.pid)


class Snapshot:
    """The positions as the monitor shows them now. Each record is whole; the table is not one instant.

    Not for several threads: open one each, it costs a mapping.
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

        A writer that has not beaten for `limit_s` is silent. A torn record is read again for `patience_s`:
        on a busy machine a writer may be preempted in mid-write. It is given up after 0.05 s when the writer
        is silent or its process is gone. Both count the pauses of a millisecond between two looks, so that
        they are longer by as much as this process did not run.
        Raises MonitorNotRunning (no file, or SnapshotStale: its header cannot be read), NotPermitted, and
        WireError for the layout of another version.
        """
        return cls(Path(path), limit_s=limit_s, patience_s=patience_s)

    def positions(self, *, all: bool = False) -> list[PositionRecord]:
        """Every position that is open or in doubt; with `all` also those that are proven flat.

        An empty list carries no verdict: ask `state` as well. Raises SnapshotStale.
        """

        def read(look: _Look) -> list[PositionRecord]:
            records = (self._record(slot, look) for slot in range(look.header.used))
            return [each for each in records if all or not each.is_flat or each.verdict != "proven"]

        return self._reading(read)

    def position(self, key: str, account: str | None = None) -> PositionRecord | None:
        """The position of that key, flat or not; None if the monitor has never seen it.

        ValueError if several accounts hold the key and none is named. Raises SnapshotStale.
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
        """live, closed (the monitor said good-bye) or stale (silent, dead in mid-write, not yet beating)."""
        return self._look().state

    @property
    def mode(self) -> str:
        """live, simulated or backtest."""
        return self._look().header.mode

    @property
    def status(self) -> str:
        """What the monitor said of its health at its last beat; "starting" before the first."""
        return self._look().header.status

    @property
    def seq(self) -> int:
        """The last message that the monitor had published at its last beat."""
        return self._look().header.seq

    @property
    def pid(self) -> int:
        """The writer's process, as it sees itself (another PID namespace may number it otherwise)."""
        return self._look().header.pid

    def close(self) -> None:
        """Let go of the file; records that were read stay valid."""
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
        """Slots are never reused, so what was found once stays found."""
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
        """Change over to the file that now bears the name; False if it is still ours, or cannot be read.

        A new monitor that is still starting is waited for: its empty table would look like no positions.
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
        """Our mapping holds the inode, so its number cannot have been given to another file."""
        status = path.stat()
        return (status.st_dev, status.st_ino) == self._identity

    def header(self) -> Header:
        header = self._header = self.read(0, decode_header)
        if (1 + header.used) * BLOCK_BYTES > len(self._memory):
            raise WireError(f"{self._path} claims {header.used} positions and is too short for them")
        return header

    def read(self, index: int, decode: Callable[[bytes], T]) -> T:
        """The block, whole; SnapshotStale when patience is over.

        The sequence before and after tells most tears cheaply; the checksum tells the others, also on
        processors that reorder stores. Sequences only grow, so the same one is the same block as last time.
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
    """Since the last beat, if it was in this boot."""
    return (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - header.beat_ns) / 1e9


def _may_run(pid: int) -> bool:
    """Whether there is such a process, for all that can be seen from here.

    In another PID namespace the number may be nobody's or somebody else's: then patience is shorter or longer
    than it need be, and what is read is right all the same.
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

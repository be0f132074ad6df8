"""The snapshot's writer: one mapped file on tmpfs, one block per position, one writing process.

A block is written in place between an odd and an even sequence word, so an update costs the same for any
number of positions, and the writer never waits for a reader. A new file is built beside the old one and
renamed over it, so that readers only ever see complete files. This module does not judge a position's value
or proof.
"""

import contextlib
import mmap
import os
import time
from dataclasses import replace
from pathlib import Path

from hlposmon.snapshot.layout import (
    BLOCK_BYTES,
    CLOSED,
    LIVE,
    MODES,
    REPLACED,
    STARTING,
    WORD_BYTES,
    WORDS_PER_BLOCK,
    Header,
    PositionRecord,
    RecordTexts,
    decode_record,
    encode_header,
    encode_record,
    encode_texts,
)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SnapshotWriter:
    """Writes positions to shared memory, where any process of the group can read them without a request.

    Not thread-safe. A position keeps its slot for the life of the writer, also when it is flat. Readers
    report everything as stale until the first `beat`, because the file may not be complete before.
    """

    def __init__(self, path: Path, *, mode: str, capacity: int = 1024, permissions: int = 0o640) -> None:
        """Build the file and rename it over any older one.

        `mode` is live, simulated or backtest; `capacity` is the number of slots, `permissions` the file's
        mode bits. Raises ValueError for another mode or no slots, OSError if there is no room for the file.
        """
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
        if capacity < 1:
            raise ValueError(f"capacity {capacity} holds no position")
        self._path = path
        self._permissions = permissions
        self._slots: dict[tuple[str, str], int] = {}
        self._header = Header(
            mode=mode,
            state=STARTING,
            status=STARTING,
            capacity=capacity,
            used=0,
            pid=os.getpid(),
            beat_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
            beat_wall_ms=0,
            seq=0,
            boot_id=_boot_id(),
        )
        self._file = _MappedFile(path, capacity, permissions)
        self._store_header(self._header)
        self._file.publish()

    def has_room_for(self, account: str, key: str) -> bool:
        """Return whether this position can be written without growing the file."""
        return (account, key) in self._slots or self._header.used < self._header.capacity

    def write(self, record: PositionRecord | RecordTexts) -> None:
        """Write a position's record, in place or in a new slot; grow the file if it is full.

        Raises ValueError if the record does not fit its block, and OSError if there is no room for the larger
        file that a new position needs. The file then keeps what it has.
        """
        name = (record.account, record.key)
        slot = self._slots.get(name)
        if slot is not None:
            sequence = self._file.next_sequence(1 + slot)
            self._file.store(1 + slot, sequence, _encoded(record, sequence))
            return
        slot = self._header.used
        first = _encoded(record, 2)
        if slot == self._header.capacity:
            self._grow()
        self._file.store(1 + slot, 2, first)
        self._slots[name] = slot
        self._store_header(replace(self._header, used=slot + 1))

    def beat(self, *, wall_ms: int, seq: int, healthy: int | str) -> None:
        """Write a heartbeat: the writer is alive, and `seq` is the last message it published.

        `wall_ms` is Unix milliseconds. `healthy` is a status ("healthy", "degraded", "unhealthy",
        "stopping"), or True for the first and False for the third.
        """
        status = healthy if isinstance(healthy, str) else ("healthy" if healthy else "unhealthy")
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._store_header(
            replace(self._header, state=LIVE, status=status, beat_ns=now_ns, beat_wall_ms=wall_ms, seq=seq)
        )

    def mark_stale(self, account: str, key: str, reason: str) -> None:
        """Mark a position as stale for `reason`: nobody updates it any more. Ignored if never written."""
        slot = self._slots.get((account, key))
        if slot is None:
            return
        record = decode_record(self._file.block(1 + slot))
        if (record.verdict, record.verdict_reason) != ("stale", reason):
            self.write(replace(record, verdict="stale", verdict_reason=reason))

    @property
    def names(self) -> set[tuple[str, str]]:
        """Account and key of every position that has a slot."""
        return set(self._slots)

    def close(self) -> None:
        """Mark the file as closed; remove it unless a newer writer replaced it. May be called twice."""
        if self._header.state == CLOSED:
            return
        self._store_header(replace(self._header, state=CLOSED))
        self._file.unlink()
        self._file.release()

    def _store_header(self, header: Header) -> None:
        self._file.store_header(header)
        self._header = header

    def _grow(self) -> None:
        """Double the capacity: copy everything, rename, and only then send the old file's readers on.

        The header of the old file gets the state REPLACED, at which its readers open the new one.
        """
        old, header = self._file, self._header
        grown = replace(header, capacity=2 * header.capacity)
        new = _MappedFile(self._path, grown.capacity, self._permissions)
        new.copy_slots(old, header.used)
        new.store_header(grown)
        new.publish()
        self._file, self._header = new, grown
        old.store_header(replace(header, state=REPLACED))
        old.release()


class _MappedFile:
    """A mapped file of blocks, built as `<path>.new` and renamed to `path` by `publish`."""

    def __init__(self, path: Path, capacity: int, permissions: int) -> None:
        self._path = path
        self._new = path.with_name(path.name + ".new")
        self._new.unlink(missing_ok=True)
        fd = os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            length = (1 + capacity) * BLOCK_BYTES
            # Reserve the space now: a full tmpfs then raises OSError here, not SIGBUS at a later store.
            os.posix_fallocate(fd, 0, length)
            os.fchmod(fd, permissions)
            self._memory = mmap.mmap(fd, length)
            self._identity = _identity(os.fstat(fd))
        except OSError:
            self._remove_unpublished()
            raise
        finally:
            os.close(fd)
        self._bytes = memoryview(self._memory)
        self._words = self._bytes.cast("Q")

    def next_sequence(self, index: int) -> int:
        """Return the block's next even sequence: 4 gives 6, and so does 5, left by an interrupted store."""
        return (self._words[index * WORDS_PER_BLOCK] | 1) + 1

    def store_header(self, header: Header) -> None:
        sequence = self.next_sequence(0)
        self.store(0, sequence, encode_header(header, sequence))

    def store(self, index: int, sequence: int, block: bytes) -> None:
        """Write a block between an odd and an even sequence word.

        Words go through the cast view, which stores all eight bytes at once; struct.pack_into would let a
        reader see a zero in between.
        """
        start = index * BLOCK_BYTES
        self._words[index * WORDS_PER_BLOCK] = sequence - 1
        self._bytes[start + WORD_BYTES : start + BLOCK_BYTES] = block[WORD_BYTES:]
        self._words[index * WORDS_PER_BLOCK] = sequence

    def block(self, index: int) -> bytes:
        return bytes(self._bytes[index * BLOCK_BYTES : (1 + index) * BLOCK_BYTES])

    def copy_slots(self, other: "_MappedFile", used: int) -> None:
        slots = slice(BLOCK_BYTES, (1 + used) * BLOCK_BYTES)
        self._bytes[slots] = other._bytes[slots]

    def publish(self) -> None:
        """Rename the file over the older one. On OSError remove and unmap it, and raise."""
        try:
            self._new.rename(self._path)
        except OSError:
            self._remove_unpublished()
            self.release()
            raise

    def _remove_unpublished(self) -> None:
        with contextlib.suppress(OSError):
            self._new.unlink()

    def unlink(self) -> None:
        """Remove the file at `path` if it is ours, by device and inode.

        Our mapping keeps the inode alive, so its number cannot belong to another file. A file that cannot be
        removed does no harm, because its header says that it is closed.
        """
        with contextlib.suppress(OSError):
            if _identity(self._path.stat()) == self._identity:
                self._path.unlink()

    def release(self) -> None:
        self._words.release()
        self._bytes.release()
        self._memory.close()


def _encoded(record: PositionRecord | RecordTexts, sequence: int) -> bytes:
    if isinstance(record, RecordTexts):
        return encode_texts(record, sequence)
    return encode_record(record, sequence)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _boot_id() -> str:
    """Return the id of this boot, which CLOCK_MONOTONIC counts from; empty if the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""

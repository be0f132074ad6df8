"""Decides when written lines are synced: `each` after every write, `batch` once a second in a thread, `off`
never.

`os.write` puts lines into the kernel's page cache: they survive a crash of this process, but not a power cut.
A sync may take seconds, and the tracker must not wait for it, so a thread does it on descriptors of its own,
one sync at a time. After a failed sync the kernel may mark pages clean that never reached the disk, so that
the next sync succeeds and proves nothing (fsyncgate, 2018: https://lwn.net/Articles/752063/). The bytes
written since the last good sync are therefore kept in memory; after a failure they are written again, to the
same offsets, through a new descriptor, and only then synced again.
"""

import errno
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hlposmon.system.disk import Disk
from hlposmon.system.threads import start_deaf

BATCH_S = 1.0
RETRY_S = 1.0
# Bytes kept for rewriting: at 500 fills a second, more than a minute during which the disk does not respond.
KEPT_BYTES = 32 << 20
# How long `close` waits for the disk; only a power cut could lose what is not synced by then.
CLOSE_TIMEOUT_S = 1.5


@dataclass(slots=True)
class _Tail:
    """One file: synced up to offset `good`, written up to `end`. `kept` holds the bytes between, as (offset,
    bytes); `dropped` counts bytes that no longer fitted KEPT_BYTES. `leaving`: nothing more is written."""

    path: Path
    fd: int
    good: int
    end: int
    kept: deque[tuple[int, bytes]] = field(default_factory=deque)
    kept_bytes: int = 0
    dropped: int = 0
    since_s: float | None = None
    error: OSError | None = None
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    """One sync of a tail up to `end`; with `again`, those bytes are first written again at their offsets."""

    tail: _Tail
    end: int
    again: tuple[tuple[int, bytes], ...] | None


@dataclass(frozen=True, slots=True)
class Mended:
    """A sync succeeded after it had failed for `reason`. From `offset` on, `rewritten` bytes were written
    again; `unsure` bytes were no longer in memory and could not be."""

    path: Path
    reason: str
    offset: int
    rewritten: int
    unsure: int


class Background(Protocol):
    """Runs syncs in the background, one at a time, in the order in which they were submitted."""

    def submit(self, work: Callable[[], None]) -> None:
        """Queue `work` and return at once."""

    def close(self, *, within_s: float) -> None:
        """Accept no more work, and wait up to `within_s` seconds for what was submitted."""


class SyncThread:
    """A Background that uses one daemon thread, started by the first `submit`."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], None]) -> None:
        """Queue `work` and return at once."""
        if self._thread is None:
            self._thread = start_deaf(self._work, name="syncer")
        self._jobs.put(work)

    def close(self, *, within_s: float) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(timeout=within_s)

    def _work(self) -> None:
        while (work := self._jobs.get()) is not None:
            work()


class Syncer:
    """Syncs the journal's files by `policy` (each, batch or off).

    The caller reports each file opened (`opened`), the bytes written (`wrote`) and the end of a file
    (`left`), and calls `step` with the time. Syncs that fail are retried every RETRY_S.
    """

    def __init__(
        self, policy: str, *, disk: Disk | None = None, background: Background | None = None
    ) -> None:
        assert policy in ("each", "batch", "off"), policy
        self.policy = policy
        self._disk = disk or Disk()
        self._background = background or SyncThread()
        self._tails: list[_Tail] = []
        self._mended: list[Mended] = []
        self._busy: _Job | None = None
        self._retry_at_s = 0.0
        self._done: queue.SimpleQueue[tuple[_Job, OSError | None, int | None]] = queue.SimpleQueue()

    @property
    def failure(self) -> str | None:
        """Why written lines may not be on the disk; None once a sync has succeeded again."""
        for tail in self._tails:
            if tail.error is not None:
                return f"{tail.path}: not synced: {tail.error.strerror}"
        return None

    def take_mended(self) -> list[Mended]:
        """Return the syncs that recovered from a failure since the last call."""
        mended, self._mended = self._mended, []
        return mended

    def opened(self, fd: int, path: Path) -> None:
        """Register the file that lines are written to from now on; ends the one before. Raises OSError."""
        self.left()
        size = os.fstat(fd).st_size
        self._tails.append(_Tail(path, self._disk.dup(fd), size, size))

    def wrote(self, raw: bytes) -> None:
        """Record that `raw` was appended to the file that was opened last."""
        tail = self._tails[-1]
        if self.policy != "off":
            tail.kept.append((tail.end, raw))
            tail.kept_bytes += len(raw)
            while tail.kept_bytes > KEPT_BYTES:
                _, oldest = tail.kept.popleft()
                tail.kept_bytes -= len(oldest)
                tail.dropped += len(oldest)
        tail.end += len(raw)

    def left(self) -> None:
        """Record that the file opened last is finished; it is synced once more and then closed."""
        if self._tails:
            self._tails[-1].leaving = True

    def step(self, now_s: float) -> None:
        """Collect a finished sync and start the next one that is due; with `each`, sync here and wait.

        `now_s` is monotonic seconds. A failed sync is not raised: it is in `failure` and tried again.
        """
        self._collect(now_s)
        if self.policy == "off":
            self._let_go()
            return
        for tail in list(self._tails):
            if tail.good == tail.end and tail.error is None:
                if tail.leaving and not self._is_used(tail):
                    self._forget(tail)
                continue
            tail.since_s = now_s if tail.since_s is None else tail.since_s
            due = tail.leaving or self.policy == "each" or now_s - tail.since_s >= BATCH_S
            if tail.error is not None:
                due = now_s >= self._retry_at_s
            if due and self._busy is None:
                self._begin(tail, now_s)

    def close(self, *, within_s: float = CLOSE_TIMEOUT_S) -> None:
        """Sync what is left within about `within_s` seconds, then stop. Gives up at the first failure."""
        self.left()
        deadline = time.monotonic() + within_s
        self._retry_at_s = 0.0
        self.step(time.monotonic())
        while self._tails and time.monotonic() < deadline and self.failure is None:
            self._await(deadline)
            self.step(time.monotonic())
        if self._busy is None:
            self._let_go()
        self._background.close(within_s=0.0 if self._busy else 0.5)

    # ------------------------------------------------------------------ within

    def _begin(self, tail: _Tail, now_s: float) -> None:
        again = tuple(tail.kept) if tail.error is not None else None
        job = _Job(tail, tail.end, again)
        tail.since_s = None
        if self.policy == "each":
            self._finish(job, *_bring(job, self._disk), now_s)
            return
        self._busy = job
        self._background.submit(lambda: self._done.put((job, *_bring(job, self._disk))))

    def _await(self, deadline: float) -> None:
        if self._busy is not None:
            try:
                job, error, fd = self._done.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            self._busy = None
            self._finish(job, error, fd, time.monotonic())

    def _collect(self, now_s: float) -> None:
        if self._busy is None:
            return
        try:
            job, error, fd = self._done.get_nowait()
        except queue.Empty:
            return
        self._busy = None
        self._finish(job, error, fd, now_s)

    def _finish(self, job: _Job, error: OSError | None, fd: int | None, now_s: float) -> None:
        tail = job.tail
        if error is not None:
            tail.error = error
            self._retry_at_s = now_s + RETRY_S
            return
        if fd is not None:
            self._disk.close(tail.fd)
            tail.fd = fd
        if tail.error is not None:
            rewritten = sum(len(raw) for _, raw in job.again or ())
            reason = tail.error.strerror or str(tail.error)
            self._mended.append(Mended(tail.path, reason, tail.good, rewritten, tail.dropped))
            tail.error = None
        tail.good, tail.dropped = job.end, 0
        while tail.kept and tail.kept[0][0] < job.end:
            tail.kept_bytes -= len(tail.kept.popleft()[1])
        if tail.leaving and tail.good == tail.end:
            self._forget(tail)

    def _is_used(self, tail: _Tail) -> bool:
        return self._busy is not None and self._busy.tail is tail

    def _forget(self, tail: _Tail) -> None:
        self._disk.close(tail.fd)
        self._tails.remove(tail)

    def _let_go(self) -> None:
        """Forget what is not synced: with the policy `off`, and after `close`."""
        for tail in list(self._tails):
            if self._is_used(tail):
                continue
            tail.good, tail.error, tail.kept_bytes = tail.end, None, 0
            tail.kept.clear()
            if tail.leaving:
                self._forget(tail)


def _bring(job: _Job, disk: Disk) -> tuple[OSError | None, int | None]:
    """Sync a tail. Return the error, if any, and the new descriptor that replaces one whose sync failed."""
    fd: int | None = None
    try:
        if job.again is None:
            disk.fdatasync(job.tail.fd)
            return None, None
        fd = _written_again(job, disk)
        disk.fdatasync(job.tail.fd if fd is None else fd)
        return None, fd
    except OSError as error:
        if fd is not None:
            disk.close(fd)
        return error, None


def _written_again(job: _Job, disk: Disk) -> int | None:
    """Write the kept bytes again at their offsets through a new descriptor, and return that descriptor.

    None if the file lost its name (removed or replaced): nobody will read it. Raises OSError, also (EIO) when
    the file is shorter than what was written to it.
    """
    try:
        fd = disk.open(job.tail.path, os.O_WRONLY | os.O_CLOEXEC)  # not O_APPEND: that would append
    except FileNotFoundError:
        return None
    try:
        if not os.path.samestat(os.fstat(fd), os.fstat(job.tail.fd)):
            disk.close(fd)
            return None
        if os.fstat(fd).st_size < job.end:
            raise OSError(errno.EIO, "the file has become shorter than it was written")
        for offset, raw in job.again or ():
            view = memoryview(raw)
            while view:
                done = disk.pwrite(fd, view, offset)
                view, offset = view[done:], offset + done  # noqa: PLW2901 - both move on
    except OSError:
        disk.close(fd)
        raise
    return fd

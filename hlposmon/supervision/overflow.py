"""A log that nobody reads must not stop who writes it: a thread writes, and what it cannot hold is dropped.

A pipe, a socket or a terminal may stand full for ever; a write to it would then wait for ever, in the
middle of the work. Lines are handed to a thread through a bounded queue. When it is full they are dropped
and counted, and the count is said in the place where they are missing. Files are written to directly.
"""

import contextlib
import logging
import os
import select
import stat
import threading
import time
from collections import deque
from typing import TextIO

from hlposmon.system.threads import start_deaf

# About a megabyte of lines at the most: longer ones count for more.
HELD_BYTES = 1 << 20
# How long the end of a process waits for its last lines to be taken.
PATIENCE_S = 0.5
# How late a descriptor that was made non-blocking hears of the end.
_POLL_MS = 200


def handler_for(stream: TextIO) -> logging.Handler:
    """The handler that suits a stream: one that may be full of unread lines gets a thread."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return logging.StreamHandler(stream)
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()
    return Overflow(stream.fileno()) if waits else logging.StreamHandler(stream)


class Overflow(logging.Handler):
    """Hands each line to a thread that writes it to `fd`, which stays the caller's."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped = 0
        self._is_writing = False
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line over, or count it; never wait for the reader."""
        try:
            raw = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler does: logging must not raise
            self.handleError(record)
            return
        with self._change:
            if self._dropped or self._held_bytes + len(raw) > HELD_BYTES:
                self._dropped += 1
                return
            self._held.append(raw)
            self._held_bytes += len(raw)
            self._change.notify_all()
            if self._thread is None:
                self._thread = start_deaf(self._work, name="log")

    def flush(self) -> None:
        """Wait a moment for what is held."""
        deadline = time.monotonic() + PATIENCE_S
        with self._change:
            while (self._held or self._dropped or self._is_writing) and self._thread is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._thread.is_alive():
                    return
                self._change.wait(left_s)

    def close(self) -> None:
        """Let go of the thread, after a moment for what is held."""
        self.flush()
        with self._change:
            self._fd = -1
            self._change.notify_all()
        super().close()

    # ------------------------------------------------------------------ within

    def _work(self) -> None:
        while (piece := self._next()) is not None:
            fd, raw = piece
            with contextlib.suppress(OSError):  # nobody will read it any more: lost, as on a full disk
                self._write(fd, raw)

    def _write(self, fd: int, raw: bytes) -> None:
        view = memoryview(raw)
        while view and self._fd >= 0:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:  # somebody made the descriptor non-blocking
                room = select.poll()
                room.register(fd, select.POLLOUT)
                room.poll(_POLL_MS)

    def _next(self) -> tuple[int, bytes] | None:
        with self._change:
            self._is_writing = False
            self._change.notify_all()
            while not self._held and not self._dropped and self._fd >= 0:
                self._change.wait()
            if self._fd < 0:
                return None
            self._is_writing = True
            if self._held:
                raw = self._held.popleft()
                self._held_bytes -= len(raw)
                return self._fd, raw
            # All that was held is out, so it flows again: now comes what is missing.
            dropped, self._dropped = self._dropped, 0
        said = logging.LogRecord(
            __name__, logging.WARNING, "", 0, "log lines were dropped: not read", None, None
        )
        said.__dict__["fields"] = {"lines": dropped}
        return self._fd, (self.format(said) + "\n").encode()

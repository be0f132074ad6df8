"""A log handler that never blocks the writer: lines that cannot be written now are held, then dropped.

A pipe, a socket or a terminal that nobody reads can stay full for ever, and a blocking write to it would stop
the work. This handler needs no thread: each write takes what there is room for, and the rest is held for the
next line or the next `settle`, which each work loop calls with its beat. Once HELD_BYTES are held, further
lines are dropped and counted until all held lines are out. Then a line with the count takes their place. For
example, if lines 1 to 3 are held and 4 and 5 dropped, the reader gets 1, 2, 3, a line with lines=2, and 6.

O_NONBLOCK belongs to the open file description, which we share with the shell and other writers. A pipe or
terminal is therefore opened once more for this process, and a socket is sent to with MSG_DONTWAIT. Regular
files are written to directly.
"""

import logging
import os
import select
import socket
import stat
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import TextIO

# Limit of held lines, in bytes.
HELD_BYTES = 1 << 20
# How long a process that ends waits for its last lines to be read.
PATIENCE_S = 0.5
_all: "weakref.WeakSet[Overflow]" = weakref.WeakSet()


def handler_for(stream: TextIO) -> logging.Handler:
    """The handler for a stream: Overflow for a pipe, socket or terminal, else a plain StreamHandler."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return logging.StreamHandler(stream)
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()
    return Overflow(stream.fileno()) if waits else logging.StreamHandler(stream)


def settle() -> None:
    """Write as much of the held lines of all handlers as there is room for."""
    for handler in _all:
        handler.settle()


class Overflow(logging.Handler):
    """Writes lines to a descriptor without blocking; `fd` is not closed, it stays the caller's."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._file = _Unwaited(fd)
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped = 0
        _all.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or hold it, or drop and count it."""
        try:
            raw = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler does: logging must not raise
            self.handleError(record)
            return
        if self._held or self._dropped:
            self._write()
        if self._dropped or self._held_bytes + len(raw) > HELD_BYTES:
            self._dropped += 1
            return
        self._held.append(raw)
        self._held_bytes += len(raw)
        self._write()

    def settle(self) -> None:
        """Write as much of the held lines as there is room for."""
        if not self._held and not self._dropped:
            return  # the usual case: each work loop calls this about once a second
        self.acquire()
        try:
            self._write()
        finally:
            self.release()

    def forget(self) -> None:
        """Discard the held lines in a forked child; the parent writes them."""
        self._held.clear()
        self._held_bytes = self._dropped = 0

    def flush(self) -> None:
        """Write the held lines, waiting up to PATIENCE_S for room."""
        deadline = time.monotonic() + PATIENCE_S
        self.settle()
        while (self._held or self._dropped) and (left_s := deadline - time.monotonic()) > 0:
            self._file.wait(left_s)
            self.settle()

    def close(self) -> None:
        """Flush, then close the descriptor that was opened here."""
        self.flush()
        self._file.close()
        super().close()

    # ------------------------------------------------------------------ within

    def _write(self) -> None:
        while self._held:
            raw = self._held[0]
            try:
                count = self._file.write(raw)
            except BlockingIOError:
                return
            except OSError:
                count = len(raw)  # the reader is gone: the line is lost
            self._held_bytes -= count
            if count < len(raw):
                self._held[0] = raw[count:]
                return
            self._held.popleft()
        if self._dropped:
            # All held lines are out: report the dropped ones here, where they are missing.
            dropped, self._dropped = self._dropped, 0
            self._held.append(self._loss(dropped))
            self._held_bytes += len(self._held[0])
            self._write()

    def _loss(self, lines: int) -> bytes:
        said = logging.LogRecord(
            __name__, logging.WARNING, "", 0, "log lines were dropped: not read", None, None
        )
        said.__dict__["fields"] = {"lines": lines}
        return (self.format(said) + "\n").encode()


class _Unwaited:
    """A pipe, terminal or socket, written to without blocking."""

    def __init__(self, fd: int) -> None:
        self._socket: socket.socket | None = None
        self._own = -1
        self._fd = fd
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            self._fd = self._socket.fileno()
            return
        try:
            self._own = self._fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            # It belongs to another user (after su, for example): set the shared description non-blocking.
            os.set_blocking(fd, False)

    def write(self, raw: bytes) -> int:
        """Write and return the number of bytes written. Raises BlockingIOError if there is no room, another
        OSError if the reader is gone."""
        if self._socket is not None:
            return self._socket.send(raw, socket.MSG_DONTWAIT)
        return os.write(self._fd, raw)

    def wait(self, timeout_s: float) -> None:
        """Wait until there is room, for at most `timeout_s` seconds."""
        room = select.poll()
        room.register(self._fd, select.POLLOUT)
        room.poll(timeout_s * 1000)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._own >= 0:
            with suppress(OSError):
                os.close(self._own)
            self._own = -1

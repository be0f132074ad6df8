"""A log that nobody reads must not stop who writes it: what cannot be written now is held, then dropped.

A pipe, a socket or a terminal may stand full for ever; a write to it would then wait for ever, in the
middle of the work. Here nothing waits and no thread is needed: each write takes what there is room for, and
the rest is held for the next line or the next `settle`, which each work loop calls with its beat. When too
much is held lines are dropped and counted, and the count is said in the place where they are missing.

O_NONBLOCK belongs to the open file, which we share with the shell and with whatever else writes there. So
a pipe or terminal is opened once more, for us, and a socket is told at each send. Files are written to
directly.
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

# About a megabyte of lines at the most: longer ones count for more.
HELD_BYTES = 1 << 20
# How long the end of a process waits for its last lines to be taken.
PATIENCE_S = 0.5
_all: "weakref.WeakSet[Overflow]" = weakref.WeakSet()


def handler_for(stream: TextIO) -> logging.Handler:
    """The handler that suits a stream: one that may be full of unread lines is never waited for."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return logging.StreamHandler(stream)
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()
    return Overflow(stream.fileno()) if waits else logging.StreamHandler(stream)


def settle() -> None:
    """Write what is held and can be written now."""
    for handler in _all:
        handler.settle()


class Overflow(logging.Handler):
    """Writes lines to what `fd` leads to, without ever waiting; `fd` stays the caller's."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._file = _Unwaited(fd)
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped = 0
        _all.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or hold it, or count it."""
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
        """Write what is held and can be written now."""
        if not self._held and not self._dropped:
            return  # nearly always: this is called with every beat
        self.acquire()
        try:
            self._write()
        finally:
            self.release()

    def forget(self) -> None:
        """What is held is another process's to write: this one is its fork."""
        self._held.clear()
        self._held_bytes = self._dropped = 0

    def flush(self) -> None:
        """Wait a moment for what is held."""
        deadline = time.monotonic() + PATIENCE_S
        self.settle()
        while (self._held or self._dropped) and (left_s := deadline - time.monotonic()) > 0:
            self._file.wait(left_s)
            self.settle()

    def close(self) -> None:
        """Wait a moment for what is held, and let go."""
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
                count = len(raw)  # nobody will read it any more: lost, as on a full disk
            self._held_bytes -= count
            if count < len(raw):
                self._held[0] = raw[count:]
                return
            self._held.popleft()
        if self._dropped:
            # All that was held is out, so it flows again: now comes what is missing.
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
    """A pipe, terminal or socket, written to without waiting."""

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
            # Another user's (after su, say): then all who write there find it so.
            os.set_blocking(fd, False)

    def write(self, raw: bytes) -> int:
        """How many bytes there was room for. BlockingIOError for none, another OSError when it is broken."""
        if self._socket is not None:
            return self._socket.send(raw, socket.MSG_DONTWAIT)
        return os.write(self._fd, raw)

    def wait(self, timeout_s: float) -> None:
        """Until there is room, at most so long."""
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

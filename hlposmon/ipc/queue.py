"""The queue between one worker and the tracker: safe when either end is killed at any instant.

A message is one datagram of a Unix SOCK_SEQPACKET connection (a long one: several, in order), so the kernel
keeps message boundaries. There is no lock that a dead process could hold, no feeder thread that could lose
a message, and no semaphore to leak. The worker connects to the tracker's listening socket, which the
supervisor owns; when either end dies, the other reads an end of file, and the worker connects again. The
queue is not a store: a fill is safe once it is in the journal, and can be requested again until then. The
queue does not interpret the reports and asks that it carries.

The first byte of each datagram is a mark. A message of 100 kB is sent as 48 kB, 48 kB and 4 kB with the
marks _FIRST, 0 and _LAST; a short one as one datagram with both bits. A datagram with _FIRST discards an
unfinished message before it.
"""

import contextlib
import errno
import fcntl
import os
import select
import socket
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from hlposmon.domain.reports import Ask, Report
from hlposmon.errors import HlposmonError, NotPermitted
from hlposmon.ipc.codec import decode, encode
from hlposmon.serving.callers import caller_of

# One datagram must fit the socket's send buffer (208 kB by default); this leaves room for several.
PIECE_BYTES = 48_000
# Bits of the mark: the datagram begins a message, it ends one.
_FIRST, _LAST = 1, 2
# Errors of accept() that mean our own resources are exhausted: try again later.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class QueueBroken(HlposmonError):
    """The other end is gone. Discard this queue and connect again."""


class Queue:
    """One end of the connection. Its socket is non-blocking; `fileno` is for a selector."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._begun: list[bytes] = []
        self._was_reset = False

    @classmethod
    def connect(cls, path: Path) -> "Queue":
        """Connect to the tracker's socket without waiting. Raises QueueBroken if that is not possible now."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            sock.setblocking(False)  # do not wait for a tracker that hangs and whose backlog is full
            sock.connect(os.fspath(path))
        except OSError as error:
            sock.close()
            raise QueueBroken(f"no tracker listens at {path}: {error}") from error
        return cls(sock)

    def put(self, message: Report | Ask, waiting: Callable[[], bool] | None = None) -> bool:
        """Send one message; return False if it was not sent.

        While the queue is full, `waiting` is called about five times a second and returns whether to go on
        waiting. Without it, a message that does not fit is dropped at once. The other end discards a message
        that was given up halfway. Raises QueueBroken if the other end is gone.
        """
        raw = encode(message)
        pieces = [raw[at : at + PIECE_BYTES] for at in range(0, len(raw), PIECE_BYTES)]
        for index, piece in enumerate(pieces):
            mark = (_FIRST if index == 0 else 0) | (_LAST if index == len(pieces) - 1 else 0)
            while not self._send(bytes((mark,)) + piece):
                if waiting is None or not waiting():
                    return False
                _poll(self._sock, select.POLLOUT, 0.2)
        return True

    def get(self) -> Report | Ask | None:
        """Return the next message, or None if there is none now.

        Raises QueueBroken once the other end is gone and everything it sent was read, and WireError for a
        message that is neither a report nor an ask; the next call returns the message after it.
        """
        while True:
            try:
                piece = self._sock.recv(PIECE_BYTES + 1)
            except BlockingIOError:
                return None
            except ConnectionResetError as error:
                # It died without reading our messages; what it sent before can still be read.
                if self._was_reset:
                    raise QueueBroken("the other end is gone") from error
                self._was_reset = True
                continue
            except OSError as error:
                raise QueueBroken(f"the other end is gone: {error}") from error
            if not piece:
                raise QueueBroken("the other end is gone")
            if piece[0] & _FIRST:
                self._begun.clear()
            self._begun.append(piece[1:])
            if piece[0] & _LAST:
                raw = b"".join(self._begun)
                self._begun.clear()
                return decode(raw)

    def waiting_bytes(self) -> int:
        """Return the bytes that the other end sent and `get` has not read yet (FIONREAD); 0 if closed.

        What the other end could not send because the queue was full is not included.
        """
        waiting = bytearray(4)
        try:
            fcntl.ioctl(self._sock, termios.FIONREAD, waiting)
        except (OSError, ValueError):
            return 0  # it is closed
        return int.from_bytes(waiting, sys.byteorder)

    def empty(self) -> bool:
        """Return whether there is nothing to read now; an end of file counts as something."""
        return not _poll(self._sock, select.POLLIN, 0)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        """Close this end; the other one reads an end of file."""
        self._sock.close()

    def _send(self, datagram: bytes) -> bool:
        try:
            self._sock.send(datagram)
        except BlockingIOError:
            return False
        except OSError as error:
            raise QueueBroken(f"the other end is gone: {error}") from error
        return True


def _poll(sock: socket.socket, event: int, timeout_s: float) -> bool:
    # Not select(): the tracker may have more than 1024 descriptors.
    poller = select.poll()
    poller.register(sock, event)
    return bool(poller.poll(timeout_s * 1000))


def listen(path: Path) -> socket.socket:
    """Return a listening socket for workers at `path` (mode 0600), in place of any file there.

    The supervisor keeps it open, so that workers can connect while the tracker is being replaced. Raises
    NotPermitted if it cannot be created.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        sock.bind(os.fspath(path))
        sock.listen(64)
    except OSError as error:
        sock.close()
        raise NotPermitted(f"{path}: the queue's socket cannot be made: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return sock


def is_served(path: Path) -> bool:
    """Return whether a process listens for workers at `path`; also True if that cannot be determined."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    try:
        sock.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        return True  # it is another user's, not such a socket, or too busy to accept us
    finally:
        sock.close()
    return True


def accept(listener: socket.socket) -> Queue | None:
    """Return the queue of the next worker that connected; None if none waits or it is another user's.

    Also None when this process is out of descriptors or memory. Raises OSError for other failures.
    """
    try:
        sock, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    except OSError as error:
        if error.errno in _EXHAUSTED:
            return None
        raise
    if caller_of(sock).uid != os.getuid():
        sock.close()
        return None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Queue(sock)

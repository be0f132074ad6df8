"""The queue between one worker and the tracker: safe when either end is killed at any instant.

A message is one datagram of a Unix SOCK_SEQPACKET connection (a long one: several, in order), so the
kernel keeps the bounds: no lock that a dead process could hold, no feeder thread that could lose
what it was handed, no semaphore to leak. The worker connects to the tracker's listening socket,
which the supervisor owns; when either end dies the other sees the end of file, and the worker
connects again. The queue is never the store: a fill is safe when it is in the journal, and until
then it can be asked for again. It carries reports and asks and understands none of them.
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
# The first byte of a datagram: whether it begins a message, and whether it ends one.
_FIRST, _LAST = 1, 2
# What is wrong with us rather than with the peer: try again when something was closed.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class QueueBroken(HlposmonError):
    """The other end is gone. Throw this queue away and connect again."""


class Queue:
    """One end: `put`, `get`, `empty`, `close`, and `fileno` for a selector."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._begun: list[bytes] = []
        self._was_reset = False

    @classmethod
    def connect(cls, path: Path) -> "Queue":
        """Connect to the tracker's socket; QueueBroken when nobody listens there."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            sock.setblocking(False)  # a tracker that hangs lets its backlog fill up: do not wait with it
            sock.connect(os.fspath(path))
        except OSError as error:
            sock.close()
            raise QueueBroken(f"no tracker listens at {path}: {error}") from error
        return cls(sock)

    def put(self, message: Report | Ask, waiting: Callable[[], bool] | None = None) -> bool:
        """Send one message; False when it was not sent.

        While the queue is full `waiting` is called several times a second, and its answer says whether
        to go on waiting. Without it a full queue is not waited for: the message is dropped.
        A message given up halfway is thrown away by the other end. Raises QueueBroken when the other
        end is gone.
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
        """The next message, or None when there is none now. Raises QueueBroken at the end."""
        while True:
            try:
                piece = self._sock.recv(PIECE_BYTES + 1)
            except BlockingIOError:
                return None
            except ConnectionResetError as error:
                # It died with our messages unread; what it had sent before can be read all the same.
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
        """What the other end has sent and nobody has got yet, as the kernel counts it; what it could not
        send for want of room is not in it."""
        waiting = bytearray(4)
        try:
            fcntl.ioctl(self._sock, termios.FIONREAD, waiting)
        except (OSError, ValueError):
            return 0  # it is closed
        return int.from_bytes(waiting, sys.byteorder)

    def empty(self) -> bool:
        """Whether nothing can be got right now."""
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
    """A listening socket for workers at `path` (mode 0600); whoever stood there before is replaced.

    The supervisor keeps it open, so that a worker can connect while the tracker is being replaced.
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
    """Whether somebody listens for workers at `path`; not one whose process is gone."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    try:
        sock.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        return True  # another user's, no socket, or too busy to take us
    finally:
        sock.close()
    return True


def accept(listener: socket.socket) -> Queue | None:
    """The next worker that connected; None when none waits or it belongs to another user."""
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

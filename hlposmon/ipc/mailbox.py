"""A mailbox between two processes that holds one value, the newest.

Each value is one datagram, and at most one is in the socket: the writer removes a value that was not read
before it sends a newer one, so that a reader that sleeps or is dead never blocks it. The writer creates the
mailbox; each reader inherits it when it is forked, with the value of that moment. Only one reader lives at a
time. Values are pickled, which is safe because both ends are our own.
"""

import pickle
import socket
from typing import Generic, TypeVar

Value = TypeVar("Value")

# Larger than any datagram: the kernel refuses to send one that exceeds the send buffer.
_MOST_BYTES = 1 << 20


class Newest(Generic[Value]):
    """The mailbox: the writer calls `put`, the reader `get`; neither ever waits."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._sender, self._receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def put(self, value: Value) -> None:
        """Replace the value. Raises OSError if it is too large to be sent; the old value then stays."""
        raw = pickle.dumps(value)
        waiting = self._take()
        try:
            self._sender.send(raw, socket.MSG_DONTWAIT)
        except OSError:
            if waiting is not None:
                self._sender.send(waiting, socket.MSG_DONTWAIT)
            raise
        self._value = value

    def get(self) -> Value:
        """Return the newest value."""
        raw = self._take()
        if raw is not None:
            self._value = pickle.loads(raw)
        return self._value

    @property
    def ends(self) -> tuple[socket.socket, socket.socket]:
        """Both sockets, sender and receiver; a process that uses the mailbox must keep them open."""
        return self._sender, self._receiver

    def close(self) -> None:
        self._sender.close()
        self._receiver.close()

    def _take(self) -> bytes | None:
        newest = None
        while True:
            try:
                newest = self._receiver.recv(_MOST_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return newest

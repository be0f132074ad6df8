"""A way to one other process for a value that replaces the one before: whoever looks finds the newest.

One datagram is one value, and at most one waits: what nobody has taken yet makes room for what is newer,
so that a reader who sleeps or is dead never blocks the writer. The writer makes it and hands it to each
reader as it is forked, with the value of that moment. One reader lives at a time. Values are pickled:
both ends are ours.
"""

import pickle
import socket
from typing import Generic, TypeVar

Value = TypeVar("Value")

# More than a datagram can hold: the kernel refuses to send one that is longer than its send buffer.
_MOST_BYTES = 1 << 20


class Newest(Generic[Value]):
    """`put` on the one side, `get` on the other; neither ever waits."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._sender, self._receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def put(self, value: Value) -> None:
        """The value from now on. OSError when it is too large to be sent, and nothing changed."""
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
        """The value now."""
        raw = self._take()
        if raw is not None:
            self._value = pickle.loads(raw)
        return self._value

    @property
    def ends(self) -> tuple[socket.socket, socket.socket]:
        """What a process that is to use it must keep open."""
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

"""One accepted socket, whatever is spoken on it: it reads, writes, ends, and keeps its deadlines.

Never in it: a protocol. What is read goes to the connection's side (`http` or `websocket`); what a
side writes is sent at once where the kernel takes it, and waits in the outbox where it does not.
A connection is dropped by being marked: the server buries the marked ones at the end of a step, so
that no call into a side or a session ever finds the connection gone under its feet.
"""

import math
import select
import socket
import struct
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Protocol

from hlposmon.serving.callers import Caller
from hlposmon.serving.limits import Limits
from hlposmon.serving.outbox import BufferedBytes, Outbox

READ_BYTES = 64 * 1024  # one read a turn: a client that floods us does not starve the others
MAX_DISCARD_BYTES = 1 << 20  # read and thrown away after our last word, so that the client can hear it


class Side(Protocol):
    """A protocol as the connection sees it."""

    def receive(self, data: bytes) -> None:
        """What came in; empty at the end of the stream."""

    def drained(self) -> None:
        """The outbox is empty again."""

    def proceed(self) -> None:
        """It is our turn again, after `Connection.hold`."""

    def expire(self, now: float) -> None:
        """Some time has passed; end what is overdue."""

    def lost(self) -> None:
        """The connection is gone. Called exactly once."""


class Host(Protocol):
    """The server as a connection sees it."""

    limits: Limits
    clock: Callable[[], float]
    cut_off: int  # clients that did not read, so far
    tally: BufferedBytes

    def watch(self, connection: "Connection") -> None:
        """The connection's `interest` has changed."""

    def again(self, connection: "Connection") -> None:
        """The connection has more to do, when the others have had their turn."""

    def refused(self, connection: "Connection", status: int, reason: str) -> None:
        """A call was turned away."""

    def doom(self, connection: "Connection") -> None:
        """The connection is to be buried at the end of this step."""


class Connection:
    """The socket's owner. `deadline` is on the host's clock; past it the connection is dropped."""

    __slots__ = (
        "_discarded",
        "_half_closed",
        "_held",
        "_linger",
        "_paused",
        "caller",
        "deadline",
        "dropped",
        "finishing",
        "host",
        "last_sent",
        "outbox",
        "side",
        "sock",
    )

    def __init__(self, sock: socket.socket, host: Host, caller: Caller) -> None:
        self.sock = sock
        self.host = host
        self.caller = caller
        self.side: Side | None = None
        self.outbox = Outbox(host.tally)
        self.deadline = math.inf
        self.finishing = False
        self.dropped = False
        self.last_sent = host.clock()
        self._paused = False
        self._held = False
        self._half_closed = False
        self._linger = True
        self._discarded = 0

    @property
    def interest(self) -> int:
        """The selector events to wait for; 0 for none."""
        reading = 0 if (self._paused or self._held) and not self.finishing else EVENT_READ
        return reading | (EVENT_WRITE if self.outbox else 0)

    def ready(self, mask: int) -> None:
        """The selector says that the socket can be written or read."""
        if mask & EVENT_WRITE and not self.dropped:
            self._flush()
        if mask & EVENT_READ and not self.dropped and self.interest & EVENT_READ:
            self._read()

    def write(self, data: bytes) -> None:
        """Send now what can be sent now, keep the rest. Nothing is written after `finish`."""
        if self.dropped or self._half_closed:
            return
        self.last_sent = self.host.clock()
        if not self.outbox:
            try:
                count = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                count = 0
            except OSError:
                self.drop()
                return
            if count < len(data):
                self.outbox.put(data, sent=count)
                self.host.watch(self)
        else:
            self.outbox.put(data)

    def pause(self) -> None:
        """Read nothing until `resume`: what the client sends waits in the kernel, and then with it."""
        self._paused = True
        if not self.dropped:
            self.host.watch(self)

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if not self.dropped:
            self.host.watch(self)

    def hold(self) -> None:
        """What was read asks for more than one turn: read nothing more until the next one comes."""
        if self.dropped or self._held:
            return
        self._held = True
        self.host.watch(self)
        self.host.again(self)

    def go_on(self) -> None:
        """For the server: it is our turn again."""
        self._held = False
        if self.dropped:
            return
        self.host.watch(self)
        if self.side is not None and not self.finishing:
            self.side.proceed()

    def finish(self, *, linger: bool = True) -> None:
        """Send what waits, then drop: at once, or, to linger, when the client has heard it or time is up."""
        if self.finishing or self.dropped:
            return
        self.finishing = True
        self._linger = linger
        self.deadline = min(self.deadline, self.host.clock() + self.host.limits.close_timeout_s)
        if self.outbox:
            self.host.watch(self)
        else:
            self._shut()

    def drop(self, *, reset: bool = False) -> None:
        """End it: the socket is closed when the server buries the connection."""
        if self.dropped:
            return
        self.dropped = True
        if reset:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        self.host.doom(self)

    def expire(self, now: float) -> None:
        """Drop when the deadline has passed; else let the side look at its own."""
        if self.dropped:
            return
        if now >= self.deadline or (not self.interest and hung_up(self.sock)):
            self.drop()
        elif self.side is not None and not self.finishing:
            self.side.expire(now)

    def _flush(self) -> None:
        try:
            if self.outbox.flush(self.sock):
                self.last_sent = self.host.clock()
        except OSError:
            self.drop()
            return
        if self.outbox:
            return
        self.host.watch(self)
        if self.finishing:
            self._shut()
        elif self.side is not None:
            self.side.drained()

    def _read(self) -> None:
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.drop()
            return
        if self.finishing:
            self._discard(data)
        elif self.side is not None:
            self.side.receive(data)

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if not data or self._discarded > MAX_DISCARD_BYTES:
            self.drop()

    def _shut(self) -> None:
        self._half_closed = True
        if not self._linger:
            self.drop()
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop()


def hung_up(sock: socket.socket) -> bool:
    """Whether the client is gone, though what it sent before has not been read."""
    look = select.poll()
    look.register(sock, select.POLLRDHUP)
    return bool(look.poll(0))

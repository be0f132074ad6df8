"""One accepted socket, whatever its protocol: reading, writing, closing, and deadlines.

Never in it: a protocol. Bytes that arrive go to the connection's side (`http` or `websocket`). Bytes that a
side writes are sent at once as far as the kernel takes them; the rest waits in the outbox. `drop` only marks
a connection: the server closes marked ones at the end of a step, so that none is closed during a call into a
side or a session.
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
MAX_DISCARD_BYTES = 1 << 20  # read and discarded after our last answer, so that the client can receive it


class Side(Protocol):
    """A protocol as the connection sees it."""

    def receive(self, data: bytes) -> None:
        """Handle bytes that arrived; none at the end of the stream."""

    def drained(self) -> None:
        """The outbox is empty again."""

    def proceed(self) -> None:
        """Go on with what was received, in the next turn after `Connection.hold`."""

    def expire(self, now: float) -> None:
        """End what is overdue at `now`; called several times a second."""

    def lost(self) -> None:
        """The connection is gone. Called exactly once."""


class Host(Protocol):
    """The server as a connection sees it."""

    limits: Limits
    clock: Callable[[], float]
    cut_off: int  # how many clients were closed so far because they did not read
    tally: BufferedBytes

    def watch(self, connection: "Connection") -> None:
        """The connection's `interest` has changed."""

    def again(self, connection: "Connection") -> None:
        """Give the connection another turn once the others have had theirs."""

    def refused(self, connection: "Connection", status: int, reason: str) -> None:
        """Report a refused call."""

    def doom(self, connection: "Connection") -> None:
        """Close the connection at the end of this step."""


class Connection:
    """Owns the socket. `deadline` is in seconds of the host's clock; past it the connection is dropped."""

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
        """Send now what the kernel takes, keep the rest. Does nothing once the connection is dropped, or
        finished with an empty outbox."""
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
        """Read nothing until `resume`: what the client sends fills the kernel's buffers."""
        self._paused = True
        if not self.dropped:
            self.host.watch(self)

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if not self.dropped:
            self.host.watch(self)

    def hold(self) -> None:
        """Read nothing until the next turn, since what was read takes more than one turn."""
        if self.dropped or self._held:
            return
        self._held = True
        self.host.watch(self)
        self.host.again(self)

    def go_on(self) -> None:
        """Called by the server for the next turn after `hold`."""
        self._held = False
        if self.dropped:
            return
        self.host.watch(self)
        if self.side is not None and not self.finishing:
            self.side.proceed()

    def finish(self, *, linger: bool = True) -> None:
        """Send what waits, then drop the connection: at once, or with `linger` when the client has closed its
        side or `close_timeout_s` is over."""
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
        """Mark the connection as ended; the server closes the socket at the end of its step, with a TCP reset
        if `reset` is set."""
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
        """Drop the connection if its deadline has passed; otherwise let the side check its own."""
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
    """Whether the client has closed its side, even if bytes that it sent before are still unread."""
    look = select.poll()
    look.register(sock, select.POLLRDHUP)
    return bool(look.poll(0))

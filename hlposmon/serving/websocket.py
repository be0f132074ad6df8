"""A WebSocket on one connection, through wsproto: the peer to which a session sends.

No extension is negotiated, so frames can be shared between peers. A peer that reads too slowly is cut off and
never waited for: a partly sent frame is completed, the other waiting ones are dropped, and 1013 follows. A
single large frame is no reason for that, since the limit is raised by the largest frame sent. A message that
is too large or malformed ends the connection with the close code for it.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import chain, islice

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from hlposmon.serving.callers import plain
from hlposmon.serving.connection import Connection
from hlposmon.serving.frames import text_frame
from hlposmon.serving.messages import Peer, Request, Session

log = logging.getLogger(__name__)
EVENTS_A_TURN = 32  # of one client; then the others have their turn
FAIR_BYTES = 64 * 1024  # a peer with no more than this waiting is not cut off for the total of all peers
TOO_LARGE = 1009
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
PARSE_ERRORS = (1002, 1007, 1009)  # from us, or from a client that gives up: it may still be sending


class WebSocketPeer:
    """The server's end of one WebSocket: a `Peer` for its session, a `Side` for its connection."""

    def __init__(self, connection: Connection, head: h11.Request, request: Request, session: Session) -> None:
        """Raises RemoteProtocolError for an invalid handshake, before anything is sent."""
        self._connection = connection
        self._request = request
        self._session = session
        self._limits = connection.host.limits
        self._closing = False
        self._largest = 0  # bytes of the largest frame that was sent
        self._message = bytearray()  # the pieces received so far of an incomplete message
        self._pieces = 0
        self._events: Iterator[Event] = iter(())
        self._spoken_at = connection.host.clock()
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._protocol.initiate_upgrade_connection(list(head.headers), head.target)

    @property
    def request(self) -> Request:
        """The handshake that opened it."""
        return self._request

    @property
    def buffered(self) -> int:
        """Bytes that wait because the client does not read them."""
        return len(self._connection.outbox)

    def open(self, early: bytes) -> None:
        """Accept the handshake, call the session, and handle `early`, the bytes right behind it."""
        self._connection.write(self._protocol.send(AcceptConnection()))
        self._tell(self._session.opened)
        if early:
            self.receive(early)

    def send(self, payload: str | bytes) -> None:
        """One text message."""
        self.send_frame(text_frame(payload.encode() if isinstance(payload, str) else payload))

    def send_frame(self, frame: bytes) -> None:
        """Send one frame, shared or not; cut the peer off if too much then waits for it."""
        connection = self._connection
        if self._closing or connection.dropped:
            return
        self._largest = max(self._largest, len(frame))
        if self._is_too_much(len(connection.outbox) + len(frame)):
            self.cut_off()
            return
        self._spoken_at = connection.host.clock()
        connection.write(frame)

    def cut_off(self) -> None:
        """Close with 1013 because the peer reads too slowly, and drop frames of which nothing was sent."""
        if self._closing or self._connection.dropped:
            return
        self._connection.outbox.cut()
        self._connection.host.cut_off += 1
        self._turn_out(TRY_AGAIN_LATER, "too slow")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame after what is buffered; the connection ends within `close_timeout_s`."""
        if self._closing or self._connection.dropped:
            return
        self._say_goodbye(CloseConnection(code=code, reason=reason or None))

    def abort(self) -> None:
        """End the connection now, without a goodbye."""
        self._connection.drop(reset=True)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._connection.pause()

    def resume(self) -> None:
        """Read again."""
        self._connection.resume()

    def receive(self, data: bytes) -> None:
        """More bytes from the client; none at the end of the stream."""
        if not data or self._protocol.state is ConnectionState.CLOSED:
            self._connection.drop()
            return
        try:
            self._protocol.receive_data(data)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._break(error)
            return
        self._events = self._protocol.events()
        self.proceed()

    def proceed(self) -> None:
        """Handle up to EVENTS_A_TURN received events, and leave the rest for the next turn."""
        try:
            for event in islice(self._events, EVENTS_A_TURN):
                self._hear(event)
                if self._connection.dropped or self._connection.finishing:
                    return
            if (event_left := next(self._events, None)) is not None:
                self._events = chain((event_left,), self._events)
                self._connection.hold()
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._break(error)

    def drained(self) -> None:
        """Nothing waits any more."""
        if not self._closing:
            self._tell(self._session.drained)

    def expire(self, now: float) -> None:
        """Call the session's `idle` if nothing was sent for `keepalive_s`."""
        if not self._closing and now - self._spoken_at >= self._limits.keepalive_s:
            self._spoken_at = now
            self._tell(self._session.idle)

    def lost(self) -> None:
        """The connection is gone."""
        self._closing = True
        self._tell(self._session.closed)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Ping) and not self._closing:
            self.send_frame(self._protocol.send(event.response()))
        elif isinstance(event, CloseConnection):
            if not self._closing:
                self._note_if_ours(event)
                self._say_goodbye(event.response())
            self._connection.finish(linger=event.code in PARSE_ERRORS)
        elif isinstance(event, TextMessage | BytesMessage) and not self._closing:
            self._collect(event)

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        """Add one piece of a message. An empty one counts as a byte, so that endless ones hit the limit."""
        data = event.data.encode() if isinstance(event.data, str) else event.data
        self._message += data
        self._pieces += not data
        if len(self._message) + self._pieces > self._limits.max_message_bytes:
            self._forget_pieces()
            self._turn_out(TOO_LARGE, "message too large")
            return
        if not event.message_finished:
            return
        whole = bytes(self._message)
        message = whole.decode() if isinstance(event.data, str) else whole
        self._forget_pieces()
        self._tell(lambda peer: self._session.received(peer, message))

    def _forget_pieces(self) -> None:
        self._message = bytearray()
        self._pieces = 0

    def _is_too_much(self, waiting: int) -> bool:
        if waiting > self._limits.max_buffer_bytes + self._largest:
            return True
        total = self._connection.host.tally.size
        return waiting > FAIR_BYTES and total > self._limits.max_buffered_bytes

    def _turn_out(self, code: int, reason: str) -> None:
        """Close for something that the client did."""
        self._connection.host.refused(self._connection, code, reason)
        self.close(code, reason)

    def _break(self, error: Exception) -> None:
        reason = plain(str(error), 100)
        if not self._closing:
            self._connection.host.refused(self._connection, 1002, reason)
        self._say_goodbye(CloseConnection(code=1002, reason=reason))
        self._connection.finish()

    def _note_if_ours(self, event: CloseConnection) -> None:
        """Report a malformed frame, which wsproto returns as a CloseConnection that the client never sent."""
        if self._protocol.state is ConnectionState.OPEN and event.code in PARSE_ERRORS:
            self._connection.host.refused(self._connection, event.code, event.reason or "a broken frame")

    def _tell(self, method: Callable[[Peer], None]) -> None:
        try:
            method(self)
        except Exception:
            log.exception("a session failed at %s", plain(self._request.path))
            self.close(INTERNAL_ERROR, "internal error")

    def _say_goodbye(self, goodbye: CloseConnection) -> None:
        self._closing = True
        connection = self._connection
        connection.deadline = connection.host.clock() + self._limits.close_timeout_s
        try:
            connection.write(self._protocol.send(goodbye))
        except LocalProtocolError:  # both sides have said it already
            connection.finish(linger=False)

"""A WebSocket feed that reconnects and reports it. The only module that imports websocket-client.

It uses the library's `WebSocket` in the caller's loop: no library threads, no wall-clock pings. A live server
at least answers a ping; a connection that stays silent past a deadline counts as dead, open or not. The
caller knows what to send and what messages mean. One of the two modules that retry (the other is `http`).
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable

import websocket

from hlposmon.errors import VenueUnavailable
from hlposmon.pacing import Backoff
from hlposmon.transport.deadline import BlockingCalls, Deadline
from hlposmon.transport.events import Event, Lost, Opened, Received
from hlposmon.transport.loopback import is_loopback
from hlposmon.transport.quota import Share

# A snapshot of 2000 fills is about 0.8 MB; nothing that a feed needs comes near this.
MAX_MESSAGE_BYTES = 16 << 20
OPEN_DEADLINE_S = 10.0
# A message that takes longer than this to arrive is given up, together with its connection.
MESSAGE_DEADLINE_S = 20.0
# The longest pause between attempts while the venue accepts no connection. The shared quota keeps all
# processes together within the venue's limit.
RECONNECT_MAX_S = 2.5
# The longest time spent on one message before returning to the caller's loop; the rest is read later.
_TURN_S = 0.2
_READ_BYTES = 1 << 16
# The first byte of an unfragmented text frame, and the length code for: the length is in the next two bytes.
_FINAL_TEXT, _TWO_BYTES_OF_LENGTH = 0x81, 126


class _Connection(websocket.WebSocket):
    """A WebSocket that never blocks once it is open, and that limits the size of a message and its duration.

    The library asks for a frame in three or four small reads, each through half a dozen of its functions.
    Here one `recv` takes up to 64 KiB, which in a burst is a hundred frames, and a text frame that is
    complete in that buffer is cut out of it without the library (`_whole_text`). Everything else is left to
    the library, which reads from the same buffer (`_recv`): fragments, control frames, long messages,
    incomplete frames, and protocol errors.
    """

    def open(self, clock: Callable[[], float]) -> None:
        """Call this after the handshake: from now on no call blocks."""
        assert self.sock is not None, "the handshake is done"
        self._clock, self._stream = clock, self.sock
        self._buffer, self._at = b"", 0
        self.is_drained = self._is_between_messages = True
        self.heard_s = clock()
        self._stream.setblocking(False)

    @property
    def has_unread(self) -> bool:
        """Whether bytes that were read from the socket have not been returned yet."""
        return self._at < len(self._buffer)

    def receive(self) -> bytes | None:
        """The next text message. None if none is complete yet, or if the frame was not text; then
        `is_drained` tells whether the socket has no more for now. Raises VenueUnavailable if the server
        closed the connection or a message is over its limits."""
        if self._is_between_messages:
            if self._at == len(self._buffer) and not self._read():
                return None
            if (text := self._whole_text()) is not None:
                return text
            self._received, self._began_s = 0, self._clock()
        self._turn_ends_s = self._clock() + _TURN_S
        try:
            opcode, payload = self.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            self._is_between_messages = False
            return None  # the rest comes later: the library keeps what it has
        self._is_between_messages = self.cont_frame.cont_data is None
        if opcode == websocket.ABNF.OPCODE_TEXT:
            return bytes(payload)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            code = int.from_bytes(bytes(payload.data if hasattr(payload, "data") else payload)[:2], "big")
            raise VenueUnavailable(f"the server closed the connection (code {code})")
        return None  # a binary message has no meaning here; a protocol ping was answered

    def _whole_text(self) -> bytes | None:
        """The frame at the head of the buffer, if it is a whole message: FIN, no reserved bit, text,
        unmasked, shorter than 64 KiB (RFC 6455, 5.2), and all there."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 2 or buffer[at] != _FINAL_TEXT:
            return None
        start, size = at + 2, buffer[at + 1]
        if size == _TWO_BYTES_OF_LENGTH:
            start = at + 4
            size = int.from_bytes(buffer[at + 2 : start], "big")
        elif size > _TWO_BYTES_OF_LENGTH:
            return None
        end = start + size
        if end > len(buffer):
            return None
        self._at = end
        return buffer[start:end]

    def _read(self) -> bool:
        """Read what has arrived into the empty buffer; False if nothing has."""
        try:
            self._buffer, self._at = self._stream.recv(_READ_BYTES), 0
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.is_drained = True
            return False
        if not self._buffer:
            raise VenueUnavailable("the server closed the connection without a word")
        self.is_drained = False
        self.heard_s = self._clock()  # a part of a message is a sign of life too
        return True

    def _recv(self, bufsize: int) -> bytes:
        """Replaces the library's read of the socket: up to `bufsize` bytes of the message that has begun."""
        now_s = self._clock()
        if now_s - self._began_s > MESSAGE_DEADLINE_S:
            raise VenueUnavailable("a message came too slowly")
        if now_s > self._turn_ends_s:
            raise websocket.WebSocketTimeoutException("the turn is over")
        if self._at == len(self._buffer) and not self._read():
            raise websocket.WebSocketTimeoutException("nothing more has come yet")
        received = self._buffer[self._at : self._at + bufsize]
        self._at += len(received)
        self._received += len(received)
        if self._received > MAX_MESSAGE_BYTES:
            raise VenueUnavailable(f"a message is longer than {MAX_MESSAGE_BYTES} bytes")
        return received


class Feed:
    """One connection, which `next` opens, and opens again after each loss.

    `ping` is the venue's own ping message. It is sent after `ping_after_s` of silence, and every
    `ping_every_s` in any case; a connection that sends nothing within `pong_s` of it is given up. All in
    seconds of `clock`. `share` counts the attempts to connect of all processes together.
    """

    def __init__(
        self,
        url: str,
        *,
        ping: bytes,
        deadline: Deadline,
        ping_after_s: float = 3.0,
        ping_every_s: float = 15.0,
        pong_s: float = 5.0,
        backoff: Backoff | None = None,
        share: Share | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.heard_s: float | None = None
        self.opened = 0
        self._ping, self._clock = ping, clock
        self._ping_after_s, self._ping_every_s, self._pong_s = ping_after_s, ping_every_s, pong_s
        self._blocking = BlockingCalls(deadline)
        self._backoff = backoff or Backoff(0.5, 30.0)
        self._reconnecting = backoff or Backoff(0.5, RECONNECT_MAX_S)
        self._share = share
        # When our last attempt to connect failed; None after an open connection was lost.
        self._refused_s: float | None = None
        self._socket: _Connection | None = None
        self._retry_at_s = 0.0
        self._pinged_s = 0.0
        self._broken: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether a connection exists now."""
        return self._socket is not None

    def fileno(self) -> int | None:
        """The descriptor for a selector; None while there is no connection."""
        return self._socket.sock.fileno() if self._socket is not None and self._socket.sock else None

    @property
    def has_unread(self) -> bool:
        """Whether something was received that `next` has not returned yet."""
        return self._socket is not None and self._socket.has_unread

    def wait_s(self) -> float:
        """How long a caller may sleep on `fileno` before it must call `next` again."""
        now_s = self._clock()
        if self._socket is None or self.heard_s is None:
            return max(0.0, self._retry_at_s - now_s)
        if self._broken is not None or not self._socket.is_drained:
            return 0.0
        if self._pinged_s > self.heard_s:
            due_s = self._pinged_s + self._pong_s
        else:
            due_s = self.heard_s + self._ping_after_s
        return max(0.0, min(due_s, self._pinged_s + self._ping_every_s) - now_s)

    def next(self) -> Event | None:
        """The next event; None if there is none. Does not block for long, except while connecting."""
        now = self._clock()
        if self._socket is None:
            return self._connect() if self._may_connect(now) else None
        try:
            if self._broken is not None:
                raise VenueUnavailable(self._broken)
            raw = self._receive()
            if raw is not None:
                return Received(raw)
            self._keep_alive(self._clock())
        except (VenueUnavailable, websocket.WebSocketException, OSError, ValueError) as error:
            return self._lose(str(error) or type(error).__name__)
        return None

    def send(self, payload: bytes) -> bool:
        """Send one text message; False if the connection is gone, which `next` then reports."""
        if self._socket is None:
            return False
        try:
            self._socket.send(payload)
        except (websocket.WebSocketException, OSError) as error:
            # A send that timed out may have sent half a frame: nothing can follow it.
            self._broken = f"a message could not be sent: {error}"
            return False
        return True

    def reset_backoff(self) -> None:
        """Start the backoff over because the connection works: the next loss is retried soon."""
        self._backoff.reset()

    def lose(self, reason: str) -> Lost:
        """Drop the connection for the caller's reason; `next` reopens it after the time in the result."""
        return self._lose(reason)

    def close(self) -> None:
        """Close the connection. It stays closed until `next` is called again."""
        self._drop()

    # ------------------------------------------------------------------ within

    def _may_connect(self, now: float) -> bool:
        """Whether to connect now: our next attempt is due, or another process has connected since our last
        one failed; and the shared quota has room."""
        if self._share is None:
            return now >= self._retry_at_s
        is_back = self._refused_s is not None and self._share.opened_s > self._refused_s
        if now < self._retry_at_s and not is_back:
            return False
        wait_s = self._share.connect()
        if wait_s > 0:
            self._retry_at_s = now + wait_s
        return wait_s <= 0

    def _connect(self) -> Event:
        made = _Connection(skip_utf8_validation=True, enable_multithread=False)
        given_up = threading.Event()
        # The environment's proxy does not apply to loopback; the library heeds that only beside a proxy host.
        direct = {"http_proxy_host": "-", "http_no_proxy": ["*"]} if is_loopback(self.url) else {}

        def connect() -> _Connection:
            made.connect(self.url, timeout=OPEN_DEADLINE_S / 2, suppress_origin=True, **direct)
            if given_up.is_set():
                made.shutdown()
            return made

        try:
            self._socket = self._blocking.within(OPEN_DEADLINE_S, f"connect {self.url}", connect)
        except (VenueUnavailable, websocket.WebSocketException, OSError, ValueError) as error:
            given_up.set()
            made.shutdown()  # also ends a handshake that is still under way
            return self._not_connected(str(error) or type(error).__name__)
        self._socket.open(self._clock)
        self._pinged_s = self.heard_s = self._socket.heard_s
        self._broken = self._refused_s = None
        self._reconnecting.reset()
        if self._share is not None:
            self._share.opened()
        self.opened += 1
        return Opened()

    def _receive(self) -> bytes | None:
        assert self._socket is not None, "only an open feed receives"
        raw = self._socket.receive()
        self.heard_s = self._socket.heard_s
        return raw

    def _keep_alive(self, now: float) -> None:
        assert self._socket is not None and self.heard_s is not None, "only an open feed is kept alive"
        # Only an unanswered ping proves the other side dead: this process itself may have been suspended.
        if self._pinged_s > self.heard_s and now - self._pinged_s > self._pong_s:
            raise VenueUnavailable(f"open but silent for {now - self.heard_s:.1f} s, not even a pong")
        due = now - self._pinged_s >= self._ping_every_s
        if due or (now - self.heard_s >= self._ping_after_s and self._pinged_s <= self.heard_s):
            self._pinged_s = now
            self._socket.send(self._ping)

    def _not_connected(self, reason: str) -> Lost:
        if self._share is not None:
            self._share.failed()
        self._refused_s = self._clock()
        return self._retry_after(reason, self._reconnecting.next())

    def _lose(self, reason: str) -> Lost:
        self._drop()
        self._refused_s = None
        return self._retry_after(reason, self._backoff.next())

    def _retry_after(self, reason: str, retry_s: float) -> Lost:
        self._retry_at_s = self._clock() + retry_s
        return Lost(reason, retry_s)

    def _drop(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown()
            self._socket = None

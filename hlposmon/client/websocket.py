"""The client's side of RFC 6455, as far as a reader of the monitor's stream needs it.

No extensions. Frames are parsed only once they are complete in the buffer, so a time-out in the middle of a
frame loses nothing and reading can be tried again. Not thread-safe.
"""

import base64
import hashlib
import json
import os
import struct
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from hlposmon.client.connection import BODY_BYTES, Connection, attempt, json_object, refusal
from hlposmon.errors import HlposmonError, TimedOut, WireError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NORMAL, GOING_AWAY, PROTOCOL_ERROR, ABNORMAL, TOO_SLOW = 1000, 1001, 1002, 1006, 1013
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_QUIET = ("ping", "pong", "subscribed")  # types of JSON messages that are not part of the stream


class StreamClosed(HlposmonError):
    """The stream did not end normally; `code` is the WebSocket close code (1006: no close frame came)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the monitor's stream ended: {reason or 'no reason given'} (code {code})")
        self.code = code


class Stream:
    """The messages of one connection, oldest first; iteration ends when the monitor closes normally.

    See `Api.stream` for the arguments. Connecting raises as `connection.attempt` does, and RequestRefused.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str],
        *,
        since: int | None = None,
        compact: bool = False,
        events: Sequence[str] = (),
        accounts: Sequence[str] = (),
        timeout_s: float | None = None,
        connect_timeout_s: float = 2.0,
    ) -> None:
        query = {"since": str(since)} if since is not None else {}
        if compact:
            query["compact"] = "1"
        target = "/api/v1/positions/stream" + (f"?{urlencode(query)}" if query else "")
        self.timeout_s = timeout_s
        self._ended = False
        self.begin(attempt(socket_path, connect_timeout_s, lambda it: _upgrade(it, target)))
        if events or accounts:
            wish: dict[str, Any] = {"action": "subscribe"}
            wish |= {"events": list(events)} if events else {}
            wish |= {"accounts": list(accounts)} if accounts else {}
            self.send(wish)

    def begin(self, connection: Connection) -> None:
        """Take over a connection whose handshake is done; `close` then closes it."""
        self._connection = connection
        self._message_so_far = bytearray()
        self._pieces = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any]:
        """The next message. Raises TimedOut (ask again), StreamClosed, WireError, StopIteration."""
        if self._ended:
            raise StopIteration
        while True:
            # The monitor's JSON ping is a sign of life like any message: restart the time-out after it.
            deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s
            self._connection.deadline = deadline
            text = self._message()
            if text is None:
                raise StopIteration
            message = json_object(text)
            if message.get("type") not in _QUIET:
                return message

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to the monitor, such as `{"action": "get_summary"}`, within 2 s.

        Raises TimedOut or StreamClosed.
        """
        self._connection.deadline = time.monotonic() + 2.0
        self._write(TEXT, json.dumps(message).encode())

    def close(self) -> None:
        """Send a close frame if that is possible within 0.1 s, and close the connection. Never raises."""
        if not self._ended:
            self._ended = True
            self._connection.deadline = time.monotonic() + 0.1
            try:
                self._write(CLOSE, struct.pack(">H", NORMAL))
            except (OSError, HlposmonError):
                pass  # the connection is gone already
        self._connection.close()

    def _message(self) -> bytes | None:
        """Return the next whole message, its fragments joined; None if the monitor closed normally."""
        while True:
            final, opcode, payload = self._frame()
            if opcode == CLOSE:
                self._closed(payload)
                return None
            if opcode == PING:
                self._write(PONG, payload)
            elif opcode in (TEXT, BINARY, CONTINUATION):
                if (opcode == CONTINUATION) != bool(self._pieces):
                    raise self._broken("a fragment out of order")
                self._message_so_far += payload
                self._pieces += 1
                if len(self._message_so_far) > BODY_BYTES:
                    raise self._broken(f"a message longer than {BODY_BYTES} bytes")
                if final:
                    message = bytes(self._message_so_far)
                    self._message_so_far.clear()
                    self._pieces = 0
                    return message
            elif opcode != PONG:
                raise self._broken(f"the unknown opcode {opcode}")

    def _frame(self) -> tuple[bool, int, bytes]:
        while (frame := self._complete_frame()) is None:
            try:
                more = self._connection.read()
            except TimeoutError as error:
                raise TimedOut(f"no message for {self.timeout_s:g} s") from error
            except OSError as error:
                self._ended = True
                raise StreamClosed(ABNORMAL, (error.strerror or "connection lost").lower()) from error
            if not more:
                self._ended = True
                raise StreamClosed(ABNORMAL, "the connection was cut")
        return frame

    def _complete_frame(self) -> tuple[bool, int, bytes] | None:
        """Take one frame off the buffer, as (final, opcode, payload); None while it is incomplete.

        RFC 6455, 5.2. The second byte holds the mask bit, which a server must not set, and the length: up to
        125 itself, 126 for a 16-bit length after it, 127 for a 64-bit one. Example: 81 02 68 69 is the final
        text frame "hi"; 81 7E 01 00 begins one of 256 bytes.
        """
        buffer = self._connection.buffer
        if len(buffer) < 2:
            return None
        first, length, start = buffer[0], buffer[1], 2
        if first & 0x70 or length & 0x80:
            raise self._broken("a frame with reserved bits or a mask")
        if length >= 126:
            form, start = (">H", 4) if length == 126 else (">Q", 10)
            if len(buffer) < start:
                return None
            length = struct.unpack_from(form, buffer, 2)[0]
        if length > BODY_BYTES:
            raise self._broken(f"a frame longer than {BODY_BYTES} bytes")
        if len(buffer) < start + length:
            return None
        payload = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return bool(first & 0x80), first & 0x0F, payload

    def _closed(self, payload: bytes) -> None:
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else NORMAL
        try:
            self._write(CLOSE, payload[:2])
        except (OSError, HlposmonError):
            pass  # the monitor does not wait for our answer
        self._ended = True
        if code not in (NORMAL, GOING_AWAY):
            reason = payload[2:].decode("utf-8", "replace")
            raise StreamClosed(code, reason or ("this client read too slowly" if code == TOO_SLOW else ""))

    def _broken(self, what: str) -> WireError:
        self._ended = True
        try:
            self._write(CLOSE, struct.pack(">H", PROTOCOL_ERROR))
        except (OSError, HlposmonError):
            pass
        return WireError(f"the monitor's stream holds {what}")

    def _write(self, opcode: int, payload: bytes) -> None:
        """Send one masked frame (RFC 6455, 5.3: a client always masks). Raises TimedOut or StreamClosed."""
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack(">BH", 0xFE, size)
        else:
            head += struct.pack(">BQ", 0xFF, size)
        masked = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
        try:
            self._connection.send(head + mask + masked)
        except TimeoutError as error:
            raise TimedOut("the monitor does not take what is sent to it") from error
        except OSError as error:
            self._ended = True
            raise StreamClosed(ABNORMAL, (error.strerror or "connection lost").lower()) from error


def _upgrade(connection: Connection, target: str) -> Connection:
    """Do the opening handshake (RFC 6455, 4.1) and return the connection."""
    key = base64.b64encode(os.urandom(16))
    connection.send(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode("ascii")
    )
    status, fields = connection.head()
    if status != 101:
        raise refusal(status, json_object(connection.body(fields)))
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    if fields.get("sec-websocket-accept") != accept:
        raise WireError("what answers at the socket does not speak WebSocket")
    return connection

"""One connection to the monitor's Unix socket, with one deadline for everything done on it.

Nothing waits longer than the deadline, and every read has a size limit. Imports are kept light for short
commands: http.client imports ssl, a third of such a command's time; pathlib and typing cost as much as the
request itself. `_socket` is the C module that `socket` wraps, without the selectors and enums that a
connected Unix socket does not need; those would cost as much again.
"""

from __future__ import annotations

import _socket
import json
import time
from collections.abc import Callable

from hlposmon.errors import HlposmonError, MonitorNotRunning, NotPermitted, TimedOut, WireError

HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024 * 1024
RETRY_S = 0.05

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any, TypeVar

    T = TypeVar("T")


class RequestRefused(HlposmonError):
    """The monitor answered with an error: `status` is the HTTP status, `code` the monitor's error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Connection:
    """A connected socket, the bytes read ahead (`buffer`), and a deadline in monotonic seconds (None: none).

    Methods raise TimeoutError once the deadline has passed, and OSError if the connection fails.
    """

    def __init__(self, path: str | PathLike[str], deadline: float | None) -> None:
        self.deadline = deadline
        self.buffer = bytearray()
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._limit()
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises OSError, TimeoutError among them; part of it may then have been sent."""
        self._limit()
        self._socket.sendall(data)

    def read(self) -> bool:
        """Read up to 256 kB into the buffer; return False at the end of the stream."""
        self._limit()
        data = self._socket.recv(256 * 1024)
        self.buffer += data
        return bool(data)

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes. Raises ConnectionResetError if the stream ends before."""
        while len(self.buffer) < count:
            if not self.read():
                raise ConnectionResetError("the answer was cut short")
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def take_line(self) -> bytes:
        """Return the bytes before the next CRLF, and consume the CRLF.

        Raises WireError if the line is longer than HEAD_BYTES, ConnectionResetError if the stream ends first.
        """
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > HEAD_BYTES:
                raise WireError("the monitor's answer has a line without an end")
            if not self.read():
                raise ConnectionResetError("the answer was cut short")
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the header fields (lower-case names) of an HTTP response.

        Raises WireError if it is not HTTP/1.x or the header is longer than HEAD_BYTES.
        """
        version, _, rest = self.take_line().partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise WireError("what answers at the socket does not speak HTTP")
        fields: dict[str, str] = {}
        total = 0
        while line := self.take_line():
            total += len(line)
            if total > HEAD_BYTES:
                raise WireError(f"the header of the answer is longer than {HEAD_BYTES} bytes")
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.strip().lower()] = value.strip()
        return int(rest[:3]), fields

    def body(self, fields: dict[str, str]) -> bytes:
        """Return the body, framed by chunks, a length, or the end of the connection (RFC 9112, 6.3).

        Raises WireError if it is longer than BODY_BYTES or its framing is broken.
        """
        if "chunked" in fields.get("transfer-encoding", "").lower():
            return self._chunks()
        if "content-length" in fields:
            return self.take(_count(fields["content-length"], 10))
        while self.read():
            if len(self.buffer) > BODY_BYTES:
                raise WireError(f"the answer is longer than {BODY_BYTES} bytes")
        return bytes(self.buffer)

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := _count(self.take_line().decode("latin-1").partition(";")[0], 16):
            body += self.take(size)
            if len(body) > BODY_BYTES or self.take(2) != b"\r\n":
                raise WireError("the chunks of the answer are broken or too long")
        return bytes(body)

    def _limit(self) -> None:
        """Set the socket's time-out to the time left. Raises TimeoutError if none is left."""
        if self.deadline is None:
            self._socket.settimeout(None)
            return
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)


def _count(text: str, base: int) -> int:
    try:
        count = int(text.strip(), base)
    except ValueError as error:
        raise WireError(f"the length of the answer is no number: {text[:20]!r}") from error
    if not 0 <= count <= BODY_BYTES:
        raise WireError(f"the answer is longer than {BODY_BYTES} bytes")
    return count


def attempt(path: str | PathLike[str], timeout_s: float, exchange: Callable[[Connection], T]) -> T:
    """Connect, call `exchange`, and return its result; retry every RETRY_S while refused or reset.

    The exchange must be idempotent, because it may run more than once. The connection is closed afterwards,
    unless the exchange returns the connection itself: the caller must close it then. Raises
    MonitorNotRunning, NotPermitted, or TimedOut after `timeout_s` seconds, and what the exchange raises.
    """
    deadline = time.monotonic() + timeout_s
    failure: HlposmonError
    while True:
        try:
            return _once(path, deadline, exchange)
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError) as error:
            failure = MonitorNotRunning(f"no monitor answers at {path}: {_reason(error)}")
            failure.__cause__ = error
        except BlockingIOError as error:
            # connect() to a Unix socket whose backlog is full fails with EAGAIN at once (connect(2)).
            failure = TimedOut(f"the monitor at {path} takes no connection for {timeout_s:g} s")
            failure.__cause__ = error
        except TimeoutError as error:
            raise TimedOut(f"the monitor at {path} did not answer within {timeout_s:g} s") from error
        except PermissionError as error:
            raise NotPermitted.to_outsiders(f"{path} may not be opened by this user") from error
        except FileNotFoundError as error:
            raise MonitorNotRunning(f"no monitor is running: there is no socket {path}") from error
        except OSError as error:
            raise MonitorNotRunning(f"no monitor answers at {path}: {_reason(error)}") from error
        if time.monotonic() + RETRY_S >= deadline:
            raise failure
        time.sleep(RETRY_S)
        if time.monotonic() >= deadline:  # a busy machine woke us late
            raise failure


def _once(path: str | PathLike[str], deadline: float, exchange: Callable[[Connection], T]) -> T:
    connection = Connection(path, deadline)
    result = None
    try:
        result = exchange(connection)
        return result
    finally:
        if result is not connection:
            connection.close()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()


def json_object(body: bytes) -> dict[str, Any]:
    """Decode what the monitor sent. Raises WireError unless it is a JSON object."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        raise WireError(f"what the monitor sent is no JSON: {body[:40]!r}") from error
    if not isinstance(answer, dict):
        raise WireError(f"what the monitor sent is no JSON object: {body[:40]!r}")
    return answer


def refusal(status: int, answer: dict[str, Any]) -> RequestRefused:
    """Return the monitor's JSON error as an exception for the caller to raise."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return RequestRefused(status, "unknown", f"the monitor answered with status {status}")
    return RequestRefused(status, str(error.get("code", "unknown")), str(error.get("message", status)))

"""A client of the stream, a process of its own: raw frames from a Unix socket, each with its time.

It reads what the socket has, cuts it into frames, and keeps those that tell of a fill with the time
(CLOCK_MONOTONIC, ns) at which it had them. They are read as JSON only when it is asked for them.
"""

import json
import multiprocessing
import selectors
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HANDSHAKE = (
    b"GET /api/v1/positions/stream HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
IS_FILL = b'"event_type":"fill"'


def connect(path: str) -> tuple[socket.socket, bytes]:
    """A socket that the server has taken as a WebSocket, and what came right behind the handshake."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    sock.sendall(HANDSHAKE)
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(1 << 16)
        assert more, f"{path} closed the connection: {data!r:.200}"
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b" 101 " in head, head
    return sock, rest


def cut(data: bytearray) -> list[bytes]:
    """Take the whole frames off its front; a server's are not masked."""
    found, at, size = [], 0, len(data)
    while size - at >= 2:
        length, begin = data[at + 1], at + 2
        if length == 126:
            length, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            length, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if begin + length > size:
            break
        if data[at] & 0x0F == 1:
            found.append(bytes(data[begin : begin + length]))
        at = begin + length
    del data[:at]
    return found


def _listen(path: str, pipe: Connection) -> None:
    sock, early = connect(path)
    sock.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    selector.register(pipe, selectors.EVENT_READ)
    data, heard = bytearray(early), []
    count = 0
    pipe.send(None)
    while True:
        for key, _ in selector.select():
            if key.fileobj is pipe:
                try:
                    pipe.recv()
                except EOFError:
                    return
                pipe.send((count, heard))
                heard = []
                continue
            more = sock.recv(1 << 18)
            if not more:
                pipe.send(None)
                return
            data += more
            frames = cut(data)
            now_ns = time.monotonic_ns()
            count += len(frames)
            heard += [(now_ns, one) for one in frames if IS_FILL in one]


class Listener:
    """The other end of the pipe: a running client, as a context manager."""

    def __init__(self, path: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_listen, args=(str(path), theirs), name="listener", daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()
        self.messages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()

    def fills(self, count: int, timeout_s: float = 30.0) -> dict[int, int]:
        """Wait for `count` fills: when each was in hand (ns), by trade id, in the order they came."""
        found: dict[int, int] = {}
        until_s = time.monotonic() + timeout_s
        while True:
            assert time.monotonic() < until_s, f"{len(found)} of {count} fills came within {timeout_s:g} s"
            self._pipe.send(None)
            answer = self._pipe.recv()
            assert answer is not None, "the stream was closed"
            self.messages, heard = answer
            for heard_ns, raw in heard:
                message: dict[str, Any] = json.loads(raw)
                tid = message["fill"]["tid"]
                assert tid not in found, f"fill {tid} was told twice"
                found[tid] = heard_ns
            if len(found) >= count:
                return found
            time.sleep(0.05)  # how often it is asked is no part of the figures

"""The stream: what the monitor says arrives whole and in order, and every end is told apart."""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, unix_serve

from hlposmon.client.api import Api, RequestRefused
from hlposmon.client.websocket import Stream, StreamClosed
from hlposmon.errors import MonitorNotRunning, TimedOut, WireError


@contextmanager
def monitor(path: Path, talk: Callable[[ServerConnection], None]) -> Iterator[None]:
    """A WebSocket server of another make, which talks to each client."""
    with unix_serve(talk, str(path), compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(30)


@contextmanager
def raw_monitor(path: Path, *chunks: bytes | float | threading.Event) -> Iterator[None]:
    """A server that upgrades and then sends these bytes; between them it pauses, or waits to be told."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536).decode()
            key = next(
                line.split(": ")[1] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key")
            )
            digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            accept = base64.b64encode(digest).decode()
            head = f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            connection.sendall(head.encode())
            for chunk in chunks:
                if isinstance(chunk, float):
                    time.sleep(chunk)
                elif isinstance(chunk, threading.Event):
                    chunk.wait(30)
                else:
                    with suppress(OSError):
                        connection.sendall(chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        listener.close()


def frame(text: str, *, opcode: int = 1, final: bool = True) -> bytes:
    return bytes([(0x80 if final else 0) | opcode, len(text)]) + text.encode("latin-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_messages_arrive_in_order_until_the_monitor_says_goodbye(path: Path):
    def talk(client: ServerConnection) -> None:
        for seq in range(3):
            client.send(json.dumps({"type": "position_update", "seq": seq}))

    with monitor(path, talk), Api(path).stream() as stream:
        assert [0, 1, 2] == [message["seq"] for message in stream]


@pytest.mark.parametrize("size", [10, 125, 126, 65_535, 65_536, 3_000_000])
def test_messages_of_every_size_are_whole(path: Path, size: int):
    with (
        monitor(path, lambda client: client.send(json.dumps({"x": "y" * size}))),
        Api(path).stream() as stream,
    ):
        assert [{"x": "y" * size}] == list(stream)


def test_fragments_with_a_ping_between_them_are_one_message(path: Path):
    parts = (frame('{"a"', final=False), frame("hi", opcode=9), frame(": 1", opcode=0, final=False))
    rest = (0.05, frame("}", opcode=0), frame("\x03\xe8", opcode=8))
    with raw_monitor(path, *parts, *rest), Api(path).stream() as stream:
        assert [{"a": 1}] == list(stream)


def test_a_ping_is_answered_with_its_own_words(path: Path):
    answered = []

    def talk(client: ServerConnection) -> None:
        answered.append(client.ping("are you there").wait(30))

    with monitor(path, talk), Api(path).stream() as stream:
        assert [] == list(stream)
    assert [True] == answered


def test_what_is_wanted_is_said_to_the_monitor(path: Path):
    heard: list[object] = []

    def talk(client: ServerConnection) -> None:
        heard.append(client.request.path)
        heard.append(json.loads(client.recv()))
        client.send('{"type": "subscribed"}')
        client.send('{"type": "ping"}')
        client.send('{"type": "gap"}')

    with (
        monitor(path, talk),
        Api(path).stream(since=7, compact=True, events=["fill"], accounts=["main"]) as stream,
    ):
        assert [{"type": "gap"}] == list(stream)

    wish = {"action": "subscribe", "events": ["fill"], "accounts": ["main"]}
    assert ["/api/v1/positions/stream?since=7&compact=1", wish] == heard


def test_the_monitor_can_be_asked_on_the_stream(path: Path):
    with monitor(path, lambda client: client.send(client.recv())), Api(path).stream() as stream:
        stream.send({"action": "get_summary", "long": "x" * 70_000})

        assert "get_summary" == next(stream)["action"]


def test_a_reader_that_was_too_slow_is_told_so(path: Path):
    with (
        monitor(path, lambda client: client.close(1013, "too slow")),
        Api(path).stream() as stream,
        pytest.raises(StreamClosed, match="too slow") as caught,
    ):
        next(stream)

    assert 1013 == caught.value.code


def test_a_cut_connection_is_no_good_end(path: Path):
    with raw_monitor(path, b"\x81\x7e"), Api(path).stream() as stream:
        with pytest.raises(StreamClosed, match="cut") as caught:
            next(stream)

        assert 1006 == caught.value.code
        with pytest.raises(StopIteration):
            next(stream)


def test_silence_is_a_time_out_that_loses_nothing(path: Path):
    whole, rest = frame('{"a": 1}'), threading.Event()
    with raw_monitor(path, whole[:5], rest, whole[5:], 0.2), Api(path).stream(timeout_s=0.2) as stream:
        with pytest.raises(TimedOut, match=r"no message for 0\.2 s"):
            next(stream)
        rest.set()
        told: list[object] = []
        while not told:
            with suppress(TimedOut):
                told.append(next(stream))

    assert [{"a": 1}] == told


def test_a_ping_is_a_sign_of_life(path: Path):
    ping = frame('{"type": "ping"}')
    last = frame('{"a": 1}')
    # Longer together than what is borne, and each far shorter.
    pause_s = 0.6
    chunks = [chunk for one in (ping, ping, ping, last) for chunk in (pause_s, one)]
    with raw_monitor(path, *chunks), Api(path).stream(timeout_s=2.0) as stream:
        assert {"a": 1} == next(stream)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\xc1\x00", "reserved bits"),
        (b"\x81\x81abcd!", "a mask"),
        (frame("x", opcode=0), "out of order"),
        (frame("x", final=False) + frame("y"), "out of order"),
        (frame("x", opcode=3), "opcode 3"),
        (b"\x81\x7f" + struct.pack(">Q", 1 << 40), "longer than"),
        (frame("no json"), "no JSON"),
        (frame("[]"), "no JSON object"),
        (b"\x81\x02\xff\xff", "no JSON"),
    ],
)
def test_what_breaks_the_protocol_is_refused(path: Path, sent: bytes, said: str):
    with (
        raw_monitor(path, sent, 0.05),
        Api(path).stream() as stream,
        pytest.raises(WireError, match=said),
    ):
        next(stream)


def test_a_refused_stream_says_why(path: Path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    body = b'{"error": {"code": "unavailable", "message": "too many clients"}}'

    def refuse() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    thread = threading.Thread(target=refuse)
    thread.start()
    with listener, pytest.raises(RequestRefused, match="too many clients"):
        Api(path).stream()
    thread.join(30)


def test_no_monitor_is_said_when_the_stream_is_opened(path: Path):
    with pytest.raises(MonitorNotRunning):
        Stream(path)


def test_closing_twice_is_no_error(path: Path):
    with monitor(path, lambda client: None), Api(path).stream() as stream:
        stream.close()

"""What reads bytes that others wrote, each as a function of those bytes alone.

A target returns when all is well. A finding is any exception that comes out of it: one that the reader does
not declare, or an AssertionError about what it left behind. hypothesis and atheris drive the same functions.
"""

import json
import logging
import socket
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection as Frames
from wsproto.events import CloseConnection, TextMessage

from hlposmon.api.server import PublicServer
from hlposmon.api.subscribers import Subscribers
from hlposmon.client.connection import Connection, json_object
from hlposmon.client.snapshot import Snapshot
from hlposmon.client.websocket import Stream
from hlposmon.config import Flags, load
from hlposmon.domain.reports import Statement
from hlposmon.errors import ConfigError, HlposmonError, WireError
from hlposmon.ipc.codec import decode
from hlposmon.ipc.queue import Queue, QueueBroken
from hlposmon.journal.lines import open_line
from hlposmon.serving.access import Access
from hlposmon.serving.messages import Limits
from hlposmon.snapshot.layout import BLOCK_BYTES, DecodeError, decode_header, decode_record
from hlposmon.text import loads
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.payloads.amounts import DIGITS
from hlposmon.venues.hyperliquid.payloads.statements import StatePush
from tests.fuzz.seeds import HANDSHAKE

STATUSES = {100, 200, 204, 101, 400, 403, 404, 405, 408, 413, 426, 431, 501, 503, 505}
CLOSES = range(1000, 5000)  # an allowed code of the client's own is echoed
SLOWEST_S = 2.0
ADDRESS = "0x" + "ab" * 20
NAMES = {ADDRESS: "main", "0xab": "main"}  # the short one is that of the seeds


class Failures(logging.Handler):
    """Whatever the code under test logs as an error: it caught what should not have happened."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))


class Positions:
    """A source with one position."""

    seq = 7

    def summary(self, account: str | None) -> dict[str, Any] | None:
        return {"seq": 7, "positions": {"BTC-USD": {"size": "1"}}} if account in (None, "main") else None

    def health(self) -> dict[str, Any]:
        return {"status": "healthy"}

    def workers(self) -> dict[str, Any]:
        return {"workers": []}

    def now_ms(self) -> int:
        return 1_790_000_000_000

    def ledger(self, account: str | None, since_ms: int | None, until_ms: int | None) -> dict[str, Any]:
        return {"since": since_ms, "until": until_ms, "accounts": {account or "main": {}}}

    def metrics(self, accept: str, traffic: Any) -> tuple[str, bytes]:
        return f"text/plain; accepted={len(accept)}", b"up 1\n"


class Door:
    """The real server on a real Unix socket, and one connection to it at a time."""

    def __init__(self, *, tcp: bool = False) -> None:
        self.failures = Failures()
        logging.getLogger("hlposmon").addHandler(self.failures)
        self.refusals: list[Any] = []
        self.server = PublicServer(
            Positions(),
            Subscribers(1000),
            Limits(max_message_bytes=4096, max_header_bytes=4096, max_body_bytes=512),
            access=Access(allowed_origins=("http://localhost:3000",)),
            refused=self.refusals.append,
        )
        if tcp:
            self.listener = socket.create_server(("127.0.0.1", 0))
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self._folder = tempfile.TemporaryDirectory(prefix="hlp-fuzz-")  # goes with the process
            self.listener.bind(f"{self._folder.name}/s")
            self.listener.listen(8)
        self.server.listen(self.listener)

    def say(self, *pieces: bytes) -> bytes:
        """Send these one after the other, hang up, and return all that came back."""
        began = time.monotonic()
        self.refusals.clear()
        with socket.socket(self.listener.family) as sock:
            sock.connect(self.listener.getsockname())
            sock.setblocking(False)
            heard = b""
            for piece in pieces:
                try:
                    sock.sendall(piece)
                except OSError:
                    break
                heard += self._turn(sock)
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            for _ in range(400):
                heard += self._turn(sock)
                if not self.server._server.connections:
                    break
        for _ in range(3):
            self.server.step()
        assert self.server._server.connections == 0, "a connection is left behind"
        assert self.server._server.tally.size == 0, "buffered bytes are left behind"
        assert not self.failures.said, self.failures.said.pop()
        assert time.monotonic() - began < SLOWEST_S, "too slow"
        for refusal in self.refusals:
            assert refusal.reason.isascii() and refusal.reason.isprintable() and len(refusal.reason) <= 120
        return heard

    def _turn(self, sock: socket.socket) -> bytes:
        heard = b""
        for _ in range(2):
            self.server.step()
            try:
                heard += sock.recv(1 << 20)
            except OSError:
                pass
        return heard


_DOORS: dict[str, Door] = {}


def door(kind: str) -> Door:
    if kind not in _DOORS:
        _DOORS[kind] = Door(tcp=kind == "tcp")
    return _DOORS[kind]


def split(data: bytes) -> tuple[bytes, ...]:
    """The input as a client's pieces: its first byte says how many and where they are cut."""
    if not data:
        return ()
    size = max(1, len(data) * (1 + data[0] % 16) // 16)
    return tuple(data[at : at + size] for at in range(1, len(data), size))


def http(data: bytes) -> None:
    """Anything at all at the socket: answered as HTTP, with a status that the API names, or not at all."""
    answers(door("unix").say(*split(data)))


def http_tcp(data: bytes) -> None:
    """The same over TCP, where Host and Origin count: without our own name there is nothing but refusals."""
    heard = door("tcp").say(*split(data))
    answers(heard)
    if heard.startswith(b"HTTP/1.1 200") and b"localhost" not in data.lower() and b"127." not in data:
        assert b"[" in data and b":" in data, "answered to a host that is not ours"


def answers(heard: bytes) -> None:
    if not heard:
        return
    assert heard.startswith(b"HTTP/1.1 "), heard[:40]
    assert int(heard[9:12]) in STATUSES, heard[:40]
    if heard[9:12] not in (b"100", b"101", b"200"):
        body = heard.partition(b"\r\n\r\n")[2]
        # A HEAD has no body; then the next answer follows.
        assert not body or body.startswith((b'{"error":', b"HTTP/1.1 ")), body[:80]


def frames(data: bytes) -> None:
    """Anything at all behind a handshake: what comes back are whole frames that end in a known goodbye."""
    head, _, back = door("unix").say(HANDSHAKE, *split(data)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head[:40]
    client = Frames(ConnectionType.CLIENT)
    client.receive_data(back)
    for event in client.events():
        if isinstance(event, CloseConnection):
            assert event.code in CLOSES, event
        elif isinstance(event, TextMessage) and event.message_finished and event.data.startswith("{"):
            json.loads(event.data)


class Listener:
    """The other end of a client: it says what it is given, and hangs up."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hlp-fuzz-")  # goes with the process
        self.path = Path(self._folder.name) / "s"
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(self.path))
        self.sock.listen(8)

    def connection(self, said: bytes) -> Connection:
        connection = Connection(self.path, time.monotonic() + SLOWEST_S)
        there, _ = self.sock.accept()
        with there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            there.sendall(said[: 1 << 16])
        return connection


_LISTENERS: list[Listener] = []


def listener() -> Listener:
    if not _LISTENERS:
        _LISTENERS.append(Listener())
    return _LISTENERS[0]


def stream(data: bytes) -> None:
    """Frames from a server that is not ours: messages, or one of the errors that the client declares."""
    client = Stream.__new__(Stream)  # as it is once the handshake is done
    client.timeout_s, client._ended = SLOWEST_S, False
    client.begin(listener().connection(data))
    try:
        for message in client:
            assert isinstance(message, dict)
    except HlposmonError:
        pass
    finally:
        client.close()


def answer(data: bytes) -> None:
    """An HTTP answer from a server that is not ours, read as the commands read it."""
    connection = listener().connection(data)
    try:
        _, fields = connection.head()
        json_object(connection.body(fields))
    except (WireError, ConnectionResetError, TimeoutError):
        pass
    finally:
        connection.close()


def venue(data: bytes) -> None:
    """What an exchange may say: facts, or WireError, and money of no more digits than a double carries."""
    try:
        message = payloads.message(data)
    except WireError:
        message = payloads.Message("", None)
    try:
        body = loads(data)
    except WireError:
        body = None
    rows = body.get("data", body) if isinstance(body, dict) else body
    for read in READERS:
        for given in (body, rows, message.data):
            try:
                _digits_of(read(given))
            except WireError:
                continue


def _digits_of(found: object) -> None:
    """Look at every amount of what a reader has found."""
    if isinstance(found, payloads.FillRows):
        for fill in found.fills:
            for value in (fill.size, fill.price, fill.start_position, fill.fee, fill.closed_pnl):
                assert len(value.as_tuple().digits) <= DIGITS, value
    elif isinstance(found, StatePush):
        for one in found.statements:
            _digits_of(one)
    elif isinstance(found, Statement):
        for stated in found.positions:
            told = (stated.size, stated.mark_price, stated.margin_used, stated.liquidation_price, stated.hold)
            for size in (*told, stated.max_leverage, stated.cash, found.cross_cash, found.cross_maintenance):
                assert size is None or len(size.as_tuple().digits) <= DIGITS, size


def _rows_of(it: Any, name: str) -> Any:
    return it.get(name) if isinstance(it, dict) else it


READERS: tuple[Callable[[Any], object], ...] = (
    lambda it: payloads.fills(it, "main", ADDRESS),
    lambda it: payloads.fills(_rows_of(it, "fills"), "main", ADDRESS),
    lambda it: payloads.fundings(it, "main"),
    lambda it: payloads.fundings(_rows_of(it, "fundings"), "main"),
    lambda it: payloads.statement(it, "main", asked_s=0.0, now_ms=0),
    lambda it: payloads.state_push(it, "clearinghouseState", NAMES, heard_s=0.0, now_ms=0),
    lambda it: payloads.state_push(it, "allDexsClearinghouseState", NAMES, heard_s=0.0, now_ms=0),
    lambda it: payloads.statement(it, "main", dex="xyz", asked_s=0.0, now_ms=0),
    lambda it: payloads.account_events(it, "main", "0x" + "ab" * 20),
    lambda it: payloads.acknowledges(it, "userFills", ADDRESS),
    lambda it: payloads.spot_statement(it, "main", time_ms=1, asked_s=0.0),
    lambda it: payloads.spot_statement(_rows_of(it, "spotState"), "main", time_ms=1, asked_s=0.0),
    payloads.spot_pairs,
    payloads.token_prices,
    payloads.agent_expiries,
    payloads.dex_names,
    payloads.times,
    payloads.refusal,
    payloads.fast_marks,
    payloads.role,
    payloads.venue_time,
    payloads.abstraction,
)


def record(data: bytes) -> None:
    """A snapshot's block that was written by somebody else, its checksum made right."""
    body = data[: BLOCK_BYTES - 4].ljust(BLOCK_BYTES - 4, b"\0")
    for block in (data, body + struct.pack("<I", zlib.crc32(body))):
        for read in (decode_record, decode_header):
            try:
                read(block)
            except (DecodeError, WireError):
                continue


def snapshot(data: bytes) -> None:
    """A whole file that stands where the snapshot should."""
    path = listener().path.with_name("snapshot")
    path.write_bytes(data)
    try:
        with Snapshot.open(path, patience_s=0.0) as opened:
            for position in opened.positions(all=True):
                assert position.verdict is not None
    except HlposmonError:
        pass


def toml(data: bytes) -> None:
    """A configuration: settings, or every mistake, and no key is repeated."""
    path = listener().path.with_name("hlposmon.toml")
    path.write_bytes(data)
    environ = {"HOME": "/nonexistent", "HLPOSMON_CONFIG": str(path), "XDG_RUNTIME_DIR": "/run"}
    try:
        load(Flags(), environ)
    except ConfigError as error:
        assert all(line.isprintable() or "\n" not in line for line in error.mistakes)


def datagram(data: bytes) -> None:
    """A report out of a queue, whole and in pieces."""
    try:
        decode(data)
    except WireError:
        pass
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for piece in split(data):
            ours.send(piece)
        ours.close()
        queue = Queue(theirs)
        for _ in range(64):
            try:
                queue.get()
            except WireError:
                continue
            except QueueBroken:
                break


def line(data: bytes) -> None:
    """A line of an audit file."""
    try:
        open_line(data)
    except WireError:
        pass


TARGETS: dict[str, Callable[[bytes], None]] = {
    "http": http,
    "http_tcp": http_tcp,
    "frames": frames,
    "stream": stream,
    "answer": answer,
    "venue": venue,
    "record": record,
    "snapshot": snapshot,
    "toml": toml,
    "datagram": datagram,
    "line": line,
}

"""The scripted exchange, a process of its own: HTTP `/info` and WebSocket `/ws` on one loopback port.

It does as little as it can for each fill, so that what is measured is who listens: one thread, one
selector, frames made once for all who hear them. The time of a fill is taken just before the first socket
gets it (CLOCK_MONOTONIC, which all processes of a machine share). It is told what to do over a pipe.
"""

import base64
import hashlib
import multiprocessing
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import orjson

from tests.bench.answers import KNOWN, OF_FILLS, PRICES, STATES, Answers, Refused
from tests.bench.market import Market, Row

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GREETING = b"Websocket connection established."


@dataclass(frozen=True, slots=True)
class Script:
    """What the exchange holds: its accounts, each with `positions` open ones, and so many coins."""

    addresses: tuple[str, ...]
    positions: int = 1
    coins: int = 1


@dataclass(frozen=True, slots=True)
class Fills:
    """Make `count` fills over all accounts, one a message, one each `interval_s`; 0: at once."""

    count: int
    interval_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """From now on let all coins move `hz` times a second; 0 ends it."""

    hz: float


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A server's frame: not masked."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack(">BBQ", 0x80 | opcode, 127, size) + payload


@dataclass(eq=False, slots=True)
class _Client:
    sock: socket.socket
    data: bytearray = field(default_factory=bytearray)
    is_websocket: bool = False
    subscriptions: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class _Work:
    """Fills that are still to be made, and what was sent so far: (trade id, nanoseconds)."""

    left: int
    interval_s: float
    due_s: float
    sent: list[tuple[int, int]] = field(default_factory=list)


class _Exchange:
    def __init__(self, script: Script, pipe: Connection) -> None:
        self._market = Market(script.addresses, positions=script.positions, coin_count=script.coins)
        self._answers = Answers(self._market)
        self._traded = self._market.coins[: max(1, script.positions)]
        self._pipe = pipe
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, _Client] = {}
        self._work: _Work | None = None
        self._made = 0
        self._price_s: float | None = None
        self._price_due_s = self._state_due_s = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(pipe, selectors.EVENT_READ)
        self.asked: dict[str, int] = {}

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._wait_s()):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._pipe:
                    if not self._told():
                        return
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(self._clients[key.fileobj])
            self._do_what_is_due()

    def _wait_s(self) -> float:
        due_s = self._state_due_s
        if self._price_s is not None:
            due_s = min(due_s, self._price_due_s)
        if self._work is not None:
            due_s = min(due_s, self._work.due_s)
        return max(0.0, due_s - time.monotonic())

    def _do_what_is_due(self) -> None:
        now_s = time.monotonic()
        if self._work is not None and now_s >= self._work.due_s:
            self._make_fills(self._work)
        if self._price_s is not None and now_s >= self._price_due_s:
            self._price_due_s = max(self._price_due_s + self._price_s, now_s)
            self._market.move_marks(self._market.coins)
            self._tell(PRICES, lambda one, ms: self._answers.prices(one, self._market.marks, ms))
        if now_s >= self._state_due_s:
            self._state_due_s = max(self._state_due_s + 1.0, now_s)
            self._tell(STATES, self._answers.state)
            if self._price_s is None:  # a stream of prices that says nothing would be taken for silent
                self._tell(("fastAssetCtxs",), lambda one, ms: self._answers.prices(one, (), ms))

    # -------------------------------------------------------------- what it is told

    def _told(self) -> bool:
        """Whether to go on."""
        try:
            order = self._pipe.recv()
        except EOFError:
            return False
        match order:
            case Fills(count=count, interval_s=interval_s):
                self._work = _Work(count, interval_s, time.monotonic())
            case Prices(hz=hz):
                self._price_s = 1 / hz if hz else None
                self._price_due_s = time.monotonic()
                self._pipe.send(None)
            case "asked":
                self._pipe.send(dict(self.asked))
            case _:
                return False
        return True

    def _make_fills(self, work: _Work) -> None:
        if not work.interval_s:
            burst = [self._next_fill() for _ in range(work.left)]
            for address, row, frames in burst:
                self._send_fill(work, address, row, frames)
            work.left = 0
        else:
            self._send_fill(work, *self._next_fill())
            work.left -= 1
            work.due_s = max(work.due_s + work.interval_s, time.monotonic())
        if not work.left:
            self._pipe.send(work.sent)
            self._work = None

    def _next_fill(self) -> tuple[str, Row, dict[str, bytes]]:
        """Coin after coin, account after account; two buys, then a sell."""
        accounts = list(self._market.accounts)
        address = accounts[self._made % len(accounts)]
        turn = self._made // len(accounts)
        coin, lots = self._traded[turn % len(self._traded)], -1 if turn // len(self._traded) % 3 == 2 else 1
        self._made += 1
        row = self._market.fill(address, coin, lots, time.time_ns() // 1_000_000)
        data: dict[str, Any] = {
            "userFills": {"user": address, "fills": [row]},
            "userEvents": {"fills": [row]},
            "orderUpdates": [_order(row)],
        }
        channels = {"userEvents": "user"}
        return (
            address,
            row,
            {
                kind: frame(orjson.dumps({"channel": channels.get(kind, kind), "data": data[kind]}))
                for kind in OF_FILLS
            },
        )

    def _send_fill(self, work: _Work, address: str, row: Row, frames: dict[str, bytes]) -> None:
        heard_by = [
            (client.sock, frames[one["type"]])
            for client in self._clients.values()
            for one in client.subscriptions
            if one["type"] in frames and one.get("user", "").lower() == address
        ]
        work.sent.append((row["tid"], time.monotonic_ns()))
        for sock, payload in heard_by:
            self._send(sock, payload)

    def _tell(self, kinds: tuple[str, ...], make: Callable[[Row, int], Row | None]) -> None:
        """Make each message once for all who have the same subscription."""
        now_ms = time.time_ns() // 1_000_000
        made: dict[bytes, bytes | None] = {}
        for client in list(self._clients.values()):
            for one in client.subscriptions:
                if one["type"] not in kinds:
                    continue
                key = orjson.dumps(one, option=orjson.OPT_SORT_KEYS)
                if key not in made:
                    row = make(one, now_ms)
                    made[key] = None if row is None else frame(orjson.dumps(row))
                if (payload := made[key]) is not None:
                    self._send(client.sock, payload)

    # ------------------------------------------------------------------- its sockets

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[sock] = _Client(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, client: _Client) -> None:
        try:
            data = client.sock.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._drop(client.sock)
            return
        client.data += data
        while client.sock in self._clients:
            if not (self._next_message(client) if client.is_websocket else self._next_request(client)):
                return

    def _drop(self, sock: socket.socket) -> None:
        if self._clients.pop(sock, None) is not None:
            self._selector.unregister(sock)
            sock.close()

    def _send(self, sock: socket.socket, payload: bytes) -> None:
        """Blocks while the peer's window is full: who does not read holds the exchange up, and is seen."""
        try:
            sock.sendall(payload)
        except OSError:
            self._drop(sock)

    def _next_request(self, client: _Client) -> bool:
        """Answer one HTTP request; False while it is not whole."""
        head, separator, rest = client.data.partition(b"\r\n\r\n")
        if not separator:
            return False
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (row.partition(":") for row in lines[1:])
        }
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return False
        body, client.data = bytes(rest[:size]), bytearray(rest[size:])
        if "sec-websocket-key" in headers:
            digest = hashlib.sha1(
                headers["sec-websocket-key"].encode() + MAGIC, usedforsecurity=False
            ).digest()
            accept = base64.b64encode(digest)
            self._send(
                client.sock,
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + frame(GREETING),
            )
            client.is_websocket = True
            return True
        status, kind, answer = self._answer(body)
        self._send(
            client.sock,
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
            + answer,
        )
        return True

    def _answer(self, body: bytes) -> tuple[str, str, bytes]:
        try:
            ask = orjson.loads(body)
            self._count(ask)
            return (
                "200 OK",
                "application/json",
                orjson.dumps(self._answers.info(ask, time.time_ns() // 1_000_000)),
            )
        except (Refused, orjson.JSONDecodeError):
            text = b"Failed to deserialize the JSON body into the target type"
            return "422 Unprocessable Entity", "text/plain", text

    def _count(self, ask: Any) -> None:
        kind = str(ask.get("type")) if isinstance(ask, dict) else "?"
        self.asked[kind] = self.asked.get(kind, 0) + 1

    def _next_message(self, client: _Client) -> bool:
        """Take one of the client's frames, which are masked and short; False while none is whole."""
        data = client.data
        if len(data) < 6:
            return False
        size, begin = data[1] & 0x7F, 2
        if size == 126:
            size, begin = int.from_bytes(data[2:4], "big"), 4
        if len(data) < begin + 4 + size:
            return False
        mask, opcode = data[begin : begin + 4], data[0] & 0x0F
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[begin + 4 : begin + 4 + size]))
        del data[: begin + 4 + size]
        if opcode == 8:
            self._drop(client.sock)
        elif opcode == 9:
            self._send(client.sock, frame(payload, 10))
        elif opcode == 1:
            self._said(client, payload)
        return True

    def _said(self, client: _Client, payload: bytes) -> None:
        said = orjson.loads(payload)
        method, one = said.get("method"), said.get("subscription")
        if method == "ping":
            self._send(client.sock, frame(b'{"channel":"pong"}'))
        elif method == "subscribe" and one.get("type") in KNOWN:
            self._count({"type": f"ws {one['type']}"})
            self._send(client.sock, frame(orjson.dumps({"channel": "subscriptionResponse", "data": said})))
            first = self._answers.first(one)
            now_ms = time.time_ns() // 1_000_000
            if one["type"] in PRICES:
                first = self._answers.prices(one, self._market.marks, now_ms)
            elif one["type"] in STATES:
                first = self._answers.state(one, now_ms)
            if first is not None:
                self._send(client.sock, frame(orjson.dumps(first)))
            client.subscriptions.append(one)
        elif method == "unsubscribe":
            client.subscriptions = [held for held in client.subscriptions if held != one]
            self._send(client.sock, frame(orjson.dumps({"channel": "subscriptionResponse", "data": said})))
        else:
            text = f"Error parsing JSON into valid websocket request: {payload.decode()}"
            self._send(client.sock, frame(orjson.dumps({"channel": "error", "data": text})))


def _order(row: Row) -> Row:
    order = {
        "coin": row["coin"],
        "side": row["side"],
        "limitPx": row["px"],
        "sz": "0.0",
        "oid": row["oid"],
        "timestamp": row["time"],
        "origSz": row["sz"],
    }
    return {"order": order, "status": "filled", "statusTimestamp": row["time"]}


def _process(script: Script, pipe: Connection) -> None:
    exchange = _Exchange(script, pipe)
    pipe.send(exchange.port)
    exchange.run()


class Exchange:
    """The other end of the pipe: a running exchange, as a context manager."""

    def __init__(self, script: Script) -> None:
        self.script = script
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_process, args=(script, theirs), name="exchange", daemon=True)
        self._process.start()
        theirs.close()
        port = self._pipe.recv()
        self.api_url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()

    def fills(self, count: int, interval_s: float = 0.0) -> dict[int, int]:
        """Make them and wait for the last one to be sent: when each was sent (ns), by trade id, in order."""
        self._pipe.send(Fills(count, interval_s))
        return dict(self._pipe.recv())

    def prices(self, hz: float) -> None:
        """Let all coins move so many times a second from now on."""
        self._pipe.send(Prices(hz))
        self._pipe.recv()

    def asked(self) -> dict[str, int]:
        """How often each type of request and subscription came."""
        self._pipe.send("asked")
        found: dict[str, int] = self._pipe.recv()
        return found

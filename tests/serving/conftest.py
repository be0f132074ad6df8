"""A small language for the tests: a server in this thread, clients on real sockets, a clock by hand."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hlposmon.serving.messages import Handover, Limits, Peer, Refusal, Request, Response, Upgrade
from hlposmon.serving.server import Server


class Clock:
    """Real time, and the seconds a test has added to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Echo:
    """A session that answers what it hears, and remembers what happened to it."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.events: list[str] = []
        self.heard: list[str | bytes] = []

    def opened(self, peer: Peer) -> None:
        self.peers.append(peer)
        self.events.append("opened")

    def received(self, peer: Peer, message: str | bytes) -> None:
        self.heard.append(message)
        if message == "raise":
            raise RuntimeError("the session was asked to")
        peer.send(message)

    def drained(self, peer: Peer) -> None:
        self.events.append("drained")

    def closed(self, peer: Peer) -> None:
        self.peers.remove(peer)
        self.events.append("closed")

    def idle(self, peer: Peer) -> None:
        self.events.append("idle")
        peer.send("still here")


class Shop:
    """An application: /ws is a WebSocket, the rest answers with what it was asked."""

    def __init__(self) -> None:
        self.session = Echo()
        self.requests: list[Request] = []
        self.taken: list[socket.socket] = []

    def respond(self, request: Request) -> Response | Upgrade | Handover:
        self.requests.append(request)
        if request.path in ("/ws", "/only-websocket"):
            return Upgrade(self.session)
        if request.path == "/raise":
            raise RuntimeError("the application was asked to")
        if request.path == "/take":
            return Handover(self.taken.append)
        if request.path == "/big":
            return Response(200, b"x" * 3_000_000, "text/plain")
        return Response(200, f"{request.method} {request.path} {len(request.body)}".encode(), "text/plain")

    def refuse(self, status: int, message: str) -> Response:
        return Response(status, message.encode(), "text/plain")


class Client:
    """A raw client socket whose reading lets the server run meanwhile."""

    def __init__(self, host: "Host", sock: socket.socket) -> None:
        self.host = host
        self.sock = sock
        self.read = b""
        self.ended = False

    def send(self, data: bytes) -> "Client":
        """Send all of it, letting the server run; what it no longer takes is not sent."""
        view = memoryview(data)
        deadline = time.monotonic() + 5
        while view and time.monotonic() < deadline:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                self.host.server.step()
            except OSError:
                break
        self.host.server.step()
        return self

    def get(self, path: str, *headers: str) -> "Client":
        lines = [f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def upgrade(self) -> "Client":
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        self.get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
        self.until(lambda: b"\r\n\r\n" in self.read)
        head, _, self.read = self.read.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return self

    def listen(self) -> None:
        """Take what has come, once."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.read += data
        self.ended = self.ended or not data

    def until(self, wanted: Callable[[], bool]) -> "Client":
        def look() -> bool:
            self.listen()
            return wanted()

        self.host.until(look)
        return self

    def until_text(self, text: bytes) -> bytes:
        self.until(lambda: text in self.read)
        return self.read

    def until_ended(self) -> bytes:
        self.until(lambda: self.ended)
        return self.read


class Host:
    """The server under test."""

    def __init__(self, where: Path, limits: Limits, *, tcp: bool = False) -> None:
        self.clock = Clock()
        self.app = Shop()
        self.refusals: list[Refusal] = []
        self.tell: Callable[[Refusal], object] = self.refusals.append
        self.server = Server(self.app, limits, clock=self.clock, refused=self._tell)
        self.listener = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self.listener.bind(("127.0.0.1", 0) if tcp else str(where))
        self.listener.listen(1024)
        self.server.listen(self.listener)
        self.clients: list[Client] = []

    def _tell(self, refusal: Refusal) -> None:
        self.tell(refusal)

    def client(self) -> Client:
        sock = socket.socket(self.listener.family)
        sock.connect(self.listener.getsockname())
        sock.setblocking(False)
        self.clients.append(Client(self, sock))
        self.server.step()
        return self.clients[-1]

    def until(self, wanted: Callable[[], bool], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not wanted():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.server.step(0.005)

    def later(self, seconds: float) -> None:
        """Let the clock run, and the server notice."""
        self.clock.ahead += seconds
        self.server.step()

    def close(self) -> None:
        self.server.close()
        self.listener.close()
        for client in self.clients:
            client.sock.close()
        for sock in self.app.taken:
            sock.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """`host(max_connections=3)`: a server with these limits on a Unix socket; `tcp=True` for TCP."""
    hosts: list[Host] = []

    def start(*, tcp: bool = False, **limits: float) -> Host:
        bounds = Limits(**limits)  # type: ignore[arg-type]
        hosts.append(Host(tmp_path / f"s{len(hosts)}", bounds, tcp=tcp))
        return hosts[-1]

    yield start
    for one in hosts:
        with contextlib.suppress(OSError):
            one.close()

"""The interface between an application and the server: frozen facts and three small protocols.

The server calls the application, one call at a time, always from `Server.step`; the application
answers at once, or keeps a `Peer` and sends later. Nothing here reads, writes or waits.
An exception out of an application's method is logged once, costs its client the connection or a
500, and never ends the loop.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hlposmon.serving.callers import Refusal
from hlposmon.serving.frames import text_frame
from hlposmon.serving.limits import Limits

__all__ = [
    "App",
    "Handover",
    "Limits",
    "Peer",
    "Refusal",
    "Request",
    "Response",
    "Session",
    "Upgrade",
    "text_frame",
]


@dataclass(frozen=True, slots=True)
class Request:
    """One whole HTTP request. Header names are lower case; repeated headers are joined by a comma.

    `path` is percent-decoded and without the query; of a query name given twice the last one counts.
    `peer_pid` and `peer_uid` come from the kernel (SO_PEERCRED), on Unix sockets only.
    """

    method: str
    target: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer_pid: int | None = None
    peer_uid: int | None = None

    @property
    def is_upgrade(self) -> bool:
        """Whether this is a WebSocket handshake, which `App.respond` may answer with an Upgrade."""
        tokens = [token.strip() for token in self.headers.get("connection", "").lower().split(",")]
        wanted = self.headers.get("upgrade", "").strip().lower()
        return self.method == "GET" and "upgrade" in tokens and wanted == "websocket"


@dataclass(frozen=True, slots=True)
class Response:
    """One whole HTTP answer. Content-Length and, where it ends, Connection are added by the server.

    `reason` is for the log, where the answer refuses a call.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""


class Peer(Protocol):
    """One open WebSocket. Every method returns at once, and none raises because of what the client did."""

    @property
    def request(self) -> Request:
        """The handshake that opened it."""

    @property
    def buffered(self) -> int:
        """Bytes that wait because the client does not read them."""

    def send(self, payload: str | bytes) -> None:
        """Send one text message; bytes must be UTF-8. A peer is closed with 1013 once more bytes wait for it
        than `max_buffer_bytes` plus the size of the largest frame sent to it."""

    def send_frame(self, frame: bytes) -> None:
        """Send a frame made by `text_frame`; its bytes may be shared between peers."""

    def cut_off(self) -> None:
        """Close with 1013 because it reads too slowly. Frames not yet begun are dropped."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame after what is buffered; the connection ends within `close_timeout_s`."""

    def abort(self) -> None:
        """End the connection now, without a close frame (on TCP, by a reset)."""

    def pause(self) -> None:
        """Read nothing from the client, not even its pings, until `resume`."""

    def resume(self) -> None:
        """Read again, beginning with what the client sent meanwhile."""


class Session(Protocol):
    """The application's side of one WebSocket. `opened` comes first and `closed` last, each exactly once."""

    def opened(self, peer: Peer) -> None:
        """The handshake was answered: messages may be sent."""

    def received(self, peer: Peer, message: str | bytes) -> None:
        """One whole message; text comes as str."""

    def drained(self, peer: Peer) -> None:
        """Everything has been sent, after some of it had to wait."""

    def closed(self, peer: Peer) -> None:
        """The connection is gone, whoever ended it. Sending to the peer does nothing from now on."""

    def idle(self, peer: Peer) -> None:
        """Nothing was sent to the peer for `keepalive_s`."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The answer that accepts a WebSocket handshake; `session` handles the connection."""

    session: Session


@dataclass(frozen=True, slots=True)
class Handover:
    """No answer: the server forgets the socket, and `take` owns it from now on.

    For a program that must misbehave on purpose, such as a simulated exchange.
    """

    take: Callable[[socket.socket], None]


class App(Protocol):
    """The application: the only thing that knows what a path means."""

    def respond(self, request: Request) -> Response | Upgrade | Handover:
        """Answer at once. An Upgrade for a request that asked for none becomes a 426."""

    def refuse(self, status: int, message: str) -> Response:
        """The answer to a request that the server itself turns away (400, 408, 413, 426, 431, 500, 503)."""

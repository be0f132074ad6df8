"""The public socket: HTTP and WebSocket over `serving`, in the contract's paths. It decides nothing.

What to say comes from a Source; what is worth sending is published here once encoded, the same bytes
for every client. A client that does not read is cut off, never waited for.
What a client has not been sent yet waits in what is kept for all, and nowhere else: behind that it is
who was away, who reads slowly, and, when so many listen that to send to each would keep the publisher
from its work, everybody. They are sent all that they lack at once, in the turns of `step`.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from hlposmon.errors import WireError
from hlposmon.serving.access import GUARDS, Access
from hlposmon.serving.messages import (
    Limits,
    Peer,
    Refusal,
    Request,
    Response,
    Session,
    Upgrade,
    text_frame,
)
from hlposmon.serving.server import Server
from hlposmon.wire.text import dumps, loads

SUMMARY = "/api/v1/positions/summary"
HEALTH = "/api/v1/positions/health"
STREAM = "/api/v1/positions/stream"
WORKERS = "/api/v1/workers"
METRICS = "/metrics"
PATHS = (SUMMARY, HEALTH, STREAM, WORKERS, METRICS)

# What a client may come back for with ?since=: the last so many messages, or bytes of them.
REPLAY_MESSAGES = 4096
REPLAY_BYTES = 4 << 20
# So long may sending keep a publisher busy between two steps, and a step busy with those who are behind.
PUBLISH_S = 0.01
CATCH_UP_S = 0.02
SLICE_BYTES = 16 * 1024  # of what a client lacks, at once
_PING = text_frame(dumps({"type": "ping"}))
_CODES = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timed_out",
    413: "too_large",
    426: "upgrade_required",
    431: "headers_too_large",
    500: "internal",
    501: "not_implemented",
    503: "unavailable",
    505: "version_not_supported",
}


class Source(Protocol):
    """Where the answers come from: the tracker."""

    @property
    def seq(self) -> int: ...

    def summary(self, account: str | None) -> dict[str, Any] | None: ...

    def health(self) -> dict[str, Any]: ...

    def workers(self) -> dict[str, Any]: ...

    def metrics(self, accept: str) -> tuple[str, bytes]: ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the server has done since it began, and what it holds now. `requests` by path (those that are
    none in one) and status."""

    clients: int
    connections: int
    cut_off: int
    replay_messages: int
    replay_bytes: int
    requests: dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Published:
    """One message of the stream, encoded once in each form. `event` and `account` are for filters."""

    seq: int
    event: str
    account: str
    frame: bytes
    compact: bytes


Wanted = tuple[bool, frozenset[str], frozenset[str]]
Slices = dict[tuple[int, Wanted], tuple[int, bytes]]


@dataclass(slots=True)
class _Client:
    """What one client of the stream asked for; `sent_seq` is how far it has come while it is behind."""

    peer: Peer
    compact: bool
    sent_seq: int | None = None
    events: frozenset[str] = frozenset()
    accounts: frozenset[str] = field(default_factory=frozenset)
    asked: int = 0  # summaries that it is to be sent once it has come so far

    @property
    def wanted(self) -> Wanted:
        """The same for clients that are sent the same."""
        return self.compact, self.events, self.accounts

    def frame(self, message: Published) -> bytes:
        """What it is sent of a message; empty when it does not want it."""
        if self.events and message.event not in self.events:
            return b""
        if self.accounts and message.account not in self.accounts:
            return b""
        return message.compact if self.compact else message.frame


class PublicServer:
    """The application behind the socket. `step` it when `fileno` is readable, and a few times a second."""

    def __init__(
        self,
        source: Source,
        limits: Limits | None = None,
        *,
        access: Access | None = None,
        refused: Callable[[Refusal], None] | None = None,
    ) -> None:
        """`access` says which web pages may read over TCP; `refused` hears of every call turned away."""
        self._source = source
        self._access = access or Access()
        self._server = Server(self, limits or Limits(), refused=refused)
        self._clients: dict[Peer, _Client] = {}
        self._abreast: dict[Peer, _Client] = {}  # those who were sent all
        self._behind: dict[Peer, _Client] = {}
        self._busy_s = 0.0  # with sending, since the last step
        self._replay: deque[Published] = deque()
        self._replay_bytes = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self.listen, self.fileno = self._server.listen, self._server.fileno

    @property
    def traffic(self) -> Traffic:
        server = self._server
        return Traffic(
            clients=len(self._clients),
            connections=server.connections,
            cut_off=server.cut_off,
            replay_messages=len(self._replay),
            replay_bytes=self._replay_bytes,
            requests=dict(self._requests),
        )

    def publish(
        self, seq: int, event: str, account: str, body: dict[str, Any], compact: dict[str, Any]
    ) -> None:
        """Send one message to every client that wants it, and keep it for those who come back."""
        message = Published(seq, event, account, text_frame(dumps(body)), text_frame(dumps(compact)))
        self._replay.append(message)
        self._replay_bytes += len(message.frame) + len(message.compact)
        while len(self._replay) > REPLAY_MESSAGES or self._replay_bytes > REPLAY_BYTES:
            gone = self._replay.popleft()
            self._replay_bytes -= len(gone.frame) + len(gone.compact)
        began_s = time.monotonic()
        until_s = began_s + PUBLISH_S - self._busy_s
        for client in list(self._abreast.values()):
            if client.peer.buffered or time.monotonic() >= until_s:
                self._fall_behind(client, seq - 1)
            elif frame := client.frame(message):
                client.peer.send_frame(frame)
        self._busy_s += time.monotonic() - began_s

    def step(self, timeout: float = 0.0) -> None:
        """Wait at most `timeout` seconds, hear who speaks, and send on to those who are behind."""
        self._server.step(timeout)
        self._busy_s = 0.0
        until_s = time.monotonic() + CATCH_UP_S
        slices: Slices = {}
        for client in list(self._behind.values()):
            self._catch_up(client, slices)
            if time.monotonic() >= until_s:
                self._server.ring()
                return

    def close(self) -> None:
        self._server.close()

    # ---------------------------------------------------------------- the app

    def respond(self, request: Request) -> Response | Upgrade:
        answer = self._admit(request)
        status = answer.status if isinstance(answer, Response) else 101
        # The names of paths that are none are the client's to choose: they are not remembered.
        self._requests[request.path if request.path in PATHS else "other", status] += 1
        return answer

    def _admit(self, request: Request) -> Response | Upgrade:
        if (refused := self._access.refusal(request)) is not None:
            return self.refuse(403, refused)
        answer = self._access.preflight(request) or self._answer(request)
        if isinstance(answer, Upgrade):
            return answer
        plain = tuple(header for header in answer.headers if header not in GUARDS)
        return replace(answer, headers=plain + self._access.grants(request))

    def _answer(self, request: Request) -> Response | Upgrade:
        if request.path not in PATHS:
            return self.refuse(404, f"no such path: {request.path[:200]}; there are {', '.join(PATHS)}")
        if request.method != "GET":
            message = f"{request.method[:20]} is not allowed: nothing here can be changed"
            return replace(self.refuse(405, message), headers=(("Allow", "GET"),))
        if request.body:
            return self.refuse(413, "no request here takes a body")
        if request.path == STREAM:
            return self._stream(request)
        if request.path == SUMMARY:
            return self._summary(request.query.get("account"))
        if request.path == HEALTH:
            health = self._source.health()
            return Response(200 if health["status"] in ("healthy", "degraded") else 503, dumps(health))
        if request.path == WORKERS:
            return Response(200, dumps(self._source.workers()))
        content_type, body = self._source.metrics(request.headers.get("accept", ""))
        return Response(200, body, content_type=content_type)

    def refuse(self, status: int, message: str) -> Response:
        body = dumps({"error": {"code": _CODES.get(status, "error"), "message": message}})
        return Response(status, body, headers=GUARDS, reason=message)

    def _summary(self, account: str | None) -> Response:
        summary = self._source.summary(account)
        if summary is None:
            return self.refuse(404, f"no account is named {str(account)[:64]!r}")
        return Response(200, dumps(summary))

    def _stream(self, request: Request) -> Response | Upgrade:
        if not request.is_upgrade:
            answer = self.refuse(426, "the stream is a WebSocket: ask for an upgrade")
            return replace(answer, headers=(("Upgrade", "websocket"),))
        since = request.query.get("since")
        if since is not None and not (since.isascii() and since.isdigit() and len(since) < 19):
            return self.refuse(400, f"since is a sequence number, not {since[:40]!r}")
        return Upgrade(_Stream(self, since=None if since is None else int(since)))

    # ------------------------------------------------------------- the streams

    def welcome(self, peer: Peer, since: int | None) -> None:
        """Greet a new client: what it missed, or the whole state."""
        client = _Client(peer, compact=peer.request.query.get("compact") == "1")
        client.events = _listed(peer.request.query.get("events"))
        client.accounts = _listed(peer.request.query.get("accounts"))
        self._clients[peer] = self._abreast[peer] = client
        if since is not None and self._reaches_back_to(since):
            self._fall_behind(client, since)
            self._catch_up(client, {})
            return
        self._send_state(peer, "initial_state")

    def drained(self, peer: Peer) -> None:
        """What was sent to a client is gone: send on what it lacks."""
        if (client := self._behind.get(peer)) is not None:
            self._catch_up(client, {})

    def farewell(self, peer: Peer) -> None:
        for clients in (self._clients, self._abreast, self._behind):
            clients.pop(peer, None)

    def _fall_behind(self, client: _Client, sent_seq: int) -> None:
        del self._abreast[client.peer]
        self._behind[client.peer] = client
        client.sent_seq = sent_seq

    def _come_abreast(self, client: _Client) -> None:
        del self._behind[client.peer]
        self._abreast[client.peer] = client
        client.sent_seq = None
        asked, client.asked = client.asked, 0
        for _ in range(asked):
            self._send_state(client.peer, "summary")

    def _catch_up(self, client: _Client, slices: Slices) -> None:
        """Send on what the client lacks, until something has to wait; at its end it is sent what is new.

        `slices` has what was put together for others who have come as far and want the same.
        """
        while client.sent_seq is not None:
            if client.sent_seq == self._source.seq:
                self._come_abreast(client)
                return
            if not self._reaches_back_to(client.sent_seq):
                client.peer.cut_off()
                return
            if client.peer.buffered:
                return
            name = client.sent_seq, client.wanted
            if name not in slices:
                slices[name] = self._slice(client)
            client.sent_seq, frames = slices[name]
            if frames:
                client.peer.send_frame(frames)

    def _slice(self, client: _Client) -> tuple[int, bytes]:
        """What comes next for it, many frames in one piece, and up to which message."""
        frames, size, sent_seq = [], 0, client.sent_seq or 0
        for message in islice(self._replay, sent_seq + 1 - self._replay[0].seq, None):
            frames.append(client.frame(message))
            sent_seq, size = message.seq, size + len(frames[-1])
            if size >= SLICE_BYTES:
                break
        return sent_seq, b"".join(frames)

    def hear(self, peer: Peer, raw: str | bytes) -> None:
        """Do what a client asks; anything else is answered with an error."""
        try:
            asked = loads(raw)
        except WireError as error:
            return _complain(peer, str(error))
        action = asked.get("action") if isinstance(asked, dict) else None
        if action == "ping":
            return peer.send(dumps({"type": "pong"}))
        if action == "get_summary":
            client = self._clients[peer]
            client.asked += 1  # what comes after it is newer than it: who is behind is answered later
            if client.sent_seq is None:
                self._fall_behind(client, self._source.seq)
            return self._catch_up(client, {})
        if action == "subscribe":
            return self._subscribe(peer, asked)
        return _complain(peer, "an action is wanted: get_summary, ping or subscribe")

    def _subscribe(self, peer: Peer, asked: dict[str, Any]) -> None:
        events, accounts = asked.get("events", []), asked.get("accounts", [])
        if not (_is_texts(events) and _is_texts(accounts)):
            return _complain(peer, "events and accounts are lists of text")
        client = self._clients[peer]
        client.events, client.accounts = frozenset(events), frozenset(accounts)
        return peer.send(
            dumps({"type": "subscribed", "events": sorted(events), "accounts": sorted(accounts)})
        )

    def _send_state(self, peer: Peer, kind: str) -> None:
        summary = self._source.summary(None) or {}
        peer.send(dumps({"type": kind, **summary, "seq": self._source.seq}))

    def _reaches_back_to(self, since: int) -> bool:
        if since == self._source.seq:
            return True
        return bool(self._replay) and self._replay[0].seq <= since + 1 <= self._source.seq


class _Stream(Session):
    """One WebSocket of the stream."""

    def __init__(self, server: PublicServer, *, since: int | None) -> None:
        self._server, self._since = server, since

    def opened(self, peer: Peer) -> None:
        self._server.welcome(peer, self._since)

    def received(self, peer: Peer, message: str | bytes) -> None:
        self._server.hear(peer, message)

    def drained(self, peer: Peer) -> None:
        self._server.drained(peer)

    def closed(self, peer: Peer) -> None:
        self._server.farewell(peer)

    def idle(self, peer: Peer) -> None:
        peer.send_frame(_PING)


def _complain(peer: Peer, message: str) -> None:
    peer.send(dumps({"type": "error", "message": message}))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(isinstance(item, str) for item in value)


def _listed(text: str | None) -> frozenset[str]:
    return frozenset(part for part in (text or "").split(",") if part)

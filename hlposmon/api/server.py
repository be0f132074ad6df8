"""The public socket: HTTP and WebSocket on the paths of docs/api.md, on top of `serving`. It decides nothing.

A Source gives the answers; Subscribers holds the stream's clients and the messages kept for them.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hlposmon.api.subscribers import Listener, Subscribers
from hlposmon.domain.moments import moment_ms
from hlposmon.errors import HistoryUnread, WireError
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
from hlposmon.text import dumps, loads

SUMMARY = "/api/v1/positions/summary"
HEALTH = "/api/v1/positions/health"
STREAM = "/api/v1/positions/stream"
WORKERS = "/api/v1/workers"
LEDGER = "/api/v1/ledger"
METRICS = "/metrics"
PATHS = (SUMMARY, HEALTH, STREAM, WORKERS, LEDGER, METRICS)

TURN_S = 0.02  # time budget of one step for subscribers that lag
LAST_TURN_S = 0.3  # time budget at the end for messages that clients still lack
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
    """Gives the answers; the tracker implements it. Dicts are for `text.dumps`."""

    def now_ms(self) -> int:
        """Return the wall clock in Unix milliseconds."""

    def summary(self, account: str | None) -> dict[str, Any] | None:
        """Return the summary of all accounts or of one; None if that one is not watched."""

    def health(self) -> dict[str, Any]:
        """Return the health, all reasons for it, and the ages it was judged by."""

    def ledger(self, account: str | None, since_ms: int | None, until_ms: int | None) -> dict[str, Any]:
        """Return where the equity of each dex came from between the two times, of one account or of all.
        Raises HistoryUnread where the history cannot be read."""

    def workers(self) -> dict[str, Any]:
        """Return the state of the processes and their use of the exchange's rate limits."""

    def metrics(self, accept: str, traffic: "Traffic") -> tuple[str, bytes]:
        """Return the content type, chosen by the Accept header `accept`, and the metrics encoded in it."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of the server since it started, and what it holds now.

    `clients` are open streams, `connections` all open connections. `cut_off` counts clients that were closed
    because they did not read. `requests` counts by path (all unknown ones as "other") and status.
    """

    clients: int
    connections: int
    cut_off: int
    replay_messages: int
    replay_bytes: int
    requests: dict[tuple[str, int], int]


class PublicServer:
    """The application behind the socket. `step` it when `fileno` is readable, and a few times a second."""

    def __init__(
        self,
        source: Source,
        subscribers: Subscribers,
        limits: Limits | None = None,
        *,
        access: Access | None = None,
        refused: Callable[[Refusal], None] | None = None,
    ) -> None:
        """`access` says which web pages may read over TCP; `refused` is called for every refused request."""
        self._source = source
        self._access = access or Access()
        self._server = Server(self, limits or Limits(), refused=refused)
        self._subscribers = subscribers
        self._requests: Counter[tuple[str, int]] = Counter()
        self.listen, self.unlisten = self._server.listen, self._server.unlisten
        self.fileno = self._server.fileno

    @property
    def traffic(self) -> Traffic:
        """The server's counters since it started, and what it holds now."""
        server = self._server
        return Traffic(
            clients=len(self._subscribers),
            connections=server.connections,
            cut_off=server.cut_off,
            replay_messages=self._subscribers.replay_messages,
            replay_bytes=self._subscribers.replay_bytes,
            requests=dict(self._requests),
        )

    def step(self, timeout: float = 0.0) -> None:
        """Wait at most `timeout` seconds for requests, handle them, and send to subscribers that are behind.

        Does not wait while the subscribers are owed messages.
        """
        self._server.step(0.0 if self._subscribers.is_owed else timeout)
        self._subscribers.flush(TURN_S)

    def close(self) -> None:
        """Send outstanding messages for up to LAST_TURN_S, then close all connections."""
        self._subscribers.flush(LAST_TURN_S)
        self._server.close()

    # ---------------------------------------------------------------- the app

    def respond(self, request: Request) -> Response | Upgrade:
        """Answer a request, and count it by path and status."""
        answer = self._admit(request)
        status = answer.status if isinstance(answer, Response) else 101
        # A client chooses the names of unknown paths: counting each would let it fill our memory.
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
        if request.path == LEDGER:
            return self._ledger(request.query)
        content_type, body = self._source.metrics(request.headers.get("accept", ""), self.traffic)
        return Response(200, body, content_type=content_type)

    def refuse(self, status: int, message: str) -> Response:
        """Return a JSON error with this status: `{"error": {"code": ..., "message": ...}}`."""
        body = dumps({"error": {"code": _CODES.get(status, "error"), "message": message}})
        return Response(status, body, headers=GUARDS, reason=message)

    def _summary(self, account: str | None) -> Response:
        summary = self._source.summary(account)
        if summary is None:
            return self.refuse(404, f"no account is named {str(account)[:64]!r}")
        return Response(200, dumps(summary))

    def _ledger(self, query: Mapping[str, str]) -> Response:
        times: dict[str, int | None] = {}
        for name in ("since", "until"):
            try:
                times[name] = moment_ms(query[name], self._source.now_ms()) if name in query else None
            except ValueError as error:
                return self.refuse(400, f"{name}: {error}")
        account = query.get("account")
        try:
            answer = self._source.ledger(account, times["since"], times["until"])
        except HistoryUnread as error:
            return self.refuse(503, str(error))
        return Response(200, dumps(answer))

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
        """Add a client to the stream: send what it missed after `since`, or the whole state."""
        query = peer.request.query
        filters = _listed(query.get("events")), _listed(query.get("accounts"))
        if not self._subscribers.join(Listener(peer, query.get("compact") == "1", *filters), since):
            self._send_state(peer, "initial_state")

    def drained(self, peer: Peer) -> None:
        """Note that a client's send buffer is empty, so that more can be sent."""
        self._subscribers.drained(peer)

    def farewell(self, peer: Peer) -> None:
        """Remove a client whose connection is closed."""
        self._subscribers.leave(peer)

    def hear(self, peer: Peer, raw: str | bytes) -> None:
        """Handle a client's message: get_summary, ping or subscribe; answer anything else with an error."""
        try:
            asked = loads(raw)
        except WireError as error:
            return _complain(peer, str(error))
        action = asked.get("action") if isinstance(asked, dict) else None
        if action == "ping":
            return peer.send(dumps({"type": "pong"}))
        if action == "get_summary":
            return self._subscribers.ask(peer, lambda listener: self._send_state(listener.peer, "summary"))
        if action == "subscribe":
            return self._subscribe(peer, asked)
        return _complain(peer, "an action is wanted: get_summary, ping or subscribe")

    def _subscribe(self, peer: Peer, asked: dict[str, Any]) -> None:
        events, accounts = asked.get("events", []), asked.get("accounts", [])
        if not (_is_texts(events) and _is_texts(accounts)):
            return _complain(peer, "events and accounts are lists of text")
        said = dumps({"type": "subscribed", "events": sorted(events), "accounts": sorted(accounts)})

        def subscribe(listener: Listener) -> None:
            listener.events, listener.accounts = frozenset(events), frozenset(accounts)
            listener.peer.send(said)

        return self._subscribers.ask(peer, subscribe)

    def _send_state(self, peer: Peer, kind: str) -> None:
        summary = self._source.summary(None) or {}
        peer.send(dumps({"type": kind, **summary, "seq": self._subscribers.seq}))


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

"""HTTP/1.1 on one connection, through h11: keep-alive, pipelining, bounds and deadlines.

One request at a time: the next one is not parsed until the kernel has taken the whole answer to this one,
so a client that asks without reading fills its own socket and not our memory. A request that breaks a bound
gets the application's `refuse` answer, and the connection ends.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, unquote

import h11

from hlposmon.serving.callers import plain
from hlposmon.serving.connection import Connection
from hlposmon.serving.messages import App, Handover, Request, Response, Upgrade

log = logging.getLogger(__name__)
MAX_QUERY_FIELDS = 64
REQUESTS_A_TURN = 16  # of one client that pipelines; then the others have their turn
WEBSOCKET_VERSION = "13"
OVERHEAD_BYTES = 4  # ": " and the line's end, for each header
# Statuses that count as a refused call. A 404 is a normal answer; a 503 may report the monitor's state.
REFUSALS = frozenset({400, 401, 403, 405, 408, 413, 414, 417, 421, 426, 431, 501, 505})


class HttpSide:
    """The server's end of HTTP on one connection, until it ends, becomes a WebSocket, or is handed over."""

    def __init__(
        self,
        connection: Connection,
        app: App,
        upgrade: Callable[[Connection, h11.Request, Request, Upgrade, bytes], None],
        hand_over: Callable[[Connection, Handover], None],
    ) -> None:
        self._connection = connection
        self._app = app
        self._upgrade = upgrade
        self._hand_over = hand_over
        self._limits: Final = connection.host.limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.max_header_bytes)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._begun_at = math.inf  # when the first byte of an unfinished request came
        self._idle_since = connection.host.clock()
        self._over = False

    def receive(self, data: bytes) -> None:
        """Parse more bytes, of one request or of several."""
        if not data:
            self._connection.finish()
            return
        if self._begun_at == math.inf:
            self._begun_at = self._connection.host.clock()
        self._h11.receive_data(data)
        self._advance()

    def drained(self) -> None:
        """The answer has been sent: go on with requests that arrived meanwhile."""
        self._idle_since = self._connection.host.clock()
        if self._begun_at != math.inf:  # it had to wait for the answer before it: its time starts now
            self._begun_at = self._idle_since
        self._connection.resume()
        self._advance()

    def proceed(self) -> None:
        """Go on with pipelined requests, in the next turn."""
        if self._begun_at != math.inf:  # the server made it wait: its time starts now
            self._begun_at = self._connection.host.clock()
        self._advance()

    def expire(self, now: float) -> None:
        """End a request that is not complete in time, and a connection that neither asks nor reads."""
        if self._connection.outbox:
            if now - self._connection.last_sent >= self._limits.idle_timeout_s:
                self._note(408, "the answer was not read")
                self._connection.drop()
        elif now - self._begun_at >= self._limits.header_timeout_s:
            self._refuse(408, "the request did not come to its end in time")
        elif self._begun_at == math.inf and now - self._idle_since >= self._limits.idle_timeout_s:
            self._connection.finish()

    def lost(self) -> None:
        """Nothing to do: no state outlives the connection."""

    def turn_away(self, status: int, message: str) -> None:
        """Refuse with this status, without asking the application for an answer, and end the connection."""
        if status not in REFUSALS:
            self._note(status, message)
        self._refuse(status, message)

    def _note(self, status: int, reason: str) -> None:
        self._connection.host.refused(self._connection, status, reason)

    def _advance(self) -> None:
        answered = 0
        while not self._over and not self._connection.dropped and not self._connection.finishing:
            if self._connection.outbox:
                self._connection.pause()
                return
            if answered >= REQUESTS_A_TURN:
                self._connection.hold()
                return
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, str(error))
                return
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._collect(event.data)
            elif isinstance(event, h11.EndOfMessage):
                answered += 1
                self._answer()
            else:  # NEED_DATA or PAUSED: nothing more can be said now
                if not self._h11.trailing_data[0] and self._head is None:
                    self._begun_at = math.inf
                return

    def _begin(self, head: h11.Request) -> None:
        size = len(head.target) + sum(len(n) + len(v) + OVERHEAD_BYTES for n, v in head.headers)
        self._head = head
        self._body = bytearray()
        if size > self._limits.max_header_bytes:
            self._refuse(431, "the request's header is too large")
            return
        if len(head.headers) > self._limits.max_headers:
            self._refuse(431, f"the request has more than {self._limits.max_headers} headers")
            return
        if head.http_version not in (b"1.0", b"1.1"):
            self._refuse(505, "HTTP/1.1 is spoken here")
            return
        named = {name for name, _ in head.headers}
        if {b"content-length", b"transfer-encoding"} <= named or (
            b"transfer-encoding" in named and head.http_version != b"1.1"
        ):
            self._refuse(400, "the request's length is told in two ways")  # RFC 9112, 6.1: smuggling
            return
        length = next((value for name, value in head.headers if name == b"content-length"), b"0")
        if int(length) > self._limits.max_body_bytes:
            self._refuse(413, "the request's body is too large")
        elif self._h11.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))

    def _collect(self, data: bytes | bytearray) -> None:
        if len(self._body) + len(data) > self._limits.max_body_bytes:
            self._refuse(413, "the request's body is too large")
        else:
            self._body += data

    def _answer(self) -> None:
        head = self._head
        assert head is not None, "a request ends after it began"
        self._idle_since = self._connection.host.clock()
        try:
            request = self._request(head)
        except ValueError as error:
            self._refuse(400, str(error))
            return
        if self._connection.host.tally.size > self._limits.max_buffered_bytes:
            self.turn_away(503, "too much waits to be read by other clients: try again")
            return
        answer = self._ask(request)
        if isinstance(answer, Handover):
            self._over = True
            self._hand_over(self._connection, answer)
        elif isinstance(answer, Upgrade) and request.is_upgrade and head.http_version != b"1.1":
            self._refuse(400, "a WebSocket begins with HTTP/1.1")  # RFC 6455, 4.1
        elif isinstance(answer, Upgrade) and request.is_upgrade and self._is_other_version(request):
            said = request.headers["sec-websocket-version"][:40]
            message = f"WebSocket version {WEBSOCKET_VERSION} is spoken here (RFC 6455), not {said}"
            self._refuse(426, message, ("Sec-WebSocket-Version", WEBSOCKET_VERSION))  # RFC 6455, 4.4
        elif isinstance(answer, Upgrade) and request.is_upgrade:
            self._over = True
            self._upgrade(self._connection, head, request, answer, self._h11.trailing_data[0])
        elif isinstance(answer, Upgrade):
            self._refuse(426, "this is a WebSocket: ask for an upgrade")
        else:
            self._respond(answer)

    @staticmethod
    def _is_other_version(request: Request) -> bool:
        return request.headers.get("sec-websocket-version", WEBSOCKET_VERSION).strip() != WEBSOCKET_VERSION

    def _request(self, head: h11.Request) -> Request:
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        target = head.target.decode("latin-1")
        path, _, query = target.partition("?")
        if not path.startswith(("/", "*")):  # http://host/path: that host counts (RFC 9112, 3.2.2)
            headers["host"], _, path = path.partition("://")[2].partition("/")
            path = "/" + path
        fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
        caller = self._connection.caller
        return Request(
            head.method.decode("latin-1"),
            target,
            unquote(path),
            fields,
            headers,
            bytes(self._body),
            caller.pid,
            caller.uid,
        )

    def _ask(self, request: Request) -> Response | Upgrade | Handover:
        try:
            return self._app.respond(request)
        except Exception:
            log.exception("no answer to %s %s", plain(request.method), plain(request.path))
            return self._refusal(500, "internal error")

    def _refusal(self, status: int, message: str) -> Response:
        try:
            return self._app.refuse(status, message)
        except Exception:
            log.exception("no refusal for %d", status)
            return Response(status, b"null")

    def _refuse(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        refusal = self._refusal(status, message)
        headers = (*refusal.headers, *headers)
        self._respond(replace(refusal, reason=refusal.reason or message, headers=headers), last=True)

    def _respond(self, answer: Response, *, last: bool = False) -> None:
        if answer.status in REFUSALS:
            self._note(answer.status, answer.reason or "refused")
        named = [("content-type", answer.content_type), ("content-length", str(len(answer.body)))]
        if last:
            named.append(("connection", "close"))
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in [*named, *answer.headers]]
        parts: list[h11.Event] = [h11.Response(status_code=answer.status, headers=headers)]
        if answer.body and (self._head is None or self._head.method != b"HEAD"):
            parts.append(h11.Data(data=answer.body))
        self._send(*parts, h11.EndOfMessage())
        self._head = None
        if last or self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            self._over = True
            self._connection.finish()
            return
        self._h11.start_next_cycle()
        waiting = bool(self._h11.trailing_data[0])
        self._begun_at = self._connection.host.clock() if waiting else math.inf

    def _send(self, *events: h11.Event) -> None:
        self._connection.write(b"".join(self._h11.send(event) or b"" for event in events))

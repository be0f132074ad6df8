"""Client of the monitor's socket, for other programs and the commands: requests with one deadline each.

Uses only light modules of the standard library: a health check must cost no more than what it checks.
Decimals stay the strings that the monitor sent; convert them with decimal.Decimal before computing.

    api = Api("/run/hlposmon/hlposmon.sock")
    print(api.summary()["total_pnl"])
    with api.stream() as messages:
        for message in messages: ...
"""

from __future__ import annotations

from collections.abc import Sequence

from hlposmon.client.connection import Connection, RequestRefused, attempt, json_object, refusal
from hlposmon.errors import WireError

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from hlposmon.client.websocket import Stream

__all__ = ["Api", "RequestRefused"]

POSITIONS = "/api/v1/positions"


class Api:
    """Requests to the monitor at one socket. Holds no connection; may be kept and shared between threads.

    Every request is answered within `timeout_s` seconds or raises TimedOut. A refused or reset connection is
    tried again within that time, because the monitor may be restarting one of its parts. All methods raise
    MonitorNotRunning, NotPermitted, TimedOut, WireError (the answer is not JSON), and RequestRefused (the
    monitor answered with an error).
    """

    def __init__(self, socket_path: str | PathLike[str], *, timeout_s: float = 2.0) -> None:
        self.socket_path = socket_path
        self.timeout_s = timeout_s

    def summary(self, account: str | None = None) -> dict[str, Any]:
        """Return the summary of all accounts, or of one; its fields are in docs/api.md.

        An account that is not watched raises RequestRefused (status 404).
        """
        if account is None:
            return self.ask(f"{POSITIONS}/summary")
        from urllib.parse import quote

        return self.ask(f"{POSITIONS}/summary?account={quote(account, safe='')}")

    def health(self) -> dict[str, Any]:
        """Return the monitor's health object, also when the monitor is unhealthy (HTTP status 503)."""
        status, answer = self.get(f"{POSITIONS}/health")
        if "status" not in answer:
            raise refusal(status, answer)
        return answer

    def workers(self) -> list[dict[str, Any]]:
        """Return one object per process: name, pid, state, restarts, ages in seconds, memory in bytes, ..."""
        workers = self.ask("/api/v1/workers").get("workers")
        if not isinstance(workers, list):
            raise WireError("the monitor's answer about its workers holds no list of them")
        return workers

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Request any path of the monitor; return the HTTP status and the JSON object. Raises no
        RequestRefused."""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        )

        def exchange(connection: Connection) -> tuple[int, bytes]:
            connection.send(request.encode("ascii"))
            status, fields = connection.head()
            return status, connection.body(fields)

        status, body = attempt(self.socket_path, self.timeout_s, exchange)
        return status, json_object(body)

    def ask(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path; any status but 200 raises RequestRefused."""
        status, answer = self.get(path)
        if status != 200:
            raise refusal(status, answer)
        return answer

    def stream(
        self,
        *,
        since: int | None = None,
        compact: bool = False,
        events: Sequence[str] = (),
        accounts: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Stream:
        """Open the stream: an iterator of JSON objects, to be used in a `with` statement.

        `since` resumes after the message with that seq. `compact` asks for the short form of messages.
        `events` and `accounts` restrict the messages; empty means all. `timeout_s` is the longest silence in
        seconds before TimedOut, after which the stream can still be read; None waits for ever. Connecting is
        limited by the time-out of this Api.
        """
        from hlposmon.client.websocket import Stream

        return Stream(
            self.socket_path,
            since=since,
            compact=compact,
            events=events,
            accounts=accounts,
            timeout_s=timeout_s,
            connect_timeout_s=self.timeout_s,
        )

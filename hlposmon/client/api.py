"""The monitor's socket for other programs and for the commands: questions with one deadline each.

Standard library alone, and of that nothing heavy: a health check must cost no more than it measures.
Decimals stay the strings that the monitor sent; who computes with them makes them Decimal.

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
    """Questions to the monitor at one socket. Holds no connection; safe to keep and to share.

    Every question is answered within `timeout_s` or raises TimedOut. While the monitor restarts one
    of its parts, a refused or reset connection is tried again within that time. Raises
    MonitorNotRunning, NotPermitted, TimedOut, WireError (no JSON came), RequestRefused (an error came).
    """

    def __init__(self, socket_path: str | PathLike[str], *, timeout_s: float = 2.0) -> None:
        self.socket_path = socket_path
        self.timeout_s = timeout_s

    def summary(self, account: str | None = None) -> dict[str, Any]:
        """All positions, or one account's; an account that is not watched raises RequestRefused (404)."""
        if account is None:
            return self.ask(f"{POSITIONS}/summary")
        from urllib.parse import quote

        return self.ask(f"{POSITIONS}/summary?account={quote(account, safe='')}")

    def health(self) -> dict[str, Any]:
        """The monitor's judgement of itself, also when it says unhealthy (status 503)."""
        status, answer = self.get(f"{POSITIONS}/health")
        if "status" not in answer:
            raise refusal(status, answer)
        return answer

    def workers(self) -> list[dict[str, Any]]:
        """One object for each process: name, kind, pid, state, restarts, ages in seconds, memory in bytes."""
        workers = self.ask("/api/v1/workers").get("workers")
        if not isinstance(workers, list):
            raise WireError("the monitor's answer about its workers holds no list of them")
        return workers

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of any path of the monitor's."""
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
        """The JSON object at a path; anything but status 200 raises RequestRefused."""
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
        """The stream of messages as an iterator of objects; use it in a `with`.

        `since` resumes after that seq. `events` and `accounts` narrow it. `timeout_s` is the longest
        silence to wait through for one message (TimedOut; the stream may then be asked again);
        None waits for ever. Connecting is limited by the timeout of this Api.
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

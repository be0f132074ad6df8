"""The simulated exchange: REST on /info, WebSocket on /ws, scripts on /control, on one loopback port.

Connects the parts and runs their loop. Only the listening socket and the time come from outside, and
nothing waits longer than `step` is told to.
"""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hlposmon.serving.messages import Handover, Limits, Request, Response, Upgrade
from hlposmon.serving.server import Server
from hlposmon.simulator import budget
from hlposmon.simulator.control import Control
from hlposmon.simulator.feed import Feed, encoded
from hlposmon.simulator.stage import Stage
from hlposmon.simulator.world import addresses

__all__ = ["Exchange", "Options", "addresses"]

DEFAULT_ACCOUNTS = 2
PUSH_S = 1.0  # prices move, and full states are sent
# A script may have a message of 100 MB sent.
LIMITS = Limits(
    max_buffer_bytes=160 << 20,
    max_buffered_bytes=1 << 30,
    max_body_bytes=4 << 20,
    max_message_bytes=64 * 1024,
    keepalive_s=60.0,
    idle_timeout_s=300.0,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What is simulated. The same seed and accounts give the same trades."""

    seed: int = 0
    accounts: tuple[str, ...] = ()  # 0x addresses; none: two of the seed's own
    coins: int = 6  # how many of the coins are traded; all are listed
    builder_coins: int = 0  # how many perpetuals of the builder's dex are traded
    pace: float = 1.0  # fills a real second over all accounts; 0: only what a script asks for
    limits: bool = True  # the venue's limits on weight, connections, users and messages
    speed: float = 1.0  # simulated seconds in a real one: times and funding, not the pace


class Exchange:
    """One exchange behind one listening socket, which its owner closes."""

    def __init__(
        self, options: Options, listener: socket.socket, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """The listener is bound and listening; `clock` counts seconds and never goes back."""
        named = tuple(address.lower() for address in options.accounts)
        self.accounts = named or addresses(options.seed, DEFAULT_ACCOUNTS)
        self._stage = Stage(
            options.seed,
            self.accounts,
            options.coins,
            options.pace,
            limits=options.limits,
            speed=options.speed,
            clock=clock,
            builder_coins=options.builder_coins,
        )
        self._control = Control(self._stage)
        self._push_at = self._stage.clock() + PUSH_S
        self._server = Server(self, LIMITS, clock=clock)
        self._server.listen(listener)

    def fileno(self) -> int:
        """Readable when a client has said something."""
        return self._server.fileno()

    def step(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for clients, then do what is due in the world."""
        stage = self._stage
        self._server.step(min(timeout, max(0.0, min(self._push_at, stage.due()) - stage.clock())))
        stage.advance()
        if stage.clock() >= self._push_at:
            self._push_at = stage.clock() + PUSH_S
            stage.world.walk()
            stage.hub.push(encoded)

    def close(self) -> None:
        """End every connection."""
        self._stage.faults.close()
        self._server.close()

    def respond(self, request: Request) -> Response | Upgrade | Handover:
        """Answer one request."""
        now = self._stage.clock()
        if request.path.startswith("/control"):
            return self._control.respond(request)
        if request.path == "/ws" and request.is_upgrade:
            return self._connect(now)
        if now < self._stage.refuse_rest_until:
            return Handover(socket.socket.close)
        if request.path != "/info":
            return Response(404, b"Not Found", "text/plain")
        if request.method != "POST":
            return Response(405, b"Method Not Allowed", "text/plain")
        return self._ask(request)

    def refuse(self, status: int, message: str) -> Response:
        """The answer to a request that the server itself refuses."""
        return Response(status, message.encode(), "text/plain")

    def _connect(self, now: float) -> Response | Upgrade | Handover:
        hub = self._stage.hub
        if now < self._stage.refuse_feeds_until:
            return Handover(socket.socket.close)
        if hub.budgets.enforced and len(hub.feeds) >= budget.CONNECTIONS:
            return Response(429, b"null")
        if not hub.budgets.allows(hub.budgets.connections, 1, now):
            return Response(429, b"null")
        return Upgrade(Feed(hub))

    def _ask(self, request: Request) -> Response | Handover:
        try:
            question: Any = json.loads(request.body)
        except ValueError:
            question = None
        status, answer = self._stage.hub.ask(question)
        fault = self._stage.faults.match(question.get("type") if isinstance(question, dict) else None)
        if fault is not None:
            return self._stage.faults.spoil(fault, answer)
        if isinstance(answer, str) and status != 200:
            return Response(status, answer.encode(), "text/plain; charset=utf-8")
        return Response(status, json.dumps(answer, separators=(",", ":")).encode())

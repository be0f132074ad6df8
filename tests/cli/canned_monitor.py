"""A canned monitor on a real Unix socket, and the command line against it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, unix_serve

from hlposmon.cli.main import program

HEALTH = {
    "status": "healthy",
    "running": True,
    "ready": True,
    "mode": "live",
    "reasons": [],
    "accounts": 1,
    "positions": 2,
    "ages_s": {"fills": 0.8, "prices": 0.4, "reconcile": 21.0},
    "verdicts": {"proven": 2},
    "restarts": 0,
    "unrealized_pnl": "12.34",
    "thresholds": {"fills": [5, 15], "prices": [5, 15], "reconcile": [120, 300]},
}

POSITION = {
    "key": "hyperliquid:Perp:BTC",
    "account": "main",
    "venue": "hyperliquid",
    "coin": "BTC",
    "symbol": "BTC-USD",
    "side": "long",
    "quantity": "0.15",
    "size": "0.15",
    "entry_price": "50166.66667",
    "mark_price": "51000",
    "unrealized_pnl": "125.00",
    "realized_pnl": "0",
    "fees": "3.76",
    "funding": "0",
    "total_pnl": "121.24",
    "notional_value": "7650.00",
    "leverage": "20",
    "margin_used": "382.5",
    "liquidation_price": None,
    "verdict": "proven",
    "verdict_reason": None,
    "proof": "fills",
    "as_of": "2025-01-01T00:02:55.000Z",
    "block": None,
    "last_fill_time": "2025-01-01T00:00:00.000Z",
    "is_flat": False,
}

TOTALS = {
    "active_positions": 1,
    "total_exposure": "7650.00",
    "total_pnl": "121.24",
    "realized_pnl": "0.00",
    "unrealized_pnl": "125.00",
}
SUMMARY = {
    "timestamp": "2025-01-01T00:03:00.000Z",
    "seq": 1042,
    "mode": "live",
    **TOTALS,
    "positions": {"BTC-USD": POSITION},
    "accounts": {"main": {**TOTALS, "equity": "10000.00"}},
    "feeds": {},
}


# A shell's background job would ignore SIGINT, and hand that down to all that it starts.
AS_A_PROCESS = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from hlposmon.cli.entry import main; main()"
)


class Monitor:
    """Answers by path; what is said on the stream is a test's to choose."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, tuple[int, object]] = {
            "/api/v1/positions/health": (200, HEALTH),
            "/api/v1/positions/summary": (200, SUMMARY),
        }
        self.requests: list[str] = []
        self.talk: Callable[[ServerConnection], None] = lambda client: None
        self._server: Any = None

    def start(self) -> None:
        self._server = unix_serve(self._talk, str(self.path), process_request=self._respond, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._thread.join(30)
            self._server = None
            self.path.unlink(missing_ok=True)

    def says(self, what: str, answer: object, status: int = 200) -> None:
        self.answers[f"/api/v1/{what}"] = (status, answer)

    def _talk(self, client: ServerConnection) -> None:
        self.talk(client)

    def _respond(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request.path)
        place = request.path.partition("?")[0]
        if place.endswith("/stream"):
            return None
        error = {"error": {"code": "not_found", "message": f"there is nothing at {place}"}}
        status, answer = self.answers.get(place, (404, error))
        return connection.respond(HTTPStatus(status), json.dumps(answer))


class Commands:
    """The command line in an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
            "HLPOSMON_SOCKET": str(folder / "s"),
            "PATH": os.environ["PATH"],
        }

    def run(self, *arguments: str, **environ: str) -> Result:
        """In this process."""
        gone = {name: None for name in os.environ if name not in self.environ}
        with_these = {**gone, **self.environ, **environ}
        return CliRunner().invoke(program, list(arguments), env=with_these)

    def start(
        self, *arguments: str, stdout: int = subprocess.PIPE, **environ: str
    ) -> "subprocess.Popen[str]":
        """As a process."""
        return subprocess.Popen(
            [sys.executable, "-c", AS_A_PROCESS, *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environ, **environ},
        )

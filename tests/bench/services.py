"""What is measured: a whole `hlposmon run` of any checkout, the relay, or another program.

Each is a tree of processes in a folder of its own, started on an exchange, waited for, looked at and ended.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench import processes
from tests.bench.exchange import Exchange
from tests.bench.market import coins

HERE = Path(__file__).resolve().parents[2]
READY_S = 60.0
SOCKET = "hlposmon.sock"


def addresses(count: int) -> tuple[str, ...]:
    """Made-up ones."""
    return tuple(f"0x{0xBE7C << 32 | number:040x}" for number in range(1, count + 1))


def get(path: Path, target: str, timeout_s: float = 10.0) -> tuple[int, bytes]:
    """One HTTP request over a Unix socket: status and body."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(str(path))
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := sock.recv(1 << 18):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


class Service:
    """A tree of processes in a folder of its own, with a Unix socket for its clients.

    `talks`: a descriptor that it inherits; such a process is spoken to over its standard streams.
    """

    def __init__(
        self, command: list[str], folder: Path, environ: dict[str, str], *, talks: int | None = None
    ) -> None:
        self.folder = folder
        self.socket = folder / SOCKET
        self._log = (folder / "output").open("wb")
        self.began_s = time.monotonic()
        self._names: dict[int, str] | None = None
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL if talks is None else subprocess.PIPE,
            stdout=self._log if talks is None else subprocess.PIPE,
            stderr=self._log,
            text=True,
            pass_fds=() if talks is None else (talks,),
        )
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write((self.folder / "output").read_text(errors="replace")[-4000:])
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_up(self) -> bool:
        """Whether a client may connect and would be told all that comes."""
        raise NotImplementedError

    def wait(self) -> float:
        """Until it is up: seconds since it was started."""
        while not self._looks_up():
            assert self._process.poll() is None, f"it ended with {self._process.returncode}"
            assert time.monotonic() - self.began_s < READY_S, f"not up within {READY_S:g} s"
            time.sleep(0.02)
        took_s = time.monotonic() - self.began_s
        self._names = self.names()
        return took_s

    def in_callback(self) -> dict[int, int]:
        """When its own callback had the fills since the last call (ns), by trade id; empty without one."""
        return {}

    def _looks_up(self) -> bool:
        try:
            return self.is_up()
        except (OSError, ValueError, IndexError):
            return False

    def names(self) -> dict[int, str]:
        """What the processes are for, by pid."""
        return {self.pid: "main"}

    def cpu(self) -> dict[int, float]:
        return processes.cpu_of(self.pid)

    def by_name(self, figures: dict[int, float]) -> dict[str, float]:
        """Figures by pid as figures by name. The names are those of the start: asking costs a connection."""
        names, found = self._names or self.names(), dict[str, float]()
        for pid, figure in figures.items():
            name = names.get(pid) or (
                "resource tracker" if "resource_tracker" in processes.command(pid) else "other"
            )
            found[name] = found.get(name, 0.0) + figure
        return found


class Monitor(Service):
    """`hlposmon run` in live mode, two feeds of fills, fsync batch; proven when it is up."""

    def __init__(
        self, exchange: Exchange, checkout: Path = HERE, *, feeds: int = 2, fsync: str = "batch"
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix="hlposmon-bench-"))
        accounts = "".join(
            f'[[venues.hyperliquid.accounts]]\nname = "a{number}"\naddress = "{address}"\n'
            for number, address in enumerate(exchange.script.addresses)
        )
        config = folder / "hlposmon.toml"
        config.write_text(
            f"[venues.hyperliquid]\nenabled = true\nfill_feeds = {feeds}\n{accounts}"
            f'[audit]\nfsync = "{fsync}"\n'
        )
        command = [
            str(interpreter(checkout)), "-m", "hlposmon", "run", "--plain", "--config", str(config),
            "--socket", str(folder / SOCKET),
            "--state-dir", str(folder / "state"), "--log-dir", str(folder / "log"),
            "--api-url", exchange.api_url, "--ws-url", exchange.ws_url,
        ]  # fmt: skip
        super().__init__(command, folder, _environ(folder, checkout))

    def is_up(self) -> bool:
        status, body = get(self.socket, "/api/v1/positions/health")
        return status == 200 and json.loads(body).get("ready") is True

    def names(self) -> dict[int, str]:
        found = {self.pid: "supervisor"}
        for row in self.workers():
            if row.get("pid"):
                found[row["pid"]] = row["name"]
        return found

    def workers(self) -> list[dict[str, Any]]:
        _, body = get(self.socket, "/api/v1/workers")
        rows: list[dict[str, Any]] = json.loads(body)["workers"]
        return rows


class Relay(Service):
    """The two processes that prove nothing."""

    def __init__(self, exchange: Exchange) -> None:
        folder = Path(tempfile.mkdtemp(prefix="hlposmon-bench-"))
        path = str(folder / SOCKET)
        command = [
            sys.executable,
            "-m",
            "tests.bench.relay",
            exchange.ws_url,
            path,
            exchange.script.addresses[0],
        ]
        self._exchange = exchange
        super().__init__(command, folder, _environ(folder, HERE))

    def is_up(self) -> bool:
        return self.socket.exists() and self._exchange.asked().get("ws fastAssetCtxs", 0) > 0

    def names(self) -> dict[int, str]:
        return {pid: ("feed" if pid != self.pid else "server") for pid in processes.tree(self.pid)}


class Program(Service):
    """Another program: a script of `tests.bench.peers`, whose callback tells the clients of a Unix socket."""

    def __init__(self, module: str, exchange: Exchange, command: list[str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="hlposmon-bench-"))
        script = exchange.script
        held = ",".join(coins(script.positions))
        self._exchange = exchange
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / SOCKET))
            listener.listen()
            arguments = [exchange.api_url, exchange.ws_url, script.addresses[0], held, str(listener.fileno())]
            environ = _environ(folder, HERE)
            whole = [*command, "-m", module, *arguments]
            super().__init__(whole, folder, environ, talks=listener.fileno())

    def wait(self) -> float:
        assert self.stdout is not None, "it talks"
        ready, _, _ = select.select([self.stdout], [], [], READY_S)
        said = self.stdout.readline() if ready else "nothing"
        assert said == "ready\n", f"it said {said!r}, not that it is ready"
        return super().wait()

    def is_up(self) -> bool:
        asked = self._exchange.asked()
        return any(asked.get(f"ws {kind}") for kind in ("userFills", "userEvents"))

    def in_callback(self) -> dict[int, int]:
        assert self.stdin is not None and self.stdout is not None, "it talks"
        self.stdin.write("fills\n")
        self.stdin.flush()
        return dict(json.loads(self.stdout.readline()))


def interpreter(checkout: Path) -> Path:
    """The checkout's own venv where it has one, else ours."""
    own = checkout / ".venv/bin/python"
    return own if own.exists() else Path(sys.executable)


def _environ(folder: Path, checkout: Path) -> dict[str, str]:
    """Nothing of ours but what finds programs: the environment configures the monitor."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(checkout),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
    }

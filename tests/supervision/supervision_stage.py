"""The small language of these tests: a supervisor that runs here, and a script that it is played by.

A script is a generator; each `yield` lets the supervisor turn once more. When the script ends the
supervisor is asked to stop by a real SIGTERM. Children are real processes.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.heartbeat import Board, RowView
from hlposmon.supervision.supervisor import Policy, Supervisor
from hlposmon.supervision.systemd import Notifier

QUICK = Policy(
    backoff_s=0.05,
    backoff_max_s=0.2,
    healthy_s=60.0,
    silent_s=1.5,
    abort_grace_s=0.3,
    starting_s=10.0,
    stop_grace_s=0.3,  # many of them are deaf
    stop_total_s=1.0,
    flap_limit=3,
    turn_s=0.02,
)
OBEYED = {"stop_grace_s": 10.0, "stop_total_s": 30.0}
Script = Iterator[None]


class Stage:
    """A supervisor and its board; `run` plays a script on it and returns the exit status."""

    def __init__(self, *specs: ChildSpec, policy: Policy = QUICK, **wishes: Any) -> None:
        self.board = wishes.pop("board", None) or Board([spec.name for spec in specs])
        self.supervisor = Supervisor(
            specs,
            self.board,
            policy=replace(policy, **wishes.pop("patience", {})),
            notifier=wishes.pop("notifier", None) or Notifier(),
            on_tick=self._tick,
            **wishes,
        )
        self._script: Script = iter(())
        self._over = False
        self._failure: BaseException | None = None
        self.final: dict[str, RowView] = {}

    def run(self, script: Callable[["Stage"], Script]) -> int:
        self._script = script(self)
        status = self.supervisor.run()
        self.final = {row.name: row for row in self.board.rows()}
        self.board.close()
        if self._failure is not None:
            raise self._failure
        return status

    def _tick(self) -> None:
        if self._over:
            return
        try:
            next(self._script)
        except StopIteration:
            self._end()
        except BaseException as failure:  # noqa: BLE001 - kept for the test, which raises it
            self._failure = failure
            self._end()

    def _end(self) -> None:
        self._over = True
        os.kill(os.getpid(), signal.SIGTERM)

    def row(self, name: str) -> RowView:
        return next(row for row in self.board.rows() if row.name == name)

    def states(self) -> dict[str, str]:
        return {row.name: row.state for row in self.board.rows()}

    def until(self, condition: Callable[[], object], within_s: float = 30.0) -> Script:
        """Let the supervisor turn until the condition holds."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {within_s} s in vain; children: {self.board.rows()}"
            yield

    def all_up(self, within_s: float = 30.0) -> Script:
        yield from self.until(lambda: set(self.states().values()) == {"up"}, within_s)

    def for_s(self, seconds: float) -> Script:
        """Let the supervisor turn for a while; only to show that something does not happen."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield


class Manager:
    """Stands where systemd stands: a datagram socket, and all that was said on it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.all_heard: list[str] = []

    def heard(self) -> list[str]:
        """What was said since this was last asked."""
        said = []
        try:
            while True:
                said.append(self._socket.recv(4096).decode("ascii"))
        except BlockingIOError:
            self.all_heard += said
            return said

    def close(self) -> None:
        self._socket.close()


def lines(diary: Path) -> list[str]:
    return diary.read_text().splitlines() if diary.exists() else []


def descriptors() -> set[str]:
    """What this process holds open."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain"
        time.sleep(0.01)

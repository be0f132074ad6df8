"""A child: what it should run, its present state, and since when. Only the supervisor changes it.

`ChildSpec` is the wanted state, `Child` the actual one. `supervision.forking` makes its process.
Never in here: policy, or what a child works at.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from hlposmon.pacing import Backoff
from hlposmon.supervision import heartbeat
from hlposmon.supervision.entry import enter
from hlposmon.supervision.forking import exit_code, fork
from hlposmon.supervision.heartbeat import Row
from hlposmon.supervision.logs import LogSettings, fields
from hlposmon.supervision.states import Event, State, after

log = logging.getLogger(__name__)


class HasDescriptor(Protocol):
    """A socket, or what else stands for a descriptor."""

    def fileno(self) -> int: ...


@dataclass(frozen=True)
class ChildSpec:
    """What to run: `target(pulse, *args)`, with what the arguments are at the moment of the start.

    `keeps` are the descriptors among the arguments: every other one is closed in the child.

    Lower `stop_rank`s are stopped first. `reload` says what a reload does to it: a new process, a SIGHUP,
    or nothing. `silent_s` of None takes the policy's. A reload stops a serving `guard` only once the other
    wanted guards of its kind serve, so that they are replaced one after another.
    """

    name: str
    target: Callable[..., None]
    args: tuple[Any, ...] = ()
    keeps: tuple[HasDescriptor, ...] = ()
    stop_rank: int = 0
    reload: Literal["respawn", "signal", "keep"] = "respawn"
    silent_s: float | None = None
    kind: str = ""
    guard: bool = False


class Child:
    """One child and its present process, if any. Times are seconds of CLOCK_MONOTONIC."""

    def __init__(self, spec: ChildSpec, row: Row, backoff: Backoff, *, at_boot: bool) -> None:
        self.spec = spec
        self.row = row
        self.backoff = backoff
        self.wanted = True
        self.outdated = False  # its process runs an older spec: it must go, and a new one come
        self.at_boot = at_boot  # not yet proven: a bad configuration found now is the service's
        self.state = State.DOWN
        self.since = 0.0  # when it came into this state
        self.deadline = 0.0  # when BACKOFF is due, or ABORTING and STOPPING overdue
        self.restarts = 0
        self.restarted_at: deque[float] = deque()
        self.flapping = False
        self.pid: int | None = None  # its process, while there is one that has not been reaped
        row.label(spec.kind)

    @property
    def name(self) -> str:
        """The spec's name, which never changes."""
        return self.spec.name

    @property
    def serving(self) -> bool:
        """Whether it does what it is there for, as it says itself."""
        return self.state is State.UP and self.row.serving

    @property
    def leaving(self) -> bool:
        """Whether its process has to go."""
        return not self.wanted or self.outdated

    def step(self, event: Event, now: float) -> None:
        """Let `event` happen; Impossible, and nothing changed, when it cannot."""
        state = after(self.state, event)
        log.debug("child changed", extra=fields(child=self.name, was=self.state.name, now=state.name))
        self.state = state
        self.since = now
        self.row.write(heartbeat.STATE, state)

    def start(self, settings: LogSettings) -> bool:
        """Start a process for a child that is STARTING; False when the system refused to."""
        assert self.state is State.STARTING and self.pid is None
        self.outdated = False
        self.row.starting()
        spec = self.spec
        work = partial(enter, spec.name, self.row, os.getpid(), settings, spec.target, spec.args)
        try:
            self.pid = fork(work, name=spec.name, keeping=[kept.fileno() for kept in spec.keeps])
        except OSError as error:
            log.error("cannot start a process", extra=fields(child=self.name, error=error))
            return False
        self.row.write(heartbeat.PID, self.pid)
        return True

    def reap(self) -> int | None:
        """The exit code of a process that has ended, whose last traces are then gone; else None."""
        code = exit_code(self.pid) if self.pid is not None else None
        if code is not None:
            self.pid = None
            self.row.exited(code)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process. It is not reaped yet, so the pid cannot be anyone else's."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def renew(self, spec: ChildSpec) -> None:
        """A reload has a new spec for it; what that does to the process is the spec's
        choice. A process whose spec is what it was is left alone."""
        assert spec.name == self.name
        changed = (spec.target, spec.args) != (self.spec.target, self.spec.args)
        self.spec = spec
        self.row.label(spec.kind)
        if spec.reload == "respawn" and changed:
            self.outdated = True
            self.backoff.reset()
        elif spec.reload == "signal":
            self.send(signal.SIGHUP)

    def count_restart(self, now: float) -> deque[float]:
        """One more; the times of all that are remembered, oldest first."""
        self.restarts += 1
        self.row.write(heartbeat.RESTARTS, self.restarts)
        self.restarted_at.append(now)
        return self.restarted_at

    def mark_flapping(self, *, flapping: bool) -> None:
        """Say on the board whether it keeps dying."""
        self.flapping = flapping
        self.row.write(heartbeat.FLAPPING, int(flapping))

    def quiet_s(self, now: float, awake_since: float) -> float:
        """How long it has not beaten while the supervisor was watching."""
        beat = self.row.beat_ns / heartbeat.NS
        return now - max(beat, awake_since, self.since if self.state is State.STARTING else 0.0)

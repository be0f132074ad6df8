"""One supervised process: `ChildSpec` is the wanted state, `Child` the actual one.

Only the supervisor changes a child. `supervision.forking` creates the process, `supervision.states` says
which transitions exist, and `supervision.roster` decides when to make them.
Never in here: policy, or the work of a child.
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
    """Anything with a file descriptor, for example a socket."""

    def fileno(self) -> int: ...


@dataclass(frozen=True)
class ChildSpec:
    """What to run: `target(pulse, *args)`, with the values that the arguments have when the process starts.

    `keeps` are the objects whose descriptors the child keeps; it closes all others. Children with a lower
    `stop_rank` are stopped first. `reload` says how a reload treats the process: replace it if `target` or
    `args` changed, send it SIGHUP, or leave it alone. `silent_s` is the longest time between two beats in
    seconds; None means the policy's. A reload stops a serving `guard` only once the other wanted guards of
    its `kind` serve, so that guards are replaced one at a time.
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
    """One child and its current process, if any. Times are seconds of CLOCK_MONOTONIC."""

    def __init__(self, spec: ChildSpec, row: Row, backoff: Backoff, *, at_boot: bool) -> None:
        self.spec = spec
        self.row = row
        self.backoff = backoff
        self.wanted = True
        self.outdated = False  # its process runs an older spec and must be replaced
        self.at_boot = at_boot  # not healthy yet since boot: exit status 78 now stops the whole service
        self.state = State.DOWN
        self.since = 0.0  # when it entered this state
        self.deadline = 0.0  # when BACKOFF ends, or when ABORTING or STOPPING is overdue
        self.restarts = 0
        self.restarted_at: deque[float] = deque()
        self.flapping = False
        self.pid: int | None = None  # None once the process has been reaped
        row.label(spec.kind)

    @property
    def name(self) -> str:
        """The spec's name, which never changes."""
        return self.spec.name

    @property
    def serving(self) -> bool:
        """Whether it is UP and reports that it serves (`Pulse.serves`)."""
        return self.state is State.UP and self.row.serving

    @property
    def leaving(self) -> bool:
        """Whether its process must end: the child is not wanted, or its process is outdated."""
        return not self.wanted or self.outdated

    def step(self, event: Event, now: float) -> None:
        """Apply `event` at `now`. Raises Impossible, and changes nothing, if the state does not allow it."""
        state = after(self.state, event)
        log.debug("child changed", extra=fields(child=self.name, was=self.state.name, now=state.name))
        self.state = state
        self.since = now
        self.row.write(heartbeat.STATE, state)

    def start(self, settings: LogSettings) -> bool:
        """Fork a process for a child that is STARTING. Return False, and log why, if the fork failed."""
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
        """Reap the process if it has ended and return its exit code (`forking.exit_code`); else None."""
        code = exit_code(self.pid) if self.pid is not None else None
        if code is not None:
            self.pid = None
            self.row.exited(code)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process, if any. An unreaped pid cannot have been reused."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def renew(self, spec: ChildSpec) -> None:
        """Take the spec of a reload and treat the process as `spec.reload` says.

        A "respawn" child is replaced only if its target or arguments changed.
        """
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
        """Count a restart. Return the remembered restart times, oldest first; the caller drops old ones."""
        self.restarts += 1
        self.row.write(heartbeat.RESTARTS, self.restarts)
        self.restarted_at.append(now)
        return self.restarted_at

    def mark_flapping(self, *, flapping: bool) -> None:
        """Record, here and on the board, whether the child keeps dying."""
        self.flapping = flapping
        self.row.write(heartbeat.FLAPPING, int(flapping))

    def quiet_s(self, now: float, awake_since: float) -> float:
        """Seconds since the last beat, counted only while the supervisor itself was awake (`awake_since`).

        A STARTING child counts from its start.
        """
        beat = self.row.beat_ns / heartbeat.NS
        return now - max(beat, awake_since, self.since if self.state is State.STARTING else 0.0)

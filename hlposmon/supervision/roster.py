"""All children, and the operations on them that the supervisor's loop calls in turn.

Each operation visits every child once and never blocks. This module compares wanted and actual state; the
supervisor handles signals and systemd. Invariant: a rank is stopped only when every lower rank has exited or
was killed.
"""

import logging
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hlposmon.pacing import Backoff
from hlposmon.supervision.child import Child, ChildSpec
from hlposmon.supervision.forking import signal_of
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.logs import LogSettings, fields
from hlposmon.supervision.states import Event, State

EXIT_NOT_STARTED = 71  # sysexits(3) EX_OSERR: the fork failed
# Poll intervals for awaited events that no signal reports: a first beat, and a guard that starts to serve.
FIRST_BEAT_LOOK_S, RELIEF_LOOK_S = 0.02, 0.1
KILLED_S = 1.0  # how long `end_all` waits for the processes that it has killed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """Limits of the supervisor, in seconds except `flap_limit` (restarts within `flap_window_s`).

    `silent_s` is the longest time between beats of a child that is UP, `starting_s` the longest until its
    first beat. `abort_grace_s` is the time from SIGABRT to SIGKILL. After `healthy_s` UP, a child's backoff
    is reset.
    """

    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    healthy_s: float = 60.0
    silent_s: float = 8.0
    abort_grace_s: float = 2.0
    starting_s: float = 20.0
    stop_grace_s: float = 4.0  # for one rank
    stop_total_s: float = 8.0  # for all ranks: slow ones share what is left of it
    flap_limit: int = 5
    flap_window_s: float = 60.0
    handover_s: float = 15.0  # longest wait of a leaving guard for the other guards of its kind to serve
    turn_s: float = 1.0  # longest sleep of the loop


class Roster:
    """All children by name. `now` is CLOCK_MONOTONIC in seconds."""

    def __init__(
        self, specs: Sequence[ChildSpec], board: Board, policy: Policy, settings: LogSettings
    ) -> None:
        self._board = board
        self._policy = policy
        self._settings = settings
        self._children: dict[str, Child] = {}
        self._stop_by: float | None = None
        self._handover_by: dict[str, float] = {}  # by kind of guard
        _check_names(specs)
        for spec in specs:
            self._adopt(spec, at_boot=True)

    def apply(self, specs: Sequence[ChildSpec]) -> None:
        """Make `specs` the wanted children, after a reload. Raises ValueError, and changes nothing, for two
        equal names or if the board has no room."""
        _check_names(specs)
        names = {spec.name for spec in specs}
        self._board.check_room(names - self._children.keys())
        for child in self._children.values():
            child.at_boot = False
            child.wanted = child.name in names
        self._handover_by.clear()
        for spec in specs:
            if spec.name in self._children:
                self._children[spec.name].renew(spec)
            else:
                self._adopt(spec, at_boot=False)

    def want_none(self, stop_by: float) -> None:
        """Stop all children, rank by rank. Those left at `stop_by` (monotonic seconds) are killed."""
        self._stop_by = stop_by
        for child in self._children.values():
            child.wanted = False
            if child.state is State.STOPPING:
                child.deadline = min(child.deadline, stop_by)

    def reap(self, now: float) -> list[tuple[Child, int]]:
        """Reap the children that ended, and return each with its exit code (`forking.exit_code`)."""
        exits = []
        for child in self._children.values():
            code = child.reap()
            if code is not None:
                self._exited(child, code, now)
                exits.append((child, code))
        return exits

    def notice_beats(self, now: float) -> None:
        """Mark a child UP at its first beat; after `healthy_s` clear its backoff, flapping and `at_boot`."""
        for child in self._children.values():
            if child.state is State.STARTING and child.row.beat_ns:
                child.step(Event.BEAT, now)
                log.info("child up", extra=fields(child=child.name, pid=child.pid))
            elif child.state is State.UP and now - child.since >= self._policy.healthy_s:
                child.at_boot = False
                child.backoff.reset()
                child.mark_flapping(flapping=False)

    def kill_silent(self, now: float, awake_since: float) -> None:
        """Send SIGABRT to children that have not beaten for too long; `kill_overdue` sends SIGKILL later."""
        for child in self._children.values():
            if child.state not in (State.STARTING, State.UP):
                continue
            quiet_s = child.quiet_s(now, awake_since)
            if quiet_s >= self._silent_s(child):
                log.error(
                    "child silent: aborting it", extra=fields(child=child.name, silent_s=round(quiet_s, 1))
                )
                child.step(Event.SILENT, now)
                child.deadline = now + self._policy.abort_grace_s
                child.send(signal.SIGABRT)
                child.send(signal.SIGCONT)  # a stopped process writes its traceback only once it continues

    def retire(self, now: float) -> None:
        """Send SIGTERM to the leaving children of the lowest rank that still runs; outdated ones come before
        unwanted ones.

        Example: on shutdown the workers (rank 0) get SIGTERM at once, the tracker (rank 1) once every
        worker has exited or was sent SIGKILL, and the history (rank 2) likewise after the tracker.
        """
        going = [child for child in self._children.values() if child.leaving]
        going.sort(key=lambda child: not child.wanted)
        for child in going:
            if child.state is State.BACKOFF:
                child.step(Event.UNWANTED, now)
            elif child.state is State.ABORTING:
                child.step(Event.UNWANTED, now)
                child.send(signal.SIGKILL)
        living = [c for c in going if c.state in (State.STARTING, State.UP, State.STOPPING)]
        ranks = sorted({child.spec.stop_rank for child in living})
        grace_s = self._policy.stop_grace_s
        if self._stop_by is not None and ranks:
            grace_s = min(grace_s, max(0.0, self._stop_by - now) / len(ranks))
        for child in living:
            first = child.spec.stop_rank == ranks[0] and child.state is not State.STOPPING
            if first and self._may_go(child, now):
                child.step(Event.UNWANTED, now)
                child.deadline = now + grace_s
                child.send(signal.SIGTERM)

    def _may_go(self, child: Child, now: float) -> bool:
        """Whether the child may be stopped now. Always, except that on a reload a serving guard waits until
        the other wanted guards of its kind serve, or `handover_s` is over."""
        kind = child.spec.kind
        if self._stop_by is not None or not child.spec.guard or not child.serving:
            return True
        awaited = [
            other.name
            for other in self._children.values()
            if other.spec.guard and other.spec.kind == kind and other.wanted and not other.serving
        ]
        if awaited and now < self._handover_by.setdefault(kind, now + self._policy.handover_s):
            return False
        if awaited:
            log.warning("not relieved in time", extra=fields(child=child.name, by=",".join(awaited)))
        self._handover_by[kind] = now + self._policy.handover_s
        return True

    def kill_overdue(self, now: float) -> None:
        """SIGKILL those that did not end in time after SIGABRT or SIGTERM."""
        for child in self._children.values():
            if child.state in (State.ABORTING, State.STOPPING) and now >= child.deadline:
                log.error(
                    "child overdue: killing it", extra=fields(child=child.name, was=child.state.name.lower())
                )
                child.step(Event.OVERDUE, now)
                child.send(signal.SIGKILL)

    def start_due(self, now: float) -> None:
        """Start the wanted children that are down and due; forget the unwanted ones that are down."""
        for child in list(self._children.values()):
            if not child.wanted:
                if child.state is State.DOWN and self._stop_by is None:
                    self._board.release(child.name)
                    del self._children[child.name]
            elif child.state is State.DOWN:
                child.step(Event.WANTED, now)
                self._start(child, now)
            elif child.state is State.BACKOFF and now >= child.deadline:
                child.step(Event.DUE, now)
                self._count_restart(child, now)
                self._start(child, now)

    def end_all(self) -> None:
        """Kill and reap every process that still runs, waiting up to KILLED_S. The supervisor's last step."""
        running = [child for child in self._children.values() if child.pid is not None]
        for child in running:
            child.send(signal.SIGKILL)
        give_up_s = time.monotonic() + KILLED_S
        while running and time.monotonic() < give_up_s:
            running = [child for child in running if child.reap() is None]
            time.sleep(0.005 if running else 0.0)

    def all_down(self) -> bool:
        """Whether no child has a process or waits for a restart."""
        return all(child.state is State.DOWN for child in self._children.values())

    def missing(self) -> list[str]:
        """Names of the wanted children that are not UP, or that still run an outdated process."""
        return [
            c.name for c in self._children.values() if c.wanted and (c.outdated or c.state is not State.UP)
        ]

    def counts(self) -> tuple[int, int]:
        """(UP, wanted): how many of the wanted children are UP, and how many are wanted."""
        wanted = [child for child in self._children.values() if child.wanted]
        return sum(child.state is State.UP for child in wanted), len(wanted)

    def is_under_control(self, now: float) -> bool:
        """Whether systemd's watchdog may be fed: no wanted child is flapping, and no process has survived
        SIGKILL for longer than the policy's `silent_s`."""
        for child in self._children.values():
            if child.wanted and child.flapping:
                return False
            if child.state is State.KILLING and now - child.since > self._policy.silent_s:
                return False  # SIGKILL does not end it, for example in an uninterruptible system call
        return True

    def nap_s(self, now: float, awake_since: float) -> float:
        """Seconds until the next timer can fire, at most `turn_s`. Exits and signals wake the loop anyway."""
        waits = [self._policy.turn_s, *(self._wait_s(c, now, awake_since) for c in self._children.values())]
        return max(0.0, min(waits))

    def _wait_s(self, child: Child, now: float, awake_since: float) -> float:
        """Seconds until a timer of this child can fire."""
        if child.state in (State.BACKOFF, State.ABORTING, State.STOPPING):
            return child.deadline - now
        if child.state is State.STARTING:
            return FIRST_BEAT_LOOK_S
        if child.state is not State.UP:
            return self._policy.turn_s
        silent_in_s = self._silent_s(child) - child.quiet_s(now, awake_since)
        return min(silent_in_s, RELIEF_LOOK_S) if child.leaving else silent_in_s

    def _silent_s(self, child: Child) -> float:
        """How many seconds the child may stay silent in its present state."""
        if child.state is State.STARTING:
            return self._policy.starting_s
        return child.spec.silent_s or self._policy.silent_s

    def _adopt(self, spec: ChildSpec, *, at_boot: bool) -> None:
        try:
            row = self._board.row(spec.name)
        except KeyError:
            row = self._board.assign(spec.name)
        backoff = Backoff(self._policy.backoff_s, self._policy.backoff_max_s)
        self._children[spec.name] = Child(spec, row, backoff, at_boot=at_boot)

    def _start(self, child: Child, now: float) -> None:
        if not child.start(self._settings):
            child.row.exited(EXIT_NOT_STARTED)
            self._exited(child, EXIT_NOT_STARTED, now)

    def _exited(self, child: Child, code: int, now: float) -> None:
        was, named = child.state.name.lower(), signal_of(code)
        was_asked = child.state is State.STOPPING and not child.leaving
        child.step(Event.EXITED, now)
        if child.leaving or was_asked:
            log.info("child stopped", extra=fields(child=child.name, code=code, **named, was=was))
        if was_asked:
            child.deadline = now  # a later reload wants it again: restart at once, it has not failed
        if child.leaving or was_asked:
            return
        delay_s = child.backoff.next()
        child.deadline = now + delay_s
        facts = {"code": code, **named, "was": was, "again_in_s": round(delay_s, 2)}
        log.error("child died", extra=fields(child=child.name, **facts))

    def _count_restart(self, child: Child, now: float) -> None:
        recent = child.count_restart(now)
        while recent and recent[0] <= now - self._policy.flap_window_s:
            recent.popleft()
        if len(recent) > self._policy.flap_limit and not child.flapping:
            child.mark_flapping(flapping=True)
            log.critical(
                "child keeps dying: the watchdog is fed no more",
                extra=fields(child=child.name, restarts=len(recent), within_s=self._policy.flap_window_s),
            )


def _check_names(specs: Iterable[ChildSpec]) -> None:
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise ValueError(f"two children are named {spec.name!r}")
        seen.add(spec.name)

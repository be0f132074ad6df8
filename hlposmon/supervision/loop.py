"""The Pulse that a child's work loop is given: it sends heartbeats and receives stop and reload requests.

    while not pulse.stopping:
        pulse.beat()
        ...one bounded piece of work, or pulse.wait(seconds)...

A child beats from its work loop and never from a helper thread, since a beat means that the work advances.
A child ignores SIGINT, which a terminal sends to the whole process group, and leaves the decision to the
supervisor. SIGTERM and SIGHUP only set flags.
"""

import os
import signal
import time

from hlposmon.supervision import overflow
from hlposmon.supervision.heartbeat import NS, SERVING, Board, Row
from hlposmon.supervision.memory import Garbage, give_back
from hlposmon.supervision.signals import Signals, Wake

LONGEST_NAP_S = 1.0
LOOK_NS = NS  # once a second
GIVE_BACK_S = 60.0
FIRST_GIVE_BACK_S = 5.0  # soon after the start, to release the memory that the start needed


class Pulse:
    """A child's connection to its supervisor: heartbeats out, stop and reload requests in.

    `name` is the name of the child. `supervision.entry` creates it in the forked process; `Pulse.alone` is
    for tests and for programs that run a work loop without a supervisor.
    """

    def __init__(self, name: str, row: Row, parent_pid: int) -> None:
        self.name = name
        self._row = row
        self._parent_pid = parent_pid
        self._wake = Wake()
        self._signals: Signals | None = None
        self._stopping = False
        self._reload = False
        self._look_ns = 0
        self._give_back_s = time.monotonic() + FIRST_GIVE_BACK_S
        self._garbage: Garbage | None = None

    @classmethod
    def alone(cls, name: str, *, signals: bool = False) -> "Pulse":
        """A pulse without a supervisor; with `signals`, both SIGINT and SIGTERM stop it."""
        pulse = cls(name, Board([name], spare=0).row(name), os.getppid())
        if signals:
            pulse.listen(stop=(signal.SIGTERM, signal.SIGINT), ignored=())
        return pulse

    def listen(
        self,
        *,
        stop: tuple[signal.Signals, ...] = (signal.SIGTERM,),
        ignored: tuple[signal.Signals, ...] = (signal.SIGINT,),
    ) -> None:
        """Handle this process's signals from now on: `stop` and SIGHUP set flags. Main thread only."""
        self._signals = Signals((*stop, signal.SIGHUP), self._note, self._wake, ignored=ignored)
        self._signals.install()

    def _note(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stopping = True

    def beat(self) -> None:
        """Record a heartbeat. It is one memory store, so a loop may call it between any two pieces of work.

        Once a second it also sets `stopping` if the supervisor is gone, retries held log lines, and collects
        garbage if that is overdue. Once a minute it returns free memory to the kernel.
        """
        now_ns = self._row.beat()
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_NS
            self._look(now_ns / NS)

    def _look(self, now_s: float) -> None:
        if os.getppid() != self._parent_pid:
            self._stopping = True
        overflow.settle()
        if self._garbage is not None:
            self._garbage.collect_if_due(now_s, idle=False)
        if now_s >= self._give_back_s:
            self._give_back_s = now_s + GIVE_BACK_S
            give_back()

    def manage_garbage(self) -> None:
        """Collect this process's garbage in `rest` from now on, or in `beat` if the loop never rests."""
        self._garbage = Garbage(time.monotonic())

    def rest(self) -> None:
        """Collect garbage if it is due. Call it before sleeping with no work left; `wait` does so itself."""
        if self._garbage is not None:
            self._garbage.collect_if_due(time.monotonic(), idle=True)

    def serves(self, *, now: bool) -> None:
        """Report to the supervisor whether this child serves now; it matters for a guard (`ChildSpec`)."""
        self._row.write(SERVING, int(now))

    @property
    def serving(self) -> bool:
        """The value last given to `serves`; False before that."""
        return self._row.serving

    @property
    def stopping(self) -> bool:
        """Whether the loop was asked to stop: finish the current piece of work and return from the target."""
        return self._stopping

    @property
    def beat_ns(self) -> int:
        """Time of the last beat in ns of CLOCK_MONOTONIC; 0 before the first."""
        return self._row.beat_ns

    def take_reload(self) -> bool:
        """Whether a reload was requested since the last call; clears the request."""
        if not self._reload:
            return False
        self._reload = False
        return True

    @property
    def wake_fd(self) -> int:
        """A descriptor for selectors that is readable after a signal, until `drain_wake` is called."""
        return self._wake.fileno()

    def drain_wake(self) -> None:
        """Read `wake_fd` empty; the stop and reload flags stay set."""
        self._wake.drain()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until a signal (True) or until `timeout_s` seconds are over (False), beating every second.

        Returns True at once if a stop was requested, even if `wake_fd` was drained already.
        """
        until = time.monotonic() + timeout_s
        self.rest()
        while True:
            self.beat()
            if self._stopping:
                return True
            left_s = until - time.monotonic()
            nap_s = min(max(left_s, 0.0), LONGEST_NAP_S)
            if self._wake.wait(nap_s):
                self._wake.drain()
                return True
            if left_s <= nap_s:
                return False

    def stop(self) -> None:
        """Ask the loop to stop, as SIGTERM does; from any thread."""
        self._stopping = True
        self._wake.ring()

    def reload(self) -> None:
        """Ask the loop to reload, as SIGHUP does; from any thread."""
        self._reload = True
        self._wake.ring()

    def close(self) -> None:
        """Restore the signal handlers and close `wake_fd`. Only for `Pulse.alone`; a child just exits."""
        if self._signals is not None:
            self._signals.give_back()
        self._wake.close()

"""What a child's work loop is handed: a Pulse to beat with, and to hear from.

    while not pulse.stopping:
        pulse.beat()
        ...one bounded piece of work, or pulse.wait(seconds)...

A child beats from its work loop and never from a helper thread: a beat says that work goes on. SIGINT is
ignored (a terminal sends it to everybody; the supervisor decides), SIGTERM and SIGHUP are flags.
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
FIRST_GIVE_BACK_S = 5.0  # what a start took


class Pulse:
    """The thread between a child and its supervisor.

    `name` is the child's. Made by the supervisor's side of a child; `Pulse.alone` is for tests and for
    programs that run a work loop by themselves.
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
        """A pulse without a supervisor; with `signals`, SIGINT and SIGTERM both ask it to stop."""
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
        """Take this process's signals from here on; main thread only."""
        self._signals = Signals((*stop, signal.SIGHUP), self._note, self._wake, ignored=ignored)
        self._signals.install()

    def _note(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stopping = True

    def beat(self) -> None:
        """Record a heartbeat. It is one memory store, so a loop may call it between any two pieces of work.

        Once a second it also notices that the supervisor is gone (then there is nobody to work for), and
        tries again to write what of the log could not be written. Once a minute the memory that is free is
        given back.
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
        """From now on this process collects garbage when it rests, or in a beat where it never does."""
        self._garbage = Garbage(time.monotonic())

    def rest(self) -> None:
        """Call before sleeping with no work left: garbage is collected then. `wait` calls it itself."""
        if self._garbage is not None:
            self._garbage.collect_if_due(time.monotonic(), idle=True)

    def serves(self, *, now: bool) -> None:
        """Whether what this child is there for is being done at present: a guard says so."""
        self._row.write(SERVING, int(now))

    @property
    def serving(self) -> bool:
        """What was last said by `serves`."""
        return self._row.serving

    @property
    def stopping(self) -> bool:
        """Asked to stop: finish the piece at hand and return from the target."""
        return self._stopping

    @property
    def beat_ns(self) -> int:
        """When it beat last, CLOCK_MONOTONIC; 0 before the first beat."""
        return self._row.beat_ns

    def take_reload(self) -> bool:
        """Whether a reload was asked for since this was last called."""
        if not self._reload:
            return False
        self._reload = False
        return True

    @property
    def wake_fd(self) -> int:
        """Readable when a signal came; for selectors. Call `drain_wake` after it was."""
        return self._wake.fileno()

    def drain_wake(self) -> None:
        """Make `wake_fd` quiet again; the flags stay."""
        self._wake.drain()

    def wait(self, timeout_s: float) -> bool:
        """Sleep until a signal (True) or the timeout (False), beating at least each second.

        Returns at once when stopping, whoever has drained the wake-up: a stop is never slept through.
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
        """Give the signals back and close `wake_fd`; for a pulse that is alone. A child just ends."""
        if self._signals is not None:
            self._signals.give_back()
        self._wake.close()

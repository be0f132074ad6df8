"""Blocking calls with an overall deadline, name look-up included, during which the caller keeps beating.

A blocking call (DNS, TLS, a slowly dripping body) runs in its own thread while the caller's loop sends the
heartbeat; past the deadline it is abandoned. Only the work loop beats: a thread for that would hide a hang.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from hlposmon.errors import VenueUnavailable
from hlposmon.system.threads import start_deaf

T = TypeVar("T")
_SLICE_S = 0.1


class Deadline(Protocol):
    """Tells a caller how long it may go on waiting: until `stopping`. A worker's pulse is one, and so is the
    time limit of a check."""

    @property
    def stopping(self) -> bool:
        """Whether the process was told to stop."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep for up to `timeout_s` seconds, beating if a supervisor watches the caller. Returns whether
        something ended the sleep early."""


class NoDeadline:
    """The deadline of a program without a supervisor: it never stops a wait."""

    stopping = False

    def wait(self, timeout_s: float) -> bool:
        """Sleep for all of `timeout_s` seconds; always False."""
        time.sleep(timeout_s)
        return False


class BlockingCalls:
    """Runs one blocking call at a time. An abandoned call may linger until its own time-out; until it has
    ended no other call starts, so that stuck calls cannot pile up."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._thread: threading.Thread | None = None

    def within(self, deadline_s: float, what: str, call: Callable[[], T]) -> T:
        """Run `call` in a thread; its result, or the exception that it raised. `what` names it in errors.

        Raises VenueUnavailable if the process is stopping, or after `deadline_s` seconds, in which the wait
        for an abandoned earlier call is included.
        """
        until = time.monotonic() + deadline_s
        self._await_former(until, what)
        results: list[T] = []
        failures: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001 - handed to the caller below
                failures.append(error)
            finally:
                done.set()

        self._thread = start_deaf(run, name=what)
        while not done.wait(_SLICE_S):
            self._deadline.wait(0)
            if self._deadline.stopping:
                raise VenueUnavailable(f"{what}: given up, as we are stopping")
            if time.monotonic() > until:
                raise VenueUnavailable(f"{what}: no whole answer within {deadline_s:g} s")
        if failures:
            raise failures[0]
        return results[0]

    def _await_former(self, until: float, what: str) -> None:
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(_SLICE_S)
            self._deadline.wait(0)
            if self._deadline.stopping or time.monotonic() > until:
                raise VenueUnavailable(f"{what}: an earlier call has not ended yet")
        self._thread = None

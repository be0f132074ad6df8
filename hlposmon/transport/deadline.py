"""Waiting without falling silent: one call with a deadline over all of it, name look-up included.

A blocking call (DNS, TLS, a body that drips) runs in a thread of its own while the caller's loop goes
on beating; past the deadline it is given up. The beat comes from the work loop, as it must.
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
    """How long a caller may go on waiting: until `stopping`. A worker's pulse is one, so is a check's limit.

    `wait` sleeps for at most `timeout_s` seconds, beats where somebody watches the caller, and says whether
    it was woken.
    """

    @property
    def stopping(self) -> bool:
        """Whether the process was told to stop."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep for so long, beating; whether something woke it before."""


class NoDeadline:
    """That of a program without a supervisor: it waits for as long as its calls take."""

    stopping = False

    def wait(self, timeout_s: float) -> bool:
        """Sleep for so long; nothing wakes it before."""
        time.sleep(timeout_s)
        return False


class BlockingCalls:
    """Runs one blocking call at a time. A call that was given up may linger until its own time-out;
    while it does, no other is begun, so that stuck calls cannot pile up."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._thread: threading.Thread | None = None

    def within(self, deadline_s: float, what: str, call: Callable[[], T]) -> T:
        """The result of `call`, or what it raised; VenueUnavailable past the deadline or when stopping."""
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

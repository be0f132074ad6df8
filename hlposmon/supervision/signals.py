"""Signal handlers that only note the number and wake the loop through a socket.

A selector watches the socket, so a signal between a check and a wait is never missed.
Only the main thread may use this module. Never in here: the meaning of a signal.
"""

import contextlib
import select
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType


class Wake:
    """A non-blocking socket pair: readable after `ring`, until drained."""

    def __init__(self) -> None:
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)
        self._poll = select.poll()  # not select(): a process may have more than 1024 descriptors
        self._poll.register(self._out, select.POLLIN)

    def fileno(self) -> int:
        """The descriptor that a selector watches for reading."""
        return self._out.fileno()

    @property
    def ringer_fd(self) -> int:
        """The descriptor to pass to signal.set_wakeup_fd."""
        return self._in.fileno()

    def ring(self) -> None:
        """Make it readable. Never blocks: a full socket is readable already."""
        try:
            self._in.send(b"\0")
        except BlockingIOError:
            pass

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds and return whether it was rung; it stays readable."""
        return bool(self._poll.poll(max(0.0, timeout_s) * 1000))

    def drain(self) -> None:
        """Read it empty, so that it is no longer readable."""
        try:
            while self._out.recv(4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close both ends."""
        self._out.close()
        self._in.close()


@contextlib.contextmanager
def held_back(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Block these signals until `Signals` handles them or the context ends.

    Without it, a signal during the start would end the program and leave its sockets and locks behind.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Signals:
    """While entered, passes each signal of `heard` to `note` and rings `wake`; those in `ignored` do nothing.

    Entering unblocks `heard`, so signals that `held_back` kept pending arrive then.
    """

    def __init__(
        self,
        heard: Iterable[signal.Signals],
        note: Callable[[int], object],
        wake: Wake,
        *,
        ignored: Iterable[signal.Signals] = (),
    ) -> None:
        self._heard = tuple(heard)
        self._ignored = tuple(ignored)
        self._note = note
        self._wake = wake
        self._before: list[tuple[signal.Signals, object]] = []
        self._fd_before = -1
        self._mask_before: set[int] = set()

    def __enter__(self) -> "Signals":
        self.install()
        return self

    def install(self) -> None:
        """Install the handlers and unblock `heard`; `give_back` undoes it."""
        self._fd_before = signal.set_wakeup_fd(self._wake.ringer_fd, warn_on_full_buffer=False)
        for number in self._heard:
            self._before.append((number, signal.signal(number, self._on_signal)))
        for number in self._ignored:
            self._before.append((number, signal.signal(number, signal.SIG_IGN)))
        self._mask_before = signal.pthread_sigmask(signal.SIG_UNBLOCK, self._heard)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Restore the earlier handlers, wake-up descriptor and blocked signals."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._mask_before)
        while self._before:
            number, handler = self._before.pop()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._fd_before)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._note(number)

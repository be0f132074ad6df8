"""Signals, noted and nothing more: the handler remembers the number, a socket wakes the loop.

The socket is what a selector watches, so that a signal between a check and a wait is never missed.
Only the main thread may enter here. Never in here: what a signal means.
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
        """What a selector watches for reading."""
        return self._out.fileno()

    @property
    def ringer_fd(self) -> int:
        """What signal.set_wakeup_fd is given."""
        return self._in.fileno()

    def ring(self) -> None:
        """Make it readable; a full socket is readable already."""
        try:
            self._in.send(b"\0")
        except BlockingIOError:
            pass

    def wait(self, timeout_s: float) -> bool:
        """Whether it was rung, or is within the time; it stays readable."""
        return bool(self._poll.poll(max(0.0, timeout_s) * 1000))

    def drain(self) -> None:
        """Make it quiet again."""
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
    """Signals that come in the meantime wait until `Signals` hears them, or until this ends: one that came
    while a program still starts would end it without a word, and leave its sockets and locks behind."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Signals:
    """While entered, each of `heard` is handed to `note` and rings `wake`, even if it was held back before;
    `ignored` do nothing."""

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
        """Take the signals, until they are given back."""
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
        """Put back the handlers that were there before, and what was held back."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._mask_before)
        while self._before:
            number, handler = self._before.pop()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._fd_before)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._note(number)

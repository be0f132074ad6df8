"""A well-behaved client of the stream, inside the machine: it reads, and notes what it misses."""

import threading
from typing import Any

from hlposmon.client.api import Api
from hlposmon.errors import HlposmonError
from tests.booted.machine import Machine

SOCKET = "/run/hlposmon/hlposmon.sock"


class Watcher:
    """Follows the stream from beginning to end. `holes` are the numbers that did not come."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._fills = 0
        self._seq: int | None = None
        self._closing = False
        self.ended: str | None = None
        self.holes: list[int] = []
        self._thread = threading.Thread(target=self._follow)
        self._reached = threading.Condition()
        self._stream = Api(machine.path(SOCKET), timeout_s=10.0).stream(timeout_s=60.0)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._stream.close()
        self._thread.join()

    def until_fills(self, more: int, *, within_s: float = 60.0) -> None:
        """Wait until so many more have been told."""
        with self._reached:
            wanted = self._fills + more
            assert self._reached.wait_for(
                lambda: self._fills >= wanted or self.ended is not None, timeout=within_s
            ), f"{wanted - self._fills} fills did not come within {within_s:g} s"

    def _follow(self) -> None:
        try:
            for message in self._stream:
                self._take(message)
        except (HlposmonError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
        else:
            reason = "closed"
        if not self._closing:
            with self._reached:
                self.ended = reason
                self._reached.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if isinstance(seq := message.get("seq"), int):
            if self._seq is not None and message["type"] != "initial_state":
                self.holes += range(self._seq + 1, seq)
            self._seq = seq
        if message.get("event_type") == "fill":
            with self._reached:
                self._fills += 1
                self._reached.notify_all()

"""A worker's end of its queue to the tracker, made anew whenever the tracker is.

A fill waits for room, beating; anything that a newer message replaces may be dropped. What is lost
with a dead tracker is not missed: the new one says how far it knows, and the worker begins there.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import Ask, Connected, Fill, Fills, Joined, Report
from hlposmon.ipc.queue import Queue, QueueBroken
from hlposmon.supervision.logs import fields
from hlposmon.supervision.loop import Pulse

log = logging.getLogger(__name__)

# Fills a report: of those that are fetched fewer, so that a live one does not wait for long.
PIECE_FILLS, PIECE_LIVE_FILLS = 100, 500


class TrackerLink:
    """`poll` what the tracker asks, `put` what it should know."""

    def __init__(self, path: Path, pulse: Pulse, kind: str, accounts: Sequence[Account]) -> None:
        """`accounts` are those that are told of, under the names that they have here."""
        self._path, self._pulse = path, pulse
        self._joined = Joined(pulse.name, kind, {account.name: account.address for account in accounts})
        self._queue: Queue | None = None
        self._connected: Connected | None = None
        self._failed = False

    def fileno(self) -> int | None:
        return self._queue.fileno() if self._queue is not None else None

    def poll(self) -> list[Ask]:
        """What the tracker asks now; connects first if need be."""
        if self._queue is None and not self._connect():
            return []
        asks: list[Ask] = []
        try:
            while self._queue is not None and (message := self._queue.get()) is not None:
                asks.append(message)  # type: ignore[arg-type]  # the tracker only asks
        except QueueBroken as error:
            self._drop(error)
        return asks

    def put(self, report: Report) -> bool:
        """Hand a report on, waiting for room as long as it takes; False when the tracker is gone."""
        return self._put(report, wait=True)

    def put_fills(
        self,
        account: str,
        source: str,
        fills: Sequence[Fill],
        heard_s: float | None = None,
        from_ms: int | None = None,
    ) -> bool:
        """Hand fills on in pieces, so that one message stays small; False when the tracker is gone. With the
        last of them all since `from_ms` were handed on; None if not, or if that is not known."""
        piece = PIECE_FILLS if heard_s is None else PIECE_LIVE_FILLS
        for at in range(0, len(fills), piece):
            end_ms = from_ms if at + piece >= len(fills) else None
            if not self.put(Fills(account, source, tuple(fills[at : at + piece]), heard_s, from_ms=end_ms)):
                return False
        return True

    def put_newest(self, report: Report) -> bool:
        """Hand a report on if there is room: a newer one will come."""
        return self._put(report, wait=False)

    def connected(self, count: int) -> None:
        """Tell this tracker, and each one after it, how many connections the feed has had."""
        self._connected = Connected(self._pulse.name, count)
        self.put_newest(self._connected)

    def close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def _put(self, report: Report, *, wait: bool) -> bool:
        if self._queue is None:
            return False
        try:
            return self._queue.put(report, self._go_on if wait else None)
        except QueueBroken as error:
            self._drop(error)
            return False

    def _go_on(self) -> bool:
        self._pulse.beat()
        return not self._pulse.stopping

    def _connect(self) -> bool:
        try:
            self._queue = Queue.connect(self._path)
            self._queue.put(self._joined)
            if self._connected is not None:
                self._queue.put(self._connected)
        except QueueBroken as error:
            if not self._failed:
                log.warning("queue not connected", extra=fields(path=self._path, reason=error))
            self._failed = True
            return False
        self._failed = False
        return True

    def _drop(self, error: QueueBroken) -> None:
        log.info("queue broken", extra=fields(reason=error))
        self.close()

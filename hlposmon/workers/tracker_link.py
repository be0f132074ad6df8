"""A worker's end of its queue to the tracker; it reconnects whenever there is a new tracker.

`put` waits for room and keeps beating; `put_newest` drops a report that a newer one will replace. Reports
lost with a dead tracker do no harm: the new one says up to when it knows all fills; the worker starts there.
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

# Fills in one report. Fetched fills go in smaller pieces, so that live fills do not wait long behind them.
PIECE_FILLS, PIECE_LIVE_FILLS = 100, 500


class TrackerLink:
    """Connects one worker to the tracker: `poll` returns what the tracker asks, `put` sends a report."""

    def __init__(self, path: Path, pulse: Pulse, kind: str, accounts: Sequence[Account]) -> None:
        """`path` is the tracker's queue socket. `kind` and `accounts` are sent with `Joined`, the address of
        each account under its name."""
        self._path, self._pulse = path, pulse
        self._joined = Joined(pulse.name, kind, {account.name: account.address for account in accounts})
        self._queue: Queue | None = None
        self._connected: Connected | None = None
        self._failed = False

    def fileno(self) -> int | None:
        """The descriptor of the queue for a poller; None while there is no connection."""
        return self._queue.fileno() if self._queue is not None else None

    def poll(self) -> list[Ask]:
        """Return what the tracker asks, connecting first if necessary; empty if that fails."""
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
        """Send a report, waiting for room and beating. Return False if the tracker is gone or this worker
        stops."""
        return self._put(report, wait=True)

    def put_fills(
        self,
        account: str,
        source: str,
        fills: Sequence[Fill],
        heard_s: float | None = None,
        from_ms: int | None = None,
    ) -> bool:
        """Send fills in pieces, so that one message stays small; return False as `put` does.

        `heard_s` is when a stream delivered them (monotonic seconds); None for fetched ones. `from_ms` goes
        with the last piece: with it all fills since then were sent. None if that is not so, or not known.
        """
        piece = PIECE_FILLS if heard_s is None else PIECE_LIVE_FILLS
        for at in range(0, len(fills), piece):
            end_ms = from_ms if at + piece >= len(fills) else None
            if not self.put(Fills(account, source, tuple(fills[at : at + piece]), heard_s, from_ms=end_ms)):
                return False
        return True

    def put_newest(self, report: Report) -> bool:
        """Send a report that a newer one will replace, if there is room; return whether it was sent."""
        return self._put(report, wait=False)

    def connected(self, count: int) -> None:
        """Report to this tracker, and to each later one, how many connections the feed has had."""
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

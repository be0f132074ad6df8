"""The tracker's ends of the workers' queues: accepts workers and takes their reports, live fills first."""

import logging
import selectors
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.reports import Ask, Bell, Connected, Joined, Left, Marks, Report
from hlposmon.errors import WireError
from hlposmon.ipc.queue import Queue, QueueBroken, accept
from hlposmon.metrics.measures import Counts
from hlposmon.supervision.logs import fields

log = logging.getLogger(__name__)


class WorkerQueues:
    """The queues of all workers.

    `addresses` are the watched addresses, by account name. A report is dropped if its worker knows another
    address for the account's name: a reload may have changed it since.
    """

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        addresses: dict[str, str],
        counts: Counts,
    ) -> None:
        self.addresses = addresses
        self._selector, self._counts = selector, counts
        self._listeners: list[socket.socket] = []
        self.listen(listener)
        self._queues: dict[Queue, Joined | None] = {}
        self._ended: list[tuple[Queue, Joined | None]] = []
        self._ready: set[Queue] = set()  # may have a message to read
        self._served: dict[Queue, int] = {}  # number of the last report taken from each
        self._turn = 0
        self._fill_queues: list[Queue] = []
        self._price_queues: list[Queue] = []
        self._other_queues: list[Queue] = []

    def waiting_bytes(self) -> dict[str, int]:
        """Return, by worker, the bytes that it sent and that were not taken yet."""
        waiting: dict[str, int] = {}
        for queue, joined in self._queues.items():
            name = _name_of(joined)
            waiting[name] = waiting.get(name, 0) + queue.waiting_bytes()
        return waiting

    def hear(self, ready: Iterable[object]) -> None:
        """Note which of the selector's objects are readable, and accept workers that are waiting."""
        for one in ready:
            if isinstance(one, Queue) and one in self._queues:  # and has not ended
                self._ready.add(one)
            elif one in self._listeners:
                self._accept_all()

    def listen(self, listener: socket.socket) -> None:
        """Accept workers on this listening socket, too."""
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ)

    def unlisten(self, listener: socket.socket) -> None:
        """Accept the workers waiting on this socket, then stop listening on it; the caller closes it."""
        self._accept_all()
        self._listeners.remove(listener)
        self._selector.unregister(listener)

    def _accept_all(self) -> None:
        for listener in self._listeners:
            self._accept_from(listener)

    def _accept_from(self, listener: socket.socket) -> None:
        while (queue := accept(listener)) is not None:
            self._queues[queue] = None
            self._ready.add(queue)
            self._selector.register(queue, selectors.EVENT_READ)
            self._sort()

    def reports(self, *, most: int) -> Iterator[Report]:
        """Up to `most` reports of all workers but those of prices.

        The queues of fill feeds are checked before each report of another worker, so a live fill is always
        taken next, whatever the order of connection and the size of a fetch. The other queues take turns, and
        one that was not reached goes first the next time. When nothing is left, workers whose process is gone
        are reported as `Left`: if one feed replaces another, the new one is then known to be up first.
        """
        for _ in range(most):
            report = self._next_of(self._fill_queues)
            if report is None and (report := self._next_of(self._by_turns())) is not None:
                self._ready.update(self._fill_queues)  # a fill may arrive while this report is processed
            if report is None:
                yield from self._departures()
                return
            yield report

    def latest_marks(self) -> Marks | None:
        """Return all waiting prices merged into one report, the newest for each coin; None if none wait."""
        merged: dict[str, Decimal] = {}
        newest: Marks | None = None
        for _ in range(1000):
            report = self._next_of(self._price_queues)
            if report is None:
                break
            if isinstance(report, Marks):
                merged |= report.prices
                newest = report if newest is None or report.heard_s >= newest.heard_s else newest
        return None if newest is None else replace(newest, prices=merged)

    def has_fills(self) -> bool:
        """Return whether the queue of any fill feed has something to read now."""
        return any(not queue.empty() for queue in self._fill_queues)

    @property
    def has_more(self) -> bool:
        """Whether readable messages or ended queues were left for the next turn."""
        return bool(self._ready or self._ended)

    def tell(self, worker: str, ask: Ask) -> None:
        """Send an ask to one worker, by name; it is dropped if the worker is gone.

        If the worker's queue is full, its connection is ended, so that it connects again.
        """
        for queue, joined in list(self._queues.items()):
            if joined is not None and joined.worker == worker and not _put(queue, ask):
                self._end(queue)  # the worker would wait for this ask in vain: let it connect again

    def ring(self, bell: Bell) -> None:
        """Send a bell to all workers that reconcile; dropped where the queue is full."""
        for queue, joined in list(self._queues.items()):
            if joined is not None and joined.kind == "reconcile":
                _put(queue, bell)

    def close(self) -> None:
        """Close the connections of all workers; the listening sockets are left to their owners."""
        for queue in (*self._queues, *(queue for queue, _ in self._ended)):
            self._selector.unregister(queue)
            queue.close()
        self._queues.clear()
        self._ended.clear()

    # ------------------------------------------------------------------ within

    def _sort(self) -> None:
        """Sort the queues by kind of worker; one that has not joined yet is among the others."""
        kinds = {queue: "" if joined is None else joined.kind for queue, joined in self._queues.items()}
        self._fill_queues = [queue for queue, kind in kinds.items() if kind == "fill"]
        self._price_queues = [queue for queue, kind in kinds.items() if kind == "price"]
        self._other_queues = [queue for queue, kind in kinds.items() if kind not in ("fill", "price")]

    def _by_turns(self) -> list[Queue]:
        ready = [queue for queue in self._other_queues if queue in self._ready]
        return sorted(ready, key=lambda queue: self._served.get(queue, 0)) if len(ready) > 1 else ready

    def _next_of(self, queues: Iterable[Queue]) -> Report | None:
        """Return the first waiting report of these queues; drop those of addresses that are not watched.

        Handles Joined and Connected on the way; Joined is returned too.
        """
        for queue in queues:
            while queue in self._ready and (report := self._next(queue)) is not None:
                self._turn += 1
                self._served[queue] = self._turn
                if isinstance(report, Joined):
                    self._queues[queue] = report
                    self._sort()
                    log.info("worker joined", extra=fields(worker=report.worker))
                elif isinstance(report, Connected):
                    self._counts.connected(report.worker, report.count)
                    continue
                if self._is_watched(report, self._queues.get(queue)):
                    return report
        return None

    def _is_watched(self, report: Report, joined: Joined | None) -> bool:
        name = getattr(report, "account", None)
        if name is None or joined is None or not joined.addresses:
            return True
        return joined.addresses.get(name) == self.addresses.get(name)

    def _next(self, queue: Queue) -> Report | None:
        try:
            report = queue.get()
            if report is None:
                self._ready.discard(queue)
            return report  # type: ignore[return-value]  # workers only report
        except QueueBroken:
            self._end(queue)
            return None
        except WireError as error:
            log.error("a worker's message was not understood", extra=fields(reason=error))
            return None

    def _end(self, queue: Queue) -> None:
        self._ready.discard(queue)
        self._ended.append((queue, self._queues.pop(queue)))
        self._served.pop(queue, None)
        self._sort()

    def _departures(self) -> Iterator[Report]:
        """Close the queues that have ended and yield `Left` for each, one at a time, since the caller may
        stop early. A worker that has joined again has not left."""
        while self._ended:
            queue, joined = self._ended.pop(0)
            self._selector.unregister(queue)
            queue.close()
            log.info("worker left", extra=fields(worker=_name_of(joined)))
            here = {other.worker for other in self._queues.values() if other is not None}
            if joined is not None and joined.worker not in here:
                yield Left(joined.worker, joined.kind)


def _name_of(joined: Joined | None) -> str:
    return "unknown" if joined is None else joined.worker


def _put(queue: Queue, ask: Ask) -> bool:
    """Send it; False if the queue is full. True also if the other end is gone: its end is read later."""
    try:
        return queue.put(ask)
    except QueueBroken:
        return True

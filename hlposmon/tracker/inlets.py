"""The tracker's ends of the queues: who has joined, what they bring, fills before all else."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.reports import Ask, Bell, Connected, Joined, Marks, Report, Welcome
from hlposmon.errors import WireError
from hlposmon.ipc.queue import Queue, QueueBroken, accept
from hlposmon.metrics.measures import Counts
from hlposmon.supervision.logs import fields

log = logging.getLogger(__name__)


class Inlets:
    """The queues of all workers. `gone` is called with a queue before it is closed, and with whose it was:
    once all is read that the others sent before it ended, so that of two feeds that follow one another the
    second is known to be up before the first is known to be gone."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        gone: Callable[[Queue, Joined | None], None],
        addresses: Callable[[], dict[str, str]],
        counts: Counts,
    ) -> None:
        """`addresses` has those that are watched now, by name: what a worker tells of another one is not
        taken for it, as a name may have come to stand for another address since."""
        listener.setblocking(False)
        self._gone, self._addresses, self._counts = gone, addresses, counts
        self.listener = listener
        self._queues: dict[Queue, Joined | None] = {}
        self._ended: dict[Queue, Joined | None] = {}
        self._served: dict[Queue, int] = {}  # when each had its last turn
        self._turn = 0

    def waiting_bytes(self) -> dict[str, int]:
        """By worker: what it has sent and was not taken yet."""
        waiting: dict[str, int] = {}
        for queue, joined in self._queues.items():
            name = joined.worker if joined is not None else "unknown"
            waiting[name] = waiting.get(name, 0) + queue.waiting_bytes()
        return waiting

    @property
    def queues(self) -> list[Queue]:
        return list(self._queues)

    def accept_all(self) -> list[Queue]:
        """Take in the workers that wait at the door."""
        came = []
        while (queue := accept(self.listener)) is not None:
            self._queues[queue] = None
            came.append(queue)
        return came

    def reports(self, *, most: int) -> Iterator[Report]:
        """Up to `most` reports of all workers but those of prices.

        Before each report of another worker the feeds of fills are looked at: whoever connected first and
        however much a fetch has to say, a live fill is taken next. The others take turns, and who was not
        reached goes first the next time.
        """
        for _ in range(most):
            report = self._next_of(self._of_kind("fill")) or self._next_of(self._others())
            if report is None:
                self._let_go()
                return
            yield report

    def latest_marks(self) -> Marks | None:
        """All waiting prices as one batch: of several for a coin the newest."""
        merged: dict[str, Decimal] = {}
        newest: Marks | None = None
        for _ in range(1000):
            report = self._next_of(self._of_kind("price"))
            if report is None:
                break
            if isinstance(report, Marks):
                merged |= report.prices
                newest = report if newest is None or report.heard_s >= newest.heard_s else newest
        return None if newest is None else replace(newest, prices=merged)

    def has_fills(self) -> bool:
        """Whether a feed of fills, or a worker that has not said what it is, has something now."""
        return any(
            not queue.empty()
            for queue, joined in self._queues.items()
            if joined is None or joined.kind == "fill"
        )

    def _of_kind(self, kind: str) -> list[Queue]:
        return [queue for queue, joined in self._queues.items() if joined is not None and joined.kind == kind]

    def _others(self) -> list[Queue]:
        """All but fills and prices, whose turn it is first; one that is new is asked what it is at once."""
        others = [
            queue
            for queue, joined in self._queues.items()
            if joined is None or joined.kind not in ("fill", "price")
        ]
        return sorted(others, key=lambda queue: self._served.get(queue, 0))

    def _next_of(self, queues: Iterable[Queue]) -> Report | None:
        """The first report that waits in one of these, and is of an account as it is watched now."""
        for queue in queues:
            while (report := self._next(queue)) is not None:
                self._turn += 1
                self._served[queue] = self._turn
                if isinstance(report, Joined):
                    self._let_go(report.worker)
                    self._queues[queue] = report
                    log.info("worker joined", extra=fields(worker=report.worker))
                elif isinstance(report, Connected):
                    self._counts.connected(report.worker, report.count)
                    continue
                if self._is_of_today(report, self._queues.get(queue)):
                    return report
        return None

    def _is_of_today(self, report: Report, joined: Joined | None) -> bool:
        name = getattr(report, "account", None)
        if name is None or joined is None or not joined.addresses:
            return True
        return joined.addresses.get(name) == self._addresses().get(name)

    def welcome_again(self, accounts: Set[str], welcome: Welcome) -> None:
        """To those who tell of these accounts, which are watched only now."""
        for queue, joined in list(self._queues.items()):
            if joined is not None and (not joined.addresses or self._tells_of(accounts, joined)):
                self._ask(queue, welcome)

    def _tells_of(self, accounts: Set[str], joined: Joined) -> bool:
        today = self._addresses()
        return any(joined.addresses.get(name) == today.get(name) for name in accounts)

    def welcome(self, joined: Joined, welcome: Welcome) -> None:
        """What is known of an account is told to whom the name stands for the same address."""
        today = self._addresses()
        same = {name for name, address in joined.addresses.items() if today.get(name) == address}
        welcome = replace(
            welcome,
            modes={name: mode for name, mode in welcome.modes.items() if name in same},
            roles={name: role for name, role in welcome.roles.items() if name in same},
        )
        for queue, known in list(self._queues.items()):
            if known is joined:
                self._ask(queue, welcome)

    def tell(self, worker: str, ask: Ask) -> None:
        """Say something to one worker; nobody hears it when it is gone."""
        for queue, joined in list(self._queues.items()):
            if joined is not None and joined.worker == worker:
                self._ask(queue, ask)

    def ring(self, bell: Bell) -> bool:
        """Ring at the reconcile workers; False when there is none now."""
        rung = False
        for queue, joined in list(self._queues.items()):
            if joined is not None and joined.kind == "reconcile":
                rung |= self._ask(queue, bell)
        return rung

    def close(self) -> None:
        for queue in (*self._queues, *self._ended):
            queue.close()
        self._queues.clear()
        self._ended.clear()

    def _ask(self, queue: Queue, ask: Ask) -> bool:
        try:
            return queue.put(ask)
        except QueueBroken:
            return False  # its end of file is read in its turn

    def _next(self, queue: Queue) -> Report | None:
        try:
            return queue.get()  # type: ignore[return-value]  # workers only report
        except QueueBroken:
            self._ended[queue] = self._queues.pop(queue)
            self._served.pop(queue, None)
            return None
        except WireError as error:
            log.error("a worker's message was not understood", extra=fields(reason=error))
            return None

    def _let_go(self, worker: str | None = None) -> None:
        """Part with those that have ended; with `worker`, with that one alone."""
        for queue, left in list(self._ended.items()):
            name = left.worker if left is not None else "unknown"
            if worker in (None, name):
                log.info("worker left", extra=fields(worker=name))
                self._gone(queue, self._ended.pop(queue))
                queue.close()

"""A tracker in virtual time: the real engine, journal and publisher, without sockets and without a loop.

It takes what waits as `tracker.worker_queues` does, live fills before all else, and carries effects out by
`tracker.outputs`. Stand-ins are only for what needs a machine: the queues' sockets, the mapped snapshot.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from hlposmon.api.publisher import Publisher
from hlposmon.api.subscribers import Listener, Subscribers
from hlposmon.domain.rendering import Renderer
from hlposmon.domain.reports import (
    Ask,
    Bell,
    FeedState,
    Fetched,
    Fills,
    Following,
    Joined,
    Left,
    Marks,
    Report,
    Statement,
)
from hlposmon.domain.views import View
from hlposmon.engine.effects import Effect, Now
from hlposmon.engine.engine import Engine, Watched
from hlposmon.engine.freshness import FreshnessLimits
from hlposmon.journal.lines import Recovered, checkpoint, event
from hlposmon.journal.writer import Journal
from hlposmon.metrics.measures import Counts
from hlposmon.text import loads
from hlposmon.tracker.journal_output import JournalOutput
from hlposmon.tracker.outputs import Outputs
from hlposmon.tracker.recovery import recover
from tests.simulation.disk import FaultyDisk, ProcessEnded
from tests.simulation.plan import Plan
from tests.simulation.scheduler import Scheduler

MODE = "simulation"
REVALUED_AT_ONCE = 16
_TID = re.compile(rb'"tid":(\d+)')
SLEPT_S = 2.0
SYNC_S = 0.02  # a sync in the background takes so long
# What they do depends on whether the account was stated, and live.
_OF_FILLS = (Fills, Statement, FeedState, Following, Fetched)


@dataclass(eq=False, slots=True)
class Inbox:
    """One worker's queue. `hear` is the worker's end; `then_s` of a statement is of when its contents are."""

    hear: Callable[[Ask], None]
    joined: Joined | None = None
    kind: str = ""  # that of who joined
    waiting: deque[tuple[Report, float | None]] = field(default_factory=deque)
    has_ended: bool = False
    served: int = 0


@dataclass(slots=True)
class Step:
    """One report that the engine took, and what followed; None where time alone changed something.

    `then_s`: of when a statement's contents are. Whether the account was stated, and live, before.
    """

    report: Report | None
    effects: list[Effect]
    then_s: float | None = None
    was_stated: bool = False
    was_live: bool = False
    is_live: bool = False


class Later:
    """A sync in the background, some time later."""

    def __init__(self, time: Scheduler) -> None:
        self._time = time
        self._work: list[Callable[[], None]] = []
        self.ended: Callable[[], None] = lambda: None  # the process is killed in the midst of it

    def submit(self, work: Callable[[], None]) -> None:
        self._work.append(work)
        self._time.after(SYNC_S, self._due)

    def _due(self) -> None:
        try:
            self.do()
        except ProcessEnded:
            self.ended()

    def do(self) -> None:
        while self._work:
            self._work.pop(0)()

    def forget(self) -> None:
        """The process is gone."""
        self._work.clear()

    def close(self, *, within_s: float) -> None:
        self.do()


class Client:
    """A reader of the stream: its messages, in the order in which they came."""

    request = None
    buffered = 0

    def __init__(self, disk: FaultyDisk, journal: Journal) -> None:
        self._disk, self._journal = disk, journal
        self.messages: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.early = 0  # fills that were published before they were journalled
        self._tids: set[int] = set()
        self._read: dict[str, int] = {}

    def send_frame(self, frame: bytes) -> None:
        self._disk.sends()
        self.raw.append(frame)
        at = 0
        while at < len(frame):
            length, head = frame[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(frame[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, head = int.from_bytes(frame[at + 2 : at + 10], "big"), 10
            message = loads(frame[at + head : at + head + length])
            self.messages.append(message)
            if message.get("event_type") == "fill" and not self._is_written(message["fill"]["tid"]):
                self.early += 1
            at += head + length

    def _is_written(self, tid: int) -> bool:
        """Whether the fill's line is in a file; where the disk refuses, it is kept and told all the same."""
        if tid not in self._tids:
            self._read_on()
        return tid in self._tids or self._journal.failure is not None

    def _read_on(self) -> None:
        folder = os.fspath(self._journal.folder)
        for name in os.listdir(folder):  # noqa: PTH208 - most fills come this way
            if name.startswith("audit-") and name.endswith(".jsonl"):
                at = self._read.get(name, 0)
                with open(f"{folder}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
                    file.seek(at)
                    raw = file.read()
                self._read[name] = at + len(raw)
                self._tids.update(map(int, _TID.findall(raw)))

    def cut_off(self) -> None:
        raise AssertionError("a client that reads is never cut off")

    def close(self, code: int = 1000, reason: str = "") -> None:
        raise AssertionError(f"closed: {code} {reason}")


class Shell:
    """One process's life. `shown` is what its snapshot holds, `steps` what the last turns did."""

    def __init__(
        self,
        plan: Plan,
        time: Scheduler,
        disk: FaultyDisk,
        folder: Path,
        watched: Watched,
        first_seq: int,
    ) -> None:
        self._time, self._disk, self._folder = time, disk, folder
        now = time.now
        self.engine = Engine(watched, now)
        self.background = Later(time)
        self.journal = Journal(
            folder,
            fsync=plan.fsync,
            checkpoint=self._checkpoint,
            disk=disk,
            background=self.background,
        )
        self.records = JournalOutput(self.journal)
        self.client = Client(disk, self.journal)
        self.subscribers = Subscribers(first_seq, clock=lambda: 0.0)
        self.subscribers.join(Listener(self.client), None)  # type: ignore[arg-type]
        self._publisher = Publisher(self.subscribers, Renderer())
        self.shown: dict[tuple[str, str], View] = {}
        self._outputs = Outputs(self.records, self._publisher, self, self, Counts(), self)  # type: ignore[arg-type]
        self._inboxes: list[Inbox] = []
        self._served = 0
        self._slept_s = time.asleep_s
        self.recovered = Recovered()
        self.steps: list[Step] = []
        self.rung: list[Bell] = []  # in these

    def begin(self) -> None:
        """Take up what the process before has left."""
        now = self._time.now
        self.recovered = found = recover(self.journal, self._folder / "state", now.ms).found
        memories = list(found.memories.values())
        self.engine.recall(memories, found.base_ms, found.unsure, now)
        facts = {"version": "simulation", "mode": MODE, "accounts": dict(self.engine.watched.addresses)}
        self.journal.append(event("start", now_ms=now.ms, **facts, recovered=len(memories)), now.ms)
        self.journal.append_checkpoint(now.ms)
        self.records.commit(now)
        self.shown = {(view.account, view.key): view for view in self.engine.book.views()}

    # ------------------------------------------------------------------ the loop

    def connect(self, hear: Callable[[Ask], None]) -> Inbox:
        inbox = Inbox(hear)
        self._inboxes.append(inbox)
        return inbox

    @property
    def waiting(self) -> bool:
        return any(inbox.waiting or inbox.has_ended for inbox in self._inboxes)

    def take_turn(self, most: int) -> None:
        """Reports, then prices."""
        self.take_reports(most)
        self.take_prices()

    def take_reports(self, most: int) -> None:
        """As many as wait, live fills before all else; then carry out what follows."""
        now = self._time.now
        self._outputs.begin_turn(now)
        effects: list[Effect] = []
        for report, then_s in self._reports(most):
            effects += self._receive(report, then_s, now)
        self._outputs.carry_out(effects, now)

    def take_prices(self) -> None:
        newest: Marks | None = None
        prices: dict[str, Decimal] = {}
        for inbox in self._inboxes:
            if inbox.waiting and inbox.kind == "price":
                while inbox.waiting:
                    report, _ = inbox.waiting.popleft()
                    assert isinstance(report, Marks)
                    prices |= report.prices
                    newest = report
        if newest is not None:
            now, marks = self._time.now, Marks(prices, newest.heard_s, newest.missing)
            self._outputs.carry_out(self._receive(marks, None, now), now)
        while self.engine.has_moved:
            now = self._time.now
            self._carry_out(self.engine.revalue(now, REVALUED_AT_ONCE), now)

    def tick(self) -> None:
        now = self._time.now
        slept_s, self._slept_s = self._time.asleep_s - self._slept_s, self._time.asleep_s
        if slept_s > SLEPT_S:
            self.engine.note_suspension(slept_s, now)
        self._carry_out(self.engine.tick(now), now)
        self._outputs.commit(now)

    def reload(self, watched: Watched) -> None:
        now = self._time.now
        self._carry_out(self.engine.watch(watched, now), now)
        self.shown = {(view.account, view.key): view for view in self.engine.book.views()}

    def leave(self) -> None:
        """The end by SIGTERM."""
        self.take_reports(100_000)
        now = self._time.now
        self.journal.append(event("stop", now_ms=now.ms, backlog=self.journal.backlog), now.ms)
        self.records.commit(now)
        self.background.do()
        self.journal.close(within_s=0.0)

    # ------------------------------------------------------------------ outputs

    def show(self, view: View, updated_ms: int) -> None:
        """The snapshot's."""
        self.shown[view.account, view.key] = view

    def tell(self, worker: str, ask: Ask) -> None:
        """The queues'."""
        self._disk.sends()
        for inbox in self._inboxes:
            if inbox.joined is not None and inbox.joined.worker == worker and not inbox.has_ended:
                self._time.after(0.001, inbox.hear, ask)

    def ring(self, bell: Bell) -> None:
        """The queues'."""
        self._disk.sends()
        self.rung.append(bell)
        for inbox in self._inboxes:
            if inbox.kind == "reconcile" and not inbox.has_ended:
                self._time.after(0.001, inbox.hear, bell)

    # ------------------------------------------------------------------ within

    def _receive(self, report: Report, then_s: float | None, now: Now) -> list[Effect]:
        if not isinstance(report, _OF_FILLS):
            effects = self.engine.receive(report, now)
            self.steps.append(Step(report, effects, then_s))
            return effects
        book, account = self.engine.book, report.account
        stated, live = book.is_stated(account), book.is_live(account)
        effects = self.engine.receive(report, now)
        self.steps.append(Step(report, effects, then_s, stated, live, book.is_live(account)))
        return effects

    def _carry_out(self, effects: list[Effect], now: Now) -> None:
        if effects:
            self.steps.append(Step(None, effects))
        self._outputs.carry_out(effects, now)

    def _reports(self, most: int) -> Iterator[tuple[Report, float | None]]:
        for _ in range(most):
            inbox = self._next()
            if inbox is None:
                yield from self._departures()
                return
            self._served += 1
            inbox.served = self._served
            report, then_s = inbox.waiting.popleft()
            if isinstance(report, Joined):
                inbox.joined, inbox.kind = report, report.kind
            yield report, then_s

    def _next(self) -> Inbox | None:
        """A feed of fills that waits, or who was served the longest ago; prices have a turn of their own."""
        found: Inbox | None = None
        for inbox in self._inboxes:
            if inbox.waiting:
                if inbox.kind == "fill":
                    return inbox
                if inbox.kind != "price" and (found is None or inbox.served < found.served):
                    found = inbox
        return found

    def _departures(self) -> Iterator[tuple[Report, float | None]]:
        if not any(inbox.has_ended for inbox in self._inboxes):
            return
        ended = [inbox for inbox in self._inboxes if inbox.has_ended and not inbox.waiting]
        for inbox in ended:
            self._inboxes.remove(inbox)
            here = {one.joined.worker for one in self._inboxes if one.joined is not None}
            if inbox.joined is not None and inbox.joined.worker not in here:
                yield Left(inbox.joined.worker, inbox.joined.kind), None

    def _checkpoint(self) -> dict[str, Any]:
        book = self.engine.book
        return checkpoint(
            book.memories(),
            book.base_ms(),
            dict(self.engine.watched.addresses),
            unsure=book.unsure(),
            unfinished=book.unfinished(),
            mode=MODE,
        )


def watched(
    addresses: dict[str, str],
    feeds: int,
    interval_s: float,
    polled: tuple[str, ...] = (),
    round_s: float = 0.0,
) -> Watched:
    """As `tracker.lifecycle.watched_by` makes it of the settings."""
    return Watched(
        addresses=addresses,
        feeds=tuple(FEEDS[:feeds]),
        limits=FreshnessLimits(
            fills=(5.0, 15.0),
            prices=(5.0, 15.0),
            reconcile=(max(120.0, 2 * interval_s), max(300.0, 5 * interval_s)),
        ),
        min_pnl_change=Decimal("0.01"),
        polled=polled,
        round_s=round_s,
    )


FEEDS = ("fill", "fill-2", "fill-3")

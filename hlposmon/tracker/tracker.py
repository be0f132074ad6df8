"""The tracker: the one owner of the book. Reports in by queues; journal, snapshot and stream out.

The law of its way: journal first, then publish. Fills are drained before all else; prices are applied
in small slices with a look at the fills between. Started again after a crash it takes the book up from
what outlived it, tells its workers up to when it knows the fills, and is right again when they have brought
the rest. No network but the Unix sockets it was handed.
"""

import logging
import resource
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from hlposmon.api.publisher import Publisher
from hlposmon.api.server import PublicServer
from hlposmon.config import Settings
from hlposmon.domain.book import Book
from hlposmon.domain.reports import Joined, Marks
from hlposmon.engine.feeds import Feeds
from hlposmon.engine.freshness import Clocks, Limits
from hlposmon.engine.incidents import Incidents
from hlposmon.ipc.queue import Queue
from hlposmon.metrics.measures import Counts
from hlposmon.serving.access import Access
from hlposmon.serving.messages import Limits as ServingLimits
from hlposmon.serving.messages import Refusal
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.system.clock import asleep_s, now_ms
from hlposmon.tracker.answers import Answers
from hlposmon.tracker.inlets import Inlets
from hlposmon.tracker.intake import Intake
from hlposmon.tracker.picture import Picture
from hlposmon.tracker.processes import Worker
from hlposmon.tracker.telling import Telling
from hlposmon.tracker.tenure import Tenure, archive_of

log = logging.getLogger(__name__)

TICK_S = 0.25
MARKS_A_SLICE = 8
REPORTS_A_TURN = 64
DRAIN_S = 0.05
# Descriptors that clients leave: sockets of workers and of the service, files, the snapshot's next one.
KEPT_DESCRIPTORS = 96
# So long may the end take: less than the supervisor gives one rank, also when the ranks share its time.
STOP_S = 2.5
# A suspension shorter than this changes no verdict.
SLEPT_S = 2.0


class Tracker:
    """`sockets` listen already: they belong to the supervisor and outlive this process."""

    _tenure: Tenure
    _answers: Answers

    def __init__(
        self,
        pulse: Pulse,
        settings: Settings,
        *,
        queue: socket.socket,
        sockets: Sequence[socket.socket],
        board: Callable[[], Sequence[Worker]],
        reload: Callable[[], Settings],
        usage: Callable[[], dict[str, float]],
        spent: Callable[[str], int | None],
    ) -> None:
        self._pulse, self._reload = pulse, reload
        self._book = book = Book(account.name for account in settings.hyperliquid.accounts)
        self._clocks = clocks = Clocks(Limits.of(settings))
        self._feeds = feeds = Feeds()
        incidents, counts = Incidents(), Counts()
        # The journal asks for its checkpoints while the book is taken up: the tenure is there by then.
        memory = lambda: self._tenure.memory()  # noqa: E731, PLW0108
        archive = self._archive = archive_of(settings, checkpoint=memory)
        self._journal = archive.journal
        self._tenure = Tenure(settings, book, clocks, feeds, archive)
        self._selector = selectors.DefaultSelector()
        self._inlets = Inlets(
            queue, gone=self._worker_gone, addresses=lambda: self._tenure.addresses, counts=counts
        )
        tcp = settings.tcp
        self._server = PublicServer(
            self,
            ServingLimits(max_connections=_room_for_clients()),
            access=Access(tcp.listen, tcp.allowed_hosts, tcp.allowed_origins),
            refused=self._refused,
        )
        for sock in sockets:
            self._server.listen(sock)
        self._publisher = Publisher(
            self._server, first_seq=now_ms(), min_pnl_change=settings.stream.min_pnl_change
        )
        updated_ms, seq = self._publisher.updated_ms, lambda: self.seq
        self._picture = Picture(seq=seq, updated_ms=updated_ms, healthy=lambda: self._answers.assess().status)
        self._answers = Answers(
            settings,
            book,
            clocks,
            feeds,
            incidents,
            counts,
            archive,
            board,
            updated_ms=updated_ms,
            seq=seq,
            usage=usage,
            spent=spent,
            snapshot_failure=lambda: self._picture.failure,
            snapshot_complaints=lambda: self._picture.complaints,
        )
        self._telling = telling = Telling(
            book, clocks, incidents, counts, archive, self._publisher, self._inlets, self._picture
        )
        welcome = self._tenure.welcome
        self._intake = Intake(book, clocks, feeds, incidents, archive, self._inlets, telling, welcome=welcome)
        self._asleep_s = asleep_s()
        self._tick_s = 0.0
        self._repeats = Repeats()
        self._refusals = Repeats()  # of its own: who is refused often pushes no other fault out of memory

    # ------------------------------------------------- what the server may ask

    @property
    def seq(self) -> int:
        return self._publisher.seq

    def summary(self, account: str | None) -> dict[str, Any] | None:
        return self._answers.summary(account)

    def health(self) -> dict[str, Any]:
        return self._answers.health()

    def workers(self) -> dict[str, Any]:
        return self._answers.workers()

    def metrics(self, accept: str) -> tuple[str, bytes]:
        traffic, waiting = self._server.traffic, self._inlets.waiting_bytes()
        return self._answers.metrics(accept, traffic, waiting, self._publisher.published)

    # ---------------------------------------------------------------- the loop

    def run(self) -> None:
        self._tenure.recover()
        self._telling.judge()
        self._renew_picture()
        if self._tenure.settings.tcp.listen:
            self._answers.prepare_metrics()  # a Prometheus will come: not in the midst of fills
        for waited in (self._inlets.listener, self._server, self._pulse.wake_fd):
            self._selector.register(waited, selectors.EVENT_READ)
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._accept_workers()
                self._drain()
                self._apply_marks()
                self._server.step(0)
                self._tick()
                self._take_reload()
                self._wait()
        finally:
            self._stop()

    def _wait(self) -> None:
        self._selector.select(max(0.0, self._tick_s + TICK_S - time.monotonic()))
        self._pulse.drain_wake()

    def _accept_workers(self) -> None:
        for queue in self._inlets.accept_all():
            self._selector.register(queue, selectors.EVENT_READ)

    def _worker_gone(self, queue: Queue, joined: Joined | None) -> None:
        self._selector.unregister(queue)
        if joined is not None and joined.kind == "fill":
            self._intake.feed_gone(joined.worker)
            self._tick_s = 0.0  # judge at once
        elif joined is not None and joined.kind == "history":
            self._archive.history_gone()

    def _drain(self) -> None:
        """Everything but prices, fills above all; with a thousand clients each takes long to be told."""
        until_s = time.monotonic() + DRAIN_S
        for report in self._inlets.reports(most=REPORTS_A_TURN):
            self._pulse.beat()  # after an outage there may be seconds of work in one turn
            self._intake.take(report)
            if time.monotonic() >= until_s:
                break  # who asks has a turn between

    def _apply_marks(self) -> None:
        marks = self._inlets.latest_marks()
        if marks is None:
            return
        self._clocks.heard_prices(marks.heard_s, marks.missing)
        prices = list(marks.prices.items())
        for at in range(0, len(prices), MARKS_A_SLICE):
            self._pulse.beat()
            self._telling.mark(Marks(dict(prices[at : at + MARKS_A_SLICE]), marks.heard_s))
            if self._inlets.has_fills():
                self._drain()

    def _refused(self, refusal: Refusal) -> None:
        """A call at the public socket was turned away: said once a minute for each user and status."""
        caller = refusal.caller
        unsaid = self._refusals.admit((caller.party, refusal.status), time.monotonic())
        if unsaid is not None:
            facts = {"status": refusal.status, "reason": refusal.reason, **caller.facts()}
            log.warning(
                "a call was refused", extra=fields(**facts, **({"repeated": unsaid} if unsaid else {}))
            )

    # ------------------------------------------------------------- now and then

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s < self._tick_s + TICK_S:
            return
        self._tick_s = now_s
        self._look_for_sleep()
        judged = self._telling.judge()
        if judged:
            self._telling.tell_verdicts(judged)
        for feed, count in self._feeds.judge(now_s).items():
            said = "a feed missed fills"
            self._repeats.log(log, logging.WARNING, said, now=now_s, key=feed, feed=feed, fills=count)
        self._intake.tick(now_s)
        self._telling.ring_again(now_s)
        self._telling.commit()
        if self._picture.failure is not None:
            self._renew_picture()
        self._picture.beat()

    def _look_for_sleep(self) -> None:
        now_s = asleep_s()
        slept_s, self._asleep_s = now_s - self._asleep_s, now_s
        if slept_s > SLEPT_S:
            log.warning("this machine was suspended", extra=fields(seconds=round(slept_s)))
            self._clocks.slept(slept_s)

    def _take_reload(self) -> None:
        if not self._pulse.take_reload():
            return
        settings = self._reload()
        new = self._tenure.reload(settings)
        self._intake.watch(self._book.accounts, new)
        self._publisher.min_pnl_change = settings.stream.min_pnl_change
        self._answers.settings = settings
        self._renew_picture()
        if new:
            # What workers of the new settings said of them before this was of strangers: they say it again.
            self._inlets.welcome_again(new, self._tenure.welcome(new))
        log.info("reloaded", extra=fields(accounts=len(self._book.accounts)))

    def _renew_picture(self) -> None:
        self._picture.renew(self._tenure.settings, self._book.views())

    def _stop(self) -> None:
        """The workers are gone: take what they left, say so, and tell the clients. What there is no time for
        is fetched at the next start."""
        until_s = time.monotonic() + STOP_S
        self._answers.stopping = True
        self._server.step(0)
        for report in self._inlets.reports(most=100_000):
            self._intake.take(report)
            if time.monotonic() > until_s - STOP_S / 2:
                break
        self._tenure.leave(until_s)
        self._server.close()
        self._inlets.close()
        self._picture.close()
        self._selector.close()


def _room_for_clients() -> int:
    """So many connections that workers, files and the snapshot find descriptors whatever clients do."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ServingLimits().max_connections
    return most if soft == resource.RLIM_INFINITY else max(8, min(most, soft - KEPT_DESCRIPTORS))

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

from hlposmon import __version__
from hlposmon.channels.history import History
from hlposmon.channels.journal import Journal
from hlposmon.channels.queue import Queue
from hlposmon.channels.server import PublicServer
from hlposmon.channels.snapshot import SnapshotWriter
from hlposmon.config import Settings
from hlposmon.domain.book import Book
from hlposmon.domain.changes import (
    Adopted,
    Change,
    Doubt,
    Drift,
    Filled,
    Funded,
    Gap,
)
from hlposmon.domain.reports import (
    Bell,
    FeedState,
    Fills,
    Funding,
    Happened,
    Heard,
    Joined,
    Marks,
    Notice,
    Report,
    Statement,
    Unlisted,
    Welcome,
)
from hlposmon.serving.access import Access
from hlposmon.serving.messages import Limits as ServingLimits
from hlposmon.serving.messages import Refusal
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.tracker.answers import Answers, Worker
from hlposmon.tracker.archive import Archive
from hlposmon.tracker.clocks import Clocks, Limits
from hlposmon.tracker.feeds import Feeds
from hlposmon.tracker.incidents import Incidents
from hlposmon.tracker.inlets import Inlets
from hlposmon.tracker.publisher import Publisher
from hlposmon.tracker.remarks import facts_of, gravity, name_of
from hlposmon.wire import published
from hlposmon.wire.lines import body_of, checkpoint, event, whose

log = logging.getLogger(__name__)

TICK_S = 0.25
MARKS_A_SLICE = 8
REPORTS_A_TURN = 64
# While something is in doubt the bell is rung again: the worker that heard it may have died.
RING_AGAIN_S = 3.0
# Two statements must lie apart to count as two.
SECOND_LOOK_S = 2.2
# How long a first statement waits for the feed of fills, which tells what happened around it.
FEED_WAIT_S = 10.0
# Descriptors that clients leave: sockets of workers and of the service, files, the snapshot's next one.
KEPT_DESCRIPTORS = 96
# So long may the end take: less than the supervisor gives one rank, also when the ranks share its time.
STOP_S = 2.5
# A suspension shorter than this changes no verdict.
SLEPT_S = 2.0


class Tracker:
    """`sockets` listen already: they belong to the supervisor and outlive this process."""

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
        self._pulse, self._settings, self._reload = pulse, settings, reload
        self._book = Book(account.name for account in settings.hyperliquid.accounts)
        self._clocks = Clocks(Limits.of(settings))
        self._feeds = Feeds()
        self._incidents = Incidents()
        fsync = settings.audit.fsync
        self._history = History(settings.paths.state_dir, fsync=fsync, beat=pulse.beat)
        self._journal = Journal(
            settings.paths.log_dir,
            fsync=fsync,
            checkpoint=self._memory,
            sealed=self._history.take,
            kept_seq=lambda: self._history.seq,
        )
        self._archive = Archive(self._journal, self._history, beat=pulse.beat)
        self._selector = selectors.DefaultSelector()
        self._inlets = Inlets(queue, gone=self._worker_gone, addresses=self._addresses)
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
            self._server,
            first_seq=int(time.time() * 1000),
            min_pnl_change=settings.stream.min_pnl_change,
        )
        self._answers = Answers(
            settings,
            self._book,
            self._clocks,
            self._feeds,
            self._incidents,
            self._journal,
            self._history,
            board,
            updated_ms=self._publisher.updated_ms,
            seq=lambda: self.seq,
            usage=usage,
            spent=spent,
        )
        self._snapshot: SnapshotWriter | None = None
        self._watched_s = dict.fromkeys(self._book.accounts, time.monotonic())
        self._asleep_s = _asleep_s()
        self._held: dict[str, Statement] = {}
        self._rung_s: dict[str, float] = {}
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

    def metrics(self) -> bytes:
        return self._answers.metrics(self._server.clients)

    # ---------------------------------------------------------------- the loop

    def run(self) -> None:
        self._recover()
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
        """A feed whose process is dead is down, whatever it said last."""
        self._selector.unregister(queue)
        if joined is not None and joined.kind == "fill":
            for name in self._book.accounts:
                now_s = time.monotonic()
                self._feed_is(FeedState(name, joined.worker, False, now_s, "its process is gone"))
            self._tick_s = 0.0  # judge at once

    def _drain(self) -> None:
        """Everything but prices, fills above all."""
        for report in self._inlets.reports(prices=False, most=REPORTS_A_TURN):
            self._pulse.beat()  # after an outage there may be seconds of work in one turn
            self._take(report)

    def _apply_marks(self) -> None:
        marks = self._inlets.latest_marks()
        if marks is None:
            return
        self._clocks.heard_prices(marks.heard_s)
        prices = list(marks.prices.items())
        for at in range(0, len(prices), MARKS_A_SLICE):
            self._pulse.beat()
            self._mark(Marks(dict(prices[at : at + MARKS_A_SLICE]), marks.heard_s))
            if self._inlets.has_fills():
                self._drain()

    # -------------------------------------------------------------- the reports

    def _take(self, report: Report) -> None:
        match report:
            case Fills():
                self._fill(report)
            case Statement():
                self._settle(report)
            case Funding():
                self._tell(self._book.fund(report))
            case FeedState():
                self._feed(report)
            case Heard(feed=feed, at_s=at_s):
                self._clocks.heard_feed(feed, at_s)
            case Notice():
                if self._book.notice(report):
                    log.warning("notice", extra=fields(account=report.account, text=report.text))
            case Happened():
                if self._book.happen(report):
                    log.info(
                        "happened", extra=fields(account=report.account, kind=report.kind, text=report.text)
                    )
            case Unlisted():
                if self._book.unlist(report):
                    self._unlisted(report)
                    log.warning(
                        "fills not listed any more",
                        extra=fields(
                            account=report.account,
                            since_ms=report.since_ms,
                            until_ms=report.until_ms,
                            reason=report.reason,
                        ),
                    )
            case Joined():
                self._inlets.welcome(report, self._welcome())
            case Marks():
                self._clocks.heard_prices(report.heard_s)
                self._mark(report)

    def _fill(self, fills: Fills) -> None:
        changes = self._book.apply(fills)
        new = {change.fill.identity for change in changes if isinstance(change, Filled)}
        if fills.source in self._feeds.tallies and self._book.unsure().get(fills.account):
            new.update(fill.identity for fill in fills.fills)  # what waits behind a gap is new too
        self._feeds.brought(fills.source, fills.account, fills.fills, new, time.monotonic())
        self._tell(changes)

    def _unlisted(self, unlisted: Unlisted) -> None:
        now_ms = _now_ms()
        facts = {"since_ms": unlisted.since_ms, "until_ms": unlisted.until_ms, "reason": unlisted.reason}
        self._journal.append(event("unlisted", now_ms=now_ms, account=unlisted.account, **facts), now_ms)
        self._commit()
        self._incidents.unlisted(unlisted, time.monotonic())

    def _settle(self, statement: Statement) -> None:
        name = statement.account
        if name not in self._book.accounts:
            return
        self._clocks.heard_statement(name, statement.asked_s, pushed=statement.pushed)
        waited = time.monotonic() - self._watched_s[name] > FEED_WAIT_S
        if not (self._book.is_stated(name) or self._book.is_live(name) or waited):
            self._held[name] = statement
            return
        first = not self._book.is_stated(name)
        changes = self._book.settle(statement)
        if first and self._book.is_stated(name):
            body = event("stated", now_ms=_now_ms(), account=name, base_ms=self._book.base_ms()[name])
            self._journal.append(body, _now_ms())
        drifted = {change.key for change in changes if isinstance(change, Drift)}
        in_doubt = {view.key for view in self._book.views(name) if view.in_doubt}
        self._archive.settled(statement, sorted(drifted | in_doubt), _now_ms())
        self._tell(changes)

    def _feed(self, state: FeedState) -> None:
        if state.account not in self._book.accounts:
            return
        was_live = self._book.is_live(state.account)
        self._feed_is(state)
        if state.live and not was_live:
            if (held := self._held.pop(state.account, None)) is not None:
                self._settle(held)
            self._ring(Bell(state.account, None, 0.0, "the feed of fills came up"))

    def _feed_is(self, state: FeedState) -> None:
        """Tell the book; whether an account's fills come in at all is journalled, and since when not."""
        was_live, known_ms = self._book.is_live(state.account), self._book.high_water_ms(state.account)
        self._book.feed(state)
        self._feeds.state(state, time.monotonic())
        live = self._book.is_live(state.account)
        if live != was_live:
            now_ms = _now_ms()
            facts = {"live": live, "since_ms": None if live else known_ms, "reason": state.reason}
            self._journal.append(event("feed", now_ms=now_ms, account=state.account, **facts), now_ms)
            self._commit()

    def _mark(self, marks: Marks) -> None:
        now_ms = _now_ms()
        for account, key in self._book.mark(marks):
            view = self._book.view(account, key)
            self._publisher.price(view, now_ms)
            self._record(account, key)

    # ------------------------------------------------- journal, publish, record

    def _tell(self, changes: Sequence[Change]) -> None:
        """Journal, then publish, then the snapshot; ring where something is missing."""
        now_ms = _now_ms()
        self._incidents.note(changes, time.monotonic())
        judged = self._judge() if changes else []
        everything = [*changes, *judged]
        for change in everything:
            body = body_of(change, now_ms=now_ms)
            if body is not None:
                self._journal.append(body, now_ms)
        if any(isinstance(change, Adopted) for change in changes):
            # Which fills the adopted size holds is known now, and could not be told from the lines alone.
            self._journal.append_checkpoint(now_ms)
        self._commit()
        touched = set()
        for change in everything:
            account, key = whose(change)
            touched.add((account, key))
            self._publisher.change(change, self._book.view(account, key), now_ms)
            if isinstance(change, Gap | Doubt):
                delay_s = 0.0 if isinstance(change, Gap) else SECOND_LOOK_S
                self._ring(Bell(account, change.since_ms, delay_s, name_of(change)))
            if not isinstance(change, Filled | Funded):
                log.log(gravity(change), name_of(change), extra=fields(**facts_of(change)))
        for account, key in touched:
            self._record(account, key)

    def _judge(self) -> list[Any]:
        now_s = time.monotonic()
        return list(
            self._book.judge(
                {
                    name: self._clocks.freshness(self._book.account(name).statement_asked_s, now_s)
                    for name in self._book.accounts
                }
            )
        )

    def _commit(self) -> None:
        self._archive.commit(time.monotonic(), _now_ms())

    def _record(self, account: str, key: str) -> None:
        if self._snapshot is None:
            return
        updated_ms = self._publisher.updated_ms(account, key) or _now_ms()
        self._snapshot.write(published.record(self._book.view(account, key), updated_ms))

    def _warn_of(self, message: str, key: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), key=key, **values)

    def _refused(self, refusal: Refusal) -> None:
        """A call at the public socket was turned away: said once a minute for each user and status."""
        caller = refusal.caller
        unsaid = self._refusals.admit((caller.party, refusal.status), time.monotonic())
        if unsaid is not None:
            facts = {"status": refusal.status, "reason": refusal.reason, **caller.facts()}
            log.warning(
                "a call was refused", extra=fields(**facts, **({"repeated": unsaid} if unsaid else {}))
            )

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.ERROR, message, now=time.monotonic(), **values)

    def _ring(self, bell: Bell) -> None:
        self._rung_s[bell.account] = time.monotonic()
        self._inlets.ring(bell)

    # ------------------------------------------------------------- now and then

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s < self._tick_s + TICK_S:
            return
        self._tick_s = now_s
        asleep_s = _asleep_s()
        if asleep_s - self._asleep_s > SLEPT_S:
            log.warning("this machine was suspended", extra=fields(seconds=round(asleep_s - self._asleep_s)))
            self._clocks.slept(asleep_s - self._asleep_s)
        self._asleep_s = asleep_s
        judged = self._judge()
        if judged:
            self._tell_verdicts(judged)
        for feed, count in self._feeds.judge(now_s).items():
            self._warn_of("a feed missed fills", feed, feed=feed, fills=count)
        for name, statement in list(self._held.items()):
            if now_s - self._watched_s.get(name, 0.0) > FEED_WAIT_S:
                del self._held[name]
                self._settle(statement)
        for name, since_ms in self._book.doubtful():
            if now_s - self._rung_s.get(name, 0.0) > RING_AGAIN_S:
                self._ring(Bell(name, since_ms, 0.0, "still in doubt"))
        self._commit()
        self._archive.follow(now_s, _now_ms())
        if self._answers.snapshot_failure is not None:
            self._renew_snapshot()
        if self._snapshot is not None:
            self._snapshot.beat(wall_ms=_now_ms(), seq=self.seq, healthy=self._answers.assess().status)

    def _tell_verdicts(self, judged: Sequence[Change]) -> None:
        now_ms = _now_ms()
        for change in judged:
            body = body_of(change, now_ms=now_ms)
            assert body is not None, "a verdict is journalled"
            self._journal.append(body, now_ms)
        self._commit()
        for change in judged:
            account, key = whose(change)
            self._publisher.change(change, self._book.view(account, key), now_ms)
            self._record(account, key)
            log.info(name_of(change), extra=fields(**facts_of(change)))

    def _take_reload(self) -> None:
        if not self._pulse.take_reload():
            return
        before = self._addresses()
        self._settings = settings = self._reload()
        now = self._addresses()
        # A name that stands for another address now is another account.
        self._book.watch([name for name in now if before.get(name) == now[name]])
        self._book.watch(now)
        feeds = [f"fill-{number}" for number in range(2, settings.hyperliquid.fill_feeds + 1)]
        self._feeds.watch(["fill", *feeds])
        self._clocks.watch([name for name in now if before.get(name) == now[name]], ["fill", *feeds])
        began_s = time.monotonic()
        self._watched_s = {name: self._watched_s.get(name, began_s) for name in now}
        self._clocks.limits = Limits.of(settings)
        self._journal.fsync = settings.audit.fsync
        self._history.set_fsync(settings.audit.fsync)
        self._journal.append_checkpoint(_now_ms())
        self._commit()
        self._publisher.min_pnl_change = settings.stream.min_pnl_change
        self._answers.settings = settings
        self._renew_snapshot()
        if before != now:
            # What workers of the new settings said before this was of strangers: they say it again.
            self._inlets.welcome_all(self._welcome())
        log.info("reloaded", extra=fields(accounts=len(self._book.accounts)))

    # ------------------------------------------------------------ start and end

    def _memory(self) -> dict[str, Any]:
        return checkpoint(
            self._book.memories(),
            self._book.base_ms(),
            self._addresses(),
            unsure=self._book.unsure(),
            mode=self._settings.mode,
        )

    def _welcome(self) -> Welcome:
        return Welcome({name: self._book.high_water_ms(name) for name in self._book.accounts})

    def _addresses(self) -> dict[str, str]:
        return {account.name: account.address for account in self._settings.hyperliquid.accounts}

    def _recover(self) -> None:
        now_ms = _now_ms()
        found = self._archive.recover(time.monotonic(), now_ms)
        ours = {name for name, address in self._addresses().items() if found.addresses.get(name) == address}
        if found.mode not in ("", self._settings.mode):
            log.warning("another mode's journal is not taken up", extra=fields(mode=found.mode))
            ours = set()
        memories = [memory for memory in found.memories.values() if memory.account in ours]
        self._book.recall(
            memories,
            {name: ms for name, ms in found.base_ms.items() if name in ours},
            {name: since_ms for name, since_ms in found.unsure.items() if name in ours},
        )
        self._journal.append(
            event(
                "start",
                now_ms=now_ms,
                version=__version__,
                mode=self._settings.mode,
                accounts=self._addresses(),
                recovered=len(memories),
            ),
            now_ms,
        )
        self._journal.append_checkpoint(now_ms)
        self._commit()
        self._judge()
        self._renew_snapshot()
        log.info(
            "tracker up",
            extra=fields(recovered=len(memories), audit=self._journal.folder, history=self._history.path),
        )

    def _renew_snapshot(self) -> None:
        """A new file in the place of the old one, with what is watched now and nothing else."""
        old = self._snapshot
        try:
            self._snapshot = SnapshotWriter(self._settings.paths.snapshot, mode=self._settings.mode)
        except OSError as error:
            self._answers.snapshot_failure = f"{self._settings.paths.snapshot}: {error.strerror}"
            self._warn("the snapshot cannot be written", reason=self._answers.snapshot_failure)
            return
        self._answers.snapshot_failure = None
        for view in self._book.views():
            self._record(view.account, view.key)
        if old is not None:
            self._snapshot.beat(wall_ms=_now_ms(), seq=self.seq, healthy=self._answers.assess().status)
            old.close()

    def _stop(self) -> None:
        """The workers are gone: take what they left, say so, and tell the clients. What there is no time for
        is fetched at the next start."""
        until_s = time.monotonic() + STOP_S
        self._answers.stopping = True
        self._server.step(0)
        for report in self._inlets.reports(prices=False, most=100_000):
            self._take(report)
            if time.monotonic() > until_s - STOP_S / 2:
                break
        self._journal.append(event("stop", now_ms=_now_ms(), backlog=self._journal.backlog), _now_ms())
        now_s = time.monotonic()
        self._archive.close(now_s, _now_ms(), within_s=max(0.5, until_s - now_s))
        self._server.close()
        self._inlets.close()
        if self._snapshot is not None:
            self._snapshot.close()
        self._selector.close()


def _room_for_clients() -> int:
    """So many connections that workers, files and the snapshot find descriptors whatever clients do."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ServingLimits().max_connections
    return most if soft == resource.RLIM_INFINITY else max(8, min(most, soft - KEPT_DESCRIPTORS))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _asleep_s() -> float:
    """How long this machine has been suspended since it booted: CLOCK_MONOTONIC stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

"""The tracker's main loop: feeds reports from the queues to the engine and carries out its effects.

Each turn takes the waiting reports, fills first, lets the engine decide, and carries out the effects:
journal, stream, snapshot. New prices are applied to a few positions at a time, and fills are checked in
between. The tracker uses no network, only the listening sockets that it is given.
"""

import logging
import resource
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hlposmon.api.publisher import Publisher
from hlposmon.api.server import PublicServer
from hlposmon.api.subscribers import Subscribers
from hlposmon.config import Settings
from hlposmon.domain.rendering import Renderer
from hlposmon.engine.effects import Effect, Now
from hlposmon.engine.engine import Engine, Watched
from hlposmon.ipc.listeners import FileId
from hlposmon.metrics.measures import Counts
from hlposmon.serving.access import Access
from hlposmon.serving.callers import Refusal
from hlposmon.serving.limits import Limits as ServingLimits
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.system.clock import asleep_s, now_ms
from hlposmon.tracker.agents import Agents
from hlposmon.tracker.answers import Answers
from hlposmon.tracker.bound_sockets import BoundSockets
from hlposmon.tracker.journal_output import JournalOutput
from hlposmon.tracker.lifecycle import Lifecycle, watched_by
from hlposmon.tracker.outputs import Outputs
from hlposmon.tracker.processes import Worker
from hlposmon.tracker.recorder import RecordedEngine, RecordedOutputs, Recording
from hlposmon.tracker.snapshot_output import SnapshotOutput
from hlposmon.tracker.worker_queues import WorkerQueues

log = logging.getLogger(__name__)

TICK_S = 0.25
REVALUED_AT_ONCE = 16
REPORTS_A_TURN = 256
# How many seconds a turn may process reports before their effects are carried out.
TURN_S = 0.01
# File descriptors that clients may not use: for worker and service sockets, files, the snapshot's next file.
KEPT_DESCRIPTORS = 96
# Shutdown budget; must stay below the supervisor's per-rank grace, also when the ranks share its time.
STOP_S = 2.5
# A suspension shorter than this changes no verdict.
SLEPT_S = 2.0


class Tracker:
    """The tracker process; `run` does everything.

    `queue` (for workers) and `sockets` (for clients) already listen; they belong to the supervisor and
    outlive this process. `files` are device and inode of the socket files, by path. `reload` returns the new
    settings, `ask_reload` asks the supervisor to read them again, `reload_failure` says why the last reload
    changed nothing. For `board`, `usage` and `spent` see `Answers`.
    """

    def __init__(
        self,
        pulse: Pulse,
        settings: Settings,
        *,
        queue: socket.socket,
        sockets: Sequence[socket.socket],
        files: Mapping[Path, FileId],
        board: Callable[[], Sequence[Worker]],
        reload: Callable[[], Settings],
        reload_failure: Callable[[], str | None],
        ask_reload: Callable[[], None],
        usage: Callable[[], dict[str, float]],
        spent: Callable[[str], int | None],
    ) -> None:
        self._pulse, self._reload, self._reload_failure = pulse, reload, reload_failure
        self._selector = selectors.DefaultSelector()
        self._counts = counts = Counts()
        self._recording = recording = Recording(settings.record, _now()) if settings.record else None
        self._engine = engine = _engine(watched_by(settings), recording)
        self._lifecycle = Lifecycle(settings, engine)
        journal = self._lifecycle.journal
        self._queues = queues = WorkerQueues(queue, self._selector, dict(engine.watched.addresses), counts)
        # Start above the numbers of the previous tracker, so that no client resumes that tracker's stream.
        self._subscribers = subscribers = Subscribers(now_ms())
        self._renderer = renderer = Renderer()
        self._publisher = publisher = Publisher(subscribers, renderer)
        self._snapshot = snapshot = SnapshotOutput(renderer)
        agents = Agents(settings.paths.state_dir, settings.hyperliquid.api_url, ask_reload)
        self._outputs = _outputs(recording, journal, publisher, snapshot, queues, counts, agents)
        self._answers = Answers(
            settings,
            engine,
            journal,
            snapshot,
            subscribers,
            publisher,
            renderer,
            queues,
            counts,
            board=board,
            usage=usage,
            spent=spent,
        )
        self._server = self._serve(sockets)
        self._bound = BoundSockets(files, settings.paths.socket)
        self._asleep_s = asleep_s()
        self._tick_s = 0.0
        self._is_broken = False
        self._refusals = Repeats()

    def _serve(self, sockets: Sequence[socket.socket]) -> PublicServer:
        tcp = self._lifecycle.settings.tcp
        server = PublicServer(
            self._answers,
            self._subscribers,
            ServingLimits(max_connections=_room_for_clients()),
            access=Access(tcp.listen, tcp.allowed_hosts, tcp.allowed_origins),
            refused=self._refused,
        )
        for sock in sockets:
            server.listen(sock)
        self._selector.register(server, selectors.EVENT_READ)
        self._selector.register(self._pulse.wake_fd, selectors.EVENT_READ)
        return server

    # ---------------------------------------------------------------- the loop

    def run(self) -> None:
        """Recover, work until told to stop, and shut journal, clients and snapshot down.

        Each round of the loop beats the pulse, waits, takes reports and then prices, serves clients, ticks
        every TICK_S, and reloads if asked to. An exception ends it without further decisions.
        """
        self._lifecycle.recover(_now())
        self._renew_snapshot()
        if self._lifecycle.settings.tcp.listen:
            self._answers.prepare_metrics()  # Prometheus will scrape: load it now, not between fills
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                ready = self._wait()
                self._queues.hear(ready)
                self._take_reports()
                self._take_prices()
                if self._server in ready or self._subscribers.is_owed:
                    self._server.step(0)
                self._tick()
                self._take_reload()
        except BaseException:
            self._is_broken = True  # the book may be inconsistent: make no more decisions with it
            raise
        finally:
            self._stop()

    def _wait(self) -> list[object]:
        """Return the readable objects. Sleeps until one is readable or a tick is due, unless work is left."""
        has_work = self._engine.has_moved or self._subscribers.is_owed or self._queues.has_more
        sleep_s = 0.0
        if not has_work:
            self._pulse.rest()
            sleep_s = max(0.0, self._tick_s + TICK_S - time.monotonic())
        ready = self._readable(sleep_s)
        if self._pulse.wake_fd in ready:
            self._pulse.drain_wake()
        return ready

    def _readable(self, within_s: float) -> list[object]:
        return [key.fileobj for key, _ in self._selector.select(within_s)]

    def _begin_turn(self) -> Now:
        """Begin a turn and return its time: everything decided in a turn has the same time."""
        now = _now()
        self._outputs.begin_turn(now)
        return now

    def _take_reports(self) -> None:
        """Process all reports but prices, live fills first, until none is left or the turn's limit is hit.

        The effects of the first report are carried out before the queues are read further, so that a single
        fill is not delayed; the effects of the others are carried out together.
        """
        now = self._begin_turn()
        effects: list[Effect] = []
        is_first = True
        try:
            for report in self._queues.reports(most=REPORTS_A_TURN):
                effects += self._engine.receive(report, now)
                if is_first:
                    done, effects, is_first = effects, [], False
                    self._outputs.carry_out(done, now)
                if time.monotonic() - now.s >= TURN_S:
                    break
        finally:  # carry out what was decided before an exception, but not what it interrupted
            self._outputs.carry_out(effects, now)

    def _take_prices(self) -> None:
        """Give the newest prices to the engine at once; revalue REVALUED_AT_ONCE positions at a time.

        Revaluation stops while a fill waits or after TURN_S, and continues in the next round.
        """
        marks = self._queues.latest_marks()
        if marks is not None:
            now = self._begin_turn()
            self._outputs.carry_out(self._engine.receive(marks, now), now)
        until_s = time.monotonic() + TURN_S
        while self._engine.has_moved and not self._queues.has_fills() and time.monotonic() < until_s:
            now = self._begin_turn()
            self._outputs.carry_out(self._engine.revalue(now, REVALUED_AT_ONCE), now)

    def _refused(self, refusal: Refusal) -> None:
        """Log a refused call at the public socket, once a minute for each user and status."""
        caller = refusal.caller
        unsaid = self._refusals.admit((caller.party, refusal.status), time.monotonic())
        if unsaid is not None:
            facts = {"status": refusal.status, "reason": refusal.reason, **caller.facts()}
            log.warning(
                "a call was refused", extra=fields(**facts, **({"repeated": unsaid} if unsaid else {}))
            )

    # ------------------------------------------------------------- now and then

    def _tick(self) -> None:
        now = self._begin_turn()
        if now.s < self._tick_s + TICK_S:
            return
        self._tick_s = now.s
        self._look_for_sleep(now)
        self._look_for_sockets(now)
        self._answers.reload_failure = self._reload_failure()
        self._outputs.carry_out(self._engine.tick(now), now)
        self._outputs.commit(now)
        self._server.step(0)  # it has deadlines of its own
        if self._snapshot.failure is not None:
            self._renew_snapshot()
        self._snapshot.beat(self._subscribers.seq, self._answers.assess().status)

    def _look_for_sleep(self, now: Now) -> None:
        in_all_s = asleep_s()
        slept_s, self._asleep_s = in_all_s - self._asleep_s, in_all_s
        if slept_s > SLEPT_S:
            log.warning("this machine was suspended", extra=fields(seconds=round(slept_s)))
            self._engine.note_suspension(slept_s, now)

    def _look_for_sockets(self, now: Now) -> None:
        """Listen on sockets that were bound again because their file was removed.

        A socket that the supervisor bound stays open beside the new one: callers may still wait there.
        """
        for path, sock, before in self._bound.look(now.s):
            server = self._server if path == self._lifecycle.settings.paths.socket else self._queues
            server.listen(sock)
            if before is not None:
                server.unlisten(before)
                before.close()
            if not self._lifecycle.settings.paths.snapshot.exists():  # the same cleanup removed it too
                self._renew_snapshot()
        self._answers.socket_failure = self._bound.failure

    def _take_reload(self) -> None:
        if not self._pulse.take_reload():
            return
        settings, now = self._reload(), self._begin_turn()
        watched = self._lifecycle.reload(settings)
        self._queues.addresses = dict(watched.addresses)
        self._outputs.carry_out(self._engine.watch(watched, now), now)
        self._answers.settings = settings
        self._renderer.keep({(view.account, view.key) for view in self._engine.book.views()})
        self._renew_snapshot()
        log.info("reloaded", extra=fields(accounts=len(watched.addresses)))

    def _renew_snapshot(self) -> None:
        engine, at_ms = self._engine, now_ms()
        shown = ((view, engine.updated_ms(view.account, view.key) or at_ms) for view in engine.book.views())
        self._snapshot.renew(self._lifecycle.settings, shown)

    def _stop(self) -> None:
        """Shut down once the workers are gone: process their last reports, journal the stop, and tell the
        clients. Reports that there is no time for are fetched at the next start."""
        until_s = time.monotonic() + STOP_S
        self._answers.stopping = True
        self._server.step(0)
        self._queues.hear(self._readable(0.0))
        while not self._is_broken and self._queues.has_more and time.monotonic() < until_s - STOP_S / 2:
            self._take_reports()
        ended = _now()
        self._lifecycle.leave(ended, until_s)
        if self._recording is not None:
            self._recording.write("stop", ended.s, ended.ms)
            self._recording.close()
        self._server.close()
        self._queues.close()
        self._bound.close()
        self._snapshot.close()
        self._selector.close()


def _now() -> Now:
    return Now(time.monotonic(), now_ms())


def _engine(watched: Watched, recording: Recording | None) -> Engine:
    return Engine(watched, _now()) if recording is None else RecordedEngine(watched, _now(), recording)


def _outputs(
    recording: Recording | None,
    journal: JournalOutput,
    publisher: Publisher,
    snapshot: SnapshotOutput,
    queues: WorkerQueues,
    counts: Counts,
    agents: Agents,
) -> Outputs:
    if recording is None:
        return Outputs(journal, publisher, snapshot, queues, counts, agents)
    return RecordedOutputs(recording, journal, publisher, snapshot, queues, counts, agents)


def _room_for_clients() -> int:
    """The limit of client connections; it leaves KEPT_DESCRIPTORS for workers, files and the snapshot."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ServingLimits().max_connections
    return most if soft == resource.RLIM_INFINITY else max(8, min(most, soft - KEPT_DESCRIPTORS))

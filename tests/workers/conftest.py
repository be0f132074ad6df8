"""An exchange, a tracker that keeps what it is told and has fetched what it lacks, and workers in threads or
processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hlposmon.config import Account, PriceSettings
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    REPLAY_OVERLAP_MS,
    Bell,
    BellReason,
    FeedState,
    Fetched,
    Fills,
    Following,
    Joined,
    Live,
    Marks,
    Notice,
    Place,
    PlaceRead,
    Statement,
    StatementsWanted,
    Welcome,
)
from hlposmon.engine.catchup import FIRST_LOOK_MS, CatchUp
from hlposmon.ipc.queue import Queue, QueueBroken, accept, listen
from hlposmon.pacing import Backoff
from hlposmon.supervision.loop import Pulse
from hlposmon.transport.quota import Quota
from hlposmon.venues.hyperliquid.venue import Hyperliquid
from hlposmon.workers.fill import FillWorker
from hlposmon.workers.price import PriceWorker
from hlposmon.workers.reconcile import ReconcileWorker
from hlposmon.workers.state import StateWorker
from tests.clock import awake_s
from tests.transport.conftest import server
from tests.transport.venue_stage import Options, Venue

__all__ = ["server"]


class Tracker:
    """A tracker's end of the queue: it welcomes who joins, keeps what it is told, and rings for what came
    before a feed, as the real one does."""

    def __init__(self, path: Path, high_water_ms: dict[str, int | None] | None = None) -> None:
        self.path = path
        self.listener = listen(path)
        self.listener.setblocking(False)
        self.high_water_ms = high_water_ms or {}
        self.history: set[int] = set()
        self.queues: dict[Queue, Joined | None] = {}
        self.heard: list[object] = []
        self.welcome: Welcome | None = None  # instead of one that knows the marks alone
        self.known_ms: dict[str, int | None] | None = None
        self.live: set[tuple[str, str]] = set()
        self.catchup = CatchUp()

    def turn(self) -> None:
        while (came := accept(self.listener)) is not None:
            self.queues[came] = None
        for queue in list(self.queues):
            try:
                while (report := queue.get()) is not None:
                    self.heard.append(report)
                    self.take(queue, report)
            except QueueBroken:
                queue.close()
                self.queues.pop(queue)
        self.fetch_if_due()

    def take(self, queue: Queue, report: object) -> None:
        if self.known_ms is None:
            self.known_ms = dict(self.high_water_ms)
        match report:
            case Joined():
                self.queues[queue] = report
                queue.put(self.welcome or Welcome(dict(self.high_water_ms)))
            case Following(account=account, whole_from_ms=whole_ms):
                known_ms = self.known_ms.get(account)
                if whole_ms is not None and known_ms is not None and whole_ms <= known_ms:
                    self.goes_live(report)
                else:
                    self.catchup.follows(report, time.monotonic())
            case Fetched(account=account, from_ms=from_ms):
                for following in self.catchup.fetched(report, self.wanted_ms(account)):
                    self.known_ms[account] = self.known_ms.get(account) or from_ms + REPLAY_OVERLAP_MS
                    self.goes_live(following)
            case FeedState(account=account, feed=feed, live=False):
                self.catchup.lost(account, feed)
                self.live.discard((account, feed))
            case Fills(account=account, fills=fills) if self.is_live(account):
                self.known_ms[account] = max(self.known_ms.get(account) or 0, fills[-1].time_ms)

    def goes_live(self, following: Following) -> None:
        account = following.account
        self.live.add((account, following.feed))
        told = [batch.fills[-1].time_ms for batch in self.of(Fills) if batch.account == account]
        self.known_ms[account] = max([self.known_ms.get(account) or 0, *told])
        for queue, joined in self.queues.items():
            if joined is not None and joined.worker == following.feed:
                queue.put(Live(account, self.known_ms[account], following.since_s))

    def wanted_ms(self, account: str) -> int | None:
        """From when on fills are wanted for a feed that comes up."""
        known_ms = (self.known_ms or {}).get(account)
        if known_ms is not None:
            return max(0, known_ms - REPLAY_OVERLAP_MS)
        stated = [said.time_ms for said in self.statements() if said.account == account]
        return stated[-1] - FIRST_LOOK_MS if stated else None

    def fetch_if_due(self) -> None:
        for account in self.high_water_ms:
            now_s, from_ms = time.monotonic(), self.wanted_ms(account)
            if from_ms is not None and self.catchup.is_due(account, now_s, live=self.is_live(account)):
                self.catchup.asked(account, now_s)
                self.ring(account, from_ms, BellReason.FEED)

    def until(self, wanted: Callable[[], object], seconds: float = 30.0) -> object:
        """Listen until it is so; what it came to."""
        deadline = time.monotonic() + seconds
        while not (found := wanted()):
            assert time.monotonic() < deadline, f"not in time; heard last: {str(self.heard[-4:])[:2000]}"
            self.turn()
            time.sleep(0.002)
        return found

    def for_s(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.turn()
            time.sleep(0.005)

    def ring(
        self, account: str = "main", since_ms: int | None = None, reason: BellReason = BellReason.GAP
    ) -> None:
        for queue, joined in self.queues.items():
            if joined is not None and joined.kind == "reconcile":
                queue.put(Bell(account, since_ms, reason))

    def want_statements(self, *scopes: str, account: str = "main") -> None:
        """Ask every worker for statements of these scopes too."""
        for queue, joined in self.queues.items():
            if joined is not None:
                queue.put(StatementsWanted(account, scopes))

    def renew(self, high_water_ms: dict[str, int | None] | None = None) -> None:
        """The tracker dies and another takes its place at the same listening socket."""
        for queue in self.queues:
            queue.close()
        self.queues.clear()
        self.heard.clear()
        self.live.clear()
        self.catchup = CatchUp()
        self.high_water_ms = high_water_ms or self.high_water_ms
        self.known_ms = None

    def of(self, kind):
        return [report for report in self.heard if isinstance(report, kind)]

    def tids(self, account: str = "main") -> list[int]:
        """The fills that came and are not history, each once, in the order of their first coming."""
        found = {}
        for batch in self.of(Fills):
            if batch.account == account:
                found |= {fill.trade_id: None for fill in batch.fills}
        return [tid for tid in found if tid not in self.history]

    def is_live(self, account: str = "main") -> bool:
        return any(name == account for name, _ in self.live)

    def statements(self, scope: str = FIRST_SCOPE) -> list[Statement]:
        """Those of one dex."""
        return [said for said in self.of(Statement) if said.scope == scope]

    def marks(self) -> list[Marks]:
        return self.of(Marks)

    def notices(self) -> list[str]:
        """Those in force."""
        found: dict[tuple[str, str], Notice] = {}
        for notice in self.of(Notice):
            found[notice.account, notice.code] = notice
        return [notice.text for notice in found.values() if notice.text]

    def looks(self, place: Place, account: str = "main") -> list[PlaceRead]:
        """What was said of a place."""
        return [look for look in self.of(PlaceRead) if (look.account, look.place) == (account, place)]

    def unread(self, place: Place, account: str = "main") -> tuple[str, ...] | None:
        """What the last look said of a place."""
        looks = self.looks(place, account)
        return looks[-1].unread if looks else None

    def close(self) -> None:
        for queue in self.queues:
            queue.close()
        self.listener.close()


class Stage:
    """One exchange, one tracker, and the workers of a test."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.venue = Venue(Options(**{"pace": 0.0, "limits": False, "seed": 7} | options))
        self.control = self.venue.control
        self.accounts = tuple(
            Account("main" if number == 0 else f"other-{number}", address)
            for number, address in enumerate(self.venue.accounts)
        )
        self.account = self.accounts[0]
        self.addresses = {account.name: account.address for account in self.accounts}
        self.tracker = Tracker(folder / "q", dict.fromkeys([account.name for account in self.accounts]))
        self.running: list[tuple[Pulse, threading.Thread]] = []
        # The simulated accounts have traded before.
        self.tracker.history = {row["tid"] for one in self.accounts for row in self.control.made(one.address)}

    def followed(self, pulse: Pulse, url: str | None = None) -> Hyperliquid:
        """The venue as one worker uses it, with a patience for tests."""
        return Hyperliquid(
            url or self.venue.url,
            self.venue.ws_url,
            share=Quota(per_minute=100_000, connections=100_000).share(),
            deadline=pulse,
            ping_after_s=0.5,
            pong_s=1.0,
            backoff=Backoff(0.05, 0.2),
        )

    def fill_worker(self, pulse: Pulse) -> FillWorker:
        return FillWorker(pulse, accounts=self.accounts, venue=self.followed(pulse), queue=self.tracker.path)

    def state_worker(self, pulse: Pulse) -> StateWorker:
        return StateWorker(pulse, accounts=self.accounts, venue=self.followed(pulse), queue=self.tracker.path)

    def price_worker(self, pulse: Pulse, source: str = "auto", interval_s: float = 0.1) -> PriceWorker:
        return PriceWorker(
            pulse,
            accounts=self.accounts,
            settings=PriceSettings(interval_s, source),
            venue=self.followed(pulse),
            queue=self.tracker.path,
        )

    def reconcile_worker(
        self, pulse: Pulse, interval_s: float = 60.0, look_s: float = 60.0, polled: Sequence[str] = ()
    ) -> ReconcileWorker:
        return ReconcileWorker(
            pulse,
            accounts=self.accounts,
            interval_s=interval_s,
            venue=self.followed(pulse),
            queue=self.tracker.path,
            polled=polled,
            look_s=look_s,
        )

    def start(self, make, name: str = "worker", **options: object) -> "Stage":
        """Run a worker in a thread."""
        pulse = Pulse.alone(name)
        thread = threading.Thread(target=make(pulse, **options).run)
        thread.start()
        self.running.append((pulse, thread))
        return self

    def following(self) -> "Stage":
        """A fill worker that is live, and the one that fetches what came before."""
        self.start(self.fill_worker).fetching()
        self.tracker.until(self.tracker.is_live)
        return self

    def fetching(self) -> "Stage":
        """A reconcile worker."""
        return self.start(self.reconcile_worker, name="reconcile")

    def process(self, make, **options: object) -> int:
        """Run a worker in a process of its own, as the supervisor would."""
        pid = os.fork()
        if pid == 0:
            try:
                make(Pulse.alone("worker", signals=True), **options).run()
                os._exit(0)
            except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
                os._exit(1)
        return pid

    def buy(self, coin: str = "BTC", size: str = "0.1", account: Account | None = None) -> int:
        return self.control.fill((account or self.account).address, coin, "B", size, "50000")["tid"]

    def close(self) -> None:
        for pulse, _ in self.running:
            pulse.stop()
        for pulse, thread in self.running:
            thread.join(30)
            assert not thread.is_alive(), "a worker did not stop"
            pulse.close()
        self.tracker.close()
        self.venue.close()


def terminated(pid: int) -> tuple[int, float]:
    """SIGTERM; the exit status, and the seconds that it took on a machine that let it run."""
    began = awake_s()
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), awake_s() - began


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def start(accounts: int = 1, *, first: int = 1, **options: object) -> Stage:
        addresses = tuple("0x" + f"{number + first:02x}" * 20 for number in range(accounts))
        folder = tmp_path / str(len(stages))
        folder.mkdir()
        stages.append(Stage(folder, accounts=addresses, **options))
        return stages[-1]

    yield start
    for one in stages:
        one.close()


@pytest.fixture
def end() -> Callable[[int], tuple[int, float]]:
    return terminated

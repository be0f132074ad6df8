"""An exchange, a tracker that only listens, and workers in threads or processes."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

VENUES = str(Path(__file__).parents[1] / "venues")
if VENUES not in sys.path:
    sys.path.insert(0, VENUES)

from venue_stage import Options, Venue  # noqa: E402

from hlposmon.channels.queue import Queue, QueueBroken, accept, listen  # noqa: E402
from hlposmon.config import Account, PriceSettings  # noqa: E402
from hlposmon.domain.reports import Bell, FeedState, Fills, Joined, Marks, Notice, Statement, Welcome  # noqa: E402
from hlposmon.pacing import Backoff  # noqa: E402
from hlposmon.supervision.loop import Pulse  # noqa: E402
from hlposmon.venues.hyperliquid import HyperliquidInfo  # noqa: E402
from hlposmon.venues.quota import Quota  # noqa: E402
from hlposmon.venues.websocket import Feed  # noqa: E402
from hlposmon.wire.hyperliquid import PING  # noqa: E402
from hlposmon.workers.fill import FillWorker  # noqa: E402
from hlposmon.workers.price import PriceWorker  # noqa: E402
from hlposmon.workers.reconcile import ReconcileWorker  # noqa: E402
from hlposmon.workers.state import StateWorker  # noqa: E402
from tests.clock import awake_s  # noqa: E402


class Tracker:
    """A tracker's end of the queue: it welcomes who joins, and keeps what it is told."""

    def __init__(self, path: Path, high_water_ms: dict[str, int | None] | None = None) -> None:
        self.path = path
        self.listener = listen(path)
        self.listener.setblocking(False)
        self.high_water_ms = high_water_ms or {}
        self.history: set[int] = set()
        self.queues: list[Queue] = []
        self.heard: list[object] = []

    def turn(self) -> None:
        while (came := accept(self.listener)) is not None:
            self.queues.append(came)
        for queue in list(self.queues):
            try:
                while (report := queue.get()) is not None:
                    self.heard.append(report)
                    if isinstance(report, Joined):
                        queue.put(Welcome(dict(self.high_water_ms)))
            except QueueBroken:
                queue.close()
                self.queues.remove(queue)

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

    def ring(self, account: str = "main", since_ms: int | None = None, delay_s: float = 0.0) -> None:
        for queue in self.queues:
            queue.put(Bell(account, since_ms, delay_s, "a test"))

    def renew(self, high_water_ms: dict[str, int | None] | None = None) -> None:
        """The tracker dies and another takes its place at the same listening socket."""
        for queue in self.queues:
            queue.close()
        self.queues.clear()
        self.heard.clear()
        self.high_water_ms = high_water_ms or self.high_water_ms

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
        states = [state for state in self.of(FeedState) if state.account == account]
        return bool(states) and states[-1].live

    def statements(self) -> list[Statement]:
        return self.of(Statement)

    def marks(self) -> list[Marks]:
        return self.of(Marks)

    def notices(self) -> list[str]:
        return [notice.text for notice in self.of(Notice)]

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

    def feed(self, pulse: Pulse) -> Feed:
        return Feed(
            self.venue.ws_url,
            ping=PING,
            patience=pulse,
            ping_after_s=0.5,
            pong_s=1.0,
            backoff=Backoff(0.05, 0.2),
        )

    def info(self, pulse: Pulse, url: str | None = None) -> HyperliquidInfo:
        return HyperliquidInfo(
            url or self.venue.url, budget=Quota(per_minute=100_000).share(), patience=pulse
        )

    def fill_worker(self, pulse: Pulse, max_users: int = 10) -> FillWorker:
        return FillWorker(
            pulse,
            accounts=self.accounts,
            feed=self.feed(pulse),
            info=self.info,
            queue=self.tracker.path,
            max_users=max_users,
        )

    def state_worker(self, pulse: Pulse) -> StateWorker:
        return StateWorker(
            pulse, accounts=self.accounts, feed=self.feed(pulse), queue=self.tracker.path, ack_s=1.0
        )

    def price_worker(self, pulse: Pulse, source: str = "auto", interval_s: float = 0.1) -> PriceWorker:
        return PriceWorker(
            pulse,
            accounts=self.accounts,
            settings=PriceSettings(interval_s, source),
            feed=None if source == "poll" else self.feed(pulse),
            info=self.info(pulse),
            queue=self.tracker.path,
        )

    def reconcile_worker(
        self, pulse: Pulse, interval_s: float = 60.0, look_s: float = 60.0
    ) -> ReconcileWorker:
        return ReconcileWorker(
            pulse,
            accounts=self.accounts,
            interval_s=interval_s,
            info=self.info(pulse),
            queue=self.tracker.path,
            look_s=look_s,
        )

    def start(self, make, **options: object) -> "Stage":
        """Run a worker in a thread."""
        pulse = Pulse.alone("worker")
        thread = threading.Thread(target=make(pulse, **options).run)
        thread.start()
        self.running.append((pulse, thread))
        return self

    def following(self) -> "Stage":
        """A fill worker that is live."""
        self.start(self.fill_worker)
        self.tracker.until(self.tracker.is_live)
        return self

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

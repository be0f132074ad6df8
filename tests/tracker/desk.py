"""A tracker in a thread, with a worker's end of a queue in the test's hand."""

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from hlposmon.client.api import Api
from hlposmon.config import Flags, Settings, load
from hlposmon.domain.reports import (
    AccountMode,
    AccountRole,
    Ask,
    Bell,
    Fetched,
    Fill,
    Fills,
    Following,
    Heard,
    Joined,
    Marks,
    Place,
    PlaceRead,
    Report,
    Side,
    StatedPosition,
    Statement,
    Welcome,
)
from hlposmon.ipc.listeners import file_of, open_door
from hlposmon.ipc.queue import Queue, listen
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse
from hlposmon.tracker.tracker import Tracker
from hlposmon.workers.history import HistoryWorker
from tests.clock import awake_s

T = TypeVar("T")
ADDRESS = "0x" + "1" * 40
KEY = "hyperliquid:Perp:BTC"


def until(what: str, ask: Callable[[], T], within_s: float = 30.0) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.01)  # between two looks at a condition
    raise AssertionError(f"not within {within_s:g} s: {what}")


class Desk:
    """One account `main`; what its worker says, and what the tracker answers and keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environ = {"XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        flags = Flags(addresses=(f"main={ADDRESS}",), socket=folder / "m.sock", log_dir=folder / "log")
        self.settings: Settings = load(flags, environ)
        self.api = Api(self.settings.paths.socket, timeout_s=10)
        self.next_settings = self.settings
        self.reload_failure: str | None = None
        self.now_ms = 1_790_000_000_000
        self._tids = 0
        self.reloads_asked: list[float] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A tracker from here on; it ends as by SIGTERM."""
        door, queue = open_door(self.settings.paths.socket), listen(self.folder / "q")
        board = Board(["tracker"])
        board.row("tracker").beat()
        self.pulse = Pulse.alone("tracker")
        self.tracker = Tracker(
            self.pulse,
            self.settings,
            queue=queue,
            sockets=[door],
            files={
                path: file
                for path in (self.settings.paths.socket, self.folder / "q")
                if (file := file_of(path))
            },
            board=list,
            reload=lambda: self.next_settings,
            reload_failure=lambda: self.reload_failure,
            ask_reload=lambda: self.reloads_asked.append(time.monotonic()),
            usage=dict,
            spent=lambda name: None,
        )
        thread = threading.Thread(target=self.tracker.run)
        thread.start()
        try:
            yield
        finally:
            self.pulse.stop()
            asked_s = awake_s()
            thread.join(timeout=30)
            for sock in (door, queue):
                sock.close()
            board.close()
            assert not thread.is_alive() and awake_s() - asked_s < 5, "the tracker ends within 5 s"

    @contextlib.contextmanager
    def keeping_history(self) -> Iterator[HistoryWorker]:
        """The history's process from here on, as a thread; it ends as by SIGTERM."""
        pulse = Pulse.alone("history")
        worker = HistoryWorker(
            pulse,
            journal=self.folder / "log" / "trading",
            state_dir=self.settings.paths.state_dir,
            fsync="batch",
            queue=self.folder / "q",
        )
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            pulse.stop()
            thread.join(timeout=30)
            assert not thread.is_alive()

    def join(
        self, name: str = "fill", kind: str = "fill", addresses: dict[str, str] | None = None
    ) -> "Desk.Worker":
        return Desk.Worker(self, name, kind, addresses or {})

    class Worker:
        """One worker's end."""

        def __init__(self, desk: "Desk", name: str, kind: str, addresses: dict[str, str]) -> None:
            self.name = name
            self.queue = Queue.connect(desk.folder / "q")
            self.says(Joined(name, kind, addresses))
            self.heard: list[Ask] = []
            until("a welcome", lambda: any(isinstance(ask, Welcome) for ask in self.hear()))

        def says(self, *reports: Report) -> None:
            for report in reports:
                assert self.queue.put(report, lambda: True)

        def hear(self) -> list[Ask]:
            while (ask := self.queue.get()) is not None:
                self.heard.append(ask)  # type: ignore[arg-type]
            return self.heard

        def bells(self) -> list[Bell]:
            return [ask for ask in self.hear() if isinstance(ask, Bell)]

        def is_live(self) -> None:
            """It follows the account, and all since the beginning of time was told and fetched."""
            now = time.monotonic()
            self.says(Heard(self.name, now), Following("main", self.name, now, whole_from_ms=0))
            self.says(Fetched("main", 0, now))

        def sees_everything(self) -> None:
            """What has to be known of the account before it is ready: it is plain, and holds nothing else."""
            self.says(
                AccountMode("main", "default", plain=True),
                AccountRole("main", "user"),
                PlaceRead("main", Place.SPOT, ()),
                PlaceRead("main", Place.DEXES, ()),
            )

    # ------------------------------------------------------------ reports

    def fill(self, side: str, size: str, start: str, price: str = "50000", **more: Any) -> Fill:
        self._tids += 1
        self.now_ms += 1000
        return replace(
            Fill(
                account="main",
                key=KEY,
                time_ms=self.now_ms,
                side=Side(side),
                size=Decimal(size),
                price=Decimal(price),
                start_position=Decimal(start),
                fee=Decimal("1.5"),
                fee_token="USDC",
                closed_pnl=Decimal(0),
                order_id=self._tids,
                trade_id=self._tids,
            ),
            **more,
        )

    def fills(self, *fills: Fill) -> Fills:
        return Fills("main", "test", fills, from_ms=0)

    def marks(self, price: str) -> Marks:
        return Marks({KEY: Decimal(price)}, time.monotonic())

    def statement(self, size: str = "0", entry: str = "50000") -> Statement:
        stated = (StatedPosition(KEY, Decimal(size), Decimal(entry)),) if Decimal(size) else ()
        return Statement("main", "hyperliquid", self.now_ms, time.monotonic(), stated, equity=Decimal(1000))

    # ------------------------------------------------------------ answers

    def position(self) -> dict[str, Any] | None:
        summary = self.api.summary()
        found: dict[str, Any] | None = summary["positions"].get("BTC-USD")
        return found

    def lines(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / "log" / "trading").glob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="hlp-") as folder:
        yield Desk(Path(folder))

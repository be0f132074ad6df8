"""The history's process: it says how far it is, no more often than it must, and its end is bounded."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from hlposmon.client.history import History as Reader
from hlposmon.client.history import NoHistory
from hlposmon.domain.reports import HistoryEvent, HistoryRemark, HistoryState, Joined, Report, Welcome
from hlposmon.ipc.queue import Queue, QueueBroken, accept, listen
from hlposmon.supervision.loop import Pulse
from hlposmon.workers.history import STOP_S, HistoryWorker
from tests.clock import awake_s
from tests.history.archivist import Clerk


class Tracker:
    """The tracker's end of the queue."""

    def __init__(self, path) -> None:
        self._listener = listen(path)
        self._listener.setblocking(False)
        self._queue: Queue | None = None
        self.heard: list[tuple[float, Report]] = []

    def hear(self) -> list[Report]:
        """All that was said until now; whoever joins is welcomed."""
        if self._queue is None:
            self._queue = accept(self._listener)
        with contextlib.suppress(QueueBroken):
            while self._queue is not None and (report := self._queue.get()) is not None:
                self.heard.append((time.monotonic(), report))
                if isinstance(report, Joined):
                    self._queue.put(Welcome({}))
        return [report for _, report in self.heard]

    def states(self) -> list[HistoryState]:
        return [one for one in self.hear() if isinstance(one, HistoryState)]

    def ends(self) -> None:
        """It is gone, and a new one listens."""
        assert self._queue is not None
        self._queue.close()
        self._queue, self.heard = None, []

    def close(self) -> None:
        for one in (self._queue, self._listener):
            if one is not None:
                one.close()


def until(condition, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks at a condition


@pytest.fixture
def tracker(tmp_path):
    made = Tracker(tmp_path / "queue")
    yield made
    made.close()


@pytest.fixture
def clerk(tmp_path):
    made = Clerk(tmp_path)
    made.say("start")
    made.journals(1)
    yield made
    Clerk.ends_all()


@contextlib.contextmanager
def following(clerk, tmp_path):
    pulse = Pulse.alone("history")
    worker = HistoryWorker(
        pulse,
        journal=clerk.journal.folder,
        state_dir=clerk.state,
        fsync="off",
        queue=tmp_path / "queue",
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        pulse.stop()
        thread.join(30)
        assert not thread.is_alive()


def test_it_joins_and_says_how_far_it_is_to_each_tracker(tmp_path, clerk, tracker):
    with following(clerk, tmp_path):
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())
        assert tracker.heard[0][1] == Joined("history", "history", {})
        tracker.ends()
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())


def test_it_speaks_at_most_once_a_second_however_fast_lines_come(tmp_path, clerk, tracker):
    with following(clerk, tmp_path):
        until(tracker.states)
        began_s = time.monotonic()
        while time.monotonic() < began_s + 3:
            clerk.journals(1)
            tracker.hear()
            time.sleep(0.01)  # the pace of the fills
        said = len(tracker.states())
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())

    assert 2 <= said <= 5


def test_nothing_is_said_while_nothing_changes(tmp_path, clerk, tracker):
    with following(clerk, tmp_path):
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())
        said = len(tracker.hear())
        time.sleep(2)  # several looks: that nothing comes of them is what is tried
        assert len(tracker.hear()) == said


def test_what_befell_it_waits_for_a_tracker_and_is_told_once(tmp_path, clerk):
    clerk.state.mkdir()
    (clerk.state / "history.sqlite3").write_bytes(b"garbage" * 1000)
    with following(clerk, tmp_path):
        until(lambda: list(clerk.state.glob("*.corrupt-*Z")))
        tracker = Tracker(tmp_path / "queue")
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())
        told = [one for one in tracker.hear() if isinstance(one, HistoryRemark)]
        tracker.ends()
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())
        again = [one for one in tracker.hear() if isinstance(one, HistoryRemark)]
    tracker.close()

    assert [(one.event, one.facts["reason"]) for one in told] == [
        (HistoryEvent.REBUILT, "it is not a database")
    ]
    assert again == []


def test_asked_to_stop_it_brings_the_last_lines(tmp_path, clerk, tracker):
    with following(clerk, tmp_path):
        until(tracker.states)
        clerk.journals(5_000)
        clerk.journal.close()

    assert [path.name for path in clerk.state.iterdir()] == ["history.sqlite3"]
    with Reader.open(clerk.state / "history.sqlite3") as reader:
        assert reader.seq == clerk.journal.seq


def test_its_end_is_bounded_where_another_program_holds_the_file(tmp_path, clerk, tracker):
    with following(clerk, tmp_path), contextlib.ExitStack() as stack:
        until(lambda: HistoryState(clerk.journal.seq) in tracker.states())
        other = stack.enter_context(contextlib.closing(sqlite3.connect(clerk.state / "history.sqlite3")))
        other.execute("BEGIN IMMEDIATE")
        clerk.journals(10)
        began = awake_s()
        stack.pop_all()
    assert awake_s() - began < STOP_S + 2
    other.close()


def test_a_signal_ends_it_in_order_and_it_has_one_thread(tmp_path, clerk):
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from hlposmon.supervision.loop import Pulse\n"
        "from hlposmon.workers.history import HistoryWorker\n"
        "log, state, queue = map(Path, sys.argv[1:])\n"
        "pulse = Pulse.alone('history', signals=True)\n"
        "HistoryWorker(pulse, journal=log, state_dir=state, fsync='batch', queue=queue).run()\n"
        "print(threading.active_count())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, clerk.journal.folder, clerk.state, tmp_path / "queue"],
        stdout=subprocess.PIPE,
        text=True,
    )

    def seq() -> int:
        try:
            with Reader.open(clerk.state / "history.sqlite3") as reader:
                return reader.seq
        except NoHistory:
            return 0

    until(lambda: seq() == clerk.journal.seq)
    clerk.journals(3)
    process.terminate()
    said, _ = process.communicate(timeout=30)

    assert (process.returncode, said) == (0, "1\n")
    assert seq() == clerk.journal.seq

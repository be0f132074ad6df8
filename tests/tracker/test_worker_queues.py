"""The tracker's ends of the queues: in which order it hears of what came, and of who left."""

import selectors
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hlposmon.domain.reports import FeedState, Heard, Joined, Left, Report
from hlposmon.ipc.queue import Queue, listen
from hlposmon.metrics.measures import Counts
from hlposmon.tracker.worker_queues import WorkerQueues

ADDRESSES = {"main": "0x" + "1" * 40, "hedge": "0x" + "2" * 40}


class Hall:
    """The tracker's ends, the workers' ends, and what was heard in which order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "q"
        self.heard: list[str] = []
        self._listener = listen(self.path)
        self._ends: list[Queue] = []
        self._selector = selectors.DefaultSelector()
        self.queues = WorkerQueues(self._listener, self._selector, dict(ADDRESSES), Counts())

    def join(self, name: str, kind: str = "fill", accounts: tuple[str, ...] = ()) -> Queue:
        end = Queue.connect(self.path)
        self._ends.append(end)
        self.put(end, Joined(name, kind, {account: ADDRESSES[account] for account in accounts}))
        return end

    def put(self, end: Queue, *reports: Report) -> None:
        for report in reports:
            assert end.put(report, lambda: True)

    def hear(self) -> None:
        self.queues.hear([key.fileobj for key, _ in self._selector.select(0)])

    def take(self, most: int = 64) -> list[str]:
        """One look at all that waits; what was heard."""
        self.heard.clear()
        self.hear()
        for report in self.queues.reports(most=most):
            match report:
                case Joined(worker=worker):
                    self.heard.append(f"{worker} joined")
                case Left(worker=worker):
                    self.heard.append(f"{worker} left")
                case FeedState(feed=feed):
                    self.heard.append(f"{feed} is up")
        return list(self.heard)

    def close(self) -> None:
        self.queues.close()
        self._selector.close()
        self._listener.close()
        for end in self._ends:
            end.close()


@pytest.fixture
def hall() -> Iterator[Hall]:
    with TemporaryDirectory(prefix="hlp-") as folder:
        made = Hall(Path(folder))
        yield made
        made.close()


def up(feed: str) -> FeedState:
    return FeedState("main", feed, live=True, at_s=1.0)


def test_who_left_is_heard_of_after_all_that_came_before_that(hall: Hall):
    old, new = hall.join("fill-2"), hall.join("fill")
    hall.take()
    hall.put(new, up("fill"))
    old.close()

    assert hall.take() == ["fill is up", "fill-2 left"]


def test_who_left_is_not_heard_of_before_all_is_read(hall: Hall):
    old, new = hall.join("fill-2"), hall.join("fill")
    hall.take()
    hall.put(new, *[Heard("fill", 1.0)] * 5, up("fill"))
    old.close()

    assert hall.take(most=3) == []
    assert hall.take(most=3) == ["fill is up"]
    assert hall.take(most=3) == ["fill-2 left"]


def test_all_who_left_together_are_heard_of_though_nobody_asks_further_in_one_turn(hall: Hall):
    ends = [hall.join("fill"), hall.join("fill-2")]
    hall.take()
    for end in ends:
        end.close()
    heard = []
    for _ in range(2):
        hall.hear()
        reports = hall.queues.reports(most=10)
        heard.append(next(reports))
        reports.close()

    assert sorted(one.worker for one in heard if isinstance(one, Left)) == ["fill", "fill-2"]
    assert hall.take() == []
    assert not hall.queues.has_more


def test_who_has_come_again_has_not_left(hall: Hall):
    hall.take()
    old = hall.join("fill")
    assert hall.take() == ["fill joined"]
    old.close()
    hall.put(hall.join("fill"), up("fill"))

    assert hall.take() == ["fill joined", "fill is up"]


def test_a_live_fill_is_taken_before_all_that_waits_in_queues_that_were_there_first(hall: Hall):
    heal, feed = hall.join("reconcile", "reconcile"), hall.join("fill")
    hall.take()
    hall.put(heal, *[up("reconcile")] * 200)
    hall.put(feed, up("fill"))

    assert hall.take(most=3) == ["fill is up", "reconcile is up", "reconcile is up"]


def test_a_fill_that_comes_amid_the_reports_of_others_is_the_next_one(hall: Hall):
    heal, feed = hall.join("reconcile", "reconcile"), hall.join("fill")
    hall.take()
    hall.put(heal, *[up("reconcile")] * 10)
    hall.hear()
    reports = hall.queues.reports(most=10)
    heard = [next(reports).feed]
    hall.put(feed, up("fill"))
    heard.append(next(reports).feed)

    assert heard == ["reconcile", "fill"]


def test_workers_that_bring_no_fills_take_turns(hall: Hall):
    heal, state = hall.join("reconcile", "reconcile"), hall.join("state", "state")
    hall.take()
    hall.put(heal, *[up("reconcile")] * 5)
    hall.put(state, *[up("state")] * 5)

    assert hall.take(most=2) + hall.take(most=2) == ["reconcile is up", "state is up"] * 2


def test_a_price_worker_that_left_is_heard_of_too(hall: Hall):
    price = hall.join("price", "price")
    hall.take()
    price.close()
    assert hall.queues.latest_marks() is None

    assert hall.take() == ["price left"]

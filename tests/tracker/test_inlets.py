"""The tracker's ends of the queues: in which order it hears of what came, and of who left."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hlposmon.domain.reports import Ask, FeedState, Heard, Joined, Report, Welcome
from hlposmon.ipc.queue import Queue, listen
from hlposmon.metrics.measures import Counts
from hlposmon.tracker.inlets import Inlets

ADDRESSES = {"main": "0x" + "1" * 40, "hedge": "0x" + "2" * 40}


class Hall:
    """Inlets, the workers' ends, and what was heard in which order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "q"
        self.heard: list[str] = []
        self._listener = listen(self.path)
        self._ends: list[Queue] = []
        self.inlets = Inlets(
            self._listener,
            gone=lambda _, joined: self.heard.append(f"{joined.worker if joined else 'somebody'} left"),
            addresses=lambda: ADDRESSES,
            counts=Counts(),
        )

    def join(self, name: str, kind: str = "fill", accounts: tuple[str, ...] = ()) -> Queue:
        end = Queue.connect(self.path)
        self._ends.append(end)
        self.put(end, Joined(name, kind, {account: ADDRESSES[account] for account in accounts}))
        return end

    def put(self, end: Queue, *reports: Report) -> None:
        for report in reports:
            assert end.put(report, lambda: True)

    def take(self, most: int = 64) -> list[str]:
        """One look at all that waits; what was heard."""
        self.heard.clear()
        self.inlets.accept_all()
        for report in self.inlets.reports(most=most):
            match report:
                case Joined(worker=worker):
                    self.heard.append(f"{worker} joined")
                case FeedState(feed=feed):
                    self.heard.append(f"{feed} is up")
        return list(self.heard)

    def close(self) -> None:
        self.inlets.close()
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


def test_who_comes_again_is_heard_to_have_left_first(hall: Hall):
    hall.take()
    old = hall.join("fill")
    assert hall.take() == ["fill joined"]
    old.close()
    hall.put(hall.join("fill"), up("fill"))

    assert hall.take() == ["fill left", "fill joined", "fill is up"]


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
    reports = hall.inlets.reports(most=10)
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
    assert hall.inlets.latest_marks() is None

    assert hall.take() == ["price left"]


def _asked(end: Queue) -> list[Ask]:
    asked: list[Ask] = []
    while (ask := end.get()) is not None:
        asked.append(ask)  # type: ignore[arg-type]
    return asked


def test_of_new_accounts_those_are_welcomed_again_who_tell_of_them(hall: Hall):
    ends = [
        hall.join("old", accounts=("main",)),
        hall.join("new", accounts=("main", "hedge")),
        hall.join("any"),
    ]
    hall.take()
    welcome = Welcome({"hedge": None})
    hall.inlets.welcome_again({"hedge"}, welcome)

    assert [_asked(end) for end in ends] == [[], [welcome], [welcome]]


def test_what_is_known_of_an_account_is_not_told_of_another_one_of_its_name(hall: Hall):
    ours, theirs = hall.join("ours", "reconcile", ("main",)), hall.join("theirs", "reconcile")
    known = Welcome({"main": 5}, modes={"main": "default"}, roles={"main": ("user", None)})
    hall.put(theirs, Joined("strange", "reconcile", {"main": "0x" + "9" * 40}))
    hall.inlets.accept_all()
    for joined in list(hall.inlets.reports(most=10)):
        hall.inlets.welcome(joined, known)

    assert _asked(ours) == [known]
    assert _asked(theirs)[-1] == Welcome({"main": 5})

"""What a fill, a mark and an idle tick cost, counted in calls of Python functions and not in seconds.

The cost of a fill must not depend on how many accounts and positions there are, and its way must stay short.
"""

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hlposmon.supervision.loop import Pulse
from tests.docs.pages import ROOT
from tests.tracker.desk import desk, until
from tests.tracker.shell import Shell

PACKAGE = Path(sys.modules["hlposmon"].__file__ or "").parent


@pytest.fixture
def shell() -> Iterator[Callable[[int, int], Shell]]:
    made: list[Shell] = []
    with TemporaryDirectory(prefix="hlp-") as folder:

        def make(accounts: int, positions: int) -> Shell:
            here = Path(folder) / str(len(made))
            here.mkdir()
            made.append(Shell(here, accounts, positions))
            return made[-1]

        yield make
        for one in made:
            one.close()


def calls_of(work: Callable[[], object]) -> Counter[str]:
    """How often functions of the package were called, by file."""
    calls: Counter[str] = Counter()

    def count(frame, event, _arg):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            calls[Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix()] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def a_fill(one: Shell, size: str) -> Counter[str]:
    """From the datagram in the queue to the last output."""
    name = next(iter(one.addresses))
    assert one.end.put(one.live(one.fill("1", size, one.coins[0], account=name)), lambda: True)
    return calls_of(one.takes)


def test_a_fill_costs_the_same_with_one_position_and_with_thousands(shell):
    few, many = shell(1, 1), shell(60, 50)
    for number in (1, 2):  # what is made once and kept is not the matter here
        a_fill(few, str(number))
        a_fill(many, str(number))
    cost, of_many = a_fill(few, "3").total(), a_fill(many, "3").total()

    assert cost > 50, "it was counted"
    assert of_many <= 1.5 * cost


def turn_of_a_fill() -> Counter[str]:
    """Calls by file in the whole turn of a running tracker with a client, from the datagram in its queue to
    what was sent. Of several fills the turn with the fewest: no tick was due in it, and nobody else spoke."""
    turns: list[Counter[str]] = []

    def count(frame, event, _arg):
        if event != "call" or not frame.f_code.co_filename.startswith(str(PACKAGE)):
            return
        if frame.f_code is Pulse.beat.__code__:  # each turn of the loop begins with it
            turns.append(Counter())
        if turns:
            turns[-1][Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix()] += 1

    with desk() as here:
        threading.setprofile(count)  # of threads that begin from here on: the tracker's
        with here.running():
            threading.setprofile(None)
            worker = here.join()
            worker.is_live()
            worker.says(here.statement("1"), here.marks("50000"))
            until("proven", lambda: (row := here.position()) and row["verdict"] == "proven")
            with here.api.stream(events=["fill"]) as stream:
                next(stream)
                for number in range(1, 9):
                    fills = here.fills(here.fill("buy", "1", str(number)))
                    worker.says(replace(fills, heard_s=time.monotonic(), from_ms=None))  # they came live
                    while next(stream).get("event_type") != "fill":
                        pass
                    taken = len(turns)
                    until("the turn is over", lambda taken=taken: len(turns) > taken)
    fills = [
        turn for turn in turns if {"ipc/codec.py", "domain/ledger.py", "api/publisher.py"} <= turn.keys()
    ]
    assert fills, "the fills were taken in turns that were seen"
    return min(fills, key=Counter.total)


def way_of_a_fill() -> set[str]:
    """The files that docs/architecture.md names in the table of a fill's turn."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("| in the tracker's turn |", 1)[1].split("\n\n", 1)[0]
    return {f"{name}.py" for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)?)`", table)}


def test_a_fills_turn_enters_the_files_that_the_page_names_and_calls_little():
    turn = turn_of_a_fill()

    assert set(turn) == way_of_a_fill()
    assert len({name for name in turn if name.startswith(("tracker/", "engine/"))}) <= 15
    assert len(turn) <= 45
    assert turn.total() <= 320, turn


def test_an_idle_tick_looks_at_no_position(shell):
    few, many = shell(10, 1), shell(10, 100)
    costs = []
    for one in (few, many):
        one.s += 0.25
        costs.append(calls_of(lambda one=one: one.engine.tick(one.now)).total())

    assert costs[0] == costs[1]


def test_a_mark_costs_as_many_positions_as_hold_it_and_no_more(shell):
    few, many = shell(3, 2), shell(3, 100)
    costs = []
    for one in (few, many):
        name = one.coins[0]
        one.says(one.marks(**{name: "101"}))
        one.carries_out(one.revalues())

        def mark(one=one, name=name):
            effects = one.engine.receive(one.marks(**{name: "102"}), one.now)
            one.outputs.carry_out([*effects, *one.engine.revalue(one.now, 100)], one.now)

        costs.append(calls_of(mark).total())

    assert costs[0] > 30, "it was counted"
    assert costs[1] <= 1.1 * costs[0]


def test_what_health_says_of_all_positions_is_not_added_up_for_each_question(shell):
    few, many = shell(2, 2), shell(2, 100)
    costs = [calls_of(lambda one=one: one.renderer.sums("a0").shown()).total() for one in (few, many)]

    assert [one.renderer.sums("a0").count for one in (few, many)] == [2, 100]
    assert costs[0] == costs[1]


def test_health_looks_at_no_position_anew_though_none_is_proven(shell):
    """After a start, or while a feed is down; a tick asks four times a second."""
    few, many = shell(2, 2), shell(2, 100)
    costs = []
    for one in (few, many):
        one.carries_out(one.passes(400))  # nothing was heard for so long
        assert len(one.engine.listing.doubtful(one.engine.book)) == 2 * len(one.coins)
        costs.append(calls_of(lambda one=one: one.engine.listing.doubtful(one.engine.book)).total())

    assert costs[0] == costs[1]

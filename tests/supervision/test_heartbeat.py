"""The board: one row of shared memory for each child."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from sleepers import read_the_board
from supervision_stage import Script, Stage, descriptors, lines

from hlposmon.supervision import heartbeat
from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.states import State
from tests.shared_memory import leave_nothing, shared_files


def test_a_new_row_is_down_and_has_not_beaten():
    (row,) = Board(["fill:main"], spare=0).rows()

    assert (row.name, row.state, row.pid, row.restarts, row.flapping) == ("fill:main", "down", None, 0, False)
    assert (row.beat_age_s, row.uptime_s, row.last_exit) == (None, None, None)


def test_a_beat_is_seen_and_grows_old():
    board = Board(["a"])
    board.row("a").beat()
    first = board.rows()[0].beat_age_s
    time.sleep(0.02)
    second = board.rows()[0].beat_age_s

    assert first is not None and second is not None
    assert 0 <= first < 30
    assert second >= first + 0.02


def test_who_is_said_to_be_up_and_has_no_process_is_down(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heartbeat, "SILENT_NS", 0)
    board = Board(["living", "dead", "zombie"])
    dead = subprocess.Popen(["true"])
    dead.wait()
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    for name, pid in (("living", os.getpid()), ("dead", dead.pid), ("zombie", zombie.pid)):
        row = board.row(name)
        row.starting()
        row.write(heartbeat.PID, pid)
        row.write(heartbeat.STATE, State.UP)
        row.beat()

    assert [(row.state, row.pid) for row in board.rows()] == [
        ("up", os.getpid()),
        ("down", None),
        ("down", None),
    ]
    zombie.wait()


def test_exit_codes_and_signals_are_told_apart_from_never_exited():
    board = Board(["a"])
    for code in (0, 1, 78, 255, -9, -64):
        board.row("a").exited(code)
        assert board.rows()[0].last_exit == code


def test_rows_stand_in_the_order_of_the_names():
    assert [row.name for row in Board(["b", "a", "c"]).rows()] == ["b", "a", "c"]


def test_a_spare_row_takes_a_new_child_with_its_kind():
    board = Board(["a"], spare=1)
    board.assign("später", "prices")

    assert [(row.name, row.kind) for row in board.rows()] == [("a", ""), ("später", "prices")]


def test_a_full_board_says_so_and_stays_as_it_is():
    board = Board(["a"], spare=1)
    board.assign("b")

    with pytest.raises(ValueError, match="no room for 1 more"):
        board.assign("c")
    assert [row.name for row in board.rows()] == ["a", "b"]


def test_a_released_row_is_given_away_clean():
    board = Board(["a", "b"], spare=0)
    board.row("a").exited(3)
    board.release("a")
    board.assign("c")

    assert [(row.name, row.last_exit) for row in board.rows()] == [("c", None), ("b", None)]


@pytest.mark.parametrize("name", ["a", "", "x" * 97, "nul\0"])
def test_a_name_that_is_taken_or_does_not_fit_is_refused(name: str):
    board = Board(["a"])

    with pytest.raises(ValueError):
        board.assign(name)
    assert [row.name for row in board.rows()] == ["a"]


def test_a_kind_that_does_not_fit_takes_no_row():
    board = Board([], spare=1)
    with pytest.raises(ValueError):
        board.assign("a", "k" * 33)

    assert board.rows() == []
    board.assign("b")


def test_nobody_has_the_row_of_a_stranger():
    with pytest.raises(KeyError):
        Board(["a"]).row("b")


def test_words_do_not_run_into_their_neighbours():
    board = Board(["a", "b", "c"], spare=0)
    for word in range(heartbeat.WORDS):
        board.row("b").write(word, 2**64 - 1 if word != heartbeat.STATE else 2)

    a, _, c = board.rows()
    assert (a.name, a.pid, a.last_exit, c.name, c.pid, c.last_exit) == ("a", None, None, "c", None, None)


def test_a_closed_board_leaves_no_descriptor_and_no_file():
    before, shm = descriptors(), shared_files()
    board = Board(["a"])
    board.row("a").beat()
    board.close()

    assert descriptors() == before
    assert leave_nothing(shm)


def test_a_board_that_is_dropped_leaves_no_descriptor():
    before = len(descriptors())
    Board(["a"])

    assert len(descriptors()) == before


def test_a_child_that_is_handed_the_board_reads_every_row(tmp_path: Path):
    diary = tmp_path / "diary"
    board = Board(["reader"])
    stage = Stage(ChildSpec("reader", read_the_board, (board, diary)), board=board)

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: lines(diary))
        assert lines(diary) == [f"reader:{stage.row('reader').pid}"]

    assert stage.run(script) == 0

"""A run of lives: that it finds what is wrong, says what it did, and leaves nothing behind."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hlposmon.engine.engine import Engine
from hlposmon.system.processes import is_running
from tests.simulation import report
from tests.simulation.__main__ import find
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.places import clear_left, folder_for_a_life, parent
from tests.simulation.result import NOT_WHOLE, Result
from tests.simulation.states import WANTED


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", ["no bell is rung on a gap", "no change is shown"])
def test_a_fault_that_is_put_into_the_product_is_found(name: str):
    [mutation] = [one for one in MUTATIONS if one.name == name]

    with mutation.made():
        _, wrong = find(0, 200, 1)

    assert wrong is not None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_fault_can_be_put_in_and_is_taken_out_again(mutation: Mutation):
    whole = dict(vars(Engine))

    with mutation.made():
        assert dict(vars(Engine)) != whole

    assert dict(vars(Engine)) == whole


def folders_of(pid: int) -> list[Path]:
    return list(parent().glob(f"hlp-sim-{pid}-*"))


def test_a_run_that_is_ended_leaves_no_folder():
    command = [sys.executable, "-m", "tests.simulation", "--lives", "100000", "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while not folders_of(run.pid):
            assert run.poll() is None
        run.terminate()

    assert run.returncode == 128 + signal.SIGTERM
    assert not folders_of(run.pid)


def test_what_a_killed_run_has_left_is_taken_away_by_the_next():
    command = [sys.executable, "-m", "tests.simulation", "--lives", "100000", "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while not folders_of(run.pid):
            assert run.poll() is None
        os.kill(run.pid, signal.SIGSTOP)  # so that it is killed while it has one
        left = folders_of(run.pid)
        run.kill()

    assert not is_running(run.pid)
    assert set(left) <= set(clear_left())
    assert not folders_of(run.pid)


def test_what_a_living_run_needs_is_left_alone():
    ours = folder_for_a_life()

    assert ours not in clear_left()
    ours.rmdir()


def test_a_result_tells_the_unsafe_from_those_that_were_not_whole():
    result = Result(lives=3, wrong={7: [f"{NOT_WHOLE} 60 s after the last fault"], 8: ["at 1.0: wrong"]})

    assert (result.late, result.unsafe) == ([7], [8])


def test_the_report_says_what_so_many_lives_bound(tmp_path: Path):
    page = tmp_path / "page.md"
    seen = dict.fromkeys(WANTED, 5) | {"gap": 12_345}
    total = Result(lives=30_000, fills=9, claims=8, slowest_s=7.25)
    total.seen.update(seen)

    report.write(page, total, command="this", missed=[], minutes=3.0)

    text = page.read_text()
    assert "`this`; commit " in text
    assert "0 of 30,000 failed: at 95 % confidence fewer than 1.0e-04 of all such lives do (3/n)" in text
    assert "| gap | 12,345 |" in text


def test_the_report_names_what_failed_and_what_was_never_met(tmp_path: Path):
    page = tmp_path / "page.md"
    total = Result(lives=30_000, wrong={17: ["at 1.0: wrong"]})

    report.write(page, total, command="this", missed=["gap"], minutes=3.0)

    text = page.read_text()
    assert "1 of 30,000 lives failed" in text
    assert "* 17: at 1.0: wrong" in text
    assert "Never met: gap." in text

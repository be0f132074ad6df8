"""Runs side by side do not share a fate."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from tests.chaos.pool import runs
from tests.chaos.run import Result
from tests.system.world import alive, until


def _dies_of_seven(seed: int, _only: str | None) -> Result:
    if seed == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return Result(seed, "", ok=True)


def test_a_run_whose_process_dies_has_failed_and_the_others_go_on():
    found = {result.seed: result for result in runs([6, 7, 8, 9], jobs=2, work=_dies_of_seven)}

    assert {seed: result.ok for seed, result in found.items()} == {6: True, 7: False, 8: True, 9: True}
    assert "terminated abruptly" in found[7].error


def _says_who_it_is_and_stays(_seed: int, folder: str | None) -> Result:
    (Path(str(folder)) / "begun").write_text(str(os.getpid()))
    try:
        time.sleep(60)  # as a run that is under way
    finally:
        (Path(str(folder)) / "cleaned up").touch()
    raise AssertionError("nobody ended it")


def _hands_out_a_seed(folder: str) -> None:
    list(runs([1], jobs=1, only=folder, work=_says_who_it_is_and_stays))


def test_a_run_under_way_cleans_up_and_ends_when_the_process_that_started_it_is_killed(tmp_path: Path):
    parent = multiprocessing.get_context("spawn").Process(target=_hands_out_a_seed, args=(str(tmp_path),))
    parent.start()
    begun = tmp_path / "begun"
    pid = int(until("a run is under way", lambda: begun.exists() and begun.read_text()))
    parent.kill()
    parent.join()

    until("the run has ended", lambda: not alive(pid), within_s=10)
    assert (tmp_path / "cleaned up").exists()

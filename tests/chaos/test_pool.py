"""Runs side by side do not share a fate."""

import os
import signal

from tests.chaos.pool import runs
from tests.chaos.run import Result


def _dies_of_seven(seed: int, _only: str | None) -> Result:
    if seed == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return Result(seed, "", ok=True)


def test_a_run_whose_process_dies_has_failed_and_the_others_go_on():
    found = {result.seed: result for result in runs([6, 7, 8, 9], jobs=2, work=_dies_of_seven)}

    assert {seed: result.ok for seed, result in found.items()} == {6: True, 7: False, 8: True, 9: True}
    assert "terminated abruptly" in found[7].error

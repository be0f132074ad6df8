"""What the supervisor promises, shown on real processes that sleep, hang, crash and disobey."""

import os
import signal
import time
from pathlib import Path

import pytest
from sleepers import (
    crash,
    crash_before_the_first_beat,
    crash_unless,
    exit_with,
    hang,
    hang_before_the_first_beat,
    hang_deaf_to_aborts,
    ignore_being_asked,
    look_around,
    read_the_board,
    refuse_the_configuration,
    work,
    work_and_note_the_end,
)
from supervision_stage import Script, Stage, alive, lines

from hlposmon.supervision.child import ChildSpec


def test_every_child_is_up_after_its_first_beat_and_gone_after_sigterm():
    stage = Stage(ChildSpec("a", work), ChildSpec("b", work))
    pids: list[int] = []

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        pids.extend(row.pid or 0 for row in stage.board.rows())

    assert stage.run(script) == 0
    assert len(set(pids)) == 2
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_child_that_dies_is_replaced():
    stage = Stage(ChildSpec("a", work))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        first = stage.row("a").pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        yield from stage.until(
            lambda: stage.row("a").pid not in (None, first) and stage.row("a").state == "up"
        )
        assert stage.row("a").restarts == 1
        assert stage.row("a").last_exit == -signal.SIGKILL

    assert stage.run(script) == 0

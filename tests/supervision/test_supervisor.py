"""What the supervisor promises of its children, shown on processes that sleep, hang, crash and disobey."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest
from sleepers import (
    crash,
    crash_unless,
    exit_with,
    hang,
    hang_before_the_first_beat,
    hang_deaf_to_aborts,
    ignore_being_asked,
    look_around,
    refuse_the_configuration,
    return_unasked,
    work,
    work_and_note_the_end,
)
from supervision_stage import OBEYED, Script, Stage, descriptors, lines

from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.supervisor import Policy, Supervisor
from hlposmon.supervision.systemd import Notifier
from tests.clock import awake_s
from tests.shared_memory import leave_nothing, shared_files

UNTIRING = {"flap_limit": 1000}


def is_replaced(stage: Stage, name: str, pid: int | None) -> bool:
    row = stage.row(name)
    return row.state == "up" and row.pid != pid


# --- living


def test_every_child_is_up_after_its_first_beat_and_gone_after_sigterm():
    stage = Stage(ChildSpec("a", work, kind="worker"), ChildSpec("b", work))
    pids: list[int | None] = []

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        pids.extend(row.pid for row in stage.board.rows())
        assert stage.row("a").kind == "worker"
        assert stage.row("a").uptime_s is not None

    assert stage.run(script) == 0
    assert len(set(pids)) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_child_that_has_not_beaten_is_not_up():
    stage = Stage(ChildSpec("a", hang_before_the_first_beat))

    def script(stage: Stage) -> Script:
        yield from stage.for_s(0.4)
        assert stage.states() == {"a": "starting"}
        assert stage.row("a").beat_age_s is None

    assert stage.run(script) == 0


def test_a_child_finds_itself_named_quiet_and_without_systemds_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    diary = tmp_path / "diary"
    stage = Stage(ChildSpec("fill:main", look_around, (diary,)))

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: len(lines(diary)) == 5)

    assert stage.run(script) == 0
    assert lines(diary) == [
        "environ []",
        "sigint ignored True",
        "blocked []",
        "comm fill:main",
        "core limit 0",
    ]


def test_ctrl_c_reaches_the_whole_group_and_no_child_minds():
    stage = Stage(ChildSpec("a", work))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        pid = stage.row("a").pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)
        yield from stage.for_s(0.3)
        assert (stage.row("a").pid, stage.row("a").state) == (pid, "up")

    assert stage.run(script) == 0


# --- dying


def test_children_that_end_unasked_are_replaced_and_their_codes_kept():
    ends = {"crashed": (crash, (), 1), "exited": (exit_with, (3,), 3), "returned": (return_unasked, (), 0)}
    stage = Stage(
        *(ChildSpec(name, target, args) for name, (target, args, _) in ends.items()), patience=UNTIRING
    )

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: all(row.restarts >= 1 for row in stage.board.rows()))
        assert {row.name: row.last_exit for row in stage.board.rows()} == {
            n: end[2] for n, end in ends.items()
        }

    assert stage.run(script) == 0


def test_a_killed_child_is_replaced_and_the_others_are_left_alone():
    stage = Stage(ChildSpec("a", work), ChildSpec("b", work))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        a, b = stage.row("a").pid, stage.row("b").pid
        assert a is not None
        os.kill(a, signal.SIGKILL)
        yield from stage.until(lambda: is_replaced(stage, "a", a))
        assert (stage.row("a").restarts, stage.row("a").last_exit) == (1, -signal.SIGKILL)
        assert (stage.row("b").pid, stage.row("b").restarts) == (b, 0)

    assert stage.run(script) == 0


def test_an_exception_is_logged_once_with_its_traceback(capfd: pytest.CaptureFixture[str]):
    stage = Stage(ChildSpec("a", crash), patience={"backoff_s": 5.0, "backoff_max_s": 5.0})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").last_exit == 1)

    assert stage.run(script) == 0
    said = capfd.readouterr().err
    assert said.count("ERROR a failed") == 1
    assert said.count("RuntimeError: as the test wished") == 1


def deaths(caplog: pytest.LogCaptureFixture) -> list[tuple[float, float]]:
    """When a child died, and in how many seconds it is to be started again."""
    said = [record for record in caplog.records if record.getMessage() == "child died"]
    return [(record.created, vars(record)["fields"]["again_in_s"]) for record in said]


def test_the_log_names_the_signal_that_ended_a_child(caplog: pytest.LogCaptureFixture):
    stage = Stage(ChildSpec("a", work))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        os.kill(stage.row("a").pid or 0, signal.SIGKILL)
        yield from stage.until(lambda: stage.row("a").last_exit is not None)

    assert stage.run(script) == 0
    [died] = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "child died"]
    assert (died["code"], died["signal"]) == (-9, "SIGKILL")


def test_restarts_wait_longer_and_longer(caplog: pytest.LogCaptureFixture):
    stage = Stage(ChildSpec("a", crash), patience=UNTIRING | {"backoff_s": 0.1, "backoff_max_s": 10.0})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").restarts == 3 and stage.row("a").state == "backoff")

    assert stage.run(script) == 0
    died, waits = zip(*deaths(caplog), strict=True)
    # 0.1, 0.2, 0.4, each shortened by up to a fifth, and said to a hundredth
    assert all(0.79 * wait <= said <= wait for said, wait in zip(waits, (0.1, 0.2, 0.4, 0.8), strict=True))
    # A turn may be late but never early.
    assert all(later - at >= said - 0.01 for at, later, said in zip(died, died[1:], waits, strict=False))


def test_health_makes_the_next_wait_short_again(caplog: pytest.LogCaptureFixture):
    patience = UNTIRING | {"backoff_s": 0.25, "backoff_max_s": 60.0, "healthy_s": 0.1}
    stage = Stage(ChildSpec("a", work), patience=patience)

    def script(stage: Stage) -> Script:
        for restarts in range(4):  # unforgiven, the last wait would be 1.6 s at least
            yield from stage.until(lambda: stage.row("a").state == "up")
            yield from stage.for_s(0.2)
            os.kill(stage.row("a").pid or 0, signal.SIGKILL)
            yield from stage.until(lambda n=restarts: stage.row("a").restarts == n + 1)

    assert stage.run(script) == 0
    assert [wait <= 0.25 for _, wait in deaths(caplog)] == [True] * 4


def children() -> set[int]:
    """The children of this process, those that were not reaped among them."""
    found = (task / "children" for task in Path("/proc/self/task").iterdir())
    return {int(pid) for path in found for pid in path.read_text().split()}


def test_twenty_restarts_leave_no_descriptor_no_zombie_and_no_file():
    stage = Stage(ChildSpec("a", crash), patience=UNTIRING | {"backoff_s": 0.001, "backoff_max_s": 0.001})
    seen: list[int] = []
    shm, before = shared_files(), children()

    def script(stage: Stage) -> Script:
        for restarts in (1, 21):
            yield from stage.until(
                lambda n=restarts: stage.row("a").restarts >= n and stage.row("a").state == "backoff", 90.0
            )
            seen.append(len(descriptors()))

    assert stage.run(script) == 0
    # The next start may have begun at either look; a leak would be twenty.
    assert abs(seen[1] - seen[0]) < 5
    assert leave_nothing(shm)
    assert children() <= before  # nobody waits to be reaped, and no helper is left


def test_a_child_that_the_system_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    stage = Stage(ChildSpec("a", work), patience=UNTIRING)

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").restarts >= 1)
        monkeypatch.undo()
        yield from stage.all_up()

    monkeypatch.setattr(os, "fork", refuse)
    assert stage.run(script) == 0


# --- falling silent


def test_a_silent_child_says_where_it_hangs_and_is_replaced(capfd: pytest.CaptureFixture[str]):
    stage = Stage(ChildSpec("a", hang), patience={"silent_s": 0.3})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").restarts == 1)
        assert stage.row("a").last_exit == -signal.SIGABRT

    assert stage.run(script) == 0
    assert "a_place_to_be_found_in" in capfd.readouterr().err


def test_a_silent_child_that_is_deaf_to_aborts_is_killed():
    stage = Stage(ChildSpec("a", hang_deaf_to_aborts), patience={"silent_s": 0.3})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").state == "aborting")
        yield from stage.until(lambda: stage.row("a").restarts == 1)
        assert stage.row("a").last_exit == -signal.SIGKILL

    assert stage.run(script) == 0


def test_a_child_may_ask_for_more_patience_than_the_others():
    stage = Stage(
        ChildSpec("patient", hang, silent_s=60.0), ChildSpec("strict", hang), patience={"silent_s": 0.3}
    )

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("strict").restarts == 1)
        assert stage.row("patient").restarts == 0

    assert stage.run(script) == 0


def test_a_child_that_never_beats_is_aborted_after_its_time_to_start():
    stage = Stage(ChildSpec("a", hang_before_the_first_beat), patience={"starting_s": 0.5})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").restarts == 1)
        assert stage.row("a").last_exit in (-signal.SIGABRT, -signal.SIGKILL)

    assert stage.run(script) == 0


def test_with_the_usual_patience_a_stopped_child_is_replaced_within_twelve_seconds():
    stage = Stage(ChildSpec("a", work), policy=Policy())

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        pid = stage.row("a").pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        stopped = awake_s()
        yield from stage.until(lambda: is_replaced(stage, "a", pid))
        assert awake_s() - stopped < 12.0

    assert stage.run(script) == 0


# --- dying again and again


def test_a_child_that_keeps_dying_is_marked_logged_once_and_still_tried(caplog: pytest.LogCaptureFixture):
    stage = Stage(ChildSpec("a", crash), patience={"flap_limit": 3, "backoff_max_s": 0.05})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").flapping)
        assert stage.row("a").restarts == 4
        yield from stage.until(lambda: stage.row("a").restarts >= 6)

    assert stage.run(script) == 0
    assert len([r for r in caplog.records if "keeps dying" in r.message]) == 1


def test_restarts_far_apart_are_no_flapping():
    stage = Stage(ChildSpec("a", crash), patience={"flap_limit": 1, "flap_window_s": 0.1, "backoff_s": 0.2})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").restarts >= 3)
        assert not stage.row("a").flapping

    assert stage.run(script) == 0


def test_long_health_ends_the_flapping(tmp_path: Path):
    mended = tmp_path / "mended"
    stage = Stage(ChildSpec("a", crash_unless, (mended,)), patience={"flap_limit": 1, "healthy_s": 0.5})

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").flapping)
        mended.touch()
        yield from stage.until(lambda: not stage.row("a").flapping)

    assert stage.run(script) == 0


# --- bad configuration


def test_a_child_that_refuses_its_configuration_at_boot_stops_everything_with_78(tmp_path: Path, capfd):
    diary = tmp_path / "diary"
    stage = Stage(
        ChildSpec("good", work_and_note_the_end, (diary,)), ChildSpec("bad", refuse_the_configuration)
    )

    def script(stage: Stage) -> Script:
        yield from stage.for_s(10.0)
        raise AssertionError("it went on")

    assert stage.run(script) == 78
    assert stage.final["bad"].restarts == 0
    said = capfd.readouterr().err
    assert "api_url: is 7, must be a text" in said and "ws_url: missing" in said
    assert "Traceback" not in said


def test_a_child_that_was_healthy_and_then_exits_with_78_is_only_restarted(tmp_path: Path):
    stop = tmp_path / "stop"
    stop.touch()
    stage = Stage(ChildSpec("a", crash_unless, (stop, 78)), patience={"healthy_s": 0.2})

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        yield from stage.for_s(0.3)
        stop.unlink()
        yield from stage.until(lambda: stage.row("a").last_exit == 78)
        stop.touch()
        yield from stage.until(lambda: stage.row("a").restarts >= 1 and stage.row("a").state == "up")

    assert stage.run(script) == 0


# --- stopping


def test_ranks_are_stopped_one_after_the_other(tmp_path: Path):
    diary = tmp_path / "diary"
    ranks = {"last": 2, "first": 0, "second": 1, "first too": 0}
    stage = Stage(
        *(ChildSpec(name, work_and_note_the_end, (diary,), stop_rank=rank) for name, rank in ranks.items()),
        patience=OBEYED,
    )

    assert stage.run(lambda stage: stage.all_up()) == 0
    assert [ranks[name] for name in lines(diary)] == [0, 0, 1, 2]


def test_a_child_that_ignores_being_asked_is_killed_and_the_next_rank_follows(tmp_path: Path):
    diary = tmp_path / "diary"
    stage = Stage(
        ChildSpec("deaf", ignore_being_asked, stop_rank=0),
        ChildSpec("obedient", work_and_note_the_end, (diary,), stop_rank=1),
        patience={"stop_grace_s": 3.0, "stop_total_s": 60.0},
    )
    start: list[float] = []

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        start.extend((time.monotonic(), awake_s()))

    assert stage.run(script) == 0
    assert 3.0 <= time.monotonic() - start[0]
    assert awake_s() - start[1] < 3.0 + 1.6
    assert stage.final["deaf"].last_exit == -signal.SIGKILL
    assert stage.final["obedient"].last_exit == 0
    assert lines(diary) == ["obedient"]


def test_many_deaf_ranks_share_the_time_there_is(tmp_path: Path):
    diary = tmp_path / "diary"
    deaf = [ChildSpec(f"deaf{rank}", ignore_being_asked, stop_rank=rank) for rank in range(3)]
    last = ChildSpec("obedient", work_and_note_the_end, (diary,), stop_rank=9)
    stage = Stage(*deaf, last, patience={"stop_grace_s": 5.0, "stop_total_s": 5.0})
    start: list[float] = []

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        start.append(awake_s())

    assert stage.run(script) == 0
    assert awake_s() - start[0] < 5.0 + 1.0
    assert lines(diary) == ["obedient"]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_hurries(first: signal.Signals):
    stage = Stage(
        ChildSpec("a", ignore_being_asked, stop_rank=0),
        ChildSpec("b", ignore_being_asked, stop_rank=1),
        patience={"stop_grace_s": 60.0, "stop_total_s": 120.0},
    )

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        os.kill(os.getpid(), first)
        yield from stage.until(lambda: stage.states() == {"a": "stopping", "b": "up"})
        os.kill(os.getpid(), signal.SIGINT)
        yield from stage.until(lambda: set(stage.states().values()) == {"down"})

    assert stage.run(script) == 0


def test_a_stop_during_boot_is_obeyed():
    stage = Stage(ChildSpec("a", work), patience=OBEYED)

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").state == "starting")

    assert stage.run(script) == 0
    assert stage.final["a"].last_exit == 0  # it was held back until the child could hear it as a flag


def test_a_stop_while_a_child_hangs_or_waits_to_restart_does_not_wait_for_it():
    stage = Stage(
        ChildSpec("hanging", hang_deaf_to_aborts),
        ChildSpec("resting", crash),
        patience={"silent_s": 0.2, "abort_grace_s": 60.0, "backoff_s": 60.0, "backoff_max_s": 60.0},
    )
    start: list[float] = []

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.states() == {"hanging": "aborting", "resting": "backoff"})
        start.append(awake_s())

    assert stage.run(script) == 0
    assert awake_s() - start[0] < 10, "neither a grace nor a wait of a minute"


def test_a_supervisor_that_cannot_go_on_takes_its_children_with_it():
    pids: list[int | None] = []
    board = Board(["a"])

    def stumble() -> None:
        if board.rows()[0].state == "up":
            pids.append(board.rows()[0].pid)
            raise ZeroDivisionError("as the test wished")

    before = signal.getsignal(signal.SIGTERM)
    supervisor = Supervisor([ChildSpec("a", work)], board, notifier=Notifier(), on_tick=stumble)

    assert supervisor.run() == 1
    assert pids and not Path(f"/proc/{pids[0]}").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_children_cannot_have_one_name():
    with pytest.raises(ValueError, match="'a'"):
        Supervisor([ChildSpec("a", work), ChildSpec("a", crash)], Board(["a"]), notifier=Notifier())

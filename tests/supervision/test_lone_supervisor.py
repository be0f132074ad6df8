"""A supervisor in a process of its own: killed, put to sleep, left without a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from supervision_stage import alive, wait_until

SCRIPT = Path(__file__).with_name("lone_supervisor.py")


@contextmanager
def lone_supervisor(silent_s: float, *targets: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A supervisor that has its children up, and their pids."""
    command = [sys.executable, str(SCRIPT), str(silent_s), *targets]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def descendants(pid: int) -> set[int]:
    """All processes that come from `pid`, multiprocessing's resource tracker among them."""
    children = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return children.union(*(descendants(child) for child in children))


def test_when_the_supervisor_is_killed_nothing_of_it_lives_for_two_seconds():
    with lone_supervisor(8.0, "work", "ignore_being_asked", "hang") as (supervisor, children):
        everyone = descendants(supervisor.pid)
        assert everyone > set(children)  # the tracker too
        supervisor.kill()
        wait_until(lambda: not any(alive(pid) for pid in everyone), within_s=2.0)


def test_when_the_supervisor_is_killed_while_it_spawns_nothing_of_it_lives_for_two_seconds():
    command = [sys.executable, str(SCRIPT), "8", *["ignore_being_asked"] * 6]
    for delay_s in (0.0, 0.03, 0.1):
        supervisor = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda s=supervisor: len(descendants(s.pid)) >= 2)
        time.sleep(delay_s)  # the moment of the kill is what varies
        everyone = descendants(supervisor.pid)
        supervisor.kill()
        supervisor.wait()
        wait_until(lambda pids=everyone: not any(alive(pid) for pid in pids), within_s=2.0)


def test_sigterm_ends_it_with_zero_and_nothing_of_it_lives():
    with lone_supervisor(8.0, "work", "work") as (supervisor, _):
        everyone = descendants(supervisor.pid)
        supervisor.terminate()
        assert supervisor.wait(5.0) == 0
        wait_until(lambda: not any(alive(pid) for pid in everyone), within_s=2.0)


def test_ctrl_c_is_not_answered_with_a_traceback():
    with lone_supervisor(8.0, "work", "work") as (supervisor, children):
        for pid in (supervisor.pid, *children):  # as a terminal does
            os.kill(pid, signal.SIGINT)
        _, said = supervisor.communicate(timeout=5.0)

    assert supervisor.returncode == 0
    assert "Traceback" not in said and "KeyboardInterrupt" not in said


def test_ctrl_c_while_children_are_being_started_is_not_answered_with_a_traceback():
    command = [sys.executable, str(SCRIPT), "8", "work", "work", "work"]
    supervisor = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(descendants(supervisor.pid)) == 4)
    for pid in (*descendants(supervisor.pid), supervisor.pid):
        os.kill(pid, signal.SIGINT)
    _, said = supervisor.communicate(timeout=8.0)

    assert supervisor.returncode == 0
    assert "Traceback" not in said and "KeyboardInterrupt" not in said


def test_the_programs_main_module_is_not_imported_again():
    with lone_supervisor(8.0, "work_unless_main_was_imported") as (_, children):
        assert len(children) == 1


def test_after_ctrl_z_nobody_is_blamed_for_having_slept():
    with lone_supervisor(1.0, "work", "work") as (supervisor, children):
        group = [supervisor.pid, *children]
        for pid in group:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.5)  # longer than silence is borne
        for pid in group:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.6)
        assert all(alive(pid) for pid in children)
        supervisor.terminate()
        _, said = supervisor.communicate(timeout=5.0)

    assert "was asleep" in said
    assert "silent" not in said


@pytest.mark.parametrize("end", ["terminal gone", "reload"])
def test_a_hangup_stops_a_program_whose_terminal_is_gone_and_reloads_any_other(end: str):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, str(SCRIPT), "8", "work"])
    said = b""
    while b"]\r\n" not in said:  # the pids: it is up
        said += os.read(terminal, 4096)
    if end == "reload":
        os.kill(pid, signal.SIGHUP)
        while b"reloaded" not in said:
            said += os.read(terminal, 4096)
        assert alive(pid)
        os.kill(pid, signal.SIGTERM)
    else:
        os.close(terminal)
    wait_until(lambda: not alive(pid), within_s=5.0)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0

"""A supervisor in a process of its own: killed, put to sleep, left without a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from supervision_stage import alive, wait_until

from tests.clock import awake_s, count_orphans

SCRIPT = Path(__file__).with_name("lone_supervisor.py")


class Lone:
    """A supervisor in a process of its own; what it says goes to a file, so that nobody waits at a pipe."""

    def __init__(self, folder: Path, silent_s: float, *targets: str) -> None:
        self._out, self._err = folder / "out", folder / "err"
        command = [sys.executable, str(SCRIPT), str(silent_s), *targets]
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)
        self.pid = self.process.pid

    def children(self) -> list[int]:
        """The pids of the children, once all are up."""
        wait_until(lambda: self._out.read_text().endswith("\n"))
        pids: list[int] = json.loads(self._out.read_text())
        return pids

    def said(self) -> str:
        return self._err.read_text()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Callable[..., Lone]]:
    """Starts lone supervisors; whatever is left of them after the test is killed."""
    started: list[Lone] = []

    def start(silent_s: float, *targets: str) -> Lone:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Lone(folder, silent_s, *targets))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def descendants(pid: int) -> set[int]:
    """All processes that come from `pid`."""
    children = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return children.union(*(descendants(child) for child in children))


def all_gone(pids: set[int]) -> bool:
    return not any(alive(pid) for pid in pids)


def kill_and_watch(supervisor: Lone, everyone: set[int]) -> None:
    """SIGKILL the supervisor; of all that came from it nothing may live two seconds later."""
    count_orphans(everyone)
    try:
        supervisor.end(signal.SIGKILL)
        killed = awake_s()
        wait_until(lambda: all_gone(everyone))
        assert awake_s() - killed < 2.0
    finally:
        for pid in filter(alive, everyone):  # only when the test fails
            os.kill(pid, signal.SIGKILL)


def test_when_the_supervisor_is_killed_nothing_of_it_lives_for_two_seconds(lone):
    supervisor = lone(8.0, "work", "ignore_being_asked", "hang")
    children = supervisor.children()
    everyone = descendants(supervisor.pid)

    assert everyone == set(children)  # and no process beside them
    kill_and_watch(supervisor, everyone)


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.01, 0.1])
def test_when_the_supervisor_is_killed_while_it_starts_them_nothing_of_it_lives_for_two_seconds(
    lone, delay_s: float
):
    supervisor = lone(8.0, *["ignore_being_asked"] * 6)
    wait_until(lambda: len(descendants(supervisor.pid)) >= 2)
    time.sleep(delay_s)  # the moment of the kill is what varies

    kill_and_watch(supervisor, descendants(supervisor.pid))


def test_sigterm_ends_it_with_zero_and_nothing_of_it_lives(lone):
    supervisor = lone(8.0, "work", "work")
    supervisor.children()
    everyone = descendants(supervisor.pid)

    assert supervisor.end(signal.SIGTERM) == 0
    wait_until(lambda: all_gone(everyone))


def test_ctrl_c_is_not_answered_with_a_traceback(lone):
    supervisor = lone(8.0, "work", "work")
    for pid in supervisor.children():  # as a terminal does: to all
        os.kill(pid, signal.SIGINT)

    assert supervisor.end(signal.SIGINT) == 0
    assert "Traceback" not in supervisor.said() and "KeyboardInterrupt" not in supervisor.said()


def test_ctrl_c_while_children_are_being_started_is_not_answered_with_a_traceback(lone):
    supervisor = lone(8.0, "work", "work", "work")
    wait_until(lambda: len(descendants(supervisor.pid)) == 3)
    for pid in descendants(supervisor.pid):
        os.kill(pid, signal.SIGINT)

    assert supervisor.end(signal.SIGINT) == 0
    assert "Traceback" not in supervisor.said() and "KeyboardInterrupt" not in supervisor.said()


def test_it_has_one_thread_as_a_fork_of_more_would_not_be_safe(lone):
    supervisor = lone(8.0, "work", "work")
    supervisor.children()

    assert "child up" in supervisor.said()  # nor has the log one
    assert len(list(Path(f"/proc/{supervisor.pid}/task").iterdir())) == 1


def test_after_ctrl_z_nobody_is_blamed_for_having_slept(lone):
    supervisor = lone(2.0, "work", "work")
    children = supervisor.children()
    group = [supervisor.pid, *children]
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)  # longer than silence is borne
    for pid in group:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "was asleep" in supervisor.said())
    time.sleep(0.6)  # in which somebody might be blamed

    assert all(alive(pid) for pid in children)
    assert supervisor.end(signal.SIGTERM) == 0
    assert "was asleep" in supervisor.said()
    assert "silent" not in supervisor.said()


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
    wait_until(lambda: not alive(pid))
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0

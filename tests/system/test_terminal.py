"""On a terminal `run` shows the live table, drawn by a process beside the supervisor."""

import os
import pty
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.system.world import COMMAND, descendants, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def _read(terminal: int, said: bytearray) -> None:
    try:
        while piece := os.read(terminal, 1 << 16):
            said.extend(piece)
    except OSError:  # the other side is closed
        pass


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_the_table_is_a_process_and_the_supervisor_keeps_one_thread_and_ctrl_c_ends_all():
    with world() as here:
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(
                sys.executable,
                [*COMMAND, "run", "--simulate", *here.places()],
                here.environ() | {"TERM": "xterm"},
            )
        said = bytearray()
        threading.Thread(target=_read, args=(terminal, said), daemon=True).start()
        try:
            until("the table is shown", lambda: b"equity" in said)
            below = descendants(pid)

            assert "live-table" in {_comm(child) for child in below}
            assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
            os.write(terminal, b"\x03")
            until("it says its last word", lambda: b"hlposmon stopped" in said)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert not [child for child in below if Path(f"/proc/{child}").exists()]
        finally:
            os.close(terminal)
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

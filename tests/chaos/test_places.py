"""The places that a run makes for itself do what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import places

SAY_TWICE = """
import multiprocessing, sys, time
def say(): print(time.time(), time.monotonic(), flush=True)
if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    for _ in range(2):
        child = spawn.Process(target=say); child.start(); child.join()
        sys.stdin.readline()
"""


def test_a_clock_is_stepped_in_processes_that_run_and_their_monotonic_clock_is_not(tmp_path: Path):
    try:
        clock = places.clock(tmp_path)
    except places.Unavailable as why:
        pytest.skip(str(why))
    script = tmp_path / "script.py"
    script.write_text(SAY_TWICE)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clock.environ,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        wall, steady = map(float, process.stdout.readline().split())
        clock.step(3600)
        process.stdin.write("\n")
        process.stdin.flush()
        later_wall, later_steady = map(float, process.stdout.readline().split())
        process.communicate("\n")

    assert 3600 <= later_wall - wall < 3610
    assert 0 <= later_steady - steady < 10


def test_a_disk_that_is_full_takes_nothing_and_one_that_was_freed_does(tmp_path: Path):
    try:
        with places.disk(tmp_path / "small") as disk:
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                (disk.folder / "more").write_bytes(bytes(8192))
            disk.free()
            (disk.folder / "more").write_bytes(bytes(8192))
            disk.read_only()
            with pytest.raises(OSError, match="Read-only"):
                (disk.folder / "another").touch()
            disk.writable()
            (disk.folder / "another").touch()
    except places.Unavailable as why:
        pytest.skip(str(why))

"""The audit while its disk is full, read-only or gone: monitoring goes on, and says so; no line is lost."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.world import COMMAND, World, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Where = contextlib.AbstractContextManager[None]


@contextlib.contextmanager
def _mounted(folder: Path, *args: str) -> Iterator[None]:
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting needs root and mount(8)")
    done = subprocess.run([mount, "-t", "tmpfs", *args, "none", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def _watching() -> Iterator[World]:
    """A monitor that sees 20 fills a second, its audit on a disk of 4 MB."""
    with world() as here:
        here.log_dir.mkdir()
        with _mounted(here.log_dir, "-o", "size=4m"):
            here.open_exchange("--seed", "5", "--pace", "0", "--coins", "6", "--accounts", "1")
            here.flatten()
            here.start()
            here.control.pace(20)
            until("fills are journalled", lambda: _fills(here) > 10)
            try:
                yield here
            finally:
                here.close()


def _fills(here: World) -> int:
    return sum(line["type"] == "fill" for line in here.lines())


def _made_before(here: World) -> int:
    """How many fills the exchange had made before the first that was journalled."""
    made = [fill["tid"] for fill in here.control.made(here.accounts[0])]
    return min(made.index(line["tid"]) for line in here.lines() if line["type"] == "fill")


@contextlib.contextmanager
def _full(here: World) -> Iterator[None]:
    ballast = here.log_dir / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 256)
    try:
        yield
    finally:
        ballast.unlink()


def _read_only(here: World) -> Where:
    """An empty, read-only folder lies over ours; a file system that is written to cannot be made so."""
    return _mounted(here.log_dir / "trading", "-o", "ro")


@contextlib.contextmanager
def _removed(here: World) -> Iterator[None]:
    """The folder is gone, and cannot be made: something else has its name."""
    trading = here.log_dir / "trading"
    kept = here.log_dir / "kept"
    tracker = here.pids("tracker")[0]
    os.kill(tracker, signal.SIGSTOP)  # for a moment, or it would make the folder anew in between
    trading.rename(kept)
    trading.write_text("in the way")
    os.kill(tracker, signal.SIGCONT)
    try:
        yield
    finally:
        os.kill(tracker, signal.SIGSTOP)
        trading.unlink()
        kept.rename(trading)
        os.kill(tracker, signal.SIGCONT)


def _verified(here: World) -> dict[str, object]:
    done = here.run("audit", "verify", "--json", "--log-dir", str(here.log_dir))
    said: dict[str, object] = json.loads(done.stdout)
    assert (done.returncode, said["faults"]) == (0, []), said["faults"]
    return said


@pytest.mark.parametrize(
    ("harm", "why"), [(_full, "No space left"), (_read_only, "Read-only file system"), (_removed, "")]
)
def test_a_disk_that_refuses_is_said_monitoring_goes_on_and_every_line_is_written_in_the_end(
    harm: Callable[[World], Where], why: str
):
    with _watching() as here:
        with harm(here):
            health = until("unhealthy", lambda: (h := here.api.health())["status"] == "unhealthy" and h)
            assert health["reasons"][0].startswith("the audit cannot be written: ")
            assert why in health["reasons"][0]
            assert here.run("health").returncode == 2

            with here.api.stream(events=["fill"]) as stream:
                heard = [message for message, _ in zip(stream, range(6), strict=False)]
            assert {message["type"] for message in heard[1:]} == {"position_update"}
            waiting = here.api.health()["journal"]
            assert waiting["backlog"] > 5
            assert waiting["failure"] is not None

        here.control.pace(0)
        until("written", lambda: (j := here.api.health()["journal"])["failure"] is None and not j["backlog"])
        begun = _made_before(here)
        until("all agree", lambda: not here.disagreements(fills_from=begun))
        assert here.api.health()["journal"]["lost"] == 0
        assert here.stop() == 0
        assert _verified(here)["lines"] == len(here.lines())


def test_a_folder_that_was_moved_away_is_made_anew_and_both_parts_are_one_chain():
    with _watching() as here:
        trading = here.log_dir / "trading"
        kept = trading.rename(here.log_dir / "kept")
        until("made anew", lambda: _fills(here) > 10)
        here.control.pace(0)
        assert here.stop() == 0

        for path in kept.iterdir():
            (trading / f"{path.name}-20990101.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert _verified(here)["first_seq"] == 1


def test_an_audit_of_monitors_that_were_killed_is_intact_and_one_altered_digit_is_found():
    with world() as here:
        here.open_exchange("--seed", "6", "--pace", "0", "--coins", "6", "--accounts", "1")
        here.flatten()
        for _ in range(3):
            here.start()
            before = _fills(here)
            here.control.pace(200)
            until("fills are journalled", lambda before=before: _fills(here) > before + 60)
            assert here.monitor is not None
            here.monitor.send_signal(signal.SIGKILL)
            here.monitor.wait()
            here.control.pace(0)
        here.start()
        assert _verified(here)["first_seq"] == 1
        assert here.stop() == 0

        path = sorted((here.log_dir / "trading").iterdir())[-1]
        lines = path.read_bytes().splitlines(keepends=True)
        number = [at for at, line in enumerate(lines) if b'"type":"fill"' in line][-7]
        at = lines[number].index(b'"price":"') + 9
        lines[number] = lines[number][:at] + b"9" + lines[number][at:]
        path.write_bytes(b"".join(lines))
        done = here.run("audit", "verify", "--log-dir", str(here.log_dir))
        assert done.returncode == 1
        assert done.stdout.startswith(f"{path.name}:{number + 1}: altered: seq ")
        assert "1 fault" in done.stdout


def test_a_log_that_nobody_reads_stops_no_process():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        out, end = os.pipe()
        os.set_blocking(end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(end, b"x" * 4096)
        os.set_blocking(end, True)
        account = ["--address", f"main={here.accounts[0]}", *here.urls]
        here.monitor = subprocess.Popen(
            [*COMMAND, "run", "--plain", *here.places(), *account],
            stdout=subprocess.DEVNULL,
            stderr=end,
            env=here.environ() | {"LOG_LEVEL": "DEBUG"},
        )
        os.close(end)
        try:
            here.ready()
            assert here.stop() == 0
        finally:
            os.close(out)

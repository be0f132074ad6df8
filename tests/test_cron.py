"""etc/cron.d/hlposmon: as cron wants such files, and its lines run by sh in a root of their own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.canned_monitor import HEALTH, Monitor

FILE = Path(__file__).parent.parent / "etc/cron.d/hlposmon"
TEXT = FILE.read_text()
JOB = re.compile(r"#?(\*(?:/\d+)? \* \* \* \*) (\S+) (.+)")
JOBS = [match for match in map(JOB.fullmatch, TEXT.splitlines()) if match]
COMMANDS = [match[3] for match in JOBS]


class Root:
    """A machine's places below a folder; commands find them there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for place in ("usr/local/bin", "var/lib/hlposmon", "run/hlposmon", "etc/hlposmon"):
            (folder / place).mkdir(parents=True)
        (folder / "var/lib/prometheus/node-exporter").mkdir(parents=True)
        self.install()
        self.service(enabled=True)

    def install(self) -> None:
        (self.folder / "usr/local/bin/hlposmon").symlink_to(Path(sys.executable).with_name("hlposmon"))

    def service(self, *, enabled: bool) -> None:
        systemctl = self.folder / "usr/local/bin/systemctl"
        systemctl.write_text(f"#!/bin/sh\nexit {0 if enabled else 1}\n")
        systemctl.chmod(0o755)

    def remove(self) -> None:
        (self.folder / "usr/local/bin/hlposmon").unlink()

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """As cron does: by SHELL with PATH, and a nearly empty environment."""
        there = re.sub(r"/(usr/local/bin|var/lib|run|etc)/", rf"{self.folder}/\1/", command)
        path = re.search(r"^PATH=(.*)$", TEXT, re.MULTILINE)
        assert path is not None
        environ = {"HOME": str(self.folder), "PATH": f"{self.folder}/usr/local/bin:{path[1]}"}
        return subprocess.run(
            ["/bin/sh", "-c", there], env=environ, capture_output=True, text=True, timeout=120
        )


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.fixture
def monitor(root: Root) -> Iterator[Monitor]:
    running = Monitor(root.folder / "run/hlposmon/hlposmon.sock")
    running.start()
    yield running
    running.stop()


def test_the_file_is_one_that_cron_reads():
    active = [line for line in TEXT.splitlines() if line and not line.startswith("#")]

    # cron passes over names with a dot and files without a last newline.
    assert re.fullmatch(r"[A-Za-z0-9_-]+", FILE.name)
    assert TEXT.endswith("\n")
    assert not FILE.stat().st_mode & 0o111
    assert "SHELL=/bin/sh" in active
    assert [line for line in active if re.match(r"[A-Z]+=", line)] + [JOBS[0][0]] == active
    # An unquoted % is a newline there.
    assert [] == [command for command in COMMANDS if "%" in command]


def test_no_check_waits_for_what_somebody_else_can_hold():
    """A lock on a folder is anybody's who may read it: with one, a member of the group silenced the alarm."""
    assert "flock" not in TEXT


def test_one_line_is_on_and_the_others_are_ready():
    assert [False, True, True] == [match[0].startswith("#") for match in JOBS]
    assert ["hlposmon", "hlposmon", "root"] == [match[2] for match in JOBS]
    assert {"* * * * *"} == {match[1] for match in JOBS}


class TestItsLines:
    def test_when_all_is_well_nothing_is_said(self, root: Root, monitor: Monitor):
        done = root.run(COMMANDS[0])

        assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)

    def test_a_service_that_is_not_enabled_is_not_missed(self, root: Root):
        root.service(enabled=False)
        done = root.run(COMMANDS[0])

        assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)

    def test_what_is_not_well_is_said(self, root: Root, monitor: Monitor):
        monitor.says("positions/health", {**HEALTH, "status": "degraded", "reasons": ["fills are 12 s old"]})
        done = root.run(COMMANDS[0])

        assert done.stdout.startswith("HLPOSMON WARNING - ")
        assert 1 == done.returncode

    def test_a_monitor_that_is_down_is_said(self, root: Root):
        assert root.run(COMMANDS[0]).stdout.startswith("HLPOSMON CRITICAL - no monitor is running")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_when_the_package_was_removed_nothing_happens(self, root: Root, command: str):
        root.remove()
        done = root.run(command)

        assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)

    def test_a_missing_ping_file_is_said_and_the_status_is_that_of_the_check(
        self, root: Root, monitor: Monitor
    ):
        done = root.run(COMMANDS[1])

        assert ("", 0) == (done.stdout, done.returncode)
        assert done.stderr.startswith("hlposmon: no ping: ")

    def test_the_figures_are_written_and_nothing_is_said(self, root: Root, monitor: Monitor):
        done = root.run(COMMANDS[2])
        written = root.folder / "var/lib/prometheus/node-exporter/hlposmon.prom"

        assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)
        assert "hlposmon_health_status 0\n" in written.read_text()

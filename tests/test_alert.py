"""systemd/hlposmon-alert: run as its unit runs it, with a systemctl and a journalctl of the test's."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clock import awake_s
from tests.debian import program

SYSTEMD = Path(__file__).parent.parent / "systemd"
SCRIPT = SYSTEMD / "hlposmon-alert"
UNIT = "hlposmon.service"


class Alert:
    """The script, and a machine's places below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for place in ("bin", "run", "alert.d"):
            (folder / place).mkdir()
        self.put(
            "bin/systemctl", 'case $1 in show) echo failed; echo 78 ;; *) echo "the status of it" ;; esac'
        )
        self.put("bin/journalctl", "echo the last lines")

    def put(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def teller(self, name: str, body: str = "") -> None:
        """A program that notes what it was told, and then does as it is bid."""
        self.put(f"alert.d/{name}", f'{{ echo "unit=$1"; cat; }} > {self.folder}/told-{name}\n{body}')

    def told(self, name: str) -> str:
        path = self.folder / f"told-{name}"
        return path.read_text() if path.exists() else ""

    def raised(self, *, status: int = 0, **more: str) -> list[str]:
        """What it says to the journal; systemd has it ignore SIGPIPE, as Python does."""
        environ = {
            "PATH": f"{self.folder}/bin:{os.defpath}",
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "ALERT_FOLDER": str(self.folder / "alert.d"),
            "ALERT_SENDMAIL": str(self.folder / "bin/sendmail"),
            **more,
        }
        done = subprocess.run(
            [program("sh"), SCRIPT, UNIT],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            restore_signals=False,
        )
        assert status == done.returncode, done.stderr
        return [line for line in done.stderr.splitlines() if line != "Killed"]  # the shell's own word

    @property
    def is_noted(self) -> bool:
        return (self.folder / "run" / UNIT).exists()


@pytest.fixture
def alert(tmp_path: Path) -> Alert:
    return Alert(tmp_path)


FAILED = f'<2>alert unit={UNIT} result="failed 78"'


def test_each_program_is_given_the_unit_and_the_report(alert: Alert):
    alert.teller("a")
    alert.teller("b")

    assert [FAILED] == alert.raised()
    assert alert.told("a") == alert.told("b")
    assert re.match(rf"unit={UNIT}\n{UNIT} failed on \S+ at \d{{4}}-", alert.told("a"))
    assert "\nthe status of it\n" in alert.told("a") and "\nthe last lines\n" in alert.told("a")


def test_a_unit_is_told_of_once_an_hour(alert: Alert):
    alert.teller("a")
    alert.raised()
    (alert.folder / "told-a").unlink()

    assert alert.raised() == [FAILED, f"<5>not told again unit={UNIT} every_s=3600"]
    assert "" == alert.told("a")
    alert.raised(ALERT_EVERY_S="0")
    assert alert.told("a")


def test_what_could_not_be_told_is_told_the_next_time(alert: Alert):
    alert.teller("a", "exit 7")
    alert.teller("b")

    assert alert.raised() == [FAILED, f"<3>alert failed program={alert.folder}/alert.d/a status=7"]
    assert alert.told("b") and not alert.is_noted


@pytest.mark.parametrize("body", ["sleep 1000", "trap '' TERM; while :; do sleep 1; done"])
def test_a_program_that_hangs_is_named_and_the_others_have_their_turn(alert: Alert, body: str):
    alert.teller("a", body)
    alert.teller("b", body)
    alert.teller("c")
    began = awake_s()
    said = alert.raised(ALERT_WITHIN_S="9")

    assert [re.sub(r"\d+ s", "N s", line) for line in said] == [
        FAILED,
        *(
            f'<3>alert failed program={alert.folder}/alert.d/{name} reason="no end within N s"'
            for name in "ab"
        ),
    ]
    assert alert.told("c") and not alert.is_noted
    assert awake_s() - began < 9 + 2


def test_who_is_quick_leaves_its_time_to_the_others(alert: Alert):
    alert.teller("a")
    alert.teller("b", "sleep 4")

    assert [FAILED] == alert.raised(ALERT_WITHIN_S="8")


@pytest.mark.parametrize("hanging", ["systemctl", "journalctl"])
def test_a_systemd_that_does_not_answer_costs_the_report_and_not_the_alert(alert: Alert, hanging: str):
    alert.put(f"bin/{hanging}", "sleep 1000")
    alert.teller("a")
    alert.raised(ALERT_ASK_S="1")

    assert f"{UNIT} failed on " in alert.told("a")


def test_without_a_program_it_is_mailed_and_a_sendmail_that_hangs_is_named(alert: Alert):
    alert.put("bin/sendmail", f"cat > {alert.folder}/told-mail; echo $* >> {alert.folder}/told-mail")
    assert [FAILED] == alert.raised(ALERT_MAILTO="me@example.org")
    mail = alert.told("mail")
    alert.put("bin/sendmail", "sleep 1000")
    said = alert.raised(status=1, ALERT_EVERY_S="0", ALERT_WITHIN_S="3")

    assert re.match(rf"To: me@example.org\nSubject: \[\S+\] {UNIT} failed\n\n{UNIT} failed on", mail)
    assert mail.endswith("\n-t\n")
    assert re.fullmatch(r'<3>alert failed program=sendmail reason="no end within \d s"', said[1])


def test_where_there_is_nobody_to_tell_it_says_so_and_fails_each_time(alert: Alert):
    (alert.folder / "alert.d/README").write_text("not a program")

    for _ in range(2):
        assert "<4>nobody was told: put a program into" in alert.raised(status=1)[1]
    assert not alert.is_noted


def test_it_fails_when_not_one_program_was_told(alert: Alert):
    alert.teller("a", "exit 7")
    alert.teller("b", "exit 8")

    assert 3 == len(alert.raised(status=1))
    assert not alert.is_noted


def test_a_program_that_does_not_read_its_input_is_told_without_a_word_of_broken_pipes(alert: Alert):
    alert.put("bin/journalctl", "head -c 300000 /dev/zero | tr '\\0' x")
    alert.put("alert.d/a", "exec <&-")

    assert [FAILED] == alert.raised()
    assert alert.is_noted


def test_all_of_it_ends_before_systemd_would_end_it():
    unit = (SYSTEMD / "hlposmon-alert@.service").read_text()
    given, wanted = re.search(r"^TimeoutStartSec=(\d+)$", unit, re.M), _default("ALERT_WITHIN_S")
    assert given is not None

    # Three questions to systemd come first.
    assert wanted + 5 <= int(given[1])
    assert 3 * _default("ALERT_ASK_S") <= wanted / 2


def _default(name: str) -> int:
    found = re.search(rf"\$\{{{name}:-(\d+)\}}", SCRIPT.read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("look", [lambda: [program("dash"), "-n"], lambda: [program("shellcheck")]])
def test_it_is_plain_shell(look: Callable[[], list[str]]):
    done = subprocess.run([*look(), SCRIPT], capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_a_stamp_of_a_clock_that_was_ahead_silences_nobody(tmp_path: Path):
    alert = Alert(tmp_path)
    alert.teller("a")
    stamp = tmp_path / "run" / UNIT
    stamp.touch()
    os.utime(stamp, (time.time() + 1e7, time.time() + 1e7))
    alert.raised()

    assert alert.told("a")


@pytest.mark.parametrize("odd", ["50s", "", "-1", "ten"])
def test_a_setting_that_is_no_number_silences_nobody(tmp_path: Path, odd: str):
    alert = Alert(tmp_path)
    alert.teller("a")
    alert.raised(ALERT_WITHIN_S=odd, ALERT_EVERY_S=odd)

    assert alert.told("a")


def test_a_journalctl_that_does_not_end_when_asked_keeps_nobody_waiting(tmp_path: Path):
    alert = Alert(tmp_path)
    alert.teller("a")
    alert.put("bin/journalctl", 'trap "" TERM; while :; do sleep 0.2; done')
    alert.raised(ALERT_ASK_S="1")

    assert "the status of it" in alert.told("a")

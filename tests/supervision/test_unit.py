"""The unit file: what systemd itself says of it, and what the supervisor relies on."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "hlposmon.service"


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def analyze(unit: str, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here")
    copy = tmp_path / UNIT.name  # verify wants the program to be there
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.M))
    return subprocess.run([tool, *words, str(copy)], capture_output=True, text=True, timeout=30)


def test_systemd_finds_nothing_to_say_against_it(tmp_path: Path):
    verdict = analyze(UNIT.read_text(), tmp_path, "verify")

    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, "", "")


def test_systemd_calls_it_well_confined(tmp_path: Path):
    verdict = analyze(UNIT.read_text(), tmp_path, "security", "--offline=true", "--threshold=20")  # 2.0 of 10

    assert verdict.returncode == 0, verdict.stdout


def test_a_mistake_in_it_would_be_found(tmp_path: Path):
    broken = UNIT.read_text().replace("KillMode=mixed", "KillMode=kind")

    assert "kind" in analyze(broken, tmp_path, "verify").stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("ExecStart", "/opt/hlposmon/bin/hlposmon run"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("WatchdogSec", "30"),
        ("KillMode", "mixed"),
        ("TimeoutStopSec", "15"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "78"),
        ("User", "hlposmon"),
        ("Group", "hlposmon"),
        ("RuntimeDirectory", "hlposmon"),
        ("StateDirectory", "hlposmon"),
        ("LogsDirectory", "hlposmon"),
        ("ConfigurationDirectory", "hlposmon"),
    ],
)
def test_it_says_what_the_supervisor_relies_on(service: configparser.SectionProxy, key: str, value: str):
    assert service[key] == value


def test_it_uses_nothing_that_systemd_252_does_not_know():
    assert not re.findall(
        r"^(?:Type=notify-reload|RestartSteps=.*|RestartMaxDelaySec=.*)$", UNIT.read_text(), re.M
    )


def test_peers_at_the_socket_keep_their_uid(service: configparser.SectionProxy):
    assert "PrivateUsers" not in service

"""The unit files: what systemd itself says of them, and what the supervisor relies on."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "hlposmon.service"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".service", ".timer"))


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def analyze(tmp_path: Path, *words: str, **changed: str) -> "subprocess.CompletedProcess[str]":
    """What `systemd-analyze` says with every unit in one folder; `changed` ones by their stems."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here; on Debian: apt install systemd")
    for name in UNITS:
        unit = changed.get(name.split(".")[0], (FOLDER / name).read_text())
        # verify wants the programs to be there.
        (tmp_path / name).write_text(re.sub(r"^(Exec\w+=)/opt/\S+", r"\1/bin/true", unit, flags=re.M))
    return subprocess.run([tool, *words], capture_output=True, text=True, timeout=120, cwd=tmp_path)


def verify(tmp_path: Path, **changed: str) -> "subprocess.CompletedProcess[str]":
    units = [f"./{name}" for name in UNITS if "@" not in name]  # the template by the units that name it
    return analyze(tmp_path, "verify", "--man=no", *units, **changed)


def test_systemd_finds_nothing_to_say_against_them(tmp_path: Path):
    verdict = verify(tmp_path)

    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", ["hlposmon.service", "hlposmon-health.service"])
def test_systemd_calls_them_well_confined(tmp_path: Path, unit: str):
    verdict = analyze(tmp_path, "security", "--offline=true", "--threshold=15", f"./{unit}")  # 1.5 of 10

    assert verdict.returncode == 0, verdict.stdout


def test_a_mistake_in_one_would_be_found(tmp_path: Path):
    broken = UNIT.read_text().replace("KillMode=mixed", "KillMode=kind")

    assert "kind" in verify(tmp_path, hlposmon=broken).stderr


def test_it_would_be_told_if_it_were_confined_less(tmp_path: Path):
    looser = UNIT.read_text().replace("ProtectSystem=strict", "").replace("CapabilityBoundingSet=", "")
    verdict = analyze(
        tmp_path, "security", "--offline=true", "--threshold=15", "./hlposmon.service", hlposmon=looser
    )

    assert verdict.returncode != 0


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


def test_the_health_unit_writes_to_a_folder_of_its_users_and_asks_at_the_services():
    health = configparser.RawConfigParser(strict=False, delimiters=("=",))
    health.optionxform = str  # type: ignore[assignment,method-assign]
    health.read(FOLDER / "hlposmon-health.service")
    unit, text = health["Service"], (FOLDER / "hlposmon-health.service").read_text()

    assert "ReadWritePaths" not in unit, "systemd opens a folder, and its owner still refuses this user"
    assert f"--textfile /run/{unit['RuntimeDirectory']}/hlposmon.prom" in text
    assert ("0755", "yes") == (unit["RuntimeDirectoryMode"], unit["RuntimeDirectoryPreserve"])
    # `health` would look for the socket in its own folder.
    assert "RUNTIME_DIRECTORY" == unit["UnsetEnvironment"]


def test_it_uses_nothing_that_systemd_252_does_not_know():
    assert not re.findall(
        r"^(?:Type=notify-reload|RestartSteps=.*|RestartMaxDelaySec=.*)$",
        "".join((FOLDER / name).read_text() for name in UNITS),
        re.M,
    )


def test_a_few_restarts_by_hand_do_not_use_up_its_starts():
    assert "StartLimitIntervalSec=600\nStartLimitBurst=10\n" in UNIT.read_text()


def test_peers_at_the_socket_keep_their_uid(service: configparser.SectionProxy):
    assert "PrivateUsers" not in service

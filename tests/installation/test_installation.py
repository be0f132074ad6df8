"""What an installation writes, keeps and takes away, below a folder that stands for the system's root."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hlposmon.errors import HlposmonError
from hlposmon.installation.changes import Package, check_prefix, installation
from hlposmon.installation.layout import CONFIG, FILES, LINKS, LOGS, RECORD, SAVED, STATE
from hlposmon.installation.system import _purge, acquaint, apply, next_steps, remove, restore

CRON = "/etc/cron.d/hlposmon"
UNIT = "/etc/systemd/system/hlposmon.service"


class System:
    """A root folder, and the package in a version of one's choice."""

    def __init__(self, folder: Path) -> None:
        self.root, self.sources = folder / "root", folder / "package"
        self.said: list[str] = []
        for place in FILES:
            path = self.sources / str(place.source)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{place.source} of the first version\nExecStart=/opt/hlposmon/bin/hlposmon\n")

    def release(self, source: str, text: str) -> None:
        (self.sources / source).write_text(text)

    def install(self, prefix: str = "/opt/hlposmon", version: str = "1.0") -> None:
        self.said.clear()
        package = Package(self.sources, prefix, version, {"bash": "complete"})
        restore(self.root, self.said.append)
        apply(installation(package, self.root), self.root, self.said.append)

    def remove(self, *, purge: bool = False) -> None:
        self.said.clear()
        remove(self.root, self.said.append, purge=purge)

    def path(self, target: str) -> Path:
        return self.root / target.lstrip("/")

    def files(self) -> set[str]:
        return {
            "/" + str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    def contents(self) -> dict[str, str | bytes]:
        return {
            name: str(path.readlink()) if path.is_symlink() else path.read_bytes()
            for name in self.files()
            for path in (self.path(name),)
        }


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


class Machine:
    """A systemd that notes what it is asked for, in front of the real one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said: list[str] = []
        for name in ("systemd-sysusers", "systemd-tmpfiles", "systemctl"):
            self.has(name)
        monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
        monkeypatch.setattr("hlposmon.installation.system.BOOTED", folder)

    def has(self, name: str, body: str = "") -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.folder}/asked\n{body}\n')
        path.chmod(0o755)

    def asked(self, name: str) -> list[str]:
        """What a program was called with, from the first time on."""
        lines = (self.folder / "asked").read_text().splitlines()
        return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("reset", [0, 1])
def test_a_service_that_runs_is_restarted_however_often_it_was_today(machine: Machine, reset: int):
    machine.has("systemctl", f'case "$*" in reset-failed*) exit {reset} ;; esac')
    assert acquaint(Path("/"), machine.said.append)
    asked = machine.asked("systemctl")

    assert asked.index("reset-failed hlposmon.service") < asked.index("restart hlposmon.service")


def test_a_service_that_does_not_run_is_not_started(machine: Machine):
    machine.has("systemctl", 'case "$*" in *is-active*) exit 3 ;; esac')
    assert not acquaint(Path("/"), machine.said.append)
    asked = ["daemon-reload", "reset-failed hlposmon.service", "--quiet is-active hlposmon.service"]
    assert asked == machine.asked("systemctl")


@pytest.mark.parametrize(
    ("runs", "enabled", "said"),
    [
        (True, True, [", and runs"]),
        (True, False, [", and runs; from the next boot on: systemctl enable hlposmon.service"]),
        (
            False,
            True,
            [
                "; hlposmon.service is enabled and does not run:",
                "  hlposmon config check && systemctl start hlposmon.service",
            ],
        ),
    ],
)
def test_after_an_upgrade_nobody_is_told_to_begin(
    machine: Machine, runs: bool, enabled: bool, said: list[str]
):
    machine.has("systemctl", "" if enabled else "exit 1")

    assert said == next_steps(runs=runs)


def test_on_the_first_day_it_says_how_to_begin(machine: Machine):
    machine.has("systemctl", "exit 1")
    first, then = next_steps(runs=False)

    assert f". Name your accounts in {CONFIG}, then:" == first
    assert "systemctl enable --now hlposmon.service" in then


def test_a_group_with_others_in_it_goes_without_a_word_that_it_stays(machine: Machine, tmp_path: Path):
    machine.has("getent")
    machine.has("groupdel")
    machine.has("userdel", 'echo "userdel: group hlposmon not removed because it has other members." >&2')
    _purge(tmp_path / "root", machine.said.append, live=True)

    assert (["hlposmon"], ["hlposmon"]) == (machine.asked("userdel"), machine.asked("groupdel"))
    assert [] == machine.said


def test_every_file_goes_to_its_place_and_names_the_environment(system: System):
    system.install(prefix="/opt/elsewhere")

    assert {place.target for place in FILES} <= system.files()
    assert "ExecStart=/opt/elsewhere/bin/hlposmon" in system.path(UNIT).read_text()
    for target, name in LINKS.items():
        assert str(system.path(target).readlink()) == f"/opt/elsewhere/bin/{name}"
    assert os.access(system.path("/usr/local/lib/hlposmon/alert"), os.X_OK)
    assert json.loads(system.path(RECORD).read_text())["version"] == "1.0"
    assert system.said == []


def test_the_same_again_changes_nothing(system: System):
    system.install()
    before = system.contents()
    system.install()

    assert system.contents() == before


def test_an_upgrade_replaces_what_nobody_changed(system: System):
    system.install()
    system.release("etc/hlposmon.toml", "new")
    system.release("systemd/hlposmon.service", "new unit")
    system.install(version="2.0")

    assert system.path(CONFIG).read_text() == "new"
    assert system.path(UNIT).read_text() == "new unit"


def test_an_upgrade_leaves_a_changed_configuration_and_says_where_the_new_one_is(system: System):
    system.install()
    system.path(CONFIG).write_text("mine")
    system.release("etc/hlposmon.toml", "new")
    for _ in range(2):  # and the one after it still knows that it was changed
        system.install(version="2.0")

        assert system.path(CONFIG).read_text() == "mine"
        assert [line for line in system.said if CONFIG in line] == [
            f"left {CONFIG}: you changed it; the new one is /opt/hlposmon/share/hlposmon/etc/hlposmon.toml"
        ]


def test_a_cron_line_that_was_removed_stays_removed(system: System):
    system.install()
    system.path(CRON).unlink()
    system.install()

    assert not system.path(CRON).exists()
    assert any(CRON in line and "you removed it" in line for line in system.said)


def test_a_configuration_that_was_there_before_is_kept(system: System):
    system.path(CONFIG).parent.mkdir(parents=True)
    system.path(CONFIG).write_text("older than this")
    system.install()

    assert system.path(CONFIG).read_text() == "older than this"


def test_a_file_that_the_package_lacks_is_named(system: System):
    (system.sources / "man/hlposmon.1").unlink()
    system.install()

    assert any("man/hlposmon.1" in line for line in system.said)


def test_nagios_finds_the_plugin_where_it_looks(system: System):
    system.path("/usr/lib/nagios/plugins").mkdir(parents=True)
    system.install()
    link = system.path("/usr/lib/nagios/plugins/check_hlposmon")
    assert str(link.readlink()) == "/opt/hlposmon/bin/check_hlposmon"
    system.remove()

    assert not link.is_symlink()


def test_a_removal_leaves_state_and_logs_alone(system: System):
    system.install()
    for folder in (STATE, LOGS):
        system.path(folder).mkdir(parents=True)
        (system.path(folder) / "data").write_text("data")
    system.remove()

    assert system.files() == {f"{STATE}/data", f"{LOGS}/data"}
    assert not system.path("/etc/hlposmon").exists()
    assert not system.path("/usr/local/share/hlposmon").exists()


def test_what_the_administrator_wrote_outlives_a_removal_and_comes_back(system: System):
    system.install()
    mine = {
        CONFIG: "my accounts",
        CRON: "my cron line",
        "/etc/hlposmon/credentials/key": "secret",
        "/etc/hlposmon/ping-url": "https://ping",
        "/etc/default/hlposmon": "HEALTH_ARGS=-v",
        "/etc/systemd/system/hlposmon.service.d/override.conf": "[Service]",
    }
    for target, text in mine.items():
        system.path(target).parent.mkdir(parents=True, exist_ok=True)
        system.path(target).write_text(text)
    system.remove()

    assert system.files() == {SAVED + target for target in mine}
    assert system.path(SAVED).stat().st_mode & 0o077 == 0, "there may be credentials in it"
    assert len(system.said) == len(mine)

    system.install()

    assert {target: system.path(target).read_text() for target in mine} == mine
    assert not system.path(SAVED).exists()


def test_nothing_is_brought_back_from_where_the_services_user_may_write(system: System):
    """Whoever takes over the monitor must not become root at the next installation."""
    assert not any(SAVED == folder or SAVED.startswith(f"{folder}/") for folder in (STATE, LOGS, "/run"))


def test_a_link_that_leads_elsewhere_is_left(system: System):
    """pipx may have put one of the same name there before, or somebody may since."""
    system.install()
    [first, second] = [system.path(target) for target in LINKS]
    first.unlink()
    first.symlink_to("/home/me/.local/bin/hlposmon")
    second.unlink()
    second.write_text("a program of somebody's")
    system.remove()

    assert system.files() == set(LINKS)


def test_a_removal_twice_or_of_nothing_is_no_mistake(system: System):
    system.root.mkdir()
    system.remove()
    system.install()
    system.remove()
    system.remove()

    assert system.files() == set()


def test_a_purge_leaves_nothing(system: System):
    system.install()
    system.path(CONFIG).write_text("mine")
    for target in (f"{STATE}/history.sqlite3", f"{LOGS}/trading/audit.jsonl", "/etc/default/hlposmon"):
        system.path(target).parent.mkdir(parents=True, exist_ok=True)
        system.path(target).write_text("x")
    system.remove(purge=True)

    assert system.files() == set()
    assert not system.path("/etc/hlposmon").exists()


def test_a_purge_after_a_removal_leaves_nothing_either(system: System):
    system.install()
    system.path(CONFIG).write_text("mine")
    system.remove()
    system.remove(purge=True)

    assert system.files() == set()


@pytest.mark.parametrize(
    "prefix", ["/home/me/.local/share/pipx/venvs/hlposmon", "/root/.local/share/uv/tools/hlposmon", "/tmp/v"]
)
def test_a_place_that_the_service_cannot_see_is_refused_with_what_to_do(prefix: str):
    with pytest.raises(HlposmonError, match=r"/opt/hlposmon") as refused:
        check_prefix(prefix, "/usr/bin/python3.11")
    assert prefix in str(refused.value)


def test_an_interpreter_that_the_service_cannot_see_is_refused_too():
    with pytest.raises(HlposmonError, match="its Python"):
        check_prefix("/opt/uv/hlposmon", "/root/.local/share/uv/python/cpython-3.12/bin/python3.12")


def test_other_places_will_do():
    check_prefix("/opt/pipx/venvs/hlposmon", "/usr/bin/python3.11")
    check_prefix("/homestead", "/usr/bin/python3.11")


@pytest.mark.parametrize(
    ("closed", "mend"),
    [("opt", "chmod go+rX {}"), ("opt/venv", "chmod -R go+rX {}"), ("opt/venv/lib", "-R go+rX {}")],
)
def test_what_was_made_under_a_narrow_umask_is_refused_with_the_command_that_opens_it(
    monkeypatch: pytest.MonkeyPatch, closed: str, mend: str
):
    monkeypatch.setattr("hlposmon.installation.changes.HIDDEN", ())
    root = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's own folders are closed to others
    try:
        (root / "opt/venv/bin").mkdir(parents=True)
        (root / "opt/venv/lib").mkdir()
        root.chmod(0o755)
        check_prefix(str(root / "opt/venv"), "/usr/bin/env")
        (root / closed).chmod(0o750)
        with pytest.raises(HlposmonError) as refused:
            check_prefix(str(root / "opt/venv"), "/usr/bin/env")
        assert mend.format(root / closed) in str(refused.value)
    finally:
        shutil.rmtree(root)


def test_the_command_is_not_led_astray_by_roots_umask(tmp_path: Path):
    command = f"umask 077; exec {sys.executable} -m hlposmon setup --destdir {tmp_path}"
    assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0
    made = [path for path in tmp_path.rglob("*") if not path.is_symlink()]

    assert [path for path in made if path.stat().st_mode & 0o044 != 0o044] == []


def test_the_module_removes_without_the_command(system: System):
    system.install()
    done = subprocess.run(
        [sys.executable, "-m", "hlposmon.installation", "remove", "--root", str(system.root)],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert system.files() == set()


def test_the_command_installs_below_a_folder_and_removes_again(tmp_path: Path):
    command = [sys.executable, "-m", "hlposmon", "setup", "--destdir", str(tmp_path)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    unit = (tmp_path / UNIT.lstrip("/")).read_text()
    assert f"ExecStart={Path(sys.prefix).resolve()}/bin/hlposmon run" in unit
    for shell in ("bash-completion/completions/hlposmon", "zsh/site-functions/_hlposmon"):
        assert "_HLPOSMON_COMPLETE" in (tmp_path / "usr/local/share" / shell).read_text()
    assert subprocess.run([*command, "--remove"], capture_output=True).returncode == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]


def test_the_command_takes_no_two_kinds_of_removal():
    command = [sys.executable, "-m", "hlposmon", "setup", "--remove", "--purge"]

    assert subprocess.run(command, capture_output=True).returncode == 2


def test_what_a_killed_setup_left_is_not_in_the_way_and_goes(system: System):
    left = system.path("/etc/cron.d/.hlposmon.hlposmon-new")
    left.parent.mkdir(parents=True)
    left.write_text("half")
    system.install()

    assert not left.exists()
    system.remove()
    assert system.files() == set()


def test_a_file_that_cannot_be_written_is_named_and_what_to_do(system: System):
    system.path("/etc").parent.mkdir(parents=True)
    system.path("/etc").write_text("no folder")
    with pytest.raises(HlposmonError, match=r"/hlposmon.service could not be written: .*again"):
        system.install()


def test_a_removal_that_was_broken_off_is_finished_by_the_next(
    system: System, monkeypatch: pytest.MonkeyPatch
):
    system.install("/opt/elsewhere")
    unlink, count = Path.unlink, [0]

    def until_the_end_is_near(path: Path, **how: bool) -> None:
        count[0] += 1
        if path.name == "check_hlposmon":
            raise KeyboardInterrupt
        unlink(path, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", until_the_end_is_near)
        with pytest.raises(KeyboardInterrupt):
            system.remove()
    system.remove()

    assert count[0] > 5
    assert system.files() == set()


def test_a_purge_empties_what_a_link_leads_to_and_goes_on(system: System, tmp_path: Path):
    system.install()
    elsewhere = tmp_path / "disk"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "history.sqlite3").write_text("x")
    system.path(STATE).parent.mkdir(parents=True, exist_ok=True)
    system.path(STATE).symlink_to(elsewhere)
    system.path(LOGS).mkdir(parents=True)
    system.remove(purge=True)

    assert list(elsewhere.iterdir()) == []
    assert system.files() == {STATE}
    assert any("is a link: it is empty now, and stays" in line for line in system.said)
    assert not system.path(LOGS).exists()


def test_what_was_saved_before_is_not_written_over(system: System):
    system.install()
    system.path(CONFIG).write_text("second")
    first = system.path(SAVED + CONFIG)
    first.parent.mkdir(parents=True)
    first.write_text("first")
    system.remove()

    assert {path.read_text() for path in first.parent.iterdir()} == {"first", "second"}


def test_an_empty_destdir_is_a_mistake(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "hlposmon", "setup", "--destdir", ""],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, "--destdir is empty" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []

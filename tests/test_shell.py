"""Shell that is shipped, or that CI runs: shellcheck finds nothing in it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.debian import program

ROOT = Path(__file__).parent.parent
CRON = (ROOT / "etc/cron.d/hlposmon").read_text()
LOGROTATE = (ROOT / "etc/logrotate.d/hlposmon").read_text()


def shipped() -> dict[str, str]:
    """Every piece, by the name under which it is told."""
    found = {name: (ROOT / name).read_text() for name in (".ci/run", "systemd/hlposmon-alert")}
    for number, job in enumerate(re.findall(r"^#?\* \* \* \* \* \S+ (.+)$", CRON, re.M), 1):
        found[f"cron.d job {number}"] = f"#!/bin/sh\n{job}\n"
    for number, body in enumerate(re.findall(r"(?ms)^ *lastaction\n(.*?)^ *endscript", LOGROTATE), 1):
        found[f"logrotate.d script {number}"] = f"#!/bin/sh\n{body}"
    return found


PIECES = shipped()


def shellcheck(text: str, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    script = tmp_path / "script.sh"
    script.write_text(text)
    return subprocess.run([program("shellcheck"), str(script)], capture_output=True, text=True)


def test_every_kind_of_shell_is_among_them():
    assert {"cron.d job 3", "logrotate.d script 1", "systemd/hlposmon-alert"} <= set(PIECES)
    scripts = {
        str(path.relative_to(ROOT))
        for folder in ("systemd", "etc", ".ci", "hlposmon")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and re.match(rb"#!.*sh\b", path.read_bytes()[:80])
    }

    assert scripts <= set(PIECES)


@pytest.mark.parametrize("name", PIECES)
def test_shellcheck_finds_nothing(name: str, tmp_path: Path):
    done = shellcheck(PIECES[name], tmp_path)

    assert (done.stdout, done.returncode) == ("", 0)


def test_shellcheck_would_find_something(tmp_path: Path):
    assert "SC2086" in shellcheck("#!/bin/sh\nrm $1\n", tmp_path).stdout

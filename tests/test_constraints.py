"""The pinned dependencies beside the loose ranges: they agree, are complete, and can be installed."""

import configparser
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent


def pins(name: str) -> dict[str, Version]:
    text = (ROOT / name).read_text()
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", text, flags=re.MULTILINE)
    return {canonicalize_name(package): Version(version) for package, version in found}


def required() -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return [Requirement(line) for line in config["options"]["install_requires"].splitlines() if line.strip()]


@pytest.mark.parametrize("requirement", required(), ids=str)
def test_a_loose_range_is_met_by_its_pin(requirement: Requirement):
    pin = pins("constraints.txt").get(canonicalize_name(requirement.name))

    assert pin is not None, f"{requirement.name} is not pinned: make constraints"
    assert pin in requirement.specifier, f"{requirement} but pinned {pin}: make constraints"


def test_what_is_needed_by_what_is_needed_is_pinned_too():
    pinned = pins("constraints.txt")
    todo, seen = [canonicalize_name(one.name) for one in required()], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(requirement.name))

    assert seen - set(pinned) == set()


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-build.txt"])
def test_every_pin_has_the_hashes_of_its_files(name: str):
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text())[1:]

    assert len(blocks) == len(pins(name))
    for block in blocks:
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})(?: \\)?$", block, flags=re.MULTILINE)
        assert hashes and len(set(hashes)) == len(hashes), block.splitlines()[0]
        assert not re.search(r"@ |https?://|^-[ei]", block), f"not from the index: {block.splitlines()[0]}"


@pytest.mark.system
@pytest.mark.timeout(300)
def test_the_pinned_dependencies_alone_make_a_monitor(tmp_path: Path):
    """A fresh venv, every file checked by its hash, no build tool from elsewhere; then the command runs."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    steps = (
        [*pip, "--require-hashes", "-r", str(ROOT / "constraints-build.txt")],
        [*pip, "--require-hashes", "--no-build-isolation", "-r", str(ROOT / "constraints.txt")],
        [*pip, "--no-deps", "--no-build-isolation", "-e", str(_copy(tmp_path))],
        [python, "-m", "pip", "check"],
        [str(tmp_path / "venv/bin/hlposmon"), "--version"],
    )
    for number, step in enumerate(steps):
        done = subprocess.run(step, capture_output=True, text=True, check=False, env=_environ())
        if number == 0 and re.search(
            r"NewConnectionError|ConnectTimeout|No matching distribution", done.stderr
        ):
            pytest.skip(f"the registry cannot be reached: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr

    assert done.stdout.startswith("hlposmon ")


def _copy(folder: Path) -> Path:
    """The sources elsewhere: an installation writes beside them."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    (source / "hlposmon").symlink_to(ROOT / "hlposmon")
    return source


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTHON"))}

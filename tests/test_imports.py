"""The contracts of setup.cfg on who may import whom: each bites, and no sibling is left out of them."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PREFIX = "importlinter:contract:"

# By contract: a module, and an import in it that the contract forbids and no other does.
FORBIDDEN = {
    "layers": ("pacing.py", "from hlposmon.cli import options"),
    "cli": ("cli/fills.py", "from hlposmon.engine import health"),
    "workers": ("workers/state.py", "from hlposmon.journal import files"),
    "workers-apart": ("workers/price.py", "from hlposmon.workers import state"),
    "tracker": ("tracker/outputs.py", "from hlposmon.history import rows"),
    "simulator": ("simulator/world.py", "from hlposmon.domain import amounts"),
    "client": ("client/api.py", "from hlposmon.text import loads"),
    "engine": ("engine/engine.py", "from hlposmon.errors import WireError"),
    "outputs": ("api/publisher.py", "from hlposmon.snapshot import layout"),
    "outputs-below": ("journal/writer.py", "from hlposmon.config import Settings"),
    "venues": ("venues/hyperliquid/feed.py", "from hlposmon.venues import positions"),
    "foundations": ("supervision/roster.py", "from hlposmon.domain import book"),
    "domain": ("domain/book.py", "from hlposmon.errors import WireError"),
}


@pytest.fixture(scope="module")
def contracts() -> dict[str, configparser.SectionProxy]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return {name.removeprefix(PREFIX): config[name] for name in config.sections() if name.startswith(PREFIX)}


def linted(folder: Path) -> dict[str, bool]:
    """By the name of the contract, whether the package in that folder keeps it."""
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.findall(r"^(\S.*) (KEPT|BROKEN)\b", run.stdout, re.MULTILINE)
    assert found, run.stdout + run.stderr
    return {name: word == "KEPT" for name, word in found}


def copied(to: Path) -> Path:
    shutil.copytree(ROOT / "hlposmon", to / "hlposmon", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", to)
    return to / "hlposmon"


def test_each_contract_bites(contracts: dict[str, configparser.SectionProxy], tmp_path: Path):
    package = copied(tmp_path)
    assert linted(tmp_path) == {one["name"]: True for one in contracts.values()}

    for place, statement in FORBIDDEN.values():
        path = package / place
        path.write_text(path.read_text() + f"\n{statement}\n")

    assert set(FORBIDDEN) == set(contracts)
    assert linted(tmp_path) == {one["name"]: False for one in contracts.values()}


def test_every_venue_stands_apart(contracts: dict[str, configparser.SectionProxy]):
    folders = {path.parent.name for path in (ROOT / "hlposmon" / "venues").glob("*/__init__.py")}

    assert contracts["venues"]["source_modules"].split() == [f"hlposmon.venues.{one}" for one in folders]


def test_every_worker_stands_apart(contracts: dict[str, configparser.SectionProxy]):
    loops = {
        f"hlposmon.workers.{path.stem}"
        for path in (ROOT / "hlposmon" / "workers").glob("*.py")
        if re.search(r"^class \w+Worker\b", path.read_text(), re.MULTILINE)
    }

    assert set(contracts["workers-apart"]["modules"].split()) == loops

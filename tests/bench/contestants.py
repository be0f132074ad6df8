"""Who is measured, and how each is started: the relay, the monitor, and other programs where they can be had.

ccxt and nautilus_trader get venvs of their own below a cache folder; they are never among our requirements.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.exchange import Exchange
from tests.bench.services import Monitor, Program, Relay, Service

Start = Callable[[Exchange], Service]
NAMES = ("relay", "sdk", "ccxt", "nautilus", "hlposmon")
SHOWN = {"sdk": "official SDK", "ccxt": "ccxt pro"}
NOTES = {
    "sdk": "`Info.subscribe` to userFills and allMids",
    "ccxt": "watch_my_trades, watch_positions and watch_tickers, each in a task of its own",
    "nautilus": "a trading node without a strategy or a log; what it asks for by REST at its start is given"
    " to it, as its REST client takes no other server's address",
}
PIP_S = 900
# The first version whose Hyperliquid adapter tells fills; the ones before it have no stream of them.
NAUTILUS = "nautilus_trader>=1.222"


@dataclass(slots=True)
class Contestants:
    """How to start each that can be had, in the order of NAMES; `versions` of the others' packages."""

    start: dict[str, Start]
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def contestants(names: list[str], checkout: Path, cache: Path, nautilus: str | None = None) -> Contestants:
    """Those of `names` that can be had. `nautilus` is a command that runs a Python with nautilus_trader."""
    found = Contestants({})
    for name in NAMES:
        if name not in names:
            continue
        try:
            found.start[name] = _start(name, checkout, cache, nautilus, found)
        except CannotBeHad as reason:
            found.skipped[name] = str(reason)
            print(f"{name} is skipped: {reason}", file=sys.stderr)
    return found


class CannotBeHad(Exception):
    """Says why."""


def _start(name: str, checkout: Path, cache: Path, nautilus: str | None, found: Contestants) -> Start:
    if name == "relay":
        return Relay
    if name == "hlposmon":
        return lambda exchange: Monitor(exchange, checkout)
    if name == "sdk":
        command, module, package = [sys.executable], "sdk", "hyperliquid-python-sdk"
    elif name == "ccxt":
        command, module, package = [_venv(cache / "ccxt", "ccxt")], "ccxt_pro", "ccxt"
    else:
        command, module, package = _nautilus(cache, nautilus), "nautilus", "nautilus_trader"
    found.versions[name] = _version(command, package)
    return lambda exchange: Program(f"tests.bench.peers.{module}", exchange, command)


def _nautilus(cache: Path, given: str | None) -> list[str]:
    if given is not None:
        return given.split()
    if sys.version_info < (3, 12):
        version = ".".join(map(str, sys.version_info[:3]))
        raise CannotBeHad(
            f"{NAUTILUS} (the versions before it have no stream of fills) needs Python 3.12 and this is"
            f" {version}; --nautilus 'COMMAND' names a Python that has it"
        )
    return [_venv(cache / "nautilus", NAUTILUS)]


def _venv(folder: Path, requirement: str) -> str:
    """A venv with the package, made once; its interpreter."""
    python = folder / "bin/python"
    done = folder / "installed"
    if done.exists() and done.read_text() == requirement:
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {requirement} in {folder}", file=sys.stderr)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement]
    for command in ([sys.executable, "-m", "venv", str(folder)], pip):
        try:
            made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PIP_S)
        except subprocess.TimeoutExpired as error:
            raise CannotBeHad(f"{requirement} was not installed within {PIP_S} s") from error
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CannotBeHad(f"{requirement} could not be installed: {last}")
    done.write_text(requirement)
    return str(python)


def _version(command: list[str], package: str) -> str:
    ask = f"import importlib.metadata as m, platform as p; print(m.version('{package}'), p.python_version())"
    said = subprocess.run([*command, "-c", ask], capture_output=True, text=True, check=False)
    if said.returncode:
        raise CannotBeHad(f"{' '.join(command)} has no {package}")
    version, python = said.stdout.split()
    return f"{package} {version}, Python {python}"

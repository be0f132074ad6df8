"""Checks of the configuration, the accounts, Python, optional libraries, systemd and the unit."""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from hlposmon import __version__
from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Finding, Place
from hlposmon.config.accounts import ZERO_ADDRESS

UNIT = "hlposmon.service"
UNIT_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
NEEDED_SYSTEMD = 252
_VERSION = re.compile(r"libsystemd-shared-(\d+)")


def configuration(place: Place) -> Iterator[Finding]:
    """Every mistake in the configuration, or which file is in use, with its notices."""
    for mistake in place.mistakes:
        yield Finding("config", FAIL, mistake, "mend it; 'hlposmon config check' looks again")
    if place.settings is None:
        return
    source = place.settings.paths.config or "no file: flags, environment and defaults"
    yield Finding("config", OK, f"{source}: valid, mode {place.settings.mode}")
    for notice in place.settings.notices:
        yield Finding("config", WARN, notice)


def accounts(place: Place) -> Iterator[Finding]:
    """Whether there are accounts to watch, how they are watched, and whether there is weight enough."""
    if place.settings is None:
        yield Finding("accounts", SKIPPED, "the configuration is not valid")
        return
    venue = place.settings.hyperliquid
    if place.settings.simulated:
        yield Finding("accounts", OK, "simulated: the simulated exchange brings its own")
        return
    for account in venue.accounts:
        if account.address == ZERO_ADDRESS:
            yield Finding(
                "accounts",
                FAIL,
                f"{account.name}: {account.address} is a placeholder",
                "put your address there",
            )
    plan = place.settings.watch_plan
    if venue.accounts and plan.fits:
        yield Finding("accounts", OK, str(plan))
    elif venue.accounts:
        yield Finding(
            "accounts",
            WARN,
            f"too many to poll from one IP address: {plan}",
            "watch some of them from another machine; a round of all is too long to be of use",
        )
    named = ", ".join(f"{account.name} {account.address}" for account in venue.accounts)
    yield Finding("accounts", OK, f"well-formed: {named}" if named else "none configured")


def program(_place: Place) -> Iterator[Finding]:
    """The versions of this program and of Python, and whether eth-account is installed."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("program", OK, f"hlposmon {__version__} on Python {python}")
    if importlib.util.find_spec("eth_account") is not None:
        yield Finding(
            "program", OK, "optional: eth-account is installed (only derives an address from a key)"
        )


def unit(place: Place) -> Iterator[Finding]:
    """Whether systemd is recent enough, and its unit installed, enabled and as new as this program."""
    if not (place.root / "run/systemd/system").is_dir():
        yield Finding("systemd", SKIPPED, "systemd is not running here")
        return
    version = _systemd_version(place.root)
    if version is not None and version < NEEDED_SYSTEMD:
        yield Finding(
            "systemd", WARN, f"version {version}; the unit is written for {NEEDED_SYSTEMD} or newer"
        )
    path = _unit_path(place.root)
    if path is None:
        yield Finding("systemd", SKIPPED, f"{UNIT} is not installed", "for a service: make install")
        return
    enabled = any((place.root / "etc/systemd/system").glob(f"*.wants/{UNIT}"))
    yield Finding(
        "systemd", OK, f"version {version or 'unknown'}, {path} is {'' if enabled else 'not '}enabled"
    )
    yield from _program_of(path, place.root)


def _program_of(path: Path, root: Path) -> Iterator[Finding]:
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        yield Finding("systemd", WARN, f"{path}: {error.strerror}")
        return
    started = re.search(r"^ExecStart=[-@:+!]*(\S+)", text, flags=re.MULTILINE)
    binary = Path(started[1]) if started else None
    if binary is None or not (root / str(binary).lstrip("/")).exists():
        yield Finding(
            "systemd", FAIL, f"{path} starts {binary}, which is not there", "make install puts both in place"
        )
        return
    lines = "WatchdogSec=", "RestartPreventExitStatus=78", "RuntimeDirectory=hlposmon"
    missing = [line for line in lines if line not in text]
    if missing:
        yield Finding(
            "systemd",
            WARN,
            f"{path} is older than this program: no {', '.join(missing)}",
            "make install anew",
        )


def _unit_path(root: Path) -> Path | None:
    paths = (root / folder / UNIT for folder in UNIT_FOLDERS)
    return next((path for path in paths if path.exists()), None)


def _systemd_version(root: Path) -> int | None:
    """systemd's version from the name of its shared library, without starting a program; None if unknown."""
    for folder in ("usr/lib/systemd", "lib/systemd", "usr/lib64/systemd"):
        path = root / folder
        names = os.listdir(path) if path.is_dir() else []  # noqa: PTH208
        found = [int(match[1]) for name in names if (match := _VERSION.match(name))]
        if found:
            return max(found)
    multi = (root / "usr/lib").glob("*/systemd/libsystemd-shared-*.so")
    return max((int(m[1]) for path in multi if (m := _VERSION.match(path.name))), default=None)

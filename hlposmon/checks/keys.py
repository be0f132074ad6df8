"""Private keys that lie around where a position monitor needs none. A key is never shown: file and line are.

What has the shape of a key (64 hexadecimal digits) may be a hash; in these files there is no reason for one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from hlposmon.checks.findings import FAIL, OK, WARN, Finding, Place
from hlposmon.checks.setup import UNIT, UNIT_FOLDERS
from hlposmon.config.accounts import KEY_NAME, looks_like_a_key

MAX_BYTES = 256 * 1024
MAX_FILES = 64
_REMEDY = (
    "put HYPERLIQUID_ACCOUNT_ADDRESS=0x... (or [[venues.hyperliquid.accounts]]) in its place; whoever could"
    " read it may have it: move the funds or approve a new agent, and retire this key"
)


def keys(place: Place) -> Iterator[Finding]:
    """The environment, `.env` files, the configuration and the unit with its drop-ins."""
    found = 0
    if place.environ.get(KEY_NAME, "").strip():
        found += 1
        yield Finding("keys", WARN, f"{KEY_NAME} is in the environment and not needed", _REMEDY)
    for path in _places(place):
        for number in _lines_with_keys(path):
            found += 1
            others = _readable_by_others(path)
            said = f"{path}: line {number}: what looks like a private key" + (
                ", and others may read it" if others else ""
            )
            yield Finding("keys", FAIL if others else WARN, said, _REMEDY)
    if not found:
        yield Finding("keys", OK, "no private key found where one would lie")


def _places(place: Place) -> list[Path]:
    home = place.environ.get("HOME", "")
    folders = [Path.cwd(), place.root / "etc/hlposmon"]
    folders += [Path(home), Path(home) / ".config/hlposmon"] if home.startswith("/") else []
    if place.paths.config is not None:
        folders.append(place.paths.config.parent)
    found = [folder / name for folder in folders for name in (".env", ".env.local", "hlposmon.env")]
    found += [
        path
        for path in (place.paths.config, place.flags.env_file)
        if path is not None
        for path in [Path(path)]
    ]
    found += _listed(place.root / "etc/hlposmon")
    found.append(place.root / "etc/default/hlposmon")
    for folder in UNIT_FOLDERS:
        found.append(place.root / folder / UNIT)
        found += _listed(place.root / folder / f"{UNIT}.d")
    return list(dict.fromkeys(path.absolute() for path in found))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())[:MAX_FILES]
    except OSError:
        return []


def _lines_with_keys(path: Path) -> list[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not keep us waiting
        with os.fdopen(fd, "rb") as file:
            lines = file.read(MAX_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [number for number, line in enumerate(lines, 1) if looks_like_a_key(line) or _names_one(line)]


def _names_one(line: str) -> bool:
    """`HYPERLIQUID_PRIVATE_KEY=something`, whatever its shape, also as systemd's Environment=."""
    name, equals, value = line.strip().removeprefix("export ").partition(f"{KEY_NAME}=")
    return bool(equals) and not name.lstrip().startswith("#") and bool(value.strip("\"' "))


def _readable_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o044)
    except OSError:
        return False

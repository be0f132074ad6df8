"""Searches for private keys, which a position monitor does not need. Findings name file and line, no key.

64 hexadecimal digits may be a key or a hash. Our own files have no reason to hold a hash, so any 64 digits
count there. In other files they must stand alone as a word and be a valid key of the curve. A file or folder
that could not be searched in full is reported as skipped.
"""

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Finding, Place
from hlposmon.checks.setup import UNIT_FOLDERS
from hlposmon.config.accounts import KEY_NAME, looks_like_a_key

MAX_BYTES = 256 * 1024
MAX_FILES = 64  # of one folder
MAX_ENTRIES = 4096
_UNREADABLE = "this user may not read it"
_START_UP = (
    *(".profile", ".bashrc", ".bash_profile", ".bash_login", ".bash_aliases"),
    *(".zshenv", ".zshrc", ".zprofile", ".zlogin", ".config/fish/config.fish", ".pam_environment"),
)
_UNITS = re.compile(r"hlposmon(-.*|@.*)?\.service(\.d)?")
_KEY_ALONE = re.compile(r"(?<![0-9A-Za-z])(?:0[xX])?([0-9a-fA-F]{64})(?![0-9A-Za-z])")
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1
_REMEDY = (
    "put HYPERLIQUID_ACCOUNT_ADDRESS=0x... (or [[venues.hyperliquid.accounts]]) in its place; whoever could"
    " read it may have it: move the funds or approve a new agent, and retire this key"
)


def keys(place: Place) -> Iterator[Finding]:
    """Findings of keys in the environment, shell start-up files, `.env` files, configuration, credentials and
    units: fail if other users may read the file, else warn."""
    found = 0
    if place.environ.get(KEY_NAME, "").strip():
        found += 1
        yield Finding("keys", WARN, f"{KEY_NAME} is in the environment and not needed", _REMEDY)
    left_out: dict[Path, str] = {}
    for path, is_key in _places(place, left_out).items():
        for number in _lines_with_keys(path, is_key, left_out):
            found += 1
            others = _readable_by_others(path)
            said = f"{path}: line {number}: what looks like a private key" + (
                ", and others may read it" if others else ""
            )
            yield Finding("keys", FAIL if others else WARN, said, _REMEDY)
    for path, why in sorted(left_out.items()):
        yield Finding("keys", SKIPPED, f"{path}: {why}")
    if not found:
        yield Finding("keys", OK, "no private key found where one would lie")


def _places(place: Place, left_out: dict[Path, str]) -> dict[Path, Callable[[str], bool]]:
    """The files to search, each with the function that decides whether a line of it holds a key."""
    ours = [*_settings(place), *_units(place, left_out), place.root / "etc/default/hlposmon"]
    ours += _listed(place.root / "etc/hlposmon", left_out)
    # These files may contain hashes for good reasons.
    others = [*_start_up(place, left_out), *_below(place.root / "etc/hlposmon/credentials", left_out)]
    found: dict[Path, Callable[[str], bool]] = {path.absolute(): _is_a_key_alone for path in others}
    return found | {path.absolute(): looks_like_a_key for path in ours}


def _settings(place: Place) -> list[Path]:
    """`.env` files and the configuration."""
    home = place.environ.get("HOME", "")
    folders = [Path.cwd(), place.root / "etc/hlposmon"]
    folders += [Path(home), Path(home) / ".config/hlposmon"] if home.startswith("/") else []
    if place.paths.config is not None:
        folders.append(place.paths.config.parent)
    found = [folder / name for folder in folders for name in (".env", ".env.local", "hlposmon.env")]
    return found + [Path(path) for path in (place.paths.config, place.flags.env_file) if path is not None]


def _units(place: Place, left_out: dict[Path, str]) -> list[Path]:
    """Our units and their drop-ins, including those of instances (`hlposmon@x`) and of a common prefix
    (`hlposmon-.service.d`)."""
    found = []
    for folder in UNIT_FOLDERS:
        found += [path for path in _entries(place.root / folder, left_out) if _UNITS.fullmatch(path.name)]
    files = [path for path in found if not _is_folder(path)]
    return files + [file for path in found if _is_folder(path) for file in _listed(path, left_out)]


def _start_up(place: Place, left_out: dict[Path, str]) -> list[Path]:
    """The files that a login reads: the machine's and the user's."""
    etc = place.root / "etc"
    found = [etc / "environment", etc / "profile", etc / "bash.bashrc", etc / "zsh/zshenv"]
    found += _listed(etc / "profile.d", left_out)
    home = place.environ.get("HOME", "")
    if home.startswith("/"):
        found += [Path(home) / name for name in _START_UP]
        found += _listed(Path(home) / ".config/environment.d", left_out)
    return found


def _listed(folder: Path, left_out: dict[Path, str]) -> list[Path]:
    """The files in a folder, at most MAX_FILES."""
    return _first(folder, [path for path in _entries(folder, left_out) if not _is_folder(path)], left_out)


def _below(folder: Path, left_out: dict[Path, str]) -> list[Path]:
    """The files in a folder and below it, at most MAX_FILES. Links to folders are not followed."""
    found: list[Path] = []
    folders = [folder]
    while folders and len(found) <= MAX_FILES:
        for path in _entries(folders.pop(0), left_out):
            if not _is_folder(path):
                found.append(path)
            elif not path.is_symlink() and len(folders) < MAX_FILES:
                folders.append(path)
    return _first(folder, found, left_out)


def _entries(folder: Path, left_out: dict[Path, str]) -> list[Path]:
    try:
        return sorted(islice(folder.iterdir(), MAX_ENTRIES))
    except PermissionError:
        left_out[folder] = _UNREADABLE
    except OSError:
        pass
    return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not accessible; opening it as a file reports that
        return False


def _first(folder: Path, files: list[Path], left_out: dict[Path, str]) -> list[Path]:
    if len(files) > MAX_FILES:
        left_out[folder] = f"only {MAX_FILES} files of it were looked at"
    return files[:MAX_FILES]


def _lines_with_keys(path: Path, is_key: Callable[[str], bool], left_out: dict[Path, str]) -> list[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not keep us waiting
        with os.fdopen(fd, "rb") as file:
            raw = file.read(MAX_BYTES + 1) or b""
    except PermissionError:
        left_out[path] = _UNREADABLE
        return []
    except OSError:
        return []
    if len(raw) > MAX_BYTES:
        left_out[path] = f"only its first {MAX_BYTES // 1024} KiB were looked at"
    lines = raw[:MAX_BYTES].decode("utf-8", "replace").splitlines()
    return [number for number, line in enumerate(lines, 1) if is_key(line) or _names_one(line)]


def _is_a_key_alone(line: str) -> bool:
    """Whether the line holds 64 hexadecimal digits that are no part of a longer word and a valid private key:
    above 0 and below the order of secp256k1 (SEC 2)."""
    return any(0 < int(match[1], 16) < _CURVE_ORDER for match in _KEY_ALONE.finditer(line))


def _names_one(line: str) -> bool:
    """Whether the line sets HYPERLIQUID_PRIVATE_KEY to any value, also within systemd's Environment=."""
    name, equals, value = line.strip().removeprefix("export ").partition(f"{KEY_NAME}=")
    return bool(equals) and not name.lstrip().startswith("#") and bool(value.strip("\"' "))


def _readable_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o044)
    except OSError:
        return False

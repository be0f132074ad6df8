"""Decides what an installation, an upgrade or a removal changes, before any file is touched.

A file that the administrator may edit (`Place.edited`), and has edited or removed since its installation, is
left as it is. The record (`layout.RECORD`) has the SHA-256 of each file as installed. Example: the record
says A, the file on disk has B and the package brings C. It was edited, so it is kept. If the file still has
A, or has C already, it is written.
"""

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hlposmon.errors import HlposmonError
from hlposmon.installation.layout import (
    COMPLETIONS,
    CONFIG_FOLDER,
    DEFAULTS,
    DROP_INS,
    FILES,
    LINKS,
    NAGIOS,
    PREFIX,
    RECORD,
    Place,
)

# Folders that the service cannot use: ProtectHome= and PrivateTmp= (systemd.exec(5)) hide them.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


@dataclass(frozen=True, slots=True)
class Write:
    """Write `content` to `target` atomically, with this mode."""

    target: str
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Link:
    """Make `target` a symbolic link to `to`."""

    target: str
    to: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is left as it is; `why` tells the administrator the reason."""

    target: str
    why: str


Change = Write | Link | Kept


@dataclass(frozen=True, slots=True)
class Package:
    """The package to install.

    `sources` is the folder that holds systemd/, etc/ and man/. `prefix` is the path of the virtual
    environment on the installed system. `completions` is the completion script by shell.
    """

    sources: Path
    prefix: str
    version: str
    completions: Mapping[str, str]


def check_prefix(prefix: str, interpreter: str) -> None:
    """Raises HlposmonError if the service's user could not run a program from `prefix`.

    `interpreter` is the environment's Python with all symbolic links resolved.
    """
    for what, path in (("this installation", prefix), ("its Python", interpreter)):
        if any(path == hidden or path.startswith(hidden + "/") for hidden in HIDDEN):
            raise HlposmonError(
                f"{what} is in {path}, where a service cannot run it: install into {PREFIX} instead"
                f" (python3 -m venv {PREFIX} && {PREFIX}/bin/pip install hlposmon; docs/operations.md"
                " has it for pipx and uv too)"
            )
        if (closed := _closed(Path(path))) is not None:
            recursive = "-R " if closed.is_relative_to(path) else ""
            raise HlposmonError(
                f"{what} cannot be run by the service's user: others may not enter {closed}, whose mode is"
                f" {stat.S_IMODE(closed.stat().st_mode):04o} (was it made under another umask than 022?)."
                f" Open it, then try again: chmod {recursive}go+rX {closed}"
            )


def _closed(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter, or one in it that they may not read;
    None if there is none."""
    entered = [(folder, stat.S_IXOTH) for folder in reversed(path.parents)]
    used = [(place, stat.S_IXOTH | stat.S_IROTH) for place in (path, path / "bin", path / "lib")]
    for place, wanted in entered + used:
        if place.exists() and place.stat().st_mode & wanted != wanted:
            return place
    return None


def installation(package: Package, root: Path) -> list[Change]:
    """The changes that install `package` below `root`; the record is the last one."""
    recorded = read_record(root)
    changes: list[Change] = []
    hashes: dict[str, str] = {}
    for place in FILES:
        content = _content(package, place)
        if content is None:
            changes.append(Kept(place.target, f"not in this package: {place.source}"))
            continue
        hashes[place.target] = _hash(content)
        change = _place(place, content, root, recorded, f"{package.prefix}/share/hlposmon/{place.source}")
        if isinstance(change, Kept) and place.target in recorded:
            hashes[place.target] = recorded[place.target]
        changes.append(change)
    for shell, text in package.completions.items():
        changes.append(Write(COMPLETIONS[shell], text.encode(), 0o644))
    changes += [Link(target, f"{package.prefix}/bin/{name}") for target, name in LINKS.items()]
    if below(root, NAGIOS).is_dir():
        changes.append(Link(f"{NAGIOS}/check_hlposmon", f"{package.prefix}/bin/check_hlposmon"))
    folders = _folders([change.target for change in changes], root)
    record = {"version": package.version, "prefix": package.prefix, "files": hashes, "folders": folders}
    changes.append(Write(RECORD, json.dumps(record, indent=1).encode() + b"\n", 0o644))
    return changes


def removal(root: Path) -> list[str]:
    """The installed files below `root`, as system paths; links only if they lead into our environment."""
    targets = [place.target for place in FILES] + list(COMPLETIONS.values())
    found = [target for target in targets if below(root, target).is_symlink() or below(root, target).exists()]
    prefix = _recorded(root, "prefix")
    links = [(target, below(root, target)) for target in (*LINKS, f"{NAGIOS}/check_hlposmon")]
    found += [
        target
        for target, path in links
        if path.is_symlink() and str(path.readlink()).startswith(f"{prefix or PREFIX}/")
    ]
    # The record goes last: a removal that was interrupted needs it to continue.
    return found + [RECORD] * below(root, RECORD).exists()


def administrators(root: Path) -> list[str]:
    """The files below `root` that the administrator has written or edited; a removal saves them."""
    recorded = read_record(root)
    ours = {place.target: place for place in FILES}
    found = [place.target for place in FILES if place.edited and below(root, place.target).is_file()]
    found += [DEFAULTS] if below(root, DEFAULTS).is_file() else []
    for folder in (CONFIG_FOLDER, *DROP_INS):
        for path in sorted(below(root, folder).rglob("*")):
            if path.is_symlink() or not path.is_dir():
                found.append("/" + str(path.relative_to(root)))
    return [
        target
        for target in dict.fromkeys(found)
        if target not in ours or _hash(below(root, target).read_bytes()) != recorded.get(target)
    ]


def below(root: Path, target: str) -> Path:
    """The system path `target` below another root: `/etc/x` is `ROOT/etc/x`."""
    return root / target.lstrip("/")


def read_record(root: Path) -> dict[str, str]:
    """SHA-256 in hex of each file as last installed, by system path; empty without a readable record."""
    files = _recorded(root, "files")
    return {str(target): str(digest) for target, digest in files.items()} if isinstance(files, dict) else {}


def made_folders(root: Path) -> list[str]:
    """The folders that an installation created, innermost first."""
    folders = _recorded(root, "folders")
    return sorted(map(str, folders), reverse=True) if isinstance(folders, list) else []


def _recorded(root: Path, what: str) -> object:
    try:
        return json.loads(below(root, RECORD).read_bytes())[what]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folders(targets: Sequence[str], root: Path) -> list[str]:
    """The folders to create for these files, and those that an earlier installation created."""
    parents = {str(parent) for target in (*targets, RECORD) for parent in Path(target).parents}
    return sorted({one for one in parents if not below(root, one).exists()} | set(made_folders(root)))


def _content(package: Package, place: Place) -> bytes | None:
    assert place.source is not None
    try:
        content = (package.sources / place.source).read_bytes()
    except FileNotFoundError:
        return None
    return content.replace(PREFIX.encode() + b"/", package.prefix.encode() + b"/")


def _place(place: Place, content: bytes, root: Path, recorded: Mapping[str, str], shipped: str) -> Change:
    write = Write(place.target, content, place.mode)
    if not place.edited:
        return write
    path, last = below(root, place.target), recorded.get(place.target)
    if not path.exists():
        return Kept(place.target, "you removed it") if last else write
    found = _hash(path.read_bytes())
    if found in (last, _hash(content)):
        return write
    news = "" if last in (None, _hash(content)) else f"; the new one is {shipped}"
    return Kept(place.target, f"you changed it{news}")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

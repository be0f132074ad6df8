"""Checks of permissions: folders, socket, snapshot, configuration, credentials, and the user's group."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Finding, Place
from hlposmon.ipc.listeners import objection

USER = GROUP = "hlposmon"  # user and group of the service
_ALL = stat.S_IRWXO
_NAME = "permissions"
_SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASS", "CREDENTIAL")


def runtime(place: Place) -> Iterator[Finding]:
    """Whether others may write in the socket's folder, or open the socket and the snapshot."""
    folder = place.runtime
    status = _status(folder)
    if status is None:
        yield Finding(_NAME, OK, f"{folder} is not there yet: it is made at the start, for its user alone")
        return
    if (found := objection(folder, _runner(status.st_uid))) is not None:
        yield Finding(_NAME, FAIL, *found)
    elif status.st_mode & stat.S_IWGRP:
        yield Finding(
            _NAME, WARN, f"its group may put a socket of its own into {folder}", f"chmod g-w {folder}"
        )
    else:
        yield Finding(_NAME, OK, f"{folder}: {_shown(status)}")
    for path, most in ((place.paths.socket, 0o660), (place.paths.snapshot, 0o640)):
        yield from _no_more_than(path, most)


def _runner(owner: int) -> int:
    """The uid under which a monitor would serve in a folder of this owner: the service's, or else ours."""
    try:
        service = pwd.getpwnam(USER).pw_uid
    except KeyError:
        service = None
    return owner if owner == service else os.geteuid()


def _no_more_than(path: Path, most: int) -> Iterator[Finding]:
    status = _status(path)
    if status is None:
        return
    if stat.S_IMODE(status.st_mode) & ~most:
        said = f"{path} is {_shown(status)}: others see every position"
        yield Finding(_NAME, FAIL, said, f"chmod {most:o} {path}, and restart the monitor")
    else:
        yield Finding(_NAME, OK, f"{path}: {_shown(status)}")


def group(place: Place) -> Iterator[Finding]:
    """Whether this user may open the monitor's socket."""
    path = place.paths.socket
    status = _status(path)
    if status is None:
        try:
            visible = os.access(path.parent, os.X_OK) or not path.parent.exists()
        except PermissionError:
            visible = False
        if not visible:
            yield _outsider(f"this user may not enter {path.parent}")
        else:
            yield Finding("group", SKIPPED, "no monitor is running at this socket")
        return
    if os.access(path, os.R_OK | os.W_OK):
        yield Finding("group", OK, f"this user may ask at {path}")
    else:
        yield _outsider(f"this user is no member of {_group(status.st_gid)}, which {path} belongs to")


def _outsider(text: str) -> Finding:
    return Finding("group", FAIL, text, f"sudo usermod -aG {GROUP} $USER, then log in anew")


def files(place: Place) -> Iterator[Finding]:
    """Whether others may write the configuration, read credentials, or enter the state and log folders."""
    config = place.paths.config
    if config is not None and (status := _status(config, follow=True)) is not None:
        if status.st_mode & stat.S_IWOTH:
            yield Finding(
                _NAME,
                FAIL,
                f"everybody may write {config}, and so choose what is watched",
                f"chmod o-w {config}",
            )
        else:
            yield Finding(_NAME, OK, f"{config}: {_shown(status)}")
    for path in _credentials(place):
        status = _status(path, follow=True)
        if status is not None and status.st_mode & _ALL:
            yield Finding(_NAME, FAIL, f"others may read the credential {path}", f"chmod 600 {path}")
        elif status is not None:
            yield Finding(_NAME, OK, f"credential {path}: {_shown(status)}")
    for folder in (place.paths.state_dir, place.paths.log_dir):
        status = _status(folder, follow=True)
        if status is not None and status.st_mode & _ALL:
            yield Finding(
                _NAME, WARN, f"others may look into {folder}: {_shown(status)}", f"chmod o= {folder}"
            )


def _credentials(place: Place) -> list[Path]:
    found = [
        Path(value)
        for name, value in place.environ.items()
        if name.endswith("_FILE") and any(word in name for word in _SECRET_WORDS) and value[:1] == "/"
    ]
    folder = place.environ.get("CREDENTIALS_DIRECTORY", "")
    if folder.startswith("/") and Path(folder).is_dir():
        found += sorted(Path(folder).iterdir())
    if place.flags.env_file:
        found.append(Path(place.flags.env_file))
    return found


def _status(path: Path, *, follow: bool = False) -> os.stat_result | None:
    try:
        return path.stat() if follow else path.lstat()
    except OSError:
        return None


def _shown(status: os.stat_result) -> str:
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    return f"{stat.S_IMODE(status.st_mode):04o} {owner}:{_group(status.st_gid)}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

"""Carries out what `changes` decided, and informs systemd. Messages go through `say`, one line each.

A `root` other than `/` is the folder in which a package is built; no command is run then.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from hlposmon.errors import HlposmonError
from hlposmon.installation.changes import (
    Change,
    Kept,
    Link,
    Write,
    administrators,
    below,
    made_folders,
    removal,
)
from hlposmon.installation.layout import (
    CONFIG,
    CONFIG_FOLDER,
    DEFAULTS,
    DROP_INS,
    LOGS,
    OWN_FOLDERS,
    RUNTIME,
    SAVED,
    SERVICE,
    STATE,
    SYSUSERS,
    TIMER,
    TMPFILES,
    UNITS,
)

Say = Callable[[str], None]
COMMAND_S = 120.0
BOOTED = Path("/run/systemd/system")
USER = "hlposmon"
CHECK = "hlposmon config check"


def apply(changes: Sequence[Change], root: Path, say: Say) -> None:
    """Carry out the changes in order. Raises HlposmonError, naming the file, if one cannot be written."""
    for change in changes:
        path = below(root, change.target)
        if isinstance(change, Kept):
            say(f"left {change.target}: {change.why}")
        elif isinstance(change, Link):
            _replace(path, lambda new, to=change.to: new.symlink_to(to))  # type: ignore[misc]
        else:
            _write(path, change)


def acquaint(root: Path, say: Say) -> bool:
    """Create the user and the folders, reload systemd's units, and restart the service if it was running.

    Returns True if the service runs, now as this version. Does nothing and returns False below another root.
    Raises HlposmonError if a command fails.
    """
    if root != Path("/"):
        return False
    _run(["systemd-sysusers", SYSUSERS], say)
    _run(["systemd-tmpfiles", "--create", TMPFILES], say)
    if not systemd_runs():
        say("systemd does not run here: the units are in place and will be read at the next boot")
        return False
    _run(["systemctl", "daemon-reload"], say)
    _succeeds(["systemctl", "reset-failed", SERVICE])  # else the next start may exceed the start limit
    if not _succeeds(["systemctl", "--quiet", "is-active", SERVICE]):
        return False
    say(f"restarting {SERVICE}, so that all of it runs what is installed now")
    _run(["systemctl", "restart", SERVICE], say)
    return True


def next_steps(*, runs: bool) -> list[str]:
    """Lines that tell the administrator what is left to do after an installation.

    `runs` is what `acquaint` returned. The first line continues the sentence "hlposmon X is set up".
    """
    enabled = systemd_runs() and _succeeds(["systemctl", "--quiet", "is-enabled", SERVICE])
    if runs:
        return [", and runs" if enabled else f", and runs; from the next boot on: systemctl enable {SERVICE}"]
    if enabled:
        return [f"; {SERVICE} is enabled and does not run:", f"  {CHECK} && systemctl start {SERVICE}"]
    return [
        f". Name your accounts in {CONFIG}, then:",
        f"  {CHECK} && systemctl enable --now {SERVICE} && hlposmon wait && hlposmon status",
    ]


def remove(root: Path, say: Say, *, purge: bool = False) -> None:
    """Remove everything but state and logs; with `purge` remove these too, and the user.

    Without `purge`, files of the administrator in /etc are moved to SAVED, from where `restore` brings them
    back. Raises HlposmonError if a command fails and OSError if a file cannot be removed.
    """
    live = root == Path("/")
    if live and systemd_runs():
        for unit in (TIMER, SERVICE):
            if below(root, f"{UNITS}/{unit}").exists():
                _run(["systemctl", "disable", "--now", unit], say)
    if not purge:
        _save(root, say)
    folders = (*OWN_FOLDERS, *made_folders(root))
    for target in removal(root):
        below(root, target).unlink()
    for folder in folders:
        path = below(root, folder)
        if purge and folder == CONFIG_FOLDER:
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # it does not exist, or holds files of others
            path.rmdir()
    if live and systemd_runs():
        _run(["systemctl", "daemon-reload"], say)
    if purge:
        _purge(root, say, live=live)


def systemd_runs() -> bool:
    """Whether the machine was booted with systemd (sd_booted(3))."""
    return BOOTED.is_dir()


def _purge(root: Path, say: Say, *, live: bool) -> None:
    for folder in (STATE, SAVED, LOGS, RUNTIME, *DROP_INS):
        path = below(root, folder)
        if path.is_dir():
            say(f"removing {folder}")
            _clear(path, say)
    below(root, DEFAULTS).unlink(missing_ok=True)
    if live and _succeeds(["getent", "passwd", USER]):
        # userdel removes the group too if it has no other member. Otherwise it says so, and groupdel follows.
        _run(["userdel", USER], lambda line: None if f"group {USER} not removed" in line else say(line))
    if live and _succeeds(["getent", "group", USER]):
        _run(["groupdel", USER], say)


def _clear(path: Path, say: Say) -> None:
    """Remove a folder and its contents; of a mount point or a link only the contents."""
    for one in path.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()
    if path.is_symlink() or path.is_mount():
        say(f"{path} is {'a link' if path.is_symlink() else 'a mount'}: it is empty now, and stays")
    else:
        path.rmdir()


def _save(root: Path, say: Say) -> None:
    """Move the administrator's files to SAVED, so that the removed package leaves nothing in /etc."""
    for target in administrators(root):
        there = below(root, SAVED + target)
        below(root, SAVED).mkdir(mode=0o700, parents=True, exist_ok=True)
        there.parent.mkdir(parents=True, exist_ok=True)
        _move(below(root, target), there)
        say(f"kept {target} as {SAVED}{target}")


def restore(root: Path, say: Say) -> None:
    """Move back the files that a removal has saved, unless their place is taken."""
    saved = below(root, SAVED)
    for path in sorted(path for path in saved.rglob("*") if path.is_symlink() or not path.is_dir()):
        target = "/" + str(path.relative_to(saved))
        there = below(root, target)
        if not (there.is_symlink() or there.exists()):
            there.parent.mkdir(parents=True, exist_ok=True)
            _move(path, there)
            say(f"brought back {target}, which a removal had saved")
    for folder in sorted((path for path in (saved, *saved.rglob("*")) if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _write(path: Path, change: Write) -> None:
    def put(new: Path) -> None:
        new.write_bytes(change.content)
        new.chmod(change.mode)

    _replace(path, put)


def _replace(path: Path, put: Callable[[Path], None]) -> None:
    """Replace `path` atomically by the file that `put` writes: a reader finds the old file or the new one.

    Raises HlposmonError, naming the file, if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.hlposmon-new")
        new.unlink(missing_ok=True)  # left over from a run that was killed
        try:
            put(new)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise HlposmonError(
            f"{path} could not be written: {error.strerror or error}; what was written before it is in place:"
            " mend that, and call setup again"
        ) from error


def _move(source: Path, target: Path) -> None:
    """Move a file with its owner and mode, also across file systems; first rename a file at `target`."""
    if target.is_symlink() or target.exists():
        number = 1
        while target.with_name(f"{target.name}.{number}").exists():
            number += 1
        target.replace(target.with_name(f"{target.name}.{number}"))
    shutil.move(source, target, copy_function=_copy)


def _copy(source: str, target: str) -> None:
    status = os.lstat(source)
    mask = os.umask(0o077)  # until it has its own mode, nobody else reads it
    try:
        shutil.copy2(source, target, follow_symlinks=False)
    finally:
        os.umask(mask)
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


def _run(command: Sequence[str], say: Say) -> None:
    """Run a command and pass its output to `say`. Raises HlposmonError if it is missing, fails or takes
    longer than COMMAND_S."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            check=False,
        )
    except FileNotFoundError as error:
        raise HlposmonError(f"{command[0]} is not on this machine; it is part of systemd") from error
    except subprocess.TimeoutExpired as error:
        raise HlposmonError(f"{' '.join(command)} did not end within {COMMAND_S:g} s") from error
    said = " ".join((done.stderr or done.stdout).split())
    if done.returncode:
        raise HlposmonError(f"{' '.join(command)} failed with status {done.returncode}: {said}")
    if said:
        say(said)


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

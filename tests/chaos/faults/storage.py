"""Faults of the disk: full, read-only, and files that were spoilt behind the monitor's back."""

import os
import random
import resource
import signal
from collections.abc import Callable

from tests.chaos.trial import STALE_S, STATE_DISK, Act, Trial


def full(need: str) -> Callable[[Trial, random.Random], Act]:
    """No byte is left in a folder, the audit's or the state's; then there is room again."""

    def act(trial: Trial, chance: random.Random) -> Act:
        disk, seconds = trial.disks[need], chance.uniform(1.0, 3.0)
        trial.note(f"{seconds:.1f} s")
        trial.begins()
        disk.fill()
        yield seconds / 2
        if chance.random() < 0.3:
            trial.note("and its writer killed")
            _kill_writer(trial, need)
        yield seconds / 2
        disk.free()
        trial.over()

    return act


def read_only(need: str) -> Callable[[Trial, random.Random], Act]:
    """A folder is read-only for whoever opens a file, which a new writer has to; then no more."""

    def act(trial: Trial, chance: random.Random) -> Act:
        disk, seconds = trial.disks[need], chance.uniform(1.0, 3.0)
        trial.note(f"{seconds:.1f} s")
        trial.begins()
        disk.read_only()
        _kill_writer(trial, need)
        yield seconds
        disk.writable()
        trial.over()

    return act


def _kill_writer(trial: Trial, need: str) -> None:
    """Of the audit's folder that is the tracker, of the state's the history."""
    writer = "history" if need == STATE_DISK else "tracker"
    if writer == "tracker":
        trial.may_lag(STALE_S)
        trial.hurts_pushes(STALE_S)
    trial.send(signal.SIGKILL, *(pid for name, pid in trial.pids().items() if name == writer))


def file_limit(trial: Trial, chance: random.Random) -> Act:
    """No file of the tracker may grow any more; then it may again. Needs no rights."""
    trial.begins()
    limited = [pid for name, pid in trial.pids().items() if name == "tracker"]
    for pid in limited:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, hard))
    yield chance.uniform(1.0, 3.0)
    for pid in limited:
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except ProcessLookupError:
            continue
    trial.over()


def history_corrupted(trial: Trial, chance: random.Random) -> Act:
    """The history's file is overwritten in its midst while it is open, or before a new process opens it."""
    paths = [
        path
        for path in sorted(trial.stage.state_dir.rglob("*"))
        if path.suffix in (".db", ".sqlite", ".sqlite3")
    ]
    trial.begins()
    if not paths:
        trial.note("there is no history file")
    for path in paths:
        size = path.stat().st_size
        if not os.access(path, os.W_OK):
            trial.note("the history's file is on a disk that is read-only meanwhile")
            continue
        with path.open("r+b") as file:
            file.seek(chance.randrange(max(1, size)) if chance.random() < 0.7 else 0)
            file.write(chance.randbytes(chance.choice((16, 512, 8192))))
    if chance.random() < 0.6:
        trial.note("and its process killed")
        _kill_writer(trial, STATE_DISK)
    trial.over()
    yield 0

"""What a test leaves in /dev/shm, where tests that run beside it have things of their own."""

import os
import time
from pathlib import Path

FOLDER = Path("/dev/shm")


def shared_files() -> set[Path]:
    return set(FOLDER.iterdir())


def leave_nothing(before: set[Path], within_s: float = 60.0) -> bool:
    """Whether of the files that were not there before none stays that no other process uses."""
    new, deadline = shared_files() - before, time.monotonic() + within_s
    while any(path.exists() and str(path) not in _used_by_others() for path in new):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _used_by_others() -> str:
    """What all processes but this one have mapped."""
    found = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if maps.parent.name != str(os.getpid()):
            try:
                found.append(maps.read_text())
            except OSError:  # it has ended, or is another user's
                continue
    return "\n".join(found)

"""What a test leaves in /dev/shm, where tests that run beside it have things of their own for a while."""

import time
from pathlib import Path

FOLDER = Path("/dev/shm")


def shared_files() -> set[Path]:
    return set(FOLDER.iterdir())


def leave_nothing(before: set[Path], within_s: float = 60.0) -> bool:
    """Whether each file that was not there before is gone, or goes in time."""
    new, deadline = shared_files() - before, time.monotonic() + within_s
    while any(path.exists() for path in new):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True

"""Where lives keep their files: a folder each in tmpfs, named after the process that lives them.

A process that is killed can take nothing away. What dead ones have left goes when a run begins or ends.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from hlposmon.system.processes import is_running

SHM = Path("/dev/shm")
_LEFT = re.compile(r"hlp-sim-(\d+)-")


def parent() -> Path:
    """In memory where that can be: a life writes some hundred times."""
    return SHM if SHM.is_dir() else Path(tempfile.gettempdir())


def folder_for_a_life() -> Path:
    return Path(tempfile.mkdtemp(prefix=f"hlp-sim-{os.getpid()}-", dir=parent()))


def clear_left(*, at_end: bool = False) -> list[Path]:
    """Take away what processes that are gone have left, and `at_end` of a run what this one has; which
    folders these were."""
    left = []
    for path in parent().iterdir():
        found = _LEFT.match(path.name)
        if found and ((at_end and int(found[1]) == os.getpid()) or not is_running(int(found[1]))):
            shutil.rmtree(path, ignore_errors=True)
            left.append(path)
    return left

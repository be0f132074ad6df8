"""The processes as the tracker sees them: rows of the supervisor's board, and their memory."""

import os
from typing import Protocol

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Worker(Protocol):
    """One row of the supervisor's board: a worker process.

    `state` is "up" while it works. `beat_age_s` (since its last heartbeat) and `uptime_s` are seconds, None
    if unknown. `flapping`: it restarts again and again. `last_exit` is the exit status of its predecessor.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def restarts(self) -> int: ...
    @property
    def beat_age_s(self) -> float | None: ...
    @property
    def uptime_s(self) -> float | None: ...
    @property
    def last_exit(self) -> int | None: ...
    @property
    def flapping(self) -> bool: ...


def memory_bytes(pid: int | None) -> int | None:
    """Return the resident memory of a process in bytes (proc(5), statm); None if there is no such process."""
    if not pid:
        return None
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - once a row
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return None

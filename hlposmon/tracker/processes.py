"""The processes as the tracker sees them: a row of the supervisor's board, and what the kernel says."""

import os
from typing import Protocol

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Worker(Protocol):
    """One row of the supervisor's board."""

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
    """Resident memory of a process in bytes; None when it is gone."""
    if not pid:
        return None
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - once a row
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return None

"""Asks the kernel whether a process runs."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether a process with this pid exists and is no zombie (proc(5), states Z and X)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False

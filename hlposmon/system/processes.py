"""Whether a process runs: the kernel's word, whoever says otherwise."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of one that was not waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False

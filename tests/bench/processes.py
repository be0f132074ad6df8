"""What a tree of processes costs: processor time and memory, a figure for each process."""

import os
import platform
import subprocess
import time
from pathlib import Path


def tree(root: int) -> list[int]:
    """The process and all that come from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it has just ended
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, edge = [root], {root}
    while edge := {pid for pid, parent in parents.items() if parent in edge} - set(found):
        found += sorted(edge)
    return found


def cpu_s(pid: int) -> float:
    """Seconds of the processor that all threads of a process have used, to the nanosecond.

    The clock of another process, as clock_getcpuclockid(3) makes its number of the pid.
    """
    return time.clock_gettime(((~pid) << 3) | 2)


def cpu_of(root: int) -> dict[int, float]:
    """The same for each process of the tree."""
    found = {}
    for pid in tree(root):
        try:
            found[pid] = cpu_s(pid)
        except OSError:
            continue
    return found


def spent(before: dict[int, float], after: dict[int, float]) -> dict[int, float]:
    """Seconds of the processor between two looks at a tree, by pid. A process that ended is not in it."""
    return {pid: used - before.get(pid, 0.0) for pid, used in after.items()}


def pss_of(root: int) -> dict[int, float]:
    """MiB that belong to each process, shared pages shared out."""
    found = {}
    for pid in tree(root):
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found[pid] = next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024
    return found


def command(pid: int) -> str:
    """The command line, for a process that nothing else names."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    model = next(
        (
            row.partition(":")[2].strip()
            for row in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in row
        ),
        "?",
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    kernel = os.uname()
    return {
        "processors": f"{os.cpu_count()} x {model}",
        "memory": f"{memory:.1f} GiB",
        "kernel": f"{kernel.sysname} {kernel.release}",
        "python": f"Python {platform.python_version()}",
    }


def commit(checkout: Path) -> str:
    """What is measured: the last commit, and whether the working copy differs from it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "?"

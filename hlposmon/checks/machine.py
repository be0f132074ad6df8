"""Checks of the machine: clock synchronization, descriptors, memory, and disk space."""

import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Finding, Place

_MIB = 1 << 20
# Measured: nine processes of 20 to 35 MB each. About twice that leaves room.
NEEDED_MEMORY = 512 * _MIB
NEEDED_DISK, SCARCE_DISK = 64 * _MIB, 512 * _MIB
NEEDED_SHM = 4 * _MIB
NEEDED_INODES = 1000
NEEDED_FILES = 1024
_STA_UNSYNC = 0x40  # adjtimex(2)
_TIMEX_WORDS = 208 // 8


def clock_keeper(place: Place) -> Iterator[Finding]:
    """Whether the clock is synchronized, by the kernel (adjtimex(2)) or else by timesyncd's stamp file."""
    stamp = place.root / "run/systemd/timesync/synchronized"
    kept = _kernel_says()
    if kept or stamp.exists():
        yield Finding("ntp", OK, "the clock is kept in step")
        return
    yield Finding(
        "ntp",
        SKIPPED if kept is None else WARN,
        "the kernel does not tell"
        if kept is None
        else "nobody keeps the clock in step, as far as the kernel knows",
        "timedatectl set-ntp true (in a container this is the host's affair)",
    )


def _kernel_says() -> bool | None:
    """Whether the kernel says that the clock is synchronized (STA_UNSYNC, adjtimex(2)); None if the call is
    not allowed."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        timex = (ctypes.c_uint64 * _TIMEX_WORDS)()
        libc.adjtimex.argtypes = [ctypes.c_void_p]
        state = libc.adjtimex(ctypes.addressof(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))[
        10
    ]  # struct timex: after four longs and padding
    return not status & _STA_UNSYNC


def limits(place: Place) -> Iterator[Finding]:
    """Whether the limits of descriptors (RLIMIT_NOFILE) and of memory suffice."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:
        yield Finding(
            "limits",
            WARN,
            f"only {hard} descriptors are allowed: fewer clients are served",
            "raise LimitNOFILE=",
        )
    else:
        yield Finding("limits", OK, f"descriptors: {'unlimited' if hard == resource.RLIM_INFINITY else hard}")
    limit, source = _memory(place.root)
    if limit is None:
        yield Finding("limits", SKIPPED, "the memory's limit is not told here")
    elif limit < NEEDED_MEMORY:
        said = f"{limit // _MIB} MiB of memory ({source}); {NEEDED_MEMORY // _MIB} are wanted"
        yield Finding("limits", WARN, said, "give the machine or the unit more, or set fill_feeds = 1")
    else:
        yield Finding("limits", OK, f"memory: {limit // _MIB} MiB ({source})")


def _memory(root: Path) -> tuple[int | None, str]:
    """The smallest of MemAvailable and the memory.max of our cgroup and those above it, in bytes, with its
    source; (None, "") if neither can be read."""
    found: list[tuple[int, str]] = []
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append((int(line.split()[1]) * 1024, "available"))
        own = (root / "proc/self/cgroup").read_text().partition("::")[2].strip().lstrip("/")
        group = root / "sys/fs/cgroup" / own
        for folder in (group, *group.parents):
            text = (folder / "memory.max").read_text().strip() if (folder / "memory.max").exists() else "max"
            if text.isdigit():
                found.append((int(text), f"the limit of {folder}"))
    except (OSError, ValueError, IndexError):
        pass
    return min(found, default=(None, ""))


def room(place: Place) -> Iterator[Finding]:
    """Whether there is enough space, and enough inodes, for the state, the logs and the snapshot."""
    paths = place.paths
    for what, folder, least in (
        ("state", paths.state_dir, NEEDED_DISK),
        ("logs", paths.log_dir, NEEDED_DISK),
        ("snapshot", place.runtime, NEEDED_SHM),
    ):
        there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
        try:
            status = os.statvfs(there)
        except OSError as error:
            yield Finding("room", WARN, f"{what}: {there}: {error.strerror}")
            continue
        free, inodes = status.f_bavail * status.f_frsize, status.f_favail
        said = f"{what}: {free // _MIB} MiB free at {there}"
        if free < least or (status.f_files and inodes < NEEDED_INODES):
            yield Finding("room", FAIL, f"{said}, {inodes} inodes", "make room, or name another folder")
        elif least == NEEDED_DISK and free < SCARCE_DISK:
            yield Finding("room", WARN, said, "make room: a fill takes about 1.3 kB, in audit and history")
        else:
            yield Finding("room", OK, said)

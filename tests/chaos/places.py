"""A small disk that can be full or read-only, and a clock that can be stepped: made for one run.

The disk is a tmpfs, which needs root. The clock is libfaketime, loaded into the monitor alone, which
leaves the monotonic clock as it is. Where one of them cannot be had, the reason is said and the
faults that need it are passed over.
"""

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_BYTES = 16 << 20
KEEP_FREE = 4096


class Unavailable(Exception):
    """This machine cannot do it; the message says why."""


class Disk:
    """A file system of its own over the folders that the monitor writes to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Open from the beginning on: what is open stays writable while the folder is read-only.
        self._filler = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)

    def fill(self) -> None:
        """Leave no byte."""
        with contextlib.suppress(OSError):
            while True:
                os.write(self._filler, bytes(KEEP_FREE))

    def free(self) -> None:
        os.ftruncate(self._filler, 0)
        os.lseek(self._filler, 0, os.SEEK_SET)

    def close(self) -> None:
        os.close(self._filler)

    def read_only(self) -> None:
        """For whoever opens a file from now on; what is open already stays as it was."""
        self._mount("--bind", str(self.folder), str(self.folder))
        self._mount("-o", "remount,bind,ro", str(self.folder))

    def writable(self) -> None:
        """Take away the last of what `read_only` put over the folder."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True, capture_output=True)

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Mount it; `Unavailable` says why not."""
    if os.geteuid() != 0:
        raise Unavailable("a small disk can only be mounted by root")
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "chaos", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        raise Unavailable(f"a small disk could not be mounted: {mounted.stderr.strip()}")
    try:
        with contextlib.closing(Disk(folder)) as made:
            yield made
    finally:
        # Once more for a read-only view that a fault was not allowed to end.
        for _ in range(2):
            subprocess.run(["umount", "-l", str(folder)], capture_output=True)


class Clock:
    """The wall clock of the processes that were started with `environ`."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self.offset_s = 0
        self._write()
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, seconds: int) -> None:
        """Put it forward, or with a minus back."""
        self.offset_s += seconds
        self._write()

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{self.offset_s:+d}\n")
        new.replace(self._file)  # a reader finds the old text or the new, never half of one


def clock(folder: Path) -> Clock:
    """A clock of its own; `Unavailable` says why not."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        raise Unavailable("libfaketime is not installed: pip install libfaketime (it is built with cc)")
    folders = Path(found.origin).parent / "vendor" / "libfaketime" / "src"
    libraries = sorted(folders.glob("libfaketime.so*"))
    if not libraries:
        raise Unavailable(f"libfaketime was installed without its library in {folders}")
    return Clock(folder / "clock", libraries[0])


def sweep(pids: set[int]) -> None:
    """Remove what libfaketime keeps in shared memory for processes that were killed."""
    for pid in pids:
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            Path("/dev/shm", name).unlink(missing_ok=True)

"""The audit's files: which they are, in which order, and their lines, compressed or not.

Rotation may compress and rename them: audit-2026-11-20.jsonl, ….jsonl.gz, ….jsonl.1, ….jsonl-20261121.gz.
The day in the name orders them; of one day, the number of the first line. Only reading, never in here:
what a line means.
"""

import gzip
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hlposmon.errors import NotPermitted, WireError
from hlposmon.journal.lines import open_line

# What reading a compressed file that is damaged raises, besides OSError.
UNPACKABLE = (gzip.BadGzipFile, EOFError, zlib.error)
_NAME = re.compile(r"audit-(\d{4}-\d{2}-\d{2})\.jsonl(?:[.-]\d[\d-]*)?(\.gz)?\Z")
# Read limit for a first line: a checkpoint has some hundred kB at most; other data may have no newline.
_LONGEST_FIRST = 16 << 20
_UNNUMBERED = 1 << 62
# How long to wait for the monitor to finish a line that it is writing.
_PATIENCE_S = 1.0
_TELL_LINES = 2_000


# What is noted of files that were removed on purpose.
PRUNED_NAME = "pruned.json"
_PRUNED_BYTES = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
# Longer than any line that the monitor writes: what is longer is read past, and never held in memory.
LONGEST_LINE = 64 << 20


@dataclass(frozen=True, slots=True)
class Pruned:
    """The last line that was removed: its number and hash, the day of its file, and when."""

    seq: int
    hash: str
    day: str
    on: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file; of a day there may be several, told apart by the number of their first line."""

    path: Path
    day: str
    seq: int

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_packed(self) -> bool:
        return self.path.name.endswith(".gz")

    @property
    def is_numbered(self) -> bool:
        """Whether a sound line is among its first few."""
        return self.seq < _UNNUMBERED


def pruned_in(folder: Path) -> Pruned | None:
    """What is noted of files that were removed; None when nothing is, or nothing that can be understood."""
    try:
        with (folder / PRUNED_NAME).open("rb") as file:
            found = json.loads(file.read(_PRUNED_BYTES))
        pruned = Pruned(found["seq"], found["hash"], found["day"], found["on"])
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    texts = (pruned.hash, pruned.day, pruned.on)
    is_sound = type(pruned.seq) is int and all(isinstance(text, str) for text in texts)
    return pruned if is_sound and _DIGEST.match(pruned.hash) and pruned.seq > 0 else None


def written_below(log_dir: Path) -> Path:
    """Where a monitor with this log folder writes them."""
    return log_dir / "trading"


def folder_of(log_dir: Path) -> Path:
    """Where the files are: below the log folder, or in it when they were copied to one of their own."""
    below = written_below(log_dir)
    with readable(below):
        return below if below.is_dir() or not any(map(_is_ours, _names(log_dir))) else log_dir


def size_of(folder: Path, since: str | None = None, until: str | None = None) -> int:
    """How many bytes `verify` has to read."""
    total = 0
    for name in _names(folder):
        with suppress(FileNotFoundError):  # rotation renames it just now
            total += (folder / name).stat().st_size if _is_wanted(name, since, until) else 0
    return total


def _is_ours(name: str) -> bool:
    return _NAME.match(name) is not None


def _names(folder: Path) -> list[str]:
    with readable(folder):
        try:
            return sorted(filter(_is_ours, (path.name for path in folder.iterdir())))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _is_wanted(name: str, since: str | None, until: str | None) -> bool:
    found = _NAME.match(name)
    return found is not None and is_in(found[1], since, until)


def is_in(day: str, since: str | None, until: str | None) -> bool:
    return (since is None or since <= day) and (until is None or day <= until)


def parts_in(folder: Path) -> tuple[list[Part], list[str]]:
    """The files in the order of days and, within a day, of their lines; and what was passed over."""
    return _parts_of(folder, _names(folder))


def newest_first(folder: Path) -> Iterator[Part]:
    """The same files from the newest on; one is opened when it is asked for, with the others of its day."""
    names = _names(folder)
    for day in sorted({found[1] for name in names if (found := _NAME.match(name))}, reverse=True):
        yield from reversed(_parts_of(folder, names, day=day)[0])


def _parts_of(folder: Path, names: Sequence[str], *, day: str | None = None) -> tuple[list[Part], list[str]]:
    found, notes = [], []
    for name in names:
        if not _is_wanted(name, day, day):
            continue
        named = _NAME.match(name)
        assert named is not None, "only ours were listed"
        path = folder / name
        if path.exists() and not path.is_file() and not path.is_dir():
            notes.append(f"{name} was passed over: it is no file")  # a pipe would be waited for without end
            continue
        found.append(Part(path, named[1], _first_seq(path)))
    twice = _twice(found)
    notes += [f"{part.name} was passed over: it is there uncompressed as well" for part in twice]
    found = sorted(set(found) - set(twice), key=lambda part: (part.day, part.seq, part.name))
    return found, notes


def _twice(found: Sequence[Part]) -> list[Part]:
    """Compressed files whose lines are in the file of the same name that is not compressed, too.

    That is what a compression leaves that was interrupted. Where the living file of a day was compressed
    (`logrotate --force`), the two begin with different lines, and both are needed.
    """
    plain = {part.name: part for part in found if not part.is_packed}
    pairs = [(part, plain.get(part.name.removesuffix(".gz"))) for part in found if part.is_packed]
    return [part for part, twin in pairs if twin and (not part.is_numbered or part.seq == twin.seq)]


def _first_seq(path: Path) -> int:
    """The number of the first sound line among the first few; a file without one comes last in its day."""
    try:
        with opened(path) as file:
            for _ in range(20):
                try:
                    seq = open_line(file.readline(_LONGEST_FIRST))["seq"]
                except WireError:
                    continue
                assert isinstance(seq, int), "checked when opened"
                return seq
    except UNPACKABLE:
        pass
    return _UNNUMBERED


def opened(path: Path) -> BinaryIO:
    """The file's own bytes, whether it is compressed or not."""
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb", buffering=1 << 17)


def bounded(file: BinaryIO, too_long: Callable[[int], object] = lambda _: None) -> Iterator[bytes]:
    """The lines of a file; of one longer than any of ours the beginning, and `too_long` its length."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            length = len(line)
            while more := file.readline(1 << 20):
                length += len(more)
                if more.endswith(b"\n"):
                    break
            too_long(length)
        yield line


def lines_of(
    part: Part,
    *,
    is_last: bool,
    tell: Callable[[int], None],
    too_long: Callable[[int], object] = lambda _: None,
) -> Iterator[bytes]:
    """The lines as they stand. The very last is waited for a moment: the monitor may be writing it."""
    told = count = 0
    with opened(part.path) as file:
        for count, raw in enumerate(bounded(file, too_long), 1):
            line = raw
            if is_last and not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                line = _finished(file, line)
            yield line
            if count % _TELL_LINES == 0:
                at = _position(file)
                tell(at - told)
                told = at
    tell(max(0, part.path.stat().st_size - told))


def _finished(file: BinaryIO, line: bytes) -> bytes:
    deadline = time.monotonic() + _PATIENCE_S
    while not line.endswith(b"\n") and time.monotonic() < deadline:
        time.sleep(0.02)  # between two looks at a file that another process writes
        line += file.readline()
    return line


def _position(file: BinaryIO) -> int:
    """How far the file on disk was read; of a compressed one, in its compressed bytes."""
    return os.lseek(file.fileno(), 0, os.SEEK_CUR)


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Says who must act when a file may not be read."""
    try:
        yield
    except PermissionError as error:
        raise NotPermitted.to_outsiders(
            f"{error.filename or folder}: the audit may not be read by this user"
        ) from error

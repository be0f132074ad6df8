"""The audit's files: finds them, orders them, and reads their lines, compressed or not.

Rotation may compress and rename them: audit-2026-11-20.jsonl, ….jsonl.gz, ….jsonl.1, ….jsonl-20261121.gz.
They are ordered by the day in the name and, within a day, by the number of the first line. This module only
reads, and does not know what a line means.
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

# Errors of reading a damaged compressed file; a plain OSError means that the file cannot be read at all.
UNPACKABLE = (gzip.BadGzipFile, EOFError, zlib.error)
_NAME = re.compile(r"audit-(\d{4}-\d{2}-\d{2})\.jsonl(?:[.-]\d[\d-]*)?(\.gz)?\Z")
# Read limit for a first line: a checkpoint has some hundred kB at most; other data may have no newline.
_LONGEST_FIRST = 16 << 20
_UNNUMBERED = 1 << 62
# Seconds to wait for the monitor to finish a line that it is writing.
_PATIENCE_S = 1.0
_TELL_LINES = 2_000


# The note that `prune` leaves about the files that it removed.
PRUNED_NAME = "pruned.json"
_PRUNED_BYTES = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
# Bytes. Longer than any line that the monitor writes; the rest of a longer one is skipped, never held in
# memory.
LONGEST_LINE = 64 << 20


@dataclass(frozen=True, slots=True)
class Pruned:
    """The last line that `prune` removed: its number and hash, the day of its file (`day`), and the day on
    which it was removed (`on`); days are YYYY-MM-DD."""

    seq: int
    hash: str
    day: str
    on: str


@dataclass(frozen=True, slots=True)
class Part:
    """One audit file of `day` (YYYY-MM-DD). A day may have several; `seq`, the number of a file's first sound
    line, orders them."""

    path: Path
    day: str
    seq: int

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def is_packed(self) -> bool:
        """Whether the file is compressed (gzip), judged by its name."""
        return self.path.name.endswith(".gz")

    @property
    def is_numbered(self) -> bool:
        """Whether a sound line was found among the first 20, so that `seq` is a real number."""
        return self.seq < _UNNUMBERED


def pruned_in(folder: Path) -> Pruned | None:
    """Return the note about removed files in `folder`, or None if there is none or it is not valid.

    Raises PermissionError if it may not be read.
    """
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
    """Return the folder in which a monitor with this log folder writes its audit files."""
    return log_dir / "trading"


def folder_of(log_dir: Path) -> Path:
    """Return the folder that holds the audit files: the subfolder of `log_dir` that the monitor writes to, or
    `log_dir` itself if there is no such folder and audit files were copied there. Raises NotPermitted."""
    below = written_below(log_dir)
    with readable(below):
        return below if below.is_dir() or not any(map(_is_ours, _names(log_dir))) else log_dir


def size_of(folder: Path, since: str | None = None, until: str | None = None) -> int:
    """Return how many bytes `verify` has to read for these days: sizes on disk, compressed files as they are.

    `since` and `until` are days (YYYY-MM-DD), both included. Raises NotPermitted if the folder cannot be
    listed.
    """
    total = 0
    for name in _names(folder):
        with suppress(FileNotFoundError):  # rotation renamed it since it was listed
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
    """Return whether `day` is between `since` and `until`, both included; None leaves that end open.

    All are YYYY-MM-DD and compare as text.
    """
    return (since is None or since <= day) and (until is None or day <= until)


def parts_in(folder: Path) -> tuple[list[Part], list[str]]:
    """Return the audit files of `folder`, oldest line first, and a sentence about each file that was skipped.

    Raises NotPermitted, and OSError for a file that cannot be read.
    """
    return _parts_of(folder, _names(folder))


def newest_first(folder: Path) -> Iterator[Part]:
    """Yield the same files, newest first. The files of one day are opened when the first of them is needed.

    Raises as `parts_in`.
    """
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
            notes.append(f"{name} was passed over: it is no file")  # opening a pipe would block for ever
            continue
        found.append(Part(path, named[1], _first_seq(path)))
    twice = _twice(found)
    notes += [f"{part.name} was passed over: it is there uncompressed as well" for part in twice]
    found = sorted(set(found) - set(twice), key=lambda part: (part.day, part.seq, part.name))
    return found, notes


def _twice(found: Sequence[Part]) -> list[Part]:
    """Return the compressed files that repeat an uncompressed file of the same name.

    An interrupted compression leaves such a pair. If the current file of a day was compressed
    (`logrotate --force`), the two begin with different lines and both are needed.
    """
    plain = {part.name: part for part in found if not part.is_packed}
    pairs = [(part, plain.get(part.name.removesuffix(".gz"))) for part in found if part.is_packed]
    return [part for part, twin in pairs if twin and (not part.is_numbered or part.seq == twin.seq)]


def _first_seq(path: Path) -> int:
    """Return the number of the first sound line among the first 20, or _UNNUMBERED if none is sound.

    A file without a number sorts last in its day.
    """
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
    """Open a file for reading its uncompressed bytes. Raises OSError; reading may raise UNPACKABLE."""
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb", buffering=1 << 17)


def bounded(file: BinaryIO, too_long: Callable[[int], object] = lambda _: None) -> Iterator[bytes]:
    """Yield the lines of a file. A line longer than LONGEST_LINE is cut to that length, and `too_long` gets
    its full length in bytes."""
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
    """Yield the raw lines of a file; cut and report overlong ones as `bounded` does.

    With `is_last`, wait up to _PATIENCE_S for the newline of the last line: the monitor may be writing it.
    `tell` gets the bytes on disk read since it was last called; their sum is the size of the file. Raises
    OSError and UNPACKABLE.
    """
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
    """Return the offset in the file on disk, for a compressed one in compressed bytes."""
    return os.lseek(file.fileno(), 0, os.SEEK_CUR)


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn a PermissionError inside the block into NotPermitted, whose text says who may read the audit."""
    try:
        yield
    except PermissionError as error:
        raise NotPermitted.to_outsiders(
            f"{error.filename or folder}: the audit may not be read by this user"
        ) from error

"""The audit's files, read: every sound line behind a number, in order, over the days.

A day that was compressed (`.jsonl.gz`) is read as well. Lines that a crash cut short or that were
altered are passed over: finding those is another's task. Nothing is written here.
"""

import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from hlposmon.errors import WireError
from hlposmon.wire.lines import open_line

_NAME = re.compile(r"audit-(\d{4}-\d{2}-\d{2})\.jsonl(\.gz)?\Z")
_SEQ = re.compile(rb'\{"seq":(\d+),')


def day_files(folder: Path) -> list[tuple[str, Path]]:
    """The days and their files, in order; where a day is there twice, the one that is not compressed."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
        if match := _NAME.match(path.name):
            found[match[1]] = path  # the plain name sorts before the compressed one
    return sorted(found.items())


def lines_after(folder: Path, seq: int) -> Iterator[tuple[dict[str, Any], str, bytes]]:
    """The lines behind number `seq` that are in the files, in order: the object, its day, its bytes."""
    days = day_files(folder)
    at = len(days) - 1
    while at > 0 and (_first_seq(days[at][1]) or seq + 1) > seq:
        at -= 1
    for day, path in days[max(0, at) :]:
        with _opened(path) as file:
            _skip_to(file, seq)
            for raw in file:
                number = _seq_of(raw)
                if number is None or number <= seq:
                    continue
                try:
                    line = open_line(raw)
                except WireError:
                    continue
                seq = number
                yield line, day, raw


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    return path.open("rb", buffering=1 << 18)


def _first_seq(path: Path) -> int | None:
    """The number of the file's first line; None for a file that begins with half a line, or is empty."""
    with _opened(path) as file:
        return _seq_of(file.readline())


def _seq_of(raw: bytes) -> int | None:
    match = _SEQ.match(raw)
    return int(match[1]) if match else None


def _skip_to(file: BinaryIO, seq: int) -> None:
    """Stand at a line's start, not far before the first line behind `seq`: numbers only grow in a file."""
    if not isinstance(file, io.BufferedReader):
        return  # a compressed file is read from its beginning
    low, high = 0, file.seek(0, io.SEEK_END)
    while high - low > 1 << 16:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        number, start = None, file.tell()
        while number is None and start < high:
            start = file.tell()
            raw = file.readline()
            if not raw:
                break
            number = _seq_of(raw)
        if number is None or number > seq:
            high = middle
        else:
            low = start
    file.seek(low)

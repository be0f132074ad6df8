"""Reads the audit's lines after a given number, in order, across all files, rotated and compressed ones too.

`journal.files` finds the files. Lines that a crash cut short or that were altered are skipped; `verify` finds
those. This module only reads.
"""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hlposmon.errors import WireError
from hlposmon.journal.files import (
    PRUNED_NAME,
    UNPACKABLE,
    Part,
    bounded,
    newest_first,
    opened,
    parts_in,
    pruned_in,
)
from hlposmon.journal.lines import open_line

_SEQ = re.compile(rb'\{"seq":(\d{1,18}),')


def lines_after(
    folder: Path, seq: int, damaged: Callable[[str, str], object]
) -> Iterator[tuple[dict[str, Any], str, bytes]]:
    """Yield the sound lines after number `seq`, in order: JSON object, day of the file, raw bytes.

    `damaged` is called with the name of a compressed file that is broken from some point on, and the reason,
    before the lines of the next file; also for lines that were pruned. Raises OSError or NotPermitted for a
    file that cannot be read.
    """
    pruned = pruned_in(folder)
    if pruned is not None and pruned.seq > seq:
        damaged(PRUNED_NAME, f"lines up to seq {pruned.seq} of {pruned.day} were removed on purpose")
    for part in parts_behind(folder, seq):
        try:
            for raw in _raw_after(part, seq):
                number = seq_of(raw)
                if number is None or number <= seq:
                    continue
                try:
                    line = open_line(raw)
                except WireError:
                    continue
                seq = number
                yield line, part.day, raw
        except UNPACKABLE as error:
            damaged(part.name, str(error))


def parts_behind(folder: Path, seq: int) -> list[Part]:
    """Return the files that may hold lines after number `seq`, oldest first; older files are not opened.

    A compressed file without a readable line sorts first in its day: the oldest file is compressed first.
    """
    parts = []
    for part in newest_first(folder):
        parts.append(part)
        if part.is_numbered and part.seq <= seq + 1:
            break
    return sorted(
        parts, key=lambda part: (part.day, part.is_numbered or not part.is_packed, part.seq, part.name)
    )


def line_at(folder: Path, seq: int) -> dict[str, Any] | None:
    """Return the object of line `seq`, or None if no file holds it sound. Raises as `lines_after`."""
    for line, _, _ in lines_after(folder, seq - 1, lambda _name, _reason: None):
        return line if line["seq"] == seq else None
    return None


def first_seq(folder: Path) -> int:
    """Return the number of the first line that is left in the files; 0 if there is none. Raises as
    `lines_after`."""
    parts, _ = parts_in(folder)
    return min((part.seq for part in parts if part.is_numbered), default=0)


def _raw_after(part: Part, seq: int) -> Iterator[bytes]:
    with opened(part.path) as file:
        skip_to(file, seq)
        yield from bounded(file)


def seq_of(raw: bytes) -> int | None:
    """Return the number at the beginning of a raw line, sound or not; None if there is none."""
    match = _SEQ.match(raw)
    return int(match[1]) if match else None


def skip_to(file: BinaryIO, seq: int) -> None:
    """Seek to the start of a line at most about 64 kB before the first line after `seq`.

    Binary search over byte offsets: numbers only grow within a file. A compressed file is left at its start.
    """
    if not isinstance(file, io.BufferedReader):
        return  # compressed: seeking would unpack everything before it anyway
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
            number = seq_of(raw)
        if number is None or number > seq:
            high = middle
        else:
            low = start
    file.seek(low)

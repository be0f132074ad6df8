"""The audit's lines behind a number, in order, over all of its files, whatever rotation made of them.

Which files there are, `journal.files` knows. Lines that a crash cut short or that were altered are passed
over: finding those is another's task. Nothing is written here.
"""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hlposmon.errors import WireError
from hlposmon.journal.files import PRUNED_NAME, UNPACKABLE, Part, bounded, newest_first, opened, pruned_in
from hlposmon.journal.lines import open_line

_SEQ = re.compile(rb'\{"seq":(\d{1,18}),')


def lines_after(
    folder: Path, seq: int, damaged: Callable[[str, str], object]
) -> Iterator[tuple[dict[str, Any], str, bytes]]:
    """The lines behind number `seq` that are in the files, in order: the object, its day, its bytes.

    `damaged` hears the name of a compressed file that cannot be unpacked from some place on, and why, before
    the next file's lines come. Raises OSError or NotPermitted for a file that cannot be read.
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
    """The files that may hold lines behind that number: the newest ones, as far back as is needed. What
    cannot be unpacked at all was compressed first, and so is the oldest of its day."""
    parts = []
    for part in newest_first(folder):
        parts.append(part)
        if part.is_numbered and part.seq <= seq + 1:
            break
    return sorted(
        parts, key=lambda part: (part.day, part.is_numbered or not part.is_packed, part.seq, part.name)
    )


def line_at(folder: Path, seq: int) -> dict[str, Any] | None:
    """The line of that number; None where the files have none that is sound. Raises as `lines_after`."""
    for line, _, _ in lines_after(folder, seq - 1, lambda _name, _reason: None):
        return line if line["seq"] == seq else None
    return None


def _raw_after(part: Part, seq: int) -> Iterator[bytes]:
    with opened(part.path) as file:
        skip_to(file, seq)
        yield from bounded(file)


def seq_of(raw: bytes) -> int | None:
    """The number that a line begins with, be it sound or not."""
    match = _SEQ.match(raw)
    return int(match[1]) if match else None


def skip_to(file: BinaryIO, seq: int) -> None:
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
            number = seq_of(raw)
        if number is None or number > seq:
            high = middle
        else:
            low = start
    file.seek(low)

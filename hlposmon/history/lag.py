"""Measures from the files alone how far a history is behind the journal that it follows. It only reads.

    the history ends with line 7, hash ab12; the journal's files have 7 (ab12), 8, 9, 10
    -> three lines behind, since the time of line 8

If the journal's line 7 has another hash, it is not the journal that this history follows: no lag is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hlposmon.journal.files import UNPACKABLE, bounded, newest_first, opened
from hlposmon.journal.reader import lines_after, seq_of, skip_to

# Larger than any line number: with it, `skip_to` seeks close to the end of a file.
_BEYOND = 1 << 62


@dataclass(frozen=True, slots=True)
class Lag:
    """How many `lines` of the journal the history lacks, and the time of the first of them in Unix
    milliseconds, by the monitor's clock."""

    lines: int
    since_ms: int


def lag_of(journal: Path, seq: int, digest: str) -> Lag | None:
    """Return how far a history that ends with line `seq` and hash `digest` is behind the files in `journal`.

    None if it is not behind, or if the files do not show that they are the journal that it follows. Raises
    OSError or NotPermitted for a file that cannot be read.
    """
    newest = _newest_seq(journal)
    if newest is None or newest <= seq:
        return None
    first = _first_missing(lines_after(journal, seq - 1, lambda _name, _reason: None), seq, digest)
    if first is None:
        return None
    since = datetime.fromisoformat(first["timestamp"])
    return Lag(newest - seq, int(since.timestamp() * 1000))


def _first_missing(
    lines: Iterator[tuple[dict[str, Any], str, bytes]], seq: int, digest: str
) -> dict[str, Any] | None:
    """Return line `seq + 1` if it chains to our hash; line `seq`, where it still exists, must have it too."""
    for line, _, _ in lines:
        if line["seq"] == seq:
            if line["hash"] != digest:
                return None
        elif line["seq"] == seq + 1 and line["prev"] == digest:
            return line
        else:
            return None
    return None


def _newest_seq(journal: Path) -> int | None:
    """Return the highest line number of the newest file that has any; None if no file has."""
    for part in newest_first(journal):
        try:
            with opened(part.path) as file:
                skip_to(file, _BEYOND)
                numbers = [number for raw in bounded(file) if (number := seq_of(raw)) is not None]
        except UNPACKABLE:
            continue
        if numbers:
            return max(numbers)
    return None

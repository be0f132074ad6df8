"""How far a history is behind the journal that it follows, told from the files alone. It only reads.

    the history ends with line 7, hash ab12; the journal's files have 7 (ab12), 8, 9, 10
    -> three lines behind, since the time of line 8

A journal whose line 7 has another hash is another journal, and says nothing of this history.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hlposmon.journal.files import UNPACKABLE, bounded, newest_first, opened
from hlposmon.journal.reader import lines_after, seq_of, skip_to

# Beyond any number of a line: `skip_to` then stands near the end of a file.
_BEYOND = 1 << 62


@dataclass(frozen=True, slots=True)
class Lag:
    """So many `lines` of the journal are not in the history; the first of them is of `since_ms` (Unix
    milliseconds, by the monitor's clock)."""

    lines: int
    since_ms: int


def lag_of(journal: Path, seq: int, digest: str) -> Lag | None:
    """How far a history that ends with line `seq`, of that hash, is behind the files in the folder `journal`.

    None where it is not behind, and where the files cannot be seen to be those of the journal that it
    follows. Raises OSError or NotPermitted for a file that cannot be read.
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
    """The line behind ours, if the journal is the one that we know up to there."""
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
    """The number of the last line in the newest file that has one."""
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

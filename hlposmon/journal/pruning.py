"""The audit's oldest files removed, and what is known of them afterwards.

The chain then begins in the midst. So that this is not taken for a beginning that somebody cut off, the last
line that was removed is noted in `pruned.json` beside the files, before the first of them goes. Nothing is
removed that is not intact, nor what a restart may need. The note has no seal: who can remove files can write
it too, and only a number and hash that were noted elsewhere tell that apart.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from hlposmon.errors import HlposmonError, WireError
from hlposmon.journal.files import (
    PRUNED_NAME,
    Part,
    Pruned,
    bounded,
    opened,
    parts_in,
    pruned_in,
    readable,
)
from hlposmon.journal.lines import open_line
from hlposmon.journal.verify import Report, verify
from hlposmon.system.files import replace_file

# A restart reads back to the last checkpoint, which stands in one of these.
KEPT_FILES = 2


@dataclass(slots=True)
class Result:
    """What was removed, and how far the files are gone now; `report` is of the files that were looked at."""

    removed: list[str] = field(default_factory=list)
    pruned: Pruned | None = None
    report: Report | None = None


def prune(folder: Path, *, keep_days: int, today: date, behind_seq: int | None = None) -> Result:
    """Remove the files of days before the last `keep_days`; `behind_seq` is how far the history has come.

    Raises HlposmonError, and removes nothing, when the files to go are not intact, are not in the history
    yet, or do not chain to those that stay; NotPermitted for what may not be read.
    """
    before = (today - timedelta(days=keep_days)).isoformat()
    with readable(folder):
        everything, _ = parts_in(folder)
        leaving = [part for part in everything if part.day < before][: max(0, len(everything) - KEPT_FILES)]
        # Of one day all files go or none: their days are what `verify` is given.
        while leaving and len(leaving) < len(everything) and everything[len(leaving)].day == leaving[-1].day:
            leaving.pop()
        if not leaving:
            return Result(pruned=pruned_in(folder))
        result = Result(report=verify(folder, until=leaving[-1].day))
    assert result.report is not None, "files were looked at"
    _refuse_unless_whole(folder, result.report, everything[len(leaving)], behind_seq)
    assert result.report.last is not None, "there is a sound line"
    seq, digest = result.report.last
    result.pruned = Pruned(seq, digest, leaving[-1].day, today.isoformat())
    _note(folder, result.pruned)
    for part in leaving:
        part.path.unlink(missing_ok=True)
        result.removed.append(part.name)
    return result


def _refuse_unless_whole(folder: Path, report: Report, stays: Part, behind_seq: int | None) -> None:
    if report.faults:
        one = report.faults[0]
        raise HlposmonError(
            f"nothing was removed: {one.file}:{one.line}: {one.message}; 'hlposmon audit verify' tells all"
        )
    last = report.last
    if last is None or not stays.is_numbered:
        raise HlposmonError(f"nothing was removed: {folder} holds no sound line where the rest would begin")
    if behind_seq is not None and behind_seq < last[0]:
        raise HlposmonError(
            f"nothing was removed: the history has come to seq {behind_seq} only, and is still to be brought"
            f" lines up to {last[0]}"
        )
    begins = _first_line(stays)
    if begins is None or (begins["seq"], begins["prev"]) != (last[0] + 1, last[1]):
        raise HlposmonError(f"nothing was removed: {stays.name} does not chain to seq {last[0]} before it")


def _first_line(part: Part) -> dict[str, Any] | None:
    with opened(part.path) as file:
        for raw in islice(bounded(file), 20):
            with contextlib.suppress(WireError):
                return open_line(raw)
    return None


def _note(folder: Path, pruned: Pruned) -> None:
    """Whole or not at all, and on the disk before a file goes; for the monitor to read, whoever prunes."""
    text = json.dumps(asdict(pruned)) + "\n"
    replace_file(folder / PRUNED_NAME, text, mode=0o640, durable=True, handed_over=True)

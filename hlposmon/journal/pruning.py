"""Removes the audit's oldest files and notes where the chain now begins.

After pruning, the chain no longer begins with line 1. To tell this from a beginning that somebody cut off,
number and hash of the last removed line are written to `pruned.json` beside the files before the first file
is removed. Files that are not intact, or that a restart may need, are never removed. The note itself is not
protected: whoever can remove files can forge it, and only a number and hash noted elsewhere would show that.
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

# The newest files that always stay: a restart needs the last checkpoint, which is in one of these.
KEPT_FILES = 2


@dataclass(slots=True)
class Result:
    """Names of the removed files, the note as it is now (None: nothing was ever removed), and the report of
    `verify` on the files to be removed (None: there were none)."""

    removed: list[str] = field(default_factory=list)
    pruned: Pruned | None = None
    report: Report | None = None


def prune(folder: Path, *, keep_days: int, today: date, behind_seq: int | None = None) -> Result:
    """Remove the files of days more than `keep_days` before `today`, but never the newest KEPT_FILES.

    `behind_seq` is the last line that the history holds; None if there is no history to wait for. Raises
    HlposmonError, and removes nothing, if the files to be removed are not intact, are not in the history
    yet, or do not chain to those that stay; NotPermitted for what may not be read; OSError when a file
    cannot be removed.
    """
    before = (today - timedelta(days=keep_days)).isoformat()
    with readable(folder):
        everything, _ = parts_in(folder)
        leaving = [part for part in everything if part.day < before][: max(0, len(everything) - KEPT_FILES)]
        # Remove all files of a day or none, because `verify` selects files by day.
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
    """Write the note atomically and sync it before any file is removed. The folder's owner gets the file, so
    that the monitor can read it also when root pruned."""
    text = json.dumps(asdict(pruned)) + "\n"
    replace_file(folder / PRUNED_NAME, text, mode=0o640, durable=True, handed_over=True)

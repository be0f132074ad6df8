"""`hlposmon audit`: `verify` finds faults in the hash chain on disk, `prune` removes old files."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hlposmon.cli import stdout
from hlposmon.client.history import History, NoHistory
from hlposmon.config import Flags, locate
from hlposmon.errors import HlposmonError, NotPermitted
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.journal.files import folder_of, size_of
from hlposmon.journal.pruning import prune
from hlposmon.journal.verify import Expected, Located, Report, verify

INTACT, FAULTY = 0, 1
DAY = click.DateTime(formats=["%Y-%m-%d"])


class ExpectedLine(click.ParamType[Expected]):
    """A click type for `SEQ:HASH`, as an earlier `audit verify` printed it."""

    name = "SEQ:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Expected:
        if isinstance(value, Expected):
            return value
        found = re.fullmatch(r"(\d{1,18}):([0-9a-fA-F]{64})", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a number, a colon and 64 hexadecimal digits.", param, ctx)
        return Expected(int(found[1]), found[2].lower())


@click.group("audit")
def command() -> None:
    """Look after the audit journal."""


@command.command("verify")
@click.option("--from", "since", type=DAY, metavar="DATE", help="Begin with this day's file (UTC).")
@click.option("--to", "until", type=DAY, metavar="DATE", help="End with this day's file (UTC).")
@click.option(
    "--log-dir", metavar="DIR", help="The monitor's log folder, or a folder with copies of the files."
)
@click.option(
    "--expect-last",
    "expected",
    type=ExpectedLine(),
    metavar="SEQ:HASH",
    help="A line noted earlier: it must be there, unchanged.",
)
@click.option(
    "--expect-first",
    "expected_first",
    type=ExpectedLine(),
    metavar="SEQ:HASH",
    help="The line with which the files are to begin, where older ones were removed.",
)
@click.option("--simulate", is_flag=True, help="The audit of simulated runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
def check(
    since: datetime | None,
    until: datetime | None,
    log_dir: str | None,
    expected: Expected | None,
    expected_first: Expected | None,
    simulate: bool,
    as_json: bool,
) -> int:
    """Find every altered, removed, inserted, repeated or moved line of the audit.

    Each fault is told with its file, line and number. Half a line that a crash left, and that the line
    after it marks, is told and is no fault. The last line's number and hash are printed, to be noted down
    elsewhere and handed to --expect-last later: the chain alone does not show that its end was cut off.
    Where files were removed by 'audit prune', pruned.json beside them tells of it; a beginning of which
    nothing tells is a fault, unless --expect-first names it.

    Exit status 0 when all is intact, 1 when there are faults or no files, 2 for a wrong command line,
    4 without permission.
    """
    if since is not None and until is not None and since > until:
        raise click.UsageError("--from is later than --to.")
    first, last = (day.date().isoformat() if day else None for day in (since, until))
    folder = folder_of(locate(Flags(log_dir=log_dir, simulate=simulate), os.environ).log_dir)
    with _progress(size_of(folder, first, last)) as tell:
        report = verify(
            folder, since=first, until=last, expected=expected, expected_first=expected_first, tell=tell
        )
    try:
        if as_json:
            click.echo(json.dumps(_object(report)))
        else:
            _print(report)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`: the status is that of the audit all the same
        stdout.silence()
    return FAULTY if report.faults else INTACT


@command.command("prune")
@click.option(
    "--keep", "keep_days", type=click.IntRange(2, 36_500), required=True, metavar="DAYS", help="Days to keep."
)
@click.option("--log-dir", metavar="DIR", help="The monitor's log folder.")
@click.option("--state-dir", metavar="DIR", help="Where the history is kept: it must have those lines.")
@click.option("--simulate", is_flag=True, help="The audit of simulated runs.")
def prune_files(keep_days: int, log_dir: str | None, state_dir: str | None, simulate: bool) -> int:
    """Remove the audit's files that are older than so many days, the monitor running or not.

    What goes is verified first, and nothing goes that is not intact, that the history has not taken yet, or
    that a restart needs. The last line that went is noted in pruned.json, so that 'audit verify' knows why
    the chain begins where it does. Exit status 0 when all is done, 1 when files had to stay.
    """
    paths = locate(Flags(log_dir=log_dir, state_dir=state_dir, simulate=simulate), os.environ)
    folder = folder_of(paths.log_dir)
    today = datetime.now(UTC).date()
    result = prune(folder, keep_days=keep_days, today=today, behind_seq=_history_seq(paths.state_dir))
    for name in result.removed:
        click.echo(f"removed {folder / name}")
    if result.removed and result.pruned is not None:
        click.echo(f"{folder}: pruned up to {result.pruned.seq}:{result.pruned.hash}")
    return INTACT


def _history_seq(state_dir: Path) -> int | None:
    """The number of the last line in the history. None if the state folder exists without a history: a new
    one will begin with the files that are left.

    Raises HlposmonError if the history cannot be opened or the state folder is missing, since these files may
    then be needed to fill it.
    """
    path = state_dir / HISTORY_FILE
    try:
        with History.open(path) as history:
            return history.seq
    except (NoHistory, NotPermitted) as error:
        if isinstance(error, NoHistory) and state_dir.is_dir() and not path.exists():
            return None
        raise HlposmonError(
            f"nothing was removed: whether the history has taken these lines is not known: {error};"
            " --state-dir says where it is"
        ) from error


@contextmanager
def _progress(length: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over `length` bytes if stderr is a terminal; yields the function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label="reading", file=sys.stderr) as bar:
        yield bar.update


def _print(report: Report) -> None:
    for note in report.notes:
        click.echo(f"note: {note}")
    for one in report.marked:
        click.echo(f"{_place(one)}: marked: {one.message}")
    for one in report.faults:
        click.echo(f"{_place(one)}: {one.kind}: {one.message}")
    what = f"{_count(len(report.files), 'file')}, {_count(report.lines, 'line')}"
    if report.first and report.last:
        what += f", seq {report.first[0]} to {report.last[0]}"
    verdict = _count(len(report.faults), "fault") if report.faults else "intact"
    click.echo(f"{report.folder}: {verdict}: {what}")
    if report.last is not None:
        click.echo(f"last line: {report.last[0]}:{report.last[1]}")


def _place(one: Located) -> str:
    if one.line == 0:
        return one.file
    return f"{one.file}:{one.line}" if one.lines <= 1 else f"{one.file}:{one.line}-{one.line + one.lines - 1}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _object(report: Report) -> dict[str, Any]:
    first, last = report.first or (None, None), report.last or (None, None)
    return {
        "intact": not report.faults,
        "folder": str(report.folder),
        "files": report.files,
        "lines": report.lines,
        "first_seq": first[0],
        "first_hash": first[1],
        "last_seq": last[0],
        "last_hash": last[1],
        "faults": [_fault(one) for one in report.faults],
        "marked": [_fault(one) for one in report.marked],
        "notes": report.notes,
    }


def _fault(one: Located) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "file": one.file,
        "line": one.line or None,
        "lines": one.lines,
        "seq": one.seq,
        "seq_last": one.seq_last,
        "message": one.message,
    }

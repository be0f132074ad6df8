"""Reads the audit's files from beginning to end and reports where the chain is broken.

`verify` reads one line at a time, so files may be of any size; it handles files that rotation compressed or
renamed, and works while the monitor writes. It changes nothing. `journal.runs` and `journal.faults` analyse
the chain; this module checks files, days, and the first and last line.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from hlposmon.errors import HlposmonError, WireError
from hlposmon.journal.faults import Fault, explain
from hlposmon.journal.files import UNPACKABLE, Part, is_in, lines_of, parts_in, pruned_in, readable
from hlposmon.journal.lines import open_line
from hlposmon.journal.runs import KNOWN_LINES, Chain, Link, Place

# How many lines with a later day than their file's are remembered.
_LATE_LINES = 1_000
# Rotation may rename a file after it was listed; everything is then read again, after this many seconds.
_TRIES, _AGAIN_S = 50, 0.1
# How many `rejoined` lines are remembered, and how many overlong lines are reported one by one.
_REJOINED, _LONG_LINES = 1_000, 100
# Types that the first line of a file may have: the monitor begins each file with a checkpoint, unless a crash
# left an empty or half-written file.
_HEADS = ("checkpoint", "start", "torn", "audit_damaged", "audit_unread")
# A start appends these to the newest file, whatever the day: their day may be later than the file's.
_OF_A_START = ("torn", "audit_damaged", "audit_unread")


@dataclass(frozen=True, slots=True)
class Located:
    """A fault, or a torn or lost line that the audit itself reports, with the place in its file.

    `line` counts from 1; `lines`, `seq`, `seq_last` and `message` are as in `faults.Fault`.
    """

    kind: str
    file: str
    line: int
    lines: int
    seq: int | None
    seq_last: int | None
    message: str


@dataclass(slots=True)
class Report:
    """The result of `verify`.

    `files` are the names read, `lines` how many lines they have, `first` and `last` number and hash of the
    chain's first and last line (None: no sound line). `faults` is empty if the audit is intact; `marked` are
    torn and lost lines that the audit itself reports, `notes` remarks for people; neither is a fault.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    lines: int = 0
    first: tuple[int, str] | None = None
    last: tuple[int, str] | None = None
    faults: list[Located] = field(default_factory=list)
    marked: list[Located] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Expected:
    """A line that was recorded elsewhere: the chain must hold line `seq` with this hash."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Head:
    """A line whose day and type are checked: the first sound line of a file, or one of a later day."""

    place: Place
    seq: int
    kind: str
    day: str


def verify(
    folder: Path,
    *,
    since: str | None = None,
    until: str | None = None,
    expected: Expected | None = None,
    expected_first: Expected | None = None,
    tell: Callable[[int], None] = lambda _: None,
    known_lines: int = KNOWN_LINES,
) -> Report:
    """Check the files of the days `since` to `until` (YYYY-MM-DD, both included) and return a report.

    `expected` is a line that the files must hold; `expected_first` is the line that they must begin with,
    after older ones were removed. `tell` is called with the bytes read since its last call. A copy more than
    `known_lines` after its original is recognised by its number only.

    Raises NotPermitted for a file that this user may not read, HlposmonError if there are no files, and
    FileNotFoundError if files keep disappearing for _TRIES attempts.
    """
    for _ in range(_TRIES):
        try:
            return _verified(folder, since, until, expected, expected_first, tell, known_lines)
        except FileNotFoundError:
            time.sleep(_AGAIN_S)  # rotation renamed it, and may be about to rename the next one
    return _verified(folder, since, until, expected, expected_first, tell, known_lines)


def _verified(
    folder: Path,
    since: str | None,
    until: str | None,
    expected: Expected | None,
    expected_first: Expected | None,
    tell: Callable[[int], None],
    known_lines: int,
) -> Report:
    report = Report(folder)
    with readable(folder):
        everything, report.notes = parts_in(folder)
        parts = [part for part in everything if is_in(part.day, since, until)]
        if not parts:
            raise HlposmonError(_no_files(folder, everything, since, until))
        report.files = [part.name for part in parts]
        before = [part for part in everything if since is not None and part.day < since]
        reading = _Reading(report, parts, before[-1] if before else None, expected, tell, known_lines)
        reading.expected_first, reading.is_part = expected_first, since is not None
        reading.run()
    return report


class _Reading:
    """One pass over the files; `before` is the last file before them, whose end anchors the chain."""

    def __init__(
        self,
        report: Report,
        parts: Sequence[Part],
        before: Part | None,
        expected: Expected | None,
        tell: Callable[[int], None],
        known_lines: int,
    ) -> None:
        self._report, self._parts, self._before = report, parts, before
        self._expected, self._tell = expected, tell
        self._seen: str | None = None
        self._chain = Chain(known_lines=known_lines)
        self._heads: list[_Head] = []
        self._late: list[_Head] = []
        self.expected_first: Expected | None = None
        self.is_part = False
        self._seen_first: str | None = None
        self._rejoined: list[tuple[int, int]] = []
        self._long: list[tuple[Place, int]] = []

    def run(self) -> None:
        anchor = _last_link(self._before) if self._before is not None else None
        if self._before is not None and anchor is None:
            said = f"{self._before.name} ends with no sound line: the link to it was not checked"
            self._report.notes.append(said)
        self._chain = Chain(anchor, self._chain.known_lines)
        for index, part in enumerate(self._parts):
            self._read(index, part)
        found = explain(self._chain, self._name)
        self._report.lines = self._chain.lines
        self._report.marked = [self._located(fault) for fault in found.marked]
        self._take(found.faults)
        if found.order and found.order[-1].last is not anchor and self._chain.head is not None:
            first, last = found.order[0].first, found.order[-1].last
            if first is anchor:
                first = self._chain.head
            else:
                self._explain_beginning(first)
            self._report.first, self._report.last = (first.seq, first.hash), (last.seq, last.hash)
        self._check_expected()
        order = {part.name: at for at, part in enumerate(self._parts)}
        self._report.faults.sort(key=lambda one: (order.get(one.file, -1), one.line))

    def _read(self, index: int, part: Part) -> None:
        number, has_head = 0, False

        def too_long(length: int) -> None:
            if len(self._long) < _LONG_LINES:
                said = f"{part.name}:{number + 1}: a line of {length} bytes: the monitor writes none so long,"
                self._report.notes.append(f"{said} and its end was not looked at")
                self._long.append((Place(index, number + 1), length))

        is_last = index == len(self._parts) - 1
        try:
            for raw in lines_of(part, is_last=is_last, tell=self._tell, too_long=too_long):
                number += 1
                body = self._chain.take(raw, Place(index, number))
                if body is None:
                    continue
                if self._expected is not None and body["seq"] == self._expected.seq:
                    self._seen = body["hash"]
                if self.expected_first is not None and body["seq"] == self.expected_first.seq:
                    self._seen_first = body["hash"]
                day, kind = str(body.get("timestamp"))[:10], str(body.get("type"))
                low, high = body.get("first"), body.get("last")
                if kind == "rejoined" and isinstance(low, int) and isinstance(high, int):
                    self._rejoined = [*self._rejoined[-_REJOINED:], (low, high)]
                if not has_head:
                    has_head = True
                    self._heads.append(_Head(Place(index, number), body["seq"], kind, day))
                if day > part.day and kind not in _OF_A_START and len(self._late) < _LATE_LINES:
                    self._late.append(_Head(Place(index, number), body["seq"], kind, day))
        except UNPACKABLE as error:
            self._fault("unreadable", Place(index, number + 1), f"cannot be unpacked from here on: {error}")

    def _take(self, faults: Sequence[Fault]) -> None:
        """Report the chain's faults, and those of days and first lines; each manipulation only once.

        A file renamed to another day (a "stray") also puts its lines out of order, and every line of it has
        the wrong day: it is reported once, as a wrong day.
        """
        strays = {head.place.part for head in self._heads if self._is_stray(head)}
        taken: set[Place] = set()
        moved: set[int | None] = set()
        for fault in faults:
            if fault.kind == "reordered":
                # A file under another day's name puts itself or its neighbours out of order.
                if strays and fault.place.line == 1:
                    continue
                moved.add(fault.seq_last)
            taken.update(Place(fault.place.part, fault.place.line + at) for at in range(fault.lines))
            self._report.faults.append(self._located(fault))
        for head in self._heads:
            if head.place.part in strays:
                day = self._parts[head.place.part].day
                said = f"the file begins on {head.day}, and is named for {day}"
                self._fault("wrong_day", head.place, said, head.seq)
                taken.update(one.place for one in self._late if one.place.part == head.place.part)
        for one in self._late:
            if one.place not in taken:
                taken.update(other.place for other in self._late if other.place.part == one.place.part)
                day = self._parts[one.place.part].day
                self._fault("wrong_day", one.place, f"a line of {one.day} in the file of {day}", one.seq)
        first = self._heads[0] if self._heads and self._before is None else None
        is_headless = first is not None and first.kind not in _HEADS and first.place == Place(0, 1)
        if (
            first
            and is_headless
            and first.seq > 1
            and first.place not in taken
            and first.seq - 1 not in moved
        ):
            said = f"lines before seq {first.seq} are missing: a file does not begin with a {first.kind}"
            self._fault("removed", first.place, said, first.seq - 1)

    def _explain_beginning(self, first: Link) -> None:
        """Explain why the files begin with line `first`: it is line 1, or older ones were pruned, not asked
        for, or missing at a restart (`rejoined`). Without an explanation, report them as removed."""
        place, expected = first.place, self.expected_first
        if expected is not None:
            if self._seen_first == expected.hash:
                return
            said = f"seq {expected.seq} was noted as the first line, and is not here: the files begin with"
            self._fault("removed", place, f"{said} seq {first.seq}", expected.seq)
            return
        pruned = pruned_in(self._report.folder)
        if first.seq == 1 or (pruned is not None and first.seq <= pruned.seq):
            return
        begins = f"the files begin with seq {first.seq}"
        if pruned is not None and first.seq == pruned.seq + 1:
            if first.prev == pruned.hash:
                said = f"{begins}: what was before, up to seq {pruned.seq} of {pruned.day}, was pruned on"
                self._report.notes.append(f"{said} {pruned.on}")
            else:
                self._fault("altered", place, f"{begins}, which is not chained to the line that was pruned")
            return
        if self.is_part:
            self._report.notes.append(f"{begins}: older ones are not here, and were not checked")
        elif any(low < first.seq <= high + 1 for low, high in self._rejoined):
            said = f"{begins}: older ones were not here when the monitor went on, as it says itself"
            self._report.notes.append(said)
        elif place == Place(0, 1) and not self._is_told(place):
            tells = "nothing tells of them"
            if pruned is not None:
                tells = f"pruned.json tells of those up to seq {pruned.seq} only"
            said = f"lines before seq {first.seq} are missing, and {tells}"
            self._fault("removed", place, said, first.seq - 1)

    def _is_told(self, place: Place) -> bool:
        name = self._part(place).name
        return any((one.file, one.line) == (name, place.line) for one in self._report.faults)

    def _is_stray(self, head: "_Head") -> bool:
        return head.kind == "checkpoint" and head.day != self._parts[head.place.part].day

    def _check_expected(self) -> None:
        expected, last = self._expected, self._report.last
        if expected is None or self._seen == expected.hash:
            return
        seq = expected.seq
        end = Place(len(self._parts) - 1, 0)
        if self._seen is not None:
            self._fault("rewritten", end, f"seq {seq} is here with another hash than was noted", seq)
        elif last is None or seq > last[0]:
            self._fault("truncated", end, f"seq {seq} was noted, the files end before it", seq)
        else:
            self._fault("rewritten", end, f"seq {seq} was noted, and is not in these files", seq)

    def _fault(self, kind: str, place: Place, message: str, seq: int | None = None) -> None:
        name = self._part(place).name
        self._report.faults.append(Located(kind, name, place.line, 1, seq, seq, message))

    def _located(self, fault: Fault) -> Located:
        part = self._part(fault.place)
        kind, message = fault.kind, fault.message
        if kind == "removed" and fault.place.line == 1 and fault.place.part > 0 and fault.lines == 0:
            days = _days_between(self._parts[fault.place.part - 1].day, part.day)
            if days:
                kind, message = "missing_file", f"{message}; there is no file of {days}"
        return Located(kind, part.name, fault.place.line, fault.lines, fault.seq, fault.seq_last, message)

    def _part(self, place: Place) -> Part:
        if place.part < 0:
            assert self._before is not None, "an anchor has a file"
            return self._before
        return self._parts[place.part]

    def _name(self, place: Place) -> str:
        return f"{self._part(place).name}:{place.line}"


def _last_link(part: Part) -> Link | None:
    """Return the last line of a file, or None if it is not sound or the file is empty or damaged."""
    raw, number = b"", 0
    try:
        for raw in lines_of(part, is_last=False, tell=lambda _: None):  # noqa: B007 - the last is wanted
            number += 1
        body = open_line(raw)
    except (WireError, *UNPACKABLE):
        return None
    return Link(body["seq"], body["prev"], body["hash"], Place(-1, number))


def _no_files(folder: Path, everything: Sequence[Part], since: str | None, until: str | None) -> str:
    if not everything:
        missing = (
            f"there are no audit files in {folder}" if folder.is_dir() else f"there is no folder {folder}"
        )
        return f"{missing}; give the log folder with --log-dir, or --simulate for the audit of simulated runs"
    days = f"from {since or 'the beginning'} to {until or 'now'}"
    reach = f"they reach from {everything[0].day} to {everything[-1].day}"
    return f"there are no audit files {days} in {folder}: {reach}"


def _days_between(one: str, two: str) -> str:
    try:
        first, last = date.fromisoformat(one) + timedelta(days=1), date.fromisoformat(two) - timedelta(days=1)
    except ValueError:
        return ""
    if first > last:
        return ""
    return first.isoformat() if first == last else f"{first} to {last}"

"""Splits an audit's lines, in one pass, into runs of lines that chain, and collects the unsound ones. Pure.

An intact audit is one run. Every manipulation ends a run; `journal.faults` works out from the runs which one
it was. Of lines 1 to 6, after a change to line 4:

    removed                            runs 1-3, 5-6
    altered, old hash                  runs 1-3, 5-6, and 4 in `broken`
    altered, new hash                  runs 1-4, 5-6: 5 is chained to the old 4
    copied to the end with a new hash  runs 1-3, 4-6, 4: the first run is cut where the last one forks off

Memory is bounded: only the most recent lines are kept, so an audit may be of any length.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hlposmon.errors import WireError
from hlposmon.journal.lines import open_line

# A copy that is more than this many lines after its original is recognised by its number only.
KNOWN_LINES = 20_000
# Beyond this many, adjacent unsound lines without a number are combined into one `Broken`.
BROKEN_APART = 10_000
_SEQ = re.compile(rb'\{"seq":(\d{1,18}),')
_HASH = b',"hash":"'


class Place(NamedTuple):
    """The position of a line: the index of its file, from 0, and its number in that file, from 1."""

    part: int
    line: int


class Link(NamedTuple):
    """A sound line: its number, the hash of the line before, its own hash, and its place."""

    seq: int
    prev: str
    hash: str
    place: Place


@dataclass(slots=True)
class Run:
    """Consecutive lines, each chained to the one before."""

    first: Link
    last: Link

    @property
    def lines(self) -> int:
        """How many lines the run has."""
        return self.last.seq - self.first.seq + 1


@dataclass(slots=True)
class Broken:
    """One or more adjacent lines whose hash does not match their bytes.

    `seq` is the number that the first one claims (None: none is legible), `length` its bytes without the
    newline, `digest` their SHA-256. `whole`: it ends as a line does, with a hash field.
    """

    place: Place
    seq: int | None
    length: int
    digest: str
    whole: bool
    lines: int = 1
    # How many original lines it may contain: more than one if newlines were removed.
    held: int = 1


class Mark(NamedTuple):
    """A `torn` line: the monitor reports a partial line of `length` bytes with this SHA-256."""

    place: Place
    seq: int
    length: int
    digest: str | None


class Loss(NamedTuple):
    """A `lost` line: the monitor reports that it had to drop lines `first` to `last` unwritten."""

    place: Place
    seq: int
    first: int
    last: int


@dataclass(slots=True)
class Chain:
    """Builds the runs; call `take` with every line, in the order of the files.

    `anchor` is the line before the first one, if it is known: it then begins the first run. `known_lines` is
    how many recent lines are kept, to recognise copies. `lines` counts the lines taken, `head` is the first
    sound one.
    """

    anchor: Link | None = None
    known_lines: int = KNOWN_LINES
    runs: list[Run] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    lines: int = 0
    head: Link | None = None
    # For each number that occurred twice: whether both lines have the same hash.
    twins: dict[int, bool] = field(default_factory=dict)
    _known: dict[int, Link] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.anchor is not None:
            self._begin(self.anchor)

    def take(self, raw: bytes, place: Place) -> dict[str, Any] | None:
        """Add one raw line of the files. Return its JSON object if it is sound, else None."""
        self.lines += 1
        try:
            body = open_line(raw)
        except WireError:
            self._break(raw, place)
            return None
        link = Link(body["seq"], body["prev"], body["hash"], place)
        self.head = self.head or link
        if body.get("type") == "torn" and isinstance(body.get("bytes"), int):
            self.marks.append(Mark(place, link.seq, body["bytes"], body.get("sha256")))
        first, until = body.get("first"), body.get("last")
        if body.get("type") == "lost" and isinstance(first, int) and isinstance(until, int):
            self.losses.append(Loss(place, link.seq, first, until))
        last = self.runs[-1].last if self.runs else None
        if last is not None and link.seq == last.seq + 1 and link.prev == last.hash:
            self.runs[-1].last = link
        else:
            self._begin(link)
        known = self._known.setdefault(link.seq, link)
        if known is not link:
            self.twins[link.seq] = known.hash == link.hash
        if len(self._known) > self.known_lines:
            del self._known[next(iter(self._known))]
        return body

    def _begin(self, link: Link) -> None:
        """Begin a new run with `link`.

        If its number lies inside the previous run, that run is cut there, since one of the two continuations
        is false: run 1-5 followed by another 4 becomes the runs 1-3, 4-5 and 4.
        """
        rival, before = self._known.get(link.seq), self._known.get(link.seq - 1)
        run = self.runs[-1] if self.runs else None
        if run and rival and before and run.first.seq < link.seq <= run.last.seq:
            self.runs[-1:] = [Run(run.first, before), Run(rival, run.last)]
        self.runs.append(Run(link, link))

    def _break(self, raw: bytes, place: Place) -> None:
        text = raw.removesuffix(b"\n")
        found = _SEQ.match(text)
        seq = int(found[1]) if found else None
        held = max(1, text.count(_HASH))
        if self.broken:
            last = self.broken[-1]
            end = last.place.line + last.lines
            follows = last.seq is not None and seq == last.seq + last.lines and last.held == last.lines
            many = seq is None and last.seq is None and len(self.broken) > BROKEN_APART
            if (last.place.part, end) == place and (follows or many):
                last.lines += 1
                last.held += held
                return
        whole = text.endswith(b'"}') and _HASH in text
        digest = hashlib.sha256(text).hexdigest()
        self.broken.append(Broken(place, seq, len(text), digest, whole, held=held))

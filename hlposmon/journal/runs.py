"""An audit's lines cut into runs that chain, in one pass, and what is no sound line beside them. Pure.

In an intact audit there is one run. Whatever is done to it ends a run: a line that is gone, that came
from elsewhere, that was sealed anew. What it was, `journal.faults` works out from the runs. Only the
lines of late are kept, so an audit may be of any length.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hlposmon.errors import WireError
from hlposmon.journal.lines import open_line

# A copy of a line that stands further behind than this is known by its number only.
KNOWN_LINES = 20_000
# Beyond so many, unreadable lines are told in blocks.
BROKEN_APART = 10_000
_SEQ = re.compile(rb'\{"seq":(\d{1,18}),')
_HASH = b',"hash":"'


class Place(NamedTuple):
    """Where a line stands: the number of its file, from 0, and of the line in it, from 1."""

    part: int
    line: int


class Link(NamedTuple):
    """A sound line."""

    seq: int
    prev: str
    hash: str
    place: Place


@dataclass(slots=True)
class Run:
    """Lines each of which is chained to the one before."""

    first: Link
    last: Link

    @property
    def lines(self) -> int:
        return self.last.seq - self.first.seq + 1


@dataclass(slots=True)
class Broken:
    """A line, or some in a row, whose hash is not that of its bytes. `seq` is what it says of itself."""

    place: Place
    seq: int | None
    length: int
    digest: str
    whole: bool
    lines: int = 1
    # How many lines may have been in it: more than one when newlines were taken out.
    held: int = 1


class Mark(NamedTuple):
    """A `torn` line: the monitor has found half a line of that many bytes."""

    place: Place
    seq: int
    length: int
    digest: str | None


class Loss(NamedTuple):
    """A `lost` line: the monitor itself had to let lines with these numbers go, unwritten."""

    place: Place
    seq: int
    first: int
    last: int


@dataclass(slots=True)
class Chain:
    """Give it every line in the order of the files. `anchor` is the line before the first, if it is known;
    `known_lines` is how many of late are kept.

    `head` is the first sound line that was taken.
    """

    anchor: Link | None = None
    known_lines: int = KNOWN_LINES
    runs: list[Run] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    lines: int = 0
    head: Link | None = None
    # Numbers that two lines have: whether they are the same line.
    twins: dict[int, bool] = field(default_factory=dict)
    _known: dict[int, Link] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.anchor is not None:
            self._begin(self.anchor)

    def take(self, raw: bytes, place: Place) -> dict[str, Any] | None:
        """One line as it stands in its file; its object if it is sound."""
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
        """A new run. Where it goes back into the one before, that is cut there: one of the two is false."""
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

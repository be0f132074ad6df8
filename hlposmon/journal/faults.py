"""Explains what was done to an audit, from its runs (`journal.runs`) and its unsound lines. Pure.

The true order is the sequence of runs with rising numbers that holds the most lines. Numbers that it lacks
are holes. A run outside the true order was moved if it fits a hole, is a duplicate if its numbers occur
already, and was inserted otherwise. An unsound line was altered if a number is missing where it stands, was
torn if it is incomplete, and was inserted otherwise. Torn lines that the monitor marked are no fault.

    file order 1 3 4 5 2 6     runs 1, 3-5, 2, 6
    true order 1, 3-5, 6       five lines; the alternative 1, 2, 6 has only three
    hole       2               run 2 chains to 1 and 3 chains to it: line 2 was moved, "reordered"
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter

from hlposmon.journal.lines import FIRST_PREV
from hlposmon.journal.runs import Broken, Chain, Mark, Place, Run

# The predecessor of a run in the true order is searched among this many runs before it.
_LOOK_BACK = 256
_NOWHERE_BEFORE, _NOWHERE_BEHIND = Place(-2, 0), Place(1 << 60, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `lines` lines from `place` on (0: none, they are missing before `place`).

    `kind` is the word that `verify` reports, `seq` and `seq_last` are the first and last number concerned,
    None where the lines have none. `message` is for people.
    """

    kind: str
    place: Place
    message: str
    seq: int | None = None
    seq_last: int | None = None
    lines: int = 1


@dataclass(slots=True)
class Findings:
    """The result of `explain`. `marked` are torn and lost lines that the audit itself reports: no faults.
    `order` is the true order."""

    faults: list[Fault] = field(default_factory=list)
    marked: list[Fault] = field(default_factory=list)
    order: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class _Hole:
    """Numbers that the true order lacks (`ranges`, both ends included), and the places between which their
    lines belong."""

    after: Place
    before: Place
    ranges: list[tuple[int, int]]
    # Whether lines are known to be missing here. Before the first line and after the last one there may
    # never have been any.
    certain: bool = True

    def take(self, first: int, last: int) -> bool:
        """Remove `first` to `last` from the missing numbers; False, and no change, unless all are missing."""
        for at, (low, high) in enumerate(self.ranges):
            if low <= first and last <= high:
                self.ranges[at : at + 1] = [
                    one for one in ((low, first - 1), (last + 1, high)) if one[0] <= one[1]
                ]
                return True
        return False


def explain(chain: Chain, name: Callable[[Place], str]) -> Findings:
    """Return all faults of `chain`, sorted by place. `name` formats a place for messages."""
    return _FaultFinder(chain, name).findings


class _FaultFinder:
    def __init__(self, chain: Chain, name: Callable[[Place], str]) -> None:
        self._name, self._twins = name, chain.twins
        self.findings = Findings(order=_true_order(chain.runs))
        order = self.findings.order
        self._hashes = {run.last.seq: run.last.hash for run in order}
        self._prevs = {run.first.seq: run.first.prev for run in order}
        self._check_links(order)
        self._holes = _holes(order)
        self._allow_losses(chain)
        broken = self._without_marked(chain)
        in_order = set(map(id, order))
        strangers = [run for run in chain.runs if id(run) not in in_order and not self._is_explained(run)]
        left = [one for one in broken if not self._claims_missing_seq(one)]
        self._place_by_place(left, strangers)
        for hole in self._holes:
            self._tell_removed(hole)
        self.findings.faults.sort(key=attrgetter("place"))

    def _say(
        self, kind: str, place: Place, message: str, seq: int | None = None, last: int | None = None,
        *, lines: int = 1,
    ) -> None:  # fmt: skip
        self.findings.faults.append(Fault(kind, place, message, seq, seq if last is None else last, lines))

    # -------------------------------------------------------- within the order

    def _check_links(self, order: Sequence[Run]) -> None:
        if order and order[0].first.seq == 1 and order[0].first.prev != FIRST_PREV:
            self._say("altered", order[0].first.place, "the first line is chained to another", 1)
        for index, (one, two) in enumerate(pairwise(order)):
            adjacent = two.first.seq == one.last.seq + 1
            if adjacent and two.first.prev != one.last.hash and not self._is_bad_itself(order, index + 1):
                seq = one.last.seq
                said = (
                    f"sealed anew: seq {seq + 1} ({self._name(two.first.place)}) is chained to another line"
                )
                self._say("altered", one.last.place, said, seq)

    @staticmethod
    def _is_bad_itself(order: Sequence[Run], index: int) -> bool:
        """Return whether the run at `index` is a single line that chains neither back nor forward.

        Such a line was altered itself; the check of its next link reports it.
        """
        if index + 1 >= len(order) or order[index].lines > 1:
            return False
        one, two = order[index].last, order[index + 1].first
        return two.seq == one.seq + 1 and two.prev != one.hash

    # ---------------------------------------------------------- beside the order

    def _is_explained(self, run: Run) -> bool:
        """Report a run outside the true order as moved or as a copy; False if it is neither."""
        first, last = run.first, run.last
        before, behind = self._hashes.get(first.seq - 1), self._prevs.get(last.seq + 1)
        # Before the first and after the last line, only a link that holds shows that the run belongs there.
        linked = before == first.prev or behind == last.hash
        fits = before in (None, first.prev) and behind in (None, last.hash)
        hole = next(
            (one for one in self._holes if fits and (one.certain or linked) and _holds(one, run)), None
        )
        if hole is not None:
            hole.take(first.seq, last.seq)
            self._hashes[last.seq], self._prevs[first.seq] = last.hash, first.prev
            where = "before" if first.place < hole.after else "behind"
            said = f"{_seqs(first.seq, last.seq)} {_stand(run.lines)} here, {where} where it belongs"
            self._say("reordered", first.place, said, first.seq, last.seq, lines=run.lines)
            return True
        order = self.findings.order
        had = order and order[0].first.seq <= first.seq and last.seq <= order[-1].last.seq
        same = self._twins.get(first.seq)
        if same or (same is None and had):
            far = "" if same else "; too far apart to compare them"
            said = f"{_seqs(first.seq, last.seq)} {_stand(run.lines)} here once more{far}"
            self._say("duplicated", self._second(run), said, first.seq, last.seq, lines=run.lines)
            return True
        return False

    def _second(self, run: Run) -> Place:
        """Return the place of the later of two equal runs: that one counts as the copy."""
        twin = (one.first.place for one in self.findings.order if one.first.hash == run.first.hash)
        return max(run.first.place, next(twin, run.first.place))

    def _allow_losses(self, chain: Chain) -> None:
        """Close the holes that a later `lost` line explains: the monitor never wrote those numbers."""
        for loss in chain.losses:
            for hole in self._holes:
                if hole.certain and hole.before <= loss.place and hole.take(loss.first, loss.last):
                    said = f"{_seqs(loss.first, loss.last)} could not be written and had to be let go;"
                    said = f"{said} seq {loss.seq} tells of it"
                    self.findings.marked.append(Fault("lost", hole.before, said, loss.first, loss.last, 0))

    # ------------------------------------------------------------ unsound lines

    def _without_marked(self, chain: Chain) -> list[Broken]:
        """Return the unsound lines that no `torn` line explains.

        Each `torn` line explains the nearest unsound line before it with its length and digest. One that
        explains nothing is a fault: the partial line was removed.
        """
        left = list(chain.broken)
        for mark in chain.marks:
            at = next((at for at in range(len(left) - 1, -1, -1) if _tells_of(mark, left[at])), None)
            if at is None:
                said = f"the half-written line of {mark.length} bytes that seq {mark.seq} tells of is gone"
                self._say("removed", mark.place, said)
                continue
            one = left.pop(at)
            said = f"half written by a crash, {one.length} bytes; seq {mark.seq} tells of it"
            self.findings.marked.append(Fault("torn", one.place, said, one.seq))
        return left

    def _claims_missing_seq(self, one: Broken) -> bool:
        """Report an unsound line as altered if the number it claims is missing; else return False."""
        if one.seq is None:
            return False
        for hole in self._holes:
            if hole.certain and hole.take(one.seq, one.seq + one.held - 1):
                self._tell_altered(one, one.seq, one.seq + one.held - 1)
                return True
        return False

    def _tell_altered(self, one: Broken, first: int, last: int) -> None:
        was = "has" if first == last else "have"
        said = f"{_seqs(first, last)} {was} a hash that is not that of the bytes"
        self._say("altered", one.place, said, first, last, lines=one.lines)

    def _place_by_place(self, broken: list[Broken], strangers: list[Run]) -> None:
        for run in strangers:
            hole = self._hole_at(run.first.place)
            if hole is not None and hole.certain and hole.ranges and _count(hole.ranges) >= run.lines:
                seqs = _lowest(hole, run.lines)
                said = f"{_seqs(*seqs)}: here stands a line of seq {run.first.seq}, sealed anew"
                self._say("altered", run.first.place, said, *seqs, lines=run.lines)
                continue
            said = f"{_seqs(run.first.seq, run.last.seq)} {_stand(run.lines)} here, and not in the chain"
            self._say("inserted", run.first.place, said, run.first.seq, run.last.seq, lines=run.lines)
        for one in broken:
            hole = self._hole_at(one.place)
            if hole is not None and hole.certain and hole.ranges:
                self._tell_altered(one, *_lowest(hole, one.held))
            elif hole is not None and not hole.certain and one.whole:
                seq = one.seq
                said = (
                    "its hash is not that of the bytes" if seq is None else f"the hash of seq {seq} is wrong"
                )
                self._say("altered", one.place, said, seq, lines=one.lines)
            elif not one.whole:
                said = f"half a line of {one.length} bytes, and no line marks it"
                self._say("torn", one.place, said, one.seq, lines=one.lines)
            else:
                self._say("inserted", one.place, "no line is missing here, and this is none", lines=one.lines)

    def _hole_at(self, place: Place) -> _Hole | None:
        return next((hole for hole in self._holes if hole.after < place < hole.before), None)

    def _tell_removed(self, hole: _Hole) -> None:
        for first, last in hole.ranges if hole.certain else ():
            between = f"between {self._name(hole.after)} and {self._name(hole.before)}"
            said = f"{_seqs(first, last)} {'is' if first == last else 'are'} missing {between}"
            self._say("removed", hole.before, said, first, last, lines=0)


def _true_order(runs: Sequence[Run]) -> list[Run]:
    """Return the sequence of runs with rising numbers that holds the most lines.

    Weighted longest increasing subsequence by dynamic programming: `best[i]` is the score of the best
    sequence that ends with run `i`, and the index of its previous run (-1: none). A run scores one point a
    line, and half a point if it chains to its predecessor, so that links decide between near-equal counts.
    Only the last _LOOK_BACK runs are tried as predecessors, which bounds the cost for a shredded file.

    Example: runs 1, 3-5, 2, 6 score 1, 1 + 3 = 4, 1 + 0.5 + 1 = 2.5 (2 chains to 1), and for 6 the better
    of 4 + 0.5 + 1 (after 3-5, chained) and 2.5 + 1 (after 2): 5.5. Walking back from 6 gives 1, 3-5, 6.
    """
    best: list[tuple[float, int]] = []
    for at, run in enumerate(runs):
        # Of two equal scores take the lower number: a forger may have chosen an arbitrarily high one.
        found = (0.0, 1, 1)
        for before in range(max(0, at - _LOOK_BACK), at):
            last = runs[before].last
            if last.seq < run.first.seq:
                linked = last.hash == run.first.prev
                found = max(found, (best[before][0] + linked / 2, -last.seq, -before))
        best.append((found[0] + run.lines, -found[2]))
    at = max(range(len(best)), key=lambda index: (best[index][0], -runs[index].last.seq), default=-1)
    order: list[Run] = []
    while at >= 0:
        order.append(runs[at])
        at = best[at][1]
    return order[::-1]


def _holes(order: Sequence[Run]) -> list[_Hole]:
    if not order:
        return [_Hole(_NOWHERE_BEFORE, _NOWHERE_BEHIND, [], certain=False)]
    holes = [
        _Hole(one.last.place, two.first.place, [(one.last.seq + 1, two.first.seq - 1)])
        for one, two in pairwise(order)
        if two.first.seq > one.last.seq + 1
    ]
    first, last = order[0].first, order[-1].last
    return [
        _Hole(_NOWHERE_BEFORE, first.place, [(1, first.seq - 1)] if first.seq > 1 else [], certain=False),
        *holes,
        _Hole(last.place, _NOWHERE_BEHIND, [(last.seq + 1, 1 << 62)], certain=False),
    ]


def _holds(hole: _Hole, run: Run) -> bool:
    return any(low <= run.first.seq and run.last.seq <= high for low, high in hole.ranges)


def _tells_of(mark: Mark, one: Broken) -> bool:
    if one.place > mark.place or one.lines > 1 or one.length != mark.length:
        return False
    return mark.digest is None or mark.digest == one.digest


def _lowest(hole: _Hole, count: int) -> tuple[int, int]:
    """Take up to `count` of the lowest missing numbers from the hole's first range; return first and last."""
    low, high = hole.ranges[0]
    last = min(high, low + count - 1)
    hole.take(low, last)
    return low, last


def _count(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(high - low + 1 for low, high in ranges)


def _seqs(first: int, last: int) -> str:
    return f"seq {first}" if first == last else f"seq {first} to {last}"


def _stand(lines: int) -> str:
    return "stands" if lines == 1 else "stand"

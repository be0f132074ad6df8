"""The rare states that a long run has to reach, counted: a simulation that never gets there proves nothing.

Counted from what the engine says and from what a life does to it; nothing looks into the domain.
"""

from collections import Counter
from collections.abc import Iterable

from hlposmon.domain.changes import Adopted, Drift, Filled, Funded, Gap, Healed, Reason, VerdictChanged
from hlposmon.domain.position import Effect as FillEffect
from hlposmon.domain.reports import BellReason, Fetched, Fills, NotFetched, Report, Statement, Unlisted
from hlposmon.domain.verdict import Verdict
from hlposmon.engine.effects import Effect, JournalChange, JournalEvent, Ring

WANTED = (
    # What the book says.
    "gap",
    "gap told again",
    "healed",
    "drift, and the venue's size adopted",
    "drift that names the fills that are listed no more",
    "entry price doubted",
    "entry price adopted",
    "fill before the first statement",
    "late fill woven in",
    "fill that the size held already",
    "gap excused by a statement",
    "round trip rotated by a statement",
    "flip",
    "funding booked",
    "doubt",
    "doubt twice",
    "stale",
    "behind: fills taken late",
    "unlisted window",
    "first statement that waited for a feed",
    # What the engine does.
    "feed down, none live",
    "feed handover: one lost, another live",
    "feed came up while another was live",
    "fills held until those before them were fetched",
    "fills released, as those before them could not be fetched",
    "fetch that made no feed live",
    "a feed told a new tracker again",
    "a feed lost fills",
    "both feeds lost fills",
    "a message that was not understood",
    "an answer was lost",
    "a look at the fills without a bell",
    "reload",
    # What happens to the tracker and its journal.
    "tracker killed between turns",
    "tracker killed in the midst of a call",
    "tracker killed while it recovered",
    "tracker stopped",
    "tracker kept from its work",
    "restart with an open gap",
    "restart with a doubt",
    "power cut",
    "power cut that lost lines",
    "half a line, marked",
    "disk refused to write",
    "lines waited for the disk",
    "disk refused to sync, and was written again",
    "published, and lost with the power",
    "day turned",
    "wall clock leapt",
    "machine slept",
    "worker died",
    "exchange away",
    "prices paused",
    "size changed without a fill",
    "liquidated or settled",
    "several accounts",
    "size of 15 digits",
)


class States:
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._doubted: Counter[str] = Counter()

    def add(self, name: str) -> None:
        assert name in _KNOWN, f"{name} is not in the list of states"
        self.seen[name] += 1

    def note(self, reports: Iterable[Report], effects: Iterable[Effect]) -> None:
        """What one turn took, and what followed."""
        kinds = {type(report) for report in reports}
        changes = []
        for effect in effects:
            if isinstance(effect, JournalChange):
                changes.append(effect.change)
                self._change(effect.change)
            elif isinstance(effect, JournalEvent):
                if effect.kind == "unlisted":
                    self.add("unlisted window")
                elif effect.kind == "feed" and not effect.facts["live"]:
                    self.add("feed down, none live")
            elif isinstance(effect, Ring):
                if effect.bell.reason is BellReason.DOUBT:
                    self.add("doubt")
                elif effect.bell.reason is BellReason.STILL_IN_DOUBT:
                    self.add("doubt twice")
        if Statement in kinds and not kinds & {Fills, Fetched, NotFetched, Unlisted}:
            self._ended_by_statement(changes)

    def _change(self, change: object) -> None:
        match change:
            case Gap(again=again):
                self.add("gap told again" if again else "gap")
            case Healed():
                self.add("healed")
            case Drift(cause=cause):
                self.add("drift, and the venue's size adopted")
                if "lists" in cause:
                    self.add("drift that names the fills that are listed no more")
            case Adopted(reason=Reason.ENTRY):
                self.add("entry price adopted")
            case Funded():
                self.add("funding booked")
            case Filled(effect=effect, late=late):
                if effect is None:
                    self.add("fill that the size held already")
                elif effect is FillEffect.FLIPPED:
                    self.add("flip")
                if late:
                    self.add("late fill woven in")
            case VerdictChanged(verdict=verdict, reason=reason):
                if verdict is Verdict.STALE:
                    self.add("stale")
                if reason is not None and reason.startswith("fills are taken"):
                    self.add("behind: fills taken late")
                if reason is not None and "another entry price" in reason:
                    self.add("entry price doubted")

    def _ended_by_statement(self, changes: Iterable[object]) -> None:
        changes = list(changes)
        drifted = {change.key for change in changes if isinstance(change, Drift)}
        for change in changes:
            if not isinstance(change, Healed) or change.key in drifted:
                continue
            filled = [one for one in changes if isinstance(one, Filled) and one.fill.key == change.key]
            rotated = any(one.effect is not None for one in filled)
            self.add("round trip rotated by a statement" if rotated else "gap excused by a statement")


_KNOWN = frozenset(WANTED)

"""The rare states that a long run has to reach, counted: a simulation that never gets there proves nothing.

Counted from what the engine says and from what a life does to it; nothing looks into the domain.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from hlposmon.domain.changes import (
    Adopted,
    AdoptionReason,
    Change,
    Drift,
    Filled,
    Funded,
    Gap,
    Healed,
    VerdictChanged,
)
from hlposmon.domain.position import FillEffect
from hlposmon.domain.reports import (
    BellReason,
    FeedState,
    Fetched,
    Fills,
    Following,
    NotFetched,
    Statement,
)
from hlposmon.domain.verdict import Verdict
from hlposmon.engine.effects import JournalChange, JournalEvent, Ring, Tell
from tests.simulation.shell import Step

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
    "polled accounts",
    "polled from now on",
    "followed from now on",
    "a polled account proven by a round",
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
    "power cut amid a long gap",
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
    "money was moved",
    "liquidated or settled",
    "several accounts",
    "size of 15 digits",
)


class States:
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def add(self, name: str) -> None:
        assert name in _KNOWN, f"{name} is not in the list of states"
        self.seen[name] += 1

    def note(self, steps: Iterable[Step]) -> None:
        """What a turn took, and what followed."""
        for step in steps:
            if step.report is not None:
                self._report(step)
            for effect in step.effects:
                if isinstance(effect, JournalChange):
                    self._change(effect.change)
                elif isinstance(effect, JournalEvent):
                    self._event(effect)
                elif isinstance(effect, Ring):
                    if effect.bell.reason is BellReason.DOUBT:
                        self.add("doubt")
                    elif effect.bell.reason is BellReason.STILL_IN_DOUBT:
                        self.add("doubt twice")

    def _report(self, step: Step) -> None:
        match step.report:
            case Fills(heard_s=heard_s) if heard_s is not None:
                if not step.was_stated:
                    self.add("fill before the first statement")
                if not step.was_live and not step.effects:
                    self.add("fills held until those before them were fetched")
            case Statement():
                if not step.was_stated and not step.is_live and not step.effects:
                    self.add("first statement that waited for a feed")
                self._ended_by_statement(changes_of(step))
            case FeedState():
                if step.was_live and step.is_live:
                    self.add("feed handover: one lost, another live")
            case Fetched() | Following():
                if step.was_live and any(isinstance(effect, Tell) for effect in step.effects):
                    self.add("feed came up while another was live")
                if isinstance(step.report, Fetched) and not step.is_live:
                    self.add("fetch that made no feed live")
            case NotFetched():
                if any(isinstance(change, Filled) for change in changes_of(step)):
                    self.add("fills released, as those before them could not be fetched")

    def _event(self, event: JournalEvent) -> None:
        if event.kind == "unlisted":
            self.add("unlisted window")
        elif event.kind == "feed" and not event.facts["live"]:
            self.add("feed down, none live")

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
            case Adopted(reason=AdoptionReason.ENTRY):
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

    def _ended_by_statement(self, changes: Sequence[Change]) -> None:
        drifted = {change.key for change in changes if isinstance(change, Drift)}
        for change in changes:
            if not isinstance(change, Healed) or change.key in drifted:
                continue
            filled = [one for one in changes if isinstance(one, Filled) and one.fill.key == change.key]
            rotated = any(one.effect is not None for one in filled)
            self.add("round trip rotated by a statement" if rotated else "gap excused by a statement")


def changes_of(step: Step) -> list[Change]:
    return [effect.change for effect in step.effects if isinstance(effect, JournalChange)]


_KNOWN = frozenset(WANTED)

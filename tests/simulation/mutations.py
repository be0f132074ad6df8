"""Faults that are put into the product on purpose: lives that do not find them prove nothing.

Each changes what the engine is told, or what follows, at its public calls, as a mistake in the rule behind
them would. `LIVES` is within how many lives each has to be found.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from hlposmon.domain.reports import BellReason, FeedState, Fills, Following, Report, Statement
from hlposmon.domain.views import Memory
from hlposmon.engine.effects import Effect, JournalChange, Now, Ring, Show
from hlposmon.engine.engine import Engine

LIVES = 20_000


@dataclass(frozen=True, slots=True)
class Mutation:
    """`made` is in force while it is entered."""

    name: str
    made: Callable[[], Any]


def _told(change: Callable[[Report], Report | None]) -> Callable[[], Any]:
    """The engine is told something else; nothing where that is None."""

    receive = Engine.receive

    def told(self: Engine, report: Report, now: Now) -> list[Effect]:
        other = change(report)
        return [] if other is None else receive(self, other, now)

    return _received_by(told)


def _received_by(told: Callable[[Engine, Report, Now], list[Effect]]) -> Callable[[], Any]:
    """Every engine receives reports in this way."""

    @contextmanager
    def made() -> Iterator[None]:
        receive = Engine.receive
        Engine.receive = told  # type: ignore[method-assign]
        try:
            yield
        finally:
            Engine.receive = receive  # type: ignore[method-assign]

    return made


def _lost(is_lost: Callable[[Effect], bool]) -> Callable[[], Any]:
    """Some of what follows from reports is not done."""

    receive = Engine.receive

    def told(self: Engine, report: Report, now: Now) -> list[Effect]:
        return [effect for effect in receive(self, report, now) if not is_lost(effect)]

    return _received_by(told)


def _recalled(change: Callable[[list[Memory], Any], tuple[list[Memory], Any]]) -> Callable[[], Any]:
    """A new tracker takes up something else than the journal has."""

    @contextmanager
    def made() -> Iterator[None]:
        recall = Engine.recall

        def recalled(
            self: Engine,
            memories: Iterable[Memory],
            base_ms: Mapping[str, Mapping[str, int]],
            unsure: Mapping[str, Mapping[str, int]],
            now: Now,
        ) -> None:
            memories, unsure = change(list(memories), unsure)
            recall(self, memories, base_ms, unsure, now)

        Engine.recall = recalled  # type: ignore[method-assign]
        try:
            yield
        finally:
            Engine.recall = recall  # type: ignore[method-assign]

    return made


@contextmanager
def _sleep_is_ignored() -> Iterator[None]:
    note_suspension = Engine.note_suspension
    Engine.note_suspension = lambda self, seconds, now: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Engine.note_suspension = note_suspension  # type: ignore[method-assign]


def _at_once_live(report: Report) -> Report:
    return replace(report, whole_from_ms=0) if isinstance(report, Following) else report


def _never_down(report: Report) -> Report | None:
    return None if isinstance(report, FeedState) and not report.live else report


def _always_ended(report: Report) -> Report:
    is_fetched = isinstance(report, Fills) and report.heard_s is None
    return replace(report, from_ms=0) if is_fetched else report


def _always_fetched(report: Report) -> Report:
    return replace(report, fills_from_ms=0) if isinstance(report, Statement) else report


MUTATIONS = (
    Mutation("a feed is live without a fetch", _told(_at_once_live)),
    Mutation("a feed that was lost counts as live", _told(_never_down)),
    Mutation("a statement counts as if all fills were fetched before it", _told(_always_fetched)),
    Mutation("each part of a fetch counts as its end", _told(_always_ended)),
    Mutation("what a tracker is unsure of is lost at a restart", _recalled(lambda found, _: (found, {}))),
    Mutation(
        "what a position holds already is lost at a restart",
        _recalled(lambda found, unsure: ([replace(one, seen=()) for one in found], unsure)),
    ),
    Mutation("that the machine slept is ignored", _sleep_is_ignored),
    Mutation(
        "no bell is rung on a gap",
        _lost(lambda effect: isinstance(effect, Ring) and effect.bell.reason is BellReason.GAP),
    ),
    Mutation("no change is journalled", _lost(lambda effect: isinstance(effect, JournalChange))),
    Mutation("no change is shown", _lost(lambda effect: isinstance(effect, Show))),
)

"""A recorded run lived again: the calls of `hlposmon run --record DIR` on a new engine and a new journal.

`replay(path, settings)` writes the journal below `settings.paths.log_dir`, which holds what the recorded
tracker found there when it began, or nothing.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from hlposmon.api.publisher import Publisher
from hlposmon.api.subscribers import Subscribers
from hlposmon.config import Settings
from hlposmon.domain.rendering import Renderer
from hlposmon.domain.reports import Ask, Bell, Report
from hlposmon.domain.views import View
from hlposmon.engine.effects import Effect, Now
from hlposmon.engine.engine import Engine, Watched
from hlposmon.engine.freshness import FreshnessLimits
from hlposmon.ipc.codec import decode
from hlposmon.metrics.measures import Counts
from hlposmon.tracker.lifecycle import Lifecycle
from hlposmon.tracker.outputs import Outputs


class Nobody:
    """Stands where the snapshot and the workers' queues are."""

    def show(self, view: View, updated_ms: int) -> None: ...

    def tell(self, worker: str, ask: Ask) -> None: ...

    def ring(self, bell: Bell) -> None: ...


class Replay:
    def __init__(self, settings: Settings, watched: Watched, now: Now) -> None:
        self._engine = Engine(watched, now)
        self._lifecycle = Lifecycle(settings, self._engine)
        publisher, nobody = Publisher(Subscribers(0), Renderer()), Nobody()
        self._outputs = Outputs(self._lifecycle.journal, publisher, nobody, nobody, Counts(), nobody)  # type: ignore[arg-type]
        self._effects: list[Effect] = []

    def call(self, name: str, now: Now, rest: list[Any]) -> None:
        match name:
            case "recall":
                self._lifecycle.recover(now)
            case "receive":
                self._effects += self._engine.receive(report_of(rest[0]), now)
            case "tick":
                self._effects += self._engine.tick(now)
            case "revalue":
                self._effects += self._engine.revalue(now, rest[0])
            case "watch":
                self._effects += self._engine.watch(watched_of(rest[0]), now)
            case "turn":
                self._outputs.begin_turn(now)
            case "carry_out":
                effects, self._effects = self._effects, []
                self._outputs.carry_out(effects, now)
            case "commit":
                self._outputs.commit(now)
            case "stop":
                self._lifecycle.leave(now, now.s)
            case _:
                raise AssertionError(f"a call that no engine has: {name}")

    def note_suspension(self, seconds: float, now: Now) -> None:
        self._engine.note_suspension(seconds, now)


def replay(path: Path, settings: Settings) -> None:
    rows = calls(path)
    name, s, ms, watched = next(rows)
    assert name == "begin"
    lived = Replay(settings, watched_of(watched), Now(s, ms))
    for name, *rest in rows:
        if name == "suspended":
            lived.note_suspension(rest[2], Now(rest[0], rest[1]))
        else:
            lived.call(name, Now(rest[0], rest[1]), rest[2:])


def calls(path: Path) -> Iterator[list[Any]]:
    """The rows of a recording; the last one of a tracker that was killed may be half of one."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def report_of(row: list[Any]) -> Report:
    return decode(json.dumps(row).encode())  # type: ignore[return-value]  # only reports are recorded


def watched_of(row: dict[str, Any]) -> Watched:
    return Watched(
        addresses=row["addresses"],
        feeds=tuple(row["feeds"]),
        limits=FreshnessLimits(*(tuple(pair) for pair in row["limits"])),
        min_pnl_change=Decimal(row["min_pnl_change"]),
        polled=tuple(row["polled"]),
        round_s=row["round_s"],
    )

"""`hlposmon run --record DIR`: records every call of the engine and its times, so that it can be replayed.

One file per tracker, one JSON array per line, in the order of the calls. After the name come the monotonic
clock in seconds and the wall clock in Unix milliseconds:

    ["begin",s,ms,{"addresses":{...},"feeds":[...],"limits":[...],"min_pnl_change":"0.01"}]
    ["recall",s,ms]                 the engine starts from the state recovered from the journal
    ["receive",s,ms,[...]]          a report, as `ipc.codec` encodes it
    ["tick",s,ms]  ["revalue",s,ms,16]  ["watch",s,ms,{...}]  ["suspended",s,ms,seconds]
    ["turn",s,ms]                   the journal added a line of its own at the beginning of a turn
    ["carry_out",s,ms]              all effects since the last one of these were carried out
    ["commit",s,ms]  ["stop",s,ms]

The same calls on a new engine, starting from the same earlier journal, give the same journal, byte for byte.
The file holds what the journal and the workers' queues hold, and no secrets. If it cannot be written, the
recording ends and the tracker goes on.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hlposmon.domain.cash import LedgerMemory
from hlposmon.domain.reports import Report
from hlposmon.domain.views import Memory
from hlposmon.engine.effects import Effect, Now
from hlposmon.engine.engine import Engine, Watched
from hlposmon.ipc.codec import encode
from hlposmon.supervision.logs import fields
from hlposmon.text import dumps
from hlposmon.tracker.outputs import Outputs

log = logging.getLogger(__name__)


class Recording:
    """A new recording file in `folder`, named after the time and the pid; failures are logged, not raised."""

    def __init__(self, folder: Path, now: Now) -> None:
        self.path = folder / f"tracker-{now.ms}-{os.getpid()}.jsonl"
        self._file = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=1 << 16)
            log.warning("all that the engine is told is recorded", extra=fields(path=self.path))
        except OSError as error:
            self._fail(error)

    def write(self, *row: Any) -> None:
        """Add one call: its name, the two times, and its arguments. Buffered until `flush`."""
        self._write(dumps(row))

    def write_report(self, report: Report, now: Now) -> None:
        """Add a call of `receive` with the report as `ipc.codec` encodes it. Buffered until `flush`."""
        self._write(dumps(("receive", now.s, now.ms))[:-1] + b"," + encode(report) + b"]")

    def flush(self) -> None:
        """Hand everything written so far to the kernel, so that it survives a crash of this process."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: bytes) -> None:
        if self._file is not None:
            try:
                self._file.write(line + b"\n")
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._file = None
        log.error("the recording ends here", extra=fields(path=self.path, reason=error.strerror))


class RecordedEngine(Engine):
    """An engine that records each call before making it."""

    def __init__(self, watched: Watched, now: Now, recording: Recording) -> None:
        self._recording = recording
        recording.write("begin", now.s, now.ms, _row_of(watched))
        super().__init__(watched, now)

    def receive(self, report: Report, now: Now) -> list[Effect]:
        self._recording.write_report(report, now)
        return super().receive(report, now)

    def tick(self, now: Now) -> list[Effect]:
        self._recording.write("tick", now.s, now.ms)
        return super().tick(now)

    def revalue(self, now: Now, most: int) -> list[Effect]:
        self._recording.write("revalue", now.s, now.ms, most)
        return super().revalue(now, most)

    def note_suspension(self, seconds: float, now: Now) -> None:
        self._recording.write("suspended", now.s, now.ms, seconds)
        super().note_suspension(seconds, now)

    def recall(
        self,
        memories: Iterable[Memory],
        base_ms: Mapping[str, Mapping[str, int]],
        unsure: Mapping[str, Mapping[str, int]],
        now: Now,
        cash: Mapping[str, LedgerMemory] = MappingProxyType({}),
    ) -> None:
        self._recording.write("recall", now.s, now.ms)
        super().recall(memories, base_ms, unsure, now, cash)

    def watch(self, watched: Watched, now: Now) -> list[Effect]:
        self._recording.write("watch", now.s, now.ms, _row_of(watched))
        return super().watch(watched, now)


class RecordedOutputs(Outputs):
    """Outputs that record when effects are carried out."""

    def __init__(self, recording: Recording, *outputs: Any) -> None:
        super().__init__(*outputs)
        self.recording = recording

    def begin_turn(self, now: Now) -> None:
        seq = self._journal.journal.seq
        super().begin_turn(now)
        if self._journal.journal.seq != seq:
            self.recording.write("turn", now.s, now.ms)

    def carry_out(self, effects: Sequence[Effect], now: Now) -> None:
        if effects:
            self.recording.write("carry_out", now.s, now.ms)
            self.recording.flush()
        super().carry_out(effects, now)

    def commit(self, now: Now) -> None:
        self.recording.write("commit", now.s, now.ms)
        super().commit(now)


def _row_of(watched: Watched) -> dict[str, Any]:
    limits = watched.limits
    return {
        "addresses": dict(watched.addresses),
        "feeds": watched.feeds,
        "limits": (limits.fills, limits.prices, limits.reconcile, limits.pushes),
        "min_pnl_change": str(watched.min_pnl_change),
        "polled": watched.polled,
        "round_s": watched.round_s,
    }

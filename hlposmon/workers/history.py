"""The history worker: follows the journal's files and imports their lines as rows, asynchronously.

No process waits for it. It reports its progress and its faults to the tracker. The supervisor stops it after
the tracker, so that it imports the last lines too.
"""

import logging
import time
from collections import deque
from pathlib import Path

from hlposmon.domain.reports import HistoryEvent, HistoryRemark, HistoryState, Welcome
from hlposmon.history.importer import Importer
from hlposmon.history.writer import History
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.system.clock import now_ms
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# Intervals between reads of the journal, and between reports to the tracker.
LOOK_S = 0.5
TELL_S = 1.0
# Shutdown budget for importing the last lines; must stay below the supervisor's per-rank grace.
STOP_S = 2.0
_SENTENCES = {
    HistoryEvent.REBUILT: "the history is begun anew",
    HistoryEvent.HOLE: "audit lines are missing: the history lacks them",
    HistoryEvent.END_LOST: "the audit lost lines that the history had: it goes back",
    HistoryEvent.OTHER_JOURNAL: "the history was written from another journal, and is set aside",
}


class HistoryWorker:
    """Imports the journal into the history until told to stop.

    `journal` is the folder of the journal's files, `state_dir` that of the history. `fsync` is each, batch or
    off, as in `[audit]`.
    """

    def __init__(self, pulse: Pulse, *, journal: Path, state_dir: Path, fsync: str, queue: Path) -> None:
        self._pulse = pulse
        history = History(state_dir, fsync=fsync, go_on=self._goes_on)
        self._history, self._importer = history, Importer(journal, history)
        self._link = TrackerLink(queue, pulse, "history", ())
        self._waiter = Waiter(pulse, self._link)
        self._told: HistoryState | None = None
        self._is_welcome = False
        self._tell_at_s = self._look_at_s = 0.0
        self._repeats = Repeats()
        self._remarks: deque[HistoryRemark] = deque()
        self._skipped = 0
        self._failure: str | None = None

    def run(self) -> None:
        """Import until the pulse is stopping, then import the last lines within STOP_S and close."""
        try:
            while self._goes_on():
                if any(isinstance(ask, Welcome) for ask in self._link.poll()):
                    self._told, self._is_welcome = None, True  # a new tracker knows nothing
                now_s = time.monotonic()
                if now_s >= self._look_at_s:
                    self._look(now_s)
                self._tell(now_s)
                self._waiter.wait(max(0.0, self._look_at_s - time.monotonic()))
            self._finish()
        finally:
            self._importer.close()
            self._link.close()

    def _goes_on(self) -> bool:
        self._pulse.beat()
        return not self._pulse.stopping

    def _look(self, now_s: float) -> None:
        """Import the next lines, note remarks, and schedule the next look: at once if there is more."""
        is_more = self._importer.step(now_s, now_ms())
        self._look_at_s = now_s + (0.0 if is_more else LOOK_S)
        failure = self._importer.failure
        if failure is not None:
            said = "the history cannot be written"
            self._repeats.log(log, logging.ERROR, said, now=now_s, reason=failure)
        elif self._failure is not None:
            log.info("the history is written again")
        self._failure = failure
        for event, facts in self._importer.take_remarks():
            log.warning(_SENTENCES[event], extra=fields(**facts))
            self._remarks.append(HistoryRemark(event, facts))
        if self._history.skipped > self._skipped:
            said = "audit lines that the history does not understand"
            log.warning(said, extra=fields(lines=self._history.skipped))
        self._skipped = self._history.skipped

    def _tell(self, now_s: float) -> None:
        """Report remarks and state. Remarks are kept until a tracker has taken them."""
        if not self._is_welcome:
            return
        while self._remarks and self._link.put(self._remarks[0]):
            self._remarks.popleft()
        state = HistoryState(self._history.seq, self._importer.failure)
        is_new = state != self._told and now_s >= self._tell_at_s
        if is_new and self._link.put_newest(state):
            self._told, self._tell_at_s = state, now_s + TELL_S

    def _finish(self) -> None:
        """Import the last lines after the tracker has ended, within STOP_S."""
        until_s = time.monotonic() + STOP_S
        while self._importer.step(time.monotonic(), now_ms()) and time.monotonic() < until_s:
            self._pulse.beat()

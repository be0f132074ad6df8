"""What outlives the tracker: its journal. Written here, and taken up again; and what the history's process
says of the rows that it makes of it.
"""

import logging
from pathlib import Path
from typing import Any

from hlposmon.domain.reports import HistoryRemark, HistoryState, Statement
from hlposmon.journal.lines import Recovered, event
from hlposmon.journal.statements import StatementNotes
from hlposmon.journal.writer import Journal
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.tracker.recovery import recover

log = logging.getLogger(__name__)

CLOSE_S = 2.0


class Archive:
    """The journal of one tracker; `history` is what the history's process last said of itself."""

    def __init__(self, journal: Journal, state_dir: Path) -> None:
        self.journal = journal
        self.history = HistoryState(0)
        self._state_dir = state_dir
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._statements = StatementNotes()
        self._repeats = Repeats()
        # When lines of the journal were last written, in Unix milliseconds.
        self.written_ms: int | None = None

    def recover(self, now_ms: int) -> Recovered:
        """What is known of the book; call once, first. What there is to say of it is journalled by the
        next commit: before that, the book must have been told."""
        beginning = recover(self.journal, self._state_dir, now_ms)
        self.history = HistoryState(beginning.history_seq)
        if self.journal.missing is not None:
            first, last = self.journal.missing
            log.warning("audit lines are not in this folder", extra=fields(first=first, last=last))
            self._events.append(("rejoined", {"first": first, "last": last, "count": last - first + 1}))
        return beginning.found

    def commit(self, now_s: float, now_ms: int) -> None:
        """Write what was appended to the journal."""
        for kind, facts in self._events:
            self.journal.append(event(kind, now_ms=now_ms, **facts), now_ms)
        self._events.clear()
        was, written = self.journal.failure, self.journal.written_seq
        self.journal.commit(now_s)
        if self.journal.written_seq > written:
            self.written_ms = now_ms
        for remark, facts in self.journal.take_remarks():
            log.warning(remark, extra=fields(**facts))
        if self.journal.failure is not None:
            reason = self.journal.failure
            self._repeats.log(log, logging.ERROR, "the audit cannot be written", now=now_s, reason=reason)
        elif was is not None:
            log.info("the audit is written again")

    def settled(self, statement: Statement, differing: list[str], now_ms: int) -> None:
        """Note what a statement said, and in which keys it and the book differ; the next commit writes it."""
        body = self._statements.body_of(statement, differing, now_ms=now_ms)
        if body is not None:
            self.journal.append(body, now_ms)

    def heard_history(self, report: HistoryState | HistoryRemark) -> None:
        """The history's process says how far it is, or what befell it, which the next commit journals."""
        if isinstance(report, HistoryState):
            self.history = report
        else:
            self._events.append((report.event.value, dict(report.facts)))

    def history_gone(self) -> None:
        """Its process has ended: that is said of the process, and not of its file."""
        self.history = HistoryState(self.history.seq)

    def close(self, *, within_s: float = CLOSE_S) -> None:
        """Write what can be written, and let go of the files; the disk is waited for so long."""
        self.journal.close(within_s=within_s)

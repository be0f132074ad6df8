"""Writes the tracker's journal: converts effects to lines, and logs what prevents writing.

Lines are committed once a turn, for all effects that were decided in it.
"""

import logging

from hlposmon.engine.effects import JournalChange, JournalCheckpoint, JournalEvent, JournalStatement, Now
from hlposmon.journal.lines import body_of, event
from hlposmon.journal.statements import statement_line
from hlposmon.journal.writer import Journal
from hlposmon.supervision.logs import Repeats, fields

log = logging.getLogger(__name__)

Journalled = JournalChange | JournalEvent | JournalStatement | JournalCheckpoint
JOURNALLED = (JournalChange, JournalEvent, JournalStatement, JournalCheckpoint)


class JournalOutput:
    """The journal as an output. `written_ms` is when lines were last written, in Unix milliseconds; None:
    not yet."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.written_ms: int | None = None
        self._is_failing = False
        self._repeats = Repeats()

    def begin_turn(self, now: Now) -> None:
        """Add a checkpoint if one is due. Call before the engine decides anything."""
        self.journal.begin_turn(now.ms)

    def append(self, effect: Journalled) -> None:
        """Add the effect's line; `commit` writes it.

        A requested checkpoint is added at the beginning of the next turn: now it would already include
        changes whose lines come later in this turn.
        """
        if isinstance(effect, JournalCheckpoint):
            self.journal.want_checkpoint()
        else:
            self.journal.append(_line(effect), effect.at_ms)

    def commit(self, now: Now) -> None:
        """Write what was appended; log remarks of the journal, and the beginning and end of a failure."""
        journal = self.journal
        written = journal.written_seq
        journal.commit(now.s)
        if journal.written_seq > written:
            self.written_ms = now.ms
        for remark, facts in journal.take_remarks():
            log.warning(remark, extra=fields(**facts))
        reason, was_failing = journal.failure, self._is_failing
        self._is_failing = reason is not None
        if reason is not None:
            said, key = "the audit cannot be written", reason.split(";")[0]  # without the count of lost lines
            self._repeats.log(log, logging.ERROR, said, now=now.s, key=key, reason=reason)
        elif was_failing:
            self._repeats = Repeats()  # the next failure is another one
            log.info("the audit is written again")


def _line(effect: JournalChange | JournalEvent | JournalStatement) -> dict[str, object]:
    if isinstance(effect, JournalChange):
        body = body_of(effect.change, now_ms=effect.at_ms)
        assert body is not None, "only what is journalled is said to be"
        return body
    if isinstance(effect, JournalStatement):
        return statement_line(effect.statement, effect.differing, now_ms=effect.at_ms)
    return event(effect.kind, now_ms=effect.at_ms, **effect.facts)

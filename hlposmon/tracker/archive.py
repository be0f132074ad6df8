"""What outlives the tracker: the journal, and the history that follows it. Written here, and taken up again.

The journal comes first; the history is its lines once more, as rows. Where the history is behind (it could
not be written, or was begun anew) it is brought the missing lines out of the journal, a slice at a time.
At a start the one that knows more is believed, and each is given what only the other has.
"""

import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from hlposmon.domain.reports import Statement
from hlposmon.errors import NotPermitted
from hlposmon.history.writer import History
from hlposmon.journal.lines import Recovered, event
from hlposmon.journal.tail import day_of
from hlposmon.journal.writer import Journal, Sealed
from hlposmon.supervision.logs import Repeats, fields

log = logging.getLogger(__name__)

# How long the history may be brought lines in one go: at the start, and between two looks at the fills.
CATCH_UP_S = 2.0
# So many lines at the end of the journal may be lost and brought again; beyond these the history is believed.
FORGET_LINES = 5_000
SLICE_S = 0.05
CLOSE_S = 2.0
STUCK_S = 3.0
# A beat comes at least so often while the keeper has the turn.
TURN_S = 1.0
_SLICE_LINES = 500
_READ_AGAIN_S = 1.0
# Stretches of missing lines that are told one by one while the history is filled; the rest in one.
_NAMED_HOLES = 20


class Archive:
    """The journal and the history of one tracker. `beat` is called while work is long."""

    def __init__(self, journal: Journal, history: History, *, beat: Callable[[], None]) -> None:
        self.journal, self.history, self._beat = journal, history, beat
        self._behind: Iterator[Sealed] | None = None
        self._read_at_s = 0.0
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._skipped = 0
        # What the history was not brought: told once, as long as it is the same history.
        self._damaged: list[tuple[str, str]] = []
        self._damaged_told: set[str] = set()
        self._holes, self._holes_to = 0, 0
        self._more_holes: tuple[int, int, int] | None = None
        self._repeats = Repeats()
        # When lines of the journal were last written, in Unix milliseconds.
        self.written_ms: int | None = None

    def recover(self, now_s: float, now_ms: int) -> Recovered:
        """What is known of the book; call once, first. What there is to say of it is journalled by the
        next commit: before that, the book must have been told."""
        journal, history = self.journal, self.history
        history.open(now_s, now_ms)
        kept = history.unwritten()
        found = journal.recover(now_ms, ((one.day, one.line) for one in kept))
        # A mark of half a line may have taken the number of a line that the history has.
        is_ahead = history.seq > found.seq and not self._forget_the_end(found)
        if is_ahead and history.seq > journal.seq:
            journal.go_on_behind(history.seq, history.hash)
            found = history.recovered()
        elif history.seq == journal.seq and journal.missing is not None:
            found = history.recovered()
        elif history.failure is None:
            found = self._catch_up(found, now_s, now_ms)
        if kept:
            log.info("lines that were not written before", extra=fields(lines=journal.backlog))
        if journal.missing is not None:
            first, last = journal.missing
            log.warning("audit lines are not in this folder", extra=fields(first=first, last=last))
            self._note("rejoined", first=first, last=last, count=last - first + 1)
        self._say(now_s, was=None)
        return found

    def commit(self, now_s: float, now_ms: int) -> None:
        """Write what was appended to the journal, then the same to the history."""
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
            self._warn("the audit cannot be written", now_s, reason=self.journal.failure)
        elif was is not None:
            log.info("the audit is written again")
        self._commit_history(now_s, now_ms)

    def follow(self, now_s: float, now_ms: int, *, within_s: float = SLICE_S) -> None:
        """Bring the history lines that it has not taken, for so long; nothing when it is not behind."""
        history = self.history
        until_s = time.monotonic() + within_s
        while history.taken < self.journal.seq and history.is_ready(now_s) and now_s >= self._read_at_s:
            if not self._bring(now_s) or not self._commit_history(now_s, now_ms):
                self._behind = None
                return
            if time.monotonic() >= until_s:
                return
        self._behind = None

    def settled(self, statement: Statement, differing: list[str], now_ms: int) -> None:
        """Note what a statement said, and in which keys it and the book differ."""
        source = "push" if statement.pushed else "rest"
        self.history.statement(statement, source=source, differing=differing, heard_ms=now_ms)

    def close(self, now_s: float, now_ms: int, *, within_s: float = CLOSE_S) -> None:
        """Write what can be written, and let go of the files; disks are waited for so long in all."""
        until_s = time.monotonic() + within_s
        self.journal.close(within_s=within_s / 2)
        self.history.commit(now_s, now_ms, written_seq=self.journal.written_seq)
        self.history.close(within_s=max(0.0, until_s - time.monotonic()))

    # ------------------------------------------------------------------ within

    def _forget_the_end(self, found: Recovered) -> bool:
        """Where the journal lost its last lines, as in a power cut, the history forgets them too: the
        exchange is asked for those fills again, and each is told once in both."""
        journal, history = self.journal, self.history
        lost = history.seq - found.seq
        if not found.seq or not journal.is_whole or lost > FORGET_LINES:
            return False
        newest_ms = history.newest_fill_ms(found.seq)
        if newest_ms is not None and day_of(newest_ms) != journal.day:
            return False  # not its end is missing, but a file
        last = history.seq
        if not history.go_back(found):
            return False
        log.warning("the audit lost its last lines", extra=fields(first=found.seq + 1, last=last))
        self._note("end_lost", first=found.seq + 1, last=last, count=lost)
        return True

    def _catch_up(self, found: Recovered, now_s: float, now_ms: int) -> Recovered:
        """Bring the history what the journal has more. It is believed where the journal has holes."""
        journal, history = self.journal, self.history
        if history.seq == journal.seq and history.hash != journal.hash:
            self._note_another(journal.hash)
        had = history.seq
        self.follow(now_s, now_ms, within_s=CATCH_UP_S)
        give_up_s = time.monotonic() + STUCK_S
        while had and not journal.is_whole and history.seq < journal.seq and time.monotonic() < give_up_s:
            before = history.seq
            self.follow(now_s, now_ms, within_s=CATCH_UP_S)
            self._commit_history(now_s, now_ms)
            self._beat()
            if history.seq > before:
                give_up_s = time.monotonic() + STUCK_S
            elif history.waits:
                history.await_turn(TURN_S)
            else:
                break
        return history.recovered() if had and not journal.is_whole and history.seq == journal.seq else found

    def _commit_history(self, now_s: float, now_ms: int) -> bool:
        was = self.history.failure
        done = self.history.commit(now_s, now_ms, written_seq=self.journal.written_seq)
        self._say(now_s, was)
        return done

    def _bring(self, now_s: float) -> bool:
        """Hand the history some of the lines behind what it has; whether it took any."""
        self._beat()
        history, at_start = self.history, self._behind is None
        try:
            if self._behind is None:
                self._damaged.clear()
                self._behind = self.journal.lines_after(history.taken, self._is_damaged)
            brought, last = [], history.taken
            for one in islice(self._behind, _SLICE_LINES):
                self._miss(last + 1, one[0]["seq"] - 1)
                last = one[0]["seq"]
                brought.append(one)
            if len(brought) < _SLICE_LINES:
                self._miss(last + 1, last)
                self._miss_more()
        except (OSError, NotPermitted) as error:
            self._read_at_s = now_s + _READ_AGAIN_S
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self._warn("the audit cannot be read", now_s, reason=reason)
            return False
        if at_start and brought:
            self._compare(brought[0][0])
        return bool(brought) and all(history.take(*one, jump=True) for one in brought)

    def _is_damaged(self, name: str, reason: str) -> None:
        if name not in self._damaged_told:
            self._damaged.append((name, reason))
            self._damaged_told.add(name)

    def _miss(self, first: int, last: int) -> None:
        """Say that there are no lines with these numbers, and which files were damaged before the next."""
        damaged, self._damaged = self._damaged, []
        is_new, self._holes_to = last > self._holes_to and last >= first, max(self._holes_to, last)
        if not is_new and not damaged:
            return
        count = last - first + 1
        if self._holes >= _NAMED_HOLES and not damaged:
            began, _, so_far = self._more_holes or (first, 0, 0)
            self._more_holes = (began, last, so_far + count)
            return
        self._holes += 1
        self._say_missing(first if count else None, last if count else None, count, damaged)

    def _miss_more(self) -> None:
        if self._more_holes is not None:
            first, last, count = self._more_holes
            self._more_holes = None
            self._say_missing(first, last, count, [])

    def _say_missing(
        self, first: int | None, last: int | None, count: int, damaged: list[tuple[str, str]]
    ) -> None:
        facts = {"first": first, "last": last, "count": count, "files": [name for name, _ in damaged]}
        reason = "; ".join(dict.fromkeys(why for _, why in damaged)) or None
        log.warning("audit lines are missing: the history lacks them", extra=fields(**facts, reason=reason))
        self._note("history_hole", **facts, reason=reason)

    def _compare(self, line: dict[str, Any]) -> None:
        """Whether the next line chains to the last one that the history took."""
        history = self.history
        follows = line["seq"] == history.seq + 1 and history.taken == history.seq
        if history.seq and follows and line["prev"] != history.hash:
            self._note_another(line["prev"])

    def _note_another(self, found: str) -> None:
        facts = {"history_seq": self.history.seq, "history_hash": self.history.hash, "found": found}
        log.warning("the history was written from another journal", extra=fields(**facts))
        self._note("other_journal", **facts)

    def _say(self, now_s: float, was: str | None) -> None:
        history = self.history
        while history.begun:
            one = history.begun.popleft()
            self._damaged_told.clear()
            self._holes, self._holes_to, self._more_holes = 0, 0, None
            aside = None if one.aside is None else one.aside.name
            log.warning(one.said, extra=fields(reason=one.reason, kept_as=aside))
            self._note("history_rebuilt", reason=one.reason, kept_as=aside)
        if history.failure is not None:
            self._warn("the history cannot be written", now_s, reason=history.failure)
        elif was is not None:
            log.info("the history is written again")
        if history.skipped > self._skipped:
            self._skipped = history.skipped
            log.warning("audit lines that the history does not understand", extra=fields(lines=self._skipped))

    def _note(self, kind: str, **facts: Any) -> None:
        self._events.append((kind, facts))

    def _warn(self, message: str, now_s: float, **values: object) -> None:
        self._repeats.log(log, logging.ERROR, message, now=now_s, **values)

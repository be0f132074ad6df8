"""What the tracker says of a change, and in which order: journal, then publish, then the snapshot.

The bell is rung where something is missing. What a change is, the book decided.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from hlposmon.api.publisher import Publisher
from hlposmon.domain.book import Book
from hlposmon.domain.changes import Adopted, Change, Doubt, Filled, Funded, Gap
from hlposmon.domain.reports import Bell, BellReason, Fills, Marks
from hlposmon.engine.freshness import Clocks
from hlposmon.engine.incidents import Incidents
from hlposmon.journal.lines import body_of, event, whose
from hlposmon.metrics.measures import Counts
from hlposmon.supervision.logs import fields
from hlposmon.system.clock import now_ms
from hlposmon.tracker.archive import Archive
from hlposmon.tracker.inlets import Inlets
from hlposmon.tracker.picture import Picture
from hlposmon.tracker.remarks import facts_of, gravity, name_of

log = logging.getLogger(__name__)

# While something is in doubt the bell is rung again: the worker that heard it may have died.
RING_AGAIN_S = 3.0
# Two statements must lie apart to count as two.
SECOND_LOOK_S = 2.2


class Telling:
    """The ways out of the tracker, in the order of the law."""

    def __init__(
        self,
        book: Book,
        clocks: Clocks,
        incidents: Incidents,
        counts: Counts,
        archive: Archive,
        publisher: Publisher,
        inlets: Inlets,
        picture: Picture,
    ) -> None:
        self._book, self._clocks, self._incidents, self._counts = book, clocks, incidents, counts
        self._archive, self._journal = archive, archive.journal
        self._publisher, self._inlets, self._picture = publisher, inlets, picture
        self._rung_s: dict[str, float] = {}
        self._second_look_s: dict[str, float] = {}

    def tell(self, changes: Sequence[Change], brought: Fills | None = None) -> None:
        """Journal, then publish, then the snapshot; ring where something is missing. `brought` are the fills
        that the changes came from: those that only waited for them are older."""
        at_ms = now_ms()
        self._incidents.note(changes, time.monotonic())
        everything = [*changes, *(self.judge() if changes else [])]
        for change in everything:
            body = body_of(change, now_ms=at_ms)
            if body is not None:
                self._journal.append(body, at_ms)
        if any(isinstance(change, Adopted) for change in changes):
            # Which fills the adopted size holds is known now, and could not be told from the lines alone.
            self._journal.append_checkpoint(at_ms)
        self.commit()
        touched = set()
        for change in everything:
            account, key = whose(change)
            touched.add((account, key))
            self._publisher.change(change, self._book.view(account, key), at_ms)
            if isinstance(change, Filled):
                self._count(change, brought)
            if isinstance(change, Gap | Doubt):
                self._ring_for(change)
            if not isinstance(change, Filled | Funded):
                log.log(gravity(change), name_of(change), extra=fields(**facts_of(change)))
        for account, key in touched:
            self._picture.record(self._book.view(account, key))

    def _count(self, change: Filled, brought: Fills | None) -> None:
        fill = change.fill
        self._counts.fills[fill.account, fill.key] += 1
        if brought is None or brought.heard_s is None or not any(fill is one for one in brought.fills):
            return
        self._counts.published(
            heard_s=brought.heard_s, made_ms=fill.time_ms, now_s=time.monotonic(), now_ms=now_ms()
        )

    def _ring_for(self, change: Gap | Doubt) -> None:
        """A gap is fetched at once; a doubt may be over before the second look at it is due."""
        if isinstance(change, Gap):
            self.ring(Bell(change.account, change.since_ms, BellReason.GAP))
        else:
            self._second_look_s.setdefault(change.account, time.monotonic() + SECOND_LOOK_S)

    def tell_verdicts(self, judged: Sequence[Change]) -> None:
        """Say what has changed by time alone."""
        at_ms = now_ms()
        for change in judged:
            body = body_of(change, now_ms=at_ms)
            assert body is not None, "a verdict is journalled"
            self._journal.append(body, at_ms)
        self.commit()
        for change in judged:
            account, key = whose(change)
            view = self._book.view(account, key)
            self._publisher.change(change, view, at_ms)
            self._picture.record(view)
            log.info(name_of(change), extra=fields(**facts_of(change)))

    def mark(self, marks: Marks) -> None:
        """Apply prices, and say where P&L has moved."""
        at_ms = now_ms()
        for account, key in self._book.mark(marks):
            view = self._book.view(account, key)
            self._publisher.price(view, at_ms)
            self._picture.record(view)

    def show(self, account: str) -> None:
        """Write an account's positions into the snapshot: a statement that agrees tells of a later time."""
        for view in self._book.views(account):
            self._picture.record(view)

    def judge(self) -> list[Any]:
        """What may be claimed now: the verdicts that are others than they were."""
        now_s = time.monotonic()
        for name in self._book.accounts:
            fresh = self._clocks.freshness(name, self._book.statement_asked_s(name), now_s)
            self._book.set_freshness(name, fresh)
        return list(self._book.judge())

    def note(self, kind: str, account: str, **facts: object) -> None:
        """Append a line to the journal that is nothing to publish; the next commit writes it."""
        at_ms = now_ms()
        self._journal.append(event(kind, now_ms=at_ms, account=account, **facts), at_ms)

    def commit(self) -> None:
        self._archive.commit(time.monotonic(), now_ms())

    def ring(self, bell: Bell) -> None:
        self._rung_s[bell.account] = time.monotonic()
        self._inlets.ring(bell)

    def ring_again(self, now_s: float) -> None:
        """Second looks that are due; and while something is in doubt: the worker that heard the bell may
        have died."""
        doubtful = dict(self._book.doubtful())
        for name, due_s in list(self._second_look_s.items()):
            if now_s >= due_s:
                del self._second_look_s[name]
                if name in doubtful:
                    self.ring(Bell(name, doubtful[name], BellReason.DOUBT))
        for name, since_ms in doubtful.items():
            if now_s - self._rung_s.get(name, 0.0) > RING_AGAIN_S and name not in self._second_look_s:
                self.ring(Bell(name, since_ms, BellReason.STILL_IN_DOUBT))
        for name in self._book.accounts:
            if self._book.is_mode_in_doubt(name) and now_s - self._rung_s.get(name, 0.0) > RING_AGAIN_S:
                self.ring(Bell(name, None, BellReason.MODE))

    def ring_again_soon(self) -> None:
        """There is a new worker to hear it."""
        self._rung_s.clear()

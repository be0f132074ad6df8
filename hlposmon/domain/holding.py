"""One instrument of one account: its position, the recent fills behind it, and what is in doubt.

Owned by the Book, which alone calls it. Fills are taken in by the FillChain that it is; here is what a
start, a recovery and a statement do to it. Asking for what is missing is the shell's work.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.beginning import cost_at_beginning, stated_cost
from hlposmon.domain.chain import segments, sizes_along, thread, unbroken
from hlposmon.domain.changes import Adopted, Change, Reason
from hlposmon.domain.fillchain import FillChain
from hlposmon.domain.placing import STATEMENT_BLUR_MS, Base
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Identity, StatedPosition
from hlposmon.domain.seen import SeenFills
from hlposmon.domain.views import window_ms


class Holding(FillChain):
    """A chain of fills that statements begin, confirm and mend."""

    @property
    def remembered_ms(self) -> int:
        """What `start` wants as `at_ms` to take this holding up again: a window behind the last fill, but
        nothing from before the statement that it began from."""
        base, from_ms, last_ms = self._base, self._floor_ms, self._end[1]
        if base is not None and base.reason is not None:
            if not self.applied:
                return base.time_ms
            stated_ms = base.time_ms
            if base.reason is Reason.START:  # and it may hold what looks later
                stated_ms = max([stated_ms, *(fill.time_ms + 1 for fill in self._held)])
            from_ms = max(from_ms, min(stated_ms, self.applied[0].fill.time_ms))
        # Where a clock was put back there are fills with times to come.
        taken = (identity[0] for identity in self.taken_since(from_ms))
        return window_ms((at for at in taken if at <= last_ms), from_ms)

    @property
    def last_fill_ms(self) -> int | None:
        """The time of the last fill that the position holds, None when none is remembered."""
        if self.applied:
            return self.applied[-1].fill.time_ms
        return max((identity[0] for identity in self.taken_since(0)), default=None)

    def start(self, position: Position, at_ms: int, seen: Sequence[Identity] = ()) -> None:
        """Start from a position known at `at_ms`; `seen` are the fills from then on that it holds.

        One with no fills yet comes from a statement of that time, which fills near it may be in or not.
        One with fills is our own: it holds all before `at_ms`, and of those since then what it had seen.
        """
        self.position = position
        self.based, self.base_ms = True, at_ms
        for identity in seen:
            self._seen.add(identity)
        if position.fills:
            last_ms = max((identity[0] for identity in seen), default=at_ms)
            self._base, self._floor_ms = Base(position.size, last_ms, None), at_ms
        else:
            self._base = Base(position.size, at_ms, Reason.START)
            self._floor_ms = at_ms - STATEMENT_BLUR_MS

    def taken_since(self, time_ms: int) -> tuple[Identity, ...]:
        """The identities of the fills that the position surely holds and that are not older than this."""
        unsure = {fill.identity for fill in self.waiting}
        if self._base is not None and self._base.reason is Reason.START:
            unsure.update(fill.identity for fill in self._held)
        return tuple(identity for identity in self._seen.since(time_ms) if identity not in unsure)

    def adopt(self, stated: StatedPosition | None, time_ms: int, reason: Reason) -> list[Change]:
        """Take the venue's figures over; fills that waited and are not in them are then applied.

        Which of them are in the figures is seen from the chain: the statement stands after some
        prefix of it. At the very start, fills before that are history from before our time; later
        they are booked (fees, the venue's profit) and journalled, their size being in already.

        At a start before which fills came live the chain begins with the first of these: the venue tells
        the size before it, and all from there on is told like any other fill. Of the statement only the
        entry price is taken then.
        """
        theirs = stated.size if stated else ZERO
        entry = stated.entry_price if stated else None
        if entry is None and stated is not None and self.position.is_flat:
            entry = stated.mark_price
        if reason is Reason.START and self.is_heard:
            return self._begin(theirs, entry, time_ms)
        before, untold = self.position, self._untold
        self.position = before.restated(theirs, entry)
        adopted = Adopted(self.account, self.key, reason, before, self.position, time_ms)
        if reason is Reason.ENTRY or reason is Reason.STATED:
            return [adopted]
        self.based = True
        self.base_ms = time_ms
        self._base = Base(theirs, time_ms, reason)
        self._held = []
        self.gap, self._missing = None, 0
        if reason is Reason.START:
            self._forget_before(time_ms - STATEMENT_BLUR_MS)
            return ([adopted] if theirs else []) + self._drain(self.waiting)
        # Fills that fit nowhere before others that were taken are in the venue's figures, if anywhere.
        late = [fill for fill in self.waiting if self.applied and fill.time_ms <= self.known_ms]
        self._replaced = before.size
        self.applied.clear()
        return [adopted, *self._book([*untold, *late]), *self._drain(self.waiting)]

    def _begin(self, theirs: Decimal, entry: Decimal | None, time_ms: int) -> list[Change]:
        """Start before the first fill of our time; the statement tells what the position had cost then."""
        before = self.position
        self.based, self.base_ms = True, time_ms
        ours_ms = self._ours_ms or 0
        ours = [fill for fill in self.waiting if fill.time_ms >= ours_ms]
        first, *_ = segments(ours)[0]
        ready, _ = unbroken(ours, first.start_position)
        cost, count = cost_at_beginning(ready, theirs, entry, time_ms)
        self.position = replace(before, size=first.start_position, cost=cost)
        adopted = Adopted(self.account, self.key, Reason.START, before, self.position, time_ms)
        self._base = Base(first.start_position, first.time_ms, Reason.START, is_exact=True)
        self._forget_before(min(time_ms, first.time_ms) - STATEMENT_BLUR_MS)
        self._held = [fill for fill in self.waiting if fill.time_ms < first.time_ms]
        done = [self._apply(fill) for fill in ready[: count or 0]]
        if done:
            self.position = replace(self.position, cost=stated_cost(theirs, entry))
            done[-1] = replace(done[-1], position=self.position)
        taken = {filled.fill.identity for filled in done}
        self.waiting = [fill for fill in ours if fill.identity not in taken]
        return [*([adopted] if first.start_position else []), *done, *self._drain(self.waiting)]

    def _forget_before(self, time_ms: int) -> None:
        """What is older is history."""
        self._floor_ms = time_ms
        self._seen = SeenFills(self._seen.since(time_ms))
        self.waiting = [fill for fill in self.waiting if fill.time_ms >= time_ms]

    def accounts_for(self, size: Decimal, since_ms: int, until_ms: int) -> bool:
        """Whether the book had `size` at any time between the two: a statement may lag behind."""
        if size == self.position.size or (size == self._replaced and since_ms <= self.base_ms <= until_ms):
            return True
        # The start positions of the fills that were taken are the sizes that the book has had.
        return self._seen.began_from(size, since_ms, until_ms)

    def excuse(self) -> list[Change]:
        """End a gap that is none, the venue's size being ours: what waits is in the base.

        A first statement may hold fills that look later than it; and what was lost before a restart
        has no place any more among the fills that were taken then.
        """
        base = self._base
        if base is None or base.reason is Reason.DRIFT:
            return []
        if base.reason is None:
            if any(fill.time_ms > base.time_ms for fill in self.waiting):
                return []
            return self._book(self.waiting) + self._gap_or_healed()
        contained = base.contained(self._held, self.waiting, lead_ms=STATEMENT_BLUR_MS)
        inside = {fill.identity for fill in contained}
        if self.applied or any(fill.identity not in inside for fill in self.waiting):
            return []
        self._hold(contained)
        return self._prepend() + self._gap_or_healed()

    def turn(self, theirs: Decimal) -> list[Change]:
        """End a gap that is none: a round trip of one millisecond that was given from its midst on.

        Asked for when no fetch brought a fill that is missing; it must lead to the venue's size.
        """
        last, since_ms = self._end
        chained, _ = thread(self.waiting, self.position.size, last, rotate=True)
        if len(chained) < len(self.waiting) or chained[0].time_ms < since_ms:
            return []
        if sizes_along(chained, self.position.size)[-1] != theirs:
            return []
        self.waiting = []
        done: list[Change] = [self._apply(fill) for fill in chained]
        return done + self._gap_or_healed()

    def waiting_reach(self, size: Decimal) -> bool:
        """Whether the fills that wait behind a gap lead through `size`."""
        return any(size in sizes_along(part, part[0].start_position) for part in segments(self.waiting))

"""The fills of one instrument as they come in: in their place, known already, or waiting behind a gap.

A fill is NEW (it chains on, or fits in before fills already taken), a DUPLICATE (seen, or older than
all that is remembered: the chain up to there is whole, so the size holds it), or it waits behind a GAP
until the missing ones come. What a statement does to all this is the holding's.

Fills that came live are of our time, and so is all that was made after the first of them: each is told
once, also when a first statement holds it already. What is older is history, and is not told.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.beginning import Applied, lead_up
from hlposmon.domain.chain import follows, leads_to, segments, thread, unbroken
from hlposmon.domain.changes import Change, Filled, Gap, Healed, Reason
from hlposmon.domain.payments import Payments
from hlposmon.domain.placing import STATEMENT_BLUR_MS, Base
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill
from hlposmon.domain.seen import SeenFills

# What is remembered, to know duplicates, to put a late fill in its place, and to recognise a statement
# that lags behind the fills: the last fills, not for ever, and at any rate of flow those of the last
# half minute, up to a number that bounds the memory.
REMEMBERED_FILLS = 256
REMEMBERED_MS = 300_000
RECENT_MS = 30_000
RECENT_FILLS = 10_000
# Fills that may wait behind a gap; beyond this the oldest go, to be fetched again or mended by a statement.
WAITING_FILLS = 20_000


class FillChain:
    """`based` is False until a statement or a recovery gave a start: all fills wait until then."""

    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key
        self.position = Position()
        self.based = False
        self.base_ms = 0
        self.applied: deque[Applied] = deque()
        self.waiting: list[Fill] = []
        self.gap: Gap | None = None
        self.arrivals = 0
        self.repeated = 0
        self.payments = Payments()
        self._base: Base | None = None
        self._held: list[Fill] = []
        self._searched: list[Fill] | None = None  # the list of those held that was last gone through
        self._replaced: Decimal | None = None
        self._floor_ms = 0
        # Not all that waits is in it: what is older than the floor is forgotten here.
        self._seen = SeenFills()
        # The time of the first fill that came live, as long as it is of use.
        self._heard_ms: int | None = None
        self._tidy_at = 4 * REMEMBERED_FILLS
        self._latest_ms = 0
        self._missing = 0

    @property
    def known_ms(self) -> int:
        """Up to when the fills are known to be whole: the last one taken, or shortly before the start."""
        if self.applied:
            return self.applied[-1].fill.time_ms
        return self._start_ms

    @property
    def is_heard(self) -> bool:
        """Whether fills came live and wait for the first statement."""
        return self._heard_ms is not None and bool(self.waiting) and not self.based

    def take_next(self, fill: Fill, *, heard: bool = False) -> Filled | None:
        """Apply one fill if it is plainly the next: nothing waits, and it chains on behind the last one.

        So most fills are, and for these it does what `take` does, at a cost that no memory of others adds to.
        None for any other; nothing has changed then.
        """
        if not self.applied or self.waiting or self._held is not self._searched:
            return None
        time_ms = fill.time_ms
        if fill.start_position != self.position.size or time_ms < self.applied[-1].fill.time_ms:
            return None
        if heard and self._is_first and (self._heard_ms is None or time_ms < self._heard_ms):
            return None
        identity = fill.identity
        if identity in self._seen or time_ms < self._floor_ms:
            return None
        self._seen.add(identity)
        self.arrivals += 1
        self._latest_ms = max(self._latest_ms, time_ms)
        return self._apply(fill)

    def take(self, fills: Sequence[Fill], *, heard: bool = False) -> list[Change]:
        """Take in fills in any order, with any repetition; say what came of it. `heard`: live on a stream."""
        fresh: list[Fill] = []
        is_earlier = heard and self._hear(fills)
        for fill in fills:
            identity = fill.identity
            if identity in self._seen or fill.time_ms < self._floor_ms:
                self._repeat(fill)
                continue
            self._seen.add(identity)
            fresh.append(fill)
        if not fresh:
            return self._drain(fresh) if is_earlier and self.based else []
        self.arrivals += len(fresh)
        if self.gap is not None:
            self._missing += sum(fill.time_ms <= self._latest_ms for fill in fresh)
        self._latest_ms = max(self._latest_ms, *(fill.time_ms for fill in fresh))
        self.waiting += fresh
        if not self.based and len(fresh) < len(fills):
            # Those of one millisecond are told in the order of execution: it may begin with one that is new.
            again = dict.fromkeys(fill.identity for fill in fills)
            known = {fill.identity: fill for fill in self.waiting}
            self.waiting = [fill for name, fill in known.items() if name not in again]
            self.waiting += [known[name] for name in again if name in known]
        changes = self._drain(fresh) if self.based else []
        self._let_go()
        return changes

    # ------------------------------------------------------------------ within

    def _hear(self, fills: Sequence[Fill]) -> bool:
        """Note since when fills are heard, as long as it matters; whether that is earlier than was known."""
        if self.based and not self._is_first:
            return False
        heard_ms = min((fill.time_ms for fill in fills if fill.time_ms >= self._floor_ms), default=None)
        if heard_ms is None or (self._heard_ms is not None and self._heard_ms <= heard_ms):
            return False
        self._heard_ms, self._searched = heard_ms, None
        return True

    @property
    def _is_first(self) -> bool:
        """Whether the chain is near its very beginning still: what is older may be from before our time."""
        return self._base is not None and self._base.reason is Reason.START

    @property
    def _ours_ms(self) -> int | None:
        """From when on fills are of our time, and have to be told: from the first live one on, or from the
        first statement, whichever was first. None as long as nothing came live: what was fetched and looks
        like it is in the first statement is history then."""
        return None if self._heard_ms is None else min(self._heard_ms, self.base_ms + 1)

    @property
    def _untold(self) -> list[Fill]:
        """Fills of our time that the beginning of the chain holds: nothing was said of them so far."""
        ours_ms = self._ours_ms
        if ours_ms is None or not self._is_first:
            return []
        if self.applied and self.applied[0].fill.time_ms <= ours_ms:
            return []
        return [fill for fill in self._held if fill.time_ms >= ours_ms]

    def _repeat(self, fill: Fill) -> None:
        self.repeated += 1
        if self._base is not None and self._base.reason is None and self._base.near(fill):
            # Not remembered over the restart, but it tells a size that a lagging statement may show.
            self._seen.add(fill.identity)

    @property
    def _start_ms(self) -> int:
        if self._base is not None and self._base.reason is not None:
            return max(0, self._base.time_ms - STATEMENT_BLUR_MS)
        return max(0, self._floor_ms)

    @property
    def _end(self) -> tuple[Fill | None, int]:
        """The last fill that was taken, and the time from which on others may chain behind it."""
        if self.applied:
            return self.applied[-1].fill, self.applied[-1].fill.time_ms
        if self._base is not None and self._base.reason is None:
            return None, self._base.time_ms
        return None, self._floor_ms

    @property
    def _before_last_ms(self) -> int | None:
        return self.applied[-2].fill.time_ms if len(self.applied) > 1 else None

    def _drain(self, fresh: Sequence[Fill]) -> list[Change]:
        """Find a place for the fresh fills, and for what waited for them."""
        held = self._held
        changes = self._place(fresh)
        # Of what waited before, nothing chains on until something else has moved.
        among = fresh if self._held is held else self.waiting
        while chained := self._extend(among) or self._weave(among) or self._prepend():
            changes += chained
            among = self.waiting
        return changes + self._gap_or_healed(among)

    def _place(self, fresh: Sequence[Fill]) -> list[Change]:
        """Take out of the waiting fills those that the base holds already."""
        base = self._base
        if base is None:
            return []
        until_ms = base.edge_ms
        if self.applied:
            until_ms = min(until_ms, self.applied[0].fill.time_ms - 1)
        if not any(fill.time_ms <= until_ms for fill in fresh):
            return []
        near = [fill for fill in self.waiting if fill.time_ms <= until_ms]
        contained = base.contained(self._held, near)
        if base.reason is Reason.START:
            self._hold(contained)
            return []
        held = {fill.identity for fill in self._held}
        return self._book([fill for fill in contained if fill.identity not in held])

    def _hold(self, contained: list[Fill]) -> None:
        """Set these fills aside, and no others: the first statement holds them."""
        inside = {fill.identity for fill in contained}
        back = [fill for fill in self._held if fill.identity not in inside]
        self._held = contained
        self.waiting = back + [fill for fill in self.waiting if fill.identity not in inside]

    def _release(self) -> None:
        """Where a fill was taken, the first statement does not hold what came after it."""
        if self._held and self.applied and self._base is not None and self._base.reason is Reason.START:
            first_ms = self.applied[0].fill.time_ms
            if any(fill.time_ms >= first_ms for fill in self._held):
                self._hold([fill for fill in self._held if fill.time_ms < first_ms])

    def _book(self, contained: Sequence[Fill]) -> list[Change]:
        """Count fills that the size holds already."""
        gone = {fill.identity for fill in contained}
        self.waiting = [fill for fill in self.waiting if fill.identity not in gone]
        self._held += contained
        changes: list[Change] = []
        for fill in contained:
            self.position = self.position.booked(fill)
            changes.append(Filled(fill, None, self.position, late=bool(self.applied)))
        return changes

    def _extend(self, among: Sequence[Fill]) -> list[Change]:
        """Apply the waiting fills that chain on, one of `among` first."""
        last, since_ms = self._end
        size = self.position.size
        if not any(follows(fill, size, last) for fill in among if fill.time_ms >= since_ms):
            return []
        # Nothing is taken behind a gap: what is missing would then be older than what is known, and a
        # restart could not tell.
        ready, left = unbroken([fill for fill in self.waiting if fill.time_ms >= since_ms], size, last)
        self.waiting = [fill for fill in self.waiting if fill.time_ms < since_ms] + left
        done: list[Change] = [self._apply(fill) for fill in ready]
        self._release()
        return done

    def _apply(self, fill: Fill) -> Filled:
        before = self.position
        self.position, effect = before.after(fill)
        self.applied.append(Applied(fill, before))
        self._forget(fill.time_ms)
        return Filled(fill, effect, self.position)

    def _forget(self, now_ms: int) -> None:
        applied = self.applied
        while len(applied) > 1:
            age_ms, count = now_ms - applied[0].fill.time_ms, len(applied)
            many = count > RECENT_FILLS or (count > REMEMBERED_FILLS and age_ms > RECENT_MS)
            if not many and age_ms <= REMEMBERED_MS:
                break
            gone = applied.popleft().fill
            self._seen.forget(gone.identity)
            self._floor_ms = max(self._floor_ms, gone.time_ms + 1)
        if self._base is not None and self._floor_ms > self._base.edge_ms:
            self._base, self._held = None, []
            self._searched = self._held  # there is nothing to search
        if len(self._seen) > self._tidy_at:
            self._seen = SeenFills(self._seen.since(self._floor_ms))
            self._tidy_at = 2 * len(self._seen) + 4 * REMEMBERED_FILLS

    def _weave(self, among: Sequence[Fill]) -> list[Change]:
        """Put fills that came late before those that were taken already, if all then chains."""
        last_ms = self.known_ms
        if not self.applied or not any(fill.time_ms <= last_ms for fill in among):
            return []
        late = [fill for fill in self.waiting if fill.time_ms <= last_ms]
        with exactly():
            moved = sum((fill.signed_size for fill in late), ZERO)
        # Between fills that chain only what comes back to where it began has a place; but the last
        # millisecond may end elsewhere once all its fills are there.
        open_end = any(fill.time_ms == last_ms for fill in late) or self._before_last_ms == last_ms
        if not late or (moved and not open_end):
            return []
        taken = list(self.applied)
        first_ms = min(fill.time_ms for fill in late)
        at = next(i for i, entry in enumerate(taken) if entry.fill.time_ms >= first_ms)
        together = [entry.fill for entry in taken[at:]] + late
        chained, left = thread(together, taken[at].before.size, taken[at - 1].fill if at else None)
        if left:
            return []
        old = self.position
        came = {fill.identity for fill in late}
        self.position = taken[at].before
        self.applied = deque(taken[:at])
        self.waiting = [fill for fill in self.waiting if fill.identity not in came]
        done = [self._apply(fill) for fill in chained]
        # Funding, and fills that were only counted, are not in the positions between the fills.
        counted = replace(
            old, size=self.position.size, cost=self.position.cost, realized=self.position.realized
        )
        for fill in late:
            counted = counted.booked(fill)
        self.position = counted
        self._release()
        return [
            Filled(filled.fill, filled.effect, self.position, late=True)
            for filled in done
            if filled.fill.identity in came
        ]

    def _prepend(self) -> list[Change]:
        """Let the chain begin earlier, where fills of our time that its beginning holds lead up to it.

        The stream may be slower than the statement, which holds such a fill then. Size and cost stay as
        they are: what they were before these fills is worked back.
        """
        # There may be thousands: they are gone through when they are others than the last time.
        ours = [] if self._held is self._searched else self._untold
        ours_ms, self._searched = self._ours_ms, self._held
        if ours_ms is not None and self._is_first and self.applied:
            # Of its first millisecond a fill may have been missing.
            first_ms = self.applied[0].fill.time_ms
            ours += [fill for fill in self.waiting if ours_ms <= fill.time_ms == first_ms]
        size = self.applied[0].before.size if self.applied else self.position.size
        lead = next((part for part in reversed(segments(ours)) if leads_to(part) == size), None)
        if lead is None:
            return []
        gone = {fill.identity for fill in lead}
        self._held = [fill for fill in self._held if fill.identity not in gone]
        self.waiting = [fill for fill in self.waiting if fill.identity not in gone]
        self._base = Base(lead[0].start_position, lead[0].time_ms, Reason.START, is_exact=True)
        applied, done = lead_up(lead, list(self.applied), self.position)
        self.applied = deque(applied)
        self.position = done[-1].position
        self._release()
        return list(done)

    def _gap_or_healed(self, among: Sequence[Fill] = ()) -> list[Change]:
        """Say that a gap begins or ends, or reaches further back, as those `among` the waiting may tell."""
        if not self.waiting:
            if self.gap is None:
                return []
            healed = Healed(self.account, self.key, self._missing, self.gap.since_ms)
            self.gap = None
            return [healed]
        gap = self.gap
        if gap is not None and all(fill.time_ms > gap.since_ms for fill in among):
            return []
        first = min(self.waiting, key=lambda fill: fill.time_ms)
        taken_ms = (entry.fill.time_ms for entry in reversed(self.applied))
        before_ms = next((at for at in taken_ms if at < first.time_ms), self._start_ms)
        since_ms = min(before_ms, first.time_ms)
        if gap is None:
            self._missing = 0
        elif since_ms >= gap.since_ms:
            return []
        self.gap = Gap(
            account=self.account,
            key=self.key,
            expected=self.position.size,
            found=first.start_position,
            since_ms=since_ms,
            at_ms=first.time_ms,
            again=gap is not None,
        )
        return [self.gap]

    def _let_go(self) -> None:
        if len(self.waiting) > WAITING_FILLS:
            self.waiting.sort(key=lambda fill: fill.time_ms)
            for fill in self.waiting[:-WAITING_FILLS]:
                self._seen.forget(fill.identity)
            del self.waiting[:-WAITING_FILLS]

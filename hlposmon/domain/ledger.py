"""The ledger of one instrument of one account: its position and the fills that make it up.

Each fill is in one of four states:

    applied   it chains on, or was inserted before fills that were applied earlier
    known     it was seen before, or is older than all that is remembered; the size includes it already
    included  the statement that the ledger started from includes it
    waiting   fills before it are missing (a gap)

Example of a gap: the size is 1, and a fill arrives that starts from 3. It waits, and the ledger reports
Gap(expected 1, found 3). The shell fetches, and a fill 1 -> 3 arrives. Both are applied in order, and the
ledger reports Healed(missing 1). Nothing is applied behind a gap, even if it happens to chain: most fills
start from flat.

Live fills, and all fills made after the first live one, belong to this run: each is reported once, even if
the first statement already includes it. Older fills are history and are not reported.

`reconcile` and `holding` decide what a statement means; the shell asks for missing fills.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.beginning import Applied, cost_at_beginning, lead_up, stated_cost
from hlposmon.domain.chain import follows, leads_to, segments, sizes_along, thread, unbroken
from hlposmon.domain.changes import Adopted, AdoptionReason, Change, Filled, Gap, Healed
from hlposmon.domain.payments import Payments
from hlposmon.domain.placing import STATEMENT_BLUR_MS, Base
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill, Identity, StatedPosition
from hlposmon.domain.seen import SeenFills
from hlposmon.domain.views import window_ms
from hlposmon.domain.weaving import weave

# Applied fills are remembered to detect duplicates, to place late fills, and to recognise a statement that
# lags behind the fills: the last REMEMBERED_FILLS, or all of the last RECENT_MS if there are more, but never
# more than RECENT_FILLS and none older than REMEMBERED_MS.
REMEMBERED_FILLS = 256
REMEMBERED_MS = 300_000
RECENT_MS = 30_000
RECENT_FILLS = 10_000
# Limit of fills behind a gap. Beyond it the oldest are dropped; a fetch or a statement makes up for them.
WAITING_FILLS = 20_000


class Ledger:
    """The position of one instrument of one account, and its fills. `has_base` is False until a statement or
    a recovery gives a start; all fills wait until then."""

    __slots__ = (
        "_base", "_floor_ms", "_included", "_latest_ms", "_live_since_ms", "_missing", "_replaced_size",
        "_searched", "_seen", "_tidy_at", "account", "applied", "arrivals", "base_ms", "gap", "has_base",
        "key", "payments", "position", "waiting",
    )  # fmt: skip

    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key
        self.position = Position()
        self.has_base = False
        self.base_ms = 0
        self.applied: list[Applied] = []
        self.waiting: list[Fill] = []
        self.gap: Gap | None = None
        self.arrivals = 0  # of fills that were not known
        self.payments = Payments()
        self._base: Base | None = None
        # Fills that the base holds; and the list of them that was last searched for a lead.
        self._included: list[Fill] = []
        self._searched: list[Fill] | None = None
        # The size that a drift has replaced.
        self._replaced_size: Decimal | None = None
        # Fills older than this count as known.
        self._floor_ms = 0
        # Some waiting fills are not in it: those older than the floor are forgotten here.
        self._seen = SeenFills()
        # The time of the first fill that came live, as long as it is of use.
        self._live_since_ms: int | None = None
        self._tidy_at = 4 * REMEMBERED_FILLS
        self._latest_ms = 0
        self._missing = 0

    # ------------------------------------------------------------------ asked

    @property
    def known_ms(self) -> int:
        """The time up to which no fill is missing: the last one applied, or shortly before the start."""
        return self.applied[-1].fill.time_ms if self.applied else self._start_ms

    @property
    def has_live_fills(self) -> bool:
        """Whether fills came live and wait for the first statement."""
        return self._live_since_ms is not None and bool(self.waiting) and not self.has_base

    @property
    def is_as_first_stated(self) -> bool:
        """Whether it is what the first statement said, and nothing has changed it since."""
        return self._is_first and not self.position.fills

    @property
    def unreported_until_ms(self) -> int:
        """The time of the newest fill that the first statement is thought to include, 0 if there is none. The
        journal has no lines for these."""
        return max((fill.time_ms for fill in self._included), default=0) if self._is_first else 0

    @property
    def last_fill_ms(self) -> int | None:
        """The time of the last fill that the position holds, None when none is remembered."""
        if self.applied:
            return self.applied[-1].fill.time_ms
        return max((identity[0] for identity in self.identities_since(0)), default=None)

    @property
    def remembered_ms(self) -> int:
        """The `at_ms` with which `start` restores this ledger: the start of a window before the last fill,
        but not before the statement that the ledger started from. A drift's statement may be older than its
        time, so after a drift the limit is the earliest of that time less STATEMENT_BLUR_MS, the waiting
        fills and the first applied fill: fills from then on may still arrive."""
        base, from_ms, last_ms = self._base, self._floor_ms, self._last[1]
        if base is not None and base.reason is AdoptionReason.START:
            if not self.applied:
                return base.time_ms
            # The statement may include fills that look later than it.
            stated_ms = max([base.time_ms, *(fill.time_ms + 1 for fill in self._included)])
            from_ms = max(from_ms, min(stated_ms, self.applied[0].fill.time_ms))
        elif base is not None and base.reason is AdoptionReason.DRIFT:
            open_ms = [fill.time_ms for fill in self.waiting] + [one.fill.time_ms for one in self.applied[:1]]
            from_ms = max(from_ms, min([base.time_ms - STATEMENT_BLUR_MS, *open_ms]))
        # If a clock was set back, some fills have times in the future.
        taken = (identity[0] for identity in self.identities_since(from_ms))
        return window_ms((at for at in taken if at <= last_ms), from_ms)

    def identities_since(self, time_ms: int) -> tuple[Identity, ...]:
        """The identities of the fills that the position surely holds and that are not older than this."""
        unsure = {fill.identity for fill in self.waiting}
        if self._is_first:
            unsure.update(fill.identity for fill in self._included)
        return tuple(identity for identity in self._seen.since(time_ms) if identity not in unsure)

    def had_size(self, size: Decimal, since_ms: int, until_ms: int) -> bool:
        """Whether fills gave the ledger `size` at any time between the two: a statement may lag behind."""
        if size == self.position.size:
            return True
        if self._base is not None and self._base.reason is AdoptionReason.DRIFT:
            # Sizes from before a drift are not of this chain.
            if not self.applied:
                return False
            since_ms = max(since_ms, self.applied[0].fill.time_ms)
        # The start positions of the fills that were applied are the sizes that the ledger has had.
        return self._seen.began_from(size, since_ms, until_ms)

    def has_replaced(self, size: Decimal, since_ms: int, until_ms: int) -> bool:
        """Whether a drift has replaced `size` between the two, or the chain that had it shortly before."""
        if self._replaced_size is None or not since_ms <= self.base_ms <= until_ms:
            return False
        return size == self._replaced_size or self._seen.began_from(size, since_ms, until_ms)

    @property
    def waiting_until_ms(self) -> int:
        """The time of the newest fill that waits; 0 when none does."""
        return max((fill.time_ms for fill in self.waiting), default=0)

    def waiting_lead_through(self, size: Decimal) -> bool:
        """Whether the fills that wait behind the last applied one lead through `size`.

        Fills that wait and are older than it tell former sizes only. Example: 1 -> 2 of :09 is applied, and
        2 -> 1 of :08 comes late and waits, as it does not fit in. The size is 2; 1 was before.
        """
        since_ms = self._last[1]
        behind = [fill for fill in self.waiting if fill.time_ms >= since_ms]
        return any(size in sizes_along(part, part[0].start_position) for part in segments(behind))

    # ----------------------------------------------------------------- starts

    def start(
        self, position: Position, at_ms: int, seen: Sequence[Identity] = (), *, is_first: bool = True
    ) -> None:
        """Start from a position known at `at_ms`; `seen` are the fills from then on that it holds.

        `is_first`: it comes from a first statement of that time, which fills near it may be in or not. Any
        other is our own: it holds all before `at_ms`, and of those since then what it had seen.
        """
        self.position = position
        self.has_base, self.base_ms = True, at_ms
        for identity in seen:
            self._seen.add(identity)
        if is_first:
            self._base = Base(position.size, at_ms, AdoptionReason.START)
            self._floor_ms = at_ms - STATEMENT_BLUR_MS
        else:
            last_ms = max((identity[0] for identity in seen), default=at_ms)
            self._base, self._floor_ms = Base(position.size, last_ms, None), at_ms

    def adopt(self, stated: StatedPosition | None, time_ms: int, reason: AdoptionReason) -> list[Change]:
        """Take the venue's figures over; fills that waited and are not in them are then applied.

        Which of them are in the figures is seen from the chain: the statement stands after some
        prefix of it. At the very start, fills before that are history from before our time; later
        they are counted (fees, the venue's profit) and journalled, their size being in already.

        At a start before which fills came live the chain begins with the first of these: the venue tells
        the size before it, and all from there on is reported like any other fill. Of the statement only the
        entry price is taken then.
        """
        theirs = stated.size if stated else ZERO
        entry = stated.entry_price if stated else None
        if entry is None and stated is not None and self.position.is_flat:
            entry = stated.mark_price
        if reason is AdoptionReason.START and self.has_live_fills:
            return self._start_before_live_fills(theirs, entry, time_ms)
        if reason is AdoptionReason.ENTRY or reason is AdoptionReason.STATED:
            return [self._restate(theirs, entry, time_ms, reason)]
        unreported = self._unreported
        holds_ms = 0 if reason is AdoptionReason.START else self._holds_ms
        self.has_base = True
        self.base_ms = time_ms
        self._base = Base(theirs, time_ms, reason, holds_ms=holds_ms)
        self._included = []
        self.gap, self._missing = None, 0
        if reason is AdoptionReason.START:
            adopted = self._restate(theirs, entry, time_ms, reason)
            self._forget_before(time_ms - STATEMENT_BLUR_MS)
            return ([adopted] if theirs else []) + self._apply_waiting(self.waiting)
        self._replaced_size = self.position.size
        self.applied.clear()
        adopted = self._restate(theirs, entry, time_ms, reason)
        counted = self._count_included(unreported) + self._set_aside_included(self.waiting)
        times = [change.fill.time_ms for change in counted if isinstance(change, Filled)]
        adopted = replace(adopted, holds_since_ms=min(times, default=None))
        return [adopted, *counted, *self._apply_waiting(self.waiting)]

    def _restate(
        self, theirs: Decimal, entry: Decimal | None, time_ms: int, reason: AdoptionReason
    ) -> Adopted:
        """Take size and entry price over."""
        before, self.position = self.position, self.position.restated(theirs, entry)
        return Adopted(self.account, self.key, reason, before, self.position, time_ms)

    def _start_before_live_fills(self, theirs: Decimal, entry: Decimal | None, time_ms: int) -> list[Change]:
        """Start before the first fill of our time; the statement tells what the position had cost then."""
        before = self.position
        self.has_base, self.base_ms = True, time_ms
        from_ms = self._reported_from_ms or 0
        ours = [fill for fill in self.waiting if fill.time_ms >= from_ms]
        first, *_ = segments(ours)[0]
        ready, _ = unbroken(ours, first.start_position)
        cost, count = cost_at_beginning(ready, theirs, entry, time_ms)
        self.position = replace(before, size=first.start_position, cost=cost)
        adopted = Adopted(self.account, self.key, AdoptionReason.START, before, self.position, time_ms)
        self._base = Base(first.start_position, first.time_ms, AdoptionReason.START, is_exact=True)
        self._forget_before(min(time_ms, first.time_ms) - STATEMENT_BLUR_MS)
        self._included = [fill for fill in self.waiting if fill.time_ms < first.time_ms]
        done = [self._apply(fill) for fill in ready[: count or 0]]
        if done:
            self.position = replace(self.position, cost=stated_cost(theirs, entry))
            done[-1] = replace(done[-1], position=self.position)
        taken = {filled.fill.identity for filled in done}
        self.waiting = [fill for fill in ours if fill.identity not in taken]
        return [
            *([adopted] if first.start_position else []),
            *done,
            *self._apply_waiting(self.waiting),
        ]

    def _forget_before(self, time_ms: int) -> None:
        """What is older is history."""
        self._floor_ms = time_ms
        self._seen = SeenFills(self._seen.since(time_ms))
        self.waiting = [fill for fill in self.waiting if fill.time_ms >= time_ms]

    # --------------------------------------------------- gaps that are none

    def close_gap_as_included(self) -> list[Change]:
        """Close a false gap when the venue's size equals ours: the base includes the waiting fills.

        A first statement may include fills that look later than it; and fills that were lost before a
        restart no longer have a place among the fills that were applied then.
        """
        base = self._base
        if base is None or base.reason is AdoptionReason.DRIFT:
            return []
        if base.reason is None:
            if any(fill.time_ms > base.time_ms for fill in self.waiting):
                return []
            return self._count_included(self.waiting) + self._update_gap()
        base = replace(base, is_settled=True)
        contained = base.contained(self._included, self.waiting)
        inside = {fill.identity for fill in contained}
        if self.applied or any(fill.identity not in inside for fill in self.waiting):
            return []
        self._base = base
        self._set_included(contained)
        return self._prepend() + self._update_gap()

    def rotate_round_trip(self, theirs: Decimal) -> list[Change]:
        """Close a false gap: a round trip within one millisecond was listed from its middle on.

        Call it when no fetch brought a missing fill. The rotated fills must lead to the venue's size.
        Example: the size is 0, and -1 (1 -> 0), +1 (0 -> 1) were listed for one millisecond. As listed they
        chain from 1, so a fill to 1 seems to be missing. If the venue states 0, none is: the trip began with
        the +1.
        """
        last, since_ms = self._last
        chained, _ = thread(self.waiting, self.position.size, last, rotate=True)
        if len(chained) < len(self.waiting) or chained[0].time_ms < since_ms:
            return []
        if sizes_along(chained, self.position.size)[-1] != theirs:
            return []
        self.waiting = []
        done: list[Change] = [self._apply(fill) for fill in chained]
        return done + self._update_gap()

    # ------------------------------------------------------------------ fills

    def take_next(self, fill: Fill) -> Filled | None:
        """Apply one live fill if it is plainly the next: nothing waits, and it chains on behind the last one.

        Most fills are like this, and for them it does what `take` does, at a cost that does not grow with the
        fills remembered. None for any other fill, and then nothing has changed.
        """
        if not self.applied or self.waiting or self._included is not self._searched:
            return None
        time_ms = fill.time_ms
        if fill.start_position != self.position.size or time_ms < self.applied[-1].fill.time_ms:
            return None
        if self._is_first and (self._live_since_ms is None or time_ms < self._live_since_ms):
            return None
        identity = fill.identity
        if identity in self._seen or time_ms < self._floor_ms:
            return None
        self._seen.add(identity)
        self.arrivals += 1
        self._latest_ms = max(self._latest_ms, time_ms)
        return self._apply(fill)

    def take(self, fills: Sequence[Fill], *, live: bool = False) -> list[Change]:
        """Take fills in any order, with any repetition; the changes. `live`: they came on a stream."""
        fresh: list[Fill] = []
        is_earlier = live and self._note_live(fills)
        for fill in fills:
            identity = fill.identity
            if identity in self._seen or fill.time_ms < self._floor_ms:
                self._note_duplicate(fill)
                continue
            self._seen.add(identity)
            fresh.append(fill)
        if not fresh:
            return self._apply_waiting(fresh) if is_earlier and self.has_base else []
        self.arrivals += len(fresh)
        if self.gap is not None:
            self._missing += sum(fill.time_ms <= self._latest_ms for fill in fresh)
        self._latest_ms = max(self._latest_ms, *(fill.time_ms for fill in fresh))
        self.waiting += fresh
        if not self.has_base and len(fresh) < len(fills):
            # Those of one millisecond are told in the order of execution: it may begin with one that is new.
            again = dict.fromkeys(fill.identity for fill in fills)
            known = {fill.identity: fill for fill in self.waiting}
            self.waiting = [fill for name, fill in known.items() if name not in again]
            self.waiting += [known[name] for name in again if name in known]
        changes = self._apply_waiting(fresh) if self.has_base else []
        self._bound_waiting()
        return changes

    def _note_live(self, fills: Sequence[Fill]) -> bool:
        """Note since when fills came live, as long as it matters; whether that is earlier than was known."""
        if self.has_base and not self._is_first:
            return False
        since_ms = min((fill.time_ms for fill in fills if fill.time_ms >= self._floor_ms), default=None)
        if since_ms is None or (self._live_since_ms is not None and self._live_since_ms <= since_ms):
            return False
        self._live_since_ms, self._searched = since_ms, None
        return True

    def _note_duplicate(self, fill: Fill) -> None:
        if self._base is not None and self._base.reason is None and self._base.near(fill):
            # Not remembered over the restart, but it tells a size that a lagging statement may show.
            self._seen.add(fill.identity)

    @property
    def _is_first(self) -> bool:
        """Whether the chain is near its very beginning still: what is older may be from before our time."""
        return self._base is not None and self._base.reason is AdoptionReason.START

    @property
    def _reported_from_ms(self) -> int | None:
        """From when on fills are of our time, and have to be reported: from the first live one, or from the
        first statement, whichever was first. None as long as nothing came live: what was fetched and looks
        like it is in the first statement is history then."""
        return None if self._live_since_ms is None else min(self._live_since_ms, self.base_ms + 1)

    @property
    def _unreported(self) -> list[Fill]:
        """Fills of our time that the beginning of the chain holds: nothing was said of them so far."""
        from_ms = self._reported_from_ms
        if from_ms is None or not self._is_first:
            return []
        if self.applied and self.applied[0].fill.time_ms <= from_ms:
            return []
        return [fill for fill in self._included if fill.time_ms >= from_ms]

    @property
    def _holds_ms(self) -> int:
        """Up to when all fills are in the size, or a drift has taken them for that."""
        if self.applied:
            return self.applied[-1].fill.time_ms
        return self._base.holds_ms if self._base is not None else 0

    @property
    def _start_ms(self) -> int:
        if self._base is not None and self._base.reason is not None:
            return max(0, self._base.time_ms - STATEMENT_BLUR_MS)
        return max(0, self._floor_ms)

    @property
    def _last(self) -> tuple[Fill | None, int]:
        """The last fill that was applied, and the time from which on others may chain behind it."""
        if self.applied:
            return self.applied[-1].fill, self.applied[-1].fill.time_ms
        if self._base is not None and self._base.reason is None:
            return None, self._base.time_ms
        return None, self._floor_ms

    # ------------------------------------------------------ what has a place

    def _apply_waiting(self, fresh: Sequence[Fill]) -> list[Change]:
        """Find a place for the fresh fills, and for what waited for them."""
        included = self._included
        changes = self._set_aside_included(fresh)
        # Of what waited before, nothing chains on until something else has moved.
        among = fresh if self._included is included else self.waiting
        while chained := self._extend(among) or self._weave_late(among) or self._prepend():
            changes += chained
            among = self.waiting
        return changes + self._update_gap(among)

    def _extend(self, among: Sequence[Fill]) -> list[Change]:
        """Apply the waiting fills that chain on, one of `among` first."""
        last, since_ms = self._last
        size = self.position.size
        if not any(follows(fill, size, last) for fill in among if fill.time_ms >= since_ms):
            return []
        # Nothing is applied behind a gap: what is missing would then be older than what is known, and a
        # restart could not tell.
        ready, left = unbroken([fill for fill in self.waiting if fill.time_ms >= since_ms], size, last)
        self.waiting = [fill for fill in self.waiting if fill.time_ms < since_ms] + left
        done: list[Change] = [self._apply(fill) for fill in ready]
        self._release_later()
        return done

    def _apply(self, fill: Fill) -> Filled:
        before = self.position
        self.position, effect = before.after(fill)
        self.applied.append(Applied(fill, before))
        self._forget(fill.time_ms)
        return Filled(fill, effect, self.position)

    def _weave_late(self, among: Sequence[Fill]) -> list[Change]:
        """Put fills that came late before those that were applied already, if all then chains (`weaving`)."""
        last_ms = self.known_ms
        if not self.applied or not any(fill.time_ms <= last_ms for fill in among):
            return []
        late = [fill for fill in self.waiting if fill.time_ms <= last_ms]
        woven = weave(late, self.applied) if late else None
        if woven is None:
            return []
        at, chained = woven
        old, taken = self.position, list(self.applied)
        came = {fill.identity for fill in late}
        self.position = taken[at].before
        self.applied = taken[:at]
        self.waiting = [fill for fill in self.waiting if fill.identity not in came]
        done = [self._apply(fill) for fill in chained]
        # Funding, and fills that were only counted, are not in the positions between the fills.
        now = self.position
        counted = replace(old, size=now.size, cost=now.cost, realized=now.realized)
        for fill in late:
            counted = counted.booked(fill)
        self.position = counted
        self._release_later()
        return [
            Filled(filled.fill, filled.effect, self.position, late=True)
            for filled in done
            if filled.fill.identity in came
        ]

    def _prepend(self) -> list[Change]:
        """Let the chain begin earlier, where fills of our time that its base includes lead up to it.

        The stream may be slower than the statement, which holds such a fill then. Size and cost stay as
        they are: what they were before these fills is worked back. Example: the statement of 10:00:05 has 3;
        a fill 2 -> 3 of 10:00:04, when the feed was live already, comes after it. The base includes it, so
        the size stays 3; but it is of our time: the chain now begins from 2, and the fill is reported.
        """
        # There may be thousands: they are searched when they are others than the last time.
        ours = [] if self._included is self._searched else self._unreported
        from_ms, self._searched = self._reported_from_ms, self._included
        if from_ms is not None and self._is_first and self.applied:
            # Of its first millisecond a fill may have been missing.
            first_ms = self.applied[0].fill.time_ms
            ours += [fill for fill in self.waiting if from_ms <= fill.time_ms == first_ms]
        size = self.applied[0].before.size if self.applied else self.position.size
        lead = next((part for part in reversed(segments(ours)) if leads_to(part) == size), None)
        if lead is None:
            return []
        gone = {fill.identity for fill in lead}
        self._included = [fill for fill in self._included if fill.identity not in gone]
        self.waiting = [fill for fill in self.waiting if fill.identity not in gone]
        self._base = Base(lead[0].start_position, lead[0].time_ms, AdoptionReason.START, is_exact=True)
        applied, done = lead_up(lead, list(self.applied), self.position)
        self.applied = applied
        self.position = done[-1].position
        self._release_later()
        return list(done)

    # ------------------------------------------------- what the base includes

    def _set_aside_included(self, fresh: Sequence[Fill]) -> list[Change]:
        """Take out of the waiting fills those that the base holds already (`placing`)."""
        base = self._base
        if base is None:
            return []
        until_ms = base.edge_ms
        if self.applied:
            until_ms = min(until_ms, self.applied[0].fill.time_ms - 1)
        if not any(fill.time_ms <= until_ms for fill in fresh):
            return []
        near = [fill for fill in self.waiting if fill.time_ms <= until_ms]
        contained = base.contained(self._included, near)
        if base.reason is AdoptionReason.START:
            self._set_included(contained)
            return []
        known = {fill.identity for fill in self._included}
        return self._count_included([fill for fill in contained if fill.identity not in known])

    def _set_included(self, contained: list[Fill]) -> None:
        """Set these fills aside, and no others: the first statement holds them."""
        inside = {fill.identity for fill in contained}
        back = [fill for fill in self._included if fill.identity not in inside]
        self._included = contained
        self.waiting = back + [fill for fill in self.waiting if fill.identity not in inside]

    def _release_later(self) -> None:
        """Where a fill was applied, the first statement does not hold what came after it."""
        if self._included and self.applied and self._is_first:
            first_ms = self.applied[0].fill.time_ms
            if any(fill.time_ms >= first_ms for fill in self._included):
                self._set_included([fill for fill in self._included if fill.time_ms < first_ms])

    def _count_included(self, contained: Sequence[Fill]) -> list[Change]:
        """Count fills that the size holds already."""
        gone = {fill.identity for fill in contained}
        self.waiting = [fill for fill in self.waiting if fill.identity not in gone]
        self._included += contained
        changes: list[Change] = []
        for fill in contained:
            self.position = self.position.booked(fill)
            changes.append(Filled(fill, None, self.position, late=bool(self.applied)))
        return changes

    # ------------------------------------------------------------------- gaps

    def _update_gap(self, among: Sequence[Fill] = ()) -> list[Change]:
        """Report that a gap opens, closes or reaches further back; `among` are the fills that may change it.

        Fills are wanted from the last applied fill before the first waiting one. Example: fills at 1 and 5
        are applied, and one at 7 waits, so all since 5 are wanted. Then one at 3 arrives that does not fit
        either, so all since 1 are wanted: this is the same gap, reported again.
        """
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
        applied_ms = (entry.fill.time_ms for entry in reversed(self.applied))
        before_ms = next((at for at in applied_ms if at < first.time_ms), self._start_ms)
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

    # ----------------------------------------------------------------- bounds

    def _forget(self, now_ms: int) -> None:
        applied = self.applied
        while len(applied) > 1:
            age_ms, count = now_ms - applied[0].fill.time_ms, len(applied)
            many = count > RECENT_FILLS or (count > REMEMBERED_FILLS and age_ms > RECENT_MS)
            if not many and age_ms <= REMEMBERED_MS:
                break
            gone = applied.pop(0).fill
            self._seen.forget(gone.identity)
            self._floor_ms = max(self._floor_ms, gone.time_ms + 1)
        if self._base is not None and self._floor_ms > self._base.edge_ms:
            self._base, self._included = None, []
            self._searched = self._included  # there is nothing to search
        if len(self._seen) > self._tidy_at:
            self._seen = SeenFills(self._seen.since(self._floor_ms))
            self._tidy_at = 2 * len(self._seen) + 4 * REMEMBERED_FILLS

    def _bound_waiting(self) -> None:
        if len(self.waiting) > WAITING_FILLS:
            self.waiting.sort(key=lambda fill: fill.time_ms)
            for fill in self.waiting[:-WAITING_FILLS]:
                self._seen.forget(fill.identity)
            del self.waiting[:-WAITING_FILLS]

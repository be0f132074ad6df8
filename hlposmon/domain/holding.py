"""One instrument of one account: its position, the recent fills behind it, and what is in doubt.

Owned by the Book, which alone calls it. A fill is NEW (it chains on, or fits in before fills already
taken), a DUPLICATE (seen, or older than all that is remembered: the chain up to there is whole, so
the size holds it), or it waits behind a GAP until the missing ones come. Asking for them is the
shell's work.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.chain import sizes_along, thread
from hlposmon.domain.changes import Adopted, Change, Filled, Gap, Healed, Reason
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill, Identity, StatedPosition

# How many fills, and for how long, are remembered: to know duplicates, to put a late fill in its
# place, and to recognise a statement that lags behind the fills.
REMEMBERED_FILLS = 256
REMEMBERED_MS = 300_000
# A statement's time is not known to be that of its contents: fills this near may be in it or not.
STATEMENT_BLUR_MS = 15_000
# Fills that may wait behind a gap; beyond this the oldest go, and only a statement can mend it.
WAITING_FILLS = 20_000


@dataclass(frozen=True, slots=True)
class Applied:
    """A fill that was taken, and the position before it."""

    fill: Fill
    before: Position


class Holding:
    """The chain of one instrument. `based` is False until a statement or a recovery gave a start."""

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
        self.last_funding_ms = 0
        self._floor_ms = 0
        self._seen: dict[Identity, int] = {}
        self._before_gap: frozenset[Identity] = frozenset()
        self._missing = 0

    @property
    def known_ms(self) -> int:
        """Up to when the fills are known to be whole: the last one taken, or the start."""
        return self.applied[-1].fill.time_ms if self.applied else self._floor_ms

    def start(self, position: Position, at_ms: int, seen: Sequence[Identity] = ()) -> None:
        """Start from a position that holds all fills before `at_ms`, and `seen` of those after."""
        self.position = position
        self.based = True
        self.base_ms = self._floor_ms = at_ms
        self._seen.update({identity: identity[0] for identity in seen})

    def taken_since(self, time_ms: int) -> tuple[Identity, ...]:
        """The identities of the fills that the position holds and that are not older than this."""
        waiting = {fill.identity for fill in self.waiting}
        return tuple(
            identity for identity, at in self._seen.items() if at >= time_ms and identity not in waiting
        )

    def take(self, fills: Sequence[Fill]) -> list[Change]:
        """Take in fills in any order, with any repetition; say what came of it."""
        for fill in fills:
            identity = fill.identity
            if identity in self._seen or fill.time_ms < self._floor_ms:
                self.repeated += 1
                continue
            self.arrivals += 1
            self._seen[identity] = fill.time_ms
            self.waiting.append(fill)
        return self._drain() if self.based and self.waiting else []

    def adopt(self, stated: StatedPosition | None, time_ms: int, reason: Reason) -> list[Change]:
        """Take the venue's figures over; fills that waited and are not in them are then applied.

        Which of them are in the figures is seen from the chain: the statement stands after some
        prefix of it. At the very start, fills before that are history from before our time; later
        they are booked (fees, the venue's profit) and journalled, their size being in already.
        """
        theirs = stated.size if stated else ZERO
        before = self.position
        contained, after = self._split_waiting(theirs, time_ms)
        position = before.restated(theirs, stated.entry_price if stated else None)
        changes: list[Change] = []
        if reason is not Reason.START:
            for fill in contained:
                position = position.booked(fill)
                changes.append(Filled(fill, None, position))
        self.position = position
        self.based = True
        self.base_ms = time_ms
        self._floor_ms = max(0, time_ms - STATEMENT_BLUR_MS)
        self.applied.clear()
        self._seen = {identity: at for identity, at in self._seen.items() if at >= self._floor_ms}
        self.waiting = after
        self.gap, self._missing = None, 0
        if reason is not Reason.START or theirs:
            changes.append(Adopted(self.account, self.key, reason, before, position, time_ms))
        return changes + self._drain()

    def accounts_for(self, size: Decimal, since_ms: int) -> bool:
        """Whether the book had `size` at any time since `since_ms`: a statement may lag behind."""
        if size == self.position.size:
            return True
        return any(
            entry.before.size == size for entry in reversed(self.applied) if entry.fill.time_ms >= since_ms
        )

    def waiting_reach(self, size: Decimal) -> bool:
        """Whether the fills that wait behind a gap lead through `size`."""
        return any(size in sizes_along(part, part[0].start_position) for part in _segments(self.waiting))

    def _split_waiting(self, theirs: Decimal, time_ms: int) -> tuple[list[Fill], list[Fill]]:
        segments = _segments(self.waiting)
        for index in range(len(segments) - 1, -1, -1):
            part = segments[index]
            sizes = sizes_along(part, part[0].start_position)
            if theirs in sizes:
                stands = len(sizes) - 1 - sizes[::-1].index(theirs)
                later = [fill for other in segments[index + 1 :] for fill in other]
                earlier = [fill for other in segments[:index] for fill in other]
                return earlier + part[:stands], part[stands:] + later
        recent = time_ms + STATEMENT_BLUR_MS
        contained = [fill for fill in self.waiting if fill.time_ms <= recent]
        return contained, [fill for fill in self.waiting if fill.time_ms > recent]

    def _drain(self) -> list[Change]:
        last = self.applied[-1].fill if self.applied else None
        chained, self.waiting = thread(self.waiting, self.position.size, last)
        changes: list[Change] = [self._apply(fill) for fill in chained]
        changes.extend(self._weave())
        self._drop_contained()
        if self.gap is not None:
            self._missing += sum(
                isinstance(change, Filled)
                and change.fill.time_ms <= self.gap.at_ms
                and change.fill.identity not in self._before_gap
                for change in changes
            )
        changes.extend(self._gap_or_healed())
        del self.waiting[:-WAITING_FILLS]
        return changes

    def _apply(self, fill: Fill) -> Filled:
        if not self.applied and fill.time_ms <= self.base_ms + STATEMENT_BLUR_MS:
            self._floor_ms = max(self._floor_ms, fill.time_ms)
        before = self.position
        self.position, effect = before.after(fill)
        self.applied.append(Applied(fill, before))
        while len(self.applied) > 1 and (
            len(self.applied) > REMEMBERED_FILLS
            or self.applied[0].fill.time_ms < fill.time_ms - REMEMBERED_MS
        ):
            gone = self.applied.popleft().fill
            self._seen.pop(gone.identity, None)
            self._floor_ms = max(self._floor_ms, gone.time_ms + 1)
        return Filled(fill, effect, self.position)

    def _weave(self) -> list[Change]:
        """Put fills that came late before those that were taken already, if all then chains."""
        if not self.applied:
            return []
        late = [fill for fill in self.waiting if fill.time_ms <= self.applied[-1].fill.time_ms]
        if not late:
            return []
        taken = list(self.applied)
        first_ms = min(fill.time_ms for fill in late)
        at = next(i for i, entry in enumerate(taken) if entry.fill.time_ms >= first_ms)
        together = [entry.fill for entry in taken[at:]] + late
        chained, left = thread(together, taken[at].before.size, taken[at - 1].fill if at else None)
        if left:
            return []
        self.position = taken[at].before
        self.applied = deque(taken[:at])
        came = {fill.identity for fill in late}
        self.waiting = [fill for fill in self.waiting if fill.identity not in came]
        done = [self._apply(fill) for fill in chained]
        return [
            Filled(filled.fill, filled.effect, self.position, late=True)
            for filled in done
            if filled.fill.identity in came
        ]

    def _drop_contained(self) -> None:
        """Let go of fills around the start that the statement held already."""
        edge_ms = self.base_ms + STATEMENT_BLUR_MS
        if self.applied:
            self.waiting = [fill for fill in self.waiting if fill.time_ms >= self._floor_ms]
        elif self.waiting and all(fill.time_ms <= edge_ms for fill in self.waiting):
            chained, left = thread(self.waiting, self.waiting[0].start_position)
            if not left and sizes_along(chained, chained[0].start_position)[-1] == self.position.size:
                self.waiting = []

    def _gap_or_healed(self) -> list[Change]:
        if self.waiting and self.gap is None:
            first = self.waiting[0]
            self._before_gap = frozenset(fill.identity for fill in self.waiting)
            self._missing = 0
            self.gap = Gap(
                account=self.account,
                key=self.key,
                expected=self.position.size,
                found=first.start_position,
                since_ms=min(self.known_ms, first.time_ms),
                at_ms=first.time_ms,
            )
            return [self.gap]
        if not self.waiting and self.gap is not None:
            healed = Healed(self.account, self.key, self._missing, self.gap.since_ms)
            self.gap = None
            return [healed]
        return []


def _segments(fills: Sequence[Fill]) -> list[list[Fill]]:
    """The fills as chains, each as long as can be, in the order of their beginnings."""
    parts: list[list[Fill]] = []
    rest = list(fills)
    while rest:
        chained, rest = thread(rest, min(rest, key=lambda fill: fill.time_ms).start_position)
        parts.append(chained)
    return parts

"""The chain law: a fill's `start_position` equals the size that the fills before it leave.

Pure functions that put fills into the order in which they chain: by time, and inside one millisecond,
where a list may stand in any order, so that all of them chain if that can be done. Waiting for a
missing fill and asking the venue for it are not here.

A trade of an account with itself (possible until 2023) is the one exception to the law: both legs
carry the same start position, and together they leave the size as it was.
"""

from collections import defaultdict, deque
from collections.abc import Container, Sequence
from decimal import Decimal
from itertools import groupby

from hlposmon.domain.amounts import CONTEXT, ZERO
from hlposmon.domain.reports import Fill, Side

Trade = tuple[Decimal, Decimal, Decimal, str, Side]

_OTHER = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def is_counter_leg(fill: Fill, last: Fill | None) -> bool:
    """Whether `fill` is the other leg of the self-trade whose first leg is `last`."""
    return (
        last is not None
        and fill.time_ms == last.time_ms
        and fill.start_position == last.start_position
        and fill.side is not last.side
        and fill.size == last.size
        and fill.price == last.price
        and fill.hash == last.hash
    )


def follows(fill: Fill, size: Decimal, last: Fill | None) -> bool:
    """Whether `fill` may come next when the size is `size` and `last` was the fill before."""
    return fill.start_position == size or is_counter_leg(fill, last)


def thread(
    fills: Sequence[Fill], size: Decimal, last: Fill | None = None, *, rotate: bool = False
) -> tuple[list[Fill], list[Fill]]:
    """Split the fills into those that chain on from `size`, in that order, and those that do not.

    Both lists are in time order; within one millisecond the given order is kept where it chains. A fill that
    does not chain is skipped, and later ones may still chain. Two exceptions concern fills of one
    millisecond: if they chain among themselves from another size, none of them is taken, even if one happens
    to fit; and a round trip that chains as given from another size is not entered in its middle, unless
    `rotate` is set.

    Example: `size` is 0, and -1 (1 -> 0), +1 (0 -> 1) are given for one millisecond. As given they chain from
    1, so neither is taken. With `rotate` the +1 is taken first, then the -1.
    """
    chained: list[Fill] = []
    left: list[Fill] = []
    for group in _by_time(fills):
        ordered, rest = _onward(group, size, last, rotate=rotate)
        chained += ordered
        left += rest
        if ordered:
            size, last = sizes_along(ordered, size)[-1], ordered[-1]
    return chained, left


def unbroken(fills: Sequence[Fill], size: Decimal, last: Fill | None = None) -> tuple[list[Fill], list[Fill]]:
    """As `thread`, but chains no fill after the first millisecond in which one does not chain.

    Fills behind a gap may chain by chance, since most fills start from flat.
    """
    chained, left = thread(fills, size, last)
    gap_ms = min((fill.time_ms for fill in left), default=None)
    ready = [fill for fill in chained if gap_ms is None or fill.time_ms <= gap_ms]
    return ready, left + chained[len(ready) :]


def segments(fills: Sequence[Fill]) -> list[list[Fill]]:
    """Split the fills into chains, each as long as possible, in time order."""
    parts: list[list[Fill]] = []
    size = ZERO
    for group in _by_time(fills):
        rest: Sequence[Fill] = group
        if parts:
            ordered, rest = _onward(group, size, parts[-1][-1])
            parts[-1] += ordered
            size = sizes_along(ordered, size)[-1]
        while rest:
            size = _beginning(rest)
            ordered, rest = _arrange(rest, size, None)
            parts.append(ordered)
            size = sizes_along(ordered, size)[-1]
    return parts


def sizes_along(fills: Sequence[Fill], size: Decimal) -> list[Decimal]:
    """The sizes before the first fill and after each one: one more than there are fills."""
    sizes = [size]
    for fill in fills:
        sizes.append(CONTEXT.add(sizes[-1], fill.signed_size))
    return sizes


def leads_to(part: Sequence[Fill]) -> Decimal:
    """The size after these chained fills, of which there is at least one."""
    return sizes_along(part, part[0].start_position)[-1]


def _by_time(fills: Sequence[Fill]) -> list[list[Fill]]:
    given = sorted(fills, key=lambda fill: fill.time_ms)
    return [list(group) for _, group in groupby(given, key=lambda fill: fill.time_ms)]


def _onward(
    group: Sequence[Fill], size: Decimal, last: Fill | None, *, rotate: bool = False
) -> tuple[list[Fill], list[Fill]]:
    """As `_arrange`, with the two exceptions of `thread`: such a millisecond is not entered at all."""
    ordered, rest = _arrange(group, size, last)
    if ordered and rest and not _arrange(group, _beginning(group), None)[1]:
        return [], list(group)
    if ordered and not rest and not rotate and ordered[0] is not group[0] and _chains_as_given(group):
        # A venue lists what is of one millisecond in the order of execution: a fill before is missing.
        return [], list(group)
    return ordered, rest


def _chains_as_given(group: Sequence[Fill]) -> bool:
    sizes = sizes_along(group, group[0].start_position)
    return all(fill.start_position == size for fill, size in zip(group, sizes, strict=False))


def _arrange(group: Sequence[Fill], size: Decimal, last: Fill | None) -> tuple[list[Fill], list[Fill]]:
    """Order the fills of one millisecond so that they chain on from `size`: all of them if possible, else
    those that `_walk` reaches; and the rest."""
    ordered, rest = _walk(group, size, last)
    if not rest or not ordered:
        return ordered, rest
    alone = [[fill] for fill in group]
    whole = _trail(alone, size) or _trail(_paired(group), size)
    return (whole, []) if whole else (ordered, rest)


def _walk(group: Sequence[Fill], size: Decimal, last: Fill | None) -> tuple[list[Fill], list[Fill]]:
    """Go on from `size` to whichever fill follows and was given first, for as long as there is one."""
    by_start: defaultdict[Decimal, deque[int]] = defaultdict(deque)
    by_trade: defaultdict[Trade, deque[int]] = defaultdict(deque)
    for index, fill in enumerate(group):
        by_start[fill.start_position].append(index)
        by_trade[_trade(fill, fill.side)].append(index)
    taken: dict[int, Fill] = {}
    while True:
        legs = (
            by_trade[_trade(last, _OTHER[last.side])] if last and last.time_ms == group[0].time_ms else None
        )
        found = _first(legs, taken) if legs else None
        if found is None:
            found = _first(by_start[size], taken)
        if found is None:
            return list(taken.values()), [fill for i, fill in enumerate(group) if i not in taken]
        last = taken[found] = group[found]
        size = CONTEXT.add(size, last.signed_size)


def _first(indexes: deque[int], taken: Container[int]) -> int | None:
    while indexes:
        if (index := indexes.popleft()) not in taken:
            return index
    return None


def _trade(fill: Fill, side: Side) -> Trade:
    """What both legs of a self-trade have in common, and the side of the leg that is meant."""
    return fill.start_position, fill.size, fill.price, fill.hash, side


def _trail(units: Sequence[list[Fill]], size: Decimal) -> list[Fill] | None:
    """One way from `size` through all units, None when there is none (Hierholzer's algorithm)."""
    ends = [sizes_along(unit, unit[0].start_position)[-1] for unit in units]
    by_start: defaultdict[Decimal, deque[int]] = defaultdict(deque)
    for index, unit in enumerate(units):
        by_start[unit[0].start_position].append(index)
    stack: list[tuple[Decimal, int]] = [(size, -1)]
    backwards: list[int] = []
    while stack:
        here, index = stack[-1]
        if by_start[here]:
            onward = by_start[here].popleft()
            stack.append((ends[onward], onward))
        else:
            stack.pop()
            backwards.append(index)
    way = backwards[-2::-1]
    for index in way:
        if units[index][0].start_position != size:
            return None
        size = ends[index]
    return [fill for index in way for fill in units[index]] if len(way) == len(units) else None


def _paired(group: Sequence[Fill]) -> list[list[Fill]]:
    """The fills, both legs of a self-trade as one unit that ends where it begins."""
    units: list[list[Fill]] = []
    single: defaultdict[Trade, deque[int]] = defaultdict(deque)
    for fill in group:
        if other := single[_trade(fill, _OTHER[fill.side])]:
            units[other.popleft()].append(fill)
        else:
            single[_trade(fill, fill.side)].append(len(units))
            units.append([fill])
    return units


def _beginning(group: Sequence[Fill]) -> Decimal:
    """The size from which a way through these fills can begin: more fills leave it than reach it."""
    surplus: defaultdict[Decimal, int] = defaultdict(int)
    for unit in _paired(group):
        surplus[unit[0].start_position] += 1
        surplus[sizes_along(unit, unit[0].start_position)[-1]] -= 1
    return next(
        (fill.start_position for fill in group if surplus[fill.start_position] > 0), group[0].start_position
    )

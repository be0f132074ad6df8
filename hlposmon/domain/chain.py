"""The chain law: a fill's `start_position` equals the size that the fills before it leave.

Pure functions that put fills into the order in which they chain; inside one millisecond a venue's
list may stand in any order. Waiting for a missing fill and asking the venue for it are not here.

A trade of an account with itself (possible until 2023) is the one exception to the law: both legs
carry the same start position, and together they leave the size as it was.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from decimal import Decimal

from hlposmon.domain.amounts import CONTEXT
from hlposmon.domain.reports import Fill


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


def thread(fills: Sequence[Fill], size: Decimal, last: Fill | None = None) -> tuple[list[Fill], list[Fill]]:
    """The fills in the order in which they chain on from `size`, and those that do not chain.

    Among several that may come next, the earliest by time is taken, and at one time the one that was
    given first. A fill that does not chain is passed over: what chains behind it is found all the same.
    """
    given = sorted(fills, key=lambda fill: fill.time_ms)
    by_start: defaultdict[Decimal, deque[int]] = defaultdict(deque)
    for index, fill in enumerate(given):
        by_start[fill.start_position].append(index)
    chained: list[int] = []
    while (index := _next(given, by_start, size, last)) is not None:
        chained.append(index)
        last = given[index]
        size = CONTEXT.add(size, last.signed_size)
    taken = set(chained)
    return [given[i] for i in chained], [fill for i, fill in enumerate(given) if i not in taken]


def _next(
    given: Sequence[Fill], by_start: dict[Decimal, deque[int]], size: Decimal, last: Fill | None
) -> int | None:
    if last is not None:
        legs = by_start.get(last.start_position, ())
        for index in legs:
            if is_counter_leg(given[index], last):
                by_start[last.start_position].remove(index)
                return index
    starting_here = by_start.get(size)
    return starting_here.popleft() if starting_here else None


def sizes_along(fills: Sequence[Fill], size: Decimal) -> list[Decimal]:
    """The sizes before the first fill and after each one: one more than there are fills."""
    sizes = [size]
    for fill in fills:
        sizes.append(CONTEXT.add(sizes[-1], fill.signed_size))
    return sizes

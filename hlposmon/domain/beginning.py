"""Computes what a position had cost before the fills that led to a known position. Pure.

The size before them is known, since each fill states it. The cost is worked back. Example: a statement has
3 @ 110, a cost of 330, and the last fill before it was +1 @ 120, from 2. So the 2 had cost 330 - 120 = 210.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.chain import sizes_along
from hlposmon.domain.changes import Filled
from hlposmon.domain.placing import STATEMENT_BLUR_MS, place_of
from hlposmon.domain.position import Position, cost_before, cost_by_profit
from hlposmon.domain.reports import Fill


class Applied(NamedTuple):
    """An applied fill, and the position before it, of which only size, cost and realised are used."""

    fill: Fill
    before: Position


def cost_at_beginning(
    fills: Sequence[Fill], size: Decimal, entry: Decimal | None, time_ms: int
) -> tuple[Decimal, int | None]:
    """The cost before these chained fills, from a statement of `size` at `entry` at about `time_ms`.

    If the fills pass through `size`, the cost is worked back from there. The second value is then the number
    of fills before that point; it is None if one of them opened, closed or flipped the position, since the
    fills then determine the cost there by themselves. If the fills do not pass through `size`, the cost
    follows from the `closed_pnl` of the first fill that reduced the position. Without such a fill it is a
    guess, which a later statement corrects. The second value is None in both of these cases.
    """
    sizes = sizes_along(fills, fills[0].start_position)
    place = place_of(size, time_ms, [fills], lead_ms=STATEMENT_BLUR_MS)
    if place is not None and (entry is not None or not size):
        count = place[1]
        opened = any(_is_opened(*ends) for ends in pairwise(sizes[: count + 1]))
        return _worked_back(fills[:count], stated_cost(size, entry)), None if opened else count
    for count, fill in enumerate(fills):
        if sizes[count] and (fill.signed_size > 0) != (sizes[count] > 0):
            return _worked_back(fills[:count], cost_by_profit(fill, sizes[count])), None
    return stated_cost(sizes[0], fills[0].price if entry is None else entry), None


def stated_cost(size: Decimal, entry: Decimal | None) -> Decimal:
    """The cost of `size` at `entry`, which may be None only for a size of zero."""
    with exactly():
        return size * entry if size and entry is not None else ZERO


def lead_up(
    fills: Sequence[Fill], applied: Sequence[Applied], position: Position
) -> tuple[list[Applied], list[Filled]]:
    """Put `fills`, which chain up to the first applied one, before it: all applied fills, and the changes.

    `position` is the one after all fills. Its size and cost stay; what `fills` earned and paid is added.
    """
    first, is_late = (applied[0].before, True) if applied else (position, False)
    before = replace(first, size=fills[0].start_position, cost=_worked_back(fills, first.cost))
    lead, done = [], []
    for fill in fills:
        lead.append(Applied(fill, before))
        before, effect = before.after(fill)
        done.append(Filled(fill, effect, before, late=is_late))
        position = position.booked(fill)
    with exactly():
        gained = before.realized - first.realized
        position = replace(position, realized=position.realized + gained)
        for entry in applied:
            shifted = replace(entry.before, realized=entry.before.realized + gained)
            lead.append(Applied(entry.fill, shifted))
    if is_late:
        return lead, [replace(filled, position=position) for filled in done]
    return lead, [*done[:-1], replace(done[-1], position=position)]


def _worked_back(fills: Sequence[Fill], cost: Decimal) -> Decimal:
    """The cost before these fills of a position that costs `cost` after them."""
    sizes = sizes_along(fills, fills[0].start_position) if fills else []
    for fill, size in zip(reversed(fills), reversed(sizes[:-1]), strict=True):
        cost = cost_before(fill, size, cost)
    return cost


def _is_opened(before: Decimal, after: Decimal) -> bool:
    """Whether a fill alone determines the cost after it, because it opened, closed or flipped."""
    return not before or not after or (before > 0) != (after > 0)

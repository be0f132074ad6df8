"""Where fills that came late have their place among those that were taken. Pure.

Each fill states the size before it, so late fills fit into the middle of a complete chain only if they lead
back to the size that they start from. Example. These fills are applied:

    10:00:00  +1   0 -> 1
    10:00:02  +2   1 -> 3

Two late fills of 10:00:01 arrive: +1 (1 -> 2) and -1 (2 -> 1). Their sum is zero, and the whole chains as
0, 1, 2, 1, 3. The position is then recomputed from the first late fill on. If only the +1 had arrived, it
would not fit: it would wait for the other one, and there would be a gap.

The end of the chain is open: of its last millisecond more fills may come, and lead to another size.
"""

from collections.abc import Sequence

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.beginning import Applied
from hlposmon.domain.chain import thread
from hlposmon.domain.reports import Fill


def weave(late: Sequence[Fill], applied: Sequence[Applied]) -> tuple[int, list[Fill]] | None:
    """Insert late fills among the applied ones: the index of the first applied fill to replace, and all fills
    from there on in chain order. None if the late fills do not all fit. Neither argument is empty, and no
    late fill is newer than the last applied one."""
    last_ms = applied[-1].fill.time_ms
    with exactly():
        moved = sum((fill.signed_size for fill in late), ZERO)
    is_open = any(fill.time_ms == last_ms for fill in late)
    is_open = is_open or (len(applied) > 1 and applied[-2].fill.time_ms == last_ms)
    if moved and not is_open:
        return None
    taken = list(applied)
    first_ms = min(fill.time_ms for fill in late)
    at = next(index for index, entry in enumerate(taken) if entry.fill.time_ms >= first_ms)
    together = [*(entry.fill for entry in taken[at:]), *late]
    chained, left = thread(together, taken[at].before.size, taken[at - 1].fill if at else None)
    return None if left else (at, chained)

"""Where fills that came late have their place among those that were taken. Pure.

A chain that is whole has room in its midst only for what comes back to where it began, since the next fill
says the size before it. Example, taken:

    10:00:00  +1   0 -> 1
    10:00:02  +2   1 -> 3

Late come, both of 10:00:01, +1 (1 -> 2) and -1 (2 -> 1). They move nothing, and with them all chains:
0, 1, 2, 1, 3. The position is then worked out anew from the first of them on. Had only the +1 come, nothing
would fit: it waits for the other, and a fill is missing (a gap).

The end of the chain is open: of its last millisecond more fills may come, and lead to another size.
"""

from collections.abc import Sequence

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.beginning import Applied
from hlposmon.domain.chain import thread
from hlposmon.domain.reports import Fill


def weave(late: Sequence[Fill], applied: Sequence[Applied]) -> tuple[int, list[Fill]] | None:
    """From which of the applied fills on the chain is another with the late ones, and all fills from there
    on in their order; None if they do not all fit in. There are some of both, and none of the late ones is
    later than the last applied."""
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

"""What one connection brought of late, kept to be said again when the tracker is new.

A fill is safe in the tracker's journal; until then the worker can say it again, which costs no request,
and beyond that the exchange can. Only what is known to be whole is said again: from where the fetch
that made the feed live began, as long as the connection has not been lost and nothing has been forgotten.
"""

from collections import deque
from collections.abc import Iterable

from hlposmon.domain.reports import OVERLAP_MS, Fill, Funding

FILLS = 250
FUNDINGS = 250  # an hour's of every coin that there is, a day's of ten


class ReplayBuffer:
    """The newest fills and funding payments of one account on the present connection."""

    def __init__(self) -> None:
        self._fills: deque[Fill] = deque()
        self._fundings: dict[tuple[int, str], Funding] = {}  # by time and key: two ways bring the same
        self._forgotten_ms = 0  # the newest payment that is not kept any more
        self._whole_from_ms: int | None = None

    def add(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            self._fills.append(fill)
            if len(self._fills) > FILLS:
                self._forget(self._fills.popleft().time_ms + OVERLAP_MS)

    def add_fundings(self, fundings: Iterable[Funding]) -> list[Funding]:
        """Keep the newest; those of them that are new here."""
        fresh: dict[tuple[int, str], Funding] = {}
        for funding in fundings:
            name = funding.time_ms, funding.key
            if name not in self._fundings:
                fresh[name] = funding
            self._fundings[name] = funding
            if len(self._fundings) > FUNDINGS:
                oldest = min(self._fundings)
                del self._fundings[oldest]
                self._forgotten_ms = max(self._forgotten_ms, oldest[0])
                self._forget(oldest[0])
                fresh.pop(oldest, None)
        return list(fresh.values())

    def mark_known(self, known_ms: int | None) -> None:
        """Up to this time all is journalled, and the stream has been followed since before that was fetched;
        None: not all is, so that it cannot be told again.

        Of more than are kept the oldest are gone already: then it is whole from what is left.
        """
        if known_ms is None:
            self._whole_from_ms = None
            return
        self._whole_from_ms = max(known_ms, self._forgotten_ms)
        if len(self._fills) >= FILLS:
            self._forget(self._fills[0].time_ms + OVERLAP_MS)

    def break_off(self) -> None:
        """The connection is gone, or said something that was not understood."""
        self._whole_from_ms = None
        self._fills.clear()

    @property
    def whole_from_ms(self) -> int | None:
        """From when on all is kept that a tracker may lack which knows all up to then; None if it is not."""
        return self._whole_from_ms

    def fills_since(self, since_ms: int) -> list[Fill]:
        """Those kept, oldest first."""
        return [fill for fill in self._fills if fill.time_ms >= since_ms]

    @property
    def fundings(self) -> list[Funding]:
        """Those kept, oldest first."""
        return [self._fundings[key] for key in sorted(self._fundings)]

    def _forget(self, time_ms: int) -> None:
        if self._whole_from_ms is not None:
            self._whole_from_ms = max(self._whole_from_ms, time_ms + 1)

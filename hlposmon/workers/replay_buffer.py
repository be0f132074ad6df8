"""Recent fills and funding of one connection, kept to be replayed to a new tracker.

A fill is safe once it is in the tracker's journal. Until then the worker can replay it without a request, and
older fills can be fetched from the exchange. Only what is known to be complete is replayed: from the time up
to which the tracker knew all fills when the feed went live, as long as the connection lasts and nothing was
dropped.
"""

from collections import deque
from collections.abc import Iterable

from hlposmon.domain.reports import REPLAY_OVERLAP_MS, Fill, Funding

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
                self._forget(self._fills.popleft().time_ms + REPLAY_OVERLAP_MS)

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
            self._forget(self._fills[0].time_ms + REPLAY_OVERLAP_MS)

    def break_off(self) -> None:
        """The connection is gone, or said something that was not understood."""
        self._whole_from_ms = None
        self._fills.clear()

    @property
    def whole_from_ms(self) -> int | None:
        """A tracker that knows all up to this time misses nothing that is not kept here; None if unknown."""
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

"""Recent fills and funding of one connection, kept to be replayed to a new tracker.

A fill is safe once it is in the tracker's journal. Until then the worker can replay it without a request, and
older fills can be fetched from the exchange. A replay is used only where the buffer is known to be complete:
from `whole_from_ms` on, which is the time up to which the tracker knew all fills when the feed went live. It
moves forward when old fills are dropped, and is None after the connection breaks.

Example: the feed goes live with known_ms=50_000, so the buffer is complete from 50_000. When the 251st fill
arrives, the oldest one, of 60_000 ms, is dropped. A tracker is replayed fills from REPLAY_OVERLAP_MS (2 s)
before its mark, so one that knows all up to 62_000 would miss the dropped fill: `whole_from_ms` is 62_001.
"""

from collections import deque
from collections.abc import Iterable

from hlposmon.domain.reports import REPLAY_OVERLAP_MS, Fill, Funding

FILLS = 250
FUNDINGS = 250  # one hourly payment for each of 250 coins, or a day of payments for ten coins


class ReplayBuffer:
    """The newest fills and funding payments of one account on the current connection."""

    def __init__(self) -> None:
        self._fills: deque[Fill] = deque()
        self._fundings: dict[tuple[int, str], Funding] = {}  # by time and key; a payment may arrive twice
        self._forgotten_ms = 0  # time of the newest payment that was dropped
        self._whole_from_ms: int | None = None

    def add(self, fills: Iterable[Fill]) -> None:
        """Append fills in the order in which they came; beyond FILLS, drop the oldest."""
        for fill in fills:
            self._fills.append(fill)
            if len(self._fills) > FILLS:
                self._forget(self._fills.popleft().time_ms + REPLAY_OVERLAP_MS)

    def add_fundings(self, fundings: Iterable[Funding]) -> list[Funding]:
        """Add payments, keeping the newest FUNDINGS; return those that are kept and were not known before."""
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
        """Note that the tracker has journalled all fills up to `known_ms`, and that this feed has followed
        the account without a break since before that was fetched. None: the journal lacks some, so the buffer
        does not count as complete.

        If the buffer is full, older fills may have been dropped already. It is then complete only from after
        its oldest fill.
        """
        if known_ms is None:
            self._whole_from_ms = None
            return
        self._whole_from_ms = max(known_ms, self._forgotten_ms)
        if len(self._fills) >= FILLS:
            self._forget(self._fills[0].time_ms + REPLAY_OVERLAP_MS)

    def break_off(self) -> None:
        """Discard the fills: the connection broke, or a message was not understood."""
        self._whole_from_ms = None
        self._fills.clear()

    @property
    def whole_from_ms(self) -> int | None:
        """The venue's time in ms since which nothing is missing here: a tracker that knows all up to then
        needs only the buffer. None if the buffer is not known to be complete."""
        return self._whole_from_ms

    def fills_since(self, since_ms: int) -> list[Fill]:
        """The kept fills from `since_ms` on, in the order in which they came."""
        return [fill for fill in self._fills if fill.time_ms >= since_ms]

    @property
    def fundings(self) -> list[Funding]:
        """The kept payments, oldest first."""
        return [self._fundings[key] for key in sorted(self._fundings)]

    def _forget(self, time_ms: int) -> None:
        if self._whole_from_ms is not None:
            self._whole_from_ms = max(self._whole_from_ms, time_ms + 1)

"""What one connection brought of late, kept to be said again when the tracker is new.

A fill is safe in the tracker's journal; until then the worker can say it again, which costs no request,
and beyond that the exchange can. Only what is known to be whole is said again: from the start of the
backfill on, as long as the connection has not been lost and nothing has been forgotten.
"""

from collections import deque
from collections.abc import Iterable

from hlposmon.domain.reports import Fill, Funding

FILLS = 250
FUNDINGS = 50


class Recent:
    """The newest fills and funding payments of one account on the present connection."""

    def __init__(self) -> None:
        self._fills: deque[Fill] = deque()
        self._fundings: deque[Funding] = deque(maxlen=FUNDINGS)
        self._whole_from_ms: int | None = None

    def add(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            self._fills.append(fill)
            if len(self._fills) > FILLS:
                gone = self._fills.popleft()
                if self._whole_from_ms is not None:
                    self._whole_from_ms = max(self._whole_from_ms, gone.time_ms + 1)

    def add_fundings(self, fundings: Iterable[Funding]) -> None:
        self._fundings.extend(fundings)

    def is_whole_from(self, since_ms: int) -> None:
        """All fills since then were fetched, and the stream has been followed since before that.

        Of more than are kept, those fetched may be gone already: then it is whole from what is left.
        """
        oldest_ms = self._fills[0].time_ms + 1 if len(self._fills) >= FILLS else since_ms
        self._whole_from_ms = max(since_ms, oldest_ms)

    def is_broken(self) -> None:
        """The connection is gone, or said something that was not understood."""
        self._whole_from_ms = None
        self._fills.clear()

    def fills_since(self, since_ms: int) -> list[Fill] | None:
        """All fills since then; None when they are not known to be all."""
        if self._whole_from_ms is None or since_ms < self._whole_from_ms:
            return None
        return [fill for fill in self._fills if fill.time_ms >= since_ms]

    @property
    def fundings(self) -> list[Funding]:
        return list(self._fundings)

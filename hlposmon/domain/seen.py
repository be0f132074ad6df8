"""The fills that were met already, so that none counts twice, and the sizes that they began from.

Plain memory: what a fill does is not known here, and its owner says what may be forgotten.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from hlposmon.domain.reports import Identity


class SeenFills:
    """Identities of fills, with the newest time at which one began from each size."""

    __slots__ = ("_last_ms", "_times")

    def __init__(self, identities: Iterable[Identity] = ()) -> None:
        self._times: dict[Identity, int] = {}
        self._last_ms: dict[Decimal, int] = {}
        for identity in identities:
            self.add(identity)

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._times

    def add(self, identity: Identity) -> None:
        """Remember this fill; the first part of its identity is its time in Unix milliseconds."""
        self._times[identity] = time_ms = identity[0]
        start = identity[5]
        last_ms = self._last_ms.get(start)
        if last_ms is None or last_ms < time_ms:
            self._last_ms[start] = time_ms

    def forget(self, identity: Identity) -> None:
        """Forget one. The size that it began from goes with it, if none that is newer began from it."""
        self._times.pop(identity, None)
        if self._last_ms.get(identity[5]) == identity[0]:
            del self._last_ms[identity[5]]

    def since(self, time_ms: int) -> Iterator[Identity]:
        """Those that are not older than this, in the order in which they were met."""
        return (identity for identity, at_ms in self._times.items() if at_ms >= time_ms)

    def began_from(self, size: Decimal, since_ms: int, until_ms: int) -> bool:
        """Whether one began from this size at any time between the two, both included."""
        last_ms = self._last_ms.get(size)
        if last_ms is None or last_ms < since_ms:
            return False
        if last_ms <= until_ms:
            return True
        times = self._times.items()
        return any(since_ms <= at_ms <= until_ms and identity[5] == size for identity, at_ms in times)

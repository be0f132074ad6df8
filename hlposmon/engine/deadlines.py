"""Deadlines in a heap: what is due costs nothing until it is due, however many there are.

A key has one deadline. Moving it leaves the old entry in the heap, which is passed over when it comes up.
"""

import heapq
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Deadlines(Generic[Key]):
    """Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._due_s: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = count()  # keys need not be comparable

    def __contains__(self, key: Key) -> bool:
        return key in self._due_s

    def set(self, key: Key, due_s: float) -> None:
        """Set the deadline of a key, in place of an earlier one."""
        if self._due_s.get(key) != due_s:
            self._due_s[key] = due_s
            heapq.heappush(self._heap, (due_s, next(self._order), key))

    def clear(self, key: Key) -> None:
        """Remove the deadline of a key."""
        self._due_s.pop(key, None)

    def take(self, now_s: float) -> list[Key]:
        """The keys that are due, the earliest first; they have no deadline any more."""
        found = []
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, key = heapq.heappop(self._heap)
            if self._due_s.get(key) == due_s:
                del self._due_s[key]
                found.append(key)
        return found

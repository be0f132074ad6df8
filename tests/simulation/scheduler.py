"""Virtual time: a heap of events, and the three clocks that are made of it. No thread, no sleep.

`s` counts the seconds of the life as the exchange sees them. The machine's monotonic clock stands still
while it is suspended, and its wall clock leaps; both are worked out from `s`.
"""

import heapq
from collections.abc import Callable
from typing import Any

from hlposmon.engine.effects import Now

# Where a life begins: an hour before midnight UTC by the wall clock (Unix milliseconds), and anywhere by the
# monotonic one (seconds).
BEGIN_MS = 1_790_031_600_000
BEGIN_S = 5_000.0

# An entry of the heap: when, a number that no other has, what a suspension does to it, and what is called.
Event = list[Any]
_DUE, _NUMBER, _KIND, _ACT, _FACTS = range(5)


class Scheduler:
    """Events of three kinds: the exchange's go on while the machine sleeps, what arrives waits until it
    wakes, and its timers count on from there."""

    def __init__(self) -> None:
        self.s = 0.0
        self.wall_offset_ms = 0
        self.asleep_s = 0.0  # in all
        self.is_over = False  # nothing more happens
        self._until_s = 0.0  # asleep until then
        self._heap: list[Event] = []
        self._number = 0

    # ------------------------------------------------------------------ clocks

    @property
    def mono_s(self) -> float:
        return BEGIN_S + self.s - self.asleep_s

    @property
    def true_ms(self) -> int:
        """The right time, Unix milliseconds."""
        return BEGIN_MS + int(self.s * 1000)

    @property
    def now(self) -> Now:
        s = self.s
        return Now(BEGIN_S + s - self.asleep_s, BEGIN_MS + int(s * 1000) + self.wall_offset_ms)

    @property
    def awake_s(self) -> float:
        """When the machine is awake: now, or at the end of its sleep."""
        return max(self.s, self._until_s)

    @property
    def awake_s_since(self) -> float:
        """When it woke the last time, 0 where it never slept."""
        return self._until_s

    @property
    def is_asleep(self) -> bool:
        return self.s < self._until_s

    # ------------------------------------------------------------------ events

    def at_venue(self, delay_s: float, act: Callable[..., Any], *facts: Any) -> Event:
        """The exchange does something."""
        return self._add(self.s + delay_s, "venue", act, facts)

    def arrives(self, delay_s: float, act: Callable[..., Any], *facts: Any) -> Event:
        """Something reaches the machine."""
        return self._add(max(self.s + delay_s, self._until_s), "arrival", act, facts)

    def after(self, delay_s: float, act: Callable[..., Any], *facts: Any) -> Event:
        """A process of the machine does something."""
        return self._add(max(self.s, self._until_s) + delay_s, "timer", act, facts)

    @staticmethod
    def cancel(event: Event) -> None:
        event[_ACT] = None

    def suspend(self, seconds: float) -> None:
        """The machine sleeps from now on."""
        self._until_s = self.s + seconds
        self.asleep_s += seconds
        for event in self._heap:
            if event[_KIND] == "timer":
                event[_DUE] += seconds
            elif event[_KIND] == "arrival":
                event[_DUE] = max(event[_DUE], self._until_s)
        heapq.heapify(self._heap)

    def run_until(self, s: float) -> None:
        """All that is due up to then, in its order."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][_DUE] <= s and not self.is_over:
            due_s, _, _, act, facts = pop(heap)
            if act is not None:
                self.s = max(self.s, due_s)
                act(*facts)
        self.s = max(self.s, s)

    def _add(self, due_s: float, kind: str, act: Callable[..., Any], facts: tuple[Any, ...]) -> Event:
        self._number += 1
        event = [due_s, self._number, kind, act, facts]
        heapq.heappush(self._heap, event)
        return event

"""How long to wait before trying again, and how much may be asked in a minute.

Pure: nothing here sleeps or reads a clock; `now` is an argument, in seconds of any clock that never
runs backwards. Who waits, logs or retries is someone else's business.
"""

import random
from collections import deque
from collections.abc import Callable

WINDOW_S = 60.0


class Backoff:
    """Delays that double from `first_s` to `max_s`; each is shortened by up to `jitter` of itself.

    Jitter only shortens, so `max_s` is a promise. It keeps children that died together from coming
    back together.
    """

    def __init__(
        self,
        first_s: float = 0.5,
        max_s: float = 30.0,
        *,
        jitter: float = 0.2,
        rng: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < first_s <= max_s:
            raise ValueError(f"a backoff needs 0 < first_s <= max_s, not {first_s} and {max_s}")
        if not 0 <= jitter < 1:
            raise ValueError(f"jitter is a share from 0 to below 1, not {jitter}")
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._rng = rng
        self._upcoming_s = first_s

    def next(self) -> float:
        """The delay before the next attempt, in seconds."""
        delay_s = self._upcoming_s
        self._upcoming_s = min(self._max_s, delay_s * 2)
        return delay_s * (1 - self._jitter * self._rng())

    def reset(self) -> None:
        """Things went well: the next delay is the first one again."""
        self._upcoming_s = self._first_s


class WeightBudget:
    """Request weight in a sliding window of 60 s, and the silence that a venue imposed on us.

    A weight above the whole budget can never fit; it may be spent when the window is empty, so that a
    small budget slows a caller down and never stops it for good.
    """

    def __init__(self, per_minute: int) -> None:
        if per_minute <= 0:
            raise ValueError(f"a budget must be positive, not {per_minute}")
        self._per_minute = per_minute
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0
        self._silent_until = float("-inf")

    def used(self, now: float) -> int:
        """The weight spent in the 60 s before `now`."""
        while self._spent and self._spent[0][0] + WINDOW_S <= now:
            self._used -= self._spent.popleft()[1]
        return self._used

    def wait_s(self, weight: int, now: float) -> float:
        """Seconds until `weight` may be spent; 0 when it may be spent now."""
        excess = self.used(now) + min(weight, self._per_minute) - self._per_minute
        free_at = now
        for spent_at, spent in self._spent:
            if excess <= 0:
                break
            excess -= spent
            free_at = spent_at + WINDOW_S
        return max(0.0, free_at - now, self._silent_until - now)

    def spend(self, weight: int, now: float) -> None:
        """Count `weight` as spent at `now`, whether or not there was room for it."""
        if weight < 0:
            raise ValueError(f"a weight cannot be negative: {weight}")
        self._spent.append((now, weight))
        self._used += weight

    def refund(self, weight: int, now: float) -> None:
        """Take back `weight` that was spent: nobody was there to count it."""
        self._spent.append((now, -weight))
        self._used -= weight

    def punish(self, now: float, for_s: float) -> None:
        """The venue said 429: nothing may be spent for `for_s` seconds. A longer silence stands."""
        self._silent_until = max(self._silent_until, now + for_s)

"""How long to wait before trying again, and how much may be asked in a minute.

Pure: nothing here sleeps or reads a clock; `now` is an argument, in seconds of any clock that never
runs backwards. Who waits, logs or retries is someone else's business.
"""

import random
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


class MinuteWindow:
    """What several parties spent in the last minute, in words that they may share.

    A party has a ring of one word a second: the second in the upper bits, the amount in the lower ones.
    Only the party itself writes its ring, so nothing needs a lock, and one that dies leaves its figures
    behind for the next. A second counts until it is wholly past: up to 61 s, never less than 60.
    """

    WORDS_A_PARTY = 64
    _AMOUNT_BITS = 24
    _AMOUNTS = (1 << _AMOUNT_BITS) - 1

    def __init__(self, words: "memoryview[int]") -> None:
        if not words or len(words) % self.WORDS_A_PARTY:
            raise ValueError(f"a window needs {self.WORDS_A_PARTY} words for each party, not {len(words)}")
        self._words = words

    def add(self, party: int, amount: int, now: float) -> None:
        """Count `amount` at `now`; less than nothing takes back what was counted in that same second."""
        second = int(now)
        at = party * self.WORDS_A_PARTY + second % self.WORDS_A_PARTY
        word = self._words[at]
        counted = word & self._AMOUNTS if word >> self._AMOUNT_BITS == second else 0
        if amount < 0 and not counted:
            return  # that second is long over
        total = min(self._AMOUNTS, max(0, counted + amount))
        self._words[at] = second << self._AMOUNT_BITS | total

    def used(self, now: float, party: int | None = None) -> int:
        """What all parties spent in the minute before `now`, or one of them."""
        return sum(amount for _, amount in self._spent(now, party))

    def wait_s(self, amount: int, now: float, limit: int) -> float:
        """Seconds until `amount` more would stay within `limit`; one that never can waits for an empty
        window."""
        spent = sorted(self._spent(now, None))
        excess = sum(amount for _, amount in spent) + min(amount, limit) - limit
        free_at = now
        for second, used in spent:
            if excess <= 0:
                break
            excess -= used
            free_at = second + WINDOW_S + 1
        return max(0.0, free_at - now)

    def close(self) -> None:
        """Let go of the words."""
        self._words.release()

    def _spent(self, now: float, party: int | None) -> list[tuple[int, int]]:
        first = 0 if party is None else party * self.WORDS_A_PARTY
        last = len(self._words) if party is None else first + self.WORDS_A_PARTY
        since = int(now) - int(WINDOW_S)
        words = ((word >> self._AMOUNT_BITS, word & self._AMOUNTS) for word in self._words[first:last])
        return [(second, amount) for second, amount in words if second >= since and amount]

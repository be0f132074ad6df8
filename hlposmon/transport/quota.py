"""One account of what the venue allows: request weight and new connections a minute, for all processes.

The venue counts by our address and not by process, so all of them spend from one account in shared
memory. A process writes its own figures alone (no lock that a dead one could hold) and reserves before
it looks, so that two at once cannot spend the same room. A part of the weight is kept for a heal:
what may wait (statements by the clock, polled prices, roles) leaves it untouched. A 429 silences what
may wait for long and a heal briefly, in every process. Limits: the venue's API documentation, rate limits.
"""

import time
from collections.abc import Callable

from hlposmon.pacing import MinuteWindow
from hlposmon.system.shared_memory import WORD_BYTES, SharedWords

WEIGHT_PER_MINUTE = 1200
# Three full pages of fills and a few statements: what the largest usual gap costs.
HEADROOM = 400
CONNECTIONS_PER_MINUTE = 30
# While the venue is away one attempt of anybody in this time is enough to see it come back.
SCOUT_S = 2.4
# After a 429; the venue documents no Retry-After, and its window is one minute.
SILENCE_S, URGENT_SILENCE_S = (10.0, 60.0), (2.0, 15.0)
PARTIES = 24
_NS = 1_000_000_000
_SILENT, _URGENT_SILENT, _STRIKES, _STRUCK, _ATTEMPTED, _OPENED, _FAILED, _SPARE = range(8)
_HEADER = 8


class Quota:
    """The whole account. `share` is what one process spends by."""

    def __init__(
        self,
        shared: SharedWords | None = None,
        *,
        per_minute: int = WEIGHT_PER_MINUTE,
        headroom: int = HEADROOM,
        connections: int = CONNECTIONS_PER_MINUTE,
    ) -> None:
        """With `shared` all processes that were handed it are one; without, it is of this process alone."""
        if not 0 <= headroom < per_minute:
            raise ValueError(f"headroom {headroom} must be less than the weight of a minute, {per_minute}")
        self.per_minute, self.headroom, self.connections_per_minute = per_minute, headroom, connections
        self._shared = shared
        own = memoryview(bytearray(WORD_BYTES * self.words_needed())).cast("Q")
        self.words = words = own if shared is None else shared.words
        middle = _HEADER + PARTIES * MinuteWindow.WORDS_A_PARTY
        self.weight = MinuteWindow(words[_HEADER:middle])
        self.connections = MinuteWindow(words[middle:])

    @staticmethod
    def words_needed() -> int:
        """How many 64-bit words of shared memory it takes."""
        return _HEADER + 2 * PARTIES * MinuteWindow.WORDS_A_PARTY

    @classmethod
    def shared(cls) -> "Quota":
        """One that the processes forked afterwards share."""
        return cls(SharedWords(cls.words_needed()))

    def share(self, party: int = 0, clock: Callable[[], float] = time.monotonic) -> "Share":
        """One process's part in it; `party` is its place, the same through restarts. ValueError for one that
        there is not."""
        if not 0 <= party < PARTIES:
            raise ValueError(f"party {party} is none of {PARTIES}")
        return Share(self, party, clock)

    def silent_s(self, now: float, *, urgent: bool = False) -> float:
        """How long nothing may be asked, since the venue said that it was too much."""
        return max(0.0, self.words[_URGENT_SILENT if urgent else _SILENT] / _NS - now)

    def close(self) -> None:
        """Let go of the shared memory."""
        self.weight.close()
        self.connections.close()
        if self._shared is not None:
            self._shared.close()


class Share:
    """One process's hand in the account. Times are seconds of `clock`, which all processes share."""

    def __init__(self, quota: Quota, party: int, clock: Callable[[], float]) -> None:
        self.quota, self._party, self._clock = quota, party, clock

    # ------------------------------------------------------------------ weight

    def take(self, weight: int, *, urgent: bool) -> tuple[float, float]:
        """Spend `weight`: (0, when), or (seconds to wait, when) and nothing is spent."""
        now, quota = self._clock(), self.quota
        silent_s = quota.silent_s(now, urgent=urgent)
        if silent_s > 0:
            return silent_s, now
        limit = quota.per_minute if urgent else quota.per_minute - quota.headroom
        wait_s = quota.weight.wait_s(weight, now, limit)
        if wait_s > 0:
            return wait_s, now
        quota.weight.add(self._party, weight, now)
        used = quota.weight.used(now)
        if used > limit and used != weight:
            # Somebody took the same room at the same instant: one of us, or both, look again.
            quota.weight.add(self._party, -weight, now)
            return 0.05, now
        return 0.0, now

    def give_back(self, weight: int, taken_s: float) -> None:
        """Take back what was spent at `taken_s` and turned out not to be counted."""
        self.quota.weight.add(self._party, -weight, taken_s)

    def add(self, weight: int) -> None:
        """Count what an answer cost more than was thought."""
        self.quota.weight.add(self._party, weight, self._clock())

    def punish(self) -> None:
        """The venue said 429: everybody keeps still, longer each time that it says so within a minute."""
        now, words = self._clock(), self.quota.words
        again = now - words[_STRUCK] / _NS < 60.0 and words[_STRUCK]
        strikes = words[_STRIKES] + 1 if again else 1
        words[_STRIKES], words[_STRUCK] = strikes, int(now * _NS)
        for word, (first_s, most_s) in ((_SILENT, SILENCE_S), (_URGENT_SILENT, URGENT_SILENCE_S)):
            until_s = now + min(most_s, first_s * 2 ** min(strikes - 1, 10))
            words[word] = max(words[word], int(until_s * _NS))

    # ------------------------------------------------------------- connections

    def connect(self) -> float:
        """Whether a new connection may be opened now: 0 and it is counted, or the seconds to wait."""
        now, quota = self._clock(), self.quota
        wait_s = quota.connections.wait_s(1, now, quota.connections_per_minute)
        if self.is_away:
            wait_s = max(wait_s, quota.words[_ATTEMPTED] / _NS + SCOUT_S - now)
        if wait_s <= 0:
            quota.connections.add(self._party, 1, now)
            quota.words[_ATTEMPTED] = int(now * _NS)
        return max(0.0, wait_s)

    def opened(self) -> None:
        """The venue took a connection: all who wait for it may try at once."""
        self.quota.words[_OPENED] = int(self._clock() * _NS)

    def failed(self) -> None:
        """The venue did not take a connection."""
        self.quota.words[_FAILED] = int(self._clock() * _NS)

    @property
    def is_away(self) -> bool:
        """Whether the last that anybody knows of the venue is that it took no connection."""
        return self.quota.words[_FAILED] > self.quota.words[_OPENED]

    @property
    def opened_s(self) -> float:
        """When the venue last took a connection of anybody."""
        return self.quota.words[_OPENED] / _NS

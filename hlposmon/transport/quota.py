"""The venue's rate limit, shared by all processes: request weight and new connections per minute.

The venue counts by IP address, not by process, so all processes spend from one quota in shared memory. Each
writes only its own figures, so there is no lock that a dead process could hold. It adds its weight first and
then checks the sum again, so two processes cannot spend the same room. Part of the weight is reserved for
closing gaps: requests that may wait (periodic statements, polled prices, roles) do not use it. After a 429
all processes pause: urgent requests briefly, others for longer. Source of the limits: the venue's API
documentation, rate limits.
"""

import time
from collections.abc import Callable

from hlposmon.pacing import MinuteWindow
from hlposmon.system.shared_memory import WORD_BYTES, SharedWords

WEIGHT_PER_MINUTE = 1200
# Three full pages of fills and a few statements: what the largest usual gap costs.
HEADROOM = 400
CONNECTIONS_PER_MINUTE = 30
# While the venue accepts no connection, all processes together make one attempt in this time.
SCOUT_S = 2.4
# Pauses after a 429, the first and the longest; the venue documents no Retry-After, its window is a minute.
SILENCE_S, URGENT_SILENCE_S = (10.0, 60.0), (2.0, 15.0)
PARTIES = 24
_NS = 1_000_000_000
_SILENT, _URGENT_SILENT, _STRIKES, _STRUCK, _ATTEMPTED, _OPENED, _FAILED, _SPARE = range(8)
_HEADER = 8


class Quota:
    """The rate limit of all processes together; each of them spends through its `share`."""

    def __init__(
        self,
        shared: SharedWords | None = None,
        *,
        per_minute: int = WEIGHT_PER_MINUTE,
        headroom: int = HEADROOM,
        connections: int = CONNECTIONS_PER_MINUTE,
    ) -> None:
        """With `shared`, all processes that inherit it have one quota; without, it is this process's own.

        `headroom` is the part of `per_minute` that is reserved for urgent requests.
        """
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
        """How many 64-bit words of shared memory a quota takes."""
        return _HEADER + 2 * PARTIES * MinuteWindow.WORDS_A_PARTY

    @classmethod
    def shared(cls, headroom: int = HEADROOM) -> "Quota":
        """A quota that all processes forked afterwards share."""
        return cls(SharedWords(cls.words_needed()), headroom=headroom)

    def share(self, party: int = 0, clock: Callable[[], float] = time.monotonic) -> "Share":
        """One process's share. `party`, from 0 to PARTIES - 1, is the place of its figures, the same after a
        restart. Raises ValueError for any other number."""
        if not 0 <= party < PARTIES:
            raise ValueError(f"party {party} is none of {PARTIES}")
        return Share(self, party, clock)

    def silent_s(self, now: float, *, urgent: bool = False) -> float:
        """For how many seconds from `now` no request may be sent because of a 429; 0 if there is no pause."""
        return max(0.0, self.words[_URGENT_SILENT if urgent else _SILENT] / _NS - now)

    def close(self) -> None:
        """Let go of the shared memory."""
        self.weight.close()
        self.connections.close()
        if self._shared is not None:
            self._shared.close()


class Share:
    """One process's share of the rate limit. Times are seconds of `clock`, which all processes share."""

    def __init__(self, quota: Quota, party: int, clock: Callable[[], float]) -> None:
        self.quota, self._party, self._clock = quota, party, clock

    # ------------------------------------------------------------------ weight

    def take(self, weight: int, *, urgent: bool) -> tuple[float, float]:
        """Spend `weight` if there is room: (0, now). Otherwise spend nothing: (seconds to wait, now)."""
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
            # Another process took the same room at the same instant: one of the two, or both, try again.
            quota.weight.add(self._party, -weight, now)
            return 0.05, now
        return 0.0, now

    def give_back(self, weight: int, taken_s: float) -> None:
        """Return weight that was spent at `taken_s` and that the venue did not count."""
        self.quota.weight.add(self._party, -weight, taken_s)

    def add(self, weight: int) -> None:
        """Count what an answer cost beyond its reserve."""
        self.quota.weight.add(self._party, weight, self._clock())

    def punish(self) -> None:
        """Pause all processes after a 429. Each further one within a minute of the last doubles the pauses,
        up to the longest in SILENCE_S and URGENT_SILENCE_S."""
        now, words = self._clock(), self.quota.words
        again = now - words[_STRUCK] / _NS < 60.0 and words[_STRUCK]
        strikes = words[_STRIKES] + 1 if again else 1
        words[_STRIKES], words[_STRUCK] = strikes, int(now * _NS)
        for word, (first_s, most_s) in ((_SILENT, SILENCE_S), (_URGENT_SILENT, URGENT_SILENCE_S)):
            until_s = now + min(most_s, first_s * 2 ** min(strikes - 1, 10))
            words[word] = max(words[word], int(until_s * _NS))

    # ------------------------------------------------------------- connections

    def connect(self) -> float:
        """Count a new connection if one may be opened now: 0. Otherwise the seconds to wait, uncounted."""
        now, quota = self._clock(), self.quota
        wait_s = quota.connections.wait_s(1, now, quota.connections_per_minute)
        if self.is_away:
            wait_s = max(wait_s, quota.words[_ATTEMPTED] / _NS + SCOUT_S - now)
        if wait_s <= 0:
            quota.connections.add(self._party, 1, now)
            quota.words[_ATTEMPTED] = int(now * _NS)
        return max(0.0, wait_s)

    def opened(self) -> None:
        """Note that the venue accepted a connection: all processes that wait for that may try at once."""
        self.quota.words[_OPENED] = int(self._clock() * _NS)

    def failed(self) -> None:
        """Note that the venue did not accept a connection."""
        self.quota.words[_FAILED] = int(self._clock() * _NS)

    @property
    def is_away(self) -> bool:
        """Whether the last attempt of any process to connect to the venue failed."""
        return self.quota.words[_FAILED] > self.quota.words[_OPENED]

    @property
    def opened_s(self) -> float:
        """When the venue last accepted a connection of any process (clock seconds)."""
        return self.quota.words[_OPENED] / _NS

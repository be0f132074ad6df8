"""When polled accounts have their rounds, and up to when a round shows their fills. Pure.

A round is asked for by a Bell: all fills since a little before the time up to which they are known, and then
statements. Accounts take turns in one queue, evenly spaced, so none waits longer than another and a pause is
not followed by a burst. The caller passes in all times.

The answer with the fills has no time of the venue's. The statement after it has one, and this machine knows
how long before the statement's arrival the fills were asked for. Example: fills asked for at 100.0 s, and a
statement of 12:00:05.0 that is handled at 101.5 s. The venue's time at 100.0 s was 12:00:03.5 at the
earliest, and up to then the fills are known. Whatever takes longer only makes this time earlier.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable

from hlposmon.domain.reports import Fetched, Statement

# Spacing of the first rounds where few accounts are polled, so that they need not wait for a whole round.
FIRST_SPACING_S = 5.0


class Rounds:
    """The queue of polled accounts, and the last fetch of each."""

    def __init__(self) -> None:
        self._queue: deque[str] = deque()
        self._spacing_s = self._next_s = 0.0
        # Those that have not completed a round since they were added or the reconcile worker began.
        self._new: set[str] = set()
        self._fetched: dict[str, Fetched] = {}
        self._woken_s = 0.0

    def watch(self, polled: Iterable[str], round_s: float, kept: Collection[str], now_s: float) -> None:
        """Poll these accounts, each once in `round_s` seconds; forget what is known of those that are not in
        `kept`, which come first."""
        wanted = list(polled)
        before = [name for name in self._queue if name in kept and name in wanted]
        new = [name for name in wanted if name not in before]
        self._new = self._new & {*before} | {*new}
        self._queue = deque([*new, *before])
        self._fetched = {name: one for name, one in self._fetched.items() if name in before}
        self._spacing_s = round_s / len(wanted) if wanted else 0.0
        self._next_s = min(self._next_s, now_s + self._spacing_s) if before else now_s

    def due(self, is_stated: Callable[[str], bool], now_s: float) -> list[str]:
        """The accounts whose round is due now. One that the venue has not stated yet is passed over: its
        statement is under way, and before it nothing says since when fills are wanted."""
        found: list[str] = []
        while self._queue and now_s >= self._next_s:
            name = next((name for name in self._queue if is_stated(name)), None)
            if name is None or name in found:
                break
            self._queue.remove(name)
            self._queue.append(name)
            found.append(name)
            spacing_s = min(self._spacing_s, FIRST_SPACING_S) if self._new else self._spacing_s
            self._next_s = max(self._next_s, now_s - spacing_s) + spacing_s
        return found

    def ask_again(self) -> None:
        """The worker that was asked is gone: those whose round is not complete come first."""
        self._fetched.clear()
        unfinished = [name for name in self._queue if name in self._new]
        self._queue = deque([*unfinished, *(name for name in self._queue if name not in self._new)])

    def note_suspension(self, now_s: float) -> None:
        """The machine was suspended: how long ago earlier fills were asked for is not known."""
        self._woken_s = now_s
        self._fetched.clear()

    def fetched(self, report: Fetched) -> None:
        """Note that all fills of an account since a time were handed on."""
        if report.asked_s >= self._woken_s:
            self._fetched[report.account] = report

    def round_of(self, statement: Statement, now_s: float) -> tuple[int, float] | None:
        """Up to when (the venue's time) the fills are known that were fetched before this statement, and when
        they were asked for; None if it does not end a round."""
        fetch, from_ms = self._fetched.get(statement.account), statement.fills_from_ms
        if fetch is None or statement.pushed or from_ms is None:
            return None
        if fetch.from_ms > from_ms or fetch.asked_s > statement.asked_s:
            return None
        return statement.time_ms - math.ceil((now_s - fetch.asked_s) * 1000), fetch.asked_s

    def completed(self, account: str) -> None:
        """Note that a round of the account was complete."""
        self._new.discard(account)

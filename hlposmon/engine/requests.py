"""When the reconcile worker is asked for fills or statements, and asked again because it may have died.

A gap is asked about at once, a doubt a little later (it may be over by then), and both again and again while
they last. Holdings that no push reports are asked for now and then. Pure: the caller passes in all times.
"""

from collections.abc import Collection, Iterable, Mapping

from hlposmon.domain.reports import Bell, BellReason
from hlposmon.engine.deadlines import Deadlines

AGAIN_S = 3.0
# Two statements must be this far apart to count as two.
SECOND_LOOK_S = 2.2
# When to ask by REST what an account holds on other markets: UNSEEN_S after the account is added or SEEN_S
# after the last push about it, and not within LOOK_AGAIN_S of the last such request.
UNSEEN_S, LOOK_AGAIN_S = 5.0, 30.0
SEEN_S = 180.0
# No push reports them of a polled account, and to ask costs as much as a round (config.watch_plan, RARELY_S).
# Its fills are those of all markets: one that it begins to trade on is seen at its next round.
SEEN_POLLED_S = 4 * 3600.0


class Requests:
    """Bells that are due, by account."""

    def __init__(self) -> None:
        self._rung_s: dict[str, float] = {}
        self._second_look_s: dict[str, float] = {}
        self._look_due = Deadlines[str]()
        self._looked_s: dict[str, float] = {}
        self._watched: set[str] = set()

    # ------------------------------------------------------------------ doubts

    def rung(self, account: str, now_s: float) -> None:
        """Note that a statement of this account was asked for now."""
        self._rung_s[account] = now_s

    def doubted(self, account: str, now_s: float) -> None:
        """Note that a statement differs from the book for the first time."""
        self._second_look_s.setdefault(account, now_s + SECOND_LOOK_S)

    def ask_again(self) -> None:
        """Forget what was asked for, because a new worker has received none of it."""
        self._rung_s.clear()

    def due(self, doubtful: Mapping[str, int], unclear: Iterable[str], now_s: float) -> list[Bell]:
        """The bells that are due now. `doubtful` has the accounts in doubt, and since when their fills are
        wanted; `unclear` those whose account mode is in doubt."""
        bells = []
        for name, due_s in list(self._second_look_s.items()):
            if now_s >= due_s:
                del self._second_look_s[name]
                if name in doubtful:
                    bells.append(Bell(name, doubtful[name], BellReason.DOUBT))
                    self.rung(name, now_s)
        for name, since_ms in doubtful.items():
            if self._is_quiet(name, now_s) and name not in self._second_look_s:
                bells.append(Bell(name, since_ms, BellReason.STILL_IN_DOUBT))
                self.rung(name, now_s)
        for name in unclear:
            if self._is_quiet(name, now_s):
                bells.append(Bell(name, None, BellReason.MODE))
                self.rung(name, now_s)
        return bells

    def _is_quiet(self, account: str, now_s: float) -> bool:
        return now_s - self._rung_s.get(account, 0.0) > AGAIN_S

    # ------------------------------------------------------------------ looks

    def watch(self, accounts: Iterable[str], kept: Collection[str], now_s: float) -> None:
        """Watch these accounts, and forget what is known of those that are not in `kept`."""
        for known in (self._rung_s, self._second_look_s, self._looked_s):
            for name in known.keys() - kept:
                del known[name]
        for name in self._watched - {*kept}:
            self._look_due.clear(name)
        self._watched = {*accounts}
        for name in accounts:
            if name not in kept:
                self._look_due.set(name, now_s + UNSEEN_S)

    def seen(self, account: str, now_s: float, *, is_polled: bool = False) -> None:
        """Note that a push, or an answer, reported what the account holds elsewhere."""
        self._look_due.set(account, now_s + (SEEN_POLLED_S if is_polled else SEEN_S))

    def unseen(self, now_s: float) -> list[str]:
        """The accounts whose other holdings no push has reported for long; each is returned once."""
        return self._look_due.take(now_s)

    def look_later(self, account: str, now_s: float, *, asked: bool) -> None:
        """Ask again if no push comes first: soon if it could not be asked for yet, else in a while."""
        self._look_due.set(account, now_s + (LOOK_AGAIN_S if asked else AGAIN_S))

    def may_look(self, account: str, now_s: float) -> bool:
        """Whether the last request is long enough ago; if so, this one is noted."""
        if now_s - self._looked_s.get(account, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return False
        self._looked_s[account] = now_s
        return True

"""The state worker: the venue's own statement of each account, pushed over a connection for nothing else.

A push costs no request weight and comes about each second, so what no fill tells is seen at once. Where the
venue pushes no state of an account that is said: REST each interval is left. Pushes conflate: a newer one
replaces an older one. It compares nothing.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    NoticeCode,
    NotWatched,
    Place,
    Statement,
    Welcome,
)
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.events import Lost, Opened
from hlposmon.venues.port import Acknowledged, NotUnderstood, PushedState, Refused, Venue
from hlposmon.workers.notices import Notices
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# The push rate is undocumented; the marks of held coins move every few seconds.
SILENT_S = 60.0
# How often it is told again what is held on other dexes, nothing included: a tracker that hears no more of
# it asks by REST, and what was traded there is named until this is told after it.
OTHERS_S = 5.0
# At most so often is one account handed on, however often it is pushed.
SPACING_S = 0.4


@dataclass(slots=True)
class _Watch:
    """One account on the present connection. `acked_s`: since when the venue pushes it."""

    account: Account
    acked_s: float | None = None
    newest: Statement | None = None
    told_s: float = 0.0
    # When it was pushed last, and whether it held something then: what is flat may be silent.
    pushed_s: float = 0.0
    is_open: bool = True
    others: tuple[str, ...] | None = None
    others_due_s: float = 0.0


class StateWorker:
    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        venue: Venue,
        queue: Path,
        silent_s: float = SILENT_S,
    ) -> None:
        self._pulse, self._feed, self._silent_s = pulse, venue.state_feed(accounts), silent_s
        self._link = TrackerLink(queue, pulse, "state", accounts)
        self._watches = {account.name: _Watch(account) for account in accounts}
        self._waiter = Waiter(pulse, self._link, self._feed)
        self._notices = Notices(self._link, pulse.name)
        self._repeats = Repeats()

    def run(self) -> None:
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                self._hear_venue()
                self._give_up_if_silent()
                self._hand_on()
                self._waiter.wait(self._due_in_s())
        finally:
            self._feed.close()
            self._link.close()

    def _hear_tracker(self) -> None:
        if any(isinstance(ask, Welcome) for ask in self._link.poll()):
            self._notices.repeat()
            for watch in self._watches.values():
                watch.others, watch.others_due_s = None, 0.0

    def _hear_venue(self) -> None:
        for _ in range(64):
            match self._feed.next():
                case PushedState() as pushed:
                    self._pushed(pushed)
                case Acknowledged(account=name):
                    self._watches[name].acked_s = time.monotonic()
                    self._notices.end(name, NoticeCode.NO_PUSHES)
                case Refused() as refused:
                    self._refused(refused)
                case NotUnderstood(reason=reason):
                    self._warn("message not understood", reason=reason)  # the next push says it all again
                case Opened():
                    self._opened()
                case Lost(reason=reason, retry_s=retry_s):
                    self._warn("states lost", reason=reason, retry_s=f"{retry_s:.1f}")
                case None:
                    return

    def _opened(self) -> None:
        log.info("states connected", extra=fields(url=self._feed.url))
        self._link.connected(self._feed.opened)
        for watch in self._watches.values():
            watch.newest = watch.acked_s = None

    def _refused(self, refused: Refused) -> None:
        self._warn("the exchange refused", text=refused.text)
        for name in refused.accounts:
            text = f"the exchange refuses to push its state, REST statements only: {refused.text}"
            self._notices.say(name, NoticeCode.NO_PUSHES, text)

    def _pushed(self, pushed: PushedState) -> None:
        watch = self._watches[pushed.account]
        watch.pushed_s = time.monotonic()
        if pushed.statement is not None:
            watch.newest, watch.is_open = pushed.statement, bool(pushed.statement.positions)
        if pushed.others is not None:
            at_ms = pushed.statement.time_ms if pushed.statement is not None else 0
            self._tell_others(watch, at_ms, pushed.others)
        self._feed.reset_backoff()

    def _tell_others(self, watch: _Watch, time_ms: int, coins: tuple[str, ...]) -> None:
        """What is held on other dexes is not watched, and may be why equity moves."""
        now_s = time.monotonic()
        if coins == watch.others and now_s < watch.others_due_s:
            return
        name = watch.account.name
        if not self._link.put_newest(NotWatched(name, Place.DEXES, coins)):
            return
        is_news = coins != watch.others
        watch.others, watch.others_due_s = coins, now_s + OTHERS_S
        if coins and is_news:  # a drift may name it as its cause
            self._link.put(AccountEvent(name, time_ms, AccountEventKind.ELSEWHERE, ", ".join(coins)))

    def _give_up_if_silent(self) -> None:
        """Pongs say that the connection lives, and not that states are pushed on it."""
        now_s = time.monotonic()
        for watch in self._watches.values():
            if watch.acked_s is None or not watch.is_open or not self._feed.is_open:
                continue
            if now_s - max(watch.pushed_s, watch.acked_s) > self._silent_s:
                reason = f"no state of {watch.account.name} for {self._silent_s:g} s"
                lost = self._feed.lose(reason)
                self._warn("states lost", reason=reason, retry_s=f"{lost.retry_s:.1f}")
                return

    def _hand_on(self) -> None:
        now_s = time.monotonic()
        for watch in self._watches.values():
            if watch.newest is None or now_s - watch.told_s < SPACING_S:
                continue
            watch.told_s = now_s
            if self._link.put_newest(watch.newest):
                watch.newest = None

    def _due_in_s(self) -> float:
        """How long until a state that waits for its turn may be handed on."""
        if self._link.fileno() is None:
            return LONGEST_NAP_S
        waiting = (watch.told_s for watch in self._watches.values() if watch.newest is not None)
        return min((told_s + SPACING_S - time.monotonic() for told_s in waiting), default=LONGEST_NAP_S)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

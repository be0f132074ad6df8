"""The state worker: receives the venue's pushed statement of each account over a connection of its own.

A push costs no request weight and comes about every second, so changes that no fill shows are seen at once.
If the venue refuses to push an account, the worker sends a notice; statements by REST each interval remain.
Pushes conflate: a newer one replaces an older one. The worker compares nothing.
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
# How often the holdings on other dexes are repeated, even if there are none: a tracker that hears nothing
# asks by REST, and it keeps naming the coins traded there until it gets a newer report.
OTHERS_S = 5.0
# Shortest time between two reports of one account, however often it is pushed.
SPACING_S = 0.4


@dataclass(slots=True)
class _Watch:
    """One account on the current connection, in monotonic seconds. `acked_s` is when the venue acknowledged
    the subscription, `newest` a statement not reported yet, `told_s` when one was last reported."""

    account: Account
    acked_s: float | None = None
    newest: Statement | None = None
    told_s: float = 0.0
    # Time of the last push, and whether it held positions: a flat account may be silent.
    pushed_s: float = 0.0
    is_open: bool = True
    others: tuple[str, ...] | None = None
    others_due_s: float = 0.0


class StateWorker:
    """Reports the pushed statements of its accounts to the tracker through `queue`.

    The connection is given up after `silent_s` seconds without a push for an account with positions.
    """

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
        """Work until the pulse is stopping, then close the feed and the queue."""
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
                    self._warn("message not understood", reason=reason)  # the next push repeats everything
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
        """Report the coins held on other dexes: they are not watched, but may be why equity moves."""
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
        """Give the connection up if an account with positions was not pushed for `silent_s`; pongs alone do
        not show that states are pushed."""
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
        """Seconds until a statement held back by SPACING_S may be reported."""
        if self._link.fileno() is None:
            return LONGEST_NAP_S
        waiting = (watch.told_s for watch in self._watches.values() if watch.newest is not None)
        return min((told_s + SPACING_S - time.monotonic() for told_s in waiting), default=LONGEST_NAP_S)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

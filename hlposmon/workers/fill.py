"""The fill worker: one connection that carries the fills and funding of all accounts, and nothing else.

It makes no requests. Once the venue has acknowledged the subscription of an account, the worker reports
`Following`. The reconcile worker fetches the earlier fills, once for all feeds, and the tracker answers
`Live` when it has them. The worker keeps recent fills of this connection, to replay them to a new tracker
without a request.

Example: the venue acknowledges an account at 100.0 s, so the worker reports Following(since_s=100.0). The
tracker has the older fills fetched and answers Live(since_s=100.0, known_ms=K). The account is live. If the
connection breaks before that answer arrives, `since_s` no longer matches, and the late Live is ignored.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import (
    REPLAY_OVERLAP_MS,
    FeedState,
    Fill,
    Fills,
    Following,
    Funding,
    Heard,
    Live,
    NoticeCode,
    TradedOnSpot,
    Welcome,
)
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.events import Lost, Opened
from hlposmon.venues.port import Acknowledged, NotUnderstood, PushedFills, PushedFundings, Refused, Venue
from hlposmon.workers.notices import Notices
from hlposmon.workers.replay_buffer import ReplayBuffer
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter, Woken

log = logging.getLogger(__name__)

# After a message that was not understood, the feed waits this long before it reports Following again, so that
# the missed fills are fetched. It does so at most ODD_MESSAGES times in ODD_S; beyond that the feed stays up,
# and a lost fill shows as a break in the chain of start positions.
RETRY_S = 1.0
ODD_MESSAGES, ODD_S = 3, 60.0


@dataclass(slots=True)
class _Watch:
    """One account on the current connection. Times are monotonic seconds.

    `since_s` is the time from which on every fill goes to the current tracker; None while the venue does not
    follow the account. `is_told`: `Following` was sent for it. `live`: the tracker answered `Live`.
    `refused`: the venue will not follow it. `due_s` is the earliest time for the next `Following`.
    `unreadable_at_s` are the times of the last messages about it that were not understood.
    """

    account: Account
    since_s: float | None = None
    is_told: bool = False
    live: bool = False
    refused: bool = False
    due_s: float = 0.0
    unreadable_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=ODD_MESSAGES))
    # Fills read in this turn and not sent yet, and when the first of them was received.
    fills: list[Fill] = field(default_factory=list)
    heard_s: float | None = None
    replay: ReplayBuffer = field(default_factory=ReplayBuffer)


class FillWorker:
    """Follows the fills and funding of its accounts, and reports them to the tracker through `queue`."""

    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        venue: Venue,
        queue: Path,
        standby_s: float = 0.0,
    ) -> None:
        """Follow these accounts.

        `standby_s` is how many seconds this feed waits before it reads a message, so that it does not compete
        with another feed for a processor.
        """
        self._pulse, self._standby_s = pulse, standby_s
        self._link = TrackerLink(queue, pulse, "fill", accounts)
        self._notices = Notices(self._link, pulse.name)
        self._watches = {account.name: _Watch(account) for account in accounts}
        self._feed = venue.fill_feed(accounts)
        self._repeats = Repeats()
        self._high_water_ms: dict[str, int | None] | None = None
        self._told_heard_s = 0.0
        self._waiter = Waiter(pulse, self._link, self._feed)

    def run(self) -> None:
        """Work until the pulse is stopping, then close the feed and the queue."""
        try:
            woken = Woken(link=True, feed=True)
            while not self._pulse.stopping:
                self._pulse.beat()
                if woken.feed:  # first, since every subscriber waits for these fills
                    self._hear_venue()
                if woken.link:
                    self._hear_tracker()
                self._tell_following()
                self._tell_heard()
                self._pulse.serves(now=self._is_serving())
                woken = self._waiter.wait(self._due_in_s())
                if woken.feed and self._standby_s:
                    time.sleep(self._standby_s)
        finally:
            self._feed.close()
            self._link.close()

    # ------------------------------------------------------------------ tracker

    def _hear_tracker(self) -> None:
        if self._link.fileno() is None:
            self._tracker_is_gone()  # a `put` failed since the last turn; `poll` connects to the next tracker
        for ask in self._link.poll():
            if isinstance(ask, Welcome):
                self._welcomed(ask)
            elif isinstance(ask, Live):
                self._is_live(ask)
        if self._link.fileno() is None:
            self._tracker_is_gone()

    def _welcomed(self, welcome: Welcome) -> None:
        """Take the high-water marks: of all accounts from a new tracker, of added ones after a reload."""
        self._notices.repeat()
        self._high_water_ms = (self._high_water_ms or {}) | welcome.high_water_ms
        for name in welcome.high_water_ms.keys() & self._watches.keys():
            watch = self._watches[name]
            watch.is_told = watch.live = False
            if watch.since_s is not None:
                watch.since_s = time.monotonic()  # this tracker did not get what was received earlier

    def _tracker_is_gone(self) -> None:
        self._high_water_ms = None
        for watch in self._watches.values():
            watch.is_told = watch.live = False

    def _is_live(self, answer: Live) -> None:
        watch = self._watches.get(answer.account)
        if watch is None or watch.since_s != answer.since_s:
            return  # it answers a Following that a lost connection or message has made obsolete
        watch.replay.mark_known(answer.known_ms)
        watch.live = True
        self._feed.reset_backoff()
        log.info("feed live", extra=fields(account=answer.account, known_ms=answer.known_ms))

    def _is_serving(self) -> bool:
        """Whether every account that the exchange does not refuse is live: the other feed may stop then."""
        return self._feed.is_open and all(watch.live for watch in self._watches.values() if not watch.refused)

    def _tell_following(self) -> None:
        """Report `Following` to a tracker that has sent its high-water marks.

        If the replay buffer is complete since the mark, replay first, so that nothing has to be fetched.
        Example: the tracker knows all fills up to mark 5000 and the buffer is complete from 4200 ms: the
        fills from 3000 ms on (the mark less REPLAY_OVERLAP_MS) are replayed. With a buffer complete only from
        6000 ms, the worker replays nothing, and the tracker has the missing fills fetched.
        """
        if self._high_water_ms is None:
            return
        for name, watch in self._watches.items():
            self._end_odd(watch)
            if watch.since_s is None or watch.is_told or time.monotonic() < watch.due_s:
                continue
            mark_ms, whole_from_ms = self._high_water_ms.get(name), watch.replay.whole_from_ms
            if mark_ms is not None and whole_from_ms is not None and whole_from_ms <= mark_ms:
                again = watch.replay.fills_since(mark_ms - REPLAY_OVERLAP_MS)
                if not (self._tell_again(name, again) and self._hand_on_fundings(watch.replay.fundings)):
                    return
            following = Following(name, self._pulse.name, watch.since_s, whole_from_ms)
            watch.is_told = self._link.put(following)

    def _tell_again(self, name: str, fills: list[Fill]) -> bool:
        """Replay kept fills to a new tracker in one report.

        Its `from_ms` lies after its last fill, so the tracker does not take it for the end of a fetch: a feed
        cannot replay fills that it never received.
        """
        if not fills:
            return True
        newest_ms = max(fill.time_ms for fill in fills)
        return self._link.put(Fills(name, "again", tuple(fills), from_ms=newest_ms + 1))

    def _due_in_s(self) -> float:
        """Seconds until a `Following` is due; everything else is triggered from outside."""
        if self._high_water_ms is None:
            return LONGEST_NAP_S
        waiting = [
            watch for watch in self._watches.values() if watch.since_s is not None and not watch.is_told
        ]
        return min((watch.due_s - time.monotonic() for watch in waiting), default=LONGEST_NAP_S)

    def _end_odd(self, watch: _Watch) -> None:
        """End the notice once every message was understood for ODD_S."""
        if watch.unreadable_at_s and time.monotonic() - watch.unreadable_at_s[-1] > ODD_S:
            watch.unreadable_at_s.clear()
            self._notices.end(watch.account.name, NoticeCode.UNREADABLE)

    def _tell_heard(self) -> None:
        heard_s = self._feed.heard_s
        if heard_s is not None and heard_s - self._told_heard_s >= 0.5:
            self._told_heard_s = heard_s
            self._link.put_newest(Heard(self._pulse.name, heard_s))

    def _hand_on_fills(self) -> None:
        """Send the fills read in this turn, by account. Those read without a tracker are replayed later."""
        has_told = False
        for name, watch in self._watches.items():
            if watch.fills:
                self._link.put_fills(name, self._pulse.name, watch.fills, watch.heard_s)
                watch.fills, has_told = [], True
        if has_told:
            # The kernel often wakes the tracker on this very processor, where it would wait until this
            # process sleeps; the rest of this turn can wait instead.
            os.sched_yield()

    def _hand_on_fundings(self, fundings: Iterable[Funding]) -> bool:
        return all(self._link.put(paid) for paid in fundings)

    # -------------------------------------------------------------------- venue

    def _hear_venue(self) -> None:
        for _ in range(256):  # a bound, so that the tracker is polled again soon
            event = self._feed.next()
            if isinstance(event, PushedFills):
                self._fills(event)
                if not self._feed.has_unread:
                    self._hand_on_fills()  # before the next read from the socket
                continue
            self._hand_on_fills()  # reports keep the order of the messages
            match event:
                case PushedFundings():
                    self._fundings(event)
                case Acknowledged(account=account):
                    self._followed(self._watches[account])
                case Refused():
                    self._refused(event)
                case NotUnderstood():
                    self._not_understood(event)
                case Opened():
                    self._opened()
                case Lost():
                    self._lost(event)
                case None:
                    return
        self._hand_on_fills()

    def _opened(self) -> None:
        log.info("feed connected", extra=fields(url=self._feed.url, connection=self._feed.opened))
        self._link.connected(self._feed.opened)
        for watch in self._watches.values():
            watch.due_s, watch.refused = 0.0, False

    def _lost(self, lost: Lost) -> None:
        self._warn("feed lost", reason=lost.reason, retry_s=f"{lost.retry_s:.1f}")
        for watch in self._watches.values():
            watch.since_s = None
            self._down(watch, lost.reason)

    def _not_understood(self, event: NotUnderstood) -> None:
        if event.account is not None:
            self._unread(self._watches[event.account], [event.reason])
            return
        self._warn("message not understood", reason=event.reason)
        for watch in self._watches.values():  # it may have been fills of any of them
            self._follow_anew(watch, "a message was not understood")

    def _follow_anew(self, watch: _Watch, reason: str) -> None:
        """Have the fills up to now fetched: something was lost, but the connection goes on."""
        now_s = time.monotonic()
        often = len(watch.unreadable_at_s) == ODD_MESSAGES and now_s - watch.unreadable_at_s[0] < ODD_S
        watch.unreadable_at_s.append(now_s)
        if often:
            return
        self._down(watch, reason)
        if watch.since_s is not None:
            watch.since_s, watch.due_s = now_s, now_s + RETRY_S

    def _down(self, watch: _Watch, reason: str) -> None:
        watch.replay.break_off()
        watch.live = watch.is_told = False
        self._link.put(FeedState(watch.account.name, self._pulse.name, False, time.monotonic(), reason))

    def _followed(self, watch: _Watch) -> None:
        if watch.since_s is None:
            watch.since_s = time.monotonic()
            self._notices.end(watch.account.name, NoticeCode.FEED_REFUSED)

    def _refused(self, refused: Refused) -> None:
        """Send a notice for each account that the venue refuses; the others are followed all the same."""
        self._warn("the exchange refused", text=refused.text)
        for name in refused.accounts:
            self._watches[name].refused = True
            text = f"the exchange refuses its feed: {refused.text}"
            self._notices.say(name, NoticeCode.FEED_REFUSED, text)

    def _fundings(self, pushed: PushedFundings) -> None:
        """Send the new payments. The tracker books each payment once, and none from before its start."""
        watch = self._watches[pushed.account]
        newest = sorted(watch.replay.add_fundings(pushed.payments), key=lambda one: one.time_ms)
        self._hand_on_fundings(newest)
        if pushed.unread:
            self._unread(watch, pushed.unread)

    def _fills(self, pushed: PushedFills) -> None:
        """Collect the fills for the end of the turn; send them first if the message also holds spot
        coins or unreadable rows."""
        watch = self._watches[pushed.account]
        watch.replay.add(pushed.fills)
        if self._high_water_ms is not None and pushed.fills:
            if not watch.fills:
                watch.heard_s = self._feed.heard_s
            watch.fills += pushed.fills
        if pushed.others:
            self._hand_on_fills()
            coins = tuple(sorted(set(pushed.others)))
            self._link.put_newest(TradedOnSpot(pushed.account, coins))
        if pushed.unread:
            self._hand_on_fills()
            self._unread(watch, pushed.unread)

    def _unread(self, watch: _Watch, texts: Sequence[str]) -> None:
        """Report rows that could not be read, and have the fills of this account fetched again."""
        self._warn("not understood", account=watch.account.name, reason=texts[0])
        self._notices.say(watch.account.name, NoticeCode.UNREADABLE, texts[0])
        self._follow_anew(watch, texts[0])

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

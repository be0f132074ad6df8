"""The fill worker: one connection that brings the fills and funding of all accounts, and nothing else.

It makes no requests. Once the venue has acknowledged the subscription of an account, the worker reports
`Following`. The reconcile worker fetches the earlier fills, once for all feeds, and the tracker answers
`Live` when it has them. Recent fills of this connection are kept, to be replayed to a new tracker without a
request.
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
    NotWatched,
    Place,
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

# After a message that was not understood, fills are not asked for again sooner than this; and no more often
# than so many times in a while: beyond that a lost fill is found by the chain, and the feed stays up.
RETRY_S = 1.0
ODD_MESSAGES, ODD_S = 3, 60.0


@dataclass(slots=True)
class _Watch:
    """One account on the present connection. `since_s`: from when on all is handed to the present tracker,
    None while the venue does not follow it; `is_told` whether the tracker was told so; `refused` while the
    venue will not follow it; `unreadable_at_s` when messages about it were not understood of late."""

    account: Account
    since_s: float | None = None
    is_told: bool = False
    live: bool = False
    refused: bool = False
    due_s: float = 0.0
    unreadable_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=ODD_MESSAGES))
    # What this turn has read and not handed on, and when the first of it was heard.
    fills: list[Fill] = field(default_factory=list)
    heard_s: float | None = None
    replay: ReplayBuffer = field(default_factory=ReplayBuffer)


class FillWorker:
    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        venue: Venue,
        queue: Path,
        max_users: int = 10,
        standby_s: float = 0.0,
    ) -> None:
        """Of the accounts the first `max_users` are followed, and the others are named. `standby_s`: how much
        later than another feed this one reads what comes, so that both do not compete for a processor."""
        self._pulse, self._standby_s = pulse, standby_s
        self._link = TrackerLink(queue, pulse, "fill", accounts)
        self._notices = Notices(self._link, pulse.name)
        followed, others = accounts[:max_users], accounts[max_users:]
        self._watches = {account.name: _Watch(account) for account in followed}
        self._feed = venue.fill_feed(followed)
        text = f"its fills are not followed: max_users is {max_users}, as the exchange follows no more"
        for account in others:
            self._notices.say(account.name, NoticeCode.NOT_FOLLOWED, text)
        self._repeats = Repeats()
        self._high_water_ms: dict[str, int | None] | None = None
        self._told_heard_s = 0.0
        self._waiter = Waiter(pulse, self._link, self._feed)

    def run(self) -> None:
        try:
            woken = Woken(link=True, feed=True)
            while not self._pulse.stopping:
                self._pulse.beat()
                if woken.feed:  # before all else: a fill that waits here waits for everybody
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
            self._tracker_is_gone()  # found out by telling it something: poll connects to the next one
        for ask in self._link.poll():
            if isinstance(ask, Welcome):
                self._welcomed(ask)
            elif isinstance(ask, Live):
                self._is_live(ask)
        if self._link.fileno() is None:
            self._tracker_is_gone()

    def _welcomed(self, welcome: Welcome) -> None:
        """A new tracker names all its accounts, one that has come to watch more names those."""
        self._notices.repeat()
        self._high_water_ms = (self._high_water_ms or {}) | welcome.high_water_ms
        for name in welcome.high_water_ms.keys() & self._watches.keys():
            watch = self._watches[name]
            watch.is_told = watch.live = False
            if watch.since_s is not None:
                watch.since_s = time.monotonic()  # what was heard before, this tracker was not told

    def _tracker_is_gone(self) -> None:
        self._high_water_ms = None
        for watch in self._watches.values():
            watch.is_told = watch.live = False

    def _is_live(self, answer: Live) -> None:
        watch = self._watches.get(answer.account)
        if watch is None or watch.since_s != answer.since_s:
            return  # of a connection, or a message, that was lost since
        watch.replay.mark_known(answer.known_ms)
        watch.live = True
        self._feed.reset_backoff()
        log.info("feed live", extra=fields(account=answer.account, known_ms=answer.known_ms))

    def _is_serving(self) -> bool:
        """Whether all accounts are live that the exchange follows for us: the other feed may be replaced."""
        return self._feed.is_open and all(watch.live for watch in self._watches.values() if not watch.refused)

    def _tell_following(self) -> None:
        """Report `Following` to a tracker that has sent its high-water marks. If all fills since its mark are
        kept, replay them first."""
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
        """Replay kept fills to a new tracker in one report, which is no part of a fetch. Its `from_ms` lies
        after its last fill, so it ends no fetch: a feed cannot replay what it never received."""
        if not fills:
            return True
        newest_ms = max(fill.time_ms for fill in fills)
        return self._link.put(Fills(name, "again", tuple(fills), from_ms=newest_ms + 1))

    def _due_in_s(self) -> float:
        """How long nothing has to be done but what is asked for from outside."""
        if self._high_water_ms is None:
            return LONGEST_NAP_S
        waiting = [
            watch for watch in self._watches.values() if watch.since_s is not None and not watch.is_told
        ]
        return min((watch.due_s - time.monotonic() for watch in waiting), default=LONGEST_NAP_S)

    def _end_odd(self, watch: _Watch) -> None:
        """All was understood for a while."""
        if watch.unreadable_at_s and time.monotonic() - watch.unreadable_at_s[-1] > ODD_S:
            watch.unreadable_at_s.clear()
            self._notices.end(watch.account.name, NoticeCode.UNREADABLE)

    def _tell_heard(self) -> None:
        heard_s = self._feed.heard_s
        if heard_s is not None and heard_s - self._told_heard_s >= 0.5:
            self._told_heard_s = heard_s
            self._link.put_newest(Heard(self._pulse.name, heard_s))

    def _hand_on_fills(self) -> None:
        """What this turn has read, as one report an account; without a tracker it is told again later."""
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
        for _ in range(256):  # then look at the tracker again
            event = self._feed.next()
            if isinstance(event, PushedFills):
                self._fills(event)
                if not self._feed.has_unread:
                    self._hand_on_fills()  # before the socket is asked for more
                continue
            self._hand_on_fills()  # all is told in the order in which it came
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
        """Something was lost on a connection that goes on: what came until now is fetched."""
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
        """Those that the venue does not follow are named, and the others are followed all the same."""
        self._warn("the exchange refused", text=refused.text)
        for name in refused.accounts:
            self._watches[name].refused = True
            text = f"the exchange refuses its feed: {refused.text}"
            self._notices.say(name, NoticeCode.FEED_REFUSED, text)

    def _fundings(self, pushed: PushedFundings) -> None:
        """Hand on what is new; the tracker books each payment once, and none from before its start."""
        watch = self._watches[pushed.account]
        newest = sorted(watch.replay.add_fundings(pushed.payments), key=lambda one: one.time_ms)
        self._hand_on_fundings(newest)
        if pushed.unread:
            self._unread(watch, pushed.unread)

    def _fills(self, pushed: PushedFills) -> None:
        """Keep them for the end of the turn; with what is odd beside them the turn of fills ends here."""
        watch = self._watches[pushed.account]
        watch.replay.add(pushed.fills)
        if self._high_water_ms is not None and pushed.fills:
            if not watch.fills:
                watch.heard_s = self._feed.heard_s
            watch.fills += pushed.fills
        if pushed.others:
            self._hand_on_fills()
            coins = tuple(sorted(set(pushed.others)))
            self._link.put_newest(NotWatched(pushed.account, Place.TRADED, coins))
        if pushed.unread:
            self._hand_on_fills()
            self._unread(watch, pushed.unread)

    def _unread(self, watch: _Watch, texts: Sequence[str]) -> None:
        """A row is set aside and asked for once more, of this account alone."""
        self._warn("not understood", account=watch.account.name, reason=texts[0])
        self._notices.say(watch.account.name, NoticeCode.UNREADABLE, texts[0])
        self._follow_anew(watch, texts[0])

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

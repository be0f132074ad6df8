"""The fill worker: one connection that brings the fills and funding of all accounts, and nothing else.

It asks nothing by REST. Once the exchange has acknowledged an account's streams it says that it follows
it; what came before that is fetched by the reconcile worker, once for all feeds, and the tracker answers
`Live` when it has it. What this connection brought of late is kept, so that a new tracker can be told it
again without a request.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import (
    OVERLAP_MS,
    FeedState,
    Fill,
    Following,
    Funding,
    Heard,
    Live,
    NoticeCode,
    NotWatched,
    Place,
    Welcome,
)
from hlposmon.errors import WireError
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.websocket import Feed, Lost, Opened, Said
from hlposmon.venues.hyperliquid import payloads as wire
from hlposmon.workers.notices import Notices
from hlposmon.workers.outlet import Outlet
from hlposmon.workers.recent import Recent
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

ACK_DEADLINE_S = 10.0
# The streams of one account; both are replayed by a snapshot on subscribing.
STREAMS = ("userFills", "userFundings")
# After a message that was not understood, fills are not asked for again sooner than this; and no more often
# than so many times in a while: beyond that a lost fill is found by the chain, and the feed stays up.
RETRY_S = 1.0
ODD_MESSAGES, ODD_S = 3, 60.0


@dataclass(slots=True)
class _Watch:
    """One account on the present connection. `since_s`: from when on all is handed to the present tracker,
    None while the streams are not acknowledged; `is_told` whether the tracker was told so; `refused` while
    the exchange does not follow it; `odd_s` when messages about it were not understood of late."""

    account: Account
    acked: set[str] = field(default_factory=set)
    since_s: float | None = None
    is_told: bool = False
    live: bool = False
    refused: bool = False
    due_s: float = 0.0
    odd_s: deque[float] = field(default_factory=lambda: deque(maxlen=ODD_MESSAGES))
    # What this turn has read and not handed on, and when the first of it was heard.
    fills: list[Fill] = field(default_factory=list)
    heard_s: float | None = None
    recent: Recent = field(default_factory=Recent)


class FillWorker:
    def __init__(
        self, pulse: Pulse, *, accounts: Sequence[Account], feed: Feed, queue: Path, max_users: int = 10
    ) -> None:
        """Of the accounts the first `max_users` are followed, and the others are named."""
        self._pulse, self._feed = pulse, feed
        self._outlet = Outlet(queue, pulse, "fill", accounts)
        self._notices = Notices(self._outlet, pulse.name)
        followed, others = accounts[:max_users], accounts[max_users:]
        self._watches = {account.name: _Watch(account) for account in followed}
        self._names = {account.address: account.name for account in followed}
        text = f"its fills are not followed: max_users is {max_users}, as the exchange follows no more"
        for account in others:
            self._notices.say(account.name, NoticeCode.NOT_FOLLOWED, text)
        self._repeats = Repeats()
        self._marks_ms: dict[str, int | None] | None = None
        self._opened_s = self._told_heard_s = 0.0
        self._waiter = Waiter(pulse, self._outlet, feed)

    def run(self) -> None:
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                self._hear_exchange()
                self._tell_following()
                self._tell_heard()
                self._pulse.serves(now=self._is_serving())
                self._waiter.wait(self._due_in_s())
        finally:
            self._feed.close()
            self._outlet.close()

    # ------------------------------------------------------------------ tracker

    def _hear_tracker(self) -> None:
        if self._outlet.fileno() is None:
            self._tracker_is_gone()  # found out by telling it something: poll connects to the next one
        for ask in self._outlet.poll():
            if isinstance(ask, Welcome):
                self._welcomed(ask)
            elif isinstance(ask, Live):
                self._is_live(ask)
        if self._outlet.fileno() is None:
            self._tracker_is_gone()

    def _welcomed(self, welcome: Welcome) -> None:
        """A new tracker names all its accounts, one that has come to watch more names those."""
        self._notices.repeat()
        self._marks_ms = (self._marks_ms or {}) | welcome.high_water_ms
        for name in welcome.high_water_ms.keys() & self._watches.keys():
            watch = self._watches[name]
            watch.is_told = watch.live = False
            if watch.since_s is not None:
                watch.since_s = time.monotonic()  # what was heard before, this tracker was not told

    def _tracker_is_gone(self) -> None:
        self._marks_ms = None
        for watch in self._watches.values():
            watch.is_told = watch.live = False

    def _is_live(self, answer: Live) -> None:
        watch = self._watches.get(answer.account)
        if watch is None or watch.since_s != answer.since_s:
            return  # of a connection, or a message, that was lost since
        watch.recent.know_before(answer.known_ms)
        watch.live = True
        self._feed.calm()
        log.info("feed live", extra=fields(account=answer.account, known_ms=answer.known_ms))

    def _is_serving(self) -> bool:
        """Whether all accounts are live that the exchange follows for us: the other feed may be replaced."""
        return self._feed.is_open and all(watch.live for watch in self._watches.values() if not watch.refused)

    def _tell_following(self) -> None:
        """To a tracker that has said how far it knows: what is kept of the time since then, again."""
        if self._marks_ms is None:
            return
        for name, watch in self._watches.items():
            self._end_odd(watch)
            if watch.since_s is None or watch.is_told or time.monotonic() < watch.due_s:
                continue
            mark_ms, whole_from_ms = self._marks_ms.get(name), watch.recent.whole_from_ms
            if mark_ms is not None and whole_from_ms is not None and whole_from_ms <= mark_ms:
                again = watch.recent.fills_since(mark_ms - OVERLAP_MS)
                told = self._outlet.put_fills(name, "again", again)
                if not (told and self._hand_on_fundings(watch.recent.fundings)):
                    return
            following = Following(name, self._pulse.name, watch.since_s, whole_from_ms)
            watch.is_told = self._outlet.put(following)

    def _due_in_s(self) -> float:
        """How long nothing has to be done but what is asked for from outside."""
        if self._marks_ms is None:
            return LONGEST_NAP_S
        waiting = [
            watch for watch in self._watches.values() if watch.since_s is not None and not watch.is_told
        ]
        return min((watch.due_s - time.monotonic() for watch in waiting), default=LONGEST_NAP_S)

    def _end_odd(self, watch: _Watch) -> None:
        """All was understood for a while."""
        if watch.odd_s and time.monotonic() - watch.odd_s[-1] > ODD_S:
            watch.odd_s.clear()
            self._notices.end(watch.account.name, NoticeCode.UNREADABLE)

    def _tell_heard(self) -> None:
        heard_s = self._feed.heard_s
        if heard_s is not None and heard_s - self._told_heard_s >= 0.5:
            self._told_heard_s = heard_s
            self._outlet.put_newest(Heard(self._pulse.name, heard_s))

    def _hand_on_fills(self) -> None:
        """What this turn has read, as one report an account; without a tracker it is told again later."""
        for name, watch in self._watches.items():
            if watch.fills:
                self._outlet.put_fills(name, self._pulse.name, watch.fills, watch.heard_s)
                watch.fills = []

    def _hand_on_fundings(self, fundings: Iterable[Funding]) -> bool:
        return all(self._outlet.put(paid) for paid in fundings)

    # ----------------------------------------------------------------- exchange

    def _hear_exchange(self) -> None:
        for _ in range(256):  # then look at the tracker again
            event = self._feed.next()
            if isinstance(event, Said):
                self._said(event.raw)
                continue
            self._hand_on_fills()
            if isinstance(event, Opened):
                self._subscribe()
            elif isinstance(event, Lost):
                self._lost(event.reason, event.retry_s)
            break
        self._hand_on_fills()
        late = self._feed.is_open and time.monotonic() - self._opened_s > ACK_DEADLINE_S
        if late and (unacked := self._unacked()):
            missing = ", ".join(sorted(unacked))
            lost = self._feed.lose(f"not acknowledged within {ACK_DEADLINE_S:g} s: {missing}")
            self._lost(lost.reason, lost.retry_s)

    def _subscribe(self) -> None:
        self._opened_s = time.monotonic()
        log.info("feed connected", extra=fields(url=self._feed.url, connection=self._feed.opened))
        self._outlet.connected(self._feed.opened)
        for watch in self._watches.values():
            watch.due_s, watch.refused = 0.0, False
            for kind in STREAMS:
                self._feed.send(wire.subscription(kind, user=watch.account.address))

    def _lost(self, reason: str, retry_s: float) -> None:
        self._warn("feed lost", reason=reason, retry_s=f"{retry_s:.1f}")
        for watch in self._watches.values():
            watch.acked.clear()
            watch.since_s = None
            self._down(watch, reason)

    def _said(self, raw: bytes) -> None:
        try:
            message = wire.message(raw)
            if message.channel == "userFills":
                self._stream(message.channel, message.data)
                return
            self._hand_on_fills()  # all is said in the order in which it came
            if message.channel == "userFundings":
                self._stream(message.channel, message.data)
            elif message.channel == "subscriptionResponse":
                self._acked(message.data)
            elif message.channel == "error":
                self._refused(wire.refusal(message.data))
        except WireError as error:
            self._hand_on_fills()
            self._warn("message not understood", reason=error)
            for watch in self._watches.values():  # it may have been fills of any of them
                self._follow_anew(watch, "a message was not understood")

    def _follow_anew(self, watch: _Watch, reason: str) -> None:
        """Something was lost on a connection that goes on: what came until now is fetched."""
        now_s = time.monotonic()
        often = len(watch.odd_s) == ODD_MESSAGES and now_s - watch.odd_s[0] < ODD_S
        watch.odd_s.append(now_s)
        if often:
            return
        self._down(watch, reason)
        if watch.since_s is not None:
            watch.since_s, watch.due_s = now_s, now_s + RETRY_S

    def _down(self, watch: _Watch, reason: str) -> None:
        watch.recent.is_broken()
        watch.live = watch.is_told = False
        self._outlet.put(FeedState(watch.account.name, self._pulse.name, False, time.monotonic(), reason))

    def _acked(self, data: object) -> None:
        for watch in self._watches.values():
            for kind in STREAMS:
                if wire.acknowledges(data, kind, watch.account.address):
                    self._settled(watch, kind)

    def _settled(self, watch: _Watch, kind: str) -> None:
        """A stream is acknowledged, or done without: with both it is followed."""
        watch.acked.add(kind)
        if watch.since_s is None and len(watch.acked) == len(STREAMS):
            watch.since_s = time.monotonic()
            self._notices.end(watch.account.name, NoticeCode.FEED_REFUSED)

    def _unacked(self) -> list[str]:
        return [
            f"{kind} of {watch.account.name}"
            for watch in self._watches.values()
            for kind in STREAMS
            if kind not in watch.acked and not watch.refused
        ]

    def _refused(self, refusal: wire.Refusal) -> None:
        """Those that the exchange does not follow are named, and the others are followed all the same."""
        self._warn("the exchange refused", text=refusal.text)
        for watch in self._watches.values():
            if refusal.already or refusal.user not in (None, watch.account.address):
                continue
            if refusal.kind == "userFundings" and not refusal.limit:
                # Fills do without it: what was paid is asked for by REST each hour.
                self._settled(watch, refusal.kind)
            elif (refusal.limit or refusal.kind == "userFills") and "userFills" not in watch.acked:
                watch.refused = True
                text = f"the exchange refuses its feed: {refusal.text}"
                self._notices.say(watch.account.name, NoticeCode.FEED_REFUSED, text)

    def _stream(self, channel: str, data: object) -> None:
        if not isinstance(data, dict):
            raise WireError(f"{channel}: an object is wanted")
        user = data.get("user")
        if not isinstance(user, str):
            raise WireError(f"{channel}: user is not text: {user!r:.60}")
        name = self._names.get(user.lower())
        if name is None:
            return
        watch = self._watches[name]
        try:
            if channel == "userFundings":
                self._fundings(watch, data.get("fundings"))
            elif data.get("isSnapshot") is not True:  # months of history: what is wanted of it is fetched
                self._fills(watch, data.get("fills"))
        except WireError as error:
            self._unread(watch, [str(error)])

    def _fundings(self, watch: _Watch, rows: object) -> None:
        """Hand on what is new; the tracker books each payment once, and none from before its start."""
        paid, unread = wire.fundings(rows, watch.account.name)
        newest = sorted(watch.recent.add_fundings(paid), key=lambda one: one.time_ms)
        self._hand_on_fundings(newest)
        if unread:
            self._unread(watch, unread)

    def _fills(self, watch: _Watch, rows: object) -> None:
        name = watch.account.name
        found = wire.fills(rows, name, watch.account.address)
        watch.recent.add(found.fills)
        if self._marks_ms is not None and found.fills:
            if not watch.fills:
                watch.heard_s = self._feed.heard_s
            watch.fills += found.fills
        if found.others or found.unread:
            self._hand_on_fills()
        if found.others:
            coins = tuple(sorted(set(found.others)))
            self._outlet.put_newest(NotWatched(name, Place.TRADED, coins))
        if found.unread:
            self._unread(watch, [one.text for one in found.unread])

    def _unread(self, watch: _Watch, texts: Sequence[str]) -> None:
        """A row is set aside and asked for once more, of this account alone."""
        self._warn("not understood", account=watch.account.name, reason=texts[0])
        self._notices.say(watch.account.name, NoticeCode.UNREADABLE, texts[0])
        self._follow_anew(watch, texts[0])

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

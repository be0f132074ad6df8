"""The fill worker: one connection that brings the fills of all accounts, and nothing else.

On every connect it fetches what was missed from the tracker's high-water mark, then follows the
stream. To a new tracker it says again what it remembers from there, or fetches it. Overlap is free,
since the chain drops what it has seen. While it waits for an answer it goes on listening: what one
account misses must not hold up the fills of the others.
What it says of a feed: `live` once the stream is acknowledged and the backfill is handed on.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import FeedState, Fill, Fills, Funding, Heard, Notice, Unlisted, Welcome
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.pacing import Backoff
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.venues.hyperliquid import HyperliquidInfo
from hlposmon.venues.patience import Patience
from hlposmon.venues.websocket import Feed, Lost, Opened, Said
from hlposmon.wire import hyperliquid as wire
from hlposmon.workers.outlet import Outlet
from hlposmon.workers.recent import Recent
from hlposmon.workers.waiting import wait

log = logging.getLogger(__name__)

ACK_DEADLINE_S = 10.0
# The streams of one account; both are replayed by a snapshot on subscribing.
STREAMS = ("userFills", "userFundings")
# Fills are fetched from this far before the high-water mark: two coins' fills need not come in the
# order of their times.
OVERLAP_MS = 2_000
# How far back to look when the tracker knows nothing yet: enough to place the first statement.
FIRST_LOOK_MS = 300_000
# Fills a datagram, so that one message stays small.
PIECE_FILLS = 100
RETRY_S, RETRY_MAX_S = 1.0, 4.0
HOUR_MS = 3_600_000
# Live fills that wait for their backfill; what is lost beyond these breaks the chain, and is seen.
EARLY_FILLS = 20_000


@dataclass(slots=True)
class _Watch:
    """What this worker knows of one account on the present connection."""

    account: Account
    acked: set[str] = field(default_factory=set)
    live: bool = False
    failed: bool = False
    due_s: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(RETRY_S, RETRY_MAX_S))
    recent: Recent = field(default_factory=Recent)
    unpaid_from_ms: int | None = None  # funding is to be asked for from then on
    early: deque[Fill] = field(default_factory=lambda: deque(maxlen=EARLY_FILLS))


class _Listening:
    """The patience of a request: meanwhile something else is done, and the pulse beats."""

    def __init__(self, pulse: Pulse, meanwhile: Callable[[], None]) -> None:
        self._pulse, self._meanwhile = pulse, meanwhile

    @property
    def stopping(self) -> bool:
        return self._pulse.stopping

    def wait(self, timeout_s: float) -> bool:
        self._meanwhile()
        return self._pulse.wait(timeout_s)


class FillWorker:
    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        feed: Feed,
        info: Callable[[Patience], HyperliquidInfo],
        queue: Path,
        max_users: int = 10,
    ) -> None:
        """`info` is made with the patience that it shall have while it waits. Of the accounts the first
        `max_users` are followed, and the others are named."""
        self._pulse, self._feed = pulse, feed
        self._info = info(_Listening(pulse, self._listen))
        self._outlet = Outlet(queue, pulse, "fill", accounts)
        followed, others = accounts[:max_users], accounts[max_users:]
        self._watches = {account.name: _Watch(account) for account in followed}
        self._names = {account.address: account.name for account in followed}
        self._high_water_ms: dict[str, int | None] | None = None
        self._opened_s = 0.0
        # How far the venue's clock is ahead of our monotonic one; None until it was asked.
        self._ahead_ms: int | None = None
        self._told_heard_s = 0.0
        self._limited = False
        text = f"its fills are not followed: max_users is {max_users}, as the exchange follows no more"
        self._notices = dict.fromkeys(Notice(account.name, text, grave=True) for account in others)
        self._repeats = Repeats()

    def run(self) -> None:
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                self._hear_exchange()
                self._backfill_due()
                self._tell_heard()
                self._pulse.serves(now=self._is_serving())
                wait(self._pulse, self._outlet, self._feed, 0.5)
        finally:
            self._feed.close()
            self._info.close()
            self._outlet.close()

    # ------------------------------------------------------------------ tracker

    def _hear_tracker(self) -> None:
        had_queue = self._outlet.fileno() is not None
        for ask in self._outlet.poll():
            if isinstance(ask, Welcome):
                # A new tracker names all its accounts, one that has come to watch more names those.
                self._high_water_ms = (self._high_water_ms or {}) | ask.high_water_ms
                for notice in self._notices:
                    self._outlet.put(notice)
                for name in ask.high_water_ms.keys() & self._watches.keys():
                    self._not_live(self._watches[name])
        if had_queue and self._outlet.fileno() is None:
            self._high_water_ms = None

    def _is_serving(self) -> bool:
        """Whether all accounts are live that the exchange follows for us: the other feed may be replaced."""
        refused = {name for name, watch in self._watches.items() if self._limited and not watch.acked}
        return self._feed.is_open and all(
            watch.live for name, watch in self._watches.items() if name not in refused
        )

    def _tell_heard(self) -> None:
        heard_s = self._feed.heard_s
        if heard_s is not None and heard_s - self._told_heard_s >= 0.5:
            self._told_heard_s = heard_s
            self._outlet.put_newest(Heard(self._pulse.name, heard_s))

    # ----------------------------------------------------------------- exchange

    def _listen(self) -> None:
        """In the midst of a request."""
        self._hear_exchange()
        self._tell_heard()

    def _hear_exchange(self) -> None:
        for _ in range(256):  # then look at the tracker again
            match self._feed.next():
                case Opened():
                    self._subscribe()
                case Lost(reason=reason, retry_s=retry_s):
                    self._lost(reason, retry_s)
                case Said(raw=raw):
                    self._said(raw)
                    continue
                case None:
                    pass
            break
        # Where the exchange tracks no more accounts, those that it took are followed all the same.
        refused = self._limited and any(watch.acked for watch in self._watches.values())
        late = self._feed.is_open and time.monotonic() - self._opened_s > ACK_DEADLINE_S
        if late and not refused and (unacked := self._unacked()):
            missing = ", ".join(sorted(unacked))
            lost = self._feed.lose(f"not acknowledged within {ACK_DEADLINE_S:g} s: {missing}")
            self._lost(lost.reason, lost.retry_s)

    def _subscribe(self) -> None:
        self._opened_s, self._limited, self._ahead_ms = time.monotonic(), False, None
        log.info("feed connected", extra=fields(url=self._feed.url, connection=self._feed.opened))
        self._outlet.connected(self._feed.opened)
        for watch in self._watches.values():
            watch.acked.clear()
            watch.early.clear()
            watch.live, watch.failed, watch.due_s = False, False, 0.0
            for kind in STREAMS:
                self._feed.send(wire.subscription(kind, user=watch.account.address))

    def _lost(self, reason: str, retry_s: float) -> None:
        self._warn("feed lost", reason=reason, retry_s=f"{retry_s:.1f}")
        for watch in self._watches.values():
            watch.acked.clear()
            watch.recent.is_broken()
            self._not_live(watch, reason)

    def _said(self, raw: bytes) -> None:
        try:
            message = wire.message(raw)
            if message.channel == "subscriptionResponse":
                self._acked(message.data)
            elif message.channel in STREAMS:
                self._stream(message.channel, message.data)
            elif message.channel == "error":
                self._refused(str(message.data))
        except WireError as error:
            # It may have been fills: what it held is fetched instead.
            self._warn("message not understood", reason=error)
            for watch in self._watches.values():
                watch.recent.is_broken()
                self._not_live(watch, "a message was not understood", after_s=RETRY_S)

    def _acked(self, data: object) -> None:
        for watch in self._watches.values():
            for kind in STREAMS:
                if wire.acknowledges(data, kind, watch.account.address):
                    watch.acked.add(kind)

    def _unacked(self) -> list[str]:
        return [
            f"{kind} of {watch.account.name}"
            for watch in self._watches.values()
            for kind in STREAMS
            if kind not in watch.acked
        ]

    def _refused(self, text: str) -> None:
        self._warn("the exchange refused", text=text)
        if "Cannot track more than" in text:
            self._limited = True
            for watch in self._watches.values():
                if "userFills" not in watch.acked:
                    self._notice(watch.account.name, f"the exchange refuses its feed: {text}", grave=True)

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
        if channel == "userFundings":
            paid = wire.fundings(data.get("fundings"), name)
            watch.recent.add_fundings(paid)
            if watch.live:  # else with the backfill, which has what was paid before
                self._fundings(paid)
            return
        found, others = wire.fills(data.get("fills"), name, watch.account.address)
        if data.get("isSnapshot") is True:
            return  # months of history: what is wanted of it is fetched
        self._note_others(name, others)
        watch.recent.add(found)
        # Before the backfill they would only look like a gap, and it holds them; but if there is none to
        # be had, a fill that is shown late is worse than a gap that is shown.
        if self._high_water_ms is not None and (watch.live or watch.failed):
            self._hand_on(name, self._pulse.name, found, self._feed.heard_s)
        else:
            watch.early += found

    # ----------------------------------------------------------------- backfill

    def _backfill_due(self) -> None:
        if self._high_water_ms is None or not self._feed.is_open:
            return
        for watch in self._watches.values():
            ready = len(watch.acked) == len(STREAMS) and not watch.live
            if ready and time.monotonic() >= watch.due_s and not self._pulse.stopping:
                self._backfill(watch)

    def _backfill(self, watch: _Watch) -> None:
        name, breaks = watch.account.name, watch.recent.breaks
        try:
            start_ms = self._start_ms(name)
            said_again = watch.recent.is_whole_since(start_ms)
            if said_again:
                again = watch.recent.fills_since(start_ms)
                count = len(again)
                self._hand_on(name, "again", again)
            else:
                count = self._fetch(watch, start_ms)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("backfill failed", account=name, reason=error)
            watch.failed = True
            self._not_live(watch, f"backfill failed: {error}", after_s=watch.backoff.next())
            return
        if watch.recent.breaks != breaks:
            return  # something was lost meanwhile: what came is handed on, and it begins again
        # The answer may come from a server that lags behind the stream's.
        early = [fill for fill in watch.early if fill.time_ms >= start_ms]
        if self._high_water_ms is None or not self._hand_on(name, self._pulse.name, early):
            return  # the tracker went away meanwhile
        if not said_again:
            watch.recent.is_whole_from(start_ms)
        watch.early.clear()
        if self._high_water_ms.get(name) is None:
            self._high_water_ms[name] = start_ms  # what is behind it was fetched once
        self._fundings(watch.recent.fundings)
        watch.live, watch.failed = True, False
        watch.backoff.reset()
        self._feed.calm()
        how = "said again" if said_again else "fetched"
        log.info("feed live", extra=fields(account=name, fills=count, how=how, since_ms=start_ms))
        self._outlet.put(FeedState(name, self._pulse.name, live=True, at_s=time.monotonic()))

    def _fetch(self, watch: _Watch, start_ms: int) -> int:
        """Fetch all since `start_ms` and hand it on; how many fills. The stream waits in the socket."""
        count = 0
        # However often it fails after the fills, whose mark moves on, the payments are owed from here.
        watch.unpaid_from_ms = (
            start_ms if watch.unpaid_from_ms is None else min(watch.unpaid_from_ms, start_ms)
        )
        for page in self._info.fills_since(watch.account, start_ms):
            self._note_others(watch.account.name, page.others)
            count += len(page.fills)
            watch.recent.add(page.fills)
            if page.hole is not None:
                self._outlet.put(Unlisted(watch.account.name, *page.hole))
            if not self._hand_on(watch.account.name, "backfill", page.fills):
                break
        else:
            self._fetch_fundings(watch)
        return count

    def _fetch_fundings(self, watch: _Watch) -> None:
        """It is paid on the hour, and the stream's snapshot need not reach back to this one."""
        since_ms = watch.unpaid_from_ms
        if since_ms is None:
            return
        paid: list[Funding] = []
        if since_ms // HOUR_MS < self._venue_ms() // HOUR_MS:
            paid = self._info.fundings_since(watch.account, since_ms)
            watch.recent.add_fundings(paid)
        if self._fundings(paid):
            watch.unpaid_from_ms = None

    def _venue_ms(self) -> int:
        """The venue's time now. Asked for once on each connection, as our own wall clock may be wrong."""
        if self._ahead_ms is None:
            self._ahead_ms = self._info.now_ms() - int(time.monotonic() * 1000)
        return self._ahead_ms + int(time.monotonic() * 1000)

    def _start_ms(self, name: str) -> int:
        known_ms = (self._high_water_ms or {}).get(name)
        if known_ms is None:
            return self._venue_ms() - FIRST_LOOK_MS
        return max(0, known_ms - OVERLAP_MS)

    # ------------------------------------------------------------------- within

    def _hand_on(self, name: str, source: str, fills: Sequence[Fill], heard_s: float | None = None) -> bool:
        for at in range(0, len(fills), PIECE_FILLS):
            piece = tuple(fills[at : at + PIECE_FILLS])
            if not self._outlet.put(Fills(name, source, piece, heard_s)):
                self._high_water_ms = None
                return False
            known_ms = (self._high_water_ms or {}).get(name)
            # A fill that came in before the backfill says nothing of those before it.
            whole = source == "backfill" or self._watches[name].live
            if self._high_water_ms is not None and known_ms is not None and whole:
                self._high_water_ms[name] = max(known_ms, piece[-1].time_ms)
        return True

    def _fundings(self, fundings: Sequence[Funding]) -> bool:
        """Hand them on, oldest first; False when the tracker is gone."""
        return all(self._outlet.put(paid) for paid in sorted(fundings, key=lambda paid: paid.time_ms))

    def _not_live(self, watch: _Watch, reason: str = "", *, after_s: float = 0.0) -> None:
        watch.due_s = time.monotonic() + after_s
        if watch.live or reason:
            self._outlet.put(
                FeedState(
                    watch.account.name, self._pulse.name, live=False, at_s=time.monotonic(), reason=reason
                )
            )
        watch.live = False

    def _note_others(self, name: str, coins: Sequence[str]) -> None:
        for coin in sorted(set(coins)):
            self._notice(name, f"{coin} is traded but not watched: only perpetuals of the first dex are")

    def _notice(self, name: str, text: str, *, grave: bool = False) -> None:
        """Say it to this tracker, and to each one after it."""
        notice = Notice(name, text, grave)
        if notice not in self._notices:
            self._notices[notice] = None
            log.warning("notice", extra=fields(account=name, text=text))
            self._outlet.put(notice)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

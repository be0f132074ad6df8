"""The fill worker: one connection that brings the fills of all accounts, and nothing else.

On every connect, and to each new tracker, it brings each account up to the stream by a backfill, then
follows it. While it waits for an answer it goes on listening: what one account misses must not hold up
the fills of the others.
What it says of a feed: `live` once the stream is acknowledged and the backfill is handed on.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import Heard, Notice
from hlposmon.errors import WireError
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.venues.hyperliquid import HyperliquidInfo
from hlposmon.venues.patience import Patience
from hlposmon.venues.websocket import Feed, Lost, Opened, Said
from hlposmon.wire import hyperliquid as wire
from hlposmon.workers.backfill import RETRY_S, Backfill, Watch
from hlposmon.workers.handing import Handing
from hlposmon.workers.outlet import Outlet
from hlposmon.workers.waiting import wait

log = logging.getLogger(__name__)

ACK_DEADLINE_S = 10.0
# The streams of one account; both are replayed by a snapshot on subscribing.
STREAMS = ("userFills", "userFundings")


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
        self._watches = {account.name: Watch(account) for account in followed}
        self._names = {account.address: account.name for account in followed}
        text = f"its fills are not followed: max_users is {max_users}, as the exchange follows no more"
        notices = [Notice(account.name, text, grave=True) for account in others]
        self._handing = Handing(self._outlet, pulse.name, notices)
        self._repeats = Repeats()
        self._backfill = Backfill(pulse.name, self._info, self._handing, self._repeats)
        self._opened_s = self._told_heard_s = 0.0
        self._limited = False

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
        for name in self._handing.hear() & self._watches.keys():
            self._backfill.interrupt(self._watches[name])

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
        self._opened_s, self._limited = time.monotonic(), False
        self._backfill.connected()
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
            self._backfill.interrupt(watch, reason)

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
                self._backfill.interrupt(watch, "a message was not understood", after_s=RETRY_S)

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
                    self._handing.notice(
                        watch.account.name, f"the exchange refuses its feed: {text}", grave=True
                    )

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
                self._handing.fundings(paid)
            return
        found, others = wire.fills(data.get("fills"), name, watch.account.address)
        if data.get("isSnapshot") is True:
            return  # months of history: what is wanted of it is fetched
        self._handing.not_watched(name, others)
        watch.recent.add(found)
        # Before the backfill they would only look like a gap, and it holds them; but if there is none to
        # be had, a fill that is shown late is worse than a gap that is shown.
        if self._handing.is_welcome and (watch.live or watch.failed):
            self._handing.fills(name, self._pulse.name, found, self._feed.heard_s, whole=watch.live)
        else:
            watch.early += found

    # ------------------------------------------------------------------- within

    def _backfill_due(self) -> None:
        if not self._handing.is_welcome or not self._feed.is_open:
            return
        for watch in self._watches.values():
            ready = len(watch.acked) == len(STREAMS) and not watch.live
            due = ready and time.monotonic() >= watch.due_s and not self._pulse.stopping
            if due and self._backfill.bring(watch):
                self._feed.calm()

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

"""The state worker: the venue's own statement of each account, pushed over a connection for nothing else.

A push costs no request weight and comes about each second, so what no fill tells is seen at once. Where
the exchange refuses the states of all dexes those of the first are asked for, and where it refuses
these too, it is said: REST each interval is left. Pushes conflate: a newer one replaces an older one.
It compares nothing.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import (
    Happened,
    Happening,
    NoticeCode,
    NotWatched,
    Place,
    Statement,
    Welcome,
)
from hlposmon.errors import WireError
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.websocket import Feed, Lost, Opened, Said
from hlposmon.venues.hyperliquid import payloads as wire
from hlposmon.workers.notices import Notices
from hlposmon.workers.outlet import Outlet
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# What is asked for, the best first; the second knows one dex.
CHANNELS = ("allDexsClearinghouseState", "clearinghouseState")
ACK_DEADLINE_S = 5.0
# How often the venue pushes is nowhere said; the marks of what is held move each few seconds.
SILENT_S = 60.0
# How often it is told again what is held on other dexes, nothing included: a tracker that hears no more of
# it asks by REST, and what was traded there is named until this is told after it.
ELSEWHERE_S = 5.0
# At most so often is one account handed on, however often it is pushed.
SPACING_S = 0.4


@dataclass(slots=True)
class _Watch:
    """One account on the present connection: which channel it is asked for by, None when none is left."""

    account: Account
    channel: int | None = 0
    acked: bool = False
    asked_s: float = 0.0
    newest: Statement | None = None
    told_s: float = 0.0
    # When it was pushed last, and whether it held something then: what is flat may be silent.
    pushed_s: float = 0.0
    is_open: bool = True
    elsewhere: tuple[str, ...] | None = None
    elsewhere_due_s: float = 0.0


class StateWorker:
    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        feed: Feed,
        queue: Path,
        ack_s: float = ACK_DEADLINE_S,
        silent_s: float = SILENT_S,
    ) -> None:
        self._pulse, self._feed, self._ack_s, self._silent_s = pulse, feed, ack_s, silent_s
        self._outlet = Outlet(queue, pulse, "state", accounts)
        self._watches = {account.address: _Watch(account) for account in accounts}
        self._names = {account.address: account.name for account in accounts}
        self._waiter = Waiter(pulse, self._outlet, feed)
        self._notices = Notices(self._outlet, pulse.name)
        self._repeats = Repeats()

    def run(self) -> None:
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                self._hear_exchange()
                self._fall_back_if_unheard()
                self._give_up_if_silent()
                self._hand_on()
                self._waiter.wait(self._due_in_s())
        finally:
            self._feed.close()
            self._outlet.close()

    def _hear_tracker(self) -> None:
        if any(isinstance(ask, Welcome) for ask in self._outlet.poll()):
            self._notices.repeat()
            for watch in self._watches.values():
                watch.elsewhere, watch.elsewhere_due_s = None, 0.0

    def _hear_exchange(self) -> None:
        for _ in range(64):
            match self._feed.next():
                case Opened():
                    log.info("states connected", extra=fields(url=self._feed.url))
                    self._outlet.connected(self._feed.opened)
                    for watch in self._watches.values():
                        watch.newest = None
                        self._subscribe(watch, 0)
                case Lost(reason=reason, retry_s=retry_s):
                    self._warn("states lost", reason=reason, retry_s=f"{retry_s:.1f}")
                case Said(raw=raw):
                    self._said(raw)
                    continue
                case None:
                    pass
            break

    def _subscribe(self, watch: _Watch, channel: int) -> None:
        watch.acked, watch.asked_s = False, time.monotonic()
        watch.channel = channel if channel < len(CHANNELS) else None
        if watch.channel is None:
            text = "the exchange pushes no states of it: REST statements only"
            self._notices.say(watch.account.name, NoticeCode.NO_PUSHES, text)
            return
        dex = {"dex": ""} if channel else {}
        self._feed.send(wire.subscription(CHANNELS[channel], user=watch.account.address, **dex))

    def _said(self, raw: bytes) -> None:
        try:
            message = wire.message(raw)
            if message.channel in CHANNELS:
                self._pushed(message)
            elif message.channel == "subscriptionResponse":
                for watch in self._watches.values():
                    if watch.channel is not None:
                        named = CHANNELS[watch.channel], watch.account.address
                        self._acked(watch, message.data, named)
            elif message.channel == "error":
                self._refused(wire.refusal(message.data))
        except WireError as error:
            self._warn("message not understood", reason=error)  # the next push says it all again

    def _acked(self, watch: _Watch, data: object, named: tuple[str, str]) -> None:
        if wire.acknowledges(data, *named):
            watch.acked = True
            self._notices.end(watch.account.name, NoticeCode.NO_PUSHES)

    def _pushed(self, message: wire.Message) -> None:
        found = wire.state_push(
            message.data,
            message.channel,
            self._names,
            heard_s=time.monotonic(),
            now_ms=int(time.time() * 1000),
        )
        if found is None:
            return
        user, statement, others = found
        watch = self._watches[user]
        watch.pushed_s = time.monotonic()
        if statement is not None:
            watch.newest, watch.is_open = statement, bool(statement.positions)
        if message.channel == CHANNELS[0]:
            at_ms = statement.time_ms if statement is not None else 0
            self._tell_elsewhere(watch, at_ms, tuple(others))
        self._feed.calm()

    def _tell_elsewhere(self, watch: _Watch, time_ms: int, coins: tuple[str, ...]) -> None:
        """What is held on other dexes is not watched, and may be why equity moves."""
        now_s = time.monotonic()
        if coins == watch.elsewhere and now_s < watch.elsewhere_due_s:
            return
        name = watch.account.name
        if not self._outlet.put_newest(NotWatched(name, Place.DEXES, coins)):
            return
        is_news = coins != watch.elsewhere
        watch.elsewhere, watch.elsewhere_due_s = coins, now_s + ELSEWHERE_S
        if coins and is_news:  # a drift may name it as its cause
            self._outlet.put(Happened(name, time_ms, Happening.ELSEWHERE, ", ".join(coins)))

    def _refused(self, refusal: wire.Refusal) -> None:
        if refusal.already:
            return
        self._warn("the exchange refused", text=refusal.text)
        for watch in self._watches.values():
            if watch.acked or watch.channel is None or refusal.user not in (None, watch.account.address):
                continue
            # What names no subscription is meant for one that has not been acknowledged: any of them.
            named = refusal.kind in (None, CHANNELS[watch.channel])
            if refusal.limit:
                watch.channel = None
                text = f"the exchange refuses to push its state: {refusal.text}"
                self._notices.say(watch.account.name, NoticeCode.NO_PUSHES, text)
            elif named and refusal.kind is not None:
                self._subscribe(watch, watch.channel + 1)

    def _fall_back_if_unheard(self) -> None:
        if not self._feed.is_open:
            return
        now_s = time.monotonic()
        for watch in self._watches.values():
            if watch.channel is not None and not watch.acked and now_s - watch.asked_s > self._ack_s:
                self._warn("not acknowledged", account=watch.account.name, channel=CHANNELS[watch.channel])
                self._subscribe(watch, watch.channel + 1)

    def _give_up_if_silent(self) -> None:
        """Pongs say that the connection lives, and not that states are pushed on it."""
        now_s = time.monotonic()
        for watch in self._watches.values():
            since_s = max(watch.pushed_s, watch.asked_s)
            expected = self._feed.is_open and watch.channel is not None and watch.acked and watch.is_open
            if expected and now_s - since_s > self._silent_s:
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
            if self._outlet.put_newest(watch.newest):
                watch.newest = None

    def _due_in_s(self) -> float:
        """How long until a state that waits for its turn may be handed on."""
        if self._outlet.fileno() is None:
            return LONGEST_NAP_S
        waiting = (watch.told_s for watch in self._watches.values() if watch.newest is not None)
        return min((told_s + SPACING_S - time.monotonic() for told_s in waiting), default=LONGEST_NAP_S)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

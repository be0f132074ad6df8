"""The three feeds of the port for Hyperliquid: their subscriptions, and the meaning of their messages.

Each has one connection. A feed subscribes when the connection opens, tracks the acknowledgements, and turns
messages into the port's events; the worker decides what to do about them. Source of shapes and refusals: the
exchange's API documentation, WebSocket subscriptions.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from hlposmon.config import Account
from hlposmon.errors import WireError
from hlposmon.system.clock import now_ms
from hlposmon.transport.events import Lost, Opened, Received
from hlposmon.transport.websocket import Feed
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.port import (
    Acknowledged,
    FillEvent,
    NotUnderstood,
    PriceEvent,
    PushedEvents,
    PushedFills,
    PushedFundings,
    PushedPrices,
    PushedState,
    Refused,
    StateEvent,
)

ACK_DEADLINE_S = 10.0
# A state channel that is not acknowledged within this time is replaced by the next best one.
STATE_ACK_DEADLINE_S = 5.0
# The streams of one account. On subscribing, each sends a snapshot of past rows first.
FILLS, FUNDINGS = "userFills", "userFundings"
STREAMS = (FILLS, FUNDINGS)
# The channels that push account states, best first; the second covers one dex only.
STATES = ("allDexsClearinghouseState", "clearinghouseState")
SPOT_STATE = "spotState"
UPDATES = "userNonFundingLedgerUpdates"
# Of what is told on subscribing, only the newest: it reaches back over years.
_OLD_UPDATES = 100
PRICES = "fastAssetCtxs"
# After so many messages in a row that mean no event, return to the caller's loop.
_MOST_MESSAGES = 64

E = TypeVar("E")


class _Feed(ABC, Generic[E]):
    """Turns the messages of one connection into events (implements `port.Connection`). `E` is the type of its
    events other than Opened and Lost."""

    def __init__(self, connection: Feed) -> None:
        self._connection = connection
        self._events: deque[E] = deque()

    @abstractmethod
    def _subscribe(self) -> None:
        """Subscribe to everything, on a new connection."""

    @abstractmethod
    def _read(self, raw: bytes) -> Iterable[E]:
        """The events that a message means, often none."""

    def _check(self) -> Iterable[E | Lost]:
        """Events that time alone causes, such as an overdue acknowledgement."""
        return ()

    def next(self) -> E | Opened | Lost | None:
        if self._events:
            return self._events.popleft()
        for overdue in self._check():
            return overdue
        for _ in range(_MOST_MESSAGES):
            event = self._connection.next()
            if isinstance(event, Received):
                self._events.extend(self._read(event.raw))
                if self._events:
                    return self._events.popleft()
                continue
            if isinstance(event, Opened):
                self._subscribe()
            return event
        return None

    @property
    def url(self) -> str:
        return self._connection.url

    @property
    def is_open(self) -> bool:
        return self._connection.is_open

    @property
    def opened(self) -> int:
        return self._connection.opened

    @property
    def heard_s(self) -> float | None:
        return self._connection.heard_s

    @property
    def has_unread(self) -> bool:
        return bool(self._events) or self._connection.has_unread

    def fileno(self) -> int | None:
        return self._connection.fileno()

    def wait_s(self) -> float:
        return 0.0 if self._events else self._connection.wait_s()

    def lose(self, reason: str) -> Lost:
        self._events.clear()
        return self._connection.lose(reason)

    def reset_backoff(self) -> None:
        self._connection.reset_backoff()

    def close(self) -> None:
        self._connection.close()


class HyperliquidFills(_Feed[FillEvent]):
    """`port.FillFeed`: two streams for each account, fills and funding.

    An account counts as followed when both are acknowledged. If the exchange refuses the funding stream, the
    fill stream is enough, since payments can be requested.
    """

    def __init__(self, connection: Feed, accounts: Sequence[Account]) -> None:
        super().__init__(connection)
        self._accounts = {account.address: account for account in accounts}
        self._opened_s = 0.0
        self._missing: dict[str, set[str]] = {}  # by address: streams that are not acknowledged yet
        self._without: set[str] = set()  # addresses that the exchange will not follow on this connection

    def _subscribe(self) -> None:
        self._opened_s = time.monotonic()
        self._missing = {address: set(STREAMS) for address in self._accounts}
        self._without.clear()
        for address in self._accounts:
            for kind in STREAMS:
                self._connection.send(payloads.subscription(kind, user=address))

    def _check(self) -> Iterable[FillEvent]:
        wanted = self._missing.keys() - self._without
        if not wanted or not self.is_open or time.monotonic() - self._opened_s <= ACK_DEADLINE_S:
            return ()
        pairs = [(address, kind) for address in wanted for kind in self._missing[address]]
        names = ", ".join(sorted(f"{kind} of {self._accounts[address].name}" for address, kind in pairs))
        return (self.lose(f"not acknowledged within {ACK_DEADLINE_S:g} s: {names}"),)

    def _read(self, raw: bytes) -> Iterable[FillEvent]:
        try:
            message = payloads.message(raw)
            if message.channel == FILLS:
                return self._fills(message.data)
            if message.channel == FUNDINGS:
                return self._fundings(message.data)
            if message.channel == "subscriptionResponse":
                return self._acknowledged(message.data)
            if message.channel == "error":
                return self._refused(payloads.refusal(message.data))
        except WireError as error:
            return (NotUnderstood(str(error)),)
        return ()

    def _fills(self, data: Any) -> Iterable[FillEvent]:
        account = self._account_of(data, FILLS)
        # A snapshot may hold months of history; the fills that are needed are fetched by REST instead.
        if account is None or data.get("isSnapshot") is True:
            return ()
        try:
            found = payloads.fills(data.get("fills"), account.name, account.address)
        except WireError as error:
            return (NotUnderstood(str(error), account.name),)
        unread = [one.text for one in found.unread]
        return (PushedFills(account.name, found.fills, found.others, unread),)

    def _fundings(self, data: Any) -> Iterable[FillEvent]:
        account = self._account_of(data, FUNDINGS)
        if account is None:
            return ()
        try:
            payments, unread = payloads.fundings(data.get("fundings"), account.name)
        except WireError as error:
            return (NotUnderstood(str(error), account.name),)
        return (PushedFundings(account.name, payments, unread),)

    def _account_of(self, data: Any, channel: str) -> Account | None:
        """The watched account that the message is about; None for any other address."""
        user = payloads.user_of(data, channel)
        return self._accounts.get(user)

    def _acknowledged(self, data: Any) -> Iterable[FillEvent]:
        for address in list(self._missing):
            for kind in STREAMS:
                if payloads.acknowledges(data, kind, address):
                    yield from self._has(address, kind)

    def _has(self, address: str, kind: str) -> Iterable[FillEvent]:
        """Note that a stream is acknowledged, or not needed; with both, the account is followed."""
        missing = self._missing.get(address)
        if missing is None:
            return
        missing.discard(kind)
        if not missing:
            del self._missing[address]
            yield Acknowledged(self._accounts[address].name)

    def _refused(self, refusal: payloads.Refusal) -> Iterable[FillEvent]:
        """Note which accounts a refusal concerns: the one that it names, or else all that wait for an
        acknowledgement. One that waits for its fill stream is refused if the text names that stream or
        reports a limit. One whose funding stream is refused for any other reason goes on without it."""
        refused: list[str] = []
        followed: list[FillEvent] = []
        for address in list(self._missing):
            if refusal.already or refusal.user not in (None, address):
                continue
            if refusal.kind == FUNDINGS and not refusal.limit:
                followed += self._has(address, FUNDINGS)
            elif (refusal.limit or refusal.kind == FILLS) and FILLS in self._missing[address]:
                refused.append(self._accounts[address].name)
                self._without.add(address)
        return (Refused(refusal.text, tuple(refused)), *followed)


@dataclass(slots=True)
class _Channel:
    """The state channel of one account on the present connection: `index` is its place in STATES, None when
    there is none left to try."""

    account: Account
    index: int | None = 0
    acknowledged: bool = False
    asked_s: float = 0.0


class HyperliquidStates(_Feed[StateEvent]):
    """`port.StateFeed`: the states of all dexes, or of the first dex alone if the exchange refuses those; and
    the balances on spot and the ledger's updates, which may be missing.

    A spot state has no time: it gets that of the account's last state, plus what passed since on this
    machine's clock. One that comes before any state is dropped.
    """

    def __init__(self, connection: Feed, accounts: Sequence[Account]) -> None:
        super().__init__(connection)
        self._channels = {account.address: _Channel(account) for account in accounts}
        self._names = {account.address: account.name for account in accounts}
        # By address, the time of the last state, and when it was heard (monotonic seconds).
        self._stated: dict[str, tuple[int, float]] = {}

    def _subscribe(self) -> None:
        self._stated.clear()
        for channel in self._channels.values():
            self._ask(channel, 0)
        # Behind the states: a refusal for a limit names no subscription, and those are the more important.
        for address in self._channels:
            self._connection.send(payloads.subscription(SPOT_STATE, user=address))
        for address in self._channels:
            self._connection.send(payloads.subscription(UPDATES, user=address))

    def _ask(self, channel: _Channel, index: int) -> bool:
        """Subscribe to the channel at `index` of STATES; False if there is none."""
        channel.acknowledged, channel.asked_s = False, time.monotonic()
        channel.index = index if index < len(STATES) else None
        if channel.index is None:
            return False
        dex = {"dex": ""} if index else {}
        self._connection.send(payloads.subscription(STATES[index], user=channel.account.address, **dex))
        return True

    def _check(self) -> Iterable[StateEvent]:
        if not self.is_open:
            return
        now_s = time.monotonic()
        for channel in self._channels.values():
            waits = channel.index is not None and not channel.acknowledged
            if channel.index is not None and waits and now_s - channel.asked_s > STATE_ACK_DEADLINE_S:
                text = f"{STATES[channel.index]} of {channel.account.name} was not acknowledged"
                self._events.extend(self._ask_next(channel, text))
        if self._events:
            yield self._events.popleft()

    def _ask_next(self, channel: _Channel, text: str) -> Iterable[StateEvent]:
        assert channel.index is not None, "one is asked for"
        asked = self._ask(channel, channel.index + 1)
        return (Refused(text, () if asked else (channel.account.name,)),)

    def _read(self, raw: bytes) -> Iterable[StateEvent]:
        try:
            message = payloads.message(raw)
            if message.channel in STATES:
                return self._pushed(message)
            if message.channel == SPOT_STATE:
                return self._pushed_spot(message.data)
            if message.channel == UPDATES:
                return self._pushed_updates(message.data)
            if message.channel == "subscriptionResponse":
                return self._acknowledged(message.data)
            if message.channel == "error":
                return self._refused(payloads.refusal(message.data))
        except WireError as error:
            return (NotUnderstood(str(error)),)
        return ()

    def _pushed(self, message: payloads.Message) -> Iterable[StateEvent]:
        now_s, at_ms = time.monotonic(), now_ms()
        found = payloads.state_push(message.data, message.channel, self._names, heard_s=now_s, now_ms=at_ms)
        if found is None:
            return ()
        if found.statements:
            self._stated[found.user] = max(said.time_ms for said in found.statements), now_s
        is_whole = message.channel == STATES[0]
        return (PushedState(self._names[found.user], found.statements, found.unread, is_whole),)

    def _pushed_spot(self, data: Any) -> Iterable[StateEvent]:
        user, now_s = payloads.user_of(data, SPOT_STATE), time.monotonic()
        if user not in self._names or user not in self._stated:
            return ()
        time_ms, heard_s = self._stated[user]
        time_ms += round((now_s - heard_s) * 1000)
        name = self._names[user]
        statement = payloads.spot_statement(
            data.get("spotState"), name, time_ms=time_ms, asked_s=now_s, pushed=True
        )
        return (PushedState(name, (statement,)),)

    def _pushed_updates(self, data: Any) -> Iterable[StateEvent]:
        user = payloads.user_of(data, UPDATES)
        if user not in self._names:
            return ()
        events = payloads.account_events(data, self._names[user], user)
        return (PushedEvents(self._names[user], tuple(events[-_OLD_UPDATES:])),) if events else ()

    def _acknowledged(self, data: Any) -> Iterable[StateEvent]:
        for address, channel in self._channels.items():
            if channel.index is not None and payloads.acknowledges(data, STATES[channel.index], address):
                channel.acknowledged = True
                yield Acknowledged(channel.account.name)

    def _refused(self, refusal: payloads.Refusal) -> Iterable[StateEvent]:
        if refusal.already:
            return
        refused: list[str] = []
        for address, channel in self._channels.items():
            if channel.acknowledged or channel.index is None or refusal.user not in (None, address):
                continue
            if refusal.limit:
                channel.index = None
                refused.append(channel.account.name)
            elif refusal.kind == STATES[channel.index] and not self._ask(channel, channel.index + 1):
                refused.append(channel.account.name)
        yield Refused(refusal.text, tuple(refused))


class HyperliquidPrices(_Feed[PriceEvent]):
    """`port.PriceFeed`: one conflated channel has the prices of all dexes."""

    def __init__(self, connection: Feed) -> None:
        super().__init__(connection)
        self._marks = payloads.FastMarks()

    def changed(self) -> tuple[dict[str, Decimal], list[str]]:
        return self._marks.changed()

    def use_pairs(self, pairs: dict[str, str]) -> None:
        self._marks.use_pairs(pairs)

    def forget(self) -> None:
        self._marks.forget()

    def _subscribe(self) -> None:
        self._marks.forget()
        self._connection.send(payloads.subscription(PRICES))

    def _read(self, raw: bytes) -> Iterable[PriceEvent]:
        try:
            message = payloads.message(raw)
            if message.channel == PRICES:
                self._marks.read(message.data)
                return (PushedPrices(),)
        except WireError as error:
            return (NotUnderstood(str(error)),)
        return (Refused(str(message.data)),) if message.channel == "error" else ()

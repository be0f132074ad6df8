"""The workers as thin state machines: they say what the real ones say, and answer what the tracker asks.

Each follows its model in `hlposmon.workers` step by step, with the exchange's answers in the place of its
sockets. What these remember of a connection is the product's own (`workers.replay_buffer`), and how long they
wait before they try again (`pacing`).
"""

import itertools
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hlposmon.domain.reports import (
    REPLAY_OVERLAP_MS,
    AccountMode,
    AccountRole,
    Ask,
    Bell,
    BellReason,
    Collateral,
    FeedState,
    Fetched,
    Fill,
    Fills,
    Following,
    Funding,
    Heard,
    Joined,
    Live,
    Marks,
    NotFetched,
    Place,
    PlaceRead,
    Report,
    Statement,
    StatementsWanted,
    Unlisted,
    Welcome,
)
from hlposmon.pacing import Backoff
from hlposmon.workers.replay_buffer import ReplayBuffer
from tests.simulation.shell import Inbox, Shell

if TYPE_CHECKING:
    from tests.simulation.life import Life

# A connection that says nothing is asked whether it lives, and given up.
PING_S, SILENT_S = 3.0, 8.0
HEARD_SPACING_S = 0.5
LOOK_S, LOOK_OVERLAP_MS, LOOK_PAGES = 20.0, 5_000, 2
SPACING_S = 0.5
PUSH_SPACING_S, OTHERS_S = 0.4, 5.0
ODD_RETRY_S = 1.0
PIECE = 100  # fills that are fetched a report


class Worker:
    """A process that dies and is started again. `number` counts its lives: what was meant for an earlier
    one comes to nothing."""

    kind = ""

    def __init__(self, life: "Life", name: str) -> None:
        self.life, self.name = life, name
        self.number = 0
        self.is_alive = False
        self.inbox: Inbox | None = None

    @property
    def plan(self) -> Any:
        return self.life.plan

    @property
    def dice(self) -> random.Random:
        return self.life.dice

    @property
    def mono_s(self) -> float:
        return self.life.time.mono_s

    def start(self) -> None:
        if self.is_alive:
            return
        self.is_alive = True
        self.number += 1
        self.begins()
        self._meet(self.number)

    def die(self, again_s: float) -> None:
        """Killed; started again after a while."""
        self.is_alive = False
        self.number += 1
        self._leave()
        self.life.time.after(again_s, self.start)

    def begin_anew(self, number: int) -> None:
        """On new settings, unless it has begun anew since."""
        if self.is_alive and number == self.number:
            self.die(self.dice.uniform(0.05, 0.3))

    def tracker_is_gone(self) -> None:
        if self.is_alive:
            self.inbox = None
            self.unwelcome()
            self.later(self.dice.uniform(0.02, 1.0), self._meet, self.number)

    def put(self, report: Report, then_s: float | None = None) -> bool:
        """False when the tracker is gone."""
        if self.inbox is None:
            return False
        self.inbox.waiting.append((report, then_s))
        self.life.wake_tracker()
        return True

    def put_fills(self, name: str, source: str, fills: list[Fill], from_ms: int | None) -> None:
        """As `tracker_link.put_fills`, of what is fetched."""
        for at in range(0, len(fills), PIECE):
            end_ms = from_ms if at + PIECE >= len(fills) else None
            self.put(Fills(name, source, tuple(fills[at : at + PIECE]), from_ms=end_ms))

    def later(self, delay_s: float, act: Callable[..., None], *facts: Any) -> None:
        """In this life of the process only."""
        self.life.time.after(delay_s, self._if_alive, self.number, act, facts)

    def _if_alive(self, number: int, act: Callable[..., None], facts: tuple[Any, ...]) -> None:
        if number == self.number and self.is_alive:
            act(*facts)

    def _meet(self, number: int) -> None:
        """Look for a tracker, each second until there is one."""
        shell: Shell | None = self.life.shell
        if number != self.number or self.inbox is not None:
            return
        if shell is None:
            self.later(self.dice.uniform(0.1, 1.0), self._meet, number)
            return
        self.inbox = inbox = shell.connect(lambda ask: self._hear_of(inbox, ask))
        self.put(Joined(self.name, self.kind, dict(self.life.venue.addresses)))

    def _hear_of(self, inbox: Inbox, ask: Ask) -> None:
        if self.inbox is inbox:  # else it is of a tracker that is gone
            self.hear(ask)

    def _leave(self) -> None:
        if self.inbox is not None:
            self.inbox.has_ended = True
            self.inbox = None
            self.life.wake_tracker()

    # What a kind of worker does.

    def begins(self) -> None: ...

    def hear(self, ask: Ask) -> None: ...

    def unwelcome(self) -> None: ...


@dataclass(slots=True)
class Watch:
    """One account on the present connection, as in `workers.fill`."""

    since_s: float | None = None
    is_told: bool = False
    live: bool = False
    recent: ReplayBuffer = field(default_factory=ReplayBuffer)


class FeedWorker(Worker):
    kind = "fill"

    def __init__(self, life: "Life", name: str) -> None:
        super().__init__(life, name)
        self.watches: dict[str, Watch] = {}  # none before it begins

    def begins(self) -> None:
        self.watches = {name: Watch() for name in self.life.venue.names if name not in self.life.polled}
        self._high_water_ms: dict[str, int | None] | None = None
        self._backoff = Backoff(0.5, 5.0, rng=self.dice.random)
        self.connection = 0  # counts them; what is on its way on an earlier one is lost
        self.is_open = False
        self._heard_s = self._told_heard_s = 0.0
        self._last_s = 0.0  # nothing of this connection comes before that
        self._held_back: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []  # by an outage
        self._connect()
        self._tell_heard()

    # ------------------------------------------------------------------ exchange

    def _connect(self) -> None:
        if self.life.venue.is_away:
            self.later(self._backoff.next(), self._connect)
            return
        self.is_open = True
        self.connection += 1
        self._last_s = self.life.time.s
        for name in self.watches:
            self._arrives(self.dice.uniform(0.02, 0.3), self._acked, name)

    def lose(self, reason: str) -> None:
        """The connection is gone."""
        if not (self.is_alive and self.is_open):
            return
        self.is_open = False
        self.connection += 1
        for name, watch in self.watches.items():
            watch.since_s = None
            self._down(name, watch, reason)
        self.later(self._backoff.next(), self._connect)

    def follows(self, name: str) -> bool:
        return not self.is_alive or name in self.watches

    def send(self, name: str, fills: list[Fill]) -> None:
        """The exchange sends a block on this connection."""
        if name in self.watches:
            self._send(self._on_fills, name, fills)

    def bring(self, delay_s: float, name: str, fills: list[Fill]) -> None:
        """The same, and it is there after so long."""
        if self.is_alive and self.is_open and name in self.watches:
            if self.life.venue.is_away:
                self._held_back.append((self.connection, self._on_fills, (name, fills)))
            else:
                self._arrives(delay_s, self._on_fills, name, fills)

    def hear_late(self) -> None:
        """The outage is over: what was sent on this connection comes now."""
        if not self.is_alive:
            return
        held_back, self._held_back = self._held_back, []
        for connection, act, facts in held_back:
            if connection == self.connection:
                self._arrives(self.dice.uniform(0.001, self.plan.delay_s), act, *facts)

    def send_funding(self, paid: Funding) -> None:
        if self.is_alive and paid.account in self.watches:
            self._send(self._on_funding, paid)

    def _send(self, act: Callable[..., None], *facts: Any) -> None:
        if not (self.is_alive and self.is_open):
            return
        if self.life.venue.is_away:
            self._held_back.append((self.connection, act, facts))
            return
        plan, dice = self.plan, self.dice
        if dice.random() < plan.loss:
            self.life.saw("a feed lost fills")
            self.life.dropped.update(facts[1] if isinstance(facts[-1], list) else ())
            return
        delay_s = dice.uniform(0.001, plan.delay_s)
        in_order = dice.random() >= plan.out_of_order
        for _ in range(2 if dice.random() < plan.twice else 1):
            self._arrives(delay_s, act, *facts, in_order=in_order)

    def _arrives(self, delay_s: float, act: Callable[..., None], *facts: Any, in_order: bool = True) -> None:
        due_s = self.life.time.s + delay_s
        if in_order:
            due_s = self._last_s = max(due_s, self._last_s)
        facts = (self.connection, self.number, act, facts)
        self.life.time.arrives(due_s - self.life.time.s, self._arrived, *facts)

    def _arrived(self, connection: int, number: int, act: Callable[..., None], facts: Any) -> None:
        if (connection, number) == (self.connection, self.number) and self.is_alive:
            self._heard_s = self.mono_s
            act(*facts)

    def _acked(self, name: str) -> None:
        self.watches[name].since_s = self.mono_s
        self._tell_following()

    def _on_fills(self, name: str, fills: list[Fill]) -> None:
        watch = self.watches[name]
        if self.dice.random() < self.plan.unreadable:
            self._follow_anew(name, watch)
            return
        watch.recent.add(fills)
        if self._high_water_ms is not None:
            self.put(Fills(name, self.name, tuple(fills), self.mono_s))

    def _on_funding(self, paid: Funding) -> None:
        for one in self.watches[paid.account].recent.add_fundings([paid]):
            self.put(one)

    def _follow_anew(self, name: str, watch: Watch) -> None:
        """A message was not understood: what came until now is fetched."""
        self.life.saw("a message that was not understood")
        self._down(name, watch, "a message was not understood")
        if watch.since_s is not None:
            watch.since_s = self.mono_s
            self.later(ODD_RETRY_S, self._tell_following)

    def _down(self, name: str, watch: Watch, reason: str) -> None:
        watch.recent.break_off()
        watch.live = watch.is_told = False
        self.put(FeedState(name, self.name, False, self.mono_s, reason))

    # ------------------------------------------------------------------ tracker

    def unwelcome(self) -> None:
        self._high_water_ms = None
        for watch in self.watches.values():
            watch.is_told = watch.live = False

    def hear(self, ask: Ask) -> None:
        if isinstance(ask, Welcome):
            self._high_water_ms = (self._high_water_ms or {}) | ask.high_water_ms
            for name in ask.high_water_ms.keys() & self.watches.keys():
                watch = self.watches[name]
                watch.is_told = watch.live = False
                if watch.since_s is not None:
                    watch.since_s = self.mono_s
            self._tell_following()
        elif isinstance(ask, Live):
            watch = self.watches[ask.account]
            if watch.since_s == ask.since_s:
                watch.recent.mark_known(ask.known_ms)
                watch.live = True
                self._backoff.reset()

    def _tell_following(self) -> None:
        if self._high_water_ms is None:
            return
        for name, watch in self.watches.items():
            if watch.since_s is None or watch.is_told:
                continue
            mark_ms, whole_from_ms = self._high_water_ms.get(name), watch.recent.whole_from_ms
            if mark_ms is not None and whole_from_ms is not None and whole_from_ms <= mark_ms:
                self.life.saw("a feed told a new tracker again")
                again = watch.recent.fills_since(mark_ms - REPLAY_OVERLAP_MS)
                if again:
                    newest_ms = max(fill.time_ms for fill in again)
                    self.put(Fills(name, "again", tuple(again), from_ms=newest_ms + 1))
                for paid in watch.recent.fundings:
                    self.put(paid)
            watch.is_told = self.put(Following(name, self.name, watch.since_s, whole_from_ms))

    def _tell_heard(self) -> None:
        """That something was heard; after some silence a pong is. A connection without any is given up."""
        if self.is_open:
            silent_s = self.mono_s - self._heard_s
            if silent_s >= PING_S and not self.life.venue.is_away:
                self._heard_s = self.mono_s
            elif silent_s > SILENT_S:
                self.lose("no answer to a ping")
            if self._heard_s - self._told_heard_s >= HEARD_SPACING_S:
                self._told_heard_s = self._heard_s
                self.put(Heard(self.name, self._heard_s))
        self.later(1.0, self._tell_heard)


class StateWorker(Worker):
    kind = "state"
    _is_pushed = False

    def begins(self) -> None:
        self._newest: dict[str, dict[str, tuple[Statement, float]]] = {}
        self._told_s: dict[str, float] = {}
        # By account, the dexes of which something was told, or is watched; and what a push leaves to be told
        # of all others: the time of the oldest statement, when it was heard, and when its contents are from.
        self._told: dict[str, set[str]] = {name: {""} for name in self.life.venue.names}
        self._others: dict[str, tuple[int, float, float]] = {}
        self._others_due_s: dict[str, float] = {}
        self._listed: dict[str, int] = {}  # by account, how many rows of its ledger were told
        self._pushed_names = [name for name in self.life.venue.names if name not in self.life.polled]
        self._pushed()

    def hear(self, ask: Ask) -> None:
        if isinstance(ask, Welcome):
            self._others_due_s.clear()
            self._listed.clear()
        elif isinstance(ask, StatementsWanted):
            self._told[ask.account].update(ask.scopes)

    def revive(self) -> None:
        """The exchange pushes from now on, whether or not it did before."""
        if not self._is_pushed and self.is_alive:
            self._pushed()

    def _pushed(self) -> None:
        """The exchange pushes the states of each account."""
        plan, dice = self.plan, self.dice
        self._is_pushed = plan.push_s is not None
        if plan.push_s is None:
            return
        for name in self._pushed_names:
            if not self.life.venue.is_away and dice.random() >= plan.push_loss:
                self._happened(name)
                lag_s = dice.uniform(0.0, plan.push_lag_s)
                found = [
                    self.life.venue.statement(name, dex, lag_s, 0.0, None, pushed=True)
                    for dex in self.life.venue.dexes
                ]
                delay_s = dice.uniform(0.001, plan.delay_s)
                self.life.time.arrives(delay_s, self._if_alive, self.number, self._heard, (name, found))
        self.later(plan.push_s * dice.uniform(0.8, 1.2), self._pushed)

    def _happened(self, name: str) -> None:
        """The exchange tells what its ledger lists that it has not told this process."""
        events = self.life.venue.updates(name)
        for event in events[self._listed.get(name, 0) :]:
            self.life.time.arrives(0.01, self._if_alive, self.number, self.put, (event,))
        self._listed[name] = len(events)

    def _heard(self, name: str, found: list[tuple[Statement, float]]) -> None:
        newest = self._newest.setdefault(name, {})
        for statement, then_s in found:
            if statement.holds_something or statement.scope in self._told[name]:
                newest[statement.scope] = replace(statement, asked_s=self.mono_s), then_s
                self._told[name].add(statement.scope)
        time_ms = min(statement.time_ms for statement, _ in found)
        self._others[name] = time_ms, self.mono_s, min(then_s for _, then_s in found)
        self._hand_on(name)

    def _hand_on(self, name: str) -> None:
        if not self._newest.get(name):
            return
        wait_s = self._told_s.get(name, -1e9) + PUSH_SPACING_S - self.mono_s
        if wait_s > 0:
            self.later(wait_s + 0.001, self._hand_on, name)
            return
        self._told_s[name] = self.mono_s
        for found in self._newest.pop(name).values():
            self.put(*found)
        if name in self._others and self.mono_s >= self._others_due_s.get(name, -1e9):
            time_ms, heard_s, then_s = self._others.pop(name)
            if self.put(PlaceRead(name, Place.DEXES, (), time_ms, heard_s), then_s):
                self._others_due_s[name] = self.mono_s + OTHERS_S


class PriceWorker(Worker):
    kind = "price"

    def begins(self) -> None:
        self.paused_until_s = 0.0
        self._told: dict[str, Any] = {}
        self._batch()

    def hear(self, ask: Ask) -> None:
        if isinstance(ask, Welcome):
            self._told = {}

    def _batch(self) -> None:
        if self.mono_s >= self.paused_until_s and not self.life.venue.is_away:
            prices = self.life.venue.move_marks()
            fresh = {key: price for key, price in prices.items() if self._told.get(key) != price}
            if self.put(Marks(fresh, self.mono_s)):
                self._told = prices
        self.later(self.plan.price_s, self._batch)


class Unavailable(Exception):
    """The exchange did not answer."""


@dataclass(slots=True)
class Round:
    """One account, as in `workers.reconcile`."""

    name: str
    backoff: Backoff
    scopes: tuple[str, ...] = ()
    due_s: float = 0.0
    fills_from_ms: int | None = None
    fetched_to_ms: int | None = None
    is_fetched: bool = False
    looked_ms: int | None = None
    look_due_s: float = 0.0
    asked_s: float = 0.0
    not_before_s: float = 0.0
    stated_ms: int = 0


# How long it waits, and whether a word of the tracker cuts that short.
Waits = Generator[tuple[float, bool], None, Any]


class ReconcileWorker(Worker):
    kind = "reconcile"

    def begins(self) -> None:
        self._rounds = {
            name: Round(name, Backoff(1.0, 4.0, rng=self.dice.random)) for name in self.life.venue.names
        }
        self._polled = self.life.polled
        self._is_welcome = False
        self._dexes_wanted: dict[str, None] = {}
        self._running = self._run()
        self._nap: list[Any] | None = None
        self._go(self.number)

    def _go(self, number: int) -> None:
        if number != self.number:
            return
        delay_s, is_nap = next(self._running)
        event = self.life.time.after(delay_s, self._go, number)
        self._nap = event if is_nap else None

    def _wake(self) -> None:
        if self._nap is not None:
            self.life.time.cancel(self._nap)
            self._nap = None
            self._go(self.number)

    def unwelcome(self) -> None:
        self._is_welcome = False

    def hear(self, ask: Ask) -> None:
        if isinstance(ask, Welcome):
            self._welcomed(ask)
        elif isinstance(ask, Bell):
            self._rung(ask)
        elif isinstance(ask, StatementsWanted):
            self._rounds[ask.account].scopes = ask.scopes
        self._wake()

    def _welcomed(self, welcome: Welcome) -> None:
        self._is_welcome = True
        for name, round_ in self._rounds.items():
            round_.due_s = 0.0
            if name in welcome.high_water_ms:
                round_.fills_from_ms = round_.fetched_to_ms = None
            self.put(AccountMode(name, "default", plain=True))
            self.put(AccountRole(name, "user"))
            self.put(PlaceRead(name, Place.SPOT, ()))
        for dex in self.life.venue.dexes[1:]:
            self.put(Collateral(dex, "USDC"))

    def _rung(self, bell: Bell) -> None:
        round_ = self._rounds[bell.account]
        soonest_s = max(self.mono_s, round_.asked_s + SPACING_S, round_.not_before_s)
        round_.due_s = min(round_.due_s, soonest_s)
        if bell.reason is BellReason.MODE:
            self.put(AccountMode(bell.account, "default", plain=True))
        elif bell.reason is BellReason.NOT_WATCHED:
            self._dexes_wanted[bell.account] = None
        wanted = round_.fills_from_ms
        if bell.since_ms is not None:
            round_.is_fetched = False
        if bell.since_ms is not None and (wanted is None or bell.since_ms < wanted):
            round_.fills_from_ms, round_.fetched_to_ms = bell.since_ms, None

    # ------------------------------------------------------------------ its work

    def _run(self) -> Waits:
        while True:
            for round_ in self._rounds.values():
                if self._is_welcome and self.mono_s >= round_.due_s:
                    yield from self._ask(round_)
            if self._is_welcome and self._dexes_wanted:
                yield from self._look_at_dexes(next(iter(self._dexes_wanted)))
            due_s = min(round_.due_s for round_ in self._rounds.values())
            yield min(60.0, max(0.001, due_s - self.mono_s)) if self._is_welcome else 1.0, True

    def _ask(self, round_: Round) -> Waits:
        since_ms = yield from self._fetch(round_)
        try:
            round_.asked_s = asked_s = self.mono_s
            yield from self._request()
            lag_s = self.dice.uniform(0.0, self.plan.answer_lag_s)
            statement, then_s = self.life.venue.statement(
                round_.name, "", lag_s, asked_s, since_ms, pushed=False
            )
            yield self.dice.uniform(0.001, self.plan.answer_delay_s), False
        except Unavailable:
            round_.is_fetched |= since_ms is not None and since_ms == round_.fills_from_ms
            self._again(round_)
            return
        round_.is_fetched = False
        round_.stated_ms = statement.time_ms
        if round_.fills_from_ms is not None and since_ms is None:
            self._again(round_)
        else:
            round_.backoff.reset()
            is_polled = round_.name in self._polled
            round_.due_s = float("inf") if is_polled else self.mono_s + self.plan.interval_s
        if self.put(statement, then_s):
            if round_.looked_ms is None:
                round_.look_due_s = self.mono_s + LOOK_S
            if round_.looked_ms is None or (since_ms is not None and since_ms <= round_.looked_ms):
                round_.looked_ms = statement.time_ms
            if since_ms is not None and since_ms == round_.fills_from_ms:
                round_.fills_from_ms = round_.fetched_to_ms = None
        for dex in round_.scopes:
            try:
                found = yield from self._statement_of(round_.name, dex, since_ms)
            except Unavailable:
                continue
            self.put(*found)

    def _statement_of(self, name: str, dex: str, since_ms: int | None) -> Waits:
        asked_s = self.mono_s
        yield from self._request()
        lag_s = self.dice.uniform(0.0, self.plan.answer_lag_s)
        found = self.life.venue.statement(name, dex, lag_s, asked_s, since_ms, pushed=False)
        yield self.dice.uniform(0.001, self.plan.answer_delay_s), False
        return found

    def _look_at_dexes(self, name: str) -> Waits:
        """Ask every other dex; one that cannot be had leaves all to be asked again."""
        asked_s, found = self.mono_s, []
        try:
            for dex in self.life.venue.dexes[1:]:
                found.append((yield from self._statement_of(name, dex, None)))
        except Unavailable:
            yield 1.0, False
            return
        del self._dexes_wanted[name]
        for one in found:
            if one[0].holds_something:
                self.put(*one)
        time_ms, then_s = min(one.time_ms for one, _ in found), min(then_s for _, then_s in found)
        self.put(PlaceRead(name, Place.DEXES, (), time_ms, asked_s), then_s)

    def _again(self, round_: Round) -> None:
        wait_s = min(round_.backoff.next(), self.plan.interval_s)
        round_.due_s = round_.not_before_s = self.mono_s + wait_s

    def _request(self) -> Waits:
        """On its way there; lost where nothing answers."""
        yield self.dice.uniform(0.001, self.plan.answer_delay_s), False
        venue = self.life.venue
        is_silent = venue.is_away or self.life.time.s < venue.silent_until_s
        if is_silent or self.dice.random() < self.plan.answer_loss:
            self.life.saw("an answer was lost")
            yield self.dice.uniform(0.1, 2.0), False
            raise Unavailable

    def _fetch(self, round_: Round) -> Waits:
        """Fetch and hand on the fills that are wanted; since when, or None if not all could be had."""
        try:
            if round_.is_fetched:
                return None
            if round_.fills_from_ms is not None:
                return (yield from self._fetch_wanted(round_, round_.fills_from_ms))
            if round_.name in self._polled:
                return None
            if round_.looked_ms is not None and self.mono_s >= round_.look_due_s:
                round_.look_due_s = self.mono_s + LOOK_S
                since_ms = max(0, round_.looked_ms - LOOK_OVERLAP_MS)
                asked_s = yield from self._pages(round_, since_ms, since_ms, LOOK_PAGES)
                self.life.saw("a look at the fills without a bell")
                if asked_s is None:
                    round_.looked_ms = max(round_.looked_ms, round_.stated_ms)
                    return None
                return since_ms
        except Unavailable:
            if round_.fills_from_ms is not None:
                self.put(NotFetched(round_.name, "the exchange did not answer"))
        return None

    def _fetch_wanted(self, round_: Round, since_ms: int) -> Waits:
        asked_s = yield from self._pages(round_, since_ms, round_.fetched_to_ms or since_ms)
        if self.inbox is None:
            return None
        self.put(Fetched(round_.name, since_ms, asked_s))
        for event in self.life.venue.updates(round_.name, since_ms):
            self.put(event)
        return since_ms

    def _pages(self, round_: Round, from_ms: int, at_ms: int, most: int | None = None) -> Waits:
        """Page after page from `at_ms` on, each from the last time of the one before; when the last one was
        asked for, None where there are more than `most`. With the last all since `from_ms` are told."""
        for _ in itertools.count() if most is None else range(most):
            asked_s = self.mono_s
            yield from self._request()
            found, hole = self.life.venue.since(round_.name, at_ms)
            page = _whole_blocks(found, self.plan.page)
            fundings = [one for one in self.life.venue.fundings[round_.name] if one.time_ms >= from_ms]
            yield self.dice.uniform(0.001, self.plan.answer_delay_s), False
            if hole is not None:
                self.put(Unlisted(round_.name, *hole))
            is_last = len(page) == len(found)
            self.put_fills(round_.name, "fetch", page, from_ms if is_last else None)
            if is_last:
                for paid in fundings:
                    self.put(paid)
                return asked_s
            if self.inbox is None:
                return asked_s
            at_ms = page[-1].time_ms
            if most is None:
                round_.fetched_to_ms = at_ms
        return None


def _whole_blocks(fills: list[Fill], most: int) -> list[Fill]:
    """The first so many, whole milliseconds, and at least two of these, so that the next page goes on."""
    if len(fills) <= most:
        return fills
    last_ms, first_ms = fills[most].time_ms, fills[0].time_ms
    if last_ms == first_ms:
        last_ms = next((fill.time_ms for fill in fills if fill.time_ms > first_ms), first_ms)
    return [fill for fill in fills if fill.time_ms <= last_ms]

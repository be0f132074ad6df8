"""The state worker: receives the venue's pushed statement of each account over a connection of its own.

A push costs no request weight and comes about every second, so changes that no fill shows are seen at once.
If the venue refuses to push an account, the worker sends a notice; statements by REST each interval remain.
Pushes conflate: a newer one replaces an older one. Of the dexes, the first is reported always, and another
one if it holds something, if it just has, or if the tracker watches it; that all others hold nothing is
reported every few seconds. The worker compares nothing.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import (
    AccountEvent,
    NoticeCode,
    Place,
    PlaceRead,
    Statement,
    StatementsWanted,
    Welcome,
)
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.transport.events import Lost, Opened
from hlposmon.venues.port import Acknowledged, NotUnderstood, PushedEvents, PushedState, Refused, Venue
from hlposmon.workers.notices import Notices
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter

log = logging.getLogger(__name__)

# The push rate is undocumented; the marks of held coins move every few seconds.
SILENT_S = 60.0
# How often it is repeated that nothing is held elsewhere: a tracker that hears nothing asks by REST.
OTHERS_S = 5.0
# Shortest time between two reports of one account, however often it is pushed.
SPACING_S = 0.4
# Events of an account that are told again to a new tracker.
KEPT_EVENTS = 100


@dataclass(slots=True)
class _Watch:
    """One account on the current connection, in monotonic seconds. `acked_s` is when the venue acknowledged
    the subscription; `newest` are the statements that are not reported yet, by scope, and `told_s` is when
    one was last reported. `told` are the scopes of which something was reported, or is watched."""

    account: Account
    acked_s: float | None = None
    newest: dict[str, Statement] = field(default_factory=dict)
    told_s: float = 0.0
    told: set[str] = field(default_factory=set)
    # The unreadable dexes of the last push that had all dexes, None before one, and when its statements were
    # taken at the earliest: said once they are reported.
    others: tuple[str, ...] | None = None
    others_ms: int = 0
    others_s: float = 0.0
    # Time of the last push, and whether it held positions: a flat account may be silent.
    pushed_s: float = 0.0
    is_open: bool = True
    others_due_s: float = 0.0
    # The newest events, for the next tracker.
    events: list[AccountEvent] = field(default_factory=list)


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
        for ask in self._link.poll():
            if isinstance(ask, Welcome):
                self._notices.repeat()
                for watch in self._watches.values():
                    watch.others_due_s = 0.0
                    for event in watch.events:
                        self._link.put(event)
            elif isinstance(ask, StatementsWanted) and ask.account in self._watches:
                self._watches[ask.account].told.update(ask.scopes)

    def _hear_venue(self) -> None:
        for _ in range(64):
            match self._feed.next():
                case PushedState() as pushed:
                    self._pushed(pushed)
                case PushedEvents(account=name, events=events):
                    self._happened(name, events)
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
            watch.newest.clear()
            watch.acked_s = watch.others = None

    def _refused(self, refused: Refused) -> None:
        self._warn("the exchange refused", text=refused.text)
        for name in refused.accounts:
            text = f"the exchange refuses to push its state, REST statements only: {refused.text}"
            self._notices.say(name, NoticeCode.NO_PUSHES, text)

    def _happened(self, name: str, events: Sequence[AccountEvent]) -> None:
        """Report events, the newest of them again to each new tracker. It books each of them once."""
        watch = self._watches[name]
        watch.events = [*watch.events, *events][-KEPT_EVENTS:]
        for event in events:
            self._link.put(event)

    def _pushed(self, pushed: PushedState) -> None:
        watch, now_s = self._watches[pushed.account], time.monotonic()
        for statement in pushed.statements:
            scope = statement.scope
            if statement.holds_something or not scope or scope in watch.told:
                watch.newest[scope] = statement
                watch.told.add(scope)
        if all(statement.scope == SPOT for statement in pushed.statements):
            return  # tokens only: positions may have fallen silent all the same
        watch.pushed_s = now_s
        watch.is_open = any(statement.positions for statement in pushed.statements)
        if pushed.is_whole and pushed.statements:
            watch.others, watch.others_s = pushed.unread, now_s
            watch.others_ms = min(statement.time_ms for statement in pushed.statements)
        self._feed.reset_backoff()

    def _tell_others(self, watch: _Watch) -> None:
        """Report that the dexes of which no statement was reported hold nothing, and those of which that
        cannot be said."""
        now_s = time.monotonic()
        if watch.others is None or watch.newest or now_s < watch.others_due_s:
            return
        name, time_ms, heard_s = watch.account.name, watch.others_ms, watch.others_s
        told = PlaceRead(name, Place.DEXES, watch.others, time_ms, heard_s)
        if self._link.put_newest(told):
            watch.others, watch.others_due_s = None, now_s + OTHERS_S

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
            if not watch.newest or now_s - watch.told_s < SPACING_S:
                continue
            watch.told_s = now_s
            for scope, statement in list(watch.newest.items()):
                if self._link.put_newest(statement):
                    del watch.newest[scope]
            self._tell_others(watch)

    def _due_in_s(self) -> float:
        """Seconds until a statement held back by SPACING_S may be reported."""
        if self._link.fileno() is None:
            return LONGEST_NAP_S
        waiting = (watch.told_s for watch in self._watches.values() if watch.newest)
        return min((told_s + SPACING_S - time.monotonic() for told_s in waiting), default=LONGEST_NAP_S)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

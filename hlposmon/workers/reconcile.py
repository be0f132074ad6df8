"""The reconcile worker: asks for the venue's own statement of each account and hands it on.

Every interval, at start, and early when the tracker rings: then all fills since the time that the
bell names are fetched and handed on first, so that the statement behind them can be held against
them. Once a minute the fills since the last look are fetched anyway: a round trip that no stream brought
leaves every size as it was, and only the list of fills can tell. It compares nothing.
"""

import logging
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Account
from hlposmon.domain.reports import Bell, Fills, Notice
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.pacing import Backoff
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.supervision.loop import Pulse
from hlposmon.venues.hyperliquid import HyperliquidInfo, Page
from hlposmon.workers.outlet import Outlet

log = logging.getLogger(__name__)

# Statements of one account are not asked for more often than this, however the bell rings.
SPACING_S = 0.5
PIECE_FILLS = 100
# How often the fills since the last look are fetched, and how far that reaches back over it.
LOOK_S = 60.0
OVERLAP_MS = 5_000
IDENTIFY_S = 20.0


@dataclass(slots=True)
class _Round:
    """When an account is due, and from when fills are wanted with it."""

    account: Account
    due_s: float
    backoff: Backoff
    fills_from_ms: int | None = None
    fetched_to_ms: int | None = None
    looked_ms: int | None = None
    look_due_s: float = 0.0
    asked_s: float = 0.0
    not_before_s: float = 0.0
    identified: bool = False
    notice: Notice | None = None


class ReconcileWorker:
    def __init__(
        self,
        pulse: Pulse,
        *,
        accounts: Sequence[Account],
        interval_s: float,
        info: HyperliquidInfo,
        queue: Path,
        look_s: float = LOOK_S,
    ) -> None:
        self._pulse, self._info, self._interval_s, self._look_s = pulse, info, interval_s, look_s
        self._outlet = Outlet(queue, pulse, "reconcile")
        self._welcomed = False
        self._identify_due_s = 0.0
        self._rounds = {account.name: _Round(account, 0.0, Backoff(1.0, 15.0)) for account in accounts}
        self._repeats = Repeats()

    def run(self) -> None:
        try:
            while not self._pulse.stopping:
                self._pulse.beat()
                self._hear_tracker()
                for round_ in self._rounds.values():
                    if time.monotonic() >= round_.due_s and not self._pulse.stopping:
                        self._ask(round_)
                self._identify_one()
                self._wait()
        finally:
            self._info.close()
            self._outlet.close()

    def _hear_tracker(self) -> None:
        for ask in self._outlet.poll():
            if not isinstance(ask, Bell):
                self._welcomed = True
                for round_ in self._rounds.values():  # a new tracker: it needs a statement now
                    round_.due_s = 0.0
                    if round_.notice is not None:
                        self._outlet.put(round_.notice)
                continue
            rung = self._rounds.get(ask.account)
            if rung is not None:
                # However it rings, what failed is tried again in its own time.
                earliest_s = max(time.monotonic() + ask.delay_s, rung.asked_s + SPACING_S, rung.not_before_s)
                rung.due_s = min(rung.due_s, earliest_s)
                wanted = rung.fills_from_ms
                if ask.since_ms is not None and (wanted is None or ask.since_ms < wanted):
                    rung.fills_from_ms, rung.fetched_to_ms = ask.since_ms, None
                log.info(
                    "asked early", extra=fields(account=ask.account, reason=ask.reason, delay_s=ask.delay_s)
                )

        if self._outlet.fileno() is None:
            self._welcomed = False

    def _ask(self, round_: _Round) -> None:
        account = round_.account
        if not self._welcomed:
            return  # nobody to tell
        since_ms = self._fetch(round_)
        try:
            round_.asked_s = asked_s = time.monotonic()
            statement = self._info.statement(
                account, asked_s=asked_s, now_ms=int(time.time() * 1000), fills_from_ms=since_ms
            )
        except (VenueUnavailable, VenueRefused, WireError) as error:
            round_.due_s = time.monotonic() + min(round_.backoff.next(), self._interval_s)
            round_.not_before_s = round_.due_s
            self._warn("no statement", account=account.name, reason=error)
            return
        if round_.fills_from_ms is not None and since_ms is None:
            # Fills that are wanted still are asked for again soon; the statement did not wait for them.
            round_.due_s = time.monotonic() + min(round_.backoff.next(), self._interval_s)
            round_.not_before_s = round_.due_s
        else:
            round_.backoff.reset()
            round_.due_s = time.monotonic() + self._interval_s
        if self._outlet.put(statement):
            if round_.looked_ms is None:
                round_.look_due_s = time.monotonic() + self._look_s
            if since_ms is not None or round_.looked_ms is None:
                round_.looked_ms = statement.time_ms
            if since_ms is not None and since_ms == round_.fills_from_ms:
                round_.fills_from_ms = round_.fetched_to_ms = None

    def _fetch(self, round_: _Round) -> int | None:
        """Fetch and hand on the fills that are wanted; since when, or None if not all could be had.

        How far it came is kept, so that a long fetch does not begin anew each time that it is broken off.
        """
        try:
            if round_.fills_from_ms is not None:
                return self._fetch_all(round_, round_.fills_from_ms)
            if round_.looked_ms is not None and time.monotonic() >= round_.look_due_s:
                round_.look_due_s = time.monotonic() + self._look_s
                return self._look(round_, max(0, round_.looked_ms - OVERLAP_MS))
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("fills not fetched", account=round_.account.name, reason=error)
        return None

    def _fetch_all(self, round_: _Round, since_ms: int) -> int:
        count = 0
        for page in self._info.fills_since(round_.account, round_.fetched_to_ms or since_ms):
            count += len(page.fills)
            self._hand_on(round_, page)
            if page.fills:
                round_.fetched_to_ms = page.fills[-1].time_ms
        log.info("fills fetched", extra=fields(account=round_.account.name, since_ms=since_ms, fills=count))
        return since_ms

    def _look(self, round_: _Round, since_ms: int) -> int | None:
        """One page: of an account that trades more than that a minute, a look would cost too much."""
        page = next(self._info.fills_since(round_.account, since_ms))
        self._hand_on(round_, page)
        return since_ms if page.last else None

    def _hand_on(self, round_: _Round, page: Page) -> None:
        for at in range(0, len(page.fills), PIECE_FILLS):
            self._outlet.put(Fills(round_.account.name, "fetch", page.fills[at : at + PIECE_FILLS]))

    def _identify_one(self) -> None:
        """One account now and then: asking for a role is thirty times as dear as for a statement."""
        if not self._welcomed or time.monotonic() < self._identify_due_s:
            return
        for round_ in self._rounds.values():
            if not round_.identified and round_.asked_s:
                self._identify_due_s = time.monotonic() + IDENTIFY_S
                self._identify(round_)
                return

    def _identify(self, round_: _Round) -> None:
        """Once: an address that the exchange does not know, or an agent's, answers as an empty account."""
        account = round_.account
        try:
            role, owner = self._info.role(account)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("role not known", account=account.name, reason=error)
            return
        text = None
        if role == "missing":
            text = f"the exchange does not know the address {account.address}: is it the right one?"
        elif role == "agent":
            text = f"{account.address} is an agent's (API wallet): watch its account {owner} instead"
        round_.identified = True
        if text is not None:
            log.warning("address", extra=fields(account=account.name, notice=text))
            round_.notice = Notice(account.name, text, grave=True)
            self._outlet.put(round_.notice)

    def _warn(self, message: str, **values: object) -> None:
        self._repeats.log(log, logging.WARNING, message, now=time.monotonic(), **values)

    def _wait(self) -> None:
        now_s = time.monotonic()
        due_s = min((round_.due_s for round_ in self._rounds.values()), default=now_s + 1)
        poller = select.poll()
        for fd in (self._pulse.wake_fd, self._outlet.fileno()):
            if fd is not None:
                poller.register(fd, select.POLLIN)
        # With nobody to tell, what is due waits for somebody.
        wait_s = max(0.0, min(due_s - now_s, 0.5)) if self._welcomed else 0.1
        poller.poll(wait_s * 1000)
        self._pulse.drain_wake()

"""The reconcile worker: asks for the venue's own statement of each account and hands it on.

Every interval, at start, and early when the tracker rings: then all fills since the time that the
bell names are fetched and handed on first, so that the statement behind them can be held against
them. It compares nothing.
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
from hlposmon.venues.hyperliquid import HyperliquidInfo
from hlposmon.workers.outlet import Outlet

log = logging.getLogger(__name__)

# Statements of one account are not asked for more often than this, however the bell rings.
SPACING_S = 0.5
PIECE_FILLS = 100


@dataclass(slots=True)
class _Round:
    """When an account is due, and from when fills are wanted with it."""

    account: Account
    due_s: float
    backoff: Backoff
    fills_from_ms: int | None = None
    asked_s: float = 0.0
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
    ) -> None:
        self._pulse, self._info, self._interval_s = pulse, info, interval_s
        self._outlet = Outlet(queue, pulse, "reconcile")
        self._welcomed = False
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
                rung.due_s = min(rung.due_s, max(time.monotonic() + ask.delay_s, rung.asked_s + SPACING_S))
                wanted = rung.fills_from_ms
                if ask.since_ms is not None:
                    rung.fills_from_ms = ask.since_ms if wanted is None else min(wanted, ask.since_ms)
                log.info(
                    "asked early", extra=fields(account=ask.account, reason=ask.reason, delay_s=ask.delay_s)
                )

        if self._outlet.fileno() is None:
            self._welcomed = False

    def _ask(self, round_: _Round) -> None:
        account = round_.account
        if not self._welcomed:
            return  # nobody to tell
        try:
            since_ms = self._fetch(round_)
            round_.asked_s = asked_s = time.monotonic()
            statement = self._info.statement(
                account, asked_s=asked_s, now_ms=int(time.time() * 1000), fills_from_ms=since_ms
            )
        except (VenueUnavailable, VenueRefused, WireError) as error:
            round_.due_s = time.monotonic() + min(round_.backoff.next(), self._interval_s)
            self._warn("no statement", account=account.name, reason=error)
            return
        round_.backoff.reset()
        round_.due_s = time.monotonic() + self._interval_s
        if self._outlet.put(statement) and since_ms == round_.fills_from_ms:
            round_.fills_from_ms = None
        self._identify(round_)

    def _fetch(self, round_: _Round) -> int | None:
        """Fetch and hand on the fills that a bell asked for; since when."""
        since_ms = round_.fills_from_ms
        if since_ms is None:
            return None
        count = 0
        for page in self._info.fills_since(round_.account, since_ms):
            count += len(page.fills)
            for at in range(0, len(page.fills), PIECE_FILLS):
                self._outlet.put(Fills(round_.account.name, "fetch", page.fills[at : at + PIECE_FILLS]))
        log.info("fills fetched", extra=fields(account=round_.account.name, since_ms=since_ms, fills=count))
        return since_ms

    def _identify(self, round_: _Round) -> None:
        """Once: an address that the exchange does not know, or an agent's, answers as an empty account."""
        if round_.identified:
            return
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

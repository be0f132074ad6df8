"""Finds what an account holds beyond the scopes that are watched: on spot, and on other dexes.

Spot is requested with the statements. The states of other dexes reach the state worker by push, at no request
weight. Only where no push brings them does the tracker send a Bell, and each dex is asked in turn; the
statement of one on which something is held is reported, and the tracker watches it from then on.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from hlposmon.config import Account
from hlposmon.domain.reports import Collateral, NoticeCode, Place, PlaceRead
from hlposmon.errors import RequestNotKnown, VenueRefused, VenueUnavailable, WireError
from hlposmon.pacing import Backoff
from hlposmon.supervision.logs import Repeats
from hlposmon.system.clock import now_ms
from hlposmon.venues.port import Client
from hlposmon.workers.notices import Notices
from hlposmon.workers.tracker_link import TrackerLink

log = logging.getLogger(__name__)

# New dexes appear without notice.
DEXES_S = 3600.0
AGAIN_S = 5.0


@dataclass(slots=True)
class _Looks:
    """The pending requests for one account. `dexes` are those still to be asked; None while no Bell asked for
    them. `unread` are those asked so far that gave no answer that can be read; the answers were of `time_ms`
    (the venue's clock) and asked for at `asked_s` (monotonic seconds) at the earliest."""

    account: Account
    spot_due_s: float = 0.0
    dexes: list[str] | None = None
    unread: list[str] = field(default_factory=list)
    time_ms: int | None = None
    asked_s: float | None = None


class OtherMarkets:
    """Requests what the accounts of one worker hold on spot and on other dexes. `interval_s` is that of the
    statements."""

    def __init__(
        self,
        accounts: Iterable[Account],
        client: Client,
        link: TrackerLink,
        notices: Notices,
        repeats: Repeats,
        *,
        interval_s: float,
    ) -> None:
        self._client, self._link, self._notices, self._repeats = client, link, notices, repeats
        self._of = {account.name: _Looks(account) for account in accounts}
        self._interval_s = interval_s
        self._collateral: dict[str, Collateral] = {}
        self._collateral_backoff, self._collateral_due_s = Backoff(AGAIN_S, DEXES_S), 0.0
        self._collateral_wanted: dict[str, None] = {}  # the dexes whose token is to be requested
        self._dexes: list[str] = []
        self._dexes_due_s = self._again_s = 0.0

    def welcome(self) -> None:
        """Report the known tokens to a new tracker, and ask for what is held on spot again."""
        for collateral in self._collateral.values():
            self._link.put(collateral)
        for one in self._of.values():
            one.spot_due_s = 0.0

    def want_collateral(self, dexes: Iterable[str]) -> None:
        """Schedule a request for the token of each of these dexes, unless it is known."""
        self._collateral_wanted |= dict.fromkeys(dex for dex in dexes if dex not in self._collateral)

    def rung(self, account: str, *, dexes: bool) -> None:
        """Schedule a request for what an account holds on spot, and with `dexes` also on other dexes."""
        one = self._of[account]
        one.spot_due_s = 0.0
        if dexes and one.dexes is None:
            one.dexes, one.unread, one.time_ms, one.asked_s = self._all_dexes(), [], None, None

    def look_at_spot(self, account: Account, time_ms: int) -> None:
        """Request and report the balances on spot if they are due; a failed request is repeated next time.

        The answer has no time of its own: `time_ms` is that of a statement that was just answered.
        """
        one, now_s = self._of[account.name], time.monotonic()
        if now_s < one.spot_due_s:
            return
        name = account.name
        try:
            self._link.put(self._client.spot(account, asked_s=now_s, time_ms=time_ms))
            self._notices.end(name, NoticeCode.HOLDINGS_UNKNOWN)
            unknown: tuple[str, ...] = ()
        except RequestNotKnown as error:
            text = f"this server knows no spot, so what it holds there is not known: {error}"
            self._notices.say(name, NoticeCode.HOLDINGS_UNKNOWN, text)
            unknown = ("its balances on spot",)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn(name, error)
            return
        # A little less: the next round may be asked for with less before it than this one.
        one.spot_due_s = now_s + 0.9 * self._interval_s
        self._link.put(PlaceRead(name, Place.SPOT, unknown))

    def ask_one(self) -> bool:
        """Ask for the token of one dex, or one dex for one account; return False if there was nothing to do.

        A dex that refuses or answers nonsense is reported by its name. If the venue is unavailable, the
        same dex is asked again after AGAIN_S.
        """
        if time.monotonic() < self._again_s:
            return False
        if self._collateral_wanted and time.monotonic() >= self._collateral_due_s:
            self._ask_collateral(next(iter(self._collateral_wanted)))
            return True
        one = next((one for one in self._of.values() if one.dexes is not None), None)
        if one is None or one.dexes is None:
            return False
        if one.dexes:
            try:
                self._ask(one, one.dexes[-1])
            except VenueUnavailable as error:
                self._warn(one.account.name, error)
                self._again_s = time.monotonic() + AGAIN_S
                return True
            one.dexes.pop()
        if not one.dexes:
            one.dexes = None
            unread = tuple(sorted(one.unread))
            time_ms, asked_s = one.time_ms or 0, one.asked_s
            self._link.put(PlaceRead(one.account.name, Place.DEXES, unread, time_ms, asked_s))
        return True

    def _ask_collateral(self, dex: str) -> None:
        """Ask for the token of a dex and report it. One that cannot be had is asked for again after a while,
        behind the others."""
        del self._collateral_wanted[dex]
        try:
            found = self._collateral[dex] = Collateral(dex, self._client.collateral(dex))
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn("", error)
            self._collateral_wanted[dex] = None
            self._collateral_due_s = time.monotonic() + self._collateral_backoff.next()
            return
        self._collateral_backoff.reset()
        self._link.put(found)

    def _ask(self, one: _Looks, dex: str) -> None:
        """Ask one dex; report its statement if it holds something. Raises VenueUnavailable."""
        asked_s = time.monotonic()
        try:
            said = self._client.statement(one.account, scope=dex, asked_s=asked_s, now_ms=now_ms())
        except (VenueRefused, WireError) as error:
            self._warn(one.account.name, error)
            one.unread.append(dex)
            return
        if one.asked_s is None:
            one.asked_s = asked_s
        one.time_ms = said.time_ms if one.time_ms is None else min(one.time_ms, said.time_ms)
        if said.holds_something:
            self._link.put(said)

    def _all_dexes(self) -> list[str] | None:
        """All dexes but the first; None if the request fails, empty if the server does not know it."""
        now_s = time.monotonic()
        if now_s >= self._dexes_due_s:
            try:
                self._dexes = self._client.dexes()
            except RequestNotKnown:
                self._dexes = []
            except (VenueUnavailable, VenueRefused, WireError) as error:
                self._warn("", error)
                return None
            self._dexes_due_s = now_s + DEXES_S
        return list(self._dexes)

    def _warn(self, account: str, error: Exception) -> None:
        self._repeats.log(
            log, logging.WARNING, "not looked at what else it holds", now=time.monotonic(), account=account,
            reason=error,
        )  # fmt: skip

"""Finds what an account holds that is not watched: on spot, and on other dexes.

Spot is requested with the statements. The states of other dexes reach the state worker by push, at no request
weight. Only where no push brings them does the tracker send a Bell, and each dex is asked in turn.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from hlposmon.config import Account
from hlposmon.domain.reports import NoticeCode, NotWatched, Place
from hlposmon.errors import RequestNotKnown, VenueRefused, VenueUnavailable, WireError
from hlposmon.supervision.logs import Repeats
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
    them. `coins` are the coins found on the dexes asked so far."""

    account: Account
    spot_due_s: float = 0.0
    spot: NotWatched | None = None
    dexes: list[str] | None = None
    coins: list[str] = field(default_factory=list)


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
        self._dexes: list[str] = []
        self._dexes_due_s = self._again_s = 0.0

    def welcome(self) -> None:
        """Report the last known spot holdings to a new tracker."""
        for one in self._of.values():
            if one.spot is not None:
                self._link.put(one.spot)

    def rung(self, account: str, *, dexes: bool) -> None:
        """Schedule a request for what an account holds on spot, and with `dexes` also on other dexes."""
        one = self._of[account]
        one.spot_due_s = 0.0
        if dexes and one.dexes is None:
            one.dexes, one.coins = self._all_dexes(), []

    def look_at_spot(self, account: Account) -> None:
        """Request and report the spot holdings if they are due; a failed request is repeated next time."""
        one, now_s = self._of[account.name], time.monotonic()
        if now_s < one.spot_due_s:
            return
        name = account.name
        try:
            held = tuple(self._client.spot_holdings(account))
            self._notices.end(name, NoticeCode.HOLDINGS_UNKNOWN)
        except RequestNotKnown as error:
            held = ()
            text = f"this server knows no spot, so what it holds there is not known: {error}"
            self._notices.say(name, NoticeCode.HOLDINGS_UNKNOWN, text)
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._warn(name, error)
            return
        one.spot, one.spot_due_s = NotWatched(name, Place.SPOT, held), now_s + self._interval_s
        self._link.put(one.spot)

    def ask_one(self) -> bool:
        """Ask one dex for one account; return False if there was nothing to do.

        A dex that refuses or answers nonsense counts as holding `DEX:?`. If the venue is unavailable, the
        same dex is asked again after AGAIN_S.
        """
        one = next((one for one in self._of.values() if one.dexes is not None), None)
        if one is None or one.dexes is None or time.monotonic() < self._again_s:
            return False
        if one.dexes:
            dex = one.dexes[-1]
            try:
                one.coins += self._client.coins_held(one.account, dex)
            except (VenueRefused, WireError) as error:
                self._warn(one.account.name, error)
                one.coins.append(f"{dex}:?")
            except VenueUnavailable as error:
                self._warn(one.account.name, error)
                self._again_s = time.monotonic() + AGAIN_S
                return True
            one.dexes.pop()
        if not one.dexes:
            one.dexes = None
            self._link.put(NotWatched(one.account.name, Place.DEXES, tuple(sorted(one.coins))))
        return True

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

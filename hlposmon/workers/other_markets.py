"""What an account holds that is not watched: on spot, and on other dexes.

Spot is looked at with the statements. The states of all dexes are pushed to the state worker for nothing;
only where no push tells them does the tracker ring for them, and each dex is asked for its state.
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
    """When an account is due to be looked at. `dexes` are those still to be asked, where no push tells what
    other dexes hold, and None while nothing is wanted of them; `coins` is what they hold so far."""

    account: Account
    spot_due_s: float = 0.0
    spot: NotWatched | None = None
    dexes: list[str] | None = None
    coins: list[str] = field(default_factory=list)


class OtherMarkets:
    """The looks of one worker at its accounts."""

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
        """There is a new tracker: it is told what was seen last."""
        for one in self._of.values():
            if one.spot is not None:
                self._link.put(one.spot)

    def rung(self, account: str, *, dexes: bool) -> None:
        """The tracker wants to know soon what an account holds on spot, and with `dexes` on other dexes."""
        one = self._of[account]
        one.spot_due_s = 0.0
        if dexes and one.dexes is None:
            one.dexes, one.coins = self._all_dexes(), []

    def look_at_spot(self, account: Account) -> None:
        """If it is due; what cannot be had now is asked for the next time."""
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
        """Ask one dex for the state of one account that is looked at; whether a request was made."""
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
        """All dexes but the first; None while they cannot be had. A server that does not know the request has
        no others."""
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

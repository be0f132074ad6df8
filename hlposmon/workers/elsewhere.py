"""What an account holds that is not watched: on spot, and on other dexes.

Spot is looked at with the statements. The states of all dexes are pushed to the state worker for nothing;
only where no push tells them does the tracker ring for them, and each dex is asked for its state.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from hlposmon.config import Account
from hlposmon.domain.reports import NoticeCode, NotWatched, Place
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.supervision.logs import Repeats
from hlposmon.venues.hyperliquid import HyperliquidInfo
from hlposmon.workers.notices import Notices
from hlposmon.workers.outlet import Outlet

log = logging.getLogger(__name__)

# New dexes appear without notice.
DEXES_S = 3600.0


@dataclass(slots=True)
class _Looks:
    """When an account is due to be looked at; `dexes_wanted` where no push tells what other dexes hold."""

    account: Account
    spot_due_s: float = 0.0
    dexes_wanted: bool = False
    spot: NotWatched | None = None


class Elsewhere:
    """The looks of one worker at its accounts."""

    def __init__(
        self,
        accounts: Iterable[Account],
        info: HyperliquidInfo,
        outlet: Outlet,
        notices: Notices,
        repeats: Repeats,
        *,
        interval_s: float,
    ) -> None:
        self._info, self._outlet, self._notices, self._repeats = info, outlet, notices, repeats
        self._of = {account.name: _Looks(account) for account in accounts}
        self._interval_s = interval_s
        self._dexes: list[str] = []
        self._dexes_due_s = 0.0

    def welcome(self) -> None:
        """There is a new tracker: it is told what was seen last."""
        for one in self._of.values():
            if one.spot is not None:
                self._outlet.put(one.spot)

    def rung(self, account: str) -> None:
        """The tracker wants all of it soon."""
        one = self._of[account]
        one.spot_due_s, one.dexes_wanted = 0.0, True

    def look(self, account: Account) -> None:
        """What is due of one account; what cannot be had now is asked for the next time."""
        one, now_s = self._of[account.name], time.monotonic()
        try:
            if now_s >= one.spot_due_s:
                self._look_at_spot(one)
                one.spot_due_s = now_s + self._interval_s
            if one.dexes_wanted:
                self._look_at_dexes(one)
                one.dexes_wanted = False
        except (VenueUnavailable, VenueRefused, WireError) as error:
            self._repeats.log(
                log, logging.WARNING, "not looked at what else it holds", now=now_s, account=account.name,
                reason=error,
            )  # fmt: skip

    def _look_at_spot(self, one: _Looks) -> None:
        name = one.account.name
        held: tuple[str, ...] = ()
        try:
            held = tuple(self._info.spot_holdings(one.account))
            self._notices.end(name, NoticeCode.HOLDINGS_UNKNOWN)
        except VenueRefused as error:
            text = f"what it holds on spot is not known: {error}"
            self._notices.say(name, NoticeCode.HOLDINGS_UNKNOWN, text)
        one.spot = NotWatched(name, Place.SPOT, held)
        self._outlet.put(one.spot)

    def _look_at_dexes(self, one: _Looks) -> None:
        now_s = time.monotonic()
        if now_s >= self._dexes_due_s:
            try:
                self._dexes = self._info.dexes()
            except VenueRefused:
                self._dexes = []  # a server that does not know of other dexes has none
            self._dexes_due_s = now_s + DEXES_S
        coins = [coin for dex in self._dexes for coin in self._info.coins_held(one.account, dex)]
        self._outlet.put(NotWatched(one.account.name, Place.DEXES, tuple(sorted(coins))))

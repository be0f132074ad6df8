"""Asks which sub-accounts the accounts with `discover = ["subaccounts"]` have: at start, and each hour.

The tracker keeps what is found, and a reload watches it. Until then, and while it cannot be asked for, a
notice says that what they hold is not watched.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from hlposmon.config import Account
from hlposmon.config.settings import SUB_ACCOUNTS
from hlposmon.domain.reports import NoticeCode, SubAccounts
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.supervision.logs import Repeats
from hlposmon.system.clock import now_ms
from hlposmon.venues.port import Client
from hlposmon.workers.notices import Notices
from hlposmon.workers.tracker_link import TrackerLink

log = logging.getLogger(__name__)

SEARCH_S = 3600.0
AGAIN_S = 60.0  # after a request that failed
APART_S = 2.0  # between two requests, so that many accounts do not spend a minute's weight at once


@dataclass(slots=True)
class _Master:
    """An account whose sub-accounts are looked for. `due_s` is in monotonic seconds."""

    account: Account
    due_s: float = 0.0
    said: SubAccounts | None = None


class SubAccountSearch:
    """The search for the sub-accounts of all accounts of one worker."""

    def __init__(
        self,
        accounts: Iterable[Account],
        client: Client,
        link: TrackerLink,
        notices: Notices,
        repeats: Repeats,
    ) -> None:
        everyone = list(accounts)
        self._client, self._link, self._notices, self._repeats = client, link, notices, repeats
        self._watched = {account.address for account in everyone}
        self._masters = [_Master(one) for one in everyone if SUB_ACCOUNTS in one.discover]
        self._not_before_s = 0.0

    def welcome(self) -> None:
        """Tell a new tracker what was found."""
        for master in self._masters:
            if master.said is not None:
                self._link.put(master.said)

    def ask_one(self) -> bool:
        """Make at most one due request; return whether one was made."""
        now_s = time.monotonic()
        due = [master for master in self._masters if master.due_s <= now_s]
        if not due or now_s < self._not_before_s:
            return False
        self._ask(min(due, key=lambda one: one.due_s), now_s)
        self._not_before_s = time.monotonic() + APART_S
        return True

    def _ask(self, master: _Master, now_s: float) -> None:
        account = master.account
        master.due_s = now_s + AGAIN_S
        try:
            subs, unread = self._client.sub_accounts(account, now_ms=now_ms(), whole=False)
        except (VenueRefused, WireError) as error:
            self._say(account, f"its sub-accounts are not known: {error}")
            return
        except VenueUnavailable as error:
            self._repeats.log(
                log, logging.WARNING, "sub-accounts not known", now=now_s, account=account.name, reason=error
            )
            return
        master.due_s = now_s + SEARCH_S
        master.said = SubAccounts(account.name, tuple((sub.address, sub.name) for sub in subs))
        self._link.put(master.said)
        missing = [sub.address for sub in subs if sub.address not in self._watched]
        texts = [f"sub-accounts that are not watched yet: {', '.join(missing)}"] if missing else []
        self._say(account, "; ".join(texts + unread))

    def _say(self, account: Account, text: str) -> None:
        if text:
            self._notices.say(account.name, NoticeCode.SUB_ACCOUNTS, text)
        else:
            self._notices.end(account.name, NoticeCode.SUB_ACCOUNTS)

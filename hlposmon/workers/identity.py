"""What an address is, and how its balances are kept: asked for now and then, of one account at a time.

The mode is asked first, since no equity is shown before it is known, and again every few minutes, as it can
change at any time. Asking for a role may cost many times what a statement does, and its answer is final; an
account that seems to hold nothing comes first, since a mistyped address looks like that. What is asked here
is within a budget of its own and in the order of what was waited for longest, so that no account is left
out however many there are. It compares no figures.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from hlposmon.config import Account
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    NoticeCode,
    Statement,
    Welcome,
)
from hlposmon.errors import RequestNotKnown, VenueRefused, VenueUnavailable, WireError
from hlposmon.supervision.logs import Repeats
from hlposmon.venues.port import Client
from hlposmon.workers.notices import Notices
from hlposmon.workers.tracker_link import TrackerLink

log = logging.getLogger(__name__)

# Request weight: how much of the venue's 1200 a minute is spent here: at once up to BURST, and 300 a minute.
BURST, PER_S = 200.0, 5.0
# How often it is asked how an account's balances are kept, at the least; and a role that is not final.
MODE_S, ROLE_S = 300.0, 600.0
# The role of an account that holds something can wait: whoever restarts often asks for none.
ROLE_LATER_S = 60.0
AGAIN_S = 15.0
_REFUSED = "the exchange does not say how its balances are kept (account mode)"


@dataclass(slots=True)
class _Identity:
    """`empty`: its statement is that of an address which the exchange does not know."""

    account: Account
    stated_ms: int | None = None
    empty: bool = False
    mode: AccountMode | None = None
    mode_due_s: float = 0.0
    mode_asked_s: float = float("-inf")
    role: AccountRole | None = None
    role_due_s: float = 0.0


class Identities:
    """Those of all accounts of one worker."""

    def __init__(
        self,
        accounts: Iterable[Account],
        client: Client,
        link: TrackerLink,
        notices: Notices,
        repeats: Repeats,
    ) -> None:
        self._client, self._link, self._notices, self._repeats = client, link, notices, repeats
        self._of = {account.name: _Identity(account) for account in accounts}
        self._budget, self._filled_s = BURST, time.monotonic()
        self._was_mode = False

    def welcome(self, welcome: Welcome) -> None:
        """A new tracker is told what is known here; what it knows itself need not be asked for at once."""
        now_s = time.monotonic()
        for name, one in self._of.items():
            if one.mode is not None:
                self._link.put(one.mode)
            elif (mode := welcome.modes.get(name)) is not None:
                one.mode_due_s = now_s + MODE_S / 2
                self._take_mode(one, self._client.mode_of(one.account, mode))
            if one.role is not None:
                self._link.put(one.role)
            elif (role := welcome.roles.get(name)) is not None:
                self._take_role(one, AccountRole(name, *role), now_s)

    def stated(self, statement: Statement) -> None:
        """A statement came: only then its account is asked after."""
        one, empty = self._of[statement.account], not statement.positions and not statement.equity
        if one.role is None and empty and not one.empty:
            one.role_due_s = 0.0
        elif one.role is None and one.stated_ms is None:
            one.role_due_s = time.monotonic() + ROLE_LATER_S
        one.stated_ms, one.empty = statement.time_ms, empty

    def want_mode(self, account: str) -> None:
        """It may have changed."""
        one = self._of[account]
        one.mode_due_s = min(one.mode_due_s, one.mode_asked_s + AGAIN_S)

    def ask_one(self) -> bool:
        """Make the request that was due first, if there is weight for it; whether one was made."""
        now_s = time.monotonic()
        self._budget = min(BURST, self._budget + (now_s - self._filled_s) * PER_S)
        self._filled_s = now_s
        stated = [one for one in self._of.values() if one.stated_ms is not None]
        modes = [one for one in stated if one.mode_due_s <= now_s]
        roles = [one for one in stated if one.role_due_s <= now_s]
        unknown = [one for one in modes if one.mode is None]
        seems_unknown = any(one.empty for one in roles)
        if unknown or (modes and not seems_unknown and not (roles and self._was_mode)):
            return self._spend(min(unknown or modes, key=lambda one: one.mode_due_s), now_s, for_mode=True)
        if roles:
            one = min(roles, key=lambda one: (not one.empty, one.role_due_s))
            return self._spend(one, now_s, for_mode=False)
        return False

    def ask_mode(self, account: Account) -> None:
        """How its balances are kept, now: it explains what no fill does."""
        one = self._of[account.name]
        mode, was = self._client.mode(account), one.mode
        one.mode_due_s = time.monotonic() + MODE_S
        self._take_mode(one, mode)
        if was is not None and was.mode is not None and mode.mode != was.mode:
            text = f"the account mode changed from {was.mode} to {mode.mode}"
            self._link.put(AccountEvent(account.name, one.stated_ms or 0, AccountEventKind.MODE_CHANGE, text))

    def _take_mode(self, one: _Identity, mode: AccountMode) -> None:
        one.mode = mode
        self._link.put(mode)
        if mode.plain:
            self._notices.end(mode.account, NoticeCode.ACCOUNT_MODE)
        else:
            self._notices.say(mode.account, NoticeCode.ACCOUNT_MODE, mode.reason)

    def _spend(self, one: _Identity, now_s: float, *, for_mode: bool) -> bool:
        weight = self._client.costs.mode if for_mode else self._client.costs.role
        if self._budget < weight:
            return False
        self._budget -= weight
        self._was_mode = for_mode  # modes and roles that are both due take turns
        try:
            if for_mode:
                one.mode_asked_s, one.mode_due_s = now_s, now_s + AGAIN_S  # the others have their turn first
                self.ask_mode(one.account)
            else:
                one.role_due_s = now_s + AGAIN_S
                role, owner = self._client.role(one.account)
                self._take_role(one, AccountRole(one.account.name, role, owner), now_s)
        except RequestNotKnown as error:
            self._not_known(one, error, now_s, for_mode=for_mode)
        except (VenueRefused, VenueUnavailable, WireError) as error:
            self._repeats.log(
                log, logging.WARNING, "role or mode not known", now=now_s, account=one.account.name,
                reason=error,
            )  # fmt: skip
        return True

    def _not_known(self, one: _Identity, error: RequestNotKnown, now_s: float, *, for_mode: bool) -> None:
        """The server does not know this request: what it would tell stays unknown, and is said so."""
        name = one.account.name
        if for_mode:
            one.mode_due_s = now_s + MODE_S
            self._take_mode(one, AccountMode(name, None, False, f"{_REFUSED}: {error}"))
        else:
            one.role, one.role_due_s = AccountRole(name, ""), now_s + ROLE_S
            self._link.put(one.role)

    def _take_role(self, one: _Identity, role: AccountRole, now_s: float) -> None:
        """A missing address may become an account with its first deposit; the other answers are final."""
        one.role = role
        one.role_due_s = now_s + ROLE_S if role.role == "missing" else float("inf")
        self._link.put(role)
        account, say = one.account, self._notices.say
        if role.role == "missing":
            text = f"the exchange does not know the address {account.address}: is it the right one?"
            say(account.name, NoticeCode.UNKNOWN_ADDRESS, text)
        else:
            self._notices.end(account.name, NoticeCode.UNKNOWN_ADDRESS)
        if role.role == "agent":
            of = f"its account {role.owner}" if role.owner else "the account that it trades for"
            text = f"{account.address} is an agent's (API wallet): watch {of} instead"
            say(account.name, NoticeCode.AGENT_ADDRESS, text)

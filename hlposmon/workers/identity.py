"""Asks for each account's role (user, vault, agent, ...) and mode (how its balances are kept).

The mode is asked first, since no equity is shown before it is known, and again every few minutes, since it
can change at any time. A role request may cost many times the weight of a statement, and most answers are
final; an account that seems to hold nothing comes first, since a mistyped address looks like that. Requests
are made one at a time, within a budget of their own and in the order of their due times, so that no account
is left out however many there are. This module compares no figures.
"""

import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

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

# Budget of request weight: a token bucket of BURST, refilled by PER_S (300 of the venue's 1200 a minute).
BURST, PER_S = 200.0, 5.0
# Longest interval between requests for a mode, and interval between requests for a role that is not final.
MODE_S, ROLE_S = 300.0, 600.0
# Delay of the role request for an account that holds something, so that frequent restarts cost no weight.
ROLE_LATER_S = 60.0
AGAIN_S = 15.0
# Where accounts are polled, rounds need the weight: half of it is left for these (config.watch_plan).
POLLED_PER_S, POLLED_MODE_S = 2.5, 4 * 3600.0
_REFUSED = "the exchange does not say how its balances are kept (account mode)"


@dataclass(slots=True)
class _Identity:
    """What is known of one account. Times ending in `_s` are monotonic seconds.

    `stated_ms` is the time of its last statement; None before the first. `empty`: that statement has neither
    positions nor equity, as for an address that the exchange does not know.
    """

    account: Account
    stated_ms: int | None = None
    empty: bool = False
    mode: AccountMode | None = None
    mode_due_s: float = 0.0
    mode_asked_s: float = float("-inf")
    role: AccountRole | None = None
    role_due_s: float = 0.0


class Identities:
    """The modes and roles of all accounts of one worker."""

    def __init__(
        self,
        accounts: Iterable[Account],
        client: Client,
        link: TrackerLink,
        notices: Notices,
        repeats: Repeats,
        *,
        polled: Collection[str] = (),
    ) -> None:
        """`polled` are the names of the accounts that no stream follows; their modes are asked for less."""
        self._polled, self._per_s = frozenset(polled), POLLED_PER_S if polled else PER_S
        self._client, self._link, self._notices, self._repeats = client, link, notices, repeats
        self._of = {account.name: _Identity(account) for account in accounts}
        self._budget, self._filled_s = BURST, time.monotonic()
        self._was_mode = False
        for one in self._of.values():
            if one.account.agent is not None:
                self._say_agent(one)

    def welcome(self, welcome: Welcome) -> None:
        """Send a new tracker the known modes and roles, and take over those that it knows already."""
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
                if one.account.agent is not None:
                    one.role_due_s = now_s + ROLE_LATER_S  # when the agent's key expires is asked with it

    def stated(self, statement: Statement) -> None:
        """Note a statement; an account's mode and role are requested only after its first one."""
        one, empty = self._of[statement.account], not statement.positions and not statement.equity
        if one.role is None and empty and not one.empty:
            one.role_due_s = 0.0
        elif one.role is None and one.stated_ms is None:
            one.role_due_s = time.monotonic() + ROLE_LATER_S
        one.stated_ms, one.empty = statement.time_ms, empty

    def want_mode(self, account: str) -> None:
        """Request the mode soon, as it may have changed: at once, or AGAIN_S after the last request."""
        one = self._of[account]
        one.mode_due_s = min(one.mode_due_s, one.mode_asked_s + AGAIN_S)

    def ask_one(self) -> bool:
        """Make at most one due request, if the budget allows it; return whether one was made.

        Unknown modes come first, the longest due one before the others. After them, roles of empty accounts
        come before the regular refresh of modes; other roles and modes alternate.
        """
        now_s = time.monotonic()
        self._budget = min(BURST, self._budget + (now_s - self._filled_s) * self._per_s)
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
        """Request the mode now and report a change as an event: it may be why a statement drifts.

        Raises what `Client.mode` raises.
        """
        one = self._of[account.name]
        mode, was = self._client.mode(account), one.mode
        one.mode_due_s = time.monotonic() + (POLLED_MODE_S if account.name in self._polled else MODE_S)
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
        self._was_mode = for_mode  # modes and roles alternate while both are due
        try:
            if for_mode:
                one.mode_asked_s, one.mode_due_s = now_s, now_s + AGAIN_S  # if it fails, others come first
                self.ask_mode(one.account)
            else:
                one.role_due_s = now_s + AGAIN_S
                role, owner = self._client.role(one.account)
                self._take_role(one, AccountRole(one.account.name, role, owner), now_s)
                self._ask_key(one)
        except RequestNotKnown as error:
            self._not_known(one, error, now_s, for_mode=for_mode)
        except (VenueRefused, VenueUnavailable, WireError) as error:
            self._repeats.log(
                log, logging.WARNING, "role or mode not known", now=now_s, account=one.account.name,
                reason=error,
            )  # fmt: skip
        return True

    def _ask_key(self, one: _Identity) -> None:
        """Ask when the key of the configured agent expires; where that cannot be had, it is not said."""
        if one.account.agent is None:
            return
        try:
            self._say_agent(one, self._client.key_expiry_ms(one.account))
        except (VenueRefused, VenueUnavailable, WireError) as error:
            self._repeats.log(
                log, logging.INFO, "an agent's key: expiry not known", now=time.monotonic(),
                account=one.account.name, reason=error,
            )  # fmt: skip

    def _say_agent(self, one: _Identity, expiry_ms: int | None = None) -> None:
        """Say that the configured address is an agent's, whose account is watched, and when its key expires
        (Unix milliseconds), if that is known."""
        agent, address = one.account.agent, one.account.address
        text = f"{agent} is an agent's (API wallet): its account {address} is watched"
        if expiry_ms is not None:
            text += f"; the agent's key expires at {datetime.fromtimestamp(expiry_ms // 1000, UTC):%F %T} UTC"
        self._notices.say(one.account.name, NoticeCode.BEHIND_AGENT, text)

    def _not_known(self, one: _Identity, error: RequestNotKnown, now_s: float, *, for_mode: bool) -> None:
        """Report that the mode or role stays unknown, since the server does not know the request."""
        name = one.account.name
        if for_mode:
            one.mode_due_s = now_s + MODE_S
            self._take_mode(one, AccountMode(name, None, False, f"{_REFUSED}: {error}"))
        else:
            one.role, one.role_due_s = AccountRole(name, ""), now_s + ROLE_S
            self._link.put(one.role)

    def _take_role(self, one: _Identity, role: AccountRole, now_s: float) -> None:
        """Take a role and report it. A missing address can become an account by a deposit, so it is requested
        again; every other role is final."""
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

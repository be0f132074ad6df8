"""What an address is, and how its balances are kept: asked for now and then, of one account at a time.

Asking for a role is thirty times as dear as for a statement, and its answer is once and for all; the mode of
an account can change at any time. What a person must know of it is a notice. It compares no figures.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from hlposmon.config import Account
from hlposmon.domain.reports import Happened, Happening, Notice, Statement
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.supervision.logs import Repeats, fields
from hlposmon.venues.hyperliquid import PLAIN_MODES, HyperliquidInfo
from hlposmon.workers.outlet import Outlet

log = logging.getLogger(__name__)

IDENTIFY_S, IDENTIFY_AGAIN_S = 20.0, 300.0
# How often it is asked how an account's balances are kept (weight 20).
MODE_S = 300.0


@dataclass(slots=True)
class _Identity:
    account: Account
    was_asked: bool = False  # for a statement, whatever came of it
    stated_ms: int = 0  # the time of its last statement
    empty: bool = False  # as it answers for an address that it does not know
    is_known: bool = False
    due_s: float = 0.0
    mode: str | None = None
    mode_due_s: float = 0.0


class Identities:
    """Those of all accounts of one worker."""

    def __init__(
        self, accounts: Iterable[Account], info: HyperliquidInfo, outlet: Outlet, repeats: Repeats
    ) -> None:
        self._info, self._outlet, self._repeats = info, outlet, repeats
        self._of = {account.name: _Identity(account) for account in accounts}
        self._due_s = 0.0
        self._notices: dict[Notice, None] = {}

    def welcome(self) -> None:
        """There is a new tracker: it is told all notices."""
        for notice in self._notices:
            self._outlet.put(notice)

    def asked(self, account: Account) -> None:
        """A statement is asked for: only then its account is asked after."""
        self._of[account.name].was_asked = True

    def stated(self, statement: Statement) -> None:
        """A statement came."""
        one = self._of[statement.account]
        one.stated_ms = statement.time_ms
        one.empty = not statement.positions and not statement.equity

    def ask_one(self) -> None:
        """Roles first, and at once of who seems to have nothing: a mistyped address looks like that."""
        now_s = time.monotonic()
        for one in sorted(self._of.values(), key=lambda one: (one.is_known, not one.empty)):
            is_done = one.is_known and now_s < one.mode_due_s
            if not one.was_asked or is_done or now_s < one.due_s:
                continue
            if now_s < self._due_s and (one.is_known or not one.empty):
                return
            self._due_s = now_s + IDENTIFY_S
            try:
                if one.is_known:
                    self.ask_mode(one.account)
                else:
                    self._identify(one)
            except (VenueUnavailable, VenueRefused, WireError) as error:
                one.due_s = now_s + IDENTIFY_AGAIN_S  # the others have their turn first
                self._repeats.log(
                    log, logging.WARNING, "role or mode not known", now=now_s, account=one.account.name,
                    reason=error,
                )  # fmt: skip
            return

    def ask_mode(self, account: Account) -> None:
        """How its balances are kept: it can change at any time, and explains what no fill does."""
        one = self._of[account.name]
        mode, was = self._info.mode(account), one.mode
        one.mode, one.mode_due_s = mode, time.monotonic() + MODE_S
        if was is not None and mode != was:
            text = f"the account mode changed from {was} to {mode}"
            self._outlet.put(Happened(account.name, one.stated_ms, Happening.MODE_CHANGE, text))
        if mode != was and mode not in PLAIN_MODES:
            text = f"account mode {mode}: the balances are in its spot state, equity here may be too low"
            self._notice(account, text)

    def _identify(self, one: _Identity) -> None:
        """Once: an address that the exchange does not know, or an agent's, answers as an empty account."""
        account = one.account
        role, owner = self._info.role(account)
        one.is_known = True
        if role == "missing":
            text = f"the exchange does not know the address {account.address}: is it the right one?"
            self._notice(account, text, grave=True)
        elif role == "agent":
            text = f"{account.address} is an agent's (API wallet): watch its account {owner} instead"
            self._notice(account, text, grave=True)

    def _notice(self, account: Account, text: str, *, grave: bool = False) -> None:
        """Say it to this tracker, and to each one after it."""
        notice = Notice(account.name, text, grave=grave)
        if notice not in self._notices:
            self._notices[notice] = None
            log.warning("notice", extra=fields(account=account.name, text=text))
            self._outlet.put(notice)

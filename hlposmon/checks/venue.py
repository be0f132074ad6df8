"""Checks that ask the exchange: whether it answers, its clock, its stream, its limits, and each address."""

import os
import time
from collections.abc import Iterator

from hlposmon.checks.address import Address
from hlposmon.checks.asking import ADDRESS_S, Exchange, Hurry, unheard
from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Check, Finding, Place
from hlposmon.config import Settings
from hlposmon.config.accounts import ZERO_ADDRESS
from hlposmon.config.identities import AGENTS_FILE, behind_agents, known_agents
from hlposmon.config.sub_accounts import SUB_ACCOUNTS_FILE, known_sub_accounts, with_sub_accounts
from hlposmon.errors import HlposmonError, VenueUnavailable
from hlposmon.transport.events import Opened
from hlposmon.transport.quota import WEIGHT_PER_MINUTE

CLOCK_WARN_MS, CLOCK_FAIL_MS = 1000, 10_000
# What the questions about an address cost: role 60, mode, sub-accounts (twice), vault stakes and staking 20
# each, 2 for each dex and for spot. An agent's key and account, and the names of vaults, come on top.
ADDRESS_WEIGHT = 180


def exchange_checks(place: Place, *, weight_used: int | None = None) -> list[Check]:
    """The checks of clock, stream, limits and each address; one skipped check if there is no live exchange to
    ask. `weight_used` is what a running monitor has used of this minute's request weight."""
    settings = place.settings
    if settings is None or settings.simulated:
        why = "simulated: no exchange is asked" if settings else "the configuration is not valid"
        return [Check("exchange", lambda _: [Finding("exchange", SKIPPED, why)])]
    exchange = Exchange(settings, weight_used=weight_used)
    checks = [
        Check("clock", _Clock(exchange), asks=True),
        Check("stream", _Stream(exchange), asks=True),
        Check("exchange limits", lambda _: [_limits(exchange, weight_used)]),
    ]
    watched = _watched(settings)
    for account in settings.hyperliquid.accounts:
        if account.address != ZERO_ADDRESS:
            look = Address(account, watched, exchange)
            checks.append(Check(f"address {account.name}", look, asks=True, limit_s=ADDRESS_S + 0.2))
    return checks


def _watched(settings: Settings) -> dict[str, str]:
    """The names of the watched accounts by address, those behind known agents and known sub-accounts
    included."""
    folder, venue = settings.paths.state_dir, settings.hyperliquid
    agents, subs = {}, {}
    if os.access(folder / AGENTS_FILE, os.R_OK):
        agents = known_agents(folder, venue.api_url)
    if os.access(folder / SUB_ACCOUNTS_FILE, os.R_OK):
        subs = known_sub_accounts(folder, venue.api_url)
    accounts = with_sub_accounts(behind_agents(venue.accounts, agents), subs)
    return {account.address: account.name for account in accounts}


def _limits(exchange: Exchange, weight_used: int | None) -> Finding:
    """How much of what the exchange allows one IP address is taken."""
    venue = exchange.settings.hyperliquid
    said = (
        f"{len(venue.accounts)} of {venue.max_users} accounts that it follows;"
        f" {WEIGHT_PER_MINUTE} of request weight a minute, of which this report may use {exchange.room}"
    )
    needed = ADDRESS_WEIGHT * len(venue.accounts)
    if needed <= exchange.room:
        return Finding("exchange limits", OK, said)
    remedy = (
        "what it does not reach is said to be not known: run doctor for fewer accounts, --address NAME=0x..."
    )
    used = "" if weight_used is None else f" ({weight_used} is used by the running monitor)"
    return Finding("exchange limits", WARN, f"{said}{used} and would need about {needed}", remedy)


class _Clock:
    """Compares our clock with the exchange's, assuming that the request took half of the round trip.

    Example: a request sent at 1000 ms is answered after 80 ms with 1100 ms. Our clock was at 1040 ms when the
    exchange read its own, so it is 60 ms behind. Up to 1 s is ok, up to 10 s a warning.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._share = exchange, exchange.share()

    def __call__(self, _place: Place) -> Iterator[Finding]:
        client = self._exchange.venue(Hurry(), self._share).client()
        try:
            began_s, began_ms = time.monotonic(), time.time() * 1000
            theirs_ms = client.now_ms()
            way_ms = (time.monotonic() - began_s) * 1000
        except HlposmonError as error:
            yield unheard("clock", self._exchange.settings.hyperliquid.api_url, error)
            return
        off_ms = round(began_ms + way_ms / 2 - theirs_ms)
        side = "ahead of" if off_ms >= 0 else "behind"
        said = f"{abs(off_ms)} ms {side} the exchange's (it answers in {way_ms:.0f} ms)"
        state = FAIL if abs(off_ms) > CLOCK_FAIL_MS else WARN if abs(off_ms) > CLOCK_WARN_MS else OK
        remedy = "" if state == OK else "keep the clock in step: timedatectl set-ntp true"
        yield Finding("clock", state, said, remedy)


class _Stream:
    """Whether a WebSocket connection to the exchange can be opened."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._share = exchange, exchange.share()

    def __call__(self, _place: Place) -> Iterator[Finding]:
        url = self._exchange.settings.hyperliquid.ws_url
        feed = self._exchange.venue(Hurry(), self._share).price_feed()
        try:
            event = feed.next()
            if isinstance(event, Opened):
                yield Finding("stream", OK, f"{url} takes a connection")
            else:
                reason = VenueUnavailable(str(getattr(event, "reason", "it was not opened")))
                yield unheard("stream", url, reason)
        finally:
            feed.close()


def uncovered(place: Place) -> Iterator[Finding]:
    """What the monitor does not cover, whatever the checks say."""
    yield Finding(
        "not covered",
        OK,
        "spot trades (balances are), TWAP orders, staking, vault stakes, other sub-accounts",
    )
    settings = place.settings
    if settings is not None and not settings.simulated:
        yield Finding(
            "not covered",
            OK,
            "weight that other programs spend from the same IP address: one monitor a machine is best",
        )

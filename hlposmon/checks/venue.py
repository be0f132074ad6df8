"""Checks that ask the exchange: whether it answers, its clock, its stream, and each address."""

import time
from collections.abc import Iterator
from dataclasses import replace

from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Check, Finding, Place
from hlposmon.checks.running import LIMIT_S
from hlposmon.config import Account, Settings
from hlposmon.config.accounts import ZERO_ADDRESS
from hlposmon.domain.reports import AccountMode
from hlposmon.errors import HlposmonError, RequestNotKnown, VenueUnavailable
from hlposmon.transport.events import Opened
from hlposmon.transport.quota import Quota
from hlposmon.venues.port import Client, Venue
from hlposmon.venues.registry import create_venue

CLOCK_WARN_MS, CLOCK_FAIL_MS = 1000, 10_000
_ROLES = {"user": "an account", "subAccount": "a sub-account", "vault": "a vault"}


class Hurry:
    """The deadline of a check, 0.2 s before LIMIT_S; in the place of a Pulse for the venue's waits."""

    def __init__(self) -> None:
        self._until_s = time.monotonic() + LIMIT_S - 0.2

    @property
    def stopping(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until_s

    def wait(self, timeout_s: float) -> bool:
        """Sleep `timeout_s` seconds or until the deadline; return whether the deadline was reached."""
        time.sleep(min(timeout_s, max(0.0, self._until_s - time.monotonic())))
        return self.stopping


def exchange_checks(place: Place) -> list[Check]:
    """The checks of clock, stream and each address; one skipped check if there is no live exchange to ask."""
    settings = place.settings
    if settings is None or settings.simulated:
        why = "simulated: no exchange is asked" if settings else "the configuration is not valid"
        return [Check("exchange", lambda _: [Finding("exchange", SKIPPED, why)])]
    checks = [Check("clock", clock, asks=True), Check("stream", stream, asks=True)]
    for account in settings.hyperliquid.accounts:
        if account.address != ZERO_ADDRESS:
            checks.append(Check(f"address {account.name}", _Address(account), asks=True))
    return checks


def clock(place: Place) -> Iterator[Finding]:
    """Compare our clock with the exchange's, assuming that the request took half of the round trip.

    Example: a request sent at 1000 ms is answered after 80 ms with 1100 ms. Our clock was at 1040 ms when the
    exchange read its own, so it is 60 ms behind. Up to 1 s is ok, up to 10 s a warning.
    """
    settings = _given(place)
    client = _venue(settings).client()
    try:
        began_s, began_ms = time.monotonic(), time.time() * 1000
        theirs_ms = client.now_ms()
        way_ms = (time.monotonic() - began_s) * 1000
    except HlposmonError as error:
        yield _unheard("clock", settings.hyperliquid.api_url, error)
        return
    off_ms = round(began_ms + way_ms / 2 - theirs_ms)
    side = "ahead of" if off_ms >= 0 else "behind"
    said = f"{abs(off_ms)} ms {side} the exchange's (it answers in {way_ms:.0f} ms)"
    state = FAIL if abs(off_ms) > CLOCK_FAIL_MS else WARN if abs(off_ms) > CLOCK_WARN_MS else OK
    yield Finding(
        "clock", state, said, "" if state == OK else "keep the clock in step: timedatectl set-ntp true"
    )


def stream(place: Place) -> Iterator[Finding]:
    """Whether a WebSocket connection to the exchange can be opened."""
    settings = _given(place)
    feed = _venue(settings).price_feed()
    try:
        event = feed.next()
        if isinstance(event, Opened):
            yield Finding("stream", OK, f"{settings.hyperliquid.ws_url} takes a connection")
        else:
            reason = VenueUnavailable(str(getattr(event, "reason", "it was not opened")))
            yield _unheard("stream", settings.hyperliquid.ws_url, reason)
    finally:
        feed.close()


class _Address:
    """The check of one address: its role, its positions and its account mode at the exchange."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._name = f"address {account.name}"

    def __call__(self, place: Place) -> Iterator[Finding]:
        settings = _given(place)
        client: Client = _venue(settings).client()
        try:
            role, owner = client.role(self._account)
            if role == "agent" and owner is not None:
                said = f"{self._account.address} is an agent (API wallet): its account {owner} is watched"
                yield Finding(self._name, OK, said)
                self._account = replace(self._account, address=owner, agent=self._account.address)
                role, owner = client.role(self._account)
            yield self._role(role, owner)
            yield self._positions(client)
            yield self._mode(client.mode(self._account))
        except HlposmonError as error:
            yield _unheard(self._name, settings.hyperliquid.api_url, error)

    def _role(self, role: str, owner: str | None) -> Finding:
        address = self._account.address
        if role in _ROLES:
            return Finding(self._name, OK, f"{address} is {_ROLES[role]}" + (f" of {owner}" if owner else ""))
        if role == "agent":
            remedy = f"watch {owner}" if owner else "watch the account that it trades for"
            return Finding(
                self._name, FAIL, f"{address} is an agent (API wallet) and holds no positions", remedy
            )
        if role == "missing":
            return Finding(
                self._name,
                FAIL,
                f"the exchange does not know {address}",
                "is it of the other network (testnet)?",
            )
        return Finding(self._name, WARN, f"{address} has the role {role!r}, which is not known here")

    def _positions(self, client: Client) -> Finding:
        """How many positions it has on each dex on which it has any."""
        first = client.statement(self._account, asked_s=0.0, now_ms=0)
        said = [f"{len(first.positions)} positions on the first dex"]
        try:
            dexes = client.dexes()
        except RequestNotKnown:
            dexes = []
        for dex in dexes:
            statement = client.statement(self._account, scope=dex, asked_s=0.0, now_ms=0)
            if statement.positions:
                said.append(f"{len(statement.positions)} on {dex}")
        return Finding(self._name, OK, f"{', '.join(said)} ({len(dexes)} other dexes were looked at)")

    def _mode(self, mode: AccountMode) -> Finding:
        if mode.mode is None:
            said = "the exchange does not say how its balances are kept: equity is not shown"
            return Finding(self._name, WARN, said)
        if mode.plain:
            return Finding(self._name, OK, f"account mode {mode.mode}")
        said = f"account mode {mode.mode}: its balances are kept in its spot state: equity is not shown"
        return Finding(self._name, WARN, said)


def uncovered(place: Place) -> Iterator[Finding]:
    """What the monitor does not cover, whatever the checks say."""
    yield Finding("not covered", OK, "spot trades (balances are), TWAP orders, staking, vault stakes")
    settings = place.settings
    if settings is not None and not settings.simulated:
        yield Finding(
            "not covered",
            OK,
            "weight that other programs spend from the same IP address: one monitor a machine is best",
        )


def _given(place: Place) -> Settings:
    assert place.settings is not None, "the exchange is asked with valid settings only"
    return place.settings


def _venue(settings: Settings) -> Venue:
    urls = {"api_url": settings.hyperliquid.api_url, "ws_url": settings.hyperliquid.ws_url}
    return create_venue("hyperliquid", urls, share=Quota().share(), deadline=Hurry())


def _unheard(name: str, url: str, error: HlposmonError) -> Finding:
    reason = "no answer in time" if "as we are stopping" in str(error) else " ".join(str(error).split())[:200]
    remedy = "is the network up, is the address right, does a firewall let it out?"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        remedy = (
            "who vouches for it is not known here. Behind a proxy of your own: give doctor what the service's"
            " drop-in has, as REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt (docs/operations.md)"
        )
    return Finding(name, FAIL, f"{url}: {reason}", remedy)

"""What Hyperliquid can be asked: statements, fills since a time, an account's role. By address alone.

Knows the request weights; one place for all REST. Rules: the API documentation, rate limits and
info endpoint.
"""

import time
from collections.abc import Iterator
from typing import Any

from hlposmon.config import Account
from hlposmon.domain.reports import AccountEvent, AccountMode, Funding, Identity, Statement
from hlposmon.errors import WireError
from hlposmon.text import loads
from hlposmon.transport.deadline import Deadline
from hlposmon.transport.http import Requests
from hlposmon.transport.quota import Share
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.payloads.fields import list_of
from hlposmon.venues.port import Costs, Page

_LIGHT, _USUAL, _HEAVY = 2, 20, 60
_ROWS_PER_WEIGHT = 20
PAGE_ROWS = 2000
SHORT_ROWS = 500


# Account modes in which clearinghouseState has the whole equity. dexAbstraction shares it with other dexes.
PLAIN_MODES = frozenset({"default", "disabled"})


class HyperliquidClient:
    """The info endpoint of one server: `port.Client`."""

    costs = Costs(statement=_LIGHT, mode=_USUAL, role=_HEAVY)

    def __init__(self, api_url: str, *, budget: Share, deadline: Deadline) -> None:
        self._requests = Requests(f"{api_url.rstrip('/')}/info", budget=budget, deadline=deadline)

    def statement(
        self,
        account: Account,
        *,
        asked_s: float,
        now_ms: int,
        fills_from_ms: int | None = None,
        urgent: bool = False,
    ) -> Statement:
        """The account's positions on the first dex, as the venue states them now. `urgent` asks may use
        the weight that is kept for a heal."""
        body = self._ask(_LIGHT, "clearinghouseState", urgent=urgent, user=account.address)
        return payloads.statement(
            body, account.name, asked_s=asked_s, now_ms=now_ms, fills_from_ms=fills_from_ms
        )

    def fills_since(self, account: Account, start_ms: int, *, urgent: bool = True) -> Iterator[Page]:
        """All fills from `start_ms` on, oldest first, a page at a time, each fill once.

        The next page begins at the last one's newest time, since a page can end in the midst of a
        millisecond. Where a whole page is of one millisecond the same is asked for from its other end, and
        what lies between is told as a `hole`. That the exchange lists older fills no more has no sign in its
        answer (10 000 rows are no limit): the chain of fills shows it.
        """
        known: set[Identity] = set()
        from_ms = start_ms
        while True:
            asked_s = time.monotonic()
            body = self._fills(account, urgent=urgent, startTime=from_ms)
            times = payloads.times(body)
            # A page is 2000 rows today; elsewhere the API answers with 500 at a time. Short is less.
            last = len(body) < SHORT_ROWS
            if not last and not times:
                raise WireError(
                    "userFillsByTime: no row of a full page has a time: the next cannot be asked for"
                )
            hole = None
            found = payloads.fills(body, account.name, account.address)
            stuck = not last and min(times) == max(times)
            if stuck:
                found, hole = self._one_millisecond(account, max(times), body, urgent=urgent)
            fills = tuple(fill for fill in found.fills if fill.identity not in known)
            yield Page(fills, tuple(found.others), asked_s, last, hole, tuple(found.unread))
            if last:
                return
            from_ms = max(times) + stuck
            known = set() if stuck else {fill.identity for fill in found.fills if fill.time_ms == from_ms}

    def _one_millisecond(
        self, account: Account, at_ms: int, body: Any, *, urgent: bool
    ) -> tuple[payloads.FillRows, tuple[int, int, str] | None]:
        """The fills of a millisecond that fills a page, from both of its ends."""
        answer = self._fills(account, urgent=urgent, startTime=at_ms, endTime=at_ms, reversed=True)
        rest = list_of(answer, "userFillsByTime")
        whole = any(row in body for row in rest[-1:])
        found = payloads.fills(body, account.name, account.address)
        more = payloads.fills(rest[::-1], account.name, account.address)
        have = {fill.identity for fill in found.fills}
        found.fills.extend(fill for fill in more.fills if fill.identity not in have)
        found.others.extend(more.others)
        found.unread.extend(more.unread)
        reason = f"more than {2 * len(body)} fills are of the one millisecond {at_ms}"
        return found, None if whole else (at_ms, at_ms, reason)

    def _fills(self, account: Account, *, urgent: bool, **span: Any) -> Any:
        return self._ask(
            _USUAL,
            "userFillsByTime",
            most=PAGE_ROWS // _ROWS_PER_WEIGHT,
            urgent=urgent,
            user=account.address,
            **span,
        )

    def events_since(self, account: Account, start_ms: int) -> list[AccountEvent]:
        """What changed the account from `start_ms` on besides fills and funding, oldest first."""
        body = self._ask(
            _USUAL,
            "userNonFundingLedgerUpdates",
            most=SHORT_ROWS // _ROWS_PER_WEIGHT,
            urgent=True,
            user=account.address,
            startTime=start_ms,
        )
        return payloads.account_events(body, account.name)

    def now_ms(self) -> int:
        """The venue's clock: ours may be wrong."""
        return payloads.venue_time(self._ask(_LIGHT, "exchangeStatus", urgent=True))

    def mode(self, account: Account) -> AccountMode:
        """How the account's balances are kept: default, unifiedAccount, portfolioMargin, ... or null."""
        body = self._ask(_USUAL, "userAbstraction", may_be_null=True, user=account.address)
        return self.mode_of(account, payloads.abstraction(body))

    def mode_of(self, account: Account, name: str | None) -> AccountMode:
        """Only in a plain mode has clearinghouseState the whole equity."""
        if name in PLAIN_MODES:
            return AccountMode(account.name, name, plain=True)
        if name is None:
            reason = "the exchange does not say how its balances are kept (account mode): it answers null"
        else:
            reason = f"account mode {name}: its balances are kept in its spot state, which is not watched"
        return AccountMode(account.name, name, plain=False, reason=reason)

    def spot_holdings(self, account: Account) -> list[str]:
        """What the account holds on spot, as texts."""
        return payloads.spot_holdings(self._ask(_LIGHT, "spotClearinghouseState", user=account.address))

    def dexes(self) -> list[str]:
        """The names of all dexes but the first."""
        return payloads.dex_names(self._ask(_USUAL, "perpDexs"))

    def coins_held(self, account: Account, dex: str) -> list[str]:
        """The coins of the account's positions on another dex than the first."""
        body = self._ask(_LIGHT, "clearinghouseState", user=account.address, dex=dex)
        return payloads.held_coins(body, dex)

    def fundings_since(
        self, account: Account, start_ms: int, *, urgent: bool = True
    ) -> tuple[list[Funding], list[str]]:
        """All funding payments from `start_ms` on, oldest first, each once, and what could not be read of
        them: 500 rows an answer."""
        found: dict[tuple[int, str], Funding] = {}
        unread: list[str] = []
        while True:
            body = self._ask(
                _USUAL,
                "userFunding",
                most=SHORT_ROWS // _ROWS_PER_WEIGHT,
                urgent=urgent,
                user=account.address,
                startTime=start_ms,
            )
            payments, texts = payloads.fundings(body, account.name)
            found |= {(paid.time_ms, paid.key): paid for paid in payments}
            unread += texts
            newest_ms = max(payloads.times(body), default=start_ms)
            if len(body) < SHORT_ROWS or newest_ms == start_ms:
                return sorted(found.values(), key=lambda paid: paid.time_ms), unread
            start_ms = newest_ms

    def role(self, account: Account) -> tuple[str, str | None]:
        """What the exchange takes the address for, and whose agent or sub-account it is."""
        return payloads.role(self._ask(_HEAVY, "userRole", user=account.address))

    def close(self) -> None:
        """Let go of the connections that were kept open."""
        self._requests.close()

    def _ask(
        self,
        weight: int,
        kind: str,
        *,
        most: int = 0,
        urgent: bool = False,
        may_be_null: bool = False,
        **fields: Any,
    ) -> Any:
        """`most` is what the rows of the answer may cost beyond `weight`; 0 where they cost nothing."""

        def rows(raw: bytes) -> int:
            body = loads(raw)
            return len(body) // _ROWS_PER_WEIGHT if isinstance(body, list) else 0

        raw = self._requests.post(
            payloads.info(kind, **fields),
            weight=weight,
            most=most,
            extra=rows if most else None,
            urgent=urgent,
        )
        body = loads(raw)
        if body is None and not may_be_null:
            raise WireError(f"{kind}: null is no answer")
        return body

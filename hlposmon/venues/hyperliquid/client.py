"""REST requests to Hyperliquid: statements, fills, funding, roles, account modes. By address alone.

The only place for REST to Hyperliquid, and the only one that knows request weights. Source of weights and
page sizes: the exchange's API documentation, rate limits and info endpoint.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hlposmon.config import Account
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.reports import (
    FIRST_SCOPE,
    AccountEvent,
    AccountMode,
    Funding,
    Identity,
    MarginPool,
    Statement,
)
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.text import loads
from hlposmon.transport.deadline import Deadline
from hlposmon.transport.http import Requests
from hlposmon.transport.quota import Share
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.payloads.fields import list_of
from hlposmon.venues.port import Costs, Page, Staking, SubAccount, Vault, VaultStake

# Request weights by kind of request; for some kinds each _ROWS_PER_WEIGHT rows of the answer cost one more.
_LIGHT, _USUAL, _HEAVY = 2, 20, 60
_ROWS_PER_WEIGHT = 20
PAGE_ROWS = 2000
SHORT_ROWS = 500


# Account modes in which clearinghouseState has the whole equity. dexAbstraction shares it with other dexes.
PLAIN_MODES = frozenset({"default", "disabled"})
POOLS = {"unifiedAccount": MarginPool.TOKEN, "portfolioMargin": MarginPool.ACCOUNT}


class HyperliquidClient:
    """The info endpoint of one server: `port.Client`."""

    costs = Costs(statement=_LIGHT, mode=_USUAL, role=_HEAVY)

    def __init__(self, api_url: str, *, budget: Share, deadline: Deadline) -> None:
        self._tokens: dict[int, str] = {}
        self._requests = Requests(f"{api_url.rstrip('/')}/info", budget=budget, deadline=deadline)

    def statement(
        self,
        account: Account,
        *,
        scope: str = FIRST_SCOPE,
        asked_s: float,
        now_ms: int,
        fills_from_ms: int | None = None,
        urgent: bool = False,
    ) -> Statement:
        """The account's positions on one dex, as the venue states them now."""
        dex: dict[str, Any] = {"dex": scope} if scope else {}
        body = self._ask(_LIGHT, "clearinghouseState", urgent=urgent, user=account.address, **dex)
        return payloads.statement(
            body, account.name, dex=scope, asked_s=asked_s, now_ms=now_ms, fills_from_ms=fills_from_ms
        )

    def fills_since(self, account: Account, start_ms: int, *, urgent: bool = True) -> Iterator[Page]:
        """All fills from `start_ms` on, oldest first, in pages, each fill once.

        A page can end in the middle of a millisecond. So the next page is requested from the newest time of
        the last one, and the fills that both hold are dropped. Example with pages of four: the fills are at
        1, 2, 3, 3, 3 and 5. The first page is 1 2 3 3; the second, from 3, is 3 3 3 5, of which 3 5 is new.

        If one millisecond fills a whole page, that would never advance. Then the millisecond is requested
        once more from its other end, paging goes on after it, and fills between the two are reported as a
        `hole`.

        No answer shows that the exchange no longer lists older fills (10 000 rows is not a firm limit); a
        break in the chain of fills does. Raises WireError if no row of a full page has a time.
        """
        known: set[Identity] = set()
        from_ms = start_ms
        while True:
            asked_s = time.monotonic()
            body = self._fills(account, urgent=urgent, startTime=from_ms)
            times = payloads.times(body)
            # A page has 2000 rows today, but other requests return 500: only fewer than 500 mean the end.
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
        """The fills of one millisecond that fills the page `body`, fetched from both ends; and the hole
        between the two pages, None if they overlap."""
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
        """The changes of the account from `start_ms` on other than fills and funding, oldest first."""
        body = self._ask(
            _USUAL,
            "userNonFundingLedgerUpdates",
            most=SHORT_ROWS // _ROWS_PER_WEIGHT,
            urgent=True,
            user=account.address,
            startTime=start_ms,
        )
        return payloads.account_events(body, account.name, account.address)

    def now_ms(self) -> int:
        """The venue's clock, Unix milliseconds; ours may be wrong."""
        return payloads.venue_time(self._ask(_LIGHT, "exchangeStatus", urgent=True))

    def mode(self, account: Account) -> AccountMode:
        """How the account's balances are kept: default, unifiedAccount, portfolioMargin, ... or null."""
        body = self._ask(_USUAL, "userAbstraction", may_be_null=True, user=account.address)
        return self.mode_of(account, payloads.abstraction(body))

    def mode_of(self, account: Account, name: str | None) -> AccountMode:
        """The AccountMode for a mode name. clearinghouseState has the whole equity only in a plain mode."""
        if name in PLAIN_MODES:
            return AccountMode(account.name, name, plain=True)
        if name is None:
            reason = "the exchange does not say how its balances are kept (account mode): it answers null"
            return AccountMode(account.name, name, plain=False, reason=reason)
        reason = f"account mode {name}: the exchange keeps the money of all its dexes in its spot state"
        return AccountMode(account.name, name, plain=False, reason=reason, pool=POOLS.get(name))

    def spot(self, account: Account, *, asked_s: float, time_ms: int) -> Statement:
        """The account's balances of tokens."""
        body = self._ask(_LIGHT, "spotClearinghouseState", user=account.address)
        return payloads.spot_statement(body, account.name, time_ms=time_ms, asked_s=asked_s)

    def spot_pairs(self) -> dict[str, str]:
        """The keys of the tokens that are traded for USDC, by the names of their pairs."""
        return payloads.spot_pairs(self._ask(_USUAL, "spotMeta"))

    def token_prices(self) -> dict[str, Decimal]:
        """The mark prices of the tokens that are traded for USDC, by key; USDC itself is 1."""
        return payloads.token_prices(self._ask(_USUAL, "spotMetaAndAssetCtxs"))

    def sub_accounts(
        self, account: Account, *, now_ms: int, whole: bool = True
    ) -> tuple[list[SubAccount], list[str]]:
        """The account's sub-accounts, and a text for each that could not be read.

        subAccounts states the first dex alone; if there are any and they are wanted `whole`, subAccounts2 is
        asked for their other dexes. If that fails, each names the reason in `unread`.
        """
        asked_s = time.monotonic()
        body = self._ask(_USUAL, "subAccounts", may_be_null=True, user=account.address)
        found, unread = payloads.sub_accounts(body, asked_s=asked_s, now_ms=now_ms)
        if not found or not whole:
            return found, unread
        try:
            body = self._ask(_USUAL, "subAccounts2", may_be_null=True, user=account.address)
            more, texts = payloads.sub_accounts(body, asked_s=asked_s, now_ms=now_ms)
        except (VenueRefused, VenueUnavailable, WireError) as error:
            reason = f"its other dexes are not known: {error}"
            return [replace(one, unread=(*one.unread, reason)) for one in found], unread
        return payloads.joined(found, more), unread + [text for text in texts if text not in unread]

    def vault_stakes(self, account: Account) -> tuple[list[VaultStake], list[str]]:
        """What the account has in vaults, and a text for each stake that could not be read."""
        return payloads.vault_stakes(self._ask(_USUAL, "userVaultEquities", user=account.address))

    def vault(self, address: str) -> Vault | None:
        """The vault at an address; None if there is none."""
        body = self._ask(_USUAL, "vaultDetails", may_be_null=True, vaultAddress=address)
        return payloads.vault(body)

    def staking(self, account: Account) -> Staking:
        """What the account has staked, in HYPE."""
        return payloads.staking(self._ask(_USUAL, "delegatorSummary", user=account.address))

    def dexes(self) -> list[str]:
        """The names of all dexes except the first."""
        return payloads.dex_names(self._ask(_USUAL, "perpDexs"))

    def collateral(self, scope: str) -> str:
        """The token that profit, margin and fees of a dex are in."""
        if not self._tokens:
            self._tokens = payloads.token_names(self._ask(_USUAL, "spotMeta"))
        dex: dict[str, Any] = {"dex": scope} if scope else {}
        index = payloads.collateral_token(self._ask(_USUAL, "meta", **dex))
        if index not in self._tokens:
            # A token may be newer than the list.
            self._tokens = payloads.token_names(self._ask(_USUAL, "spotMeta"))
        if index not in self._tokens:
            raise WireError(f"meta of {scope}: there is no token {index}")
        return self._tokens[index]

    def margin_tables(self, scope: str) -> dict[str, MarginTable]:
        """The margin tiers of a dex, by key."""
        dex: dict[str, Any] = {"dex": scope} if scope else {}
        return payloads.margin_tables(self._ask(_USUAL, "meta", **dex))

    def fundings_since(
        self, account: Account, start_ms: int, *, urgent: bool = True
    ) -> tuple[list[Funding], list[str]]:
        """All funding payments from `start_ms` on, oldest first, each once; and a text for each row that
        could not be read. An answer has up to 500 rows; the next one is requested from the newest time of the
        last."""
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
        """The role that the exchange gives the address, and the owner's address of an agent or
        sub-account."""
        return payloads.role(self._ask(_HEAVY, "userRole", user=account.address))

    def key_expiry_ms(self, account: Account) -> int | None:
        """When the key of the account's configured agent expires; None if it is not among `extraAgents`."""
        body = self._ask(_USUAL, "extraAgents", user=account.address)
        return payloads.agent_expiries(body).get(account.agent or "")

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
        """POST one info request; the JSON value of its answer. `most` is what the rows of the answer may cost
        beyond `weight`, 0 if they are free. Raises WireError for null, unless it `may_be_null`."""

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

"""What Hyperliquid can be asked: statements, fills since a time, an account's role. By address alone.

Knows the request weights; one place for all REST. Rules: the API documentation, rate limits and
info endpoint.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hlposmon.config import Account
from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.reports import Fill, Funding, Happened, Identity, Statement
from hlposmon.errors import VenueRefused, VenueUnavailable, WireError
from hlposmon.text import loads
from hlposmon.transport.deadline import Patience, Unhurried
from hlposmon.transport.http import Requests
from hlposmon.transport.quota import Quota, Share
from hlposmon.venues.hyperliquid import payloads as wire
from hlposmon.venues.hyperliquid.payloads.fields import list_of

_LIGHT, _USUAL, _HEAVY = 2, 20, 60
_ROWS_PER_WEIGHT = 20
PAGE_ROWS = 2000
SHORT_ROWS = 500


# Account modes in which clearinghouseState has the whole equity. dexAbstraction shares it with other dexes.
PLAIN_MODES = frozenset({"default", "disabled"})


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of fills, asked for at `asked_s` (monotonic seconds): those of watched perpetuals, the
    coins of the rest, and rows that could not be read; whether it is the last, with which all fills are
    fetched. `hole` is a span in which fills cannot be had, and why."""

    fills: tuple[Fill, ...]
    others: tuple[str, ...]
    asked_s: float = 0.0
    last: bool = True
    hole: tuple[int, int, str] | None = None
    unread: tuple[wire.UnreadFill, ...] = ()


class HyperliquidInfo:
    """The info endpoint of one server. `clock` gives monotonic seconds, `now_ms` wall-clock ones."""

    def __init__(self, api_url: str, *, budget: Share, patience: Patience) -> None:
        self._requests = Requests(f"{api_url.rstrip('/')}/info", budget=budget, patience=patience)

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
        return wire.statement(body, account.name, asked_s=asked_s, now_ms=now_ms, fills_from_ms=fills_from_ms)

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
            times = wire.times(body)
            # A page is 2000 rows today; elsewhere the API answers with 500 at a time. Short is less.
            last = len(body) < SHORT_ROWS
            if not last and not times:
                raise WireError(
                    "userFillsByTime: no row of a full page has a time: the next cannot be asked for"
                )
            hole = None
            found = wire.fills(body, account.name, account.address)
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
    ) -> tuple[wire.FillRows, tuple[int, int, str] | None]:
        """The fills of a millisecond that fills a page, from both of its ends."""
        answer = self._fills(account, urgent=urgent, startTime=at_ms, endTime=at_ms, reversed=True)
        rest = list_of(answer, "userFillsByTime")
        whole = any(row in body for row in rest[-1:])
        found = wire.fills(body, account.name, account.address)
        more = wire.fills(rest[::-1], account.name, account.address)
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

    def ledger_since(self, account: Account, start_ms: int) -> list[Happened]:
        """What befell the account from `start_ms` on besides fills and funding, oldest first."""
        body = self._ask(
            _USUAL,
            "userNonFundingLedgerUpdates",
            most=SHORT_ROWS // _ROWS_PER_WEIGHT,
            urgent=True,
            user=account.address,
            startTime=start_ms,
        )
        return wire.happenings(body, account.name)

    def now_ms(self) -> int:
        """The venue's clock: ours may be wrong."""
        return wire.venue_time(self._ask(_LIGHT, "exchangeStatus", urgent=True))

    def mode(self, account: Account) -> str | None:
        """How the account's balances are kept: default, unifiedAccount, portfolioMargin, ... or null."""
        return wire.abstraction(self._ask(_USUAL, "userAbstraction", may_be_null=True, user=account.address))

    def spot_holdings(self, account: Account) -> list[str]:
        """What the account holds on spot, as texts."""
        return wire.spot_holdings(self._ask(_LIGHT, "spotClearinghouseState", user=account.address))

    def dexes(self) -> list[str]:
        """The names of all dexes but the first."""
        return wire.dex_names(self._ask(_USUAL, "perpDexs"))

    def coins_held(self, account: Account, dex: str) -> list[str]:
        """The coins of the account's positions on another dex than the first."""
        body = self._ask(_LIGHT, "clearinghouseState", user=account.address, dex=dex)
        return wire.held_coins(body, dex)

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
            payments, texts = wire.fundings(body, account.name)
            found |= {(paid.time_ms, paid.key): paid for paid in payments}
            unread += texts
            newest_ms = max(wire.times(body), default=start_ms)
            if len(body) < SHORT_ROWS or newest_ms == start_ms:
                return sorted(found.values(), key=lambda paid: paid.time_ms), unread
            start_ms = newest_ms

    def role(self, account: Account) -> tuple[str, str | None]:
        """What the exchange takes the address for, and whose agent or sub-account it is."""
        return wire.role(self._ask(_HEAVY, "userRole", user=account.address))

    def close(self) -> None:
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
            wire.info(kind, **fields), weight=weight, most=most, extra=rows if most else None, urgent=urgent
        )
        body = loads(raw)
        if body is None and not may_be_null:
            raise WireError(f"{kind}: null is no answer")
        return body


class HyperliquidPositions:
    """The PositionInterface of Hyperliquid's perpetuals, always live: it asks the exchange itself."""

    venue = wire.VENUE
    execution_mode = "live"

    def __init__(self, info: HyperliquidInfo, accounts: tuple[Account, ...]) -> None:
        self._info = info
        self._accounts = accounts

    @classmethod
    def at(cls, api_url: str, accounts: tuple[Account, ...]) -> "HyperliquidPositions":
        info = HyperliquidInfo(api_url, budget=Quota().share(), patience=Unhurried())
        return cls(info, accounts)

    def get_positions(self, timestamp: int | None = None) -> dict[str, Any]:
        """`perp_positions` by account and coin: size, side, entry price, unrealised P&L."""
        found: dict[str, dict[str, Any]] = {}
        for statement in self._statements():
            found[statement.account] = {
                wire.coin_of(stated.key): {
                    "size": stated.size,
                    "side": "long" if stated.size > 0 else "short",
                    "entry_price": stated.entry_price,
                    "mark_price": stated.mark_price,
                    "unrealized_pnl": _unrealized(stated.size, stated.entry_price, stated.mark_price),
                }
                for stated in statement.positions
            }
        return {
            "venue": self.venue,
            "timestamp": timestamp,
            "execution_mode": self.execution_mode,
            "perp_positions": found,
        }

    def get_balance(self, asset: str) -> Decimal:
        """The account value in USDC: the only asset that perpetuals of the first dex are margined in."""
        if asset != "USDC":
            raise VenueRefused(f"{self.venue}: the balance of {asset} is not known here, only USDC")
        with exactly():
            return sum((statement.equity or ZERO for statement in self._statements()), ZERO)

    def get_position_history(self, start_time: int, end_time: int) -> list[dict[str, Any]]:
        """The fills of the range, oldest first."""
        rows = [
            fill
            for account in self._accounts
            for page in self._info.fills_since(account, start_time)
            for fill in _whole(page).fills
            if fill.time_ms <= end_time
        ]
        return [
            {
                "timestamp": fill.time_ms,
                "account": fill.account,
                "instrument": fill.key,
                "delta": fill.signed_size,
                "position": fill.end_position,
                "price": fill.price,
                "fee": fill.fee,
                "fee_token": fill.fee_token,
            }
            for fill in sorted(rows, key=lambda fill: fill.time_ms)
        ]

    def _statements(self) -> list[Statement]:
        found = [self._info.statement(account, asked_s=0.0, now_ms=0) for account in self._accounts]
        for statement in found:
            for key, why in statement.unread.items():
                raise VenueUnavailable(f"{key} of {statement.account} could not be read: {why}")
        return found


def _whole(page: Page) -> Page:
    """The page, if it holds all fills of its span; VenueUnavailable where some could not be read or had."""
    for one in page.unread:
        raise VenueUnavailable(one.text)
    if page.hole is not None:
        raise VenueUnavailable(page.hole[2])
    return page


def _unrealized(size: Decimal, entry: Decimal | None, mark: Decimal | None) -> Decimal | None:
    if entry is None or mark is None:
        return None
    with exactly():
        return size * (mark - entry)

"""The Hyperliquid implementation of the port's Venue. A process loads only the parts that it uses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hlposmon.config import Account
from hlposmon.transport.deadline import Deadline
from hlposmon.transport.quota import Share
from hlposmon.venues.port import Client, FillFeed, PriceFeed, Scope, StateFeed

if TYPE_CHECKING:
    from hlposmon.transport.websocket import Feed


class Hyperliquid:
    """One server, used through one process's share of its rate limit: `port.Venue`."""

    name = "hyperliquid"
    scopes: tuple[Scope, ...] = (Scope("first dex", "Perp", "USDC"),)

    def __init__(
        self, api_url: str, ws_url: str, *, share: Share, deadline: Deadline, **connection: Any
    ) -> None:
        """`connection` are options of `transport.websocket.Feed`: its pings and its backoff."""
        self._api_url, self._ws_url = api_url, ws_url
        self._share, self._deadline = share, deadline
        self._connection = connection

    def client(self) -> Client:
        from hlposmon.venues.hyperliquid.client import HyperliquidClient

        return HyperliquidClient(self._api_url, budget=self._share, deadline=self._deadline)

    def fill_feed(self, accounts: Sequence[Account]) -> FillFeed:
        from hlposmon.venues.hyperliquid.feed import HyperliquidFills

        return HyperliquidFills(self._connect(), accounts)

    def state_feed(self, accounts: Sequence[Account]) -> StateFeed:
        from hlposmon.venues.hyperliquid.feed import HyperliquidStates

        return HyperliquidStates(self._connect(), accounts)

    def price_feed(self) -> PriceFeed:
        from hlposmon.venues.hyperliquid.feed import HyperliquidPrices

        return HyperliquidPrices(self._connect())

    def _connect(self) -> "Feed":
        from hlposmon.transport.websocket import Feed
        from hlposmon.venues.hyperliquid.payloads import PING

        return Feed(self._ws_url, ping=PING, deadline=self._deadline, share=self._share, **self._connection)

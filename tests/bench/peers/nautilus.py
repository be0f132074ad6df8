"""nautilus_trader's trading node, no strategy in it: `python -m tests.bench.peers.nautilus ARGUMENTS`.

Its REST client takes no other server's address, so what a node asks for once by REST (instruments, balances)
is given to it here. All else is its own: the WebSocket client, the execution client, the engine
that reconciles orders of others, cache and portfolio. A fill is in hand when the node publishes it.
"""

import asyncio
import sys
from typing import Any

from nautilus_trader.adapters.hyperliquid.config import HyperliquidExecClientConfig
from nautilus_trader.adapters.hyperliquid.execution import HyperliquidExecutionClient
from nautilus_trader.adapters.hyperliquid.providers import HyperliquidInstrumentProvider
from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.core import nautilus_pyo3 as nt
from nautilus_trader.live.factories import LiveExecClientFactory
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import AccountBalance, Currency, Money

from tests.bench.market import FIRST_ORDER, FIRST_TRADE
from tests.bench.peers.reporting import Heard

VENUE = "HYPERLIQUID"


def instrument(coin: str) -> Any:
    """What its provider would have made of the venue's list."""
    usdc = nt.Currency.from_str("USDC")
    known = coin if coin in ("BTC", "ETH", "SOL") else "BTC"  # it has no currency of a made-up name
    return nt.CryptoPerpetual(
        instrument_id=nt.InstrumentId.from_str(f"{coin}-USD-PERP.{VENUE}"),
        raw_symbol=nt.Symbol(coin),
        base_currency=nt.Currency.from_str(known),
        quote_currency=usdc,
        settlement_currency=usdc,
        is_inverse=False,
        price_precision=1,
        size_precision=3,
        price_increment=nt.Price.from_str("0.1"),
        size_increment=nt.Quantity.from_str("0.001"),
        ts_event=0,
        ts_init=0,
    )


class Client(HyperliquidExecutionClient):  # type: ignore[misc]
    """Its execution client, but for the two requests at its start."""

    instruments: list[Any]
    address: str
    heard: Heard

    async def _connect(self) -> None:
        for one in self.instruments:
            self._cache.add_instrument(CryptoPerpetual.from_dict(one.to_dict()))
        usdc = Currency.from_str("USDC")
        whole, none = Money(10_000_000, usdc), Money(0, usdc)
        balances = [AccountBalance(whole, none, whole)]
        now_ns = self._clock.timestamp_ns()
        self.generate_account_state(balances=balances, margins=[], reported=True, ts_event=now_ns)
        await self._await_account_registered()
        await self._ws_client.connect(self._loop, self.instruments, self._handle_msg)
        await self._ws_client.subscribe_order_updates(self.address)
        await self._ws_client.subscribe_user_events(self.address)
        self.marks = nt.HyperliquidWebSocketClient(url=self._config.base_url_ws)
        await self.marks.connect(self._loop, self.instruments, self._mark)
        for one in self.instruments:
            await self.marks.subscribe_mark_prices(one.id)
        self.heard.serve_beside()

    def _mark(self, _update: Any) -> None:
        """What counts is that it was read."""


class Factory(LiveExecClientFactory):  # type: ignore[misc]
    """As its own, for this client."""

    @staticmethod
    def create(loop: Any, name: Any, config: Any, msgbus: Any, cache: Any, clock: Any) -> Client:
        client = nt.HyperliquidHttpClient()
        return Client(
            loop=loop,
            client=client,
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            instrument_provider=HyperliquidInstrumentProvider(client),
            config=config,
            name=name,
            account_address=config.account_address,
        )


def main() -> None:
    _api_url, ws_url, address, held, listener = sys.argv[1:]
    heard = Heard(int(listener))
    Client.instruments = [instrument(coin) for coin in held.split(",")]
    Client.address, Client.heard = address, heard
    config = TradingNodeConfig(
        trader_id="BENCH-001",
        logging=LoggingConfig(log_level="OFF"),
        exec_engine=LiveExecEngineConfig(reconciliation=False, inflight_check_interval_ms=0),
        timeout_disconnection=1.0,
        timeout_post_stop=0.1,
        exec_clients={VENUE: HyperliquidExecClientConfig(base_url_ws=ws_url, account_address=address)},
    )
    node = TradingNode(config, loop=asyncio.new_event_loop())
    node.add_exec_client_factory(VENUE, Factory)
    node.build()

    def filled(event: Any) -> None:
        heard.fill(int(str(event.venue_order_id)) - FIRST_ORDER + FIRST_TRADE)

    node.kernel.msgbus.subscribe(topic="events.fills.*", handler=filled)
    node.run()


if __name__ == "__main__":
    main()

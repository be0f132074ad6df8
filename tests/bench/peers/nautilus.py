"""nautilus_trader's WebSocket client: `python -m tests.bench.peers.nautilus API_URL WS_URL ADDRESS COINS`.

Its REST client takes no address of another server, so no whole trading node can run on ours: measured is what
its Hyperliquid adapter is built on, the client that reads fills and quotes and hands Python its reports.
"""

import asyncio
import sys
from typing import Any

from nautilus_trader.core import nautilus_pyo3 as nt

from tests.bench.market import FIRST_ORDER, FIRST_TRADE
from tests.bench.peers.reporting import Heard


def instrument(coin: str) -> Any:
    """What its provider would have made of the venue's list."""
    usdc = nt.Currency.from_str("USDC")
    return nt.CryptoPerpetual(
        instrument_id=nt.InstrumentId.from_str(f"{coin}-USD-PERP.HYPERLIQUID"),
        raw_symbol=nt.Symbol(coin),
        base_currency=nt.Currency.from_str(coin)
        if coin in ("BTC", "ETH", "SOL")
        else nt.Currency.from_str("BTC"),
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


async def run(ws_url: str, address: str, held: list[str]) -> None:
    heard = Heard()

    def told(report: Any) -> None:
        if isinstance(report, nt.FillReport):
            heard.fill(
                int(str(report.venue_order_id)) - FIRST_ORDER + FIRST_TRADE
            )  # its trade ids are its own

    instruments = [instrument(coin) for coin in held]
    client = nt.HyperliquidWebSocketClient(url=ws_url, account_id="HYPERLIQUID-master")
    await client.connect(asyncio.get_running_loop(), instruments, told)
    await client.subscribe_user_events(address)
    for one in instruments:
        await client.subscribe_mark_prices(one.id)
    asked = heard.serve_beside()
    while asked.is_alive():
        await asyncio.sleep(0.1)
    await client.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[2], sys.argv[3], sys.argv[4].split(",")))

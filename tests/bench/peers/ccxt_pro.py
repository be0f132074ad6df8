"""ccxt pro's watch methods: `python -m tests.bench.peers.ccxt_pro ARGUMENTS`.

Fills by watch_my_trades, positions by watch_positions, prices by watch_tickers, each in a task of its own, as
its manual does it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt.pro

from tests.bench.peers.reporting import Heard


async def for_ever(watch: Callable[[], Awaitable[Any]], heard: Callable[[Any], None]) -> None:
    while True:
        heard(await watch())


async def run(api_url: str, ws_url: str, address: str, heard: Heard) -> None:
    exchange = ccxt.pro.hyperliquid({"walletAddress": address, "newUpdates": True})
    exchange.urls["api"] = {"public": api_url, "private": api_url, "ws": {"public": ws_url}}

    def fills(trades: Any) -> None:
        for trade in trades:
            heard.fill(trade["info"]["tid"])

    def ignore(_: Any) -> None:
        """What counts is that it was read."""

    await exchange.load_markets()
    tasks = [
        asyncio.create_task(for_ever(exchange.watch_tickers, ignore)),
        asyncio.create_task(for_ever(exchange.watch_positions, ignore)),
        asyncio.create_task(for_ever(exchange.watch_my_trades, fills)),
    ]
    asked = heard.serve_beside()
    while asked.is_alive():
        await asyncio.wait(tasks, timeout=0.5, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    await exchange.close()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:4], Heard(int(sys.argv[5]))))

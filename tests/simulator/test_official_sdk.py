"""The venue's own Python client, unmodified, takes the simulated exchange for the real one."""

import queue
import time
from collections.abc import Callable
from typing import Any

from hyperliquid.info import Info

Venues = Callable[..., Any]


def test_the_official_client_reads_everything_it_needs(venue: Venues) -> None:
    here = venue()
    info = Info(here.url, skip_ws=True, perp_dexs=["", "xyz"])
    fills = info.user_fills(here.account)
    state = info.user_state(here.account)

    assert len(state["assetPositions"]) >= 4
    assert float(info.all_mids()["BTC"]) > 0
    assert info.meta()["universe"][0]["name"] == "BTC"
    assert info.name_to_coin["xyz:TSLA"] == "xyz:TSLA"
    assert info.asset_to_sz_decimals[info.coin_to_asset["ETH"]] == 4
    assert sorted(fill["tid"] for fill in info.user_fills_by_time(here.account, 0)) == sorted(
        fill["tid"] for fill in fills
    )
    assert info.user_role(here.account) == {"role": "user"}
    assert info.open_orders(here.account)[0]["coin"] == "BTC"
    assert info.spot_user_state(here.account)["balances"]
    assert info.user_funding_history(here.account, 0)


def test_the_official_client_hears_fills_and_prices_and_leaves_cleanly(venue: Venues) -> None:
    here = venue()
    info = Info(here.url)
    fills: queue.Queue[Any] = queue.Queue()
    mids: queue.Queue[Any] = queue.Queue()
    info.subscribe({"type": "userFills", "user": here.account}, fills.put)
    info.subscribe({"type": "allMids"}, mids.put)
    try:
        snapshot = fills.get(timeout=30)["data"]
        made = here.buy("BTC", "0.01", "86250")
        live = fills.get(timeout=30)["data"]

        assert snapshot["isSnapshot"]
        assert live["fills"][0]["tid"] == made["tid"]
        assert "BTC" in mids.get(timeout=30)["data"]["mids"]
    finally:
        info.disconnect_websocket()
    deadline = time.monotonic() + 60
    while here.control.state()["connections"]:
        assert time.monotonic() < deadline, "the exchange still has its connection"

    # Its own thread may notice the close only ten seconds later: the library waits on a closed socket.
    assert not info.ws_manager.ws.keep_running

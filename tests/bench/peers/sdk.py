"""The official SDK's callback: `python -m tests.bench.peers.sdk ARGUMENTS`.

The SDK makes the WebSocket's address of the API's. Prices are the mids, as it knows no conflated marks.
"""

import sys
from typing import Any

from hyperliquid.info import Info

from tests.bench.peers.reporting import Heard


def main() -> None:
    api_url, _ws_url, address, _coins, listener = sys.argv[1:]
    heard, mids = Heard(int(listener)), dict[str, str]()

    def fills(message: Any) -> None:
        if not message["data"].get("isSnapshot"):
            for row in message["data"]["fills"]:
                heard.fill(row["tid"])

    def prices(message: Any) -> None:
        mids.update(message["data"]["mids"])

    info = Info(api_url)
    info.user_state(address)
    info.subscribe({"type": "allMids"}, prices)
    info.subscribe({"type": "userFills", "user": address}, fills)
    heard.serve()
    info.disconnect_websocket()


if __name__ == "__main__":
    main()

"""Every fill as a line, with the library `websockets`, through restarts of the monitor.

    pip install websockets
    python follow_fills.py /run/hlposmon/hlposmon.sock
    python follow_fills.py ws://127.0.0.1:8000             # with [tcp] listen

The whole stream is read, not only its fills: a hole in the numbers is seen only by who reads all of them.
"""

import json
import os
import sys
import time

try:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import ClientConnection, connect, unix_connect
except ModuleNotFoundError:
    sys.exit("this example needs a library: pip install websockets")

STREAM = "/api/v1/positions/stream"
SILENCE_S = 45.0  # the monitor says ping after 30 s in which it had nothing to say


def opened(where: str, since: int | None) -> ClientConnection:
    query = "" if since is None else f"?since={since}"
    if where.startswith("ws"):
        return connect(f"{where}{STREAM}{query}", open_timeout=5, max_size=None)
    return unix_connect(where, f"ws://localhost{STREAM}{query}", open_timeout=5, max_size=None)


def read(stream: ClientConnection, last: int | None) -> int | None:
    """Print until the connection ends; the number to go on behind, None for the whole state."""
    while True:
        try:
            message = json.loads(stream.recv(timeout=SILENCE_S))
        except (ConnectionClosed, TimeoutError) as error:
            print(f"the stream ended: {error!r}", file=sys.stderr)
            return last
        seq = message.get("seq")
        if seq is None:
            continue  # ping and the like: no part of the numbered stream
        if message["type"] == "initial_state":
            print(f"state at {seq}: {sorted(message['positions'])}", file=sys.stderr)
        elif last is not None and seq != last + 1:
            print(f"lost {last + 1} to {seq - 1}: asking for the whole state", file=sys.stderr)
            return None
        elif message.get("event_type") == "fill":
            fill, position = message["fill"], message["position"]
            print(
                message["account"], fill["timestamp"], fill["symbol"], fill["side"], fill["quantity"],
                fill["price"], "now", position["size"], position["verdict"], flush=True,
            )  # fmt: skip
        last = seq


def main() -> None:
    where = (sys.argv[1:] or [os.environ.get("HLPOSMON_SOCKET", "/run/hlposmon/hlposmon.sock")])[0]
    last: int | None = None
    while True:
        try:
            with opened(where, last) as stream:
                last = read(stream, last)
        except (OSError, InvalidStatus) as error:
            print(f"{where}: {error}", file=sys.stderr)
        time.sleep(0.5)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass

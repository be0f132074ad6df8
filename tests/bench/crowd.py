"""What a crowd of stream clients costs: `python -m tests.bench.crowd [--clients 600] [--rate 100]`.

One user's program opens them all and reads everything; fills come at the rate meanwhile. Measured is how
old the sizes in the snapshot are.
"""

import argparse
import multiprocessing
import selectors
import socket
import statistics
import threading
import time
from decimal import Decimal
from multiprocessing.connection import Connection

from hlposmon.client.snapshot import Snapshot
from tests.system.world import World, world

COIN, SIZE = "BTC", "0.001"
HANDSHAKE = (
    b"GET /api/v1/positions/stream HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def crowd(path: str, count: int, said: Connection) -> None:
    """Open so many and read all that comes, until told to end; then say how many were closed."""
    ready = selectors.DefaultSelector()
    closed, bytes_read = 0, 0
    for _ in range(count):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        sock.sendall(HANDSHAKE)
        sock.setblocking(False)
        ready.register(sock, selectors.EVENT_READ)
    said.send(count)
    while not said.poll():
        for key, _ in ready.select(0.1):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                data = sock.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                ready.unregister(sock)
                sock.close()
                closed += 1
            bytes_read += len(data)
    said.send((closed, bytes_read))


def measure(here: World, seconds: float, rate: float) -> tuple[list[float], int]:
    """The ages of the snapshot's size, in seconds, looked at every 20 ms; and how many fills were made."""
    made: list[float] = []  # when the n-th fill was made
    over = threading.Event()

    def trade() -> None:
        began = time.monotonic()
        while not over.is_set():
            here.control.fill(here.accounts[0], COIN, "B", SIZE, "86000")
            made.append(time.monotonic())
            over.wait(max(0.0, began + len(made) / rate - time.monotonic()))

    trader = threading.Thread(target=trade)
    trader.start()
    ages: list[float] = []
    until_s = time.monotonic() + seconds
    try:
        with Snapshot.open(here.folder / "snapshot") as snapshot:
            while time.monotonic() < until_s:
                time.sleep(0.02)  # between two looks
                if (held := snapshot.position(f"hyperliquid:Perp:{COIN}")) is not None:
                    seen, now_s = int(held.size / Decimal(SIZE)), time.monotonic()
                    ages.append(now_s - made[seen] if seen < len(made) else 0.0)
    finally:
        over.set()
        trader.join()
    return ages, len(made)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="*", default=[0, 100, 600])
    parser.add_argument("--rate", type=float, default=100.0, help="fills a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    for count in given.clients:
        with world() as here:
            here.open_exchange("--pace", "0", "--accounts", "1")
            here.flatten()
            here.start()
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(
                target=crowd, args=(str(here.socket), count, theirs), daemon=True
            )
            process.start()
            assert ours.recv() == count
            ages, made = measure(here, given.seconds, given.rate)
            ours.send("stop")
            closed, bytes_read = ours.recv()
            process.join()
            print(
                f"{count} clients, {made / given.seconds:.0f} fills/s: sizes in the snapshot"
                f" {statistics.median(ages) * 1000:.0f} ms old in the median,"
                f" {max(ages) * 1000:.0f} ms at most; {closed} clients closed,"
                f" {bytes_read / 1e6:.0f} MB read",
                flush=True,
            )


if __name__ == "__main__":
    main()

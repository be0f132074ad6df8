"""How a program tells what it heard: standard library alone, as it runs by the program's own interpreter.

The arguments are the same for all: API_URL WS_URL ADDRESS COINS LISTENER. Each fill of a callback goes on to
the clients of LISTENER as a WebSocket message, as whoever shares it with another process has to. The process
says `ready` once it hears fills; for each line that it is sent then, it answers with one of JSON: the fills
since the last, with the time at which the callback had them (CLOCK_MONOTONIC, ns).
"""

import json
import socket
import sys
import threading
import time

ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Heard:
    """The fills that a callback was given, from whatever thread. `listener` is an inherited descriptor."""

    def __init__(self, listener: int) -> None:
        self._fills: list[tuple[int, int]] = []
        self._listener = socket.socket(fileno=listener)
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def fill(self, tid: int) -> None:
        """A callback of the program has this fill in hand."""
        self._fills.append((tid, time.monotonic_ns()))
        text = b'{"type":"position_update","event_type":"fill","fill":{"tid":%d}}' % tid
        for client in self._clients:
            client.sendall(bytes((0x81, len(text))) + text)

    def serve(self) -> None:
        """Say that fills are heard, and answer until nobody asks any more."""
        print("ready", flush=True)
        for _ in sys.stdin:
            fills, self._fills = self._fills, []
            print(json.dumps(fills), flush=True)

    def serve_beside(self) -> threading.Thread:
        """The same on a thread of its own, for a program that wants the main one."""
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.recv(1 << 16)  # the handshake, which comes in one piece from the benchmark's client
            client.sendall(ACCEPT)
            self._clients.append(client)

"""A small language for the tests: servers that do one thing wrong, a deadline that watches the clock,
and the simulated exchange in a thread."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable

from hlposmon.simulator.client import Control
from hlposmon.simulator.exchange import Exchange, Options
from tests.clock import awake_here_s


class Watched:
    """A deadline that remembers when it was called, and the longest it was not though this process ran."""

    def __init__(self):
        self.stopping = False
        self.begin()

    def begin(self):
        self.longest_s, self._called_s = 0.0, awake_here_s()

    def wait(self, timeout_s):
        self._note()
        time.sleep(timeout_s)
        self._note()
        return self.stopping

    def _note(self):
        now = awake_here_s()
        self.longest_s = max(self.longest_s, now - self._called_s)
        self._called_s = now


class Server:
    """A listening socket; each connection is handed to `serve` in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket, "Server"], None]):
        self.serve = serve
        self.count = 0
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.over.is_set():
                sock.close()
                return
            self.count += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            self.serve(sock, self)

    def close(self):
        self.over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self.listener.close()
        for thread in self.threads:
            thread.join(30)


class Venue:
    """The simulated exchange, turning in its own thread."""

    def __init__(self, options: Options):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ws_url = self.url.replace("http", "ws", 1) + "/ws"
        self.exchange = Exchange(options, self.listener)
        self.accounts = self.exchange.accounts
        self.control = Control(self.url)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _turn(self):
        while not self._stopping.is_set():
            self.exchange.step(0.02)

    def close(self):
        self._stopping.set()
        self._thread.join()
        self.exchange.close()
        self.listener.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def until(wanted, seconds=30.0):
    """Wait for a condition; what it came to."""
    deadline = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)
    return found

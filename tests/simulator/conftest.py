"""A small language for the tests: an exchange in a thread, a REST client, a WebSocket, the script's hand."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from hlposmon.simulator.client import Control
from hlposmon.simulator.exchange import Exchange, Options


class Feed:
    """A client's WebSocket that remembers all it was sent."""

    def __init__(self, url: str) -> None:
        self.socket = websocket.create_connection(url.replace("http", "ws", 1) + "/ws", timeout=30)
        self.greeting = self.socket.recv()
        self.heard: list[Any] = []

    def say(self, **request: Any) -> "Feed":
        self.socket.send(json.dumps(request))
        return self

    def subscribe(self, kind: str, **fields: Any) -> "Feed":
        """Subscribe, and read on until it is acknowledged or refused."""
        self.say(method="subscribe", subscription={"type": kind, **fields})
        self.until(lambda m: m["channel"] in ("subscriptionResponse", "error"))
        return self

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The next message that is wanted."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            message = json.loads(self.socket.recv())
            self.heard.append(message)
            if wanted(message):
                return message
        raise AssertionError("it was not said")

    def next(self, channel: str) -> Any:
        """The data of the next message of a channel."""
        return self.until(lambda message: message["channel"] == channel)["data"]

    def next_pong(self) -> bool:
        """Whether the next pong comes."""
        return bool(self.until(lambda message: message["channel"] == "pong"))

    def fills(self, count: int) -> list[list[Any]]:
        """Live messages of fills, until they hold so many."""
        messages: list[list[Any]] = []
        while sum(map(len, messages)) < count:
            messages.append(self.next("userFills")["fills"])
        return messages

    def silent(self, *channels: str, seconds: float = 0.2) -> bool:
        """Whether these channels say nothing for a while."""
        self.socket.settimeout(seconds)
        try:
            while True:
                message = json.loads(self.socket.recv())
                if message["channel"] in channels:
                    return False
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.socket.settimeout(30)

    def close(self) -> None:
        self.socket.close()


class Venue:
    """An exchange that turns in its own thread."""

    def __init__(self, options: Options) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ahead = 0.0  # seconds that a test has added to the clock
        self.exchange = Exchange(options, self.listener, clock=lambda: time.monotonic() + self.ahead)
        self.accounts = self.exchange.accounts
        self.account = self.accounts[0]
        self.control = Control(self.url)
        self.feeds: list[Feed] = []
        self.session = requests.Session()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def ask(self, kind: str, **fields: Any) -> Any:
        answer = self.post(type=kind, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, **request: Any) -> requests.Response:
        return self.session.post(self.url + "/info", json=request, timeout=30)

    def feed(self) -> Feed:
        self.feeds.append(Feed(self.url))
        return self.feeds[-1]

    def watching(self, kind: str = "userFills", **fields: Any) -> Feed:
        """A feed on the first account, whose snapshot has been read."""
        feed = self.feed().subscribe(kind, user=self.account, **fields)
        feed.next(kind)
        return feed

    def state(self, account: str | None = None) -> Any:
        return self.ask("clearinghouseState", user=account or self.account)

    def truth(self, account: str | None = None) -> Any:
        return self.control.state()["accounts"][account or self.account]

    def buy(self, coin: str, size: str, price: str) -> Any:
        return self.control.fill(self.account, coin, "B", size, price)

    def close(self) -> None:
        for feed in self.feeds:
            feed.close()
        self.session.close()
        self._stopping.set()
        self._thread.join()
        self.exchange.close()
        self.listener.close()

    def _turn(self) -> None:
        while not self._stopping.is_set():
            self.exchange.step(0.05)


@pytest.fixture
def venue() -> Iterator[Callable[..., Venue]]:
    """`venue(pace=5)`: an exchange with these options; without any it trades only by script."""
    venues: list[Venue] = []

    def start(**options: Any) -> Venue:
        venues.append(Venue(Options(**{"pace": 0.0, "limits": False, "seed": 7} | options)))
        return venues[-1]

    yield start
    for one in venues:
        one.close()


@pytest.fixture
def real_data() -> Path:
    """Real answers of the venue, where this machine has them."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "real-data"
    folder = Path(os.environ.get("HLPOSMON_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real answers at {folder}: set HLPOSMON_REAL_DATA")
    return folder

"""One client's WebSocket at the exchange: its requests, its subscriptions, whether it is stalled.

It answers requests; the hub sends it what happens in the world. Error texts are the venue's own.
"""

import json
import math
from typing import Any

from hlposmon.serving.messages import Peer, text_frame
from hlposmon.simulator import channels, metas, subscription
from hlposmon.simulator.facts import Row
from hlposmon.simulator.hub import Hub
from hlposmon.simulator.question import BadRequest
from hlposmon.simulator.subscription import UNKNOWN, Subscription, UnknownType

GREETING = "Websocket connection established."


def encoded(row: Row) -> bytes:
    """A message as a frame for any number of peers."""
    return text_frame(json.dumps(row, separators=(",", ":")).encode())


def unreadable(message: str | bytes) -> str:
    """The venue's error text for a message that is not a request it knows; it quotes the whole message."""
    shown = message if isinstance(message, str) else repr(message)
    return f"Error parsing JSON into valid websocket request: {shown}"


class Feed:
    """The session of one WebSocket."""

    def __init__(self, hub: Hub) -> None:
        self.subscriptions: dict[Subscription, None] = {}
        self.peer: Peer | None = None
        self.sent = 0  # messages
        self.stalled_until = 0.0  # on the hub's clock
        self._hub = hub
        self._fast: dict[str, dict[str, str]] = {}  # what fastAssetCtxs has told

    @property
    def stalled(self) -> bool:
        """Whether it must stay silent now."""
        return self._hub.clock() < self.stalled_until

    def opened(self, peer: Peer) -> None:
        """Greet, in text that is no JSON."""
        self.peer = peer
        self._hub.feeds.append(self)
        peer.send(GREETING)

    def drained(self, peer: Peer) -> None:
        """Nothing was kept back for it."""

    def closed(self, peer: Peer) -> None:  # noqa: ARG002
        """Forget it."""
        self.peer = None
        if self in self._hub.feeds:
            self._hub.feeds.remove(self)

    def idle(self, peer: Peer) -> None:
        """The venue ends a connection to which it has sent nothing for a minute."""
        if not self.stalled:
            peer.close(1000, "Inactive")

    def received(self, peer: Peer, message: str | bytes) -> None:  # noqa: ARG002
        """One request."""
        hub = self._hub
        if not hub.budgets.allows(hub.budgets.messages, 1, hub.clock()):
            self.error("Cannot send more than 2000 messages per minute.")
            return
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        method = request.get("method") if isinstance(request, dict) else None
        if method == "ping":
            self.say({"channel": "pong"})
        elif method == "subscribe":
            self._subscribe(request, message)
        elif method == "unsubscribe":
            self._unsubscribe(request, message)
        elif method == "post":
            self._post(request)
        else:
            self.error(unreadable(message))

    def stall(self, seconds: float) -> None:
        """Stay open, say nothing and hear nothing."""
        self.stalled_until = self._hub.clock() + seconds
        if self.peer is not None:
            self.peer.pause()

    def resume(self) -> None:
        """Hear what was said meanwhile, and go on."""
        if self.stalled_until:
            self.stalled_until = 0.0
            if self.peer is not None:
                self.peer.resume()

    def resume_if_due(self) -> None:
        """Resume when the stall is over."""
        if self.stalled_until and self.stalled_until != math.inf and not self.stalled:
            self.resume()

    def say(self, row: Row) -> None:
        """Send one message, unless stalled."""
        self.send_frame(encoded(row))

    def send_frame(self, frame: bytes) -> None:
        """Send one encoded message, unless stalled."""
        if self.peer is not None and not self.stalled:
            self.sent += 1
            self.peer.send_frame(frame)

    def error(self, words: str) -> None:
        """Send a message on the error channel; only its text can name the subscription."""
        self.say({"channel": "error", "data": words})

    def push_fast(self) -> None:
        """Send the prices that changed since they were last sent; all of them at first."""
        now = metas.fast_contexts(self._hub.world)
        changed = {}
        for coin, prices in now.items():
            told = self._fast.get(coin, {})
            news = {name: price for name, price in prices.items() if told.get(name) != price}
            if news:
                changed[coin] = news
        if changed and not self.stalled:
            odd = self._hub.garbling.fast(changed)
            # Coins whose row was garbled are sent again with the next message.
            self._fast = {coin: prices for coin, prices in now.items() if coin not in odd}
            self.say({"channel": "fastAssetCtxs", "data": channels.packed(changed)})

    def _subscribe(self, request: Row, message: str | bytes) -> None:
        hub = self._hub
        wanted = self._read(request, message)
        if wanted is None:
            return
        if wanted.kind in hub.refused:
            is_unknown = hub.refused[wanted.kind] == UNKNOWN
            self.error(unreadable(message) if is_unknown else f"Invalid subscription {wanted.shown()}")
            return
        if wanted in self.subscriptions:
            self.error(f"Already subscribed: {wanted.shown()}")
            return
        refusal = hub.refusal_of(wanted)
        if refusal:
            self.error(refusal)
            return
        self.subscriptions[wanted] = None
        self._acknowledge("subscribe", wanted)
        first = hub.first(wanted, self)
        if first is not None:
            self.say(first)
        elif wanted.kind == "fastAssetCtxs":
            self._fast = {}
            self.push_fast()

    def _unsubscribe(self, request: Row, message: str | bytes) -> None:
        wanted = self._read(request, message)
        if wanted is None:
            return
        if wanted not in self.subscriptions:
            self.error(f"Already unsubscribed: {wanted.shown()}")
            return
        del self.subscriptions[wanted]
        self._acknowledge("unsubscribe", wanted)

    def _read(self, request: Row, message: str | bytes) -> Subscription | None:
        try:
            return subscription.read(request.get("subscription"), self._hub.coins)
        except UnknownType:
            self.error(unreadable(message))
            return None
        except BadRequest:
            shown = json.dumps(request.get("subscription"), separators=(",", ":"))
            self.error(f"Invalid subscription {shown}")
            return None

    def _acknowledge(self, method: str, wanted: Subscription) -> None:
        data = {"method": method, "subscription": wanted.row()}
        self.say({"channel": "subscriptionResponse", "data": data})

    def _post(self, request: Row) -> None:
        inner = request.get("request")
        number = request.get("id")
        if not isinstance(inner, dict) or not isinstance(number, int):
            self.error("Error parsing JSON into valid websocket request: post")
            return
        payload = inner.get("payload")
        self.say({"channel": "post", "data": {"id": number, "response": self._posted(payload)}})

    def _posted(self, payload: Any) -> Row:
        status, answer = self._hub.ask(payload)
        if status != 200:
            return {"type": "error", "payload": answer if isinstance(answer, str) else f"{status}"}
        return {"type": "info", "payload": {"type": payload["type"], "data": answer}}

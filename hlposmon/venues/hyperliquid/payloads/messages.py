"""Envelopes: what is said to Hyperliquid, what a WebSocket message is, and the short answers.

What a message carries is read elsewhere.
"""

from dataclasses import dataclass
from typing import Any

from hlposmon.errors import WireError
from hlposmon.text import dumps, loads
from hlposmon.venues.hyperliquid.payloads.fields import object_of, text_of, time_of

PING = dumps({"method": "ping"})


@dataclass(frozen=True, slots=True)
class Message:
    """One WebSocket message: the channel's name and its data. `channel` is "" for plain text."""

    channel: str
    data: Any


def message(raw: bytes | str) -> Message:
    """Read one text frame. The greeting after the connect is not JSON and is no error."""
    if raw[:1] not in (b"{", "{"):
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        if text.startswith("Websocket connection established"):
            return Message("", text)
        raise WireError(f"not a message: {text[:60]!r}")
    body = object_of(loads(raw), "message")
    return Message(text_of(body, "channel"), body.get("data"))


def user_of(data: Any, channel: str) -> str:
    """Whose data a message of an account's channel has: the address, in lower case."""
    return text_of(object_of(data, channel), "user").lower()


def subscription(kind: str, **fields: Any) -> bytes:
    return dumps({"method": "subscribe", "subscription": {"type": kind, **fields}})


def info(kind: str, **fields: Any) -> bytes:
    return dumps({"type": kind, **fields})


def acknowledges(data: Any, kind: str, address: str | None = None) -> bool:
    """Whether a subscriptionResponse is the answer to that subscription: the echo is normalised."""
    if not isinstance(data, dict) or data.get("method") != "subscribe":
        return False
    echo = data.get("subscription")
    if not isinstance(echo, dict) or echo.get("type") != kind:
        return False
    return address is None or str(echo.get("user", "")).lower() == address.lower()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the `error` channel says of a subscription, and which it is where the text names it.

    `already`: we have it, so it is no loss. `limit`: there is no room for more (users, channels); such
    a text never names the subscription that was refused.
    """

    text: str
    already: bool = False
    limit: bool = False
    kind: str | None = None
    user: str | None = None


def refusal(data: Any) -> Refusal:
    """Read the text of an `error` message; total: what is not known is a refusal that names nothing."""
    text = str(data)
    kind = user = None
    if (at := text.find("{")) >= 0:
        try:
            echo = loads(text[at : text.rindex("}") + 1])
        except (WireError, ValueError):
            echo = None
        # A type that the server does not know is answered with the whole request, not the subscription.
        if isinstance(echo, dict) and isinstance(echo.get("subscription"), dict):
            echo = echo["subscription"]
        if isinstance(echo, dict):
            kind, user = (
                echo[name] if isinstance(echo.get(name), str) else None for name in ("type", "user")
            )
    return Refusal(
        text=text,
        already=text.startswith("Already subscribed"),
        limit=text.startswith(("Cannot track more than", "Cannot subscribe to more than")),
        kind=kind,
        user=user.lower() if user else None,
    )


def venue_time(body: Any) -> int:
    """An exchangeStatus answer: the venue's time in milliseconds."""
    return time_of(object_of(body, "exchangeStatus"))


def abstraction(body: Any) -> str | None:
    """A userAbstraction answer, a bare string: default, disabled, unifiedAccount, portfolioMargin,
    dexAbstraction, or whatever mode comes after these. None where the server says null."""
    if body is None:
        return None
    if not isinstance(body, str) or not body.isprintable() or not 0 < len(body) <= 60:
        raise WireError(f"userAbstraction: a short text is wanted, not {body!r:.60}")
    return body


def role(body: Any) -> tuple[str, str | None]:
    """A userRole answer: the role, and the master's address of an agent or sub-account."""
    answer = object_of(body, "userRole")
    data = answer.get("data")
    if data is None:
        return text_of(answer, "role"), None
    owner = object_of(data, "userRole data")
    name = next((name for name in ("user", "master") if name in owner), None)
    return text_of(answer, "role"), text_of(owner, name).lower() if name else None

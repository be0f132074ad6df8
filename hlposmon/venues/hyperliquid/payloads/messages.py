"""Envelopes: encodes requests and subscriptions, decodes WebSocket messages, refusals and short answers.

The data inside a message is decoded elsewhere.
"""

from dataclasses import dataclass
from typing import Any

from hlposmon.errors import WireError
from hlposmon.text import dumps, loads
from hlposmon.venues.hyperliquid.payloads.fields import (
    integer_of,
    list_of,
    object_of,
    text_of,
    time_of,
)

PING = dumps({"method": "ping"})


@dataclass(frozen=True, slots=True)
class Message:
    """One WebSocket message: the channel's name and its data. `channel` is "" for plain text."""

    channel: str
    data: Any


def message(raw: bytes | str) -> Message:
    """Decode one text frame. The greeting after connecting is not JSON, and is not an error. Raises WireError
    for anything else that is not a message."""
    if raw[:1] not in (b"{", "{"):
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        if text.startswith("Websocket connection established"):
            return Message("", text)
        raise WireError(f"not a message: {text[:60]!r}")
    body = object_of(loads(raw), "message")
    return Message(text_of(body, "channel"), body.get("data"))


def user_of(data: Any, channel: str) -> str:
    """The address, in lower case, that the data of an account's channel is about."""
    return text_of(object_of(data, channel), "user").lower()


def subscription(kind: str, **fields: Any) -> bytes:
    """The message that subscribes to a channel type, with fields such as `user` or `dex`."""
    return dumps({"method": "subscribe", "subscription": {"type": kind, **fields}})


def info(kind: str, **fields: Any) -> bytes:
    """The body of a request of this type to `/info`, with fields such as `user` or `startTime`."""
    return dumps({"type": kind, **fields})


def acknowledges(data: Any, kind: str, address: str | None = None) -> bool:
    """Whether a subscriptionResponse confirms that subscription. The server echoes it in normalised form."""
    if not isinstance(data, dict) or data.get("method") != "subscribe":
        return False
    echo = data.get("subscription")
    if not isinstance(echo, dict) or echo.get("type") != kind:
        return False
    return address is None or str(echo.get("user", "")).lower() == address.lower()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An `error` message about a subscription; `kind` and `user` are set if the text names it.

    `already`: the subscription exists, so nothing is lost. `limit`: a limit (users, channels) is reached;
    such a text never names the subscription that was refused.
    """

    text: str
    already: bool = False
    limit: bool = False
    kind: str | None = None
    user: str | None = None


def refusal(data: Any) -> Refusal:
    """Decode the text of an `error` message. Never raises: an unknown text is one that names nothing."""
    text = str(data)
    kind = user = None
    if (at := text.find("{")) >= 0:
        try:
            echo = loads(text[at : text.rindex("}") + 1])
        except (WireError, ValueError):
            echo = None
        # For an unknown type the server quotes the whole request, not the subscription alone.
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
    dexAbstraction, or a mode added later. None if the server answers null."""
    if body is None:
        return None
    if not isinstance(body, str) or not body.isprintable() or not 0 < len(body) <= 60:
        raise WireError(f"userAbstraction: a short text is wanted, not {body!r:.60}")
    return body


def agent_expiries(body: Any) -> dict[str, int]:
    """An extraAgents answer: when each agent's key expires (Unix milliseconds), by its lower-case address."""
    rows = [object_of(row, "agent") for row in list_of(body, "extraAgents")]
    return {text_of(row, "address").lower(): integer_of(row, "validUntil") for row in rows}


def role(body: Any) -> tuple[str, str | None]:
    """A userRole answer: the role, and the master's address of an agent or sub-account."""
    answer = object_of(body, "userRole")
    data = answer.get("data")
    if data is None:
        return text_of(answer, "role"), None
    owner = object_of(data, "userRole data")
    name = next((name for name in ("user", "master") if name in owner), None)
    return text_of(answer, "role"), text_of(owner, name).lower() if name else None

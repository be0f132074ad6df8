"""Events of a connection that reconnects by itself. Plain facts, so that their readers need not load the
WebSocket library."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection is up; nothing has been sent on it yet."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone, or could not be made; the next attempt is in `retry_s` seconds."""

    reason: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class Received:
    """One whole text message."""

    raw: bytes


Event = Opened | Lost | Received

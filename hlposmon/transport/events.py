"""What a connection that is wanted all the time has to say. Plain facts, so that whoever reads them need not
load the library behind the connection."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection is up and nothing has been asked for on it yet."""


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

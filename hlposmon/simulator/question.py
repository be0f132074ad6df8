"""Reads one request of `/info` strictly: a field that does not fit its type raises BadRequest.

The venue answers every such mistake with the same 422, whatever is wrong.
"""

import re
from dataclasses import dataclass
from typing import Any

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
FAR = 1 << 62  # later than any time, ms


class BadRequest(Exception):
    """The request cannot be read as one of its type."""


def address_of(value: object) -> str:
    """An account address in lower case."""
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise BadRequest
    return value.lower()


@dataclass(frozen=True, slots=True)
class Question:
    """A request and the venue's time (ms) when it is answered."""

    request: dict[str, Any]
    now: int

    @property
    def address(self) -> str:
        """The `user`, who must be named."""
        return address_of(self.request.get("user"))

    @property
    def dex(self) -> str:
        """The `dex`; the default one where none is named."""
        dex = self.request.get("dex")
        if dex is not None and not isinstance(dex, str):
            raise BadRequest
        return dex or ""

    def time(self, key: str, default: int | None = None) -> int:
        """A time in ms; without a default it must be there."""
        time = self.request.get(key)
        if time is None and default is not None:
            return default
        if isinstance(time, bool) or not isinstance(time, int):
            raise BadRequest
        return time

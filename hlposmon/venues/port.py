"""The small interface that every venue keeps, in the words of the second seed, synchronous.

Its contract in prose: amounts are Decimal and signed where a sign means something. A venue that could
not be asked raises VenueUnavailable, and one that refused VenueRefused: neither ever answers zero, so
that a position whose venue is down is unknown and never flat. Nothing here needs a private key.
"""

from decimal import Decimal
from typing import Any, Protocol


class PositionInterface(Protocol):
    """Positions, balances and history of the configured accounts of one venue.

    `timestamp`, `start_time` and `end_time` are Unix milliseconds, UTC.
    """

    venue: str
    execution_mode: str

    def get_positions(self, timestamp: int | None = None) -> dict[str, Any]:
        """The venue's positions now. `timestamp` labels the answer; a live venue knows only now."""

    def get_balance(self, asset: str) -> Decimal:
        """The balance of one asset, summed over the configured accounts."""

    def get_position_history(self, start_time: int, end_time: int) -> list[dict[str, Any]]:
        """What changed positions in the range (both ends included), oldest first."""

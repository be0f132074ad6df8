"""The position interface for other programs, built on the client that the workers use. Names no venue."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hlposmon.config import Account
from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.reports import FIRST_SCOPE, Statement
from hlposmon.errors import VenueRefused, VenueUnavailable
from hlposmon.venues.port import Page, Venue


class LivePositions:
    """A PositionInterface that queries its venue anew at each call; nothing is cached.

    Its methods raise what the port's client raises, and VenueUnavailable if a row could not be read.
    """

    execution_mode = "live"

    def __init__(self, venue: Venue, accounts: Sequence[Account]) -> None:
        self.venue = venue.name
        self._quotes = {scope.quote for scope in venue.scopes}
        self._client, self._accounts = venue.client(), accounts

    def get_positions(self, timestamp: int | None = None) -> dict[str, Any]:
        """The positions now: `perp_positions` holds, by account name and coin, the signed size (base units),
        side, entry price, mark price and unrealised P&L (quote token); a figure that is unknown is None."""
        found: dict[str, dict[str, Any]] = {}
        for statement in self._statements(FIRST_SCOPE, *self._client.dexes()):
            found.setdefault(statement.account, {}).update(
                {
                    stated.key.split(":", 2)[2]: {
                        "size": stated.size,
                        "side": "long" if stated.size > 0 else "short",
                        "entry_price": stated.entry_price,
                        "mark_price": stated.mark_price,
                        "unrealized_pnl": _unrealized(stated.size, stated.entry_price, stated.mark_price),
                    }
                    for stated in statement.positions
                }
            )
        return {
            "venue": self.venue,
            "timestamp": timestamp,
            "execution_mode": self.execution_mode,
            "perp_positions": found,
        }

    def get_balance(self, asset: str) -> Decimal:
        """The sum of the accounts' equity on the first market. `asset` must be the token in which its
        positions are margined; any other raises VenueRefused. VenueUnavailable if an equity is not stated."""
        if asset not in self._quotes:
            known = ", ".join(sorted(self._quotes))
            raise VenueRefused(f"{self.venue}: the balance of {asset} is not known here, only {known}")
        total = ZERO
        for statement in self._statements(FIRST_SCOPE):
            if statement.equity is None:
                raise VenueUnavailable(f"{self.venue}: the equity of {statement.account} is not stated")
            with exactly():
                total += statement.equity
        return total

    def get_position_history(self, start_time: int, end_time: int) -> list[dict[str, Any]]:
        """The fills of the range, oldest first. `delta` is the signed size of a fill, `position` the size
        after it. Raises VenueUnavailable if some fills of the range cannot be fetched."""
        rows = [
            fill
            for account in self._accounts
            for page in self._client.fills_since(account, start_time)
            for fill in _whole(page).fills
            if fill.time_ms <= end_time
        ]
        return [
            {
                "timestamp": fill.time_ms,
                "account": fill.account,
                "instrument": fill.key,
                "delta": fill.signed_size,
                "position": fill.end_position,
                "price": fill.price,
                "fee": fill.fee,
                "fee_token": fill.fee_token,
            }
            for fill in sorted(rows, key=lambda fill: fill.time_ms)
        ]

    def _statements(self, *scopes: str) -> list[Statement]:
        found = [
            self._client.statement(account, scope=scope, asked_s=0.0, now_ms=0)
            for account in self._accounts
            for scope in scopes
        ]
        for statement in found:
            for key, why in statement.unread.items():
                raise VenueUnavailable(f"{key} of {statement.account} could not be read: {why}")
        return found


def _whole(page: Page) -> Page:
    """The page itself. Raises VenueUnavailable if some fills of its span could not be read or fetched."""
    for one in page.unread:
        raise VenueUnavailable(one.text)
    if page.hole is not None:
        raise VenueUnavailable(page.hole[2])
    return page


def _unrealized(size: Decimal, entry: Decimal | None, mark: Decimal | None) -> Decimal | None:
    if entry is None or mark is None:
        return None
    with exactly():
        return size * (mark - entry)

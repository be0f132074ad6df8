"""A position as `status` shows it: a row of the table, its market and its verdict. Pure."""

from dataclasses import dataclass
from typing import Any

SPOT = "spot"  # the scope of an account's balances, as `scopes` of the summary names it
BALANCE = "BaseToken"  # the `type` of a position that is a balance on spot
PERP = "Perp"
USD = "USDC"  # the token that counts as one US dollar
# From the worst to the best; a verdict that is not known here is worse than all of them.
VERDICTS = ("drift", "stale", "unproven", "proven")


@dataclass(frozen=True, slots=True)
class Row:
    """A position with its name in the summary and its account."""

    name: str
    account: str
    position: dict[str, Any]

    @property
    def scope(self) -> str:
        """The name of its market: "" for the first dex, another dex's name, or `spot`."""
        if self.type == BALANCE:
            return SPOT
        return str(self.position.get("dex") or "") if self.type == PERP else self.type

    @property
    def type(self) -> str:
        """Its type; a monitor that tells none watches perpetuals alone."""
        return str(self.position.get("type") or PERP)

    @property
    def verdict(self) -> str:
        """Its verdict; `unproven` if it has none."""
        return str(self.position.get("verdict") or "unproven")


def severity(verdict: str) -> int:
    """The place of a verdict in the order from the worst to the best."""
    return VERDICTS.index(verdict) if verdict in VERDICTS else -1

"""What a script says an address has beside its own positions: sub-accounts, vaults, stakes.

None of it moves by itself. Pure but for reading states through the functions it is given. Source of the
shapes: the venue's documents of its info endpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from hlposmon.simulator.facts import Row
from hlposmon.simulator.ledger import ZERO
from hlposmon.simulator.numbers import money, printed


@dataclass(slots=True)
class Vault:
    """A vault: who leads it, and the children that hold its positions if it is a parent."""

    name: str
    leader: str
    children: list[str]


@dataclass(slots=True)
class Owned:
    """By master or depositor: what it owns. Vaults stand by their own address."""

    subs: dict[str, dict[str, str]] = field(default_factory=dict)  # names by address, by master
    vaults: dict[str, Vault] = field(default_factory=dict)
    equities: dict[str, dict[str, tuple[Fraction, int]]] = field(default_factory=dict)
    staked: dict[str, tuple[Fraction, Fraction, Fraction]] = field(default_factory=dict)

    def sub_accounts(
        self, master: str, states: Callable[[str], Row], spot: Callable[[str], Row]
    ) -> list[Row] | None:
        """The answer of `subAccounts` and, with other `states`, of `subAccounts2`; null where there are none.

        `states` makes the fields of an address's derivatives, `spot` its spot state.
        """
        rows = [
            {"name": name, "subAccountUser": address, "master": master}
            | states(address)
            | {"spotState": spot(address)}
            for address, name in self.subs.get(master, {}).items()
        ]
        return rows or None

    def vault_equities(self, address: str) -> list[Row]:
        """The answer of `userVaultEquities`."""
        return [
            {"vaultAddress": vault, "equity": money(equity), "lockedUntilTimestamp": locked_ms}
            for vault, (equity, locked_ms) in self.equities.get(address, {}).items()
        ]

    def vault_details(self, address: str, now: int) -> Row | None:
        """The answer of `vaultDetails`, with money as JSON numbers as on the venue; null for no vault."""
        vault = self.vaults.get(address)
        if vault is None:
            return None
        relation: Row = {"type": "normal"}
        if vault.children:
            relation = {"type": "parent", "data": {"childAddresses": list(vault.children)}}
        elif any(address in other.children for other in self.vaults.values()):
            relation = {"type": "child"}
        history = {"accountValueHistory": [[now, "0.0"]], "pnlHistory": [[now, "0.0"]], "vlm": "0.0"}
        return {
            "name": vault.name,
            "vaultAddress": address,
            "leader": vault.leader,
            "description": "",
            "portfolio": [["day", history], ["allTime", history]],
            "apr": 0.36387129259090006,
            "followerState": None,
            "leaderFraction": 0.0007904828725729887,
            "leaderCommission": 0,
            "followers": [],
            "maxDistributable": 94856870.164485,
            "maxWithdrawable": 742557.680863,
            "isClosed": False,
            "relationship": relation,
            "allowDeposits": True,
            "alwaysCloseOnWithdraw": False,
        }

    def delegator_summary(self, address: str) -> Row:
        """The answer of `delegatorSummary`; all zero for an address that stakes nothing."""
        delegated, undelegated, withdrawing = self.staked.get(address, (ZERO, ZERO, ZERO))
        return {
            "delegated": printed(delegated),
            "undelegated": printed(undelegated),
            "totalPendingWithdrawal": printed(withdrawing),
            "nPendingWithdrawals": 1 if withdrawing else 0,
        }

"""Decodes what an address holds beside its own positions: sub-accounts, vault stakes, vaults, staking.

Source of the shapes: the exchange's API documentation, info endpoint (perpetuals, spot, staking, vaults). A
row that cannot be read is named and harms no other. vaultDetails has money as JSON numbers (apr,
maxDistributable, maxWithdrawable): none of it is read.
"""

import re
from typing import Any

from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import FIRST_SCOPE, Statement
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.fields import integer_of, list_of, object_of, text_of
from hlposmon.venues.hyperliquid.payloads.statements import spot_statement, statement
from hlposmon.venues.port import Staking, SubAccount, Vault, VaultStake

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


def sub_accounts(body: Any, *, asked_s: float, now_ms: int) -> tuple[list[SubAccount], list[str]]:
    """Decode a subAccounts or subAccounts2 answer, null if there are none: the sub-accounts, and a text for
    each row without a readable name and address.

    subAccounts has the first dex as `clearinghouseState`, subAccounts2 each dex in `dexToClearinghouseState`.
    A state that cannot be read is named in the sub-account's `unread`. An unknown time is `now_ms`.
    """
    found: list[SubAccount] = []
    unread: list[str] = []
    for row in [] if body is None else list_of(body, "subAccounts"):
        try:
            one = object_of(row, "sub-account")
            name, address = text_of(one, "name"), _address_of(one.get("subAccountUser"), "subAccountUser")
            found.append(_sub_account(one, name, address, asked_s, now_ms))
        except WireError as error:
            unread.append(f"a sub-account could not be read: {error}")
    return found, unread


def _sub_account(row: dict[str, Any], name: str, address: str, asked_s: float, now_ms: int) -> SubAccount:
    said: list[Statement] = []
    unread: list[str] = []
    states: list[tuple[str, Any]] = []
    if "clearinghouseState" in row:
        states.append((FIRST_SCOPE, row["clearinghouseState"]))
    pairs = row.get("dexToClearinghouseState", [])
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
            states.append((pair[0], pair[1]))
        else:
            unread.append(f"dexToClearinghouseState: a dex and its state are wanted, not {pair!r:.60}")
    for dex, state in states:
        try:
            said.append(statement(state, address, dex=dex, asked_s=asked_s, now_ms=now_ms))
        except WireError as error:
            unread.append(f"{dex or 'first dex'}: {error}")
    try:
        said.append(spot_statement(row.get("spotState"), address, time_ms=now_ms, asked_s=asked_s))
    except WireError as error:
        unread.append(f"{SPOT}: {error}")
    return SubAccount(name, address, tuple(said), tuple(unread))


def joined(first: list[SubAccount], more: list[SubAccount]) -> list[SubAccount]:
    """The sub-accounts of a subAccounts answer, with the dexes that a subAccounts2 answer adds.

    subAccounts2 was reported to leave out unified sub-accounts, or their dexes: one of which it states
    nothing on a dex says so in `unread`.
    """
    by_address = {one.address: one for one in more}
    found = []
    for one in first:
        other = by_address.pop(one.address, None)
        known = {said.scope for said in one.statements}
        extra = [said for said in other.statements if said.scope not in known] if other else []
        unread = [text for text in other.unread if text not in one.unread] if other else []
        if other is None or not any(said.scope != SPOT for said in other.statements):
            unread.append("its other dexes are not stated")
        found.append(SubAccount(one.name, one.address, (*one.statements, *extra), (*one.unread, *unread)))
    return found + list(by_address.values())


def vault_stakes(body: Any) -> tuple[list[VaultStake], list[str]]:
    """Decode a userVaultEquities answer: what the address has in each vault, and a text for each row that
    could not be read. A stake of zero is left out."""
    found: list[VaultStake] = []
    unread: list[str] = []
    for row in list_of(body, "userVaultEquities"):
        try:
            one = object_of(row, "vault equity")
            locked_ms = None
            if one.get("lockedUntilTimestamp") is not None:
                locked_ms = integer_of(one, "lockedUntilTimestamp")
            address = _address_of(one.get("vaultAddress"), "vaultAddress")
            equity = amount_of(one, "equity", is_rare=True)
            if equity:
                found.append(VaultStake(address, equity, locked_ms))
        except WireError as error:
            unread.append(f"a vault stake could not be read: {error}")
    return found, unread


def vault(body: Any) -> Vault | None:
    """Decode a vaultDetails answer; None for null, which is said of an address that is no vault.

    A parent vault's positions are in its children. A child that cannot be read is named in `unread`.
    """
    if body is None:
        return None
    answer = object_of(body, "vaultDetails")
    relation = object_of(answer.get("relationship"), "relationship")
    kind = text_of(relation, "type")
    children: list[str] = []
    unread: list[str] = []
    if kind == "parent":
        data = object_of(relation.get("data"), "relationship data")
        for row in list_of(data.get("childAddresses"), "childAddresses"):
            try:
                children.append(_address_of(row, "childAddresses"))
            except WireError as error:
                unread.append(str(error))
    leader = _address_of(answer.get("leader"), "leader")
    return Vault(text_of(answer, "name"), leader, kind, tuple(children), tuple(unread))


def staking(body: Any) -> Staking:
    """Decode a delegatorSummary answer; its amounts are in HYPE."""
    answer = object_of(body, "delegatorSummary")
    return Staking(
        delegated=amount_of(answer, "delegated", is_rare=True),
        undelegated=amount_of(answer, "undelegated", is_rare=True),
        withdrawing=amount_of(answer, "totalPendingWithdrawal", is_rare=True),
    )


def _address_of(value: Any, name: str) -> str:
    """An address, in lower case; the error calls it `name`."""
    address = value.lower() if isinstance(value, str) else ""
    if _ADDRESS.fullmatch(address) is None:
        raise WireError(f"{name}: an address is wanted, not {value!r:.60}")
    return address

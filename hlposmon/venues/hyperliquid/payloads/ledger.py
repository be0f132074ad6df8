"""Decodes funding payments and ledger updates (transfers, liquidations, changes of mode).

A row that cannot be read is set aside and named; the other rows of the answer count.
"""

from typing import Any

from hlposmon.domain.amounts import plain
from hlposmon.domain.reports import AccountEvent, AccountEventKind, Funding
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fields import list_of, object_of, text_of, time_of

_AMOUNTS = ("usdc", "netWithdrawnUsd", "amount")
_MOVES = frozenset(
    (
        "deposit",
        "withdraw",
        "internalTransfer",
        "accountClassTransfer",
        "subAccountTransfer",
        "spotTransfer",
        "send",
        "spotGenesis",
        "rewardsClaim",
        "vaultCreate",
        "vaultDeposit",
        "vaultDistribution",
        "vaultWithdraw",
        "vaultLeaderCommission",
        "cStakingTransfer",
        "borrowLend",
        "deployGasAuction",
        "accountActivationGas",
        "perpDexClassTransfer",
        "gossipPriorityGasAuction",
    )
)


def fundings(rows: Any, account: str) -> tuple[list[Funding], list[str]]:
    """The funding payments of watched perpetuals, and a text for each row that could not be read. REST wraps
    each payment in `delta`, the stream does not."""
    found, unread = [], []
    for row in list_of(rows, "fundings"):
        try:
            body = object_of(row, "funding")
            delta = object_of(body["delta"], "delta") if "delta" in body else body
            coin = text_of(delta, "coin")
            if is_watched(coin):
                found.append(
                    Funding(
                        account=account,
                        key=key_of(coin),
                        time_ms=time_of(body),
                        amount=amount_of(delta, "usdc"),
                        size=amount_of(delta, "szi"),
                        rate=amount_of(delta, "fundingRate"),
                    )
                )
        except WireError as error:
            unread.append(f"a funding payment could not be read: {error}")
    return found, unread


def account_events(rows: Any, account: str) -> list[AccountEvent]:
    """Decode userNonFundingLedgerUpdates, in the order given: REST's rows, or the stream's data.

    A row of an unknown type becomes an event of kind OTHER, since it may have moved balances; so does a row
    of which only the time can be read. Raises WireError if a row has no readable time.
    """
    if isinstance(rows, dict):
        rows = rows.get("nonFundingLedgerUpdates")
    found = []
    for row in list_of(rows, "nonFundingLedgerUpdates"):
        body = object_of(row, "ledger update")
        time_ms = time_of(body)
        try:
            delta = object_of(body.get("delta"), "delta")
            found.append(_account_event(delta, text_of(delta, "type"), account, time_ms))
        except WireError as error:
            found.append(
                AccountEvent(
                    account, time_ms, AccountEventKind.OTHER, f"a row that could not be read: {error}"
                )
            )
    return found


def _account_event(delta: dict[str, Any], kind: str, account: str, time_ms: int) -> AccountEvent:
    if kind == "liquidation":
        lost = list_of(delta.get("liquidatedPositions"), "liquidatedPositions")
        coins = [text_of(object_of(row, "liquidated position"), "coin") for row in lost]
        keys = tuple(key_of(coin) for coin in coins if is_watched(coin))
        return AccountEvent(account, time_ms, AccountEventKind.LIQUIDATION, ", ".join(coins), keys)
    if kind == "activateDexAbstraction":
        return AccountEvent(account, time_ms, AccountEventKind.MODE_CHANGE, "dex abstraction was activated")
    moved = next((name for name in _AMOUNTS if name in delta), None)
    text = kind[:60]
    if moved is not None:
        token = delta.get("token", "USDC")
        text = f"{text} of {plain(amount_of(delta, moved))} {token if isinstance(token, str) else '?':.20}"
    return AccountEvent(
        account, time_ms, AccountEventKind.TRANSFER if kind in _MOVES else AccountEventKind.OTHER, text
    )

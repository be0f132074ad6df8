"""Decodes ledger updates: transfers, liquidations, changes of mode, and what each adds to which market.

Source of the types and their fields: the exchange's info endpoint, `userNonFundingLedgerUpdates`. A row of a
type that is not known moves an unknown amount; it is kept whole.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hlposmon.domain.amounts import ZERO, exactly, plain
from hlposmon.domain.instrument import SPOT, USD
from hlposmon.domain.reports import FIRST_SCOPE, AccountEvent, AccountEventKind, Movement
from hlposmon.errors import WireError
from hlposmon.text import dumps
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.venues.hyperliquid.payloads.coins import is_watched, key_of
from hlposmon.venues.hyperliquid.payloads.fields import list_of, object_of, text_of, time_of

# The token that some fees are in, whatever token is sent.
NATIVE = "HYPE"
# Fields whose amount names the row in logs, the best first.
_AMOUNTS = ("usdc", "netWithdrawnUsd", "amount")
_LONGEST_ROW = 4_000


def account_events(rows: Any, account: str, address: str) -> list[AccountEvent]:
    """Decode userNonFundingLedgerUpdates of the account at `address`, in the order given: REST's rows, or the
    stream's data.

    A row of an unknown type becomes an event of kind OTHER, since it may have moved balances; so does a row
    of which only the time can be read. Raises WireError if a row has no readable time.
    """
    if isinstance(rows, dict):
        rows = rows.get("nonFundingLedgerUpdates")
    return [
        _event(object_of(row, "ledger update"), account, address)
        for row in list_of(rows, "nonFundingLedgerUpdates")
    ]


def _event(body: dict[str, Any], account: str, address: str) -> AccountEvent:
    time_ms, digest = time_of(body), body.get("hash")
    digest = digest if isinstance(digest, str) else ""
    try:
        delta = object_of(body.get("delta"), "delta")
        kind = text_of(delta, "type")
        if kind == "liquidation":
            return _liquidation(delta, account, time_ms, digest)
        moves_of = _MOVES.get(kind)
        if moves_of is None:
            return _unknown(body, account, time_ms, digest, kind[:60])
        moves = tuple(move for move in moves_of(_Row(delta, address)) if move.amount)
        mode = kind == "activateDexAbstraction"
        event = AccountEventKind.MODE_CHANGE if mode else AccountEventKind.TRANSFER
        text = "dex abstraction was activated" if mode else _text(kind, delta)
        return AccountEvent(account, time_ms, event, text, (), kind, moves, digest)
    except WireError as error:
        return _unknown(body, account, time_ms, digest, f"a row that could not be read: {error}")


def _unknown(body: dict[str, Any], account: str, time_ms: int, digest: str, text: str) -> AccountEvent:
    delta = body.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    return AccountEvent(
        account=account,
        time_ms=time_ms,
        kind=AccountEventKind.OTHER,
        text=text,
        type=kind[:60] if isinstance(kind, str) else "",
        hash=digest,
        row=_whole(body)[:_LONGEST_ROW],
    )


def _whole(body: dict[str, Any]) -> str:
    """The row as JSON; as Python writes it where a number in it has no room in ours."""
    try:
        return dumps(body).decode().rstrip("\n")
    except TypeError:
        return repr(body)


def _liquidation(delta: dict[str, Any], account: str, time_ms: int, digest: str) -> AccountEvent:
    lost = list_of(delta.get("liquidatedPositions"), "liquidatedPositions")
    coins = [text_of(object_of(row, "liquidated position"), "coin") for row in lost]
    keys = tuple(key_of(coin) for coin in coins if is_watched(coin))
    kind = AccountEventKind.LIQUIDATION
    return AccountEvent(account, time_ms, kind, ", ".join(coins), keys, "liquidation", (), digest)


def _text(kind: str, delta: dict[str, Any]) -> str:
    """The row for the log: its type and amount."""
    name = next((name for name in _AMOUNTS if name in delta), None)
    if name is None:
        return kind
    token = delta.get("token", USD)
    return f"{kind} of {plain(amount_of(delta, name))} {token if isinstance(token, str) else '?':.20}"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row's `delta`, and the address of the account that it was listed for."""

    delta: dict[str, Any]
    address: str

    def amount(self, name: str, *, is_optional: bool = False) -> Decimal:
        return ZERO if is_optional and name not in self.delta else amount_of(self.delta, name)

    def fee(self) -> Decimal:
        return self.amount("fee", is_optional=True)

    def is_from_us(self) -> bool:
        return bool(self.delta.get("user") == self.address)

    def is_to_us(self) -> bool:
        return bool(self.delta.get("destination") == self.address)

    def is_of_our_vault(self) -> bool:
        """Whether the account is the vault itself, and not one that gives to it or takes from it."""
        return bool(self.delta.get("vault") == self.address)


_Moves = Callable[[_Row], Iterable[Movement]]


def _usdc(amount: Decimal, scope: str = FIRST_SCOPE) -> Movement:
    return Movement(scope, USD, amount)


def _token(row: _Row, amount: Decimal) -> Movement:
    """A token among the spot balances."""
    return Movement(SPOT, text_of(row.delta, "token"), amount)


def _withdraw(row: _Row) -> Iterable[Movement]:
    """The fee comes on top of what arrives."""
    yield _usdc(-_plus(row.amount("usdc"), row.fee()))


def _between_users(row: _Row) -> Iterable[Movement]:
    """USDC from `user` to `destination`, whose fee the sender pays; both may be the account."""
    if row.is_from_us():
        yield _usdc(-_plus(row.amount("usdc"), row.fee()))
    if row.is_to_us():
        yield _usdc(row.amount("usdc"))


def _between_classes(row: _Row) -> Iterable[Movement]:
    """USDC between the first dex and spot."""
    usdc = row.amount("usdc") if row.delta.get("toPerp") is True else -row.amount("usdc")
    yield _usdc(usdc)
    yield _usdc(-usdc, SPOT)


def _spot_transfer(row: _Row) -> Iterable[Movement]:
    if row.is_from_us():
        yield _token(row, -row.amount("amount"))
        yield from _fees_of_sending(row, SPOT)
    if row.is_to_us():
        yield _token(row, row.amount("amount"))


def _send(row: _Row) -> Iterable[Movement]:
    """Any token from one dex or spot to another, of the same user or not."""
    token, amount = text_of(row.delta, "token"), row.amount("amount")
    if row.is_from_us():
        source = text_of(row.delta, "sourceDex")
        yield Movement(source, token, -amount)
        yield from _fees_of_sending(row, source)
    if row.is_to_us():
        yield Movement(text_of(row.delta, "destinationDex"), token, amount)


def _fees_of_sending(row: _Row, scope: str) -> Iterable[Movement]:
    fee_token = row.delta.get("feeToken") or USD
    yield Movement(scope, str(fee_token), -row.fee())
    yield Movement(SPOT, NATIVE, -row.amount("nativeTokenFee", is_optional=True))


def _reward(row: _Row) -> Iterable[Movement]:
    """Rewards in USDC go to the first dex, others to spot."""
    is_usd = row.delta.get("token", USD) == USD
    yield _usdc(row.amount("amount")) if is_usd else _token(row, row.amount("amount"))


def _to_vault(row: _Row) -> Iterable[Movement]:
    """What creating a vault costs comes on top."""
    usdc = row.amount("usdc")
    yield _usdc(usdc if row.is_of_our_vault() else -_plus(usdc, row.fee()))


def _from_vault(row: _Row) -> Iterable[Movement]:
    usdc = row.amount("usdc")
    yield _usdc(-usdc if row.is_of_our_vault() else usdc)


def _vault_withdraw(row: _Row) -> Iterable[Movement]:
    """The depositor gets what is left of what was asked for; the vault gives what was asked for but the
    cost of closing, and its leader's commission has a row of its own."""
    if row.is_of_our_vault():
        yield _usdc(-row.amount("netWithdrawnUsd"))
    else:
        yield _usdc(row.amount("netWithdrawnUsd"))


def _staked(row: _Row) -> Iterable[Movement]:
    amount = row.amount("amount")
    yield _token(row, -amount if row.delta.get("isDeposit") is True else amount)


def _moved_to_dex(row: _Row) -> Iterable[Movement]:
    token, amount = text_of(row.delta, "token"), row.amount("amount")
    yield Movement(FIRST_SCOPE, token, -amount)
    yield Movement(text_of(row.delta, "dex"), token, amount)


def _lent(_row: _Row) -> Iterable[Movement]:
    """Lending and borrowing change what is owed and not what the account is worth, but for the interest. The
    balances are stated; only accounts whose equity is in their spot state have such rows."""
    return ()


def _plus(one: Decimal, other: Decimal) -> Decimal:
    with exactly():
        return one + other


_MOVES: dict[str, _Moves] = {
    "deposit": lambda row: (_usdc(row.amount("usdc")),),
    "withdraw": _withdraw,
    "internalTransfer": _between_users,
    "subAccountTransfer": _between_users,
    "accountClassTransfer": _between_classes,
    "spotTransfer": _spot_transfer,
    "send": _send,
    "spotGenesis": lambda row: (_token(row, row.amount("amount")),),
    "rewardsClaim": _reward,
    "vaultCreate": _to_vault,
    "vaultDeposit": _to_vault,
    "vaultDistribution": _from_vault,
    "vaultWithdraw": _vault_withdraw,
    "vaultLeaderCommission": lambda row: (_usdc(row.amount("usdc")),),
    "cStakingTransfer": _staked,
    "borrowLend": _lent,
    "activateDexAbstraction": _moved_to_dex,
    "deployGasAuction": lambda row: (_token(row, -row.amount("amount")),),
    "gossipPriorityGasAuction": lambda row: (_token(row, -row.amount("amount")),),
}

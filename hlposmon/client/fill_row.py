"""A fill as the history's view `fills` holds it. Standard library only.

Somebody else may have edited the file: a value that no monitor writes is refused and never shown.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# Limits of what a monitor writes: characters of an amount, 8-byte integers, Unix milliseconds to year 9999.
_AMOUNT_CHARS = 400
_MOST = (1 << 63) - 1
_LAST_MS = 253_402_300_799_999
_HASH_BYTES = 1024
_COLUMNS = (
    "seq, time_ms, heard_ms, account, address, mode, key, symbol, side, quantity, price, fee, fee_token,"
    " order_id, tid, start_position, closed_pnl, direction, crossed, liquidation, tx_hash, effect, late,"
    " position_size, position_entry, position_realized, position_closed_pnl, position_fees,"
    " position_funding, position_fills"
)
# Columns that were added to the view, with the version of the schema since which it has them.
_ADDED = {"cause": 5, "twap_id": 5, "builder_fee": 5}


@dataclass(frozen=True, slots=True)
class PositionAfter:
    """The position after a fill: `size` is signed, in base units; `entry_price` is None when flat.

    An amount of money that a division made longer than that is rounded to ten decimals.
    """

    size: Decimal
    entry_price: Decimal | None
    realized_pnl: Decimal
    closed_pnl: Decimal
    fees: Decimal
    funding: Decimal
    fills: int


@dataclass(frozen=True, slots=True)
class FillRow:
    """One fill. `seq` is the number of its line in the audit journal.

    `time_ms` is the venue's time of the fill and `heard_ms` the time of the journal's line, both in Unix
    milliseconds. `quantity` is unsigned; `side` is buy or sell. `tid` is None for fills older than trade ids.

    `cause` is order, twap, liquidation (of the account itself), adl, settlement, vault, dust or other; None
    where the audit line is of an older version. `liquidation` is market or backstop, None if the account was
    not liquidated. `builder_fee` is a part of `fee`; None where the venue states none.
    """

    seq: int
    time_ms: int
    heard_ms: int
    account: str
    address: str
    mode: str
    key: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_token: str
    order_id: int
    tid: int | None
    start_position: Decimal
    closed_pnl: Decimal
    direction: str
    crossed: bool
    liquidation: str | None
    hash_of_transaction: str
    effect: str | None
    late: bool
    position: PositionAfter
    cause: str | None = None
    twap_id: int | None = None
    builder_fee: Decimal | None = None

    @property
    def fill_id(self) -> str:
        """The trade id as text; for fills older than trade ids, `<order id>-<time in ms>`."""
        return str(self.tid) if self.tid is not None else f"{self.order_id}-{self.time_ms}"

    @property
    def coin(self) -> str:
        """The coin of the fill's key."""
        return coin_of(self.key)


def coin_of(key: str) -> str:
    """Return the coin of a key `venue:type:coin`; a coin may contain colons itself (HIP-3)."""
    return key.split(":", 2)[-1]


def columns(version: int) -> str:
    """Return the view's columns as `fill_of` expects them, for SQL.

    A file of an older schema, which no monitor of today has opened yet, gives NULL for columns that it lacks.
    """
    added = (name if version >= since else f"NULL AS {name}" for name, since in _ADDED.items())
    return ", ".join((_COLUMNS, *added))


def _amount(value: Any) -> Decimal:
    """Convert a text to an amount; refuse exponents so large that writing it out would fill the memory."""
    if not isinstance(value, str) or len(value) > _AMOUNT_CHARS:
        raise ValueError("an amount that is not one")
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount.adjusted()) > _AMOUNT_CHARS:
        raise ValueError("an amount that is not one")
    return amount


def _whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError("a number that is not one")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text that is none")
    return value


def fill_of(row: tuple[Any, ...]) -> FillRow:
    """Return the fill of a row with the columns that `columns` names.

    Raises ValueError, TypeError or ArithmeticError for a value that no monitor writes.
    """
    seq, time_ms, heard_ms, account, address, mode, key, symbol, side, *rest = row
    quantity, price, fee, token, order_id, tid, start, closed, direction, *rest = rest
    crossed, liquidation, tx_hash, effect, late, size, entry, *rest = rest
    *money, fills, cause, twap_id, builder_fee = rest
    realized, closed_after, fees_after, funding_after = map(_amount, money)
    after = PositionAfter(
        size=_amount(size),
        entry_price=None if entry is None else _amount(entry),
        realized_pnl=realized,
        closed_pnl=closed_after,
        fees=fees_after,
        funding=funding_after,
        fills=_whole(fills, 0, _MOST),
    )
    return FillRow(
        seq=_whole(seq, 0, _MOST),
        time_ms=_whole(time_ms, 0, _LAST_MS),
        heard_ms=_whole(heard_ms, 0, _LAST_MS),
        account=_text(account),
        address=_text(address),
        mode=_text(mode),
        key=_text(key),
        symbol=_text(symbol),
        side=_text(side),
        quantity=_amount(quantity),
        price=_amount(price),
        fee=_amount(fee),
        fee_token=_text(token),
        order_id=_whole(order_id, 0, _MOST),
        tid=None if tid is None else _whole(tid, -_MOST, _MOST),
        start_position=_amount(start),
        closed_pnl=_amount(closed),
        direction=_text(direction),
        crossed=bool(crossed),
        liquidation=None if liquidation is None else _text(liquidation),
        hash_of_transaction=_hash(tx_hash),
        effect=None if effect is None else _text(effect),
        late=bool(late),
        position=after,
        cause=None if cause is None else _text(cause),
        twap_id=None if twap_id is None else _whole(twap_id, -_MOST, _MOST),
        builder_fee=None if builder_fee is None else _amount(builder_fee),
    )


def _hash(packed: Any) -> str:
    """Return a transaction hash as the venue writes it, empty if none; one byte stands for 32 zero bytes."""
    if packed is None or isinstance(packed, str):
        return packed or ""
    if not isinstance(packed, bytes) or len(packed) > _HASH_BYTES:
        raise TypeError("a hash that is none")
    return "0x" + (packed if len(packed) > 1 else bytes(32)).hex()

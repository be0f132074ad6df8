"""Converts a journal line to rows of the history. Pure.

A line that is not understood raises WireError and gives no row. Sizes keep all digits. As on every other
surface, an entry price has ten significant digits, and an amount that a division made longer than that has
ten decimals.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Protocol

from hlposmon.domain.amounts import CONTEXT, plain
from hlposmon.errors import WireError
from hlposmon.text import dumps

Row = tuple[Any, ...]
# An SQL statement and its parameters.
Write = tuple[str, Row]

_INTEGERS = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEN_DECIMALS = Decimal(1).scaleb(-10)
_WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)
# Stands for a transaction hash of zeros only (the venue gives one for the slices of a TWAP order).
NO_TRANSACTION = b"\x00"
_HASH_BYTES = 32
_ZEROS = "0x" + "0" * 64


def _insert(table: str, columns: int, *, or_ignore: bool = False) -> str:
    verb = "INSERT OR IGNORE INTO" if or_ignore else "INSERT INTO"
    return f"{verb} {table} VALUES ({', '.join('?' * columns)})"


INSERT_FILL = _insert("fill", 30, or_ignore=True)
INSERT_FUNDING = _insert("funding", 10, or_ignore=True)
_ADOPTION = _insert("adoptions", 10)
_GAP = _insert("gaps (seq, heard_ms, account, instrument, since_ms, expected, found)", 7)
_END_GAP = (
    "UPDATE gaps SET ended_ms = ?, ended_seq = ?, ended_by = ?, missing = ?"
    " WHERE account = ? AND instrument = ? AND ended_ms IS NULL"
)
_END_GAPS = "UPDATE gaps SET ended_ms = ?, ended_seq = ?, ended_by = ? WHERE ended_ms IS NULL"
_DRIFT = _insert("drifts", 7)
_OUTAGE = _insert("outages (seq, heard_ms, account, since_ms, reason)", 5)
_END_OUTAGE = "UPDATE outages SET ended_ms = ?, ended_seq = ? WHERE account = ? AND ended_ms IS NULL"
_STATEMENT = _insert("statements", 8)
_POINT = _insert("points", 14, or_ignore=True)
_TRANSFER = _insert("transfers", 9, or_ignore=True)
_SET_BASE = "UPDATE accounts SET base_ms = ? WHERE id = ? AND base_ms IS NOT ?"
_NUMBERED = (
    "fill", "funding", "adoptions", "gaps", "drifts", "outages", "statements", "marks", "points", "transfers"
)  # fmt: skip
# Undoes all lines after a number; that number is the parameter of each statement.
FORGET_BEHIND = (
    *(f"DELETE FROM {table} WHERE seq > ?" for table in _NUMBERED),
    "UPDATE gaps SET ended_ms = NULL, ended_seq = NULL, ended_by = NULL, missing = NULL WHERE ended_seq > ?",
    "UPDATE outages SET ended_ms = NULL, ended_seq = NULL WHERE ended_seq > ?",
)


class Ids(Protocol):
    """Row ids for names; `names.Names` implements it. `stand_for` sets the addresses and the mode from a
    checkpoint, the others return the id of an account, an instrument's key or a word."""

    def stand_for(self, mode: str, addresses: dict[str, str]) -> None: ...
    def account(self, name: str) -> int: ...
    def instrument(self, key: str) -> int: ...
    def word(self, text: str) -> int: ...


def writes_of(line: dict[str, Any], ids: Ids) -> list[Write]:
    """Return the SQL statements that add a journal line to the history; none for a type it does not keep.

    Raises WireError for a line whose fields are missing or invalid, or do not fit a column.
    """
    make = _MAKERS.get(line["type"])
    try:
        writes = make(line, ids) if make is not None else []
        for _, row in writes:
            _fits(row)
        return writes
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise WireError(f"line {line.get('seq')} ({line['type']}): {type(error).__name__} {error}") from error


def _fits(row: Row) -> None:
    for value in row:
        if type(value) is int and not -_INTEGERS <= value < _INTEGERS:
            raise ValueError(f"{value} has no room in a column")


def _fill(line: dict[str, Any], ids: Ids) -> list[Write]:
    position, time_ms, effect = line["position"], line["time_ms"], line["effect"]
    cause = line.get("cause")  # lines of older versions have neither it nor what follows from it
    row = (
        time_ms,
        ids.account(line["account"]),
        ids.instrument(line["key"]),
        int(line["order_id"]),
        line["tid"] or 0,
        {"buy": 1, "sell": -1}[line["side"]],
        line["start_position"],
        line["quantity"],
        line["seq"],
        _heard_ms(line) - time_ms,
        line["price"],
        line["fee"],
        ids.word(line["fee_token"]),
        line["closed_pnl"],
        ids.word(line["direction"]),
        int(line["crossed"]),
        line["liquidation"],
        _packed(line["hash_of_transaction"]),
        None if effect is None else ids.word(effect),
        int(line["late"]),
        position["size"],
        position["entry_price"],
        _money(position["realized_pnl"]),
        position["closed_pnl"],
        position["fees"],
        position["funding"],
        position["fills"],
        None if cause is None else ids.word(cause),
        line.get("twap_id"),
        line.get("builder_fee"),
    )
    return [(INSERT_FILL, row)]


def _funding(line: dict[str, Any], ids: Ids) -> list[Write]:
    account, instrument = ids.account(line["account"]), ids.instrument(line["key"])
    time_ms, position = line["time_ms"], line["position"]
    paid = (line["amount"], line["size"], line["rate"])
    after = (position["size"], position["funding"])
    lag_ms = _heard_ms(line) - time_ms
    return [(INSERT_FUNDING, (time_ms, account, instrument, line["seq"], lag_ms, *paid, *after))]


def _adoption(line: dict[str, Any], ids: Ids) -> list[Write]:
    before, after = line["before"], line["position"]
    facts = (line["event"], line["statement_ms"], before["size"], before["entry_price"])
    return [(_ADOPTION, (*_head(line, ids), *facts, after["size"], after["entry_price"]))]


def _gap(line: dict[str, Any], ids: Ids) -> list[Write]:
    return [(_GAP, (*_head(line, ids), line["since_ms"], line["expected"], line["found"]))]


def _healed(line: dict[str, Any], ids: Ids) -> list[Write]:
    _, heard_ms, account, instrument = _head(line, ids)
    return [(_END_GAP, (heard_ms, line["seq"], "fills", line["missing"], account, instrument))]


def _drift(line: dict[str, Any], ids: Ids) -> list[Write]:
    """A drift also ends an open gap: the adopted size includes what was missing."""
    head = _head(line, ids)
    seq, heard_ms, account, instrument = head
    facts = (line["book_size"], line["venue_size"], line["cause"])
    return [(_DRIFT, (*head, *facts)), (_END_GAP, (heard_ms, seq, "drift", None, account, instrument))]


def _start(line: dict[str, Any], _ids: Ids) -> list[Write]:
    """A start ends all open gaps: the tracker fetches everything since then again."""
    return [(_END_GAPS, (_heard_ms(line), line["seq"], "restart"))]


def _feed(line: dict[str, Any], ids: Ids) -> list[Write]:
    account, heard_ms = ids.account(line["account"]), _heard_ms(line)
    if line["live"]:
        return [(_END_OUTAGE, (heard_ms, line["seq"], account))]
    return [(_OUTAGE, (line["seq"], heard_ms, account, line["since_ms"], line["reason"]))]


def _stated(line: dict[str, Any], ids: Ids) -> list[Write]:
    """The account's first statement: it is watched since then."""
    if "scope" in line:
        return []  # another dex's: the row has the account's, which is the first dex's
    return [_base(ids.account(line["account"]), line["base_ms"])]


def _statement(line: dict[str, Any], ids: Ids) -> list[Write]:
    """One row; the digest is eight bytes."""
    differing = line.get("differing")
    row = (
        ids.account(line["account"]),
        line["statement_ms"],
        _heard_ms(line),
        line["source"],
        bytes.fromhex(line["digest"]),
        int(line["agreed"]),
        dumps(differing).decode() if differing else None,
        line["seq"],
    )
    return [(_STATEMENT, row)]


def _ledger(line: dict[str, Any], ids: Ids) -> list[Write]:
    """How the equity of a dex came about; the amounts of long divisions have ten decimals."""
    names = (
        "opening", "equity", "unrealized_pnl", "realized_pnl", "fees", "funding", "transfers", "unexplained"
    )  # fmt: skip
    amounts = (_money(line[name]) for name in names)
    head = (line["seq"], ids.account(line["account"]), line["scope"], line["quote"])
    return [(_POINT, (*head, line["statement_ms"], line["since_ms"], *amounts))]


def _transfer(line: dict[str, Any], ids: Ids) -> list[Write]:
    head = (line["seq"], _heard_ms(line), ids.account(line["account"]), line["time_ms"])
    moves = dumps(line["moves"]).decode().rstrip("\n")
    facts = (line["transfer_type"], line["text"], moves, line["hash_of_transaction"], line.get("row"))
    return [(_TRANSFER, (*head, *facts))]


def _checkpoint(line: dict[str, Any], ids: Ids) -> list[Write]:
    """Sets the address of each account's name from here on, and since when the account is watched."""
    ids.stand_for(line["mode"], line["addresses"])
    base_ms = line["base_ms"]
    return [_base(ids.account(name), base_ms.get(name)) for name in line["addresses"]]


def _base(account: int, base_ms: int | None) -> Write:
    return _SET_BASE, (base_ms, account, base_ms)


_MAKERS = {
    "fill": _fill,
    "funding": _funding,
    "position_change": _adoption,
    "gap": _gap,
    "healed": _healed,
    "drift": _drift,
    "feed": _feed,
    "start": _start,
    "stated": _stated,
    "ledger": _ledger,
    "transfer": _transfer,
    "statement": _statement,
    "checkpoint": _checkpoint,
}


def _head(line: dict[str, Any], ids: Ids) -> tuple[int, int, int, int]:
    return line["seq"], _heard_ms(line), ids.account(line["account"]), ids.instrument(line["key"])


def _heard_ms(line: dict[str, Any]) -> int:
    since = datetime.fromisoformat(line["timestamp"]) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _money(text: str) -> str:
    """Round to ten decimals; a text with fewer stays as it is."""
    if len(text) - text.find(".") - 1 <= 10 or "." not in text:
        return text
    return plain(Decimal(text).quantize(_TEN_DECIMALS, context=_WIDE).normalize(CONTEXT))


def _packed(text: str) -> bytes | str | None:
    """Return a transaction hash as 32 bytes, NO_TRANSACTION for zeros, None for an empty text; any other text
    stays as it is."""
    if not text:
        return None
    if text == _ZEROS:
        return NO_TRANSACTION
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return text
    return raw if len(raw) == _HASH_BYTES and "0x" + raw.hex() == text else text

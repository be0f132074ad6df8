"""A journal line as rows of the history, and what the history keeps for a restart. Pure.

A line that is not understood raises WireError, and no row is made of it.
Sizes keep all their digits; an entry price has ten significant ones and money that a division made
endless ten decimals, as on every other surface. What a restart needs is exact.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Protocol

from hlposmon.domain.amounts import CONTEXT, plain
from hlposmon.domain.payments import Payments
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Statement
from hlposmon.domain.views import Memory
from hlposmon.errors import WireError
from hlposmon.text import dumps, loads

Row = tuple[Any, ...]
# A statement of SQL and what is put into it.
Write = tuple[str, Row]

_INTEGERS = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEN_DECIMALS = Decimal(1).scaleb(-10)
_WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)
_DIGEST_BYTES = 8
# A transaction hash of nothing but zeros (the venue gives one for a TWAP's slices).
NO_TRANSACTION = b"\x00"
_HASH_BYTES = 32
_ZEROS = "0x" + "0" * 64


def _insert(table: str, columns: int, *, or_ignore: bool = False) -> str:
    verb = "INSERT OR IGNORE INTO" if or_ignore else "INSERT INTO"
    return f"{verb} {table} VALUES ({', '.join('?' * columns)})"


INSERT_FILL = _insert("fill", 27, or_ignore=True)
INSERT_FUNDING = _insert("funding", 10, or_ignore=True)
_ADOPTION = _insert("adoptions", 10)
_GAP = _insert("gaps (seq, heard_ms, account, instrument, since_ms, expected, found)", 7)
_END_GAP = (
    "UPDATE gaps SET ended_ms = ?, ended_by = ?, missing = ?"
    " WHERE account = ? AND instrument = ? AND ended_ms IS NULL"
)
_END_GAPS = "UPDATE gaps SET ended_ms = ?, ended_by = ? WHERE ended_ms IS NULL"
_DRIFT = _insert("drifts", 7)
_OUTAGE = _insert("outages (seq, heard_ms, account, since_ms, reason)", 5)
_END_OUTAGE = "UPDATE outages SET ended_ms = ? WHERE account = ? AND ended_ms IS NULL"
SAVE_HOLDING = _insert("holdings", 14).replace("INSERT", "INSERT OR REPLACE")
NEWEST_FILL = "SELECT max(time_ms + lag_ms) FROM fill WHERE seq > ?"
FORGET_BEHIND = tuple(
    f"DELETE FROM {table} WHERE seq > ?"
    for table in ("fill", "funding", "adoptions", "gaps", "drifts", "outages", "unwritten")
)
INSERT_STATEMENT = _insert("statements", 7)


class Ids(Protocol):
    """The small numbers that stand for names."""

    def account(self, name: str) -> int: ...
    def instrument(self, key: str) -> int: ...
    def word(self, text: str) -> int: ...


def writes_of(line: dict[str, Any], ids: Ids) -> list[Write]:
    """What a journal line adds to the history; nothing for one that is of no account."""
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
        if isinstance(value, int) and not -_INTEGERS <= value < _INTEGERS:
            raise ValueError(f"{value} has no room in a column")


def _fill(line: dict[str, Any], ids: Ids) -> list[Write]:
    position, time_ms, effect = line["position"], line["time_ms"], line["effect"]
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
    return [(_END_GAP, (heard_ms, "fills", line["missing"], account, instrument))]


def _drift(line: dict[str, Any], ids: Ids) -> list[Write]:
    """Where the venue's size is adopted, a gap ends too: what was missing is in that size."""
    head = _head(line, ids)
    _, heard_ms, account, instrument = head
    facts = (line["book_size"], line["venue_size"], line["cause"])
    return [(_DRIFT, (*head, *facts)), (_END_GAP, (heard_ms, "drift", None, account, instrument))]


def _start(line: dict[str, Any], _ids: Ids) -> list[Write]:
    """A tracker begins: what was missing in a gap is fetched anew with all else since then."""
    return [(_END_GAPS, (_heard_ms(line), "restart"))]


def _feed(line: dict[str, Any], ids: Ids) -> list[Write]:
    account, heard_ms = ids.account(line["account"]), _heard_ms(line)
    if line["live"]:
        return [(_END_OUTAGE, (heard_ms, account))]
    return [(_OUTAGE, (line["seq"], heard_ms, account, line["since_ms"], line["reason"]))]


_MAKERS = {
    "fill": _fill,
    "funding": _funding,
    "position_change": _adoption,
    "gap": _gap,
    "healed": _healed,
    "drift": _drift,
    "feed": _feed,
    "start": _start,
}


def _head(line: dict[str, Any], ids: Ids) -> tuple[int, int, int, int]:
    return line["seq"], _heard_ms(line), ids.account(line["account"]), ids.instrument(line["key"])


def _heard_ms(line: dict[str, Any]) -> int:
    since = datetime.fromisoformat(line["timestamp"]) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _money(text: str) -> str:
    """At most ten decimals; what has fewer stays as it is."""
    if len(text) - text.find(".") - 1 <= 10 or "." not in text:
        return text
    return plain(Decimal(text).quantize(_TEN_DECIMALS, context=_WIDE).normalize(CONTEXT))


def _packed(text: str) -> bytes | str | None:
    """A transaction's hash as its bytes; what is not one stays text."""
    if not text:
        return None
    if text == _ZEROS:
        return NO_TRANSACTION
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return text
    return raw if len(raw) == _HASH_BYTES and "0x" + raw.hex() == text else text


# ------------------------------------------------------------------ kept for a restart


def holding_row(account: int, instrument: int, memory: Memory) -> Row:
    """A memory as a row of `holdings`: all digits."""
    held = memory.position
    amounts = (held.size, held.cost, held.realized, held.closed_pnl, held.fees, held.funding)
    seen = dumps([list(identity) for identity in memory.seen]).decode()
    texts = [plain(value) for value in amounts]
    paid = memory.payments
    booked = dumps(list(paid.booked)).decode()
    return (
        *(account, instrument, *texts, held.fills, memory.known_ms, paid.last_ms, seen),
        *(paid.floor_ms, booked),
    )


def memory_of(account: str, key: str, row: Sequence[Any]) -> Memory:
    """The memory that the columns of `holdings` behind its two first spell."""
    *texts, fills, known_ms, last_funding_ms, seen, floor_ms, booked = row
    size, cost, realized, closed_pnl, fees, funding = map(Decimal, texts)
    identities = tuple(
        (time_ms, one, order_id, trade_id, side, Decimal(start), Decimal(quantity))
        for time_ms, one, order_id, trade_id, side, start, quantity in loads(seen)
    )
    position = Position(size, cost, realized, closed_pnl, fees, funding, fills)
    # What an older program wrote has the newest payment alone.
    payments = Payments(last_funding_ms if floor_ms is None else floor_ms, tuple(loads(booked)))
    return Memory(account, key, position, known_ms, payments, identities)


def digest_of(statement: Statement) -> bytes:
    """A short hash of the sizes that a statement holds: equal for equal sizes, whatever their order."""
    held = sorted(
        f"{one.key}={plain(one.size.normalize(CONTEXT))}" for one in statement.positions if one.size
    )
    return hashlib.sha256("\n".join(held).encode()).digest()[:_DIGEST_BYTES]


def differing_text(keys: Iterable[str]) -> str | None:
    """The keys in which a statement and the book differed, as a JSON list; None for none."""
    found = sorted(keys)
    return dumps(found).decode() if found else None

"""The layout of the shared-memory snapshot: a header and one position per block of 1024 bytes.

Block 0 is the header, blocks 1 to `capacity` are slots, of which the first `used` hold a position each. Each
block begins with a sequence word of 8 bytes, even at rest and odd while the writer changes the block. It ends
with the CRC-32 (zlib's) of the 1020 bytes before it, which include the even sequence word. A copy with an odd
sequence or a wrong checksum is torn: read it again. Integers are in the machine's own byte order, since both
ends are on one machine. Texts are UTF-8 padded with NUL; a full field has no NUL at its end. A decimal is
ASCII in 32 bytes, without exponent; an empty field means none. Reserved bytes are zero. docs/api.md describes
the layout byte by byte.

    block 1 at rest   [word 4][fields ...][crc over word 4 and fields]
    during a store    [word 5][some fields old, some new]   the word is odd: torn
    after it          [word 6][fields ...][crc over word 6 and fields]

This module opens and maps nothing, never waits, and needs only the standard library.
"""

import struct
import zlib
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

from hlposmon.errors import WireError

BLOCK_BYTES = 1024
WORD_BYTES = 8
WORDS_PER_BLOCK = BLOCK_BYTES // WORD_BYTES
DECIMAL_BYTES = 32

MAGIC = b"HLPOSMON"
LAYOUT = 1

STARTING, LIVE, CLOSED, REPLACED = "starting", "live", "closed", "replaced"
STATES = (STARTING, LIVE, CLOSED, REPLACED)
MODES = ("live", "simulated", "backtest")
VERDICTS = ("proven", "unproven", "drift", "stale")

PROOFS = ("fills", "trades", "statement")

# sequence, last_updated_ms, last_fill_ms, fills, account, key, symbol, verdict, reason, eleven decimals,
# as_of_ms, block, proof. Older writers left the last three reserved: zero means none.
_RECORD = struct.Struct("=QqqQ32s64s48s16s96s" + 11 * "32s" + "QQ16s" + "348x")
# sequence, magic, layout, block size, capacity, used, pid, (pad), beat_ns, beat_wall_ms, seq,
# mode, state, status, boot id
_HEADER = struct.Struct("=Q8sIIIII4xQqQ16s16s16s40s" + "868x")
_CHECKSUM = struct.Struct("=I")
_GUARDED_BYTES = BLOCK_BYTES - _CHECKSUM.size
assert _RECORD.size == _HEADER.size == _GUARDED_BYTES

_NO_TIME = -1
_REASON_BYTES = 96
# Of a number that is too large even if rounded, these fields keep the largest that fits; others stay empty.
_REQUIRED = ("size", "realized_pnl", "fees", "funding")
_OPTIONAL = (
    "entry_price",
    "mark_price",
    "unrealized_pnl",
    "notional_value",
    "leverage",
    "margin_used",
    "liquidation_price",
)
_EXACT = ("size", "entry_price")
_LARGEST = Decimal("9" * (DECIMAL_BYTES - 1))  # the remaining byte is for a minus sign
_WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)  # wider than any number that can reach quantize


class DecodeError(WireError):
    """A block is torn or damaged: its checksum is wrong, as it is with an odd sequence word, or its length.
    Read it again."""


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """A position as the snapshot shows it. Times are Unix milliseconds; money is in the quote currency.

    `size` is signed and in base units; unknown decimals are None. `proof` is empty, and `as_of_ms` and
    `block` are None, if unknown, as in files of monitors that did not have these fields yet.
    """

    account: str
    key: str
    symbol: str
    verdict: str
    verdict_reason: str
    size: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    unrealized_pnl: Decimal | None
    realized_pnl: Decimal | None
    fees: Decimal | None
    funding: Decimal | None
    notional_value: Decimal | None
    leverage: Decimal | None
    margin_used: Decimal | None
    liquidation_price: Decimal | None
    last_fill_ms: int | None
    last_updated_ms: int
    fills: int
    proof: str = ""
    as_of_ms: int | None = None
    block: int | None = None

    @property
    def is_flat(self) -> bool:
        """Whether its size is zero."""
        return not self.size

    @property
    def side(self) -> str:
        """long, short or flat."""
        if not self.size:
            return "flat"
        return "long" if self.size > 0 else "short"

    @property
    def quantity(self) -> Decimal:
        """The size without its sign (copied, so that no decimal context rounds it)."""
        return self.size.copy_abs()


@dataclass(frozen=True, slots=True)
class Header:
    """The header: the writer, its state, and its last heartbeat.

    `capacity` and `used` count slots. `beat_ns` is CLOCK_MONOTONIC in nanoseconds, valid only in the boot
    `boot_id`; `beat_wall_ms` is Unix milliseconds. `seq` is the last published message at that beat, `status`
    the monitor's health in a word.
    """

    mode: str
    state: str
    status: str
    capacity: int
    used: int
    pid: int
    beat_ns: int
    beat_wall_ms: int
    seq: int
    boot_id: str


def encode_record(record: PositionRecord, sequence: int) -> bytes:
    """Return the block of 1024 bytes with this even sequence word.

    Decimals other than size and entry price are rounded half-even to fit their field, and a long reason is
    cut. Raises ValueError for a name longer than its field, an unknown verdict or proof, a size or entry
    price that does not fit exactly, a number too large for its field even if rounded, and a time or count
    outside the field's range. `fitted` makes the decimals fit and says so.
    """
    assert sequence % 2 == 0, "a block at rest has an even sequence"
    if record.verdict not in VERDICTS:
        raise ValueError(f"verdict {record.verdict!r} is none of {', '.join(VERDICTS)}")
    if record.last_fill_ms is not None and record.last_fill_ms < 0:
        raise ValueError(f"last_fill_ms {record.last_fill_ms} is before 1970, which the layout cannot say")
    if record.proof and record.proof not in PROOFS:
        raise ValueError(f"proof {record.proof!r} is none of {', '.join(PROOFS)}")
    return _pack(
        record.key,
        sequence,
        record.last_updated_ms,
        _NO_TIME if record.last_fill_ms is None else record.last_fill_ms,
        record.fills,
        _name("account", record.account, 32),
        _name("key", record.key, 64),
        _name("symbol", record.symbol, 48),
        _name("verdict", record.verdict, 16),
        _reason(record.verdict_reason),
        _exact("size", record.size),
        _exact("entry_price", record.entry_price),
        _rounded("mark_price", record.mark_price),
        _rounded("unrealized_pnl", record.unrealized_pnl),
        _rounded("realized_pnl", record.realized_pnl),
        _rounded("fees", record.fees),
        _rounded("funding", record.funding),
        _rounded("notional_value", record.notional_value),
        _rounded("leverage", record.leverage),
        _rounded("margin_used", record.margin_used),
        _rounded("liquidation_price", record.liquidation_price),
        record.as_of_ms or 0,
        record.block or 0,
        _name("proof", record.proof, 16),
    )


def _pack(key: str, *fields: Any) -> bytes:
    try:
        return _sealed(_RECORD.pack(*fields))
    except struct.error as error:
        raise ValueError(
            f"a time, the block or the count of fills of {key} is no 64-bit number: {error}"
        ) from error


class RecordTexts(NamedTuple):
    """A PositionRecord whose decimals are texts already, as rendered for the other outputs."""

    account: str
    key: str
    symbol: str
    verdict: str
    verdict_reason: str
    size: str
    entry_price: str | None
    mark_price: str | None
    unrealized_pnl: str | None
    realized_pnl: str | None
    fees: str | None
    funding: str | None
    notional_value: str | None
    leverage: str | None
    margin_used: str | None
    liquidation_price: str | None
    last_fill_ms: int | None
    last_updated_ms: int
    fills: int
    proof: str
    as_of_ms: int | None
    block: int | None

    def record(self) -> PositionRecord:
        """Return the same record with Decimals."""
        texts = {name: getattr(self, name) for name in (*_REQUIRED, *_OPTIONAL)}
        numbers = {name: None if text is None else Decimal(text) for name, text in texts.items()}
        return PositionRecord(**{**self._asdict(), **numbers})


def encode_texts(texts: RecordTexts, sequence: int) -> bytes:
    """Encode as `encode_record` does, but copy the texts: the fast path if all of them fit their fields."""
    decimals = texts[5:16]
    if any(text is not None and len(text) > DECIMAL_BYTES for text in decimals):
        return encode_record(texts.record(), sequence)
    assert texts.verdict in VERDICTS, texts.verdict
    last_fill_ms = texts.last_fill_ms
    if last_fill_ms is not None and last_fill_ms < 0:
        raise ValueError(f"last_fill_ms {last_fill_ms} is before 1970, which the layout cannot say")
    return _pack(
        texts.key,
        sequence,
        texts.last_updated_ms,
        _NO_TIME if last_fill_ms is None else last_fill_ms,
        texts.fills,
        _name("account", texts.account, 32),
        _name("key", texts.key, 64),
        _name("symbol", texts.symbol, 48),
        texts.verdict.encode(),
        _reason(texts.verdict_reason),
        *(b"" if text is None else text.encode() for text in decimals),
        texts.as_of_ms or 0,
        texts.block or 0,
        texts.proof.encode(),
    )


def fitted(record: PositionRecord) -> PositionRecord:
    """Return a record that can be shown instead of one whose numbers `encode_record` refuses; never proven.

    A number is rounded half-even to the digits that fit. If it is too large even so, an optional field is
    left empty, and a required one gets the largest number that fits, with the same sign, so that a long
    position stays long. The reason begins with the names of these fields. Names are not cut: a cut name could
    be that of another position.
    """
    refused: dict[str, Decimal | None] = {}
    for field in (*_REQUIRED, *_OPTIONAL):
        value = getattr(record, field)
        try:
            (_exact if field in _EXACT else _rounded)(field, value)
        except ValueError:
            refused[field] = _nearest(field, value)
    reasons = [f"more digits than the snapshot holds: {', '.join(refused)}"] if refused else []
    reasons += [record.verdict_reason] if record.verdict_reason else []
    changes: dict[str, Any] = {**refused, "verdict_reason": "; ".join(reasons)}
    if record.verdict == "proven":
        changes["verdict"] = "unproven"
    return replace(record, **changes)


def decode_record(block: bytes) -> PositionRecord:
    """Return the position in a block of 1024 bytes.

    Raises DecodeError if the block is torn or damaged, WireError if its fields hold no valid text or number.
    """
    _check(block)
    (_, updated, last_fill, fills, account, key, symbol, verdict, reason, size, *rest) = _RECORD.unpack_from(
        block
    )
    entry, mark, unrealized, realized, fees, funding, notional, leverage, margin, liquidation, *basis = rest
    as_of, block_number, proof = basis
    return PositionRecord(
        account=_text(account),
        key=_text(key),
        symbol=_text(symbol),
        verdict=_text(verdict),
        verdict_reason=_text(reason),
        size=_number(size),
        entry_price=_optional(entry),
        mark_price=_optional(mark),
        unrealized_pnl=_optional(unrealized),
        realized_pnl=_optional(realized),
        fees=_optional(fees),
        funding=_optional(funding),
        notional_value=_optional(notional),
        leverage=_optional(leverage),
        margin_used=_optional(margin),
        liquidation_price=_optional(liquidation),
        last_fill_ms=None if last_fill == _NO_TIME else last_fill,
        last_updated_ms=updated,
        fills=fills,
        proof=_text(proof),
        as_of_ms=as_of or None,
        block=block_number or None,
    )


def encode_header(header: Header, sequence: int) -> bytes:
    """Return the header's block of 1024 bytes with this even sequence word. Raises ValueError for a name
    longer than its field."""
    assert sequence % 2 == 0, "a block at rest has an even sequence"
    assert header.state in STATES, header.state
    return _sealed(
        _HEADER.pack(
            sequence,
            MAGIC,
            LAYOUT,
            BLOCK_BYTES,
            header.capacity,
            header.used,
            header.pid,
            header.beat_ns,
            header.beat_wall_ms,
            header.seq,
            _name("mode", header.mode, 16),
            _name("state", header.state, 16),
            _name("status", header.status, 16),
            _name("boot_id", header.boot_id, 40),
        )
    )


def decode_header(block: bytes) -> Header:
    """Return the header in a block. Raises DecodeError if torn or damaged, WireError for another layout."""
    _check(block)
    _, magic, layout, size, capacity, used, pid, beat_ns, wall_ms, seq, *texts = _HEADER.unpack_from(block)
    if (magic, layout, size) != (MAGIC, LAYOUT, BLOCK_BYTES):
        raise WireError(
            f"the snapshot has layout {layout} in blocks of {size} bytes, this reader knows"
            f" layout {LAYOUT} in blocks of {BLOCK_BYTES}: use the reader of the monitor's own version"
        )
    mode, state, status, boot_id = (_text(text) for text in texts)
    return Header(mode, state, status, capacity, used, pid, beat_ns, wall_ms, seq, boot_id)


def _sealed(body: bytes) -> bytes:
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _check(block: bytes) -> None:
    if len(block) != BLOCK_BYTES:
        raise DecodeError(f"a block has {BLOCK_BYTES} bytes, this one has {len(block)}")
    if zlib.crc32(block[:_GUARDED_BYTES]) != _CHECKSUM.unpack_from(block, _GUARDED_BYTES)[0]:
        raise DecodeError("the checksum does not match: the block is torn or damaged")


def _name(field: str, text: str, limit: int) -> bytes:
    encoded = text.encode()
    if len(encoded) > limit:
        raise ValueError(
            f"{field} {text!r} takes {len(encoded)} bytes, its field in the snapshot holds {limit}"
        )
    if b"\0" in encoded:
        raise ValueError(f"{field} {text!r} holds a NUL, which pads the fields of the snapshot")
    return encoded


def _reason(text: str) -> bytes:
    encoded = text.encode(errors="replace").replace(b"\0", b" ")
    if len(encoded) <= _REASON_BYTES:
        return encoded
    return encoded[:_REASON_BYTES].decode(errors="ignore").encode()


def _text(field: bytes) -> str:
    try:
        return field.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise WireError("bytes that are no UTF-8 stand where the snapshot's layout has a text") from error


def _exact(field: str, value: Decimal | None) -> bytes:
    """Encode a number that must not be rounded: a rounded size would show a position that nobody holds."""
    encoded = _rounded(field, value)
    if value is not None and Decimal(encoded.decode()) != value:
        raise ValueError(
            f"{field} {value} does not fit {DECIMAL_BYTES} bytes exactly, and may not be rounded"
        )
    return encoded


def _rounded(field: str, value: Decimal | None) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, Decimal):
        raise TypeError(f"{field} must be a Decimal, not {type(value).__name__}")
    if not value.is_finite():
        raise ValueError(f"{field} is {value}: the snapshot holds finite numbers only")
    text = str(value)
    if len(text) > DECIMAL_BYTES or "E" in text:
        text = _shortened(field, value)
    return text.encode("ascii")


def _nearest(field: str, value: Decimal) -> Decimal | None:
    try:
        return Decimal(_rounded(field, value).decode())
    except ValueError:
        if field in _OPTIONAL:
            return None
        return _LARGEST.copy_sign(value)


def _shortened(field: str, value: Decimal) -> str:
    """Return the number without exponent, rounded to as many decimals as fit into DECIMAL_BYTES.

    The loop tries fewer and fewer decimals, because rounding up may add a digit. In a field of 4 bytes, 9.999
    is too long with 3 decimals (9.999) and with 2 (10.00), and fits with 1 (10.0).
    """
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "finite, as the caller checked"
    if value and value.adjusted() < DECIMAL_BYTES:
        for places in range(min(max(-exponent, 0), DECIMAL_BYTES - 2), -1, -1):
            rounded = value.quantize(Decimal((0, (1,), -places)), context=_WIDE)
            text = f"{rounded:f}" if rounded else "0"
            if len(text) <= DECIMAL_BYTES:
                return text
    elif not value:
        return "0"
    raise ValueError(f"{field} {value} has more digits before the point than {DECIMAL_BYTES} bytes hold")


def _optional(field: bytes) -> Decimal | None:
    return _number(field) if field[0] else None


def _number(field: bytes) -> Decimal:
    text = _text(field)
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise WireError(f"{text!r} stands where the snapshot's layout has a number") from error

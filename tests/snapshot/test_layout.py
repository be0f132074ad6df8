"""The snapshot's layout: what is encoded comes back, and what was torn or damaged does not."""

import re
import struct
from dataclasses import fields, replace
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.errors import WireError
from hlposmon.snapshot.layout import (
    BLOCK_BYTES,
    PROOFS,
    STATES,
    VERDICTS,
    DecodeError,
    Header,
    PositionRecord,
    decode_header,
    decode_record,
    encode_header,
    encode_record,
    fitted,
)

API_PAGE = Path(__file__).parents[2] / "docs" / "api.md"

BTC = PositionRecord(
    account="main",
    key="hyperliquid:Perp:BTC",
    symbol="BTC-USD",
    verdict="unproven",
    verdict_reason="no statement yet",
    size=Decimal("-0.15"),
    entry_price=Decimal("50166.66667"),
    mark_price=Decimal("51000"),
    unrealized_pnl=Decimal("-125.00"),
    realized_pnl=Decimal("1.5"),
    fees=Decimal("3.76"),
    funding=Decimal("-0.0003"),
    notional_value=Decimal("7650.00"),
    leverage=Decimal("20"),
    margin_used=Decimal("382.5"),
    liquidation_price=Decimal("61234.5"),
    last_fill_ms=1_700_000_000_123,
    last_updated_ms=1_700_000_001_456,
    fills=7,
    proof="statement",
    as_of_ms=1_700_000_001_000,
    block=23_912_345,
)
HEADER = Header(
    mode="live",
    state="live",
    status="degraded",
    capacity=1024,
    used=2,
    pid=4711,
    beat_ns=123_456_789_012,
    beat_wall_ms=1_700_000_001_456,
    seq=1042,
    boot_id="0f8e7c6d-0000-4000-8000-000000000001",
)


def seen(record):
    return decode_record(encode_record(record, 2))


def names(limit):
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=limit)
    return text.filter(lambda name: len(name.encode()) <= limit)


def decimals():
    places = st.integers(0, 12)
    return st.builds(lambda n, p: Decimal(n).scaleb(-p), st.integers(-(10**17), 10**17), places)


RECORDS = st.builds(
    PositionRecord,
    account=names(32),
    key=names(64),
    symbol=names(48),
    verdict=st.sampled_from(VERDICTS),
    verdict_reason=names(96),
    size=decimals(),
    entry_price=st.none() | decimals(),
    mark_price=st.none() | decimals(),
    unrealized_pnl=st.none() | decimals(),
    realized_pnl=decimals(),
    fees=decimals(),
    funding=decimals(),
    notional_value=st.none() | decimals(),
    leverage=st.none() | decimals(),
    margin_used=st.none() | decimals(),
    liquidation_price=st.none() | decimals(),
    last_fill_ms=st.none() | st.integers(0, 2**62),
    last_updated_ms=st.integers(-(2**62), 2**62),
    fills=st.integers(0, 2**63),
    proof=st.sampled_from(("", *PROOFS)),
    as_of_ms=st.none() | st.integers(1, 2**62),
    block=st.none() | st.integers(1, 2**62),
)
WORDS = st.integers(0, 2**64 - 1)
HEADERS = st.builds(
    Header,
    mode=names(16),
    state=st.sampled_from(STATES),
    status=names(16),
    capacity=st.integers(1, 2**32 - 1),
    used=st.integers(0, 2**32 - 1),
    pid=st.integers(0, 2**32 - 1),
    beat_ns=WORDS,
    beat_wall_ms=st.integers(-(2**63), 2**63 - 1),
    seq=WORDS,
    boot_id=names(40),
)
SEQUENCES = st.integers(0, 2**63 - 1).map(lambda half: 2 * half)


@given(RECORDS, SEQUENCES)
def test_a_record_that_is_encoded_and_decoded_is_the_same(record, sequence):
    block = encode_record(record, sequence)

    assert BLOCK_BYTES == len(block)
    assert record == decode_record(block)


@given(HEADERS, SEQUENCES)
def test_a_header_that_is_encoded_and_decoded_is_the_same(header, sequence):
    block = encode_header(header, sequence)

    assert BLOCK_BYTES == len(block)
    assert header == decode_header(block)


def test_flipping_any_bit_of_a_block_is_noticed():
    for block, decode in (
        (encode_record(BTC, 42), decode_record),
        (encode_header(HEADER, 42), decode_header),
    ):
        for position in range(8 * BLOCK_BYTES):
            damaged = bytearray(block)
            damaged[position // 8] ^= 1 << position % 8
            with pytest.raises(DecodeError):
                decode(bytes(damaged))


def test_any_mixture_of_two_writes_is_noticed():
    old, new = encode_record(BTC, 2), encode_record(replace(BTC, size=Decimal(3), fills=8), 4)
    for cut in range(1, BLOCK_BYTES):
        for torn in (old[:cut] + new[cut:], new[:cut] + old[cut:]):
            if torn not in (old, new):
                with pytest.raises(DecodeError):
                    decode_record(torn)


def test_a_block_that_was_never_written_is_no_record():
    with pytest.raises(DecodeError):
        decode_record(bytes(BLOCK_BYTES))


def test_a_block_that_is_cut_short_is_no_record():
    with pytest.raises(DecodeError, match="1023"):
        decode_record(encode_record(BTC, 2)[:-1])


def test_a_header_of_another_layout_is_refused_and_not_read_again(monkeypatch):
    monkeypatch.setattr("hlposmon.snapshot.layout.LAYOUT", 2)
    block = encode_header(HEADER, 2)
    monkeypatch.undo()

    with pytest.raises(WireError, match="layout 2") as refusal:
        decode_header(block)
    assert not isinstance(refusal.value, DecodeError)


def test_the_coin_of_a_builder_deployed_perp_keeps_its_colon():
    assert "hyperliquid:Perp:xyz:TSLA" == seen(replace(BTC, key="hyperliquid:Perp:xyz:TSLA")).key


@pytest.mark.parametrize(("field", "limit"), [("account", 32), ("key", 64), ("symbol", 48)])
def test_a_name_may_fill_its_field_and_not_exceed_it(field, limit):
    assert "x" * limit == getattr(seen(replace(BTC, **{field: "x" * limit})), field)
    for too_long in ("x" * (limit + 1), "é" * (limit // 2 + 1)):
        with pytest.raises(ValueError, match=field):
            encode_record(replace(BTC, **{field: too_long}), 2)


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        encode_record(replace(BTC, account="main\0"), 2)


def test_a_verdict_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="fine"):
        encode_record(replace(BTC, verdict="fine"), 2)


def test_a_proof_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="hearsay"):
        encode_record(replace(BTC, proof="hearsay"), 2)


def test_what_a_position_rests_on_stands_where_older_layouts_had_zeros():
    """A reader from before takes these bytes for reserved; a record from before says nothing of them."""
    before = replace(BTC, proof="", as_of_ms=None, block=None)
    block = encode_record(before, 2)

    assert block[640:1020] == bytes(380)
    assert encode_record(BTC, 2)[:640] == block[:640]
    assert decode_record(block) == before


def test_a_long_reason_is_cut_between_two_characters():
    assert "x" * 95 == seen(replace(BTC, verdict_reason="x" * 95 + "é and more")).verdict_reason
    assert "é" * 48 == seen(replace(BTC, verdict_reason="é" * 49)).verdict_reason


@pytest.mark.parametrize("field", ["size", "entry_price"])
@pytest.mark.parametrize("value", ["0." + "1" * 31, "1" * 33, "1E-40", "-" + "1" * 32, "1E+40"])
def test_a_size_or_entry_price_that_does_not_fit_exactly_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        encode_record(replace(BTC, **{field: Decimal(value)}), 2)


@pytest.mark.parametrize(
    "value", ["1E+5", "1E-8", "-1E-29", "0E-50", "0E+50", "1.5" + "0" * 40, "-" + "1" * 31]
)
def test_a_size_that_fits_is_exact_however_it_is_written(value):
    assert Decimal(value) == seen(replace(BTC, size=Decimal(value))).size


def test_a_derived_number_is_rounded_half_even_to_fit():
    shown = seen(
        replace(
            BTC,
            unrealized_pnl=Decimal("0." + "1" * 30 + "25"),
            realized_pnl=Decimal("9." + "9" * 40),
            fees=Decimal("0." + "0" * 29 + "25"),
            funding=Decimal("-1E-400"),
            notional_value=Decimal("1" * 31 + ".5"),
        )
    )

    assert Decimal("0." + "1" * 30) == shown.unrealized_pnl
    assert Decimal(10) == shown.realized_pnl
    assert Decimal("0." + "0" * 29 + "2") == shown.fees
    assert "0" == str(shown.funding)
    assert Decimal("1" * 30 + "2") == shown.notional_value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**29), max_value=10**29))
def test_a_derived_number_is_never_further_off_than_half_its_last_place(value):
    shown = seen(replace(BTC, unrealized_pnl=value)).unrealized_pnl
    text = f"{shown:f}"
    places = len(text.partition(".")[2]) if shown else 29  # a sign takes one of thirty

    assert len(text) <= 32
    with localcontext(prec=500):
        assert abs(shown - value) <= Decimal(1).scaleb(-places) / 2


@pytest.mark.parametrize("value", ["1E+32", "-1E+32", "1E+1000000"])
def test_a_number_too_large_to_be_rounded_is_refused(value):
    with pytest.raises(ValueError, match="fees"):
        encode_record(replace(BTC, fees=Decimal(value)), 2)


LONG = Decimal("123456789012345.123456789012345678")


def test_a_size_that_does_not_fit_is_rounded_half_even_and_proven_no_longer():
    shown = seen(fitted(replace(BTC, verdict="proven", verdict_reason="", size=LONG)))

    assert "123456789012345.1234567890123457" == str(shown.size)
    assert ("unproven", "more digits than the snapshot holds: size") == (shown.verdict, shown.verdict_reason)


@pytest.mark.parametrize("verdict", ["unproven", "drift", "stale"])
def test_a_verdict_that_is_not_proven_stays_with_its_reason_behind(verdict):
    shown = seen(fitted(replace(BTC, verdict=verdict, verdict_reason="no statement yet", size=LONG)))

    assert verdict == shown.verdict
    assert "more digits than the snapshot holds: size; no statement yet" == shown.verdict_reason


def test_what_is_too_large_to_be_rounded_is_left_empty_and_where_it_cannot_be_the_largest_stands_for_it():
    huge, nines = Decimal("1" * 40), Decimal("9" * 31)
    shown = seen(fitted(replace(BTC, size=-huge, fees=huge, entry_price=huge, mark_price=huge)))

    assert ("short", nines.copy_negate(), nines, None, None) == (
        shown.side,
        shown.size,
        shown.fees,
        shown.entry_price,
        shown.mark_price,
    )
    assert shown.verdict_reason.startswith(
        "more digits than the snapshot holds: size, fees, entry_price, mark_price"
    )


def test_numbers_that_are_rounded_in_any_case_are_not_named():
    shown = fitted(replace(BTC, size=LONG, unrealized_pnl=LONG, verdict_reason=""))

    assert "more digits than the snapshot holds: size" == shown.verdict_reason


@given(
    RECORDS,
    st.decimals(allow_nan=False, allow_infinity=False),
    st.none() | st.decimals(allow_nan=False, allow_infinity=False),
)
def test_whatever_its_numbers_a_record_can_be_fitted(record, number, other):
    fitting = fitted(replace(record, size=number, funding=number, entry_price=other, leverage=other))

    assert decode_record(encode_record(fitting, 2)).verdict != "proven"


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity"])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        encode_record(replace(BTC, mark_price=Decimal(value)), 2)


def test_a_float_is_refused():
    with pytest.raises(TypeError, match="float"):
        encode_record(replace(BTC, mark_price=51000.5), 2)


def test_a_count_or_time_that_is_no_64_bit_number_is_refused():
    for wrong in ({"fills": -1}, {"last_updated_ms": 2**63}, {"last_fill_ms": -1}, {"as_of_ms": -1}):
        with pytest.raises(ValueError, match=r"fills|last_fill_ms"):
            encode_record(replace(BTC, **wrong), 2)


def test_the_side_follows_from_the_signed_size_and_the_quantity_is_exact():
    size = Decimal("-1.234567890123456789012345678901")
    short = replace(BTC, size=size)

    assert ("short", size.copy_negate(), False) == (short.side, short.quantity, short.is_flat)
    assert "long" == replace(BTC, size=Decimal(1)).side
    assert ("flat", True) == (replace(BTC, size=Decimal(0)).side, replace(BTC, size=Decimal(0)).is_flat)


# --- docs/api.md is the specification: a reader written from the page alone must get the same ---


def page_table(title):
    """Rows (offset, bytes, type, name) of the table that follows a line of docs/api.md."""
    section = API_PAGE.read_text().split(f"\n{title}\n", 1)[1].lstrip("\n").split("\n\n", 1)[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w*) ?\| (\w*) ?\|", section, re.MULTILINE)
    return [(int(offset), int(length), kind, name) for offset, length, kind, name in rows]


def read_by_page(block, rows):
    def value(offset, length, kind):
        raw = block[offset : offset + length]
        if kind in ("u", "i"):
            return struct.unpack(
                "=" + {4: "I", 8: "Q"}[length].translate({} if kind == "u" else {81: "q"}), raw
            )[0]
        text = raw.rstrip(b"\0").decode()
        return Decimal(text) if kind == "decimal" else text

    return {name: value(offset, length, kind) for offset, length, kind, name in rows if name}


@pytest.mark.parametrize(
    ("title", "fact", "encode"), [("A slot:", BTC, encode_record), ("The header:", HEADER, encode_header)]
)
def test_the_page_says_where_every_field_stands(title, fact, encode):
    rows = page_table(title)
    shown = read_by_page(encode(fact, 42), rows)

    assert {field.name for field in fields(fact)} == shown.keys() - {"magic", "layout", "block_size"}
    for field in fields(fact):
        assert getattr(fact, field.name) == shown[field.name], field.name
    ends = [offset + length for offset, length, _, _ in rows]
    assert [8, *ends] == [offset for offset, _, _, _ in rows] + [1020], "no hole and no overlap"

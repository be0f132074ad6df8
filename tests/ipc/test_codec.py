"""What a queue carries: every report and every ask comes back as it was, and garbage as an error."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlposmon.domain import reports
from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    Bell,
    BellReason,
    Collateral,
    Connected,
    FeedState,
    Fetched,
    Fill,
    FillCause,
    Fills,
    Following,
    Funding,
    Heard,
    HistoryEvent,
    HistoryRemark,
    HistoryState,
    Joined,
    Left,
    Live,
    MarginMode,
    MarginPool,
    MarginTables,
    Marks,
    NotFetched,
    Notice,
    NoticeCode,
    Place,
    PlaceRead,
    Side,
    StatedPosition,
    Statement,
    StatementsWanted,
    SubAccounts,
    TradedOnSpot,
    Unlisted,
    Welcome,
)
from hlposmon.errors import WireError
from hlposmon.ipc.codec import decode, encode

AMOUNT = st.decimals(
    allow_nan=False, allow_infinity=False, places=None, min_value=-(10**30), max_value=10**30
)
TEXT = st.text(max_size=20)
MS = st.integers(0, 2**53)
SECONDS = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | AMOUNT
FILL = st.builds(
    Fill,
    account=TEXT,
    key=TEXT,
    time_ms=MS,
    side=st.sampled_from(Side),
    size=AMOUNT,
    price=AMOUNT,
    start_position=AMOUNT,
    fee=AMOUNT,
    fee_token=TEXT,
    closed_pnl=AMOUNT,
    order_id=MS,
    trade_id=st.none() | MS,
    hash=TEXT,
    direction=TEXT,
    crossed=st.booleans(),
    liquidation=st.none() | TEXT,
    cause=st.sampled_from(FillCause),
    twap_id=st.none() | MS,
    builder_fee=MAYBE,
)
STATED = st.builds(
    StatedPosition,
    key=TEXT,
    size=AMOUNT,
    entry_price=MAYBE,
    mark_price=MAYBE,
    leverage=MAYBE,
    margin_used=MAYBE,
    liquidation_price=MAYBE,
    tolerance=AMOUNT,
    hold=MAYBE,
    margin_mode=st.none() | st.sampled_from(MarginMode),
    max_leverage=MAYBE,
    cash=MAYBE,
)
STATEMENT = st.builds(
    Statement,
    account=TEXT,
    venue=TEXT,
    time_ms=MS,
    asked_s=SECONDS,
    positions=st.lists(STATED, max_size=4).map(tuple),
    equity=MAYBE,
    margin_used=MAYBE,
    withdrawable=MAYBE,
    fills_from_ms=st.none() | MS,
    pushed=st.booleans(),
    unread=st.dictionaries(TEXT, TEXT, max_size=3),
    scope=TEXT,
    cross_equity=MAYBE,
    cross_cash=MAYBE,
    cross_maintenance=MAYBE,
    margin_ratio=MAYBE,
)
TABLE = st.sampled_from(
    [
        MarginTable.single(Decimal(50)),
        MarginTable((Tier(Decimal("0.0"), Decimal(40)), Tier(Decimal("1.5e8"), Decimal(20)))),
    ]
)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
WORDS = st.dictionaries(TEXT, TEXT, max_size=3)
EVERY = {
    HistoryState: st.builds(HistoryState, seq=MS, failure=st.none() | TEXT),
    HistoryRemark: st.builds(
        HistoryRemark,
        event=st.sampled_from(HistoryEvent),
        facts=st.dictionaries(TEXT, st.none() | TEXT | MS | st.lists(TEXT)),
    ),
    Fills: st.builds(
        Fills,
        account=TEXT,
        source=TEXT,
        fills=st.lists(FILL, max_size=4).map(tuple),
        heard_s=st.none() | SECONDS,
        from_ms=st.none() | MS,
    ),
    Marks: st.builds(Marks, prices=st.dictionaries(TEXT, AMOUNT, max_size=5), heard_s=SECONDS, missing=TEXTS),
    Statement: STATEMENT,
    Funding: st.builds(Funding, account=TEXT, key=TEXT, time_ms=MS, amount=AMOUNT, size=AMOUNT, rate=AMOUNT),
    FeedState: st.builds(FeedState, account=TEXT, feed=TEXT, live=st.booleans(), at_s=SECONDS, reason=TEXT),
    Heard: st.builds(Heard, feed=TEXT, at_s=SECONDS),
    Following: st.builds(Following, account=TEXT, feed=TEXT, since_s=SECONDS, whole_from_ms=st.none() | MS),
    Fetched: st.builds(Fetched, account=TEXT, from_ms=MS, asked_s=SECONDS),
    NotFetched: st.builds(NotFetched, account=TEXT, reason=TEXT),
    Notice: st.builds(Notice, account=TEXT, code=st.sampled_from(NoticeCode), text=TEXT, source=TEXT),
    TradedOnSpot: st.builds(TradedOnSpot, account=TEXT, coins=TEXTS),
    PlaceRead: st.builds(
        PlaceRead,
        account=TEXT,
        place=st.sampled_from(Place),
        unread=TEXTS,
        time_ms=MS,
        asked_s=st.none() | SECONDS,
    ),
    AccountMode: st.builds(
        AccountMode,
        account=TEXT,
        mode=st.none() | TEXT,
        plain=st.booleans(),
        reason=TEXT,
        pool=st.none() | st.sampled_from(MarginPool),
    ),
    AccountRole: st.builds(AccountRole, account=TEXT, role=st.none() | TEXT, owner=st.none() | TEXT),
    SubAccounts: st.builds(
        SubAccounts, account=TEXT, found=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
    ),
    AccountEvent: st.builds(
        AccountEvent,
        account=TEXT,
        time_ms=MS,
        kind=st.sampled_from(AccountEventKind),
        text=TEXT,
        keys=TEXTS,
    ),
    Unlisted: st.builds(Unlisted, account=TEXT, since_ms=MS, until_ms=MS, reason=TEXT),
    Connected: st.builds(Connected, worker=TEXT, count=st.integers(1, 10**6)),
    Left: st.builds(Left, worker=TEXT, kind=TEXT),
    Joined: st.builds(Joined, worker=TEXT, kind=TEXT, addresses=WORDS),
    Welcome: st.builds(
        Welcome,
        high_water_ms=st.dictionaries(TEXT, st.none() | MS, max_size=4),
        modes=WORDS,
        roles=st.dictionaries(TEXT, st.tuples(TEXT, st.none() | TEXT), max_size=4),
    ),
    Bell: st.builds(Bell, account=TEXT, since_ms=st.none() | MS, reason=st.sampled_from(BellReason)),
    Collateral: st.builds(Collateral, scope=TEXT, token=TEXT),
    MarginTables: st.builds(MarginTables, scope=TEXT, tables=st.dictionaries(TEXT, TABLE, max_size=4)),
    Live: st.builds(Live, account=TEXT, known_ms=st.none() | MS, since_s=SECONDS),
    StatementsWanted: st.builds(StatementsWanted, account=TEXT, scopes=TEXTS),
}


def test_every_kind_of_message_is_shown_here():
    assert set(EVERY) == set(reports.Report.__args__) | set(reports.Ask.__args__)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_encoded_comes_back_as_it_was(kind, data):
    message = data.draw(EVERY[kind])
    back = decode(encode(message))

    assert back == message
    assert type(back) is kind


ENUMS = (
    [(Notice("main", code, "why", "reconcile"), "code", code) for code in NoticeCode]
    + [(PlaceRead("main", place, ("HYPE 1 (spot)",)), "place", place) for place in Place]
    + [(Bell("main", 5, reason), "reason", reason) for reason in BellReason]
    + [(AccountEvent("main", 5, kind, "why"), "kind", kind) for kind in AccountEventKind]
)


@pytest.mark.parametrize(("message", "field", "value"), ENUMS)
def test_a_word_of_a_fixed_set_comes_back_as_that_word_and_not_as_text(message, field, value):
    assert getattr(decode(encode(message)), field) is value


@pytest.mark.parametrize(("message", "field", "value"), ENUMS)
@pytest.mark.parametrize("word", ["no such word", "", 5, None, ["feed"]])
def test_a_word_that_is_not_of_its_set_is_a_wire_error(message, field, value, word):
    body = json.loads(encode(message))
    body[body.index(value.value)] = word

    with pytest.raises(WireError):
        decode(json.dumps(body).encode())


def test_a_side_that_is_neither_is_a_wire_error():
    row = ["main", "k", 1, "hold", "1", "2", "0", "0", "USDC", "0", 1, 2, "", "", False, None]

    with pytest.raises(WireError):
        decode(json.dumps(["fills", "main", "f", [row], None]).encode())


def floats_of_amounts(raw):
    """Amounts are strings: the only floats are seconds."""
    found = []
    json.loads(raw, parse_float=lambda text: found.append(text) or 0.0)
    return found


@settings(max_examples=40)
@given(
    EVERY[Fills].map(lambda one: replace(one, heard_s=None)) | EVERY[Funding] | EVERY[Notice] | EVERY[Welcome]
)
def test_no_amount_is_ever_a_float(message):
    assert not floats_of_amounts(encode(message))


@given(st.binary(max_size=80))
def test_bytes_that_are_no_report_are_a_wire_error(raw):
    with pytest.raises(WireError):
        decode(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
KINDS = [
    "fills",
    "marks",
    "statement",
    "funding",
    "feed",
    "heard",
    "following",
    "fetched",
    "not fetched",
    "notice",
    "place read",
    "traded on spot",
    "mode",
    "role",
    "happened",
    "unlisted",
    "connected",
    "joined",
    "welcome",
    "bell",
    "live",
    "nonsense",
]


@given(
    JSON | st.builds(lambda kind, rest: [kind, *rest], st.sampled_from(KINDS), st.lists(JSON, max_size=17))
)
def test_json_of_another_shape_is_at_most_a_wire_error(body):
    try:
        decode(json.dumps(body).encode())
    except WireError:
        pass


@pytest.mark.parametrize("spoilt", [1.5, 7, None, "NaN", "Infinity", "x", "", [], True])
def test_an_amount_that_is_not_text_is_a_wire_error(spoilt):
    with pytest.raises(WireError):
        decode(json.dumps(["funding", "main", "k", 1, "0.1", spoilt, "1"]).encode())
    with pytest.raises(WireError):
        decode(json.dumps(["marks", 1.5, {"k": spoilt}, []]).encode())


def test_a_tiny_and_a_huge_amount_keep_every_digit():
    prices = {"a": Decimal("1E-30"), "b": Decimal("9" * 60), "c": Decimal("-0.1000")}

    assert decode(encode(Marks(prices, 1.5))) == Marks(prices, 1.5)


def test_a_fill_that_an_older_version_recorded_is_an_orders():
    """Recordings of the engine hold reports in this form, and are replayed by later versions."""
    amounts = ["1", "100", "0", "0.1", "USDC", "0"]
    row = ["main", "hyperliquid:Perp:BTC", 5, "buy", *amounts, 9, 8, "0x1", "Open Long", True, None]
    fills = decode(json.dumps(["fills", "main", "fill", [row], None]).encode())

    assert isinstance(fills, Fills)
    [fill] = fills.fills
    assert (fill.direction, fill.cause, fill.twap_id) == ("Open Long", FillCause.ORDER, None)
    assert fill.builder_fee is None

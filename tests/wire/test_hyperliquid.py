"""The venue's payloads: what is whole is decoded exactly, and nothing is made up for what is not."""

import base64
import json
import os
import tracemalloc
import zlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.reports import Fill, Happened, Happening, Side
from hlposmon.errors import WireError
from hlposmon.wire import hyperliquid as wire
from hlposmon.wire.text import loads

US = "0x" + "ab" * 20
THEM = "0x" + "cd" * 20


def fill_row(**changes):
    row = {
        "coin": "BTC",
        "px": "86324.0",
        "sz": "0.00494",
        "side": "B",
        "time": 1791171591707,
        "startPosition": "-2.30402",
        "dir": "Close Short",
        "closedPnl": "1.23994",
        "hash": "0xa2cb",
        "oid": 565434428158,
        "crossed": False,
        "fee": "-0.004264",
        "tid": 348339424011870,
        "feeToken": "USDC",
        "twapId": None,
    }
    return without(row | changes)


def position_row(**changes):
    row = {
        "coin": "HYPE",
        "szi": "-4.0",
        "leverage": {"type": "isolated", "value": 10, "rawUsd": "211.144417"},
        "entryPx": "47.9932",
        "positionValue": "192.58",
        "unrealizedPnl": "-0.6071",
        "liquidationPx": "50.2724802381",
        "marginUsed": "18.564417",
        "maxLeverage": 10,
    }
    return without(row | changes)


def state(*positions, **changes):
    body = {
        "marginSummary": {"accountValue": "76.206517", "totalMarginUsed": "18.564417", "totalRawUsd": "-5.1"},
        "withdrawable": "57.6421",
        "assetPositions": [{"type": "oneWay", "position": row} for row in positions],
        "time": 1761803589961,
    }
    return without(body | changes)


def without(row):
    """Ellipsis for a field takes it away."""
    return {name: value for name, value in row.items() if value is not ...}


def fill_of(**changes) -> Fill:
    found, _ = wire.fills([fill_row(**changes)], "main", US)
    return found[0]


def stated(body, now_ms=1):
    return wire.statement(body, "main", asked_s=2.5, now_ms=now_ms)


def packed(value) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    deflate = zlib.compressobj(9, wbits=-15)
    return base64.b64encode(deflate.compress(raw) + deflate.flush()).decode()


# ------------------------------------------------------------------ fills


def test_a_fill_is_taken_over_digit_by_digit():
    assert fill_of() == Fill(
        account="main",
        key="hyperliquid:Perp:BTC",
        time_ms=1791171591707,
        side=Side.BUY,
        size=Decimal("0.00494"),
        price=Decimal("86324.0"),
        start_position=Decimal("-2.30402"),
        fee=Decimal("-0.004264"),
        fee_token="USDC",
        closed_pnl=Decimal("1.23994"),
        order_id=565434428158,
        trade_id=348339424011870,
        hash="0xa2cb",
        direction="Close Short",
        crossed=False,
        liquidation=None,
    )


def test_a_row_of_2023_has_neither_trade_id_nor_fee_token():
    old = fill_of(tid=..., feeToken=..., twapId=...)

    assert (old.trade_id, old.fee_token) == (None, "USDC")


def test_the_side_decides_and_not_the_direction():
    assert fill_of(side="A", dir="Auto-Deleveraging").signed_size == Decimal("-0.00494")


@pytest.mark.parametrize("name", ["px", "sz", "startPosition", "fee", "closedPnl"])
@pytest.mark.parametrize("value", [1.5, 1, None, True, ..., "1e5", "NaN", "", " 1", "+1", [], {}, "0x1", "١"])
def test_money_that_is_not_plain_text_names_its_field(name, value):
    with pytest.raises(WireError, match=name):
        fill_of(**{name: value})


@pytest.mark.parametrize("name", ["time", "oid", "tid"])
@pytest.mark.parametrize("value", [1.5, None, True, "1", []])
def test_a_number_of_another_kind_names_its_field(name, value):
    with pytest.raises(WireError, match=name):
        fill_of(**{name: value})


@pytest.mark.parametrize("time", [-1, 253_402_300_800_000, 2**63])
def test_a_time_that_is_no_date_is_refused(time):
    with pytest.raises(WireError, match="time"):
        fill_of(time=time)


@pytest.mark.parametrize("change", [{"sz": "0.0"}, {"sz": "-1"}, {"side": "X"}, {"side": None}, {"coin": 5}])
def test_a_fill_that_cannot_be_is_refused(change):
    with pytest.raises(WireError, match=next(iter(change))):
        fill_of(**change)


@pytest.mark.parametrize("coin", ["BTC", "kPEPE", "HYPE", "O1", "PROVE"])
def test_perpetuals_of_the_first_dex_are_watched(coin):
    assert wire.fills([fill_row(coin=coin)], "main", US)[0][0].key == f"hyperliquid:Perp:{coin}"
    assert wire.coin_of(wire.key_of(coin)) == coin


@pytest.mark.parametrize("coin", ["@107", "PURR/USDC", "#1200", "+1200", "o12", "xyz:TSLA", "dex:ODD**"])
def test_spot_outcomes_and_other_dexes_are_told_apart(coin):
    assert wire.fills([fill_row(coin=coin)], "main", US) == ([], [coin])


def test_what_is_not_watched_need_not_be_understood():
    found, others = wire.fills([{"coin": "@1", "px": 5.0}, fill_row()], "main", US)

    assert (len(found), others) == (1, ["@1"])


def test_a_liquidation_is_ours_only_when_we_were_liquidated():
    def liquidated(user):
        return fill_of(liquidation={"liquidatedUser": user, "markPx": "1", "method": "backstop"}).liquidation

    assert liquidated(US) == "backstop"
    assert liquidated(US.upper().replace("0X", "0x")) == "backstop"
    assert liquidated(THEM) is None


def test_the_times_of_rows_are_read_whatever_the_rows_are():
    assert wire.times([{"time": 5, "coin": "@1"}, {"time": 3}]) == [5, 3]
    for bad in ([{}], [5], {}, [{"time": "5"}]):
        with pytest.raises(WireError):
            wire.times(bad)


# ------------------------------------------------------------------ statements


def test_a_statement_gives_the_exact_entry_and_mark_behind_the_shown_ones():
    [position] = stated(state(position_row())).positions

    assert position.mark_price == Decimal("48.145")
    assert position.entry_price == Decimal("47.993225")  # shown truncated as 47.9932
    assert position.size == Decimal("-4.0")
    assert position.leverage == 10
    assert position.liquidation_price == Decimal("50.2724802381")


def test_a_statement_holds_what_the_account_holds():
    one = wire.statement(state(), "main", asked_s=2.5, now_ms=1, fills_from_ms=7)

    assert (one.account, one.venue, one.time_ms, one.asked_s) == ("main", "hyperliquid", 1761803589961, 2.5)
    assert (one.equity, one.margin_used, one.withdrawable) == (
        Decimal("76.206517"),
        Decimal("18.564417"),
        Decimal("57.6421"),
    )
    assert (one.positions, one.fills_from_ms) == ((), 7)


def test_a_statement_without_a_time_is_of_now():
    assert stated(state(time=...), now_ms=77).time_ms == 77


def test_a_position_that_cannot_be_liquidated_has_no_such_price():
    assert stated(state(position_row(liquidationPx=None))).positions[0].liquidation_price is None


@pytest.mark.parametrize("name", ["szi", "positionValue", "unrealizedPnl", "marginUsed", "liquidationPx"])
@pytest.mark.parametrize("value", [1.5, True, "1e5", "Infinity", []])
def test_a_position_with_a_wrong_amount_names_it(name, value):
    with pytest.raises(WireError, match=name):
        stated(state(position_row(**{name: value})))


@pytest.mark.parametrize("name", ["szi", "positionValue", "unrealizedPnl", "marginUsed"])
@pytest.mark.parametrize("value", [None, ...])
def test_a_position_that_lacks_an_amount_names_it(name, value):
    with pytest.raises(WireError, match=name):
        stated(state(position_row(**{name: value})))


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (state(position_row(szi="0.0")), "szi"),
        (state(position_row(szi="-0")), "szi"),
        (state(position_row(positionValue="-1")), "positionValue"),
        (state(position_row(leverage={"type": "cross", "value": "20"})), "value"),
        (state(position_row(leverage=None)), "leverage"),
        (state(withdrawable=5.0), "withdrawable"),
        (state(marginSummary=None), "marginSummary"),
        (state(marginSummary={"accountValue": 5.0}), "accountValue"),
        (state(assetPositions=None), "assetPositions"),
        (state(assetPositions=[None]), "assetPosition"),
        (state(time=None), "time"),
        (None, "clearinghouseState"),
        ([], "clearinghouseState"),
    ],
)
def test_a_statement_of_another_shape_says_where(wrong, name):
    with pytest.raises(WireError, match=name):
        stated(wrong)


def test_the_marks_of_statements_are_those_of_what_they_hold():
    one = stated(state(position_row(), position_row(coin="ETH", szi="2", positionValue="6000.5")))

    assert wire.marks_of([one]) == {
        "hyperliquid:Perp:HYPE": Decimal("48.145"),
        "hyperliquid:Perp:ETH": Decimal("3000.25"),
    }


# ------------------------------------------------------------------ funding, role


PAID = {"coin": "ETH", "usdc": "-3.625312", "szi": "49.1477", "fundingRate": "0.0000417", "nSamples": None}


def test_funding_reads_the_same_from_an_answer_and_from_the_stream():
    answer = {"time": 5, "hash": "0x00", "delta": {"type": "funding", **PAID}}

    assert wire.fundings([answer], "main") == wire.fundings([{"time": 5, **PAID}], "main")
    [paid] = wire.fundings([answer], "main")
    assert (paid.time_ms, paid.amount, paid.size) == (5, Decimal("-3.625312"), Decimal("49.1477"))


def test_funding_of_other_dexes_is_passed_over():
    assert wire.fundings([{"time": 5, **PAID, "coin": "xyz:TSLA"}], "main") == []


@pytest.mark.parametrize("name", ["usdc", "szi", "fundingRate"])
@pytest.mark.parametrize("value", [0.1, None, "1e-5", True])
def test_funding_with_a_wrong_amount_names_it(name, value):
    with pytest.raises(WireError, match=name):
        wire.fundings([{"time": 5, **PAID, name: value}], "main")


def test_a_role_names_the_account_behind_an_agent():
    assert wire.role({"role": "user"}) == ("user", None)
    assert wire.role({"role": "missing"}) == ("missing", None)
    assert wire.role({"role": "agent", "data": {"user": THEM.upper()}}) == ("agent", THEM)
    assert wire.role({"role": "subAccount", "data": {"master": THEM}}) == ("subAccount", THEM)


@pytest.mark.parametrize("body", [None, [], {}, {"role": 5}, {"role": "agent", "data": {"user": 5}}])
def test_a_role_of_another_shape_is_refused(body):
    with pytest.raises(WireError):
        wire.role(body)


# ------------------------------------------------------------------ pushed states

NAMES = {US: "main"}


def all_dexes(*states, user=US):
    return {"user": user, "clearinghouseStates": [list(one) for one in states]}


def pushed(data, channel="allDexsClearinghouseState"):
    return wire.state_push(data, channel, NAMES, heard_s=2.5, now_ms=1)


def test_a_push_of_all_dexes_states_the_first_and_names_what_the_others_hold():
    other = state(position_row(coin="xyz:TSLA"), position_row(coin="xyz:NVDA"))
    flat = state(position_row(), time=5)

    user, first, coins = pushed(all_dexes(("", flat), ("xyz", other), ("flx", state()), user=US.upper()))

    assert (user, coins) == (US, ["xyz:NVDA", "xyz:TSLA"])
    assert (first.account, first.time_ms, first.asked_s, first.pushed) == ("main", 5, 2.5, True)
    assert [position.key for position in first.positions] == ["hyperliquid:Perp:HYPE"]
    assert not stated(flat).pushed


def test_a_push_of_one_dex_states_it_if_it_is_the_first():
    def of(dex, *rows):
        body = {"dex": dex, "user": US, "clearinghouseState": state(*rows)}
        return pushed(body, "clearinghouseState")

    assert of("", position_row())[1].positions[0].size == -4
    assert of("xyz", position_row(coin="xyz:TSLA")) == (US, None, ["xyz:TSLA"])


def test_a_first_dex_that_is_not_in_a_push_is_unknown_and_a_stranger_is_nobody():
    assert pushed(all_dexes(("xyz", state()))) == (US, None, [])
    assert pushed(all_dexes(user=THEM)) is None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (None, "allDexs"),
        ({}, "user"),
        ({"user": US}, "clearinghouseStates"),
        (all_dexes(("",)), "clearinghouseStates"),
        (all_dexes((5, {})), "clearinghouseStates"),
        ({"user": US, "clearinghouseStates": [None]}, "clearinghouseStates"),
        (all_dexes(("", None)), "clearinghouseState"),
        (all_dexes(("xyz", None)), "dex xyz"),
        (all_dexes(("xyz", {"assetPositions": None})), "assetPositions"),
        (all_dexes(("xyz", {"assetPositions": [{}]})), "position"),
        (all_dexes(("xyz", {"assetPositions": [{"position": {}}]})), "coin"),
        (all_dexes(("", state(position_row(szi=1.5)))), "szi"),
    ],
)
def test_a_push_of_another_shape_says_where(data, name):
    with pytest.raises(WireError, match=name):
        pushed(data)


def test_a_push_of_one_dex_needs_its_name():
    with pytest.raises(WireError, match="dex"):
        pushed({"user": US, "clearinghouseState": state()}, "clearinghouseState")


@pytest.mark.parametrize(
    ("text", "already", "limit", "kind", "user"),
    [
        (f'Already subscribed: {{"type":"userFills","user":"{US.upper()}"}}', True, False, "userFills", US),
        ('Invalid subscription {"type":"webData9"}', False, False, "webData9", None),
        ("Cannot track more than 10 total users.", False, True, None, None),
        ("Cannot subscribe to more than 1000 channels.", False, True, None, None),
        ("Invalid subscription {not json}", False, False, None, None),
        ("Invalid subscription {", False, False, None, None),
        ("Invalid subscription {5}", False, False, None, None),
    ],
)
def test_a_refusal_says_what_it_means_and_whom_as_far_as_it_does(text, already, limit, kind, user):
    found = wire.refusal(text)

    assert (found.text, found.already, found.limit) == (text, already, limit)
    assert (found.kind, found.user) == (kind, user)


# ------------------------------------------------------------------ what else befalls an account


def ledger(kind, **fields):
    return {"time": 7, "hash": "0x00", "delta": {"type": kind, **fields}}


def test_a_liquidation_in_the_ledger_names_the_watched_coins():
    lost = [{"coin": "BTC", "szi": "1"}, {"coin": "xyz:TSLA", "szi": "-2"}]

    assert wire.happenings([ledger("liquidation", liquidatedPositions=lost)], "main") == [
        Happened("main", 7, Happening.LIQUIDATION, "BTC, xyz:TSLA", ("hyperliquid:Perp:BTC",))
    ]


@pytest.mark.parametrize(
    ("row", "kind", "text"),
    [
        (ledger("withdraw", usdc="5.50", fee="1"), "transfer", "withdraw of 5.50 USDC"),
        (ledger("send", token="HYPE", amount="2", usdcValue="9"), "transfer", "send of 2 HYPE"),
        (ledger("send", token=5, amount="2"), "transfer", "send of 2 ?"),
        (ledger("vaultWithdraw", netWithdrawnUsd="3"), "transfer", "vaultWithdraw of 3 USDC"),
        (ledger("activateDexAbstraction", dex="xyz"), "mode change", "dex abstraction was activated"),
        (ledger("somethingNew", amount="1"), "other", "somethingNew of 1 USDC"),
        (ledger("somethingNew"), "other", "somethingNew"),
    ],
)
def test_what_the_ledger_tells_reads_the_same_from_an_answer_and_from_the_stream(row, kind, text):
    expected = [Happened("main", 7, Happening(kind), text)]

    assert wire.happenings([row], "main") == expected
    assert wire.happenings({"user": US, "nonFundingLedgerUpdates": [row]}, "main") == expected


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (None, "nonFundingLedgerUpdates"),
        ({}, "nonFundingLedgerUpdates"),
        ([5], "ledger update"),
        ([{"time": 7}], "delta"),
        ([{"time": 7, "delta": {}}], "type"),
        ([{"delta": {"type": "withdraw"}}], "time"),
        ([ledger("withdraw", usdc=5.5)], "usdc"),
        ([ledger("liquidation")], "liquidatedPositions"),
        ([ledger("liquidation", liquidatedPositions=[5])], "liquidated position"),
        ([ledger("liquidation", liquidatedPositions=[{}])], "coin"),
    ],
)
def test_a_ledger_row_of_another_shape_says_where(rows, name):
    with pytest.raises(WireError, match=name):
        wire.happenings(rows, "main")


@pytest.mark.parametrize("mode", ["default", "disabled", "unifiedAccount", "portfolioMargin", "somethingNew"])
def test_the_mode_of_an_account_is_a_bare_word(mode):
    assert wire.abstraction(mode) == mode


@pytest.mark.parametrize("body", [None, 5, {}, [], "", "x" * 61, "a\nb"])
def test_a_mode_of_another_shape_is_refused(body):
    with pytest.raises(WireError, match="userAbstraction"):
        wire.abstraction(body)


# ------------------------------------------------------------------ the stream


@pytest.mark.parametrize("raw", [b"Websocket connection established.", "Websocket connection established."])
def test_the_greeting_is_a_message_of_no_channel(raw):
    assert wire.message(raw).channel == ""


def test_a_message_has_a_channel_and_data():
    assert wire.message(b'{"channel":"pong"}') == wire.Message("pong", None)
    assert wire.message('{"channel":"userFills","data":{"a":1}}').data == {"a": 1}


@pytest.mark.parametrize(
    "raw", [b"", b"pong", b"{", b'{"channel":5}', b"{}", b"[]", b"null", b"\xff", "\ud800"]
)
def test_other_text_is_no_message(raw):
    with pytest.raises(WireError):
        wire.message(raw)


def ack(**echo):
    return {"method": "subscribe", "subscription": echo}


def test_an_acknowledgement_may_hold_more_than_was_asked_for():
    echo = ack(type="userFills", user=US, aggregateByTime=False, something=None)

    assert wire.acknowledges(echo, "userFills", US)
    assert wire.acknowledges(echo, "userFills", US.upper().replace("0X", "0x"))
    assert wire.acknowledges(ack(type="fastAssetCtxs"), "fastAssetCtxs")


@pytest.mark.parametrize(
    "data",
    [
        ack(type="userFills", user=THEM),
        ack(type="userFundings", user=US),
        ack(type="userFills"),
        ack(type="userFills", user=None),
        {"method": "unsubscribe", "subscription": {"type": "userFills", "user": US}},
        {"method": "subscribe", "subscription": "userFills"},
        {},
        None,
        [],
        "userFills",
    ],
)
def test_the_answer_to_another_subscription_is_no_acknowledgement(data):
    assert not wire.acknowledges(data, "userFills", US)


def test_requests_are_what_the_venue_expects():
    assert loads(wire.PING) == {"method": "ping"}
    assert loads(wire.info("userRole", user=US)) == {"type": "userRole", "user": US}
    assert loads(wire.subscription("userFills", user=US)) == {
        "method": "subscribe",
        "subscription": {"type": "userFills", "user": US},
    }


# ------------------------------------------------------------------ prices


def test_packed_prices_are_those_that_moved():
    data = packed(
        {"BTC": {"markPx": "86000.5", "midPx": "86001"}, "ETH": {"midPx": "1"}, "xyz:A": {"markPx": "2"}}
    )

    assert wire.fast_marks(data) == {"hyperliquid:Perp:BTC": Decimal("86000.5")}


@pytest.mark.parametrize("price", [1.5, True, "1e5", [], 7])
def test_a_packed_price_that_is_not_text_is_refused(price):
    with pytest.raises(WireError, match="markPx"):
        wire.fast_marks(packed({"BTC": {"markPx": price}}))


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        {},
        "",
        "not base64!",
        "é",
        base64.b64encode(b"not deflate").decode(),
        packed([]),
        packed({"BTC": 5}),
        packed(b"not json"),
        base64.b64encode(base64.b64decode(packed({"BTC": {"markPx": "1"}}))[:-3]).decode(),
    ],
)
def test_prices_that_cannot_be_unpacked_are_refused(data):
    with pytest.raises(WireError):
        wire.fast_marks(data)


def test_a_bomb_of_prices_is_not_unpacked():
    bomb = packed(b'{"BTC":{"markPx":"' + b"1" * (64 << 20) + b'"}}')
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="more than"):
            wire.fast_marks(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < 100_000
    assert peak < 40 << 20


# ------------------------------------------------------------------ whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("1.5"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "coin",
        "px",
        "sz",
        "side",
        "time",
        "startPosition",
        "dir",
        "closedPnl",
        "hash",
        "oid",
        "fee",
        "tid",
        "feeToken",
        "liquidation",
        "delta",
        "usdc",
        "szi",
        "fundingRate",
        "position",
        "leverage",
        "positionValue",
        "unrealizedPnl",
        "marginUsed",
        "liquidationPx",
        "value",
        "user",
        "data",
        "role",
        "marginSummary",
        "assetPositions",
        "accountValue",
        "totalMarginUsed",
        "withdrawable",
        "method",
        "subscription",
        "type",
        "clearinghouseState",
        "clearinghouseStates",
        "liquidatedPositions",
        "amount",
    ]
)
WHOLE = [
    fill_row(),
    position_row(),
    state(position_row()),
    {"time": 5, **PAID},
    {"role": "user", "data": {}},
    all_dexes(("", state(position_row())), ("xyz", state())),
    ledger("liquidation", liquidatedPositions=[{"coin": "BTC"}]),
    ledger("send", amount="1"),
]
SPOILT = st.builds(
    lambda whole, changes: whole | changes,
    st.sampled_from(WHOLE),
    st.dictionaries(FIELDS, JSON, min_size=1, max_size=3),
)


def every_reader(body):
    for read in (
        lambda: wire.fills(body, "main", US),
        lambda: wire.fills([body], "main", US),
        lambda: stated(body),
        lambda: stated(state(body)),
        lambda: wire.fundings(body, "main"),
        lambda: wire.fundings([body], "main"),
        lambda: wire.role(body),
        lambda: wire.fast_marks(body),
        lambda: wire.times(body),
        lambda: wire.acknowledges(body, "userFills", US),
        lambda: pushed(body),
        lambda: pushed(body, "clearinghouseState"),
        lambda: pushed(all_dexes(("", body), ("xyz", body))),
        lambda: wire.happenings(body, "main"),
        lambda: wire.happenings([body], "main"),
        lambda: wire.abstraction(body),
        lambda: wire.refusal(body),
    ):
        try:
            read()
        except WireError:
            pass


@given(JSON | SPOILT)
def test_whatever_the_json_only_a_wire_error_comes_of_it(body):
    every_reader(body)


@given(JSON)
def test_whatever_is_packed_only_a_wire_error_comes_of_it(body):
    try:
        wire.fast_marks(packed(body))
    except WireError:
        pass


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_whatever_the_bytes_only_a_wire_error_comes_of_them(raw):
    try:
        wire.message(raw)
    except WireError:
        pass


# ------------------------------------------------------------------ real answers


@pytest.fixture(scope="module")
def real_data() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "real-data"
    folder = Path(os.environ.get("HLPOSMON_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real answers at {folder}: set HLPOSMON_REAL_DATA")
    return folder


def objects(value):
    """Every object anywhere in a file."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def real_objects(folder):
    for path in sorted(folder.glob("*/*.json")):
        yield from objects(loads(path.read_bytes()))


def test_every_real_fill_is_decoded(real_data):
    # One capture has order ids cut out of its rows.
    rows = [row for row in real_objects(real_data) if {"px", "sz", "startPosition", "oid"} <= row.keys()]
    found, others = wire.fills(rows, "main", US)

    assert len(found) + len(others) == len(rows) > 505
    assert any(fill.trade_id is None for fill in found)
    assert any(coin.startswith("flx:") for coin in others)
    for fill, row in zip(found, (row for row in rows if wire.is_watched(row["coin"])), strict=True):
        assert (f"{fill.size:f}", f"{fill.price:f}", fill.time_ms) == (row["sz"], row["px"], row["time"])
        assert fill.side.value == {"B": "buy", "A": "sell"}[row["side"]]


def test_a_real_liquidation_is_told_by_its_user(real_data):
    rows = loads((real_data / "ccxt" / "user_fills_0x193bd350.json").read_bytes())
    mine = next(row["liquidation"]["liquidatedUser"] for row in rows if "liquidation" in row)

    assert [fill.liquidation for fill in wire.fills(rows, "main", mine)[0]].count("market") >= 1
    assert not any(fill.liquidation for fill in wire.fills(rows, "main", US)[0])


def test_every_real_statement_is_decoded(real_data):
    states = [row for row in real_objects(real_data) if {"assetPositions", "withdrawable"} <= row.keys()]
    statements = [stated(one, now_ms=9) for one in states]
    positions = [position for statement in statements for position in statement.positions]

    assert len(statements) >= 5
    assert any(position.liquidation_price is None for position in positions)
    assert any(statement.time_ms == 9 for statement in statements)
    for one, statement in zip(states, statements, strict=True):
        for row, position in zip(one["assetPositions"], statement.positions, strict=True):
            shown = Decimal(row["position"]["entryPx"])
            assert abs(position.entry_price - shown) <= position.tolerance + abs(shown) / 10_000
            assert abs(position.size) * position.mark_price == pytest.approx(
                Decimal(row["position"]["positionValue"]), rel=Decimal("1e-50")
            )


def test_every_real_funding_is_decoded_in_both_forms(real_data):
    rows = [
        row
        for row in real_objects(real_data)
        if row.get("time") and (row.get("delta") or {}).get("type") == "funding"
    ]
    flat = [{"time": row["time"], **row["delta"]} for row in rows]

    assert len(rows) > 230
    assert wire.fundings(rows, "main") == wire.fundings(flat, "main")


def test_every_real_role_is_decoded(real_data):
    body = loads((real_data / "hyperliquid-python-sdk" / "test_user_role.json").read_bytes())["body"]

    assert wire.role(body) == ("vault", None)


def test_every_real_mid_price_is_an_amount(real_data):
    mids = loads((real_data / "hyperliquid-python-sdk" / "test_get_all_mids.json").read_bytes())["body"]
    marks = wire.fast_marks(packed({coin: {"markPx": price} for coin, price in mids.items()}))

    assert len(marks) == sum(map(wire.is_watched, mids)) > 20

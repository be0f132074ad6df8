"""Whatever an exchange may say: facts, or a WireError, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from tests.venues.hyperliquid.payloads import (
    PAID,
    US,
    all_dexes,
    balance,
    fill_row,
    ledger,
    packed,
    position_row,
    spot_context,
    spot_meta,
    spot_state,
    state,
    sub_row,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=8) | st.just("1.5"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WHOLE = [
    fill_row(),
    fill_row(liquidation={"liquidatedUser": US, "method": "market"}),
    position_row(),
    state(position_row()),
    {"time": 5, **PAID},
    {"role": "user", "data": {}},
    all_dexes(("", state(position_row())), ("xyz", state(position_row(coin="xyz:TSLA")))),
    ledger("liquidation", liquidatedPositions=[{"coin": "BTC"}]),
    ledger("send", amount="1"),
    {"balances": [balance("HYPE", "1.5")]},
    balance("HYPE", "1.5"),
    spot_meta(),
    spot_context("@107", "33.21"),
    {"name": "xyz"},
    sub_row(),
    sub_row(dexToClearinghouseState=[["xyz", state(position_row(coin="xyz:TSLA"))]]),
    {"vaultAddress": US, "equity": "1.5", "lockedUntilTimestamp": 5},
    {"name": "HLP", "leader": US, "relationship": {"type": "parent", "data": {"childAddresses": [US]}}},
    {"delegated": "1", "undelegated": "2", "totalPendingWithdrawal": "3"},
    {"method": "subscribe", "subscription": {"type": "userFills", "user": US}},
]


def names_in(value):
    """The names of all fields, however deep."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names_in(inner)


FIELDS = st.sampled_from(
    sorted({*names_in(WHOLE), "delta", "usdc", "liquidation", "dex", "clearinghouseState"})
)
SPOILT = st.builds(
    lambda whole, changes: whole | changes,
    st.sampled_from(WHOLE),
    st.dictionaries(FIELDS, JSON, min_size=1, max_size=3),
)


def stated(body, dex=""):
    return payloads.statement(body, "main", dex=dex, asked_s=2.5, now_ms=1)


def pushed(data, channel="allDexsClearinghouseState"):
    return payloads.state_push(data, channel, {US: "main"}, heard_s=2.5, now_ms=1)


def on_spot(body):
    return payloads.spot_statement(body, "main", time_ms=1, asked_s=2.5)


def owned(body):
    return payloads.sub_accounts(body, asked_s=2.5, now_ms=1)


READERS = [
    lambda body: payloads.fills(body, "main", US),
    lambda body: payloads.fills([body], "main", US),
    stated,
    lambda body: stated(state(body)),
    lambda body: stated(body, "xyz"),
    lambda body: stated(state(body), "xyz"),
    lambda body: payloads.fundings(body, "main"),
    lambda body: payloads.fundings([body], "main"),
    payloads.role,
    payloads.fast_marks,
    payloads.times,
    lambda body: payloads.times([body]),
    lambda body: payloads.acknowledges(body, "userFills", US),
    pushed,
    lambda body: pushed(body, "clearinghouseState"),
    lambda body: pushed(all_dexes(("", body), ("xyz", body))),
    lambda body: payloads.account_events(body, "main", US),
    lambda body: payloads.account_events([body], "main", US),
    payloads.abstraction,
    payloads.refusal,
    payloads.venue_time,
    on_spot,
    lambda body: on_spot(spot_state(body)),
    payloads.spot_pairs,
    payloads.token_prices,
    lambda body: payloads.token_prices([body, []]),
    lambda body: payloads.token_prices([spot_meta(), [body]]),
    payloads.dex_names,
    lambda body: payloads.dex_names([body]),
    owned,
    lambda body: owned([body]),
    payloads.vault_stakes,
    lambda body: payloads.vault_stakes([body]),
    payloads.vault,
    payloads.staking,
]


@given(JSON | SPOILT)
def test_whatever_the_json_only_a_wire_error_comes_of_it(body):
    for read in READERS:
        try:
            read(body)
        except WireError:
            pass


@given(JSON)
def test_whatever_is_packed_only_a_wire_error_comes_of_it(body):
    try:
        payloads.fast_marks(packed(body))
    except WireError:
        pass


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_whatever_the_bytes_only_a_wire_error_comes_of_them(raw):
    try:
        payloads.message(raw)
    except WireError:
        pass


@given(st.lists(JSON | SPOILT, max_size=5))
def test_odd_rows_never_take_a_sound_one_with_them(odd):
    """Wherever they stand and however many they are."""
    found = payloads.fills([*odd, fill_row(tid=1), *odd], "main", US)
    paid, _ = payloads.fundings([*odd, {"time": 5, **PAID}, *odd], "main")
    push = pushed(all_dexes(*((f"d{i}", body) for i, body in enumerate(odd)), ("", state())))
    prices, _ = payloads.fast_marks(
        packed({"BTC": {"markPx": "1"}, **{f"C{i}": row for i, row in enumerate(odd)}})
    )

    assert payloads.fills([fill_row(tid=1)], "main", US).fills[0] in found.fills
    assert len(found.fills) + len(found.others) + len(found.unread) == 2 * len(odd) + 1
    assert payloads.fundings([{"time": 5, **PAID}], "main")[0][0] in paid
    assert prices["hyperliquid:Perp:BTC"] == 1
    assert push.statements[-1].scope == ""
    assert len(push.statements) + len(push.unread) == len(odd) + 1


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: next(iter(whole)))
def test_a_sound_payload_is_taken_by_at_least_one_reader(whole):
    """Else the spoilt ones would be spoilt from the start."""
    taken = 0
    for read in READERS:
        try:
            taken += read(whole) is not None
        except WireError:
            pass
    assert taken

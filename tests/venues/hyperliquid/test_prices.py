"""Mark prices of the conflated stream: unpacked within bounds, and one odd price harms no other."""

import base64
import tracemalloc
from decimal import Decimal

import pytest

from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from tests.venues.hyperliquid.payloads import key, packed, token_key


def test_packed_prices_are_those_that_moved_on_whatever_dex_and_of_no_token_that_nobody_wants():
    contexts = {
        "BTC": {"markPx": "86000.5", "midPx": "86001"},
        "ETH": {"midPx": "1"},
        "xyz:A": {"markPx": "2"},
        "@107": {"markPx": "3"},
    }

    assert payloads.fast_marks(packed(contexts)) == (
        {key("BTC"): Decimal("86000.5"), key("xyz:A"): Decimal(2)},
        [],
    )


@pytest.mark.parametrize("context", [{"markPx": None}, {}])
def test_a_coin_without_a_mark_has_not_moved(context):
    assert payloads.fast_marks(packed({"BTC": context})) == ({}, [])


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        ({"markPx": 1.5}, "markPx"),
        ({"markPx": True}, "markPx"),
        ({"markPx": "1e5"}, "markPx"),
        ({"markPx": []}, "markPx"),
        ({"markPx": 7}, "markPx"),
        (5, "fastAssetCtxs HYPE"),
        (None, "fastAssetCtxs HYPE"),
    ],
)
def test_a_price_that_cannot_be_read_is_set_aside_and_named_beside_the_others(odd, name):
    prices, [unread] = payloads.fast_marks(
        packed({"BTC": {"markPx": "1"}, "HYPE": odd, "ETH": {"markPx": "2"}})
    )

    assert prices == {key("BTC"): Decimal(1), key("ETH"): Decimal(2)}
    assert unread.startswith(f"the price of HYPE could not be read: {name}: ")


def test_a_price_of_a_coin_that_no_key_has_room_for_is_set_aside():
    prices, [unread] = payloads.fast_marks(packed({"B" * 45: {"markPx": "1"}, "ETH": {"markPx": "2"}}))

    assert prices == {key("ETH"): Decimal(2)}
    assert f"the price of {'B' * 44} could not be read: coin: " in unread


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
        packed(b"not json"),
        base64.b64encode(base64.b64decode(packed({"BTC": {"markPx": "1"}}))[:-3]).decode(),
    ],
)
def test_prices_that_cannot_be_unpacked_are_refused(data):
    with pytest.raises(WireError):
        payloads.fast_marks(data)


def test_a_bomb_of_prices_is_not_unpacked():
    bomb = packed(b'{"BTC":{"markPx":"' + b"1" * (64 << 20) + b'"}}')
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="more than"):
            payloads.fast_marks(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < 100_000
    assert peak < 40 << 20


# ------------------------------------------------------------------ over many messages


def test_only_prices_that_have_changed_are_told_and_of_several_the_newest():
    marks = payloads.FastMarks()
    marks.read(packed({"BTC": {"markPx": "1"}, "ETH": {"markPx": "2"}}))
    assert marks.changed() == ({key("BTC"): Decimal(1), key("ETH"): Decimal(2)}, [])

    marks.read(packed({"BTC": {"markPx": "3"}, "ETH": {"markPx": "2"}}))
    marks.read(packed({"BTC": {"markPx": "4"}, "ETH": {}}))

    assert marks.changed() == ({key("BTC"): Decimal(4)}, [])
    assert marks.changed() == ({}, [])


def test_what_was_forgotten_is_told_again():
    marks = payloads.FastMarks()
    marks.read(packed({"BTC": {"markPx": "1"}}))
    marks.changed()
    marks.forget()
    marks.read(packed({"BTC": {"markPx": "1"}}))

    assert marks.changed() == ({key("BTC"): Decimal(1)}, [])


def test_a_message_that_cannot_be_read_leaves_what_came_before():
    marks = payloads.FastMarks()
    marks.read(packed({"BTC": {"markPx": "1"}}))
    with pytest.raises(WireError):
        marks.read("no base64!")

    assert marks.changed() == ({key("BTC"): Decimal(1)}, [])


# ------------------------------------------------------------------ of tokens

PAIRS = {"@107": token_key("HYPE"), "PURR/USDC": token_key("PURR")}
USDC = {token_key("USDC"): Decimal(1)}


def test_prices_of_tokens_in_use_come_under_their_keys_and_those_of_other_pairs_do_not():
    marks = payloads.FastMarks()
    marks.use_pairs(PAIRS)
    marks.read(packed({"BTC": {"markPx": "1"}, "@107": {"markPx": "33.21"}, "@1": {"markPx": "5"}}))

    assert marks.changed() == ({key("BTC"): Decimal(1), token_key("HYPE"): Decimal("33.21"), **USDC}, [])
    marks.read(packed({"PURR/USDC": {"markPx": "0.5"}, "@107": {"markPx": "33.21"}}))
    assert marks.changed() == ({token_key("PURR"): Decimal("0.5"), **USDC}, [])


def test_prices_that_are_known_when_tokens_come_into_use_are_told_at_once():
    marks = payloads.FastMarks()
    marks.read(packed({"BTC": {"markPx": "1"}, "@107": {"markPx": "33.21"}, "@1": {"markPx": "5"}}))
    assert marks.changed() == ({key("BTC"): Decimal(1)}, [])
    marks.use_pairs(PAIRS)

    assert marks.changed() == ({token_key("HYPE"): Decimal("33.21"), **USDC}, [])
    assert marks.changed() == (USDC, [])


def test_a_price_of_a_token_that_cannot_be_read_is_set_aside_and_named_by_its_pair():
    marks = payloads.FastMarks()
    marks.use_pairs(PAIRS)
    marks.read(packed({"@107": {"markPx": "many"}, "PURR/USDC": {"markPx": "0.5"}}))
    prices, [unread] = marks.changed()

    assert prices == {token_key("PURR"): Decimal("0.5"), **USDC}
    assert unread.startswith("the price of @107 could not be read: markPx: ")

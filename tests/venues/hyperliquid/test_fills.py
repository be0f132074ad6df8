"""Rows of fills: what is whole is decoded exactly; what is not is set aside, named, and harms no other."""

from decimal import Decimal

import pytest

from hlposmon.domain.reports import Fill, FillCause, Side
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.port import UnreadFill
from tests.venues.hyperliquid.payloads import AT_MS, THEM, US, fill_row, key


def fill_of(**changes) -> Fill:
    found = payloads.fills([fill_row(**changes)], "main", US)
    assert (found.others, found.unread) == ([], [])
    return found.fills[0]


def set_aside(row) -> UnreadFill:
    """What is said of a row that cannot be read, between two that can."""
    found = payloads.fills([fill_row(tid=1), row, fill_row(tid=2)], "main", US)
    assert [fill.trade_id for fill in found.fills] == [1, 2]
    assert found.others == []
    [unread] = found.unread
    return unread


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
        cause=FillCause.ORDER,
        twap_id=None,
        builder_fee=None,
    )


def test_a_row_of_2023_has_neither_trade_id_nor_fee_token():
    old = fill_of(tid=..., feeToken=..., twapId=...)

    assert (old.trade_id, old.fee_token) == (None, "USDC")


def test_the_side_decides_and_not_the_direction():
    assert fill_of(side="A", dir="Auto-Deleveraging").signed_size == Decimal("-0.00494")


def test_rows_stay_in_the_order_given():
    rows = [fill_row(tid=tid, time=AT_MS - tid) for tid in (3, 1, 2)]

    assert [fill.trade_id for fill in payloads.fills(rows, "main", US).fills] == [3, 1, 2]


def test_a_liquidation_is_ours_only_when_we_were_liquidated():
    def liquidated(user):
        return fill_of(liquidation={"liquidatedUser": user, "markPx": "1", "method": "backstop"}).liquidation

    assert liquidated(US) == "backstop"
    assert liquidated(US.upper().replace("0X", "0x")) == "backstop"
    assert liquidated(THEM) is None


# ------------------------------------------------------------------ what caused it


def by(user: str | None, method: str | None = "market") -> dict[str, str]:
    """The object of a liquidation; without a field where None is given."""
    fields = {"liquidatedUser": user, "markPx": "86000.0", "method": method}
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    "direction",
    ["Open Long", "Open Short", "Close Long", "Close Short", "Long > Short", "Short > Long", "Buy", "Sell"],
)
def test_a_trade_has_an_order_for_its_cause(direction):
    assert fill_of(dir=direction).cause is FillCause.ORDER


@pytest.mark.parametrize(
    ("direction", "cause"),
    [
        ("Auto-Deleveraging", FillCause.ADL),
        ("Settlement", FillCause.SETTLEMENT),
        ("Net Child Vaults", FillCause.VAULT),
        ("Spot Dust Conversion", FillCause.DUST),
        ("Merge Outcome", FillCause.OTHER),
        ("A word of next year", FillCause.OTHER),
        ("", FillCause.OTHER),
    ],
)
def test_the_venues_own_acts_are_told_by_the_direction_and_unknown_ones_are_other(direction, cause):
    assert fill_of(dir=direction).cause is cause
    assert fill_of(dir=direction, liquidation=by(THEM)).cause is cause


def test_ones_own_market_liquidation_looks_like_an_ordinary_close_but_for_its_user():
    ours = fill_of(dir="Close Long", liquidation=by(US))

    assert (ours.cause, ours.liquidation) == (FillCause.LIQUIDATION, "market")


def test_who_takes_the_other_side_of_a_liquidation_was_not_liquidated():
    theirs = fill_of(dir="Open Long", liquidation=by(THEM))

    assert (theirs.cause, theirs.liquidation) == (FillCause.ORDER, None)


@pytest.mark.parametrize("direction", ["Liquidated Cross Long", "Liquidated Isolated Short"])
def test_a_backstop_liquidation_is_told_by_its_direction_unless_another_user_is_named(direction):
    def told(**changes):
        one = fill_of(dir=direction, **changes)
        return one.cause, one.liquidation

    assert told() == (FillCause.LIQUIDATION, "backstop")
    assert told(liquidation=by(None, None)) == (FillCause.LIQUIDATION, "backstop")
    assert told(liquidation=by(US, "backstop")) == (FillCause.LIQUIDATION, "backstop")
    assert told(liquidation=by(THEM, "backstop")) == (FillCause.OTHER, None)


def test_a_liquidation_that_names_nobody_is_not_taken_for_ones_own():
    assert fill_of(dir="Close Long", liquidation=by(None)).cause is FillCause.ORDER


def test_a_slice_of_a_twap_order_bears_the_orders_number():
    slice_ = fill_of(twapId=3156)

    assert (slice_.cause, slice_.twap_id) == (FillCause.TWAP, 3156)


def test_a_slice_that_comes_wrapped_has_its_number_outside():
    found = payloads.fills([{"fill": fill_row(twapId=None), "twapId": 3156}], "main", US)

    assert [(fill.cause, fill.twap_id) for fill in found.fills] == [(FillCause.TWAP, 3156)]
    assert payloads.times([{"fill": fill_row(), "twapId": 3156}]) == [AT_MS]


@pytest.mark.parametrize(("field", "value"), [("twapId", "3156"), ("twapId", True), ("builderFee", 0.5)])
def test_a_number_of_the_wrong_kind_in_an_optional_field_sets_the_row_aside(field, value):
    assert f"could not be read: {field}: " in set_aside(fill_row(**{field: value})).text


def test_the_builders_part_stays_within_the_fee():
    one = fill_of(fee="0.010", builderFee="0.002558")

    assert (one.fee, one.builder_fee) == (Decimal("0.010"), Decimal("0.002558"))


# ------------------------------------------------------------------ which are watched


@pytest.mark.parametrize(
    "coin", ["BTC", "kPEPE", "HYPE", "O1", "PROVE", "xyz:TSLA", "dex:ODD**", "dex:A/B", "dex:#@+", "dex:o12"]
)
def test_perpetuals_of_every_dex_are_watched_whatever_its_builder_has_named_them(coin):
    assert fill_of(coin=coin).key == f"hyperliquid:Perp:{coin}"
    assert payloads.coin_of(payloads.key_of(coin)) == coin


@pytest.mark.parametrize("coin", ["@107", "PURR/USDC", "#1200", "+1200", "o12"])
def test_spot_and_outcomes_are_told_apart(coin):
    assert payloads.fills([fill_row(coin=coin)], "main", US) == payloads.FillRows([], [coin], [])


def test_what_is_not_watched_need_not_be_understood():
    found = payloads.fills([{"coin": "@1", "px": 5.0}, fill_row()], "main", US)

    assert (len(found.fills), found.others, found.unread) == (1, ["@1"], [])


def test_a_fill_of_another_dex_that_cannot_be_read_is_set_aside_and_named_as_any():
    unread = set_aside(fill_row(coin="xyz:TSLA", px=5.0))

    assert unread.text.startswith("a fill of xyz:TSLA could not be read: px: ")
    assert unread.time_ms == AT_MS


# ------------------------------------------------------------------ what cannot be read


@pytest.mark.parametrize("name", ["px", "sz", "startPosition", "fee", "closedPnl"])
@pytest.mark.parametrize("value", [1.5, 1, None, True, ..., "1e5", "NaN", "", " 1", "+1", [], {}, "0x1", "١"])
def test_money_that_is_not_plain_text_sets_the_row_aside_and_names_its_field(name, value):
    unread = set_aside(fill_row(**{name: value}))

    assert unread.text.startswith(f"a fill of BTC could not be read: {name}: ")
    assert unread.time_ms == AT_MS


@pytest.mark.parametrize("name", ["time", "oid", "tid"])
@pytest.mark.parametrize("value", [1.5, None, True, "1", []])
def test_a_number_of_another_kind_sets_the_row_aside_and_names_its_field(name, value):
    unread = set_aside(fill_row(**{name: value}))

    assert unread.text.startswith(f"a fill of BTC could not be read: {name}: ")
    assert unread.time_ms == (None if name == "time" else AT_MS)


@pytest.mark.parametrize("name", ["side", "hash", "dir", "feeToken"])
@pytest.mark.parametrize("value", [5, None, [], {}])
def test_a_text_of_another_kind_sets_the_row_aside_and_names_its_field(name, value):
    assert f"could not be read: {name}: text is wanted" in set_aside(fill_row(**{name: value})).text


@pytest.mark.parametrize("time", [-1, 253_402_300_800_000, 2**63])
def test_a_time_that_is_no_date_is_none(time):
    unread = set_aside(fill_row(time=time))

    assert unread == UnreadFill(
        f"a fill of BTC could not be read: time: not milliseconds of a date: {time}", None
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sz": "0.0"}, "sz is not positive: '0.0'"),
        ({"sz": "-1"}, "sz is not positive: '-1'"),
        ({"side": "X"}, "side is neither B nor A: 'X'"),
        ({"liquidation": 5}, "liquidation: an object is wanted, not int"),
    ],
)
def test_a_fill_that_cannot_be_is_set_aside(change, why):
    assert set_aside(fill_row(**change)).text == f"a fill of BTC could not be read: {why}"


@pytest.mark.parametrize("coin", [5, None, ..., [], "", "BTC\n", "B" * 45])
def test_a_fill_of_no_coin_is_set_aside_and_is_of_none_that_is_not_watched(coin):
    unread = set_aside(fill_row(coin=coin))

    assert "coin: " in unread.text
    assert unread.time_ms == AT_MS


@pytest.mark.parametrize("row", [5, None, [], "BTC"])
def test_what_is_no_row_is_set_aside(row):
    assert set_aside(row) == UnreadFill(f"a fill: fill: an object is wanted, not {type(row).__name__}", None)


@pytest.mark.parametrize("rows", [None, 5, {}, "[]"])
def test_what_is_no_list_is_a_wire_error(rows):
    for read in (payloads.fills, lambda rows, *_: payloads.times(rows)):
        with pytest.raises(WireError, match="a list is wanted"):
            read(rows, "main", US)


def test_a_page_of_nothing_but_odd_rows_names_every_one():
    found = payloads.fills([fill_row(px=1.5), fill_row(coin="ETH", sz=None), 7], "main", US)

    assert (found.fills, found.others) == ([], [])
    assert [one.text.partition(" could")[0] for one in found.unread] == [
        "a fill of BTC",
        "a fill of ETH",
        "a fill: fill: an object is wanted, not int",
    ]


# ------------------------------------------------------------------ times


def test_the_times_of_rows_are_read_whatever_the_rows_are():
    assert payloads.times([{"time": 5, "coin": "@1"}, {"time": 3}, fill_row(px=1.5)]) == [5, 3, AT_MS]


@pytest.mark.parametrize("odd", [{}, 5, None, {"time": "5"}, {"time": -1}, {"time": 1.5}])
def test_rows_without_a_time_are_left_out_of_the_times(odd):
    assert payloads.times([{"time": 5}, odd, {"time": 3}]) == [5, 3]


def test_the_key_of_a_fill_is_that_of_its_coin():
    assert fill_of(coin="kPEPE").key == key("kPEPE")

"""Account states of every dex, asked for and pushed: exact figures; what cannot be read says nothing, not
even flat."""

from decimal import Decimal

import pytest

from hlposmon.domain.reports import MarginMode, StatedPosition
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.payloads.coins import token_key_of
from hlposmon.venues.hyperliquid.payloads.statements import StatePush
from hlposmon.workers.price import marks_of
from tests.venues.hyperliquid.payloads import (
    THEM,
    US,
    all_dexes,
    balance,
    key,
    one_dex,
    pair_row,
    position_row,
    spot_context,
    spot_meta,
    spot_state,
    state,
    token_key,
    without,
)


def stated(body, now_ms=1, dex=""):
    return payloads.statement(body, "main", dex=dex, asked_s=2.5, now_ms=now_ms)


def test_a_statement_gives_the_exact_entry_and_mark_behind_the_shown_ones():
    [position] = stated(state(position_row())).positions

    assert position.mark_price == Decimal("48.145")
    assert position.entry_price == Decimal("47.993225")  # shown truncated as 47.9932
    assert position.size == Decimal("-4.0")
    assert position.leverage == 10
    assert position.liquidation_price == Decimal("50.2724802381")


def test_a_statement_says_what_backs_a_position_and_how_much_it_may_be_leveraged():
    cross = position_row(coin="ETH", leverage={"type": "cross", "value": 5}, maxLeverage=25)
    isolated, backed = stated(state(position_row(), cross)).positions

    assert (isolated.margin_mode, isolated.max_leverage) == (MarginMode.ISOLATED, 10)
    assert isolated.cash == Decimal("211.144417")
    assert (backed.margin_mode, backed.max_leverage, backed.cash) == (MarginMode.CROSS, 25, None)


@pytest.mark.parametrize("kind", [..., "pooled", ["cross"]])
def test_a_position_backed_in_a_way_not_known_here_is_read_all_the_same(kind):
    body = state(position_row(leverage=without({"type": kind, "value": 3}), maxLeverage=...))
    [position] = stated(body).positions

    assert (position.margin_mode, position.max_leverage, position.leverage) == (None, None, 3)


def test_a_statement_has_the_margin_of_its_cross_positions_together():
    cross = {"accountValue": "57.6421", "totalRawUsd": "-12.5", "totalNtlPos": "70.1", "totalMarginUsed": "7"}
    one = stated(state(crossMarginSummary=cross, crossMaintenanceMarginUsed="3.5"))
    older = stated(state())

    assert (one.cross_equity, one.cross_cash) == (Decimal("57.6421"), Decimal("-12.5"))
    assert one.cross_maintenance == Decimal("3.5")
    assert (older.cross_equity, older.cross_cash, older.cross_maintenance) == (None, None, None)


def test_a_statement_holds_what_the_account_holds():
    one = payloads.statement(state(), "main", asked_s=2.5, now_ms=1, fills_from_ms=7)

    assert (one.account, one.venue, one.time_ms, one.asked_s) == ("main", "hyperliquid", 1761803589961, 2.5)
    assert (one.equity, one.margin_used, one.withdrawable) == (
        Decimal("76.206517"),
        Decimal("18.564417"),
        Decimal("57.6421"),
    )
    assert (one.positions, one.fills_from_ms, one.unread) == ((), 7, {})
    assert (one.scope, one.pushed) == ("", False)


def test_the_statement_of_a_dex_is_of_the_scope_of_its_name_and_its_keys_have_the_name_too():
    one = stated(state(position_row(coin="xyz:TSLA")), dex="xyz")

    assert one.scope == "xyz"
    assert [(position.key, position.size) for position in one.positions] == [(key("xyz:TSLA"), -4)]
    assert marks_of([one]) == {key("xyz:TSLA"): Decimal("48.145")}


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        (state(position_row(coin="xyz:TSLA")), True),
        (state(position_row(coin="xyz:TSLA", szi=1.5)), True),  # of a size that cannot be read
        (state(), True),  # 76 USDC of equity
        (state(marginSummary={"accountValue": "0.0", "totalMarginUsed": "0.0"}), False),
    ],
)
def test_a_dex_holds_something_where_there_is_a_position_or_money(body, holds):
    assert stated(body, dex="xyz").holds_something is holds


def test_a_statement_without_a_time_is_of_now():
    assert stated(state(time=...), now_ms=77).time_ms == 77


def test_a_position_that_cannot_be_liquidated_has_no_such_price():
    assert stated(state(position_row(liquidationPx=None))).positions[0].liquidation_price is None


def test_the_marks_of_statements_are_those_of_what_they_hold():
    one = stated(state(position_row(), position_row(coin="ETH", szi="2", positionValue="6000.5")))

    assert marks_of([one]) == {key("HYPE"): Decimal("48.145"), key("ETH"): Decimal("3000.25")}


# ------------------------------------------------------------------ positions that cannot be read


def set_aside(**changes):
    """Why a position of HYPE could not be read that stands between two that can."""
    one = stated(state(position_row(coin="BTC"), position_row(**changes), position_row(coin="ETH")))
    assert [position.key for position in one.positions] == [key("BTC"), key("ETH")]
    assert one.equity == Decimal("76.206517")
    assert one.unread.keys() == {key("HYPE")}
    return one.unread[key("HYPE")]


@pytest.mark.parametrize("name", ["szi", "positionValue", "unrealizedPnl", "marginUsed", "liquidationPx"])
@pytest.mark.parametrize("value", [1.5, True, "1e5", "Infinity", []])
def test_a_position_with_a_wrong_amount_is_set_aside_and_names_it(name, value):
    assert set_aside(**{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["szi", "positionValue", "unrealizedPnl", "marginUsed"])
@pytest.mark.parametrize("value", [None, ...])
def test_a_position_that_lacks_an_amount_is_set_aside_and_names_it(name, value):
    assert set_aside(**{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"szi": "0.0"}, "szi is zero"),
        ({"szi": "-0"}, "szi is zero"),
        ({"positionValue": "-1"}, "positionValue is negative"),
        ({"leverage": {"type": "cross", "value": "20"}}, "value: a whole number"),
        ({"leverage": None}, "leverage: an object"),
        ({"leverage": ...}, "leverage: an object"),
    ],
)
def test_a_position_that_cannot_be_is_set_aside_and_says_why(change, name):
    assert name in set_aside(**change)


def test_what_is_unread_has_no_mark_and_no_position():
    one = stated(state(position_row(szi=None)))

    assert (one.positions, marks_of([one])) == ((), {})


def test_every_position_that_cannot_be_read_is_named_by_itself():
    one = stated(state(position_row(szi=1.5), position_row(coin="ETH", leverage=None)))

    assert one.unread.keys() == {key("HYPE"), key("ETH")}
    assert "szi" in one.unread[key("HYPE")]
    assert "leverage" in one.unread[key("ETH")]


# ------------------------------------------------------------------ statements that cannot be read


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (state(withdrawable=5.0), "withdrawable"),
        (state(withdrawable=...), "withdrawable"),
        (state(marginSummary=None), "marginSummary"),
        (state(marginSummary={"accountValue": 5.0}), "accountValue"),
        (state(marginSummary={"accountValue": "5.0"}), "totalMarginUsed"),
        (state(assetPositions=None), "assetPositions"),
        (state(time=None), "time"),
        (None, "clearinghouseState"),
        ([], "clearinghouseState"),
    ],
)
def test_a_statement_of_another_shape_says_where(wrong, name):
    with pytest.raises(WireError, match=name):
        stated(wrong)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (None, "assetPosition"),
        ({}, "position"),
        ({"position": None}, "position"),
        ({"position": position_row(coin=...)}, "coin"),
        ({"position": position_row(coin=5)}, "coin"),
        ({"position": position_row(coin="")}, "coin"),
        ({"position": position_row(coin="B" * 45)}, "coin"),
        ({"position": position_row(coin="BTC\n")}, "coin"),
    ],
)
def test_a_position_of_no_coin_makes_the_statement_unreadable_as_it_could_be_of_any(row, name):
    whole = state(position_row())
    whole["assetPositions"].append(row)

    with pytest.raises(WireError, match=name):
        stated(whole)


@pytest.mark.parametrize(
    ("dex", "coin"), [("", "xyz:TSLA"), ("xyz", "BTC"), ("xyz", "flx:TSLA"), ("xyz", "xyz2:TSLA")]
)
def test_a_position_of_another_dex_shows_that_the_answer_is_not_of_the_dex_that_was_asked(dex, coin):
    own = position_row(coin=f"{dex}:NVDA" if dex else "BTC")

    with pytest.raises(WireError, match=f"coin: {coin} is not of the dex {dex!r}"):
        stated(state(own, position_row(coin=coin)), dex=dex)


# ------------------------------------------------------------------ pushed states

NAMES = {US: "main"}


def pushed(data, channel="allDexsClearinghouseState"):
    return payloads.state_push(data, channel, NAMES, heard_s=2.5, now_ms=1)


def held(push):
    """What each dex of a push holds, in its order."""
    return {one.scope: [position.key for position in one.positions] for one in push.statements}


def test_a_push_of_all_dexes_states_each():
    first = state(position_row(), time=5)
    other = state(position_row(coin="xyz:TSLA"), position_row(coin="xyz:NVDA"), time=6)

    push = pushed(all_dexes(("", first), ("xyz", other), ("flx", state()), user=US.upper()))

    assert (push.user, push.unread) == (US, ())
    assert held(push) == {"": [key("HYPE")], "xyz": [key("xyz:TSLA"), key("xyz:NVDA")], "flx": []}
    assert [one.time_ms for one in push.statements[:2]] == [5, 6]
    assert {(one.account, one.asked_s, one.pushed) for one in push.statements} == {("main", 2.5, True)}
    assert not stated(first).pushed


@pytest.mark.parametrize(("dex", "coin"), [("", "HYPE"), ("xyz", "xyz:TSLA")])
def test_a_push_of_one_dex_states_that_one(dex, coin):
    push = pushed(one_dex(dex, state(position_row(coin=coin))), "clearinghouseState")

    assert (push.user, held(push), push.unread) == (US, {dex: [key(coin)]}, ())


def test_a_first_dex_that_is_not_in_a_push_is_unknown_and_not_flat():
    assert held(pushed(all_dexes(("xyz", state())))) == {"xyz": []}
    assert pushed(all_dexes()) == StatePush(US, (), ())


def test_a_push_of_a_strangers_state_is_of_nobody():
    assert pushed(all_dexes(("", state()), user=THEM)) is None


@pytest.mark.parametrize("dex", ["", "xyz"])
def test_a_position_that_cannot_be_read_is_set_aside_in_a_push_as_in_an_answer(dex):
    odd, sound = ("xyz:TSLA", "xyz:NVDA") if dex else ("HYPE", "ETH")
    push = pushed(all_dexes((dex, state(position_row(coin=odd, szi=1.5), position_row(coin=sound)))))

    assert held(push) == {dex: [key(sound)]}
    assert "szi" in push.statements[0].unread[key(odd)]


def with_row(row):
    """A state with a position that is read, and this row behind it."""
    whole = state(position_row(coin="xyz:TSLA"))
    whole["assetPositions"].append(row)
    return whole


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {"assetPositions": None},
        state(time=None),
        state(marginSummary=None),
        with_row(None),
        with_row({"position": {}}),
        with_row({"position": {"coin": 5}}),
        with_row({"position": position_row(coin="BTC")}),  # of the first dex
    ],
)
def test_a_dex_whose_state_cannot_be_read_is_named_and_harms_no_other(odd):
    push = pushed(all_dexes(("abc", state()), ("xyz", odd), ("", state(position_row()))))

    assert held(push) == {"abc": [], "": [key("HYPE")]}
    assert push.unread == ("xyz",)
    assert pushed(one_dex("xyz", odd), "clearinghouseState") == StatePush(US, (), ("xyz",))


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
        (all_dexes(("xyz", state()), ("", {"assetPositions": None})), "marginSummary"),
        (all_dexes(("", state(position_row(coin=...)))), "coin"),
        (all_dexes(("", state(position_row(coin="xyz:TSLA")))), "not of the dex"),
    ],
)
def test_a_push_of_another_shape_says_where(data, name):
    with pytest.raises(WireError, match=name):
        pushed(data)


def test_a_push_of_one_dex_needs_its_name():
    with pytest.raises(WireError, match="dex"):
        pushed({"user": US, "clearinghouseState": state()}, "clearinghouseState")


# ------------------------------------------------------------------ balances on spot


def on_spot(*balances):
    return payloads.spot_statement(spot_state(*balances), "main", time_ms=7, asked_s=2.5)


def test_the_balances_on_spot_are_a_statement_of_their_own_scope_and_rows_of_zero_are_left_out():
    one = on_spot(
        balance("USDC", "1250.50"),
        balance("HYPE", "12.5", "0.2", "250.0"),
        balance("UBTC", "0.0"),
        balance("+107580", "0.0", ...),
    )

    assert (one.account, one.venue, one.scope, one.time_ms, one.asked_s) == (
        "main",
        "hyperliquid",
        "spot",
        7,
        2.5,
    )
    assert one.positions == (
        StatedPosition(token_key("USDC"), Decimal("1250.5"), Decimal(1), hold=Decimal(0)),
        StatedPosition(token_key("HYPE"), Decimal("12.5"), Decimal(20), hold=Decimal("0.2")),
    )
    assert (one.equity, one.fills_from_ms, one.pushed, one.unread) == (None, None, False, {})
    assert one.holds_something


@pytest.mark.parametrize(
    ("told", "ratio"), [("0.133131833", Decimal("0.133131833")), (..., None), (None, None), (0.13, None)]
)
def test_a_margin_ratio_is_the_stated_one_and_an_odd_one_harms_no_balance(told, ratio):
    body = without(spot_state(balance("HYPE", "5")) | {"portfolioMarginRatio": told})
    one = payloads.spot_statement(body, "main", time_ms=7, asked_s=2.5)

    assert (one.margin_ratio, len(one.positions)) == (ratio, 1)


def test_without_balances_nothing_is_held_on_spot():
    assert on_spot().positions == ()
    assert not on_spot(balance("USDC", "0.0")).holds_something


def test_pushed_balances_are_a_pushed_statement():
    one = payloads.spot_statement(spot_state(), "main", time_ms=7, asked_s=2.5, pushed=True)

    assert one.pushed


@pytest.mark.parametrize("hold", ["-0.5", "0.5"])
def test_a_token_of_which_nothing_is_there_but_a_hold_is_left_out(hold):
    assert (
        on_spot(balance("USDH", "0.0", hold)).positions,
        on_spot(balance("USDH", "0.0", hold)).unread,
    ) == ((), {})


@pytest.mark.parametrize(("hold", "kept"), [("-0.5", Decimal("-0.5")), ("0.0", Decimal(0)), (..., None)])
def test_a_hold_is_kept_as_it_is_stated(hold, kept):
    [position] = on_spot(balance("HYPE", "2", hold)).positions

    assert position.hold == kept


@pytest.mark.parametrize(
    ("total", "cost", "entry"),
    [
        ("4", "10.0", Decimal("2.5")),
        ("4", "0.0", Decimal(0)),  # it was given away
        ("-4", "-10.0", Decimal("2.5")),  # borrowed
        ("-4", "10.0", None),
        ("4", "-10.0", None),
    ],
)
def test_the_entry_of_a_token_is_what_it_cost_by_how_much_there_is_unless_that_is_negative(
    total, cost, entry
):
    [position] = on_spot(balance("HYPE", total, "0.0", cost)).positions

    assert (position.size, position.entry_price) == (Decimal(total), entry)


@pytest.mark.parametrize("total", ["20.10", "-20.10"])
def test_a_usdc_costs_a_dollar_even_where_it_is_borrowed(total):
    [position] = on_spot(balance("USDC", total, "0.0", "0.0")).positions

    assert (position.size, position.entry_price) == (Decimal(total), Decimal(1))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (balance("HYPE", 1.5), "total"),
        (balance("HYPE", ...), "total"),
        (balance("HYPE", "1", 1.5), "hold"),
        (balance("HYPE", "0.0", None), "hold"),
        (balance("HYPE", "1", "0.0", ...), "entryNtl"),
        (balance("HYPE", "1", "0.0", 5), "entryNtl"),
    ],
)
def test_a_balance_that_cannot_be_read_is_named_and_the_others_are_stated(row, name):
    one = on_spot(balance("USDC", "1"), row, balance("UBTC", "2"))

    assert [position.key for position in one.positions] == [token_key("USDC"), token_key("UBTC")]
    assert one.unread.keys() == {token_key("HYPE")}
    assert one.unread[token_key("HYPE")].startswith(f"{name}: ")
    assert on_spot(row).holds_something  # nobody knows that it holds nothing


@pytest.mark.parametrize("second", ["2", "1", "0.0"])
def test_two_balances_of_one_token_are_neither_of_them_taken(second):
    one = on_spot(balance("HYPE", "1"), balance("USDC", "5"), balance("HYPE", second))

    assert [position.key for position in one.positions] == [token_key("USDC")]
    assert one.unread == {token_key("HYPE"): f"there are two balances of {token_key('HYPE')}"}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (5, "balance"),
        (None, "balance"),
        (balance(5, "1"), "coin"),
        (balance(..., "1"), "coin"),
        (balance("", "1"), "coin"),
        (balance("HY\nPE", "1"), "coin"),
        (balance("H" * 43, "1"), "coin"),
        (balance("é" * 22, "1"), "coin"),
    ],
)
def test_a_balance_without_a_name_to_call_it_by_is_a_wire_error_since_it_may_be_of_any_token(row, name):
    with pytest.raises(WireError, match=f"^{name}: "):
        on_spot(balance("USDC", "1"), row)


def test_a_token_has_a_name_of_42_bytes_at_most():
    assert token_key_of("H" * 42) == token_key("H" * 42)
    with pytest.raises(WireError, match="42 bytes"):
        token_key_of("H" * 43)


@pytest.mark.parametrize("body", [None, [], {}, {"balances": None}, {"balances": {}}])
def test_a_spot_state_of_another_shape_is_a_wire_error_and_not_empty(body):
    with pytest.raises(WireError, match=r"spotClearinghouseState|balances"):
        payloads.spot_statement(body, "main", time_ms=7, asked_s=2.5)


# ------------------------------------------------------------------ what tokens are worth


def test_pairs_with_usdc_price_their_token_and_are_joined_to_it_by_its_index():
    body = spot_meta(
        pair_row("@107", (150, 0)),
        pair_row("PURR/USDC", (1, 0)),
        pair_row("@200", (150, 268)),  # in USDT0
        pair_row("@201", (0, 150)),  # of USDC in HYPE
        pair_row("@202", (999, 0)),  # of a token that is not listed
        pair_row("@203", (150, 999)),
        pair_row("@204", (150,)),
        pair_row("@205", (150, 0, 1)),
    )

    assert payloads.spot_pairs(body) == {"@107": token_key("HYPE"), "PURR/USDC": token_key("PURR")}


def test_without_pairs_there_are_none():
    assert payloads.spot_pairs({"tokens": [], "universe": []}) == {}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (None, "spotMeta"),
        ([], "spotMeta"),
        ({"universe": []}, "tokens"),
        ({"tokens": []}, "universe"),
        ({"tokens": [5], "universe": []}, "token"),
        ({"tokens": [{"name": "USDC", "index": "0"}], "universe": []}, "index"),
        ({"tokens": [{"name": None, "index": 0}], "universe": []}, "name"),
    ],
)
def test_pairs_of_another_shape_are_a_wire_error(body, name):
    with pytest.raises(WireError, match=f"^{name}: "):
        payloads.spot_pairs(body)


@pytest.mark.parametrize("odd", [5, {"name": "@1"}, pair_row(None), pair_row("@1", (150,))])
def test_a_pair_of_another_shape_harms_no_other(odd):
    assert payloads.spot_pairs(spot_meta(odd, pair_row())) == {"@107": token_key("HYPE")}


@pytest.mark.parametrize("tokens", [([], 0), (150, []), ({}, 0), (150, {}), (150, False)])
def test_a_pair_of_what_is_no_index_is_of_no_known_token(tokens):
    odd = pair_row("@1", tokens)
    assert payloads.spot_pairs(spot_meta(odd, pair_row())) == {"@107": token_key("HYPE")}


def test_marks_are_joined_to_their_token_by_the_name_of_the_pair_and_usdc_is_a_dollar():
    contexts = [
        spot_context("PURR/USDC", "0.073122"),
        spot_context("@999", "5.0"),
        spot_context("@107", "33.21"),
    ]

    assert payloads.token_prices([spot_meta(), contexts]) == {
        token_key("USDC"): Decimal(1),
        token_key("HYPE"): Decimal("33.21"),
        token_key("PURR"): Decimal("0.073122"),
    }
    assert payloads.token_prices([spot_meta(), []]) == {token_key("USDC"): Decimal(1)}


@pytest.mark.parametrize("mark", [None, ..., 33.21, "", "many"])
def test_a_mark_that_cannot_be_read_is_left_out_and_the_others_are_taken(mark):
    contexts = [spot_context("@107", mark), spot_context("PURR/USDC", "0.5")]

    assert payloads.token_prices([spot_meta(), contexts]) == {
        token_key("USDC"): Decimal(1),
        token_key("PURR"): Decimal("0.5"),
    }


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (None, "spotMetaAndAssetCtxs"),
        ({}, "spotMetaAndAssetCtxs"),
        ([spot_meta()], "spotMetaAndAssetCtxs"),
        ([None, []], "spotMeta"),
        ([spot_meta(), None], "contexts"),
    ],
)
def test_marks_of_another_shape_are_a_wire_error(body, name):
    with pytest.raises(WireError, match=f"^{name}: "):
        payloads.token_prices(body)


@pytest.mark.parametrize("odd", [5, spot_context(None, "1"), spot_context("@107", 5)])
def test_a_mark_of_another_shape_harms_no_other(odd):
    meta = spot_meta(pair_row(), pair_row("PURR/USDC", (1, 0)))
    found = payloads.token_prices([meta, [odd, spot_context("PURR/USDC", "0.5")]])
    assert found == {token_key("USDC"): Decimal(1), token_key("PURR"): Decimal("0.5")}


# ------------------------------------------------------------------ what else there is


def test_the_dexes_are_named_but_the_first_which_is_null():
    assert payloads.dex_names([None, {"name": "xyz", "oracleUpdater": None}, {"name": "flx"}]) == [
        "xyz",
        "flx",
    ]
    assert payloads.dex_names([None]) == []


@pytest.mark.parametrize("body", [None, {}, [5], [{}], [{"name": None}]])
def test_a_list_of_dexes_of_another_shape_is_a_wire_error(body):
    with pytest.raises(WireError, match=r"perpDexs|dex|name"):
        payloads.dex_names(body)

"""Answers of Hyperliquid's real servers through the decoders: all is read, and their arithmetic comes out.

What is claimed of the captures is worked out here from what the product makes of them. How fills chain and
what the book makes of them stands in `tests/domain/test_real_data.py`.
"""

from decimal import ROUND_DOWN, Decimal
from functools import cache

from hlposmon.domain.amounts import ZERO, exactly
from hlposmon.domain.instrument import market_of
from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.domain.position import Position
from hlposmon.domain.reports import AccountEventKind, FillCause, MarginMode, StatedPosition, Statement
from hlposmon.text import loads
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.client import PLAIN_MODES
from hlposmon.venues.hyperliquid.payloads.amounts import amount_of
from hlposmon.workers.price import marks_of
from tests.captures import ROOT, answered, captured, every_object, needs_captures
from tests.venues.hyperliquid.payloads import US, key, packed, token_key

pytestmark = needs_captures

GATEWAY = "hyperliquid-agent-gateway"


def stated(body, now_ms=9) -> Statement:
    """The statement of the dex that its positions are of: all of one, whichever it is."""
    [dex] = {row["position"]["coin"].rpartition(":")[0] for row in body["assetPositions"]} or {""}
    found = payloads.statement(body, "main", dex=dex, asked_s=0.0, now_ms=now_ms)
    assert found.unread == {}
    return found


@cache
def decimals() -> dict[str, int]:
    """How many decimals the entry price of a coin has: six less those of its size."""
    meta, _ = captured(f"{GATEWAY}/metaAndAssetCtxs.json")
    return {row["name"]: 6 - row["szDecimals"] for row in meta["universe"]}


def truncated(entry: Decimal, coin: str) -> Decimal:
    """An entry price as the exchange shows it, and as it works its profit out from."""
    return entry.quantize(Decimal(1).scaleb(-decimals()[coin]), ROUND_DOWN)


PORTFOLIO_MARGIN, OF_2023 = "portfolio margin", "2023"


def states_by_name() -> dict[str, dict]:
    """All captured states of whole accounts."""
    jkorf = (ROOT / "JKorf-HyperLiquid.Net" / "GetAccountInfo.txt").read_text().splitlines()
    return {
        "gateway": captured(f"{GATEWAY}/clearinghouseState.json"),
        PORTFOLIO_MARGIN: captured("lifi-perps-sdk/portfolio_margin.json")["clearinghouseState"],
        "JKorf": loads(next(line for line in jkorf if line.startswith("{"))),
        OF_2023: answered("hyperliquid-python-sdk/test_get_user_state.json"),
        **{row["note"]: row["state"] for row in captured("ccxt/clearinghouse_states.json")},
    }


def whole_states() -> list[dict]:
    return list(states_by_name().values())


def child_vault() -> list[dict]:
    """Twice the positions of a vault; what was not selected of its state and of a position is put in."""
    found = []
    for name in ("m2", "m3"):
        selected = captured(f"hyperliquid-math/2026-07-19-mainnet-{name}.json")["selection"]
        cut = {"leverage": {"type": "cross", "value": 20}, "marginUsed": "0.0"}
        rows = [{"position": cut | row} for row in selected["positions"]]
        summary = {"accountValue": "0.0", "totalMarginUsed": "0.0"}
        found.append({"marginSummary": summary, "withdrawable": "0.0", "assetPositions": rows})
    return found


def with_rows(body) -> list[tuple[StatedPosition, dict]]:
    """Each position with the row that it was read from."""
    rows = [row["position"] for row in body["assetPositions"]]
    return list(zip(stated(body).positions, rows, strict=True))


# ------------------------------------------------------------------ all is read


def test_every_real_fill_is_decoded():
    # One capture has order ids cut out of its rows.
    rows = [row for row in every_object() if {"px", "sz", "startPosition", "oid"} <= row.keys()]
    found = payloads.fills(rows, "main", US)

    assert found.unread == []
    assert len(found.fills) + len(found.others) == len(rows) > 760
    assert any(fill.trade_id is None for fill in found.fills)
    assert "@107" in found.others
    assert not any(":" in coin for coin in found.others)
    assert {key("xyz:SPCX"), key("flx:CRCL")} <= {fill.key for fill in found.fills}
    watched = (row for row in rows if payloads.is_watched(row["coin"]))
    for fill, row in zip(found.fills, watched, strict=True):
        assert (f"{fill.size:f}", f"{fill.price:f}", fill.time_ms) == (row["sz"], row["px"], row["time"])
        assert fill.side.value == {"B": "buy", "A": "sell"}[row["side"]]


def test_every_real_statement_is_decoded():
    states = [row for row in every_object() if {"assetPositions", "withdrawable"} <= row.keys()]
    statements = [stated(one) for one in states]
    positions = [position for statement in statements for position in statement.positions]

    assert len(statements) >= 7
    assert len(positions) >= 66
    assert any(position.liquidation_price is None for position in positions)
    assert any(statement.time_ms == 9 for statement in statements)  # the one of 2023 has no time
    assert {"", "flx"} <= {statement.scope for statement in statements}


def test_every_real_funding_is_decoded_in_both_forms():
    rows = [
        row for row in every_object() if row.get("time") and (row.get("delta") or {}).get("type") == "funding"
    ]
    flat = [{"time": row["time"], **row["delta"]} for row in rows]
    found, unread = payloads.fundings(rows, "main")

    assert len(rows) > 480
    assert payloads.fundings(flat, "main") == (found, unread)
    assert unread == []
    assert len(found) == len(rows)


def test_every_real_role_is_decoded():
    assert payloads.role(answered("hyperliquid-python-sdk/test_user_role.json")) == ("vault", None)


def test_every_real_mid_price_is_an_amount():
    mids = answered("hyperliquid-python-sdk/test_get_all_mids.json")
    marks, unread = payloads.fast_marks(packed({coin: {"markPx": price} for coin, price in mids.items()}))

    assert len(marks) == sum(map(payloads.is_watched, mids)) > 20
    assert unread == []


def test_a_real_liquidation_is_told_by_its_user():
    rows = captured("ccxt/user_fills_0x193bd350.json")
    mine = next(row["liquidation"]["liquidatedUser"] for row in rows if "liquidation" in row)

    taken = {
        fill.key: fill.liquidation for fill in payloads.fills(rows, "main", mine).fills if fill.liquidation
    }

    assert taken == {key("HYPE"): "market", key("flx:CRCL"): "market"}
    assert not any(fill.liquidation for fill in payloads.fills(rows, "main", US).fills)


def test_the_cause_of_every_real_fill_is_known():
    rows = [row for row in every_object() if {"px", "sz", "startPosition", "oid"} <= row.keys()]
    users = {row["liquidation"]["liquidatedUser"] for row in rows if "liquidation" in row}
    found = payloads.fills(rows, "main", US).fills

    assert {fill.cause for fill in found} == {FillCause.ORDER}
    assert users
    assert sum(fill.builder_fee is not None for fill in found) == 2
    assert all(fill.builder_fee <= fill.fee for fill in found if fill.builder_fee is not None)
    for user in users:  # what each of them sees of the same rows
        theirs = payloads.fills(rows, "main", user).fills
        assert {fill.cause for fill in theirs} == {FillCause.ORDER, FillCause.LIQUIDATION}
        taken = [fill for fill in theirs if fill.cause is FillCause.LIQUIDATION]
        assert all(fill.liquidation == "market" for fill in taken)


def test_a_real_slice_of_a_twap_order_has_its_number_outside_of_the_fill():
    [slice_] = captured("gocryptotrader/ws_userTwapSliceFills.json")["data"]["twapSliceFills"]
    assert slice_["fill"]["twapId"] is None
    as_perp = slice_ | {"fill": slice_["fill"] | {"coin": "HYPE"}}  # spot is not followed by fills

    [fill] = payloads.fills([as_perp], "main", US).fills
    assert (fill.cause, fill.twap_id) == (FillCause.TWAP, slice_["twapId"])


def test_the_liquidations_of_others_are_not_ours_though_our_fills_carry_them():
    rows = captured(f"{GATEWAY}/userFills_newest_250.json")
    victims = [row["liquidation"]["liquidatedUser"] for row in rows if "liquidation" in row]

    assert len(victims) == 2
    assert not any(fill.liquidation for fill in payloads.fills(rows, "main", US).fills)
    assert [fill.liquidation for fill in payloads.fills(rows, "main", victims[0]).fills].count("market") == 1


def test_a_delisted_coin_has_nulls_in_its_context_and_a_mark_all_the_same():
    meta, contexts = captured(f"{GATEWAY}/metaAndAssetCtxs.json")
    by_coin = {row["name"]: context for row, context in zip(meta["universe"], contexts, strict=True)}
    nulls = [one for one in contexts if [one["midPx"], one["premium"], one["impactPxs"]] == [None] * 3]
    marks, unread = payloads.fast_marks(packed(by_coin))

    assert (len(by_coin), len(nulls)) == (233, 56)
    assert sum(row.get("isDelisted", False) for row in meta["universe"]) == 56
    assert (len(marks), unread) == (233, [])


def test_the_first_of_the_dexes_is_null_and_the_others_are_named():
    body = answered("go-hyperliquid/PerpDexs__00.json")

    assert body[0] is None
    assert payloads.dex_names(body) == ["xyz", "flx", "vntl", "hyna"]


def on_spot(body) -> Statement:
    found = payloads.spot_statement(body, "main", time_ms=9, asked_s=0.0)
    assert found.unread == {}
    return found


def test_what_is_held_on_spot_is_stated_and_zeros_are_not():
    held = on_spot(answered("go-hyperliquid/SpotUserState__02.json")).positions
    portfolio = captured("lifi-perps-sdk/portfolio_margin.json")["spotClearinghouseState"]
    coins = [payloads.coin_of(one.key) for one in on_spot(portfolio).positions]

    assert [(payloads.coin_of(one.key), one.size, one.hold) for one in held] == [
        ("USDC", Decimal("19.9969993"), 0),
        ("HYPE", Decimal("0.24965"), Decimal("0.2")),
        ("USOL", Decimal("0.9993"), 0),
    ]
    assert coins == ["USDC", "MUNCH", "HYPE", "STAR", "LICKO", "MAX"]
    assert len(portfolio["balances"]) == 11


def test_what_a_token_cost_comes_out_of_its_entry_again():
    """24.982487 USDC for 0.24965 HYPE: the quotient has no end, and its last digit is far beyond a cent."""
    usdc, hype, usol = on_spot(answered("go-hyperliquid/SpotUserState__02.json")).positions

    assert usdc.entry_price == 1
    with exactly():
        assert abs(hype.size * hype.entry_price - Decimal("24.982487")) < Decimal("1e-40")
        assert abs(usol.size * usol.entry_price - Decimal("249.99")) < Decimal("1e-40")


def test_the_pairs_of_tokens_and_their_marks_are_read():
    selected = captured("hyperliquid-math/2026-07-19-mainnet-m5.json")["selection"]
    meta = {"universe": selected["spotUniverse"], "tokens": selected["spotTokens"]}
    pairs = payloads.spot_pairs(meta)
    prices = payloads.token_prices([meta, selected["spotAssetContexts"]])

    assert pairs == {
        "PURR/USDC": token_key("PURR"),
        "@1": token_key("HFUN"),
        "@2": token_key("LICK"),
        "@3": token_key("MANLET"),
        "@4": token_key("JEFF"),
    }
    assert prices.keys() == {token_key("USDC"), *pairs.values()}
    assert prices[token_key("USDC")] == 1
    assert prices[token_key("PURR")] == Decimal("0.073007")
    assert prices[token_key("HFUN")] == Decimal("13.691")


def test_packed_prices_are_unpacked():
    message = captured("gocryptotrader/ws_fastAssetCtxs_snapshot.json")

    assert payloads.fast_marks(message["data"]) == (
        {key("BTC"): Decimal("85814.0"), key("xyz:XYZ100"): Decimal("31167.0")},
        [],
    )


def test_a_slice_of_a_twap_on_spot_is_a_fill_of_what_is_not_watched():
    slices = captured("gocryptotrader/ws_userTwapSliceFills.json")["data"]["twapSliceFills"]

    assert payloads.fills([row["fill"] for row in slices], "main", US).others == ["@107"]


def test_the_ledger_tells_what_befell_and_what_was_withdrawn_is_net_of_its_costs():
    rows = captured("gocryptotrader/http_userNonFundingLedgerUpdates.json")
    told = payloads.account_events(rows, "main", US)
    vault = rows[2]["delta"]
    with exactly():
        costs = amount_of(vault, "commission") + amount_of(vault, "closingCost")
        net = amount_of(vault, "requestedUsd") - costs

    assert [(one.kind, one.text) for one in told] == [
        (AccountEventKind.TRANSFER, "accountClassTransfer of 50099.8 USDC"),
        (AccountEventKind.TRANSFER, "send of 99959.73 USDC"),
        (AccountEventKind.TRANSFER, f"vaultWithdraw of {net} USDC"),
        (AccountEventKind.LIQUIDATION, "ATOM"),
    ]
    assert told[3].keys == (key("ATOM"),)


def test_the_noise_of_doubles_is_in_real_ledgers_and_is_not_told():
    rows = answered("hyperliquid-python-sdk/test_user_non_funding_ledger_updates_without_end_time.json")
    told = [one.text for one in payloads.account_events(rows, "main", US)]

    assert [rows[0]["delta"]["usdc"], rows[3]["delta"]["usdc"]] == [
        "2703997.4500000002",
        "2684105.0099999998",
    ]
    assert (told[0], told[3]) == ("deposit of 2703997.45 USDC", "accountClassTransfer of 2684105.01 USDC")


# ------------------------------------------------------------------ accounts


def test_an_account_is_worth_its_cash_and_its_positions_at_the_mark():
    for body in whole_states():
        one, cash = stated(body), amount_of(body["marginSummary"], "totalRawUsd")
        with exactly():
            assert one.equity == cash + sum((each.size * each.mark_price for each in one.positions), ZERO)


def test_an_account_is_worth_its_cross_part_and_its_isolated_positions():
    isolated = 0
    for body in whole_states():
        cross = amount_of(body["crossMarginSummary"], "accountValue")
        alone = [one for one, row in with_rows(body) if row["leverage"]["type"] == "isolated"]
        isolated += len(alone)
        with exactly():
            assert stated(body).equity == cross + sum((one.margin_used for one in alone), ZERO)
    assert isolated == 4  # one of the gateway's 44, JKorf's, two of ccxt's


def test_an_isolated_position_is_worth_its_cash_and_itself_at_the_mark():
    for body in whole_states():
        for one, row in with_rows(body):
            if row["leverage"]["type"] == "isolated":
                with exactly():
                    held = amount_of(row["leverage"], "rawUsd") + one.size * one.mark_price
                assert one.margin_used == held


def test_a_mark_worked_out_gives_the_stated_value_back():
    """Rounded to what a double carries it is the price that the value was made of, to the last digit."""
    noisy = 0
    for body in whole_states():
        for one, row in with_rows(body):
            with exactly():
                assert abs(one.size) * one.mark_price == amount_of(row, "positionValue")
            assert len(one.mark_price.as_tuple().digits) <= 9
            noisy += len(row["positionValue"].partition(".")[2]) > 6
    assert noisy > 0  # some come with ten decimals, as the server has doubles


def test_a_mark_worked_out_is_the_one_that_the_exchange_lists():
    """Asked for within one capture: the contexts of the coins have the marks themselves."""
    selected = captured("hyperliquid-math/2026-07-19-mainnet-m3.json")["selection"]
    listed, _ = payloads.fast_marks(packed({row["name"]: row for row in selected["assetContexts"]}))
    _, body = child_vault()

    assert marks_of([stated(body)]) == listed
    assert len(listed) == 3


@cache
def tables() -> dict[str, MarginTable]:
    """The margin tiers of the first dex."""
    meta, _ = captured(f"{GATEWAY}/metaAndAssetCtxs.json")
    return payloads.margin_tables(meta)


def table_of(one: StatedPosition) -> MarginTable:
    """Its tiers as listed. One tier of its own leverage, where those of its dex were not captured or the
    state is older than the list and had another leverage; none of these is so large that it matters."""
    table = tables().get(one.key)
    if table is None or not table.grants(one.max_leverage):
        assert abs(one.size * one.mark_price) < 1_000_000
        return MarginTable.single(one.max_leverage)
    return table


def available(one: StatedPosition, of: Statement) -> Decimal:
    """The equity above maintenance that stands behind a position."""
    with exactly():
        if one.margin_mode is MarginMode.CROSS:
            return of.cross_equity - of.cross_maintenance
        return one.cash + one.size * one.mark_price - maintenance(one)


def maintenance(one: StatedPosition) -> Decimal:
    return table_of(one).maintenance(abs(one.size * one.mark_price))


def test_every_listed_coin_has_margin_tiers_and_they_begin_with_its_leverage():
    meta, _ = captured(f"{GATEWAY}/metaAndAssetCtxs.json")
    greatest = {key(row["name"]): row["maxLeverage"] for row in meta["universe"]}

    assert {one: table.tiers[0].max_leverage for one, table in tables().items()} == greatest
    assert len(greatest) == 233
    assert tables()[key("BTC")].tiers[1:] == (Tier(Decimal(150_000_000), Decimal(20)),)


def test_the_liquidation_price_follows_from_what_is_stated():
    """Not in portfolio margin, where the collateral is in the spot state; the rows of 2023 are too short."""
    matched = nulls = 0
    for name, body in states_by_name().items():
        if name in (PORTFOLIO_MARGIN, OF_2023):
            continue
        said = stated(body)
        for one in said.positions:
            found = table_of(one).liquidation_price(one.size, one.mark_price, available(one, said))
            if one.liquidation_price is None:
                nulls += 1
                assert found is None
            else:
                matched += 1
                assert abs(found / one.liquidation_price - 1) < Decimal("1e-8")
    assert (matched, nulls) == (32, 19)


def test_the_maintenance_margin_of_the_cross_positions_is_the_sum_over_them():
    """In portfolio margin as well, with a position of 34 million."""
    positions = 0
    for name, body in states_by_name().items():
        if name == OF_2023:
            continue
        said = stated(body)
        cross = [one for one in said.positions if one.margin_mode is MarginMode.CROSS]
        with exactly():
            off = sum(map(maintenance, cross), ZERO) - said.cross_maintenance
        assert abs(off) < Decimal("1e-5"), name
        positions += len(cross)
    assert positions > 45


def test_a_real_account_in_portfolio_margin_adds_up_within_the_noise_and_exactly_without_it():
    capture = captured("lifi-perps-sdk/portfolio_margin.json")
    body = capture["clearinghouseState"]
    printed = [Decimal(row["position"]["positionValue"]) for row in body["assetPositions"]]
    raw = Decimal(body["marginSummary"]["totalRawUsd"]) + sum(printed)
    one, cash = stated(body), amount_of(body["marginSummary"], "totalRawUsd")

    assert 0 < abs(raw - Decimal(body["marginSummary"]["accountValue"])) < Decimal("1e-8")
    with exactly():
        assert one.equity == cash + sum((each.size * each.mark_price for each in one.positions), ZERO)


def test_an_account_in_portfolio_margin_has_the_ratio_that_the_exchange_works_out():
    body = captured("lifi-perps-sdk/portfolio_margin.json")["spotClearinghouseState"]

    assert payloads.spot_statement(body, "main", time_ms=1, asked_s=0.0).margin_ratio == Decimal(
        "0.133131833"
    )


def test_what_an_account_in_portfolio_margin_has_is_its_spot_total_and_its_mode_is_not_plain():
    """Its USDC are what its perpetuals are worth and what it has supplied. The two answers are of different
    moments, 5086 USDC apart while it held 40 million: an eighth of a thousandth."""
    capture = captured("lifi-perps-sdk/portfolio_margin.json")
    [usdc] = [row for row in capture["spotClearinghouseState"]["balances"] if row["coin"] == "USDC"]
    one = stated(capture["clearinghouseState"])
    with exactly():
        off = amount_of(usdc, "total") - one.equity - amount_of(usdc, "supplied")
        notional = sum((abs(each.size) * each.mark_price for each in one.positions), ZERO)

    assert "borrowed" not in usdc
    assert abs(off) < notional / 5000
    assert payloads.abstraction(capture["userAbstraction"]) == "portfolioMargin"
    assert "portfolioMargin" not in PLAIN_MODES


# ------------------------------------------------------------------ entry prices and profits


def test_the_entry_price_is_the_exact_one_truncated():
    rounded = count = 0
    rows = [row for body in [*whole_states(), *child_vault()] for row in with_rows(body)]
    for one, row in rows:
        coin = payloads.coin_of(one.key)
        if coin not in decimals():
            continue  # of another dex
        shown, step = amount_of(row, "entryPx"), Decimal(1).scaleb(-decimals()[coin])
        position = Position(size=one.size, cost=one.size * one.entry_price)

        assert truncated(position.entry_price, coin) == shown
        with exactly():
            profit = one.size * (one.mark_price - one.entry_price)
            assert abs(profit - amount_of(row, "unrealizedPnl")) < Decimal("1e-40")
        rounded += one.entry_price.quantize(step) == shown
        count += 1
    assert (count, rounded) == (72, 51)  # rounding would have failed in the others


def test_the_venue_works_its_profit_out_from_the_truncated_entry_and_gross_of_fees():
    """32 of 32 closes: the entry that the statement implies, taken on through what was filled since."""
    one = stated(captured(f"{GATEWAY}/clearinghouseState.json"))
    rows = captured(f"{GATEWAY}/userFills_newest_250.json")[::-1]
    positions = {each.key: Position(each.size, each.size * each.entry_price) for each in one.positions}
    closes = from_exact = 0
    for fill in payloads.fills(rows, "main", US).fills:
        if fill.time_ms <= one.time_ms:
            continue
        held = positions.get(fill.key, Position())
        assert held.size == fill.start_position
        positions[fill.key], _ = held.after(fill)
        if held.size * fill.signed_size >= 0:
            assert fill.closed_pnl == 0
            continue
        closed = min(abs(held.size), fill.size).copy_sign(held.size)
        with exactly():
            assert (
                closed * (fill.price - truncated(held.entry_price, payloads.coin_of(fill.key)))
                == fill.closed_pnl
            )
            from_exact += closed * (fill.price - held.entry_price) == fill.closed_pnl
        closes += 1
    assert closes == 32
    assert from_exact == 17  # the exact entry would be wrong in the others


def test_the_profit_of_a_close_on_the_test_network_is_gross_of_its_fee():
    opened, closed = payloads.fills(answered("go-hyperliquid/UserFillsByTime__02.json"), "main", US).fills
    held, _ = Position().after(opened)
    flat, _ = held.after(closed)

    assert closed.start_position == opened.end_position
    assert closed.fee == Decimal("0.004841")
    assert (flat.size, flat.realized, flat.closed_pnl) == (0, closed.closed_pnl, Decimal("-0.00925"))


def test_a_liquidation_on_another_dex_was_worked_out_from_the_truncated_entry():
    rows = [row for row in captured("ccxt/user_fills_0x193bd350.json") if row["coin"] == "flx:CRCL"]
    close, added = payloads.fills(rows, "main", US).fills
    [before] = stated(captured("ccxt/clearinghouse_states.json")[0]["state"]).positions
    held, _ = Position(before.size, before.size * before.entry_price).after(added)
    flat, _ = held.after(close)
    shown = held.entry_price.quantize(Decimal("0.0001"), ROUND_DOWN)

    assert {close.key, added.key, before.key} == {key("flx:CRCL")}
    assert (flat.size, added.start_position) == (0, before.size)
    assert close.size * (close.price - shown) == close.closed_pnl != flat.realized


# ------------------------------------------------------------------ funding


def of_all_dexes():
    """The payments of one account, those of other dexes too."""
    found, unread = payloads.fundings(captured(f"{GATEWAY}/userFunding_first_250.json"), "main")
    assert unread == []
    return found


def test_a_payment_is_one_of_its_hour_and_coin_and_its_sign_is_that_of_the_size_and_the_rate():
    paid = of_all_dexes()

    assert len({(one.time_ms, one.key) for one in paid}) == len(paid) == 250
    assert all(one.amount * one.size * one.rate < 0 for one in paid)


def test_half_of_the_payments_are_of_other_dexes_and_are_read_as_those_of_the_first():
    rows = captured(f"{GATEWAY}/userFunding_first_250.json")
    of_first = [one for one in of_all_dexes() if not market_of(one.key)]

    assert (len(rows), len(of_all_dexes()), len(of_first)) == (250, 250, 132)
    assert {row["delta"]["nSamples"] for row in rows} == {None}


def test_payments_stand_newest_first_without_a_start_and_oldest_first_with_one():
    without = [one.time_ms for one in of_all_dexes()]
    with_start = [
        answered(f"hyperliquid-python-sdk/test_user_funding_history_{name}_end_time.json")
        for name in ("with", "without")
    ]

    assert without == sorted(without, reverse=True) != sorted(without)
    assert [len(rows) for rows in with_start] == [13, 218]
    for times in map(payloads.times, with_start):
        assert times == sorted(times)
    assert len(set(payloads.times(with_start[1]))) > 1


def test_real_vaults_and_stakes_in_them_are_decoded():
    """The vault has its money as JSON numbers, of which none is read."""
    stakes, unread = payloads.vault_stakes(answered("hyperliquid-python-sdk/test_user_vault_equities.json"))
    vault = payloads.vault(captured("gocryptotrader/http_vaultDetails.json"))

    assert unread == [] and stakes and all(stake.equity > 0 for stake in stakes)
    assert vault is not None and vault.name == "Hyperliquidity Provider (HLP)"
    assert (vault.relation, len(vault.children), vault.unread) == ("parent", 1, ())

"""What the positions of an account must keep, and which share that is of what backs them, mode by mode."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.amounts import exactly
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.reports import (
    AccountMode,
    Collateral,
    MarginMode,
    MarginPool,
    MarginTables,
    Marks,
    Place,
    PlaceRead,
    StatedPosition,
)
from hlposmon.domain.verdict import Age, Freshness
from tests.domain.language import ACCOUNT, Desk, key, statement
from tests.domain.test_scopes import DEX, TSLA, Scopes

UNIFIED = AccountMode(ACCOUNT, "unifiedAccount", plain=False, reason="kept in spot", pool=MarginPool.TOKEN)
PORTFOLIO = AccountMode(ACCOUNT, "portfolioMargin", plain=False, reason="in spot", pool=MarginPool.ACCOUNT)
TABLES = {key("BTC"): MarginTable.single(Decimal(10)), key("ETH"): MarginTable.single(Decimal(5))}


def cross(coin: str, size: str, mark: str) -> StatedPosition:
    return position(coin, size, mark, MarginMode.CROSS)


def isolated(coin: str, size: str, mark: str, **changes) -> StatedPosition:
    return position(coin, size, mark, MarginMode.ISOLATED, margin_used=Decimal(40), **changes)


def position(coin, size, mark, mode, **changes) -> StatedPosition:
    entry = price = Decimal(mark)
    row = StatedPosition(key(coin), Decimal(size), entry, price, max_leverage=Decimal(10), margin_mode=mode)
    return replace(row, **changes)


def dex(
    *rows, kept: str | None = "0", backing: str | None = "1000", name: str = "", at: float = 0, **changes
):
    """A statement of a dex: its positions, what the cross ones must keep, and their equity."""
    return replace(
        statement("", at=at),
        positions=rows,
        scope=name,
        cross_maintenance=None if kept is None else Decimal(kept),
        cross_equity=None if backing is None else Decimal(backing),
        **changes,
    )


def told(*statements, desk: Desk | None = None) -> Scopes:
    found = desk or Scopes()
    found.book.collateral(Collateral(DEX, "USDC"))
    for one in statements:
        found.book.reconcile(one)
    return found


def margin(desk: Desk) -> tuple[Decimal | None, Decimal | None, str | None]:
    account = desk.book.account(ACCOUNT)
    return account.maintenance_margin, account.margin_ratio, account.margin_reason


BTC = cross("BTC", "1", "100")


# ------------------------------------------------------------------ plain


def test_an_account_must_keep_what_all_its_dexes_must_and_its_ratio_is_that_of_the_worst():
    """A dex is liquidated by itself."""
    one = told(
        dex(BTC, kept="100", backing="500"), dex(cross(TSLA, "1", "20"), kept="10", backing="40", name=DEX)
    )

    assert margin(one) == (110, Decimal("0.25"), None)


def test_an_isolated_position_is_in_the_maintenance_margin_by_its_tiers_and_in_no_ratio():
    one = told(dex(BTC, isolated("BTC", "-4", "100"), kept="100", backing="500"))
    assert margin(one) == (None, Decimal("0.2"), f"the margin tiers of {key('BTC')} are not known")

    one.book.note_margin_tables(MarginTables("", TABLES))
    assert margin(one) == (100 + 20, Decimal("0.2"), None)


@pytest.mark.parametrize(
    "changes", [{"max_leverage": Decimal(50)}, {"mark_price": None}, {"margin_mode": None}]
)
def test_an_isolated_position_whose_margin_cannot_be_worked_out_leaves_that_of_the_account_unknown(changes):
    one = told(dex(isolated("BTC", "-4", "100", **changes), kept="0"))
    one.book.note_margin_tables(MarginTables("", TABLES))

    assert margin(one) == (None, 0, f"the margin tiers of {key('BTC')} are not known")


def test_an_account_without_positions_must_keep_nothing_whatever_is_stated():
    assert margin(told(dex(kept=None, backing=None))) == (0, 0, None)
    assert margin(told(dex(kept="0", backing="-5"))) == (0, 0, None)


def test_what_is_not_stated_is_not_known():
    """Answers of 2023 lack it."""
    unstated = "the exchange does not state the maintenance margin of the first dex"
    assert margin(told(dex(BTC, kept=None))) == (None, None, unstated)
    _, ratio, reason = margin(told(dex(BTC, kept="10", backing=None)))
    assert (ratio, reason) == (
        None,
        "what the cross positions of the first dex must keep, or what backs them, is not stated",
    )
    other = told(dex(BTC, kept="10"), dex(cross(TSLA, "1", "20"), kept=None, name=DEX))
    assert margin(other)[2] == f"the exchange does not state the maintenance margin of the dex {DEX}"


def test_a_row_that_could_not_be_read_leaves_the_maintenance_margin_unknown_and_not_the_ratio():
    one = told(dex(BTC, kept="100", backing="500", unread={key("ETH"): "no text"}))

    assert margin(one) == (None, Decimal("0.2"), f"a position could not be read: {key('ETH')}")


def test_where_nothing_is_left_of_the_equity_no_ratio_is_given_and_it_is_said():
    maintenance, ratio, reason = margin(told(dex(BTC, kept="10", backing="-3")))

    assert (maintenance, ratio) == (10, None)
    assert reason.startswith("nothing is left that backs the cross positions of the first dex")


def test_the_maintenance_margin_of_a_dex_in_another_token_is_counted_at_its_price():
    one = told(dex(kept="0"), dex(cross(TSLA, "1", "20"), kept="10", backing="40", name=DEX))
    one.book.collateral(Collateral(DEX, "USDH"))
    assert margin(one)[0] is None
    assert "USDH, whose price is not known" in margin(one)[2]

    one.book.mark(Marks({"hyperliquid:BaseToken:USDH": Decimal("0.9")}, 1.0))
    assert margin(one) == (9, Decimal("0.25"), None)


def test_where_the_mode_is_not_known_nothing_is_known_of_the_margin():
    one = told(dex(BTC, kept="100"), desk=Scopes(plain=False))
    assert margin(one) == (None, None, "it is not known yet how its balances are kept (account mode)")

    one.book.mode(AccountMode(ACCOUNT, "dexAbstraction", plain=False, reason="shared"))
    assert margin(one) == (None, None, "shared")


# ------------------------------------------------------------------ unified


def unified(*statements, spot: str = "USDC long 540 @ 1", mode: AccountMode = UNIFIED, **changes) -> Scopes:
    """An account that is not plain, and of which all is stated."""
    one = told(*statements, desk=Scopes(plain=False))
    one.book.mode(mode)
    one.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ()))
    one.spot(spot, at=1, **changes)
    one.judge()
    return one


DEXES = (
    dex(BTC, kept="100", backing="0", equity=Decimal(0)),
    dex(cross(TSLA, "1", "20"), kept="10", backing="0", name=DEX),
)


def test_in_a_unified_account_all_dexes_in_a_token_are_backed_by_its_balance_on_spot():
    with exactly():
        ratio = Decimal(110) / 540
    assert margin(unified(*DEXES)) == (110, ratio, None)


def test_in_a_unified_account_the_margin_of_isolated_positions_backs_no_other():
    one = unified(dex(BTC, isolated("BTC", "-4", "100"), kept="100"))
    one.book.note_margin_tables(MarginTables("", TABLES))

    assert margin(one) == (120, Decimal("0.2"), None)  # 100 / (540 - 40)


def test_in_a_unified_account_the_ratio_is_that_of_the_worst_token():
    one = unified(*DEXES, spot="USDC long 540 @ 1, USDH long 20 @ 1")
    one.book.collateral(Collateral(DEX, "USDH"))
    one.book.mark(Marks({"hyperliquid:BaseToken:USDH": Decimal(1)}, 1.0))
    assert margin(one) == (110, Decimal("0.5"), None)

    one.spot("USDC long 540 @ 1", at=2)
    one.judge()
    maintenance, ratio, reason = margin(one)
    assert (maintenance, ratio) == (110, None)
    assert "nothing is left that backs the cross positions in USDH" in reason


def test_in_a_unified_account_an_isolated_margin_that_is_not_stated_leaves_the_ratio_unknown():
    one = unified(dex(BTC, isolated("ETH", "1", "5", max_leverage=Decimal(5)), kept="100"))
    row = replace(isolated("ETH", "1", "5", max_leverage=Decimal(5)), margin_used=None)
    one.book.reconcile(dex(BTC, row, kept="100", at=2))
    one.book.note_margin_tables(MarginTables("", TABLES))

    maintenance, ratio, reason = margin(one)
    assert (maintenance, ratio) == (Decimal("100.5"), None)
    assert "in USDC must keep, or what backs them, is not stated" in reason


def test_the_ratio_of_a_unified_account_waits_until_all_of_it_is_stated():
    one = told(*DEXES, desk=Scopes(plain=False))
    one.book.mode(UNIFIED)
    assert margin(one)[1:] == (None, "it is not known yet what it holds on spot")
    one.spot("USDC long 540 @ 1", at=1)
    assert margin(one)[1:] == (None, "its balances on spot are not proven: None")
    one.judge()
    assert margin(one)[1:] == (None, "it is not known yet what it holds on other dexes")
    one.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ("flx",)))
    assert "what it holds on the dex flx is not known" in margin(one)[2]
    one.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ()))
    assert margin(one)[2] is None

    one.judge(Freshness(Age(None, 5), Age(0.1, 5), Age(500, 120)))
    assert margin(one)[1] is None
    assert "its balances on spot are not proven: " in margin(one)[2]


def test_a_unified_account_that_holds_no_token_has_nothing_behind_its_positions():
    one = told(dex(BTC, kept="100"), desk=Scopes(plain=False))
    one.book.mode(UNIFIED)
    for place in Place:
        one.book.place_read(PlaceRead(ACCOUNT, place, ()))

    maintenance, ratio, reason = margin(one)
    assert (maintenance, ratio) == (100, None)
    assert "nothing is left" in reason


# ------------------------------------------------------------------ portfolio margin


def test_in_portfolio_margin_the_ratio_is_the_one_that_the_exchange_states():
    one = unified(*DEXES, mode=PORTFOLIO, margin_ratio=Decimal("0.1331"))
    told_only = "account mode portfolioMargin: the exchange states its margin ratio alone"
    assert margin(one) == (None, Decimal("0.1331"), told_only)

    none = unified(*DEXES, mode=PORTFOLIO)
    assert margin(none) == (None, None, "account mode portfolioMargin: the exchange states no margin ratio")


def test_in_portfolio_margin_without_balances_no_ratio_is_stated():
    one = told(*DEXES, desk=Scopes(plain=False))
    one.book.mode(PORTFOLIO)
    one.book.place_read(PlaceRead(ACCOUNT, Place.SPOT, ()))

    assert SPOT not in one.book.scope_names(ACCOUNT)
    assert margin(one)[1:] == (None, "account mode portfolioMargin: the exchange states no margin ratio")

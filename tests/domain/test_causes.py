"""A confirmed drift says what it came of, as far as that is known."""

from dataclasses import replace

import pytest

from hlposmon.domain.book import Book
from hlposmon.domain.changes import Drift, Liquidated
from hlposmon.domain.reports import AccountEvent, AccountEventKind, FillCause, Unlisted
from hlposmon.domain.scope import KEPT_EVENTS
from tests.domain.language import ACCOUNT, Desk, book_of, chain, key, kinds, ms

HORIZON = "the exchange lists only the newest 10 000 fills"
FULL = "more fills in one millisecond than a page holds"


def cause(desk: Desk, theirs: str = "BTC long 3 @ 100", *, fetched: float = -9999) -> str:
    """The cause that is named when two answers state `theirs`."""
    desk.stated(theirs, at=100)
    desk.stated(theirs, at=110, fetched=fetched)
    [drift] = desk.of(Drift)
    assert isinstance(drift, Drift)
    assert drift.ours != drift.theirs
    return drift.cause


def held(text: str = "BTC long 1 @ 100") -> Desk:
    """A book that agreed last at 90."""
    desk = book_of(text)
    desk.stated(text, at=90)
    return desk


def test_what_nothing_explains_is_said_to_be_so():
    assert cause(held()) == "no fill explains it"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("liquidation", "BTC"),
        ("mode change", "from default to unifiedAccount"),
        ("transfer", "send of 5 USDC"),
    ],
)
def test_what_befell_the_account_since_the_last_agreement_is_the_cause(kind, text):
    desk = held()
    desk.befell(kind, text, at=95)

    assert cause(desk) == f"{kind} ({text})"


def test_what_befell_before_the_last_agreement_or_another_coin_or_says_little_is_none():
    desk = held()
    desk.befell("transfer", "withdraw of 5 USDC", at=60)
    desk.befell("liquidation", "ETH", "ETH", at=95)
    desk.befell("other", "somethingNew", at=95)

    assert cause(desk) == "no fill explains it"


def test_a_liquidation_in_the_ledger_or_in_a_fill_goes_before_all_else():
    desk = held()
    desk.told(*chain("BTC 5: at 95 -2@90"))
    desk.befell("transfer", "withdraw of 5 USDC", at=95)
    desk.befell("liquidation", "BTC", "BTC", at=95)
    assert cause(desk) == "liquidation (BTC)"


def test_fills_that_are_missing_go_before_a_transfer():
    desk = held()
    desk.told(*chain("BTC 5: at 95 -2@90"))
    desk.befell("transfer", "withdraw of 5 USDC", at=95)

    assert cause(desk) == "fills are missing that the venue no longer lists"


def test_a_position_that_is_gone_without_a_word_is_unexplained():
    assert cause(held(), "") == "no fill explains it"


def test_a_gap_beyond_the_horizon_ends_in_a_drift_that_says_so():
    desk = held()
    desk.told(*chain("BTC 5: at 95 -2@90"))
    desk.unlisted(-9999, 94, HORIZON)

    assert cause(desk, fetched=94.001) == HORIZON
    assert kinds(desk.said[-3:]) == ["Drift", "Adopted", "Filled"]
    assert desk.size() == 3


def test_a_full_page_of_one_millisecond_in_the_midst_is_passed_over():
    desk = held()
    desk.told(*chain("BTC 5: at 95 -2@90"))
    desk.unlisted(92, 92, FULL)

    assert cause(desk) == FULL


def test_windows_that_are_gone_join_up_with_what_was_fetched():
    desk = held()
    desk.unlisted(70, 85, HORIZON)
    desk.unlisted(85.001, 92, FULL)

    assert cause(desk, fetched=92) == FULL


@pytest.mark.parametrize("fetched", [86, 81])
def test_what_is_neither_fetched_nor_gone_keeps_the_doubt_open(fetched):
    desk = held()
    desk.unlisted(82, 84.9, HORIZON)
    desk.stated("BTC long 3 @ 100", at=100)

    assert kinds(desk.stated("BTC long 3 @ 100", at=110, fetched=fetched)) == ["Doubt"]


def test_what_went_missing_long_ago_is_no_cause_of_today():
    desk = held()
    desk.unlisted(10, 20, HORIZON)

    assert cause(desk) == "no fill explains it"


def test_what_befell_is_news_once_and_only_the_newest_is_kept():
    desk = book_of("")
    assert desk.befell("transfer", "deposit of 1 USDC", at=1)
    assert not desk.befell("transfer", "deposit of 1 USDC", at=1)
    assert desk.unlisted(1, 2, HORIZON)
    assert not desk.unlisted(1, 2, HORIZON)
    for at in range(2, KEPT_EVENTS + 2):
        desk.befell("transfer", "deposit of 1 USDC", at=at)

    assert desk.befell("transfer", "deposit of 1 USDC", at=1)


def test_what_befalls_a_stranger_is_nothing_to_the_book():
    book = Book(["main"])

    assert not book.record_event(AccountEvent("other", ms(1), AccountEventKind.TRANSFER, "?"))
    assert not book.unlist(Unlisted("other", ms(1), ms(2), "?"))


# ------------------------------------------------------------------ liquidations


def happened(*coins: str, at: float = 95) -> AccountEvent:
    return AccountEvent(
        ACCOUNT, ms(at), AccountEventKind.LIQUIDATION, ", ".join(coins), tuple(map(key, coins))
    )


def test_a_liquidation_is_news_once_of_a_position_and_a_time():
    book = held("BTC long 1 @ 100, ETH short 2 @ 10").book
    [fill] = chain("BTC 1: at 95 -1@90")
    fill = replace(fill, cause=FillCause.LIQUIDATION, liquidation="market")

    assert book.liquidated(happened("BTC"), fill) == [
        Liquidated(ACCOUNT, key("BTC"), ms(95), "market", fill.order_id)
    ]
    assert book.record_event(happened("BTC"))
    assert book.liquidated(happened("BTC"), fill) == []

    of_ledger = happened("BTC", "ETH")  # what the ledger tells of both: one of them is known by its fill
    assert book.liquidated(of_ledger) == [Liquidated(ACCOUNT, key("ETH"), ms(95), None, None)]
    assert book.record_event(of_ledger)
    assert book.liquidated(happened("ETH")) == []
    assert len(book.liquidated(happened("BTC", at=96))) == 1


def test_a_transfer_at_the_time_of_a_liquidation_does_not_hide_it():
    desk = held()
    desk.befell("transfer", "send of 5 USDC", "BTC", at=95)

    assert len(desk.book.liquidated(happened("BTC"))) == 1


def test_a_liquidation_of_what_was_never_held_or_of_another_account_is_no_news_of_a_position():
    book = held().book

    assert book.liquidated(happened("SOL", "xyz:TSLA")) == []
    assert book.liquidated(replace(happened("BTC"), account="other")) == []

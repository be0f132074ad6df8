"""An account as a whole: its money and when it is known, notices, what it holds elsewhere, unread rows."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    AccountRole,
    FeedState,
    Movement,
    Notice,
    NoticeCode,
    Place,
    PlaceRead,
    Statement,
)
from hlposmon.domain.verdict import Age, Freshness
from tests.domain.language import ACCOUNT, FRESH, Desk, book_of, fill, key, ms, statement

AGENT = Notice(ACCOUNT, NoticeCode.AGENT_ADDRESS, "an agent's address", "reconcile")


def test_an_account_is_shown_with_its_money():
    desk = Desk()
    assert desk.book.account(ACCOUNT).equity is None
    assert desk.book.account(ACCOUNT).reason == "not judged yet"
    desk.stated("")
    desk.book.set_freshness(ACCOUNT, Freshness(Age(0, 1), Age(None, 1), Age(0, 1)))
    desk.book.judge()
    account = desk.book.account(ACCOUNT)

    assert (account.equity, account.margin_used, account.withdrawable) == (1000, 10, 900)
    assert (account.verdict, account.mode, account.equity_reason) == ("proven", "default", None)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (None, "not known yet how its balances are kept"),
        (AccountMode(ACCOUNT, "unifiedAccount", plain=False, reason="kept in spot"), "kept in spot"),
        (AccountMode(ACCOUNT, None, plain=False, reason="refused"), "refused"),
    ],
)
def test_money_of_an_account_that_is_not_known_to_be_plain_is_none_and_says_why(mode, reason):
    desk = Desk(plain=False)
    desk.stated("BTC long 1 @ 100")
    if mode is not None:
        desk.book.mode(mode)
    account = desk.book.account(ACCOUNT)

    assert (account.equity, account.margin_used, account.withdrawable) == (None, None, None)
    assert reason in account.equity_reason
    assert desk.size("BTC") == 1


def test_an_equity_that_falls_to_zero_is_not_shown_until_the_mode_is_known_anew():
    """A change of mode moves all money to where this state does not show it."""
    desk = Desk()
    desk.stated("", at=0)
    desk.book.reconcile(replace(statement("", at=5), equity=ZERO))
    assert desk.book.modes_in_doubt() == [ACCOUNT]
    assert desk.book.modes_in_doubt() == [ACCOUNT]
    assert desk.book.account(ACCOUNT).equity is None
    assert "asked again" in desk.book.account(ACCOUNT).equity_reason

    desk.book.mode(AccountMode(ACCOUNT, "default", plain=True))
    assert desk.book.modes_in_doubt() == []
    assert desk.book.account(ACCOUNT).equity == 0
    desk.book.reconcile(replace(statement("", at=10), equity=ZERO))
    assert desk.book.modes_in_doubt() == []


def test_a_notice_is_kept_until_its_source_ends_it_or_begins_anew():
    desk = Desk()
    assert desk.book.notice(AGENT)
    assert not desk.book.notice(AGENT)
    assert desk.book.account(ACCOUNT).notices == (AGENT,)
    assert desk.book.account(ACCOUNT).severe == (AGENT,)

    assert desk.book.notice(replace(AGENT, text="another agent's"))
    assert desk.book.notice(replace(AGENT, text=""))
    assert not desk.book.notice(replace(AGENT, text=""))
    assert desk.book.account(ACCOUNT).notices == ()

    desk.book.notice(AGENT)
    desk.book.forget_notices("fill")
    assert desk.book.account(ACCOUNT).notices == (AGENT,)
    desk.book.forget_notices("reconcile")
    assert desk.book.account(ACCOUNT).notices == ()


def test_a_dex_that_could_not_be_read_is_named_until_it_can():
    desk = Desk()
    assert desk.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ("xyz",)))
    [notice] = desk.book.account(ACCOUNT).severe
    assert notice.text == "what it holds on the dex xyz is not known: its state could not be read"
    assert desk.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ()))
    assert desk.book.account(ACCOUNT).notices == ()


def test_an_account_is_settled_once_all_places_were_looked_at():
    desk = Desk(plain=False)
    desk.stated("BTC long 1 @ 100")
    assert desk.book.account(ACCOUNT).unsettled == "not looked yet at what else it holds (dexes, spot)"
    desk.book.place_read(PlaceRead(ACCOUNT, Place.SPOT, ()))
    assert desk.book.account(ACCOUNT).unsettled == "not looked yet at what else it holds (dexes)"
    desk.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ()))
    assert desk.book.account(ACCOUNT).unsettled is None


def test_an_account_that_holds_nothing_is_settled_once_its_role_is_known():
    """An unknown address answers like an account that is flat."""
    desk = Desk()
    desk.book.reconcile(replace(statement(""), equity=ZERO))
    desk.book.place_read(PlaceRead(ACCOUNT, Place.SPOT, ()))
    desk.book.place_read(PlaceRead(ACCOUNT, Place.DEXES, ()))
    assert "knows its address" in desk.book.account(ACCOUNT).unsettled

    desk.book.role(AccountRole(ACCOUNT, "subAccount", "0xabc"))
    account = desk.book.account(ACCOUNT)
    assert (account.unsettled, account.role, account.owner) == (None, "subAccount", "0xabc")


def test_modes_and_roles_that_are_known_can_be_told_to_workers():
    desk = Desk()
    desk.book.mode(AccountMode(ACCOUNT, None, plain=False, reason="null"))
    desk.book.role(AccountRole(ACCOUNT, None))
    assert (desk.book.modes(), desk.book.roles()) == ({}, {})
    desk.book.mode(AccountMode(ACCOUNT, "disabled", plain=True))
    desk.book.role(AccountRole(ACCOUNT, "user"))
    assert (desk.book.modes(), desk.book.roles()) == ({ACCOUNT: "disabled"}, {ACCOUNT: ("user", None)})


def unread(text: str, *coins: str, at: float) -> Statement:
    """A statement with rows of these coins that could not be read."""
    return replace(statement(text, at=at), unread={key(coin): "szi: not a plain decimal" for coin in coins})


def test_a_row_that_could_not_be_read_says_nothing_of_its_coin_and_the_others_count():
    desk = book_of("BTC long 1 @ 100, ETH long 2 @ 10")
    desk.book.reconcile(unread("ETH long 2 @ 10", "BTC", at=5))

    assert desk.judged("ETH") == ("proven", None)
    verdict, reason = desk.judged("BTC")
    assert verdict == "unproven" and "could not be read: szi" in reason
    assert desk.size("BTC") == 1
    desk.stated("BTC long 1 @ 100, ETH long 2 @ 10", at=10)
    assert desk.judged("BTC") == ("proven", None)


def test_a_row_that_could_not_be_read_in_the_first_statement_is_no_flat_coin():
    desk = Desk()
    desk.book.reconcile(unread("ETH long 2 @ 10", "BTC", at=0))
    desk.told(fill("tid=1 buy 1 BTC @ 100 from 3 at 1"))
    assert desk.size("ETH") == 2
    account = desk.judged_account()
    assert account[0] == "unproven" and "BTC" in account[1]

    desk.stated("ETH long 2 @ 10, BTC long 4 @ 100", at=5)
    assert desk.size("BTC") == 4
    assert desk.judged_account() == ("proven", None)


@pytest.mark.parametrize("role", ["missing", "agent"])
def test_an_address_without_an_account_has_no_equity_and_not_zero(role):
    desk = Desk()
    desk.book.reconcile(replace(statement(""), equity=ZERO))
    desk.book.role(AccountRole(ACCOUNT, role))
    account = desk.book.account(ACCOUNT)

    assert (account.equity, account.equity_reason) == (None, "the venue has no account at this address")


def test_of_a_feed_that_is_wanted_no_more_nothing_counts():
    desk = Desk()
    desk.book.feed(FeedState(ACCOUNT, "fill-2", True, 1.0))
    desk.book.feed(FeedState(ACCOUNT, "first", False, 2.0, "lost"))
    desk.book.notice(Notice(ACCOUNT, NoticeCode.FEED_REFUSED, "too many users", "fill-2"))
    assert desk.book.is_live(ACCOUNT)
    desk.book.forget_feeds({"fill-2"})

    assert not desk.book.is_live(ACCOUNT)
    assert desk.book.account(ACCOUNT).notices == ()


def test_what_was_never_read_is_no_position_and_makes_the_account_partly_unread():
    desk = Desk()
    desk.book.reconcile(unread("ETH long 2 @ 10", "BTC", at=0))
    assert desk.book.is_partly_unread(ACCOUNT)
    assert [view.key for view in desk.book.views(ACCOUNT)] == [key("ETH")]

    desk.stated("ETH long 2 @ 10, BTC long 4 @ 100", at=5)
    assert not desk.book.is_partly_unread(ACCOUNT)


def test_a_gap_is_told_of_its_account():
    desk = book_of("BTC long 1 @ 100")
    assert not desk.book.has_gap(ACCOUNT)
    desk.told(fill("tid=2 buy 1 BTC @ 100 from 5 at 1"))

    assert desk.book.has_gap(ACCOUNT)


def test_an_account_that_was_stated_without_a_live_feed_is_not_whole_from_there_on():
    """What comes in before a feed is live does not make the time before it whole."""
    desk = Desk(live=False)
    desk.stated("BTC long 1 @ 100", at=0)
    desk.told(fill("tid=1 buy 1 BTC @ 100 from 1 at 60"))
    assert desk.book.high_water_ms(ACCOUNT) == ms(0)

    desk.book.feed(FeedState(ACCOUNT, "first", True, 100.0))
    assert desk.book.high_water_ms(ACCOUNT) == ms(60)


def test_a_book_that_is_taken_up_again_is_not_whole_until_a_feed_is_live():
    desk = book_of("BTC long 1 @ 100")
    desk.told(fill("tid=1 buy 1 BTC @ 100 from 1 at 10"))
    again = desk.restarted(live=False)
    again.told(fill("tid=2 buy 1 BTC @ 100 from 2 at 60"))

    assert again.size("BTC") == 3
    assert again.book.high_water_ms(ACCOUNT) <= ms(10)


# --------------------------------------------------------------------- cash


def cash_desk():
    """An account whose first dex is proven, with 1000 USD."""
    desk = Desk()
    for at in (0, 1):
        compared(desk, at, "1000")
    return desk


def compared(desk, at, equity, **more):
    """A statement of that equity, judged and compared; the point that is to be journalled."""
    said = replace(statement("", at=at), equity=Decimal(equity), **more)
    desk.book.reconcile(said)
    desk.book.set_freshness(ACCOUNT, FRESH)
    desk.book.judge()
    return desk.book.compare_cash(said)


def transfer(amount, at, scope=""):
    moves = (Movement(scope, "USDC", Decimal(amount)),)
    return AccountEvent(ACCOUNT, ms(at), AccountEventKind.TRANSFER, "", (), "deposit", moves, f"0x{at}")


def test_what_is_unexplained_is_known_once_two_statements_agree():
    desk = Desk()
    assert "no statement" in desk.book.account(ACCOUNT).unexplained_reason
    compared(desk, 0, "1000")
    view = desk.book.account(ACCOUNT)
    assert view.unexplained is None
    assert "cash of the first dex has not been compared" in view.unexplained_reason
    compared(desk, 1, "1000")
    view = desk.book.account(ACCOUNT)
    assert (view.unexplained, view.unexplained_reason) == (0, None)


def test_money_that_comes_with_a_transfer_is_explained_and_other_money_is_not():
    desk = cash_desk()
    assert desk.book.take_transfer(transfer("50", 9))
    compared(desk, 10, "1050")
    assert desk.book.account(ACCOUNT).unexplained == 0
    compared(desk, 20, "1060")
    assert desk.book.odd_cash_since_ms(ACCOUNT, "") == ms(10)
    compared(desk, 30, "1060")
    assert desk.book.odd_cash_since_ms(ACCOUNT, "") is None
    assert desk.book.account(ACCOUNT).unexplained == 10


def test_nothing_is_compared_while_fills_may_be_missing_or_a_row_is_unread_or_the_mode_says_little():
    desk = cash_desk()
    compared(desk, 10, "1500", unread={key("BTC"): "odd"})
    desk.stated("", at=11)
    desk.told(fill("tid=9 sell 1 BTC @ 100 from 5 at 12"))
    compared(desk, 13, "1500")
    assert desk.book.odd_cash_since_ms(ACCOUNT, "") is None
    desk.book.mode(AccountMode(ACCOUNT, "unifiedAccount", plain=False, reason="kept in spot"))
    compared(desk, 60, "1500")
    view = desk.book.account(ACCOUNT)
    assert (view.unexplained, view.unexplained_reason) == (None, "kept in spot")


def test_a_transfer_of_an_account_that_is_not_watched_is_no_news():
    assert not Desk().book.take_transfer(replace(transfer("1", 1), account="other"))


def test_a_dex_that_held_nothing_before_opens_with_nothing():
    desk = cash_desk()
    nothing = Statement(ACCOUNT, "", ms(1), 1.0, (), equity=ZERO, margin_used=ZERO, withdrawable=ZERO)
    desk.book.note_nothing_else(nothing)
    desk.book.take_transfer(transfer("30", 5, "xyz"))
    said = replace(statement("", at=6), equity=Decimal(30), scope="xyz")
    desk.book.reconcile(said)
    desk.book.set_freshness(ACCOUNT, FRESH, "xyz")
    desk.book.judge()
    point = desk.book.compare_cash(said)
    assert (point.opening, point.terms.transfers, point.unexplained) == (0, 30, 0)


def test_what_is_compared_goes_on_after_a_restart():
    desk = cash_desk()
    desk.book.take_transfer(transfer("50", 9))
    memories = desk.book.cash_memories()
    again = Desk()
    again.book.recall(desk.book.memories(), desk.book.base_ms(), None, memories)
    assert again.book.cash_memories() == memories
    assert not again.book.take_transfer(transfer("50", 9))


def test_an_opening_is_not_taken_from_a_statement_of_another_entry_price():
    """A round trip is missing that has left the size as it was: shortly after a fill that is no doubt yet."""
    desk = Desk()
    desk.stated("", at=0)
    desk.heard(fill("tid=1 buy 1 BTC @ 100 at 20"))
    for at in (21, 22, 23):
        assert compared_of(desk, "BTC long 1 @ 101 mark 100", at, "1000") is None
    assert desk.book.account(ACCOUNT).verdict == "proven"
    assert desk.book.account(ACCOUNT).unexplained is None
    compared_of(desk, "BTC long 1 @ 100 mark 100", 24, "1000")
    compared_of(desk, "BTC long 1 @ 100 mark 100", 35, "1000")
    assert desk.book.account(ACCOUNT).unexplained == 0


def test_what_fills_and_payments_earned_explains_the_cash_and_positions_of_other_sizes_are_passed_over():
    desk = Desk()
    desk.stated("BTC long 1 @ 100 mark 100", at=0)
    for at in (1, 2):
        compared_of(desk, "BTC long 1 @ 100 mark 100", at, "1000")
    desk.book.note_booked(desk.heard(fill("tid=1 sell 1 BTC @ 130 from 1 at 20 fee 2")))
    desk.book.note_booked(desk.funded("BTC", "-3", at=21))
    compared_of(desk, "BTC long 1 @ 100 mark 100", 24, "1000")  # of before the fill
    compared_of(desk, "", 34, "1025")
    assert desk.book.odd_cash_since_ms(ACCOUNT, "") is None
    assert desk.book.account(ACCOUNT).unexplained == 0


def test_what_was_noted_of_an_account_that_is_watched_no_more_is_not_booked():
    desk = cash_desk()
    desk.book.note_booked(desk.stated("ETH long 1 @ 100", at=5))  # no fill, and no payment
    desk.book.note_booked(desk.told(fill("tid=1 buy 1 BTC @ 100 at 20")))
    desk.book.watch(["other"])
    assert desk.book.cash_memories().keys() == {"other"}


def compared_of(desk, held, at, equity):
    said = replace(statement(held, at=at), equity=Decimal(equity), pushed=True)
    desk.book.reconcile(said)
    desk.book.set_freshness(ACCOUNT, FRESH)
    desk.book.judge()
    return desk.book.compare_cash(said)


def test_after_a_restart_statements_of_before_it_are_not_compared():
    """What was booked in their last seconds is not known one by one any more."""
    desk = cash_desk()
    again = Desk()
    again.book.recall(desk.book.memories(), desk.book.base_ms(), None, desk.book.cash_memories())
    for at in (3, 9):
        compared(again, at, "900")
        assert again.book.odd_cash_since_ms(ACCOUNT, "") is None
    compared(again, 11, "900")
    assert again.book.odd_cash_since_ms(ACCOUNT, "") == ms(1)


def test_an_event_from_long_before_the_watch_is_the_cause_of_nothing():
    desk = cash_desk()
    assert desk.book.record_event(transfer("1", 5))
    assert not desk.book.record_event(transfer("1", 5))
    assert not desk.book.record_event(transfer("1", -61))

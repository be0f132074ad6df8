"""The cash of a dex: what statements say must follow from what was booked, whatever was told first."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.cash import (
    REMEMBERED_TRANSFERS,
    CashLedger,
    CashMemory,
    LedgerMemory,
    Pocket,
    Terms,
)
from hlposmon.domain.changes import Filled, Funded, Gap
from hlposmon.domain.position import Position
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    Funding,
    Movement,
    StatedPosition,
    Statement,
)
from tests.domain.language import ACCOUNT, fill, key, ms

D = Decimal


def says(equity, at, *positions, pushed=False):
    """A statement of the first dex at a second."""
    return Statement(
        ACCOUNT, "hyperliquid", ms(at), float(at), tuple(positions), equity=D(equity), pushed=pushed
    )


def held(size, entry, mark):
    return StatedPosition(key("BTC"), D(size), D(entry), None if mark is None else D(mark))


class Told:
    """A pocket, and what was booked of it so far."""

    def __init__(self):
        self.pocket = Pocket(ACCOUNT, "")
        self.booked = Terms()

    def fee(self, amount, at):
        self.booked = replace(self.booked, fees=self.booked.fees + D(amount))
        self.pocket.book(ms(at), -D(amount))

    def realized(self, amount, at):
        self.booked = replace(self.booked, realized=self.booked.realized + D(amount))
        self.pocket.book(ms(at), D(amount))

    def transfer(self, amount, at):
        self.pocket.transfers += D(amount)
        self.pocket.book(ms(at), D(amount))

    def stated(self, *statement, **more):
        return self.pocket.compare(says(*statement, **more), self.booked)

    @property
    def unexplained(self):
        return self.pocket.unexplained


def opened(equity="1000"):
    told = Told()
    assert told.stated(equity, 0) is None
    assert told.stated(equity, 1) is not None
    return told


def test_the_opening_is_what_two_statements_agree_on():
    told = Told()
    told.stated("1000", 0)
    assert told.pocket.opening is None
    told.stated("1200", 1)
    assert told.pocket.opening is None
    point = told.stated("1200", 2)

    assert (told.pocket.opening, point.opening, point.unexplained) == (1200, 1200, 0)


def test_a_statement_of_other_entry_prices_is_no_opening():
    told = Told()
    told.stated("1000", 0)
    assert told.pocket.compare(says("1000", 1), told.booked, may_open=False) is None
    told.stated("1000", 2)
    assert told.pocket.opening is None
    told.stated("1000", 3)
    assert told.pocket.opening == 1000


def test_a_mark_that_moves_explains_itself():
    told = Told()
    told.stated("1000", 0, held("2", "100", "100"))
    told.stated("1050", 1, held("2", "100", "125"))
    point = told.stated("800", 70, held("-2", "100", "200"))

    assert told.pocket.opening == 1000
    assert (told.unexplained, point) == (0, None)
    point = told.stated("990", 3700, held("-2", "100", "105"))
    assert (point.equity, point.unrealized, point.unexplained) == (990, -10, 0)


def test_what_was_booked_explains_the_rest():
    told = opened()
    told.fee("0.50", 10)
    told.realized("20", 11)
    told.transfer("-300", 12)
    point = told.stated("719.50", 100)

    assert point.terms == Terms(realized=D(20), fees=D("0.50"), transfers=D(-300))
    assert point.opening + point.terms.total + point.unexplained + point.unrealized == point.equity


def test_a_statement_that_is_some_seconds_old_agrees_with_what_was_booked_before():
    told = opened()
    told.fee("0.50", 20)
    told.fee("0.25", 21)
    told.stated("1000", 22)
    assert not told.pocket.is_odd
    told.stated("999.50", 24)
    assert not told.pocket.is_odd
    told.stated("999.25", 26)
    assert (told.pocket.is_odd, told.unexplained) == (False, 0)


def test_a_statement_that_holds_a_booking_that_is_told_later_is_odd_for_a_moment():
    told = opened()
    told.stated("900", 20)
    assert (told.pocket.is_odd, told.unexplained) == (True, 0)
    told.transfer("-100", 19)
    told.stated("900", 21)
    assert (told.pocket.is_odd, told.unexplained) == (False, 0)


def test_money_that_nothing_explains_is_shown_after_a_second_look_and_until_it_is_explained():
    told = opened()
    told.stated("1100", 20)
    told.stated("1100", 24)
    assert told.unexplained == 0
    point = told.stated("1100", 25)
    assert (told.unexplained, point.unexplained, told.pocket.is_odd) == (100, 100, False)

    told.transfer("100", 19)
    told.stated("1100", 40)
    point = told.stated("1100", 46)
    assert (told.unexplained, point.unexplained, point.terms.transfers) == (0, 0, 100)


@pytest.mark.parametrize("off", ["0.0049", "-0.005"])
def test_less_than_half_a_cent_is_no_difference(off):
    told = opened()
    for at in (10, 20, 30):
        told.stated(str(D(1000) + D(off)), at)
    assert (told.pocket.is_odd, told.unexplained) == (False, 0)


def test_that_all_is_explained_comes_before_what_was_not_explained_before():
    told = opened()
    told.stated("1100", 20)
    told.stated("1100", 26)
    assert told.unexplained == 100
    told.fee("30", 40)
    told.transfer("100", 41)
    for at in (42, 48):  # a cut between the two leaves 100, too
        told.stated("1070", at)
    assert told.unexplained == 0


def test_of_a_difference_that_shrinks_below_half_a_cent_nothing_is_left():
    told = opened()
    told.stated("1100", 20)
    told.stated("1100", 26)
    assert told.unexplained == 100
    told.stated("1000.004", 40)
    told.stated("1000.004", 46)
    assert told.unexplained == 0


def test_pushes_are_compared_every_few_seconds_and_each_of_them_while_one_is_odd():
    told = opened()
    told.stated("1100", 20)
    told.stated("1000", 21)  # it was a mistake of that statement
    told.stated("1100", 22, pushed=True)  # too soon after the last one
    assert not told.pocket.is_odd
    told.stated("1100", 26, pushed=True)
    assert told.pocket.is_odd
    told.stated("1000", 27, pushed=True)
    assert not told.pocket.is_odd


def test_a_statement_without_equity_says_nothing():
    told = opened()
    assert told.pocket.compare(replace(says("0", 50), equity=None), told.booked) is None
    assert told.pocket.as_of_ms == ms(1)


def test_points_are_hourly_or_after_a_minute_in_which_something_was_booked():
    told = opened()
    assert told.stated("1000", 3000) is None
    assert told.stated("1000", 3601) is not None
    told.fee("1", 3602)
    assert told.stated("999", 3610) is None
    assert told.stated("999", 3661) is not None
    assert told.stated("999", 3800) is None


def test_a_booking_from_long_before_the_opening_was_in_it():
    told = opened()
    told.fee("5", -100)
    told.stated("1000", 20)
    assert (told.pocket.opening, told.pocket.is_odd) == (1005, False)


def test_a_booking_from_shortly_before_the_opening_has_it_looked_for_again():
    """It may be in the cash already or not: only further statements can tell."""
    told = opened()
    told.fee("5", -2)
    assert told.pocket.opening is None
    told.stated("1000", 2)
    told.stated("1000", 3)
    assert told.pocket.opening is None  # 1000 or 1005: they may be of before it
    told.stated("1000", 9)
    assert (told.pocket.opening, told.unexplained) == (1005, 0)


def test_a_booking_that_is_told_behind_a_statement_may_be_in_it():
    told = Told()
    told.stated("900", 0)
    told.transfer("-100", -1)
    told.stated("900", 1)
    assert told.pocket.opening is None
    told.stated("900", 10)
    assert (told.pocket.opening, told.unexplained) == (1000, 0)


def test_after_a_fill_that_was_woven_in_late_nothing_is_compared_until_it_is_old():
    told = opened()
    told.pocket.book(ms(20), D("-0.5"))
    told.pocket.book(ms(18), D("3"), late=True)
    told.stated("900", 29)
    assert not told.pocket.is_odd
    told.stated("900", 31)
    assert told.pocket.is_odd


def test_of_very_large_amounts_the_exchange_prints_no_cents():
    told = opened("1000000000000000")
    told.stated("999999999999999.5", 20)
    assert (told.pocket.is_odd, told.unexplained) == (False, 0)


def test_bookings_are_kept_for_a_minute():
    told = opened()
    for at in range(100, 400, 20):
        told.fee("1", at)
    assert [at for at, _ in told.pocket.recent] == [ms(at) for at in (320, 340, 360, 380)]


# ------------------------------------------------------------------ an account's


def deposit(amount, at, scope="", name="0x1", token="USDC"):
    moves = (Movement(scope, token, D(amount)),)
    return AccountEvent(ACCOUNT, ms(at), AccountEventKind.TRANSFER, "deposit", (), "deposit", moves, name)


def ledger():
    found = CashLedger(ACCOUNT)
    found.begin(ms(0))
    return found


def test_a_transfer_is_booked_once_on_its_dex_and_on_spot_it_moves_no_cash():
    one = ledger()
    assert one.take(deposit("100", 5))
    assert not one.take(deposit("100", 5))
    assert one.take(deposit("100", 5, name="0x2"))
    assert one.take(deposit("40", 6, "xyz"))
    assert one.take(deposit("7", 7, "spot"))

    assert {name: pocket.transfers for name, pocket in one.pockets.items()} == {"": 200, "xyz": 40}


def test_a_dex_that_held_nothing_opens_with_nothing():
    one = ledger()
    pocket = one.pocket("xyz", ms(0))
    assert (pocket.opening, pocket.since_ms) == (0, ms(0))
    assert one.pocket("xyz", ms(9)) is pocket


def test_transfers_from_before_the_watch_are_not_booked():
    one = CashLedger(ACCOUNT)
    assert not one.take(deposit("100", 5))
    one.begin(ms(20))
    one.begin(ms(50))
    assert not one.take(deposit("100", 10))
    assert one.take(deposit("100", 11))


def test_of_very_many_transfers_the_oldest_count_as_known():
    one = ledger()
    for at in range(1, REMEMBERED_TRANSFERS + 3):
        assert one.take(deposit("1", at))
    assert (one.floor_ms, len(one.seen)) == (ms(2), REMEMBERED_TRANSFERS)
    assert not one.take(deposit("1", 1))
    assert not one.take(deposit("1", 3))


def test_fills_and_payments_are_booked_by_what_they_changed():
    one = ledger()
    first, second = fill("tid=1 buy 1 BTC @ 100 at 1 fee 0.5"), fill("tid=2 sell 1 BTC @ 130 from 1 at 2")
    after = Position().after(first)[0]
    one.note(Filled(first, None, after), "")
    closed = after.after(second)[0]
    one.note(Filled(second, None, closed), "")
    paid = Funding(ACCOUNT, key("BTC"), ms(3), D(-2), ZERO, ZERO)
    one.note(Funded(paid, closed.funded(D(-2))), "")
    one.note(Gap(ACCOUNT, key("BTC"), ZERO, ZERO, 0, 0), "")

    assert [amount for _, amount in one.pockets[""].recent] == [D("-0.5"), 30, -2]


def test_what_was_compared_is_forgotten_when_the_money_is_kept_elsewhere():
    one = ledger()
    one.take(deposit("1", 1))
    one.forget()
    assert one.pockets == {}


def test_what_is_remembered_goes_on_as_if_nothing_had_happened():
    one = ledger()
    pocket = one.pocket("")
    pocket.compare(says("1000", 0), Terms())
    pocket.compare(says("1000", 1), Terms())
    one.take(deposit("100", 5))
    one.pocket("xyz")  # not opened yet: there is nothing to remember
    memory = one.memory()
    assert memory.dexes == {"": CashMemory(D(1000), ms(1), D(100), ZERO, ms(1))}

    again = CashLedger(ACCOUNT)
    held_now = Position(realized=D(7), fees=D(2))
    again.recall(memory, {key("BTC"): held_now})
    assert again.memory() == memory
    again.note(Filled(fill("buy 1 BTC @ 100 at 9"), None, replace(held_now, fees=D(3))), "")
    again.pocket("").compare(says("1104", 20), Terms(realized=D(7), fees=D(3)))
    assert (again.pocket("").is_odd, again.pocket("").unexplained) == (False, 0)


def test_a_memory_books_each_transfer_of_a_journal_once():
    memory = LedgerMemory({"": CashMemory(D(1000), ms(1), ZERO, ZERO, ms(1))}, floor_ms=ms(0))
    moves = [("", D(5)), ("spot", D(-5))]
    once = memory.with_transfer((ms(2), "a"), moves)

    assert once.dexes[""].transfers == 5
    assert once.with_transfer((ms(2), "a"), moves) == once
    assert memory.with_transfer((ms(0), "b"), moves) == memory

"""The terms of an account's equity between two times, from the points that the history has."""

from decimal import Decimal

import pytest

from hlposmon.history.ledger import LedgerPoint, point_of, spans, transfer_of

D = Decimal


def point(time_ms, equity, *, scope="", since_ms=0, account="main", **terms):
    amounts = {name: D(terms.get(name, "0")) for name in TERMS}
    return LedgerPoint(account, scope, "USDC", time_ms, since_ms, D(equity), **amounts)


TERMS = ("unrealized_pnl", "realized_pnl", "fees", "funding", "transfers")


def test_the_terms_between_two_points_add_up_to_the_change_of_equity():
    first = point(10, "1000", fees="3", unrealized_pnl="50")
    last = point(90, "1107", realized_pnl="20", fees="4", funding="-2", transfers="100", unrealized_pnl="40")
    [span] = spans([first, last], None)

    assert (span.first, span.last) == (first, last)
    assert (span.realized_pnl, span.fees, span.funding, span.transfers) == (20, 1, -2, 100)
    assert (span.change, span.unrealized_pnl, span.unexplained) == (107, -10, 0)


def test_what_is_left_of_the_change_is_unexplained():
    [span] = spans([point(10, "1000"), point(20, "1000"), point(30, "987.66", fees="0.01")], None)
    assert span.unexplained == D("-12.33")


@pytest.mark.parametrize(("since_ms", "from_ms"), [(None, 10), (5, 10), (10, 10), (25, 20), (99, 30)])
def test_a_span_begins_with_the_newest_point_at_or_before_its_time_or_with_the_first(since_ms, from_ms):
    points = [point(10, "1"), point(20, "2"), point(30, "3")]
    [span] = spans(points, since_ms)
    assert (span.first.time_ms, span.last.time_ms) == (from_ms, 30)


def test_a_span_begins_anew_where_the_sums_do():
    """The exchange kept the money elsewhere for a while."""
    [span] = spans(
        [point(10, "1", transfers="5"), point(20, "7", since_ms=15), point(30, "8", since_ms=15)], 0
    )
    assert (span.first.time_ms, span.change) == (20, 1)


def test_each_dex_of_each_account_has_a_span_of_its_own():
    points = [point(1, "1", scope="xyz"), point(2, "2"), point(3, "3", account="hedge")]
    assert [(one.last.account, one.last.scope) for one in spans(points, None)] == [
        ("hedge", ""), ("main", ""), ("main", "xyz")
    ]  # fmt: skip


ROW = ("main", "", None, 20, 10, "1000.5", "0", "1", "2", "-3", "4")


def test_a_row_is_read_with_all_digits():
    read = point_of(ROW)
    assert (read.quote, read.time_ms, read.since_ms) == (None, 20, 10)
    assert (read.equity, read.realized_pnl, read.funding) == (D("1000.5"), 1, -3)


@pytest.mark.parametrize("odd", [5, None, "NaN", "x", 1.5])
def test_a_row_with_an_amount_that_is_none_is_refused(odd):
    with pytest.raises((ValueError, ArithmeticError)):
        point_of((*ROW[:5], odd, *ROW[6:]))


def test_a_transfer_is_read_with_what_it_moved():
    moves = '[{"scope":"","token":"USDC","amount":"-5"},{"scope":"spot","token":"USDC","amount":"5"}]'
    read = transfer_of((7, "main", 20, "accountClassTransfer", "text", moves, "0x1"))
    assert read.moves == (("", "USDC", D(-5)), ("spot", "USDC", D(5)))
    with pytest.raises(ValueError, match="amount"):
        transfer_of((7, "main", 20, "send", "", '[{"scope":"","token":"A","amount":1.5}]', ""))

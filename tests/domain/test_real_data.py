"""The chain law and the book held against fills and statements of Hyperliquid's real servers.

They are read by the product's decoders; where they are found is said in `tests/captures.py`. The arithmetic
of the statements themselves stands in `tests/wire/test_real_answers.py`.
"""

import random
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from hlposmon.domain.amounts import ZERO, amount, exactly
from hlposmon.domain.book import Book
from hlposmon.domain.chain import is_counter_leg, segments
from hlposmon.domain.changes import Doubt, Drift, Filled, Funded, Gap
from hlposmon.domain.instrument import market_of
from hlposmon.domain.position import Position
from hlposmon.domain.reports import AccountMode, FeedState, Fill, Fills, Side, StatedPosition, Statement
from hlposmon.venues.hyperliquid import payloads
from hlposmon.venues.hyperliquid.client import PLAIN_MODES
from hlposmon.workers.price import marks_of
from tests.captures import answered, captured, needs_captures
from tests.domain.language import ACCOUNT, Desk, key, kinds
from tests.venues.hyperliquid.payloads import US, printed

pytestmark = needs_captures

GATEWAY = "hyperliquid-agent-gateway"


def read(rows) -> list[Fill]:
    found = payloads.fills(rows, ACCOUNT, US)
    assert found.unread == []
    return found.fills


def of_first_dex(fills: list[Fill]) -> list[Fill]:
    return [one for one in fills if not market_of(one.key)]


def by_coin(fills: list[Fill]) -> list[list[Fill]]:
    coins: dict[str, list[Fill]] = {}
    for one in fills:
        coins.setdefault(one.key, []).append(one)
    return list(coins.values())


def links(fills: list[Fill]) -> tuple[int, int]:
    """How many fills start where the one before them of their coin ended, and of how many."""
    pairs = [pair for coin in by_coin(fills) for pair in pairwise(coin)]
    return sum(after.start_position == before.end_position for before, after in pairs), len(pairs)


def oldest_first(page: list[Fill]) -> list[Fill]:
    return sorted(page, key=lambda one: one.time_ms)


# ------------------------------------------------------------------ 2023: with self-trades


@pytest.fixture(scope="module")
def page() -> list[Fill]:
    """500 fills of one account, newest first, and in their order inside a millisecond."""
    return read(answered("hyperliquid-python-sdk/test_get_user_fills.json"))


def test_inside_a_millisecond_the_list_of_2023_stands_in_the_order_of_execution(page):
    assert links(oldest_first(page)) == (318, 485)
    assert links(page[::-1])[0] == 202


def test_with_each_self_trade_as_one_unit_all_links_hold_but_the_edge_of_the_page(page):
    trades = held = count = 0
    for coin in by_coin(oldest_first(page)):
        size, index = coin[0].start_position, 0
        units = 0
        while index < len(coin):
            one = coin[index]
            paired = index + 1 < len(coin) and is_counter_leg(coin[index + 1], one)
            if units:
                held += one.start_position == size
                count += 1
            size = one.start_position if paired else one.end_position
            trades += paired
            index += 2 if paired else 1
            units += 1
    assert (trades, held, count) == (83, 401, 402)


def test_the_chain_finds_its_way_from_any_order_of_the_page(page):
    mixed = by_coin(random.Random(1).sample(page, len(page)))
    found = {coin[0].key: sorted(len(part) for part in segments(coin)) for coin in mixed}

    # The oldest fill of SUI is the second leg of a trade whose first leg is on the next page.
    assert found.pop(key("SUI")) == [1, 241]
    assert all(len(parts) == 1 for parts in found.values())
    assert sum(sum(parts) for parts in found.values()) == 500 - 242


def test_a_book_takes_the_whole_page_without_a_gap(page):
    desk = Desk()
    desk.stated("", at=-10_000_000_000)
    firsts = [segments(coin)[-1][0] for coin in by_coin(page)]
    for one in firsts:  # a fill that brings the coin to where the page begins
        if one.start_position:
            side = Side.BUY if one.start_position > 0 else Side.SELL
            size = abs(one.start_position)
            before = {"time_ms": one.time_ms - 1, "start_position": Decimal(0), "hash": ""}
            desk.told(replace(one, side=side, size=size, **before))
    desk.said.clear()
    desk.told(*page[:-1])
    desk.told(*page[:-1])

    assert kinds(desk.said) == ["Filled"] * 499
    assert max(desk.filled().values()) == 1


# ------------------------------------------------------------------ 2026: a page, and a statement amid it


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """250 fills of one account as they were listed: newest first."""
    return captured(f"{GATEWAY}/userFills_newest_250.json")


@pytest.fixture(scope="module")
def fills(rows) -> list[Fill]:
    """Those of the first dex, oldest first: the list read backwards."""
    return of_first_dex(read(rows[::-1]))


@pytest.fixture(scope="module")
def stated() -> Statement:
    """What the account held, asked for in the midst of those fills."""
    return payloads.statement(
        captured(f"{GATEWAY}/clearinghouseState.json"), ACCOUNT, asked_s=100.0, now_ms=0
    )


def test_the_list_of_2026_read_backwards_chains_on_every_link(rows, fills):
    assert (len(rows), len(fills)) == (250, 249)  # one is of another dex
    assert links(fills) == (232, 232)
    assert (
        links(oldest_first(fills[::-1]))[0] == 157
    )  # reversed inside a millisecond too, unlike that of 2023


@pytest.mark.parametrize("order", ["as listed", "backwards", "by time alone", "mixed"])
def test_the_chain_of_2026_is_whole_from_any_order_of_the_page(fills, order):
    given = {
        "as listed": fills[::-1],
        "backwards": fills,
        "by time alone": oldest_first(fills[::-1]),
        "mixed": random.Random(1).sample(fills, len(fills)),
    }[order]

    for coin in by_coin(given):
        assert segments(coin) == [[one for one in fills if one.key == coin[0].key]]


def test_the_statement_has_the_sizes_of_the_chain_at_its_time(fills, stated):
    sizes = {one.key: one.size for one in stated.positions}
    for coin in by_coin(fills):
        before = [one for one in coin if one.time_ms <= stated.time_ms]
        at_that_time = before[-1].end_position if before else coin[0].start_position
        assert sizes[coin[0].key] == at_that_time
    assert (len(by_coin(fills)), len(sizes)) == (17, 44)
    assert len([one for one in fills if one.time_ms > stated.time_ms]) == 58


def watched() -> Book:
    book = Book([ACCOUNT])
    book.feed(FeedState(ACCOUNT, "first", True, -1000.0))
    return book


def told(book: Book, given: list[Fill]):
    return book.apply(Fills(ACCOUNT, "feed", tuple(given), from_ms=0))


def sizes_of(book: Book) -> dict[str, Decimal]:
    return {view.key: view.position.size for view in book.views() if view.position.size}


def sizes_at_the_end(fills, stated) -> dict[str, Decimal]:
    ends = {one.key: one.size for one in stated.positions}
    ends |= {coin[-1].key: coin[-1].end_position for coin in by_coin(fills)}
    return {key: size for key, size in ends.items() if size}


@pytest.mark.parametrize("count", [1, 7, 300])
@pytest.mark.parametrize("backwards", [True, False])
def test_a_book_that_begins_with_the_statement_takes_what_came_after_it_and_nothing_else(
    fills, stated, count, backwards
):
    """However the page comes: whole or in pieces, newest first or oldest first."""
    book = watched()
    book.reconcile(stated)
    given = fills[::-1] if backwards else fills
    changes = [change for at in range(0, len(given), count) for change in told(book, given[at : at + count])]
    filled = [change.fill for change in changes if isinstance(change, Filled)]

    assert sorted(one.trade_id for one in filled) == sorted(
        one.trade_id for one in fills if one.time_ms > stated.time_ms
    )
    assert sizes_of(book) == sizes_at_the_end(fills, stated)
    assert all(view.in_doubt is False for view in book.views())


def test_a_book_that_has_waited_for_its_first_statement_comes_to_the_same(fills, stated):
    book = watched()
    told(book, fills[::-1])
    changes = book.reconcile(stated)

    assert not [change for change in changes if isinstance(change, Gap | Doubt | Drift)]
    assert sizes_of(book) == sizes_at_the_end(fills, stated)


def before(held: Position, fill: Fill) -> Position:
    """The position before a fill: its cost is taken back; where all of it was closed the profit tells it."""
    size = fill.start_position
    with exactly():
        if not size:
            return Position()
        if (fill.signed_size > 0) == (size > 0):
            return Position(size, held.cost - fill.signed_size * fill.price)
        if held.size and (held.size > 0) == (size > 0):
            return Position(size, held.cost / held.size * size)
        return Position(size, size * fill.price - fill.closed_pnl)


def minutes_before(fills, stated) -> Statement:
    """What the account would have been stated a minute before the page, with entries from going backwards."""
    held = {one.key: Position(one.size, one.size * one.entry_price) for one in stated.positions}
    for one in reversed([one for one in fills if one.time_ms <= stated.time_ms]):
        held[one.key] = before(held.get(one.key, Position()), one)
    positions = [StatedPosition(key, one.size, one.entry_price) for key, one in held.items() if one.size]
    return replace(
        stated, time_ms=fills[0].time_ms - 60_000, asked_s=stated.asked_s - 900, positions=tuple(positions)
    )


def test_a_book_that_was_there_before_agrees_with_the_statement_in_sizes_and_entries(fills, stated):
    """191 fills of 17 coins later, flips among them, it differs from none of the 44 positions."""
    book = watched()
    book.reconcile(minutes_before(fills, stated))
    so_far = [one for one in fills if one.time_ms <= stated.time_ms]
    changes = told(book, so_far)

    assert kinds(changes) == ["Filled"] * 191
    assert {change.effect for change in changes} == {"added", "reduced", "flipped"}
    assert sizes_of(book) == {one.key: one.size for one in stated.positions}
    assert book.reconcile(stated) == []
    for one in stated.positions:
        ours = book.view(ACCOUNT, one.key).position.entry_price
        assert abs(ours - one.entry_price) <= one.tolerance


def test_payments_that_come_newest_first_and_twice_are_booked_once_each(stated):
    paid, _ = payloads.fundings(captured(f"{GATEWAY}/userFunding_first_250.json"), ACCOUNT)
    book = watched()
    book.reconcile(replace(stated, time_ms=paid[-1].time_ms - 3_600_000))
    changes = [change for one in [*paid, *reversed(paid)] for change in book.apply_funding(one)]
    received = {view.key: view.position.funding for view in book.views()}

    assert [type(change) for change in changes] == [Funded] * 132
    for coin, total in received.items():
        assert total == sum((one.amount for one in paid if one.key == coin), ZERO)


# ------------------------------------------------------------------ sizes that a double cannot print

FACTOR = 1_000_003  # with it all sizes are past 2**20, where doubles begin to fail


def enlarged(row: dict, names: tuple[str, ...], factor: int) -> dict:
    """A row with amounts so many times as large, printed as the servers print them."""
    return row | {name: printed(amount(row[name]) * factor) for name in names}


def dusty(rows: list[dict], factor: int = FACTOR) -> list[dict]:
    return [enlarged(row, ("sz", "startPosition"), factor) for row in rows]


def unrounded(rows: list[dict]) -> list[Fill]:
    """As they were read before amounts were rounded to what a double carries: to the last digit printed."""
    watched_rows = [row for row in rows if payloads.is_watched(row["coin"])]
    return [
        replace(one, size=amount(row["sz"]), start_position=amount(row["startPosition"]))
        for one, row in zip(read(rows), watched_rows, strict=True)
    ]


def begun(fills: list[Fill], stated: Statement) -> Book:
    """A book at the beginning of these fills."""
    firsts = [coin[0] for coin in by_coin(fills) if coin[0].start_position]
    positions = tuple(StatedPosition(one.key, one.start_position, one.price) for one in firsts)
    book = watched()
    book.reconcile(replace(stated, time_ms=fills[0].time_ms - 60_000, positions=positions))
    return book


def test_real_fills_of_large_sizes_chain_though_they_are_printed_with_noise(rows, fills, stated):
    large = of_first_dex(read(dusty(rows[::-1])))
    book = begun(large, stated)
    changes = [change for one in large for change in told(book, [one])]

    assert links(large) == (232, 232)
    assert kinds(changes) == ["Filled"] * 249
    with exactly():
        assert sizes_of(book) == {
            coin[-1].key: coin[-1].end_position * FACTOR for coin in by_coin(fills) if coin[-1].end_position
        }


def test_without_the_rounding_the_same_fills_show_gaps_where_none_is_missing(rows, stated):
    """What the test above would see of a decoder that keeps every digit: the noise is in these payloads."""
    large = unrounded(dusty(rows[::-1]))
    book = begun(large, stated)
    changes = [change for one in large for change in told(book, [one])]
    gaps = {change.key for change in changes if isinstance(change, Gap)}

    assert links(large) == (103, 232)
    assert len(gaps) == 9
    assert kinds(changes).count("Filled") == 101  # the other 148 wait for what will never come


def test_a_statement_of_large_sizes_agrees_though_it_is_printed_with_noise(rows, stated):
    """As large as it can be with values below 10**9 USDC: of more a double does not carry six decimals."""
    factor = 1003
    body = captured(f"{GATEWAY}/clearinghouseState.json")
    for item in body["assetPositions"]:
        item["position"] = enlarged(item["position"], ("szi", "positionValue", "unrealizedPnl"), factor)
    large = payloads.statement(body, ACCOUNT, asked_s=stated.asked_s, now_ms=0)
    given = of_first_dex(read(dusty(rows[::-1], factor)))
    book = begun(given, stated)
    told(book, [one for one in given if one.time_ms <= stated.time_ms])
    ours = sizes_of(book)
    noisy = [item["position"] for item in body["assetPositions"] if len(item["position"]["szi"]) > 16]

    assert len(noisy) == 9
    assert large.unread == {}
    assert ours == {one.key: one.size for one in large.positions if one.key in ours}
    assert marks_of([large]) == marks_of([stated])


# ------------------------------------------------------------------ an account in portfolio margin


def test_the_equity_of_a_real_account_in_portfolio_margin_is_not_known_and_its_positions_are():
    capture = captured("lifi-perps-sdk/portfolio_margin.json")
    book = watched()
    book.reconcile(payloads.statement(capture["clearinghouseState"], ACCOUNT, asked_s=0.0, now_ms=0))
    mode = payloads.abstraction(capture["userAbstraction"])
    book.mode(AccountMode(ACCOUNT, mode, mode in PLAIN_MODES, f"account mode {mode}"))
    view = book.account(ACCOUNT)

    assert (view.equity, view.margin_used, view.withdrawable) == (None, None, None)
    assert view.equity_reason == "account mode portfolioMargin"
    assert len(sizes_of(book)) == 4

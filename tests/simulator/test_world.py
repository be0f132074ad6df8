"""The world: every position is the consequence of its fills, and of nothing else."""

from collections import defaultdict
from fractions import Fraction

import pytest

from hlposmon.simulator.account import Account
from hlposmon.simulator.facts import Fill
from hlposmon.simulator.numbers import lawful, rounded
from hlposmon.simulator.trader import Trader
from hlposmon.simulator.world import HOUR_MS, START_CASH, World, addresses

NOW = 1_790_000_000_000


def world(seed: int = 5, coins: int = 6, accounts: int = 2) -> tuple[World, Trader]:
    here = World(seed, addresses(seed, accounts), coins)
    trader = Trader(here, seed)
    trader.live(NOW)
    return here, trader


def busy(fills: int, seed: int = 5) -> World:
    here, trader = world(seed)
    accounts = list(here.accounts.values())
    time, made = NOW, 0
    while made < fills:
        time += 700
        here.walk()
        made += len(trader.order(accounts[made % 2], time))
    return here


def by_coin(account: Account) -> dict[str, list[Fill]]:
    found: dict[str, list[Fill]] = defaultdict(list)
    for fill in account.fills:
        found[fill.coin].append(fill)
    return found


def test_every_fill_starts_where_the_last_one_ended_over_thousands() -> None:
    here = busy(2500)
    links = 0
    for account in here.accounts.values():
        for coin, fills in by_coin(account).items():
            size = Fraction(0)
            for fill in fills:
                assert fill.start == size
                size += fill.change
                links += 1
            assert account.size(coin) == size

    assert links > 2500


def test_every_close_is_booked_gross_from_the_truncated_entry() -> None:
    """Recomputed here from the fills alone, in another way: cost and size."""
    closes = 0
    for account in busy(1200).accounts.values():
        for coin, fills in by_coin(account).items():
            size = cost = Fraction(0)
            places = 6 - next(m.market.sz_decimals for m in WORLD_QUOTES if m.market.coin == coin)
            for fill in fills:
                closed = min(abs(size), fill.size) if size * fill.change < 0 else Fraction(0)
                if closed:
                    exact = cost / size
                    entry = Fraction(int(exact * 10**places), 10**places)
                    sign = 1 if size > 0 else -1
                    assert fill.closed_pnl == rounded(sign * (fill.price - entry) * closed)
                    cost -= sign * closed * exact
                    closes += 1
                else:
                    assert fill.closed_pnl == 0
                opened = fill.size - closed
                cost += (1 if fill.change > 0 else -1) * opened * fill.price
                size += fill.change

    assert closes > 300


WORLD_QUOTES = list(World(0, (), 6).quotes.values())


def test_cash_is_what_came_in_less_what_was_traded_paid_and_funded() -> None:
    here = busy(600)
    here.fund(NOW + HOUR_MS)
    for account in here.accounts.values():
        flows = sum((fill.change * fill.price + fill.fee for fill in account.fills), Fraction(0))
        funding = sum(account.funding.values(), Fraction(0))
        pockets = sum((p.raw for p in account.positions.values()), Fraction(0))

        assert account.cash[""] + pockets == START_CASH - flows - funding
        assert account.fees == sum(fill.fee for fill in account.fills)


def test_sizes_and_prices_are_lawful() -> None:
    here = busy(500)
    for account in here.accounts.values():
        for fill in account.fills:
            places = here.quotes[fill.coin].market.sz_decimals
            assert (fill.size * 10**places).denominator == 1
            assert fill.size > 0
            assert fill.price == lawful(fill.price, places)


def test_trading_shows_every_kind_of_fill_the_venue_makes() -> None:
    fills = [fill for account in busy(1200).accounts.values() for fill in account.fills]
    words = {fill.word for fill in fills}
    blocks = defaultdict(set)
    for fill in fills:
        blocks[(fill.account, fill.time)].add(fill.tid)

    assert words == {
        "Open Long",
        "Open Short",
        "Close Long",
        "Close Short",
        "Long > Short",
        "Short > Long",
    }
    assert {fill.order.crossed for fill in fills} == {True, False}
    assert any(fill.fee < 0 for fill in fills)
    assert any(fill.builder_fee > 0 for fill in fills)
    assert any(len(tids) > 1 for tids in blocks.values())


@pytest.mark.parametrize("seed", range(5))
def test_the_first_account_begins_with_four_positions_of_both_sides(seed: int) -> None:
    here, _ = world(seed)
    held = next(iter(here.accounts.values())).positions.values()

    assert len(held) >= 4
    assert {position.size > 0 for position in held} == {True, False}
    assert any(position.margin.isolated for position in held)


def test_the_same_seed_makes_the_same_trades() -> None:
    one, other = busy(200, seed=9), busy(200, seed=9)
    rows = [[fill.row() for a in here.accounts.values() for fill in a.fills] for here in (one, other)]

    assert rows[0] == rows[1]
    assert addresses(9, 3)[:2] == addresses(9, 2)
    assert addresses(9, 2) != addresses(8, 2)


def test_funding_is_paid_once_in_each_hour_from_the_oracle() -> None:
    here, _ = world()
    account = next(iter(here.accounts.values()))
    before = len(account.fundings)
    here.fund_if_due(NOW + HOUR_MS)
    here.fund_if_due(NOW + HOUR_MS + 1)
    paid = account.fundings[before:]

    assert len(paid) == len(account.positions)
    for payment in paid:
        quote = here.quotes[payment.coin]
        assert payment.paid == rounded(payment.size * quote.oracle * quote.rate)
        assert Fraction(payment.flat()["usdc"]) == -payment.paid


def test_a_ghost_changes_a_size_and_no_account_value() -> None:
    here, _ = world()
    account = next(iter(here.accounts.values()))
    coin = here.coins[0]
    mark = here.quotes[coin].mark

    def value() -> Fraction:
        held = account.positions.get(coin)
        return account.cash[""] + (held.size * mark + held.raw if held else 0)

    before, fills = value(), len(account.fills)
    here.ghost(account, coin, Fraction("1.5"), NOW + 1)

    assert (account.size(coin), value(), len(account.fills)) == (Fraction("1.5"), before, fills)


def test_mark_mid_and_oracle_are_three_prices_that_move() -> None:
    here, _ = world()
    quote = here.quotes["BTC"]
    seen = set()
    for _ in range(10):
        here.walk()
        seen.add(quote.mark)
        assert quote.bid < quote.mid < quote.ask
    assert len(seen) > 5
    assert len({quote.mark, quote.mid, quote.oracle}) == 3

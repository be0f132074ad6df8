"""A size from numbered trades, proven by a statement of the same cursor."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.tradecursor import Trade, TradeCursor

numbers = st.lists(st.integers(1, 99), unique=True, max_size=12)


def trades(*pairs: tuple[int, int]) -> list[Trade]:
    return [Trade(number, Decimal(moved)) for number, moved in pairs]


def test_the_example_of_the_module_is_true():
    begun = TradeCursor(Decimal(5), 100)
    assert begun.doubt == "no statement has agreed yet"
    begun = begun.stated(Decimal(5), 100, 100)
    assert begun.doubt is None

    after = begun.listed(100, trades((103, 1), (107, -2)))
    assert (after.size, after.cursor, after.doubt) == (4, 107, None)
    holed = after.listed(110, trades((112, 1)))
    assert (holed.size, holed.cursor, holed.doubt) == (4, 107, "trades behind number 107 are missing")
    assert holed.stated(Decimal(4), 107, 107) == holed
    whole = holed.listed(107, trades((109, 1), (112, 1)))
    assert (whole.size, whole.cursor, whole.doubt) == (6, 112, None)
    assert whole.listed(100, trades((112, 1), (107, -2), (103, 1), (109, 1))) == whole
    disputed = whole.stated(Decimal(9), 112, 112)
    assert disputed.doubt == "the venue states 9, the trades lead to 6"
    assert disputed.stated(Decimal(6), 112, 112).doubt is None


def test_a_statement_during_which_trades_were_made_says_nothing():
    begun = TradeCursor(Decimal(5), 100, agreed=True)

    assert begun.stated(Decimal(7), 100, 101) == begun
    assert begun.stated(Decimal(7), 101, 101) == begun


@given(numbers, st.data())
def test_however_the_lists_overlap_each_trade_counts_once(found, data):
    made = [Trade(number, Decimal(number % 7 - 3)) for number in sorted(found)]
    state = TradeCursor(Decimal(0), 0, agreed=True)
    for count in [*sorted(data.draw(st.lists(st.integers(0, len(made)), max_size=5))), len(made)]:
        after = data.draw(st.integers(0, 99))
        page = [trade for trade in made[:count] if trade.number > after]
        before, state = state, state.listed(after, data.draw(st.permutations(page)) + page)
        if after > before.cursor:
            assert (state.size, state.cursor) == (before.size, before.cursor) and state.doubt
        else:
            assert state.size == sum((trade.moved for trade in made[:count]), Decimal(0))
    state = state.listed(state.cursor, [trade for trade in made if trade.number > state.cursor])

    assert (state.size, state.doubt) == (sum((trade.moved for trade in made), Decimal(0)), None)

"""What is plainly the next fill, or states what is known already, goes a short way to the same end.

A fill goes the long way when it is told twice in one batch; a statement when a payment came before it.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from hlposmon.domain.changes import Change
from hlposmon.domain.reports import Statement
from hlposmon.domain.seen import SeenFills
from tests.domain.language import ACCOUNT, Desk, at, book_of, chain, fill, key, ms, statement

COINS = ("BTC", "ETH")
Step = Callable[[Desk, Desk], tuple[list[Change], list[Change]]]


@st.composite
def fills(draw) -> Step:
    """Few sizes and times: many chain, are told again, or are late."""
    at, start, moved = draw(st.integers(0, 40)), draw(st.integers(-2, 2)), draw(st.sampled_from((-1, 1)))
    side = "buy" if moved > 0 else "sell"
    one = fill(f"tid={at} {side} 1 {draw(st.sampled_from(COINS))} @ 10 from {start} at {at} fee 0.1")
    tell = Desk.heard if draw(st.booleans()) else Desk.told
    return lambda short, long: (tell(short, one), tell(long, one, one))


@st.composite
def next_fills(draw) -> Step:
    """One that chains on behind what the desk has."""
    coin, moved = draw(st.sampled_from(COINS)), draw(st.sampled_from((-1, 1)))
    tell = Desk.heard if draw(st.booleans()) else Desk.told
    ahead = draw(st.integers(0, 2))

    def step(short: Desk, long: Desk) -> tuple[list[Change], list[Change]]:
        view = next((one for one in short.book.views() if one.key == key(coin)), None)
        size = view.position.size if view else Decimal(0)
        last_s = ((view.last_fill_ms if view else None) or ms(0)) - ms(0)
        at, side = last_s // 1000 + ahead, "buy" if moved > 0 else "sell"
        one = fill(f"tid={at + 100} {side} 1 {coin} @ 10 from {size} at {at} fee 0.1")
        return tell(short, one), tell(long, one, one)

    return step


@st.composite
def statements(draw) -> Step:
    """Mostly of what the desk has, once or several times."""
    at, said = (
        draw(st.integers(0, 60)),
        draw(st.sampled_from(("", "BTC long 1 @ 10", "BTC short 1 @ 12 ~ 3"))),
    )
    made = replace(statement(said, at=at, fetched=-100), pushed=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        made = replace(made, positions=(), unread={key("BTC"): "odd"})
    as_it_is = draw(st.booleans())

    def step(short: Desk, long: Desk) -> tuple[list[Change], list[Change]]:
        said = replace(made, positions=held(short, made)) if as_it_is else made
        for view in long.book.views():
            long.funded(view.key.split(":")[2], "0", 7200 + len(long.said))
        return short.book.reconcile(said), long.book.reconcile(said)

    return step


def held(desk: Desk, made: Statement):
    """What the desk holds, as the venue would state it, a little beside the entry."""
    own = [view for view in desk.book.views() if view.position.size and view.key not in made.unread]
    text = ", ".join(
        f"{view.key.split(':')[2]} {'long' if view.position.size > 0 else 'short'} {abs(view.position.size)} "
        f"@ {view.position.entry_price:.3f} ~ 0.01 mark 11"
        for view in own
    )
    return statement(text).positions


@given(st.booleans(), st.lists(st.one_of(fills(), next_fills(), next_fills(), statements(), statements())))
@settings(max_examples=400)
def test_short_and_long_ways_say_the_same_and_lead_to_the_same_book(is_begun, steps):
    short, long = Desk(), Desk()
    if is_begun:
        for desk in (short, long):
            desk.stated("", at=-3600)
    for step in steps:
        by_short, by_long = step(short, long)

        assert by_short == by_long
        assert short.book.views() == long.book.views()
        assert short.book.doubtful() == long.book.doubtful()
        assert short.book.high_water_ms(ACCOUNT) == long.book.high_water_ms(ACCOUNT)
    assert short.restarted().book.views() == long.restarted().book.views()


def test_a_size_is_remembered_as_long_as_a_fill_that_began_from_it():
    one, two, three = (one.identity for one in chain("BTC 0: +1@10 -1@10 +2@10"))
    seen = SeenFills([three, one, two])

    assert (one in seen, len(seen), list(seen.since(ms(1)))) == (True, 3, [three, two])
    assert seen.began_from(Decimal(0), ms(0), ms(0)) and seen.began_from(Decimal(0), ms(1), ms(2))
    assert not seen.began_from(Decimal(0), ms(1), ms(1)) and not seen.began_from(Decimal(0), ms(3), ms(9))
    assert not seen.began_from(Decimal(2), ms(0), ms(9))
    seen.forget(one)
    assert seen.began_from(Decimal(0), ms(0), ms(9)) and one not in seen
    seen.forget(three)
    assert not seen.began_from(Decimal(0), ms(0), ms(9))


def test_a_fill_that_comes_again_at_once_after_a_round_trip_counts_once():
    desk = book_of("")
    trip = at(chain("BTC 0: +1@10 -1@10"), 5)
    for one in (*trip, *trip):
        desk.told(one)

    assert desk.position().fills == 2


def test_a_fill_that_is_told_again_where_it_would_chain_on_is_taken_once():
    """The first of a round trip of one millisecond begins from the size that the second leads to."""
    desk, (up, down) = book_of(""), at(chain("BTC 0: +1@10 -1@10"), 5)
    desk.heard(up, down)

    assert desk.heard(up) == []
    assert (desk.size(), desk.position().fills) == (0, 2)

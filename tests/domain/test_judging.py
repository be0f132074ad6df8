"""Judging what changed is judging everything: two books hear the same, one is judged at every turn."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from hlposmon.domain.book import Book
from hlposmon.domain.changes import whose
from hlposmon.domain.reports import FeedState, Fills, Marks, StatedPosition, Statement
from hlposmon.domain.verdict import Age, Freshness
from hlposmon.domain.views import View
from tests.domain.language import ACCOUNT, book_of, fill, key, ms

ACCOUNTS = (ACCOUNT, "second")
COINS = ("BTC", "ETH", "SOL")
FEEDS = ("first", "second")
AGES = (Age(0.1, 5), Age(4.9, 5), Age(6, 5), Age(None, 5))
Report = Callable[[Book], object]

sizes = st.integers(-2, 2).map(Decimal)
times = st.integers(0, 60)
accounts = st.sampled_from(ACCOUNTS)


@st.composite
def fills(draw) -> Report:
    """One that may chain or not: sizes are few, so that each happens often."""
    at, start, moved = draw(times), draw(sizes), draw(st.sampled_from((-1, 1)))
    side = "buy" if moved > 0 else "sell"
    one = fill(f"tid={at} {side} 1 {draw(st.sampled_from(COINS))} @ 10 from {start} at {at}")
    made = replace(one, account=draw(accounts))
    heard_s = draw(st.sampled_from((None, 1.0)))
    return lambda book: book.apply(Fills(made.account, "feed", (made,), heard_s))


@st.composite
def statements(draw) -> Report:
    at = draw(times)
    held = draw(st.dictionaries(st.sampled_from(COINS), sizes, max_size=3))
    unread = draw(st.sets(st.sampled_from(COINS), max_size=1))
    said = Statement(
        account=draw(accounts),
        venue="hyperliquid",
        time_ms=ms(at),
        asked_s=float(at),
        positions=tuple(
            StatedPosition(key(coin), size, draw(st.sampled_from((Decimal(10), Decimal(11)))))
            for coin, size in held.items()
            if size and coin not in unread
        ),
        fills_from_ms=draw(st.sampled_from((None, ms(-100)))),
        pushed=draw(st.booleans()),
        unread={key(coin): "odd" for coin in unread},
    )
    return lambda book: book.reconcile(said)


@st.composite
def feeds(draw) -> Report:
    state = FeedState(
        draw(accounts), draw(st.sampled_from(FEEDS)), draw(st.booleans()), float(draw(times)), "silent"
    )
    return lambda book: book.feed(state)


@st.composite
def ages(draw) -> Report:
    account = draw(accounts)
    fills, prices, said = (draw(st.sampled_from(AGES)) for _ in range(3))
    fresh = Freshness(fills, prices, said, draw(st.sampled_from((None, "too busy"))))
    return lambda book: book.set_freshness(account, fresh)


def feeds_forgotten(book: Book) -> None:
    book.forget_feeds({"second"})


def watched_anew(book: Book) -> None:
    book.watch([ACCOUNT])
    book.watch(ACCOUNTS)


def priced(book: Book) -> None:
    book.mark(Marks({key(coin): Decimal(10) for coin in COINS}, 1.0))


others = st.sampled_from((feeds_forgotten, watched_anew, priced))


@given(st.lists(st.tuples(st.booleans(), st.one_of(fills(), fills(), statements(), feeds(), ages(), others))))
@settings(max_examples=300)
def test_what_is_judged_at_every_turn_is_as_if_all_had_been_judged_at_the_end(turns):
    often, once = Book(ACCOUNTS), Book(ACCOUNTS)
    told: dict[tuple[str, str], tuple[str, str | None]] = {}
    for is_judged, report in turns:
        report(often)
        report(once)
        for change in often.judge() if is_judged else ():
            told[change.account, change.key] = change.verdict, change.reason
        if report is watched_anew:
            told = {which: verdict for which, verdict in told.items() if which[0] == ACCOUNT}
    told |= {(one.account, one.key): (one.verdict, one.reason) for one in often.judge()}
    once.judge()

    assert often.views() == once.views()
    assert [often.account(name) for name in ACCOUNTS] == [once.account(name) for name in ACCOUNTS]
    assert told == {
        where(view): (view.verdict, view.reason) for view in once.views() if is_judged_at_all(view)
    }
    assert once.judge() == often.judge() == []


@given(st.lists(st.one_of(fills(), statements(), feeds(), others)))
def test_what_is_in_doubt_is_what_the_views_say(reports):
    book = Book(ACCOUNTS)
    for report in reports:
        report(book)

    for name in ACCOUNTS:
        doubted = [view.key for view in book.views(name) if view.in_doubt]
        told = [key for scope in book.scope_names(name) for key in book.doubtful_keys(name, scope)]
        assert sorted(told) == doubted
        assert {name for name, _ in book.doubtful()} <= {
            view.account for view in book.views() if view.in_doubt
        }


def where(view: View) -> tuple[str, str]:
    return view.account, view.key


def is_judged_at_all(view: View) -> bool:
    """What waits for a first statement is no position yet."""
    return view.reason != "not judged yet"


def test_before_the_ages_are_known_nothing_is_proven():
    desk = book_of("BTC long 1 @ 100")
    desk.book.judge()

    assert (desk.view().verdict, desk.view().reason) == ("stale", "no fills yet")


def test_a_fill_has_only_its_own_position_judged():
    desk = book_of("BTC long 1 @ 100, ETH long 1 @ 10", at=0)
    desk.judged()
    assert desk.told(fill("tid=1 buy 1 BTC @ 1 from 3 at 1")) == desk.said[-1:]
    [change] = desk.book.judge()

    assert (change.key, change.verdict) == (key("BTC"), "unproven")
    assert desk.view("ETH").verdict == "proven"


def test_an_account_tells_the_first_of_its_doubts():
    desk = book_of("BTC long 1 @ 100, ETH long 1 @ 10")
    desk.told(fill("tid=1 buy 1 ETH @ 1 from 3 at 1"), fill("tid=2 buy 1 BTC @ 1 from 4 at 1"))

    assert desk.judged_account()[1].startswith(f"{key('BTC')}: a fill is missing: the next starts at 4")


def test_after_a_drift_fills_are_known_up_to_the_last_of_another_coin():
    desk = book_of("", at=0)
    desk.told(fill("tid=1 buy 1 ETH @ 1 at 295"), fill("tid=2 buy 1 BTC @ 1 at 300"))
    assert desk.book.high_water_ms(ACCOUNT) == ms(300)
    desk.stated("BTC long 5 @ 1, ETH long 1 @ 1", at=301)
    desk.stated("BTC long 5 @ 1, ETH long 1 @ 1", at=304, fetched=-100)

    assert desk.size("BTC") == 5
    assert desk.book.high_water_ms(ACCOUNT) == ms(295)


def test_every_change_says_whose_it_is():
    desk = book_of("BTC long 1 @ 100", at=0)
    desk.judged()
    desk.told(fill("tid=1 buy 1 BTC @ 1 from 1 at 1"), fill("tid=2 buy 1 BTC @ 1 from 4 at 2"))
    desk.funded("BTC", "1", 3600)

    assert {kind.__name__ for kind in map(type, desk.said)} == {"VerdictChanged", "Filled", "Gap", "Funded"}
    assert {whose(change) for change in desk.said} == {(ACCOUNT, key("BTC"))}


def test_a_mark_reaches_every_account_that_holds_the_coin():
    book = Book(ACCOUNTS)
    for name in ACCOUNTS:
        held = StatedPosition(key("BTC"), Decimal(1), Decimal(10))
        book.reconcile(Statement(name, "hyperliquid", ms(0), 0.0, (held,)))
    price = {key("BTC"): Decimal(11), key("ETH"): Decimal(5)}

    assert book.mark(Marks(price, 1.0)) == [(name, key("BTC")) for name in ACCOUNTS]
    assert book.mark(Marks(price, 2.0)) == []
    book.watch([ACCOUNT])
    assert book.mark(Marks({key("BTC"): Decimal(12)}, 3.0)) == [(ACCOUNT, key("BTC"))]

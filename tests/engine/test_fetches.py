"""A fetch that comes in parts: a part of the truth is not called proven, and what is lost of it is asked for
again."""

from dataclasses import replace
from decimal import Decimal

from hlposmon.domain.changes import Filled, Healed, VerdictChanged
from hlposmon.domain.reports import (
    Bell,
    BellReason,
    Fetched,
    Fill,
    Fills,
    Following,
    Heard,
    Left,
    Live,
    Unlisted,
)
from hlposmon.engine.effects import JournalChange, JournalEvent, Ring, Tell
from tests.engine.language import Bench, key_of


def quiet() -> Bench:
    """An account that is proven flat; the last statement and the marks are of now."""
    bench = Bench()
    bench.join("fill", "fill-2", "reconcile")
    bench.proven(BTC="0")
    bench.passes(60)
    for feed in ("fill", "fill-2"):
        bench.goes_live(feed=feed)
    bench.says(bench.statement(), bench.marks(BTC="100"))
    bench.effects.clear()
    return bench


def older(fill: Fill, seconds: float) -> Fill:
    return replace(fill, time_ms=fill.time_ms - int(seconds * 1000))


def round_trip(bench: Bench, seconds: float = 30) -> tuple[Fill, Fill]:
    """What no feed brought: flat to 2 and back, so many seconds ago."""
    return older(bench.fill("2", "0"), seconds), older(bench.fill("-2", "2"), seconds)


def shown(bench: Bench) -> tuple[Decimal, str]:
    view = bench.engine.book.view("main", key_of("BTC"))
    return view.position.size, view.verdict.value


def verdicts(bench: Bench) -> list[str]:
    """All that were told."""
    changes = [effect.change for effect in bench.of(JournalChange)]
    return [change.verdict.value for change in changes if isinstance(change, VerdictChanged)]


def bells(bench: Bench) -> list[Bell]:
    return [ring.bell for ring in bench.of(Ring)]


def test_half_of_a_round_trip_that_no_feed_brought_is_not_proven_while_the_other_half_is_fetched():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "fetch", (up,)))
    assert shown(bench) == (2, "unproven")
    bench.says(Fills("main", "fetch", (down,)))
    assert shown(bench) == (0, "unproven")
    bench.says(Fetched("main", up.time_ms, bench.s))
    assert shown(bench) == (0, "proven")


def test_the_last_part_of_a_fetch_ends_it():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "fetch", (up,)), Fills("main", "fetch", (down,), from_ms=up.time_ms))

    assert shown(bench) == (0, "proven")


def test_the_end_of_a_fetch_that_began_later_ends_nothing():
    bench = quiet()
    up, _ = round_trip(bench)

    bench.says(Fills("main", "fetch", (up,)), Fills("main", "fetch", (), from_ms=up.time_ms + 1))
    bench.says(Fetched("main", up.time_ms + 1, bench.s))

    assert shown(bench) == (2, "unproven")


def test_a_fetch_of_one_part_is_never_in_doubt():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "fetch", (up, down), from_ms=up.time_ms), Fetched("main", up.time_ms, bench.s))

    assert (shown(bench), verdicts(bench)) == ((0, "proven"), [])


def journalled(bench: Bench) -> list[str]:
    """The fills, the ends of gaps, and what is said of fetches, in their order in the journal."""
    found = []
    for effect in bench.effects:
        if isinstance(effect, JournalEvent) and effect.kind in ("fetching", "fetched"):
            assert (effect.facts["account"], effect.facts["key"]) == ("main", key_of("BTC"))
            found.append(effect.kind)
        elif isinstance(effect, JournalChange) and isinstance(effect.change, Filled | Healed):
            found.append(type(effect.change).__name__)
    return found


def test_the_journal_says_that_a_fetch_goes_on_before_the_fills_of_its_parts_and_its_end_behind_them():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "fetch", (up,)), Fills("main", "fetch", (down,)))
    assert journalled(bench) == ["fetching", "Filled", "Filled"]
    [begun] = [effect for effect in bench.of(JournalEvent) if effect.kind == "fetching"]
    assert begun.facts["since_ms"] == up.time_ms
    bench.says(Fetched("main", up.time_ms, bench.s))
    assert journalled(bench)[3:] == ["fetched"]
    bench.says(Fetched("main", up.time_ms, bench.s))
    assert journalled(bench)[4:] == []


def test_the_last_part_is_journalled_before_the_end_and_a_fetch_of_one_part_without():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "fetch", (up,)), Fills("main", "fetch", (down,), from_ms=up.time_ms))
    assert journalled(bench) == ["fetching", "Filled", "Filled", "fetched"]
    bench.effects.clear()
    bench.says(Fills("main", "fetch", (older(bench.fill("1", "0"), 1),), from_ms=up.time_ms))
    assert journalled(bench) == ["Filled"]


def test_what_the_journal_says_of_a_fetch_follows_its_doubts():
    bench = quiet()
    first, second, third = (older(bench.fill("1", start), 30) for start in "012")

    bench.says(Fills("main", "fetch", (first, third)), Fills("main", "fetch", (second,)))
    assert journalled(bench) == ["fetching", "Filled", "Filled", "Filled", "Healed"]
    # The venue's time of an even older one is before that of the doubt so far.
    bench.says(Fills("main", "fetch", (older(bench.fill("1", "3"), 35),)))
    bench.engine.watch(replace(bench.watched(), addresses={}), bench.now)
    bench.engine.watch(bench.watched(), bench.now)
    bench.says(Fetched("main", 0, bench.s))
    assert "fetched" not in journalled(bench)


def test_a_live_fill_that_comes_very_late_is_journalled_as_part_of_a_fetch():
    bench = quiet()
    bench.passes(30)
    for feed in ("fill", "fill-2"):
        bench.goes_live(feed=feed)
    bench.says(bench.statement())
    bench.effects.clear()

    bench.says(bench.live(older(bench.fill("1", "0"), 20)))

    assert journalled(bench) == ["fetching", "Filled"]


def test_a_fetch_in_parts_that_brings_nothing_new_leaves_all_proven():
    bench = quiet()
    known = [bench.fill("2", "0"), bench.fill("-2", "2"), bench.fill("1", "0")]
    bench.says(bench.live(*known), bench.statement(BTC="1"))
    bench.effects.clear()

    bench.says(*(Fills("main", "fetch", (one,)) for one in known), Fetched("main", 0, bench.s))

    assert (shown(bench), verdicts(bench)) == ((1, "proven"), [])


def test_parts_that_go_on_coming_need_no_bell():
    bench = quiet()
    parts = [older(bench.fill("1", str(start)), 30) for start in range(8)]

    for one in parts:
        bench.says(Fills("main", "fetch", (one,)))
        bench.passes(2)
    bench.says(Fetched("main", parts[0].time_ms, bench.s))

    assert [bell for bell in bells(bench) if bell.since_ms is not None] == []
    assert shown(bench)[0] == 8


def test_a_fetch_that_broke_off_is_asked_for_again_and_the_next_one_ends_the_doubt():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "fetch", (up,)), Left("reconcile", "reconcile"))
    bench.join("reconcile")
    bench.passes(1)
    assert bells(bench) == [Bell("main", up.time_ms, BellReason.STILL_IN_DOUBT)]
    assert shown(bench) == (2, "unproven")
    bench.says(Fills("main", "fetch", (up, down), from_ms=up.time_ms))

    assert shown(bench) == (0, "proven")


def test_what_a_feed_tells_again_in_parts_is_in_doubt_until_all_of_it_is_told():
    bench = quiet()
    up, down = round_trip(bench)

    bench.says(Fills("main", "again", (up,)))
    assert shown(bench) == (2, "unproven")
    bench.says(Fills("main", "again", (down,), from_ms=up.time_ms))

    assert shown(bench) == (0, "proven")


def test_while_a_fetch_is_under_way_fills_are_known_up_to_what_it_changed():
    bench = quiet()
    up, _ = round_trip(bench)
    before_ms = bench.engine.book.high_water_ms("main")

    bench.says(bench.live(bench.fill("1", "0", coin="ETH")), Fills("main", "fetch", (up,)))

    view = bench.engine.book.view("main", key_of("BTC"))
    assert (bench.engine.book.high_water_ms("main"), view.as_of_ms) == (up.time_ms, up.time_ms)
    assert before_ms != up.time_ms
    assert bench.engine.book.unfinished()["main"] == {key_of("BTC"): up.time_ms}


def test_fills_that_a_first_statement_does_not_hold_are_not_passed_over_where_those_between_are_gone():
    """The statement is some seconds older than it says, and the fills between it and these are not listed."""
    bench = Bench()
    bench.join("fill", "reconcile")
    bench.passes(5)
    listed = older(bench.fill("-1", "-2"), 1), older(bench.fill("-1", "-3"), 0.5)
    gone_ms = listed[0].time_ms - 1000
    bench.says(bench.statement(), Following("main", "fill", bench.s))
    bench.passes(1)
    bench.says(Unlisted("main", 0, gone_ms, "only the newest are listed"))
    bench.says(Fills("main", "fetch", listed), Fetched("main", 0, bench.s), bench.statement())
    bench.says(Heard("fill", bench.s), bench.marks(BTC="100"))

    assert shown(bench) == (0, "unproven")


def test_a_fill_that_was_missing_before_a_restart_is_fetched_whatever_a_feed_tells_again():
    """The feed has not brought it, so it cannot tell it again: it only looks as if it knew all since then."""
    before = quiet()
    before.says(before.live(before.fill("1", "5")))
    book = before.engine.book
    assert book.has_gap("main")

    after = Bench()
    after.s = before.s
    after.engine.recall(book.memories(), book.base_ms(), book.unsure(), after.now)
    after.join("fill", "reconcile")
    after.says(Following("main", "fill", after.s, whole_from_ms=0))
    assert not after.engine.book.is_live("main")
    after.passes(1)

    [bell] = [bell for bell in bells(after) if bell.reason is BellReason.FEED]
    after.says(Fetched("main", bell.since_ms, after.s))
    assert after.engine.book.is_live("main")


def known_to_feed(bench: Bench) -> int | None:
    """Up to when a feed that comes up is told that all fills are known."""
    bench.effects.clear()
    bench.goes_live(feed="fill-2")
    [live] = [tell.ask for tell in bench.of(Tell) if isinstance(tell.ask, Live)]
    return live.known_ms


def test_a_feed_is_not_told_that_fills_are_known_which_only_the_first_statement_holds():
    """They are in no line: to the next tracker they are news, and this feed has not brought them."""
    bench = Bench()
    bench.join("fill", "fill-2", "reconcile")
    bench.passes(5)
    held = older(bench.fill("2", "0"), 1), older(bench.fill("-2", "2"), 0.5)
    bench.says(bench.statement(), Following("main", "fill", bench.s))
    bench.passes(1)
    bench.says(Fills("main", "fetch", held), Fetched("main", 0, bench.s))
    assert not journalled(bench)
    assert known_to_feed(bench) is None

    assert known_to_feed(quiet()) is not None


def test_that_fills_cannot_be_fetched_is_seen_at_once_and_until_a_statement_is_surely_newer():
    bench = quiet()
    assert shown(bench) == (0, "proven")

    bench.says(Unlisted("main", bench.now.ms - 9000, bench.now.ms, "a row could not be read"))
    assert shown(bench) == (0, "unproven")
    for _ in range(9):
        bench.passes(1)
        bench.says(Heard("fill", bench.s), bench.marks(BTC="100"))
    bench.says(bench.statement())
    assert shown(bench) == (0, "unproven")
    bench.passes(1)
    bench.says(bench.statement())
    assert shown(bench) == (0, "proven")

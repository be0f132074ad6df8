"""Several markets of one account in the engine: what is journalled of each, and who is asked to state it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hlposmon.domain.changes import Adopted, Filled
from hlposmon.domain.reports import Place, PlaceRead, Statement, StatementsWanted
from hlposmon.engine.effects import Effect, JournalChange, JournalEvent, Tell
from tests.engine.language import Bench, key_of

TSLA, GOLD = "xyz:TSLA", "abc:GOLD"


def of_dex(bench: Bench, coin: str, size: str) -> Statement:
    said = replace(bench.statement(**{coin: size}), equity=Decimal(0))
    return replace(said, scope=coin.partition(":")[0])


def nothing_else(bench: Bench) -> PlaceRead:
    return PlaceRead("main", Place.DEXES, (), bench.now.ms, bench.s)


def journalled(effects: list[Effect]) -> list[tuple[Any, ...]]:
    """Positions, fills and first statements in the order of their lines."""
    found: list[tuple[Any, ...]] = []
    for one in effects:
        if isinstance(one, JournalChange) and isinstance(one.change, Adopted | Filled):
            change = one.change
            key = change.fill.key if isinstance(change, Filled) else change.key
            found.append((type(change).__name__, key))
        elif isinstance(one, JournalEvent) and one.kind == "stated":
            found.append(("stated", one.facts.get("scope", "")))
    return found


def test_positions_come_before_the_line_that_says_that_their_dex_was_stated():
    """A line that a crash cut off behind it would be recovered as a flat position."""
    bench = Bench()
    bench.proven(BTC="1")
    assert journalled(bench.says(of_dex(bench, TSLA, "5"))) == [("Adopted", key_of(TSLA)), ("stated", "xyz")]


def test_a_first_fill_on_a_dex_that_held_nothing_comes_behind_the_line_that_says_so():
    bench = Bench()
    bench.join("reconcile", "fill")
    bench.says(nothing_else(bench))  # before the first dex was stated
    bench.goes_live()
    fills = bench.live(bench.fill("1", "0", coin=GOLD))
    assert journalled(bench.says(fills)) == [("stated", "abc"), ("Filled", key_of(GOLD))]
    assert journalled(bench.says(bench.statement(BTC="1"))) == [
        ("Adopted", key_of("BTC")),
        ("stated", ""),
        ("stated", "*"),
    ]
    bench.says(nothing_else(bench))
    fills = bench.live(bench.fill("1", "0", coin=TSLA))
    assert journalled(bench.says(fills)) == [("Filled", key_of(TSLA))]  # `*` says it of all


def test_a_worker_that_states_is_asked_for_the_markets_that_were_opened():
    bench = Bench()
    bench.proven(BTC="1")
    bench.join("reconcile", "state", "price")
    told = bench.of(Tell, bench.says(of_dex(bench, TSLA, "5")))
    wanted = StatementsWanted("main", ("xyz",))
    assert [(one.worker, one.ask) for one in told] == [
        (worker, wanted) for worker in ("reconcile", "state", "price")
    ]
    told = bench.of(Tell, bench.join("state"))
    assert wanted in [one.ask for one in told]

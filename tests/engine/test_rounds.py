"""Polled accounts: what a round proves and until when, and that they take turns evenly."""

from dataclasses import replace
from itertools import pairwise

import pytest

from hlposmon.domain.reports import (
    Bell,
    BellReason,
    FeedState,
    Fetched,
    Fill,
    Fills,
    Following,
    Heard,
    NotFetched,
    Place,
    PlaceRead,
    StatementsWanted,
)
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, View
from hlposmon.engine.effects import JournalChange, JournalEvent, Publish, Ring, Tell
from hlposmon.engine.engine import Engine, Watched
from tests.engine.language import FEEDS, LIMITS, Bench, key_of

ROUND_S = 60.0
OVERLAP_MS = 10_000


class Polled(Bench):
    """`main` is followed by stream, and all other accounts are polled."""

    def __init__(self, *accounts: str, polled: tuple[str, ...] | None = None) -> None:
        self.polled = accounts[1:] if polled is None else polled
        super().__init__(*accounts)

    def watched(self) -> Watched:
        return Watched(
            dict(self.addresses), FEEDS, LIMITS, self.min_pnl_change, polled=self.polled, round_s=ROUND_S
        )

    def keeps_up(self, seconds: float) -> list[Bell]:
        """Time goes by while the stream and prices are heard; the Bells of it."""
        bells: list[Bell] = []
        until_s = self.s + seconds
        while self.s < until_s:
            bells += [ring.bell for ring in self.of(Ring, self.passes(min(1.0, until_s - self.s)))]
            self.says(Heard("fill", self.s), self.marks(BTC="100"))
        return bells

    def states(self, account: str = "two", **sizes: str) -> None:
        self.says(self.statement(account, **sizes))

    def round(self, account: str, from_ms: int, *fills: Fill, takes_s: float = 0.5, **sizes: str) -> None:
        """All fills since then, and a statement which comes `takes_s` after the fills were asked for."""
        asked_s = self.s
        self.s += takes_s
        self.says(
            Fills(account, "fetch", fills, from_ms=from_ms),
            Fetched(account, from_ms, asked_s),
            statement_after(self, account, from_ms, **sizes),
        )

    def answers(self, bell: Bell, *fills: Fill, **sizes: str) -> None:
        assert bell.since_ms is not None
        self.round(bell.account, bell.since_ms, *fills, **sizes)

    def rung_for(self, account: str = "two") -> Bell:
        """The next Bell for a round of the account."""
        for _ in range(200):
            for bell in self.keeps_up(1.0):
                if bell.account == account and bell.reason is BellReason.ROUND:
                    return bell
        raise AssertionError(f"no round of {account}")

    def account(self, name: str = "two") -> AccountView:
        return self.engine.book.account(name)

    def position(self, name: str = "two", coin: str = "BTC") -> View:
        return self.engine.book.view(name, key_of(coin))


def statement_after(one: Bench, account: str, from_ms: int, **sizes: str):
    return replace(one.statement(account, **sizes), fills_from_ms=from_ms)


@pytest.fixture
def two() -> Polled:
    """The polled account `two` holds 1 BTC, is stated, and waits for its first round."""
    one = Polled("main", "two")
    one.join("fill", "reconcile")
    one.proven(BTC="1")
    one.states(BTC="1")
    return one


@pytest.fixture
def proven(two: Polled) -> Polled:
    two.answers(two.rung_for(), BTC="1")
    assert two.position().verdict is Verdict.PROVEN
    return two


# ------------------------------------------------------------------ what a round proves


def test_a_statement_alone_proves_nothing_of_a_polled_account(two):
    two.keeps_up(30)
    two.states(BTC="1")

    assert two.account().verdict is Verdict.UNPROVEN
    assert "not yet confirmed by a round" in two.account().reason
    assert two.position().verdict is Verdict.UNPROVEN


def test_a_round_proves_it_as_of_when_the_fills_were_asked_for(two):
    bell = two.rung_for()
    asked_ms = two.now.ms
    two.answers(bell, BTC="1")

    assert two.account().verdict is Verdict.PROVEN
    assert two.position().verdict is Verdict.PROVEN
    assert two.account().as_of_ms == two.position().as_of_ms == asked_ms
    assert two.account().round_s == ROUND_S
    assert two.account("main").round_s is None


def test_it_stays_proven_between_two_rounds_and_as_of_the_last_one(proven):
    as_of_ms = proven.account().as_of_ms
    proven.keeps_up(2 * ROUND_S)
    proven.states(BTC="1")

    assert proven.account().verdict is Verdict.PROVEN
    assert proven.account().as_of_ms == proven.position().as_of_ms == as_of_ms


def test_it_is_stale_when_no_round_was_complete_for_two_and_a_half_rounds(proven):
    proven.keeps_up(2.5 * ROUND_S - 2)
    assert proven.account().verdict is Verdict.PROVEN
    proven.keeps_up(3)

    assert proven.account().verdict is proven.position().verdict is Verdict.STALE
    assert proven.account().reason == "no round for more than 150 s"
    assert proven.account("main").verdict is Verdict.PROVEN


def test_statements_without_fills_do_not_keep_it_from_being_stale(proven):
    for _ in range(16):
        proven.keeps_up(10)
        proven.states(BTC="1")

    assert proven.account().verdict is Verdict.STALE


def test_a_round_that_comes_late_ends_its_being_stale(proven):
    proven.keeps_up(4 * ROUND_S)
    proven.answers(proven.rung_for(), BTC="1")

    assert proven.account().verdict is Verdict.PROVEN


def test_a_fill_between_two_rounds_moves_the_position_with_the_next_one(proven):
    proven.keeps_up(20)
    fill = proven.fill("2", "1", account="two")
    bell = proven.rung_for()
    assert proven.position().position.size == 1
    asked_ms = proven.now.ms
    proven.answers(bell, fill, BTC="3")

    assert proven.position().position.size == 3
    assert proven.position().verdict is Verdict.PROVEN
    assert proven.position().as_of_ms == asked_ms
    assert len([one for one in proven.of(Publish) if getattr(one.change, "fill", None) == fill]) == 1


def test_a_fill_that_the_round_did_not_bring_is_a_gap_until_it_is_fetched(proven):
    proven.keeps_up(20)
    missing, later = proven.fill("2", "1", account="two"), proven.fill("1", "3", account="two")
    bell = proven.rung_for()
    proven.answers(bell, later, BTC="4")

    assert proven.position().verdict is Verdict.UNPROVEN
    assert "a fill is missing" in proven.position().reason
    assert proven.account().verdict is Verdict.UNPROVEN
    [gap] = [ring.bell for ring in proven.of(Ring) if ring.bell.reason is BellReason.GAP]
    proven.answers(gap, missing, later, BTC="4")

    assert proven.position().position.size == 4
    assert proven.position().verdict is Verdict.PROVEN


def test_a_statement_that_differs_after_all_fills_is_doubted_and_then_a_drift(proven):
    bell = proven.rung_for()
    proven.answers(bell, BTC="5")
    assert proven.position().verdict is Verdict.UNPROVEN
    proven.keeps_up(12)
    [doubt, *_] = [ring.bell for ring in proven.of(Ring) if ring.bell.reason is BellReason.DOUBT]
    proven.answers(doubt, BTC="5")

    assert proven.position().verdict is Verdict.DRIFT


# ------------------------------------------------------------------ what is no round


def test_fills_that_do_not_reach_back_to_the_last_round_prove_nothing(two):
    bell = two.rung_for()
    assert bell.since_ms is not None
    two.round("two", bell.since_ms + OVERLAP_MS + 1, BTC="1")
    assert two.account().verdict is Verdict.UNPROVEN
    two.round("two", bell.since_ms, BTC="1")

    assert two.account().verdict is Verdict.PROVEN


def test_a_fetch_that_is_not_whole_ends_no_round(two):
    bell = two.rung_for()
    two.says(
        Fills("two", "fetch", (), None),
        NotFetched("two", "no answer"),
        statement_after(two, "two", bell.since_ms, BTC="1"),
    )

    assert two.account().verdict is Verdict.UNPROVEN


def test_what_takes_long_makes_what_is_known_earlier_and_never_later(two):
    bell = two.rung_for()
    asked_ms = two.now.ms
    two.round("two", bell.since_ms, takes_s=20.0, BTC="1")
    assert two.account().as_of_ms == asked_ms

    again = two.rung_for()
    assert again.since_ms <= asked_ms - OVERLAP_MS


def test_fills_of_before_a_suspension_end_no_round_after_it(two):
    bell = two.rung_for()
    two.says(Fills("two", "fetch", (), from_ms=bell.since_ms), Fetched("two", bell.since_ms, two.s))
    two.engine.note_suspension(3600.0, two.now)
    two.says(statement_after(two, "two", bell.since_ms, BTC="1"))
    assert two.account().verdict is not Verdict.PROVEN

    two.says(Fetched("two", bell.since_ms, two.s - 1), statement_after(two, "two", bell.since_ms, BTC="1"))
    assert two.account().verdict is not Verdict.PROVEN


def test_a_round_of_before_a_suspension_is_stale_after_it(proven):
    proven.engine.note_suspension(3 * ROUND_S, proven.now)
    proven.keeps_up(3)

    assert proven.account().verdict is Verdict.STALE


def test_a_feed_that_follows_it_on_the_settings_of_before_does_not_make_it_live(two):
    two.says(Following("two", "fill", two.s, 0), FeedState("two", "fill", False, two.s, "gone"))
    two.keeps_up(5)

    assert two.account().verdict is Verdict.UNPROVEN
    assert not two.engine.book.is_live("two")


def test_a_fill_that_such_a_feed_still_brings_is_booked_at_once(proven):
    as_of_ms = proven.account().as_of_ms
    proven.says(proven.live(proven.fill("1", "1", account="two")))

    assert proven.position().position.size == 2
    assert proven.account().as_of_ms == as_of_ms


# ------------------------------------------------------------------ turns


def test_every_polled_account_has_one_round_in_the_time_of_a_round_evenly_spaced():
    names = tuple(f"polled-{number}" for number in range(12))
    one = Polled("main", *names)
    one.join("fill", "reconcile")
    one.proven()
    for name in names:
        one.states(name)
    rung: list[tuple[float, str]] = []
    for _ in range(4 * int(ROUND_S)):
        for bell in one.keeps_up(1.0):
            if bell.reason is BellReason.ROUND:
                rung.append((one.s, bell.account))
                one.round(bell.account, bell.since_ms, takes_s=0.0)

    assert len(rung) in (48, 49)
    assert [name for _, name in rung[:12]] == [name for _, name in rung[12:24]]
    assert sorted({name for _, name in rung[:12]}) == sorted(names)
    spacings = [later - before for (before, _), (later, _) in pairwise(rung)]
    assert min(spacings) >= 4
    assert max(spacings) <= 6


def test_a_pause_without_a_worker_is_not_followed_by_a_burst():
    one = Polled("main", *(f"polled-{number}" for number in range(12)))
    for name in one.polled:
        one.states(name)
    one.keeps_up(10 * ROUND_S)
    one.join("reconcile")
    rung = [bell for bell in one.keeps_up(6) if bell.reason is BellReason.ROUND]

    assert 1 <= len(rung) <= 3


def test_those_whose_first_round_a_worker_did_not_end_come_first_with_the_next():
    one = Polled("main", "a", "b", "c")
    one.join("reconcile")
    for name in one.polled:
        one.states(name)
    first = one.rung_for("a")
    one.answers(first)
    assert one.rung_for("b").reason is BellReason.ROUND
    one.join("reconcile")

    after = [bell.account for bell in one.keeps_up(15) if bell.reason is BellReason.ROUND]
    assert after[:2] == ["b", "c"] or after[:2] == ["c", "b"]
    assert "a" not in after[:2]


def test_an_account_that_is_not_stated_yet_does_not_keep_the_others_waiting():
    one = Polled("main", "silent", "two")
    one.join("reconcile")
    one.states("two", BTC="1")

    assert one.rung_for("two").since_ms is not None


# ------------------------------------------------------------------ further markets


def test_a_fill_on_another_dex_has_the_account_stated_there_in_a_round_at_once(proven):
    flat = PlaceRead("two", Place.DEXES, (), proven.now.ms, proven.s)
    proven.says(flat)
    bell = proven.rung_for()
    before = len(proven.of(Ring))
    proven.answers(bell, proven.fill("3", "0", coin="xyz:TSLA", account="two"), BTC="1")

    assert StatementsWanted("two", ("xyz",)) in [tell.ask for tell in proven.of(Tell)]
    again = [ring.bell for ring in proven.of(Ring)[before:] if ring.bell.reason is BellReason.ROUND]
    assert [bell.account for bell in again] == ["two"]
    assert proven.account().verdict is Verdict.UNPROVEN  # of that dex no round was complete

    from_ms = again[0].since_ms
    proven.keeps_up(1)
    asked_s = proven.s
    on_first = statement_after(proven, "two", from_ms, BTC="1")
    on_dex = replace(statement_after(proven, "two", from_ms, **{"xyz:TSLA": "3"}), scope="xyz")
    proven.says(Fetched("two", from_ms, asked_s), on_first, on_dex)
    proven.says(proven.marks(**{"xyz:TSLA": "100"}))
    assert proven.account().verdict is Verdict.PROVEN
    assert proven.position(coin="xyz:TSLA").verdict is Verdict.PROVEN


def test_what_it_holds_elsewhere_is_asked_for_every_few_hours():
    one = Polled("main", "two")
    one.join("reconcile")
    one.states("two")
    one.says(PlaceRead("two", Place.DEXES, (), one.now.ms, one.s))

    rung = [bell for bell in one.keeps_up(400) if bell.reason is BellReason.NOT_WATCHED]
    assert [bell for bell in rung if bell.account == "two"] == []


# ------------------------------------------------------------------ restarts and reloads


def again_from(one: Polled) -> Polled:
    """Another process, that knows what this one would have written down."""
    after = Polled("main", "two")
    after.s = one.s + 5
    after.engine = Engine(after.watched(), after.now)
    book = one.engine.book
    after.engine.recall(book.memories(), book.base_ms(), book.unsure(), after.now)
    after.join("fill", "reconcile")
    after.goes_live()
    after.states("main", BTC="1")
    return after


def test_after_a_restart_it_is_unproven_until_a_round_from_where_the_last_one_ended(proven):
    as_of_ms = proven.account().as_of_ms
    after = again_from(proven)
    after.states(BTC="1")
    assert after.account().verdict is Verdict.UNPROVEN
    assert after.position().position.size == 1
    bell = after.rung_for()
    assert bell.since_ms is not None
    assert bell.since_ms <= as_of_ms - OVERLAP_MS
    missed = proven.fill("1", "1", account="two")
    after.answers(bell, missed, BTC="2")

    assert after.account().verdict is Verdict.PROVEN
    assert after.position().position.size == 2


def test_a_restart_amid_a_fetch_has_all_of_it_fetched_again(proven):
    known_ms = proven.account().as_of_ms
    proven.keeps_up(30)
    proven.says(Fills("two", "fetch", (proven.fill("1", "1", account="two"),)))  # its first part
    after = again_from(proven)

    assert after.rung_for().since_ms <= known_ms - OVERLAP_MS


def test_an_account_that_is_polled_from_a_reload_on_is_fetched_from_where_its_stream_ended():
    one = Polled("main", "two", polled=())
    one.join("fill", "reconcile")
    one.proven(BTC="1")
    one.proven("two", BTC="1")
    assert one.account().verdict is Verdict.PROVEN
    last = one.fill("1", "1", account="two")
    one.says(one.live(last))
    one.polled = ("two",)
    one.effects += one.engine.watch(one.watched(), one.now)
    one.keeps_up(1)

    assert one.account().verdict is Verdict.UNPROVEN
    assert one.account().round_s == ROUND_S
    downs = [
        event.facts for event in one.of(JournalEvent) if event.kind == "feed" and not event.facts["live"]
    ]
    assert [(facts["account"], facts["since_ms"]) for facts in downs] == [("two", last.time_ms)]
    bell = one.rung_for()
    assert bell.since_ms == last.time_ms - OVERLAP_MS
    one.answers(bell, last, BTC="2")
    assert one.account().verdict is Verdict.PROVEN


def test_an_account_that_is_followed_from_a_reload_on_is_proven_once_its_stream_is_live(proven):
    proven.polled = ()
    proven.effects += proven.engine.watch(proven.watched(), proven.now)
    proven.keeps_up(1)
    assert proven.account().verdict is not Verdict.PROVEN
    assert proven.account().round_s is None
    proven.goes_live("two")
    proven.keeps_up(1)
    proven.states(BTC="1")

    assert proven.account().verdict is Verdict.PROVEN


def test_polled_accounts_leave_the_ages_of_the_followed_ones_as_they_are(proven):
    proven.keeps_up(100)
    proven.states("main", BTC="1")
    freshness = proven.engine.freshness

    assert freshness.statements_age(("main", "two"), proven.s) == 0
    assert freshness.rest_age(proven.s) == 0


def test_no_line_of_the_journal_is_written_for_a_round_that_changes_nothing(proven):
    before = len(proven.of(JournalChange))
    proven.answers(proven.rung_for(), BTC="1")

    assert len(proven.of(JournalChange)) == before

"""An account that is polled: what a round makes known, up to when, and what is no round."""

from dataclasses import replace

import pytest

from hlposmon.domain.instrument import SPOT
from hlposmon.domain.reports import FeedState, Fills
from hlposmon.domain.verdict import Age, Evidence, Freshness, judge
from tests.domain.language import ACCOUNT, Desk, chain, fill, key, ms, statement

POLLED = Freshness(Age(None, 15), Age(0.1, 5), Age(1, 150), is_polled=True)


class Polled(Desk):
    """A desk whose account is polled each minute, and stated with 1 BTC at :00."""

    def __init__(self, *, is_stated: bool = True) -> None:
        super().__init__(live=False)
        self.book.poll({ACCOUNT: 60.0})
        if is_stated:
            self.stated("BTC long 1 @ 100", at=0)

    def round(self, text: str, *, since: float, at: float, scope: str = "", took: float = 1) -> bool:
        """Fills since then were handed on; a statement at that time, `took` seconds after they were asked."""
        said = replace(statement(text, at=at, fetched=since), scope=scope)
        self._heard(self.book.reconcile(said))
        return self.book.note_round(said, ms(at - took), at - took)

    def verdict(self, freshness: Freshness = POLLED) -> tuple[str, str | None]:
        for scope in self.book.scope_names(ACCOUNT):
            self.book.set_freshness(ACCOUNT, freshness, scope)
        self.book.judge()
        account = self.book.account(ACCOUNT)
        return account.verdict.value, account.reason


def test_it_is_proven_by_a_round_that_reaches_back_to_where_its_fills_were_known():
    desk = Polled()
    assert desk.verdict()[0] == "unproven"
    assert not desk.round("BTC long 1 @ 100", since=1, at=30)
    assert desk.verdict()[0] == "unproven"
    assert desk.round("BTC long 1 @ 100", since=-20, at=60)

    assert desk.verdict() == ("proven", None)
    assert desk.book.account(ACCOUNT).as_of_ms == desk.view().as_of_ms == ms(59)
    assert desk.book.scopes(ACCOUNT)[0].as_of_ms == ms(59)


def test_a_statement_without_fills_ends_no_round():
    desk = Polled()
    said = statement("BTC long 1 @ 100", at=30)
    desk.book.reconcile(said)

    assert not desk.book.note_round(said, ms(29), 29.0)


def test_an_account_that_a_stream_follows_has_no_rounds():
    desk = Desk()
    desk.stated("BTC long 1 @ 100", at=0)
    said = statement("BTC long 1 @ 100", at=30, fetched=-20)
    desk.book.reconcile(said)

    assert not desk.book.note_round(said, ms(29), 29.0)
    assert not desk.book.is_polled(ACCOUNT)
    assert not desk.book.note_round(replace(said, account="nobody"), ms(29), 29.0)


def test_before_its_first_statement_there_is_no_round():
    desk = Polled(is_stated=False)

    assert not desk.book.note_round(statement("", at=30, fetched=0), ms(29), 29.0)
    assert not desk.book.note_round(replace(statement("", at=30, fetched=0), scope="xyz"), ms(29), 29.0)
    assert desk.book.account(ACCOUNT).as_of_ms is None


def test_a_round_that_is_handled_late_takes_nothing_back():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    desk.round("BTC long 1 @ 100", since=-20, at=70, took=30)

    assert desk.book.account(ACCOUNT).as_of_ms == ms(59)
    assert desk.book.statement_asked_s(ACCOUNT) == 59.0


def test_fills_are_known_up_to_the_last_round_and_not_beyond_even_where_a_later_one_came():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    desk.book.apply(Fills(ACCOUNT, "fetch", (fill("tid=1 buy 1 BTC @ 100 from 1 at 80"),)))

    assert desk.book.high_water_ms(ACCOUNT) <= ms(59)
    assert desk.book.unsure() == {ACCOUNT: {"": ms(59)}}


def test_a_gap_keeps_a_round_from_being_complete_until_it_is_fetched():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    first, second = chain("BTC 1: at 70 +1@100 +1@100")
    desk.told(second)
    assert not desk.round("BTC long 3 @ 100", since=59, at=90)
    assert desk.verdict()[0] == "unproven"
    desk.told(first)
    assert desk.round("BTC long 3 @ 100", since=-20, at=95)

    assert desk.verdict() == ("proven", None)


def test_a_scope_of_another_dex_needs_a_round_of_its_own():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    assert desk.verdict() == ("proven", None)
    desk.book.note_nothing_else(statement("", at=60))
    desk.told(fill("tid=1 buy 2 xyz:TSLA @ 100 at 70"))
    assert desk.verdict()[0] == "unproven"
    since = (desk.book.high_water_ms(ACCOUNT) - ms(0)) / 1000 - 10
    desk.round("BTC long 1 @ 100", since=since, at=80)
    assert desk.verdict()[0] == "unproven"
    desk.round("xyz:TSLA long 2 @ 100", since=since, at=81, scope="xyz")

    assert desk.verdict() == ("proven", None)
    assert desk.book.account(ACCOUNT).as_of_ms == ms(79)


def test_tokens_rest_on_the_statement_and_not_on_rounds():
    desk = Polled()
    said = replace(statement("", at=60, fetched=-20), scope=SPOT)
    token = replace(statement("BTC long 1 @ 100").positions[0], key="hyperliquid:BaseToken:HYPE")
    said = replace(said, positions=(token,))
    desk.book.reconcile(said)

    assert not desk.book.note_round(said, ms(59), 59.0)
    assert desk.book.statement_asked_s(ACCOUNT, SPOT) == 60.0
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    assert desk.verdict() == ("proven", None)


def test_one_whose_stream_ends_is_known_up_to_where_the_stream_was():
    desk = Desk()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.heard(fill("tid=1 buy 1 BTC @ 100 from 1 at 50"))
    desk.book.poll({ACCOUNT: 60.0})
    desk.book.feed(FeedState(ACCOUNT, "first", False, 60.0, "polled"))

    assert desk.book.unsure() == {ACCOUNT: {"": ms(50)}}
    assert desk.judged_account()[0] == "unproven"


def test_one_that_was_polled_before_is_polled_on_as_it_was():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    desk.book.poll({ACCOUNT: 90.0})

    assert desk.verdict() == ("proven", None)
    assert desk.book.account(ACCOUNT).round_s == 90.0


def test_one_that_a_stream_follows_again_needs_that_stream():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    desk.book.poll({})
    fresh = Freshness(Age(0.1, 5), Age(0.1, 5), Age(1, 120))
    assert desk.verdict(fresh) == ("unproven", "the feed of fills is not up yet")
    desk.book.feed(FeedState(ACCOUNT, "first", True, 70.0))
    desk.stated("BTC long 1 @ 100", at=80)

    assert desk.verdict(fresh) == ("proven", None)


def test_a_restart_keeps_up_to_when_fills_are_known_and_no_round():
    desk = Polled()
    desk.round("BTC long 1 @ 100", since=-20, at=60)
    again = Polled(is_stated=False)
    again.book.recall(desk.book.memories(), desk.book.base_ms(), desk.book.unsure())
    assert again.verdict()[0] == "unproven"
    assert again.book.high_water_ms(ACCOUNT) == desk.book.high_water_ms(ACCOUNT)
    again.round("BTC long 1 @ 100", since=-20, at=70)

    assert again.verdict() == ("proven", None)
    assert again.size() == 1
    assert key("BTC") in again.book.keys(ACCOUNT, "")


CONFIRMED = Evidence(stated=True, confirmed=True)
PRICES = Age(0.1, 5)


@pytest.mark.parametrize(
    ("evidence", "round_age", "verdict"),
    [
        (CONFIRMED, Age(149, 150), ("proven", None)),
        (CONFIRMED, Age(151, 150), ("stale", "no round for more than 150 s")),
        (Evidence(stated=True, confirmed=False), Age(None, 150), ("unproven", "polled, and not yet")),
        (Evidence(stated=False, confirmed=False), Age(None, 150), ("unproven", "no statement")),
        (replace(CONFIRMED, gap="a gap"), Age(1, 150), ("unproven", "a gap")),
        (replace(CONFIRMED, drift="a drift"), Age(151, 150), ("drift", "a drift")),
        (replace(CONFIRMED, unlisted=True), Age(1, 150), ("unproven", "some fills cannot")),
    ],
)
def test_the_verdict_of_a_polled_account_rests_on_the_age_of_its_round(evidence, round_age, verdict):
    found, reason = judge(evidence, Freshness(Age(None, 5), PRICES, round_age, is_polled=True))

    assert found.value == verdict[0]
    assert (reason is None) is (verdict[1] is None)
    assert reason is None or reason.startswith(verdict[1])

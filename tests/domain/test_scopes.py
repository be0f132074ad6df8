"""Several scopes of one account: what one statement covers, and by which law its sizes are proven."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.amounts import ZERO
from hlposmon.domain.changes import Adopted, AdoptionReason, Drift
from hlposmon.domain.continuity import FILL_CHAIN, STATEMENT_ONLY
from hlposmon.domain.reports import AccountMode, FeedState, Fills, Funding, Marks, Unlisted
from hlposmon.domain.verdict import Age, Freshness
from tests.domain.language import ACCOUNT, FRESH, Desk, fill, key, ms, statement

FIRST, SPOT = "", "spot"
NO_FILLS = Freshness(Age(None, 5), Age(0.1, 5), Age(1, 120))


class Scopes(Desk):
    """A desk whose account has perpetuals, and a scope `spot` of which the venue tells what is held."""

    def __init__(self, law=STATEMENT_ONLY) -> None:
        super().__init__()
        self.book.watch_scopes(ACCOUNT, {FIRST: FILL_CHAIN, SPOT: law})

    def spot(self, text: str, *, at: float, **more):
        return self._heard(self.book.reconcile(replace(statement(text, at=at), scope=SPOT, **more)))

    def judge(self, spot: Freshness = NO_FILLS) -> None:
        self.book.set_freshness(ACCOUNT, FRESH)
        self.book.set_freshness(ACCOUNT, spot, SPOT)
        self._heard(self.book.judge())

    def verdict(self, coin: str) -> tuple[str, str | None]:
        view = self.view(coin)
        return view.verdict.value, view.reason


@pytest.mark.parametrize("law", [FILL_CHAIN, STATEMENT_ONLY], ids=["fill chain", "statement"])
def test_a_statement_of_one_scope_does_not_flatten_another(law):
    desk = Scopes(law)
    desk.stated("BTC long 1 @ 100", at=0)
    desk.spot("HYPE long 5 @ 10", at=1)
    for time in range(2, 40, 3):
        desk.stated("BTC long 1 @ 100", at=time, fetched=-100)
        desk.spot("HYPE long 5 @ 10", at=time + 1, fills_from_ms=ms(-100))

    assert (desk.size("BTC"), desk.size("HYPE")) == (1, 5)
    assert not desk.of(Drift)
    assert desk.book.doubtful() == desk.book.doubtful(SPOT) == []
    desk.spot("", at=50)
    assert desk.size("BTC") == 1


def test_orders_feeds_and_doubts_of_scopes_do_not_meet():
    desk = Scopes(FILL_CHAIN)
    desk.stated("BTC long 1 @ 100", at=100)
    desk.spot("HYPE long 5 @ 10", at=10)
    assert desk.book.is_live(ACCOUNT) and not desk.book.is_live(ACCOUNT, SPOT)
    assert (desk.book.statement_asked_s(ACCOUNT), desk.book.statement_asked_s(ACCOUNT, SPOT)) == (100, 10)
    assert desk.book.unsure(SPOT) == {ACCOUNT: {"": ms(10)}}

    desk.book.feed(FeedState(ACCOUNT, "spot feed", True, 5.0, scope=SPOT))
    lost = replace(fill("tid=1 buy 1 HYPE @ 10 from 7 at 20"), key=key("HYPE"))
    desk._heard(desk.book.apply(Fills(ACCOUNT, "feed", (lost,), 1.0, scope=SPOT)))
    assert (desk.book.has_gap(ACCOUNT), desk.book.has_gap(ACCOUNT, SPOT)) == (False, True)
    assert desk.book.doubtful() == []
    assert [name for name, _ in desk.book.doubtful(SPOT)] == [ACCOUNT]
    assert desk.book.doubtful_keys(ACCOUNT) == [key("HYPE")]
    desk.judge(FRESH)
    assert desk.verdict("BTC") == ("proven", None)
    assert desk.verdict("HYPE")[0] == "unproven"
    assert desk.book.high_water_ms(ACCOUNT) == ms(85)

    assert desk.book.unlist(Unlisted(ACCOUNT, 0, 1, "gone", scope=SPOT))
    paid = Funding(ACCOUNT, key("HYPE"), ms(30), Decimal(2), Decimal(5), ZERO, scope=SPOT)
    assert len(desk.book.apply_funding(paid)) == 1 and desk.position("HYPE").funding == 2


def test_an_account_is_proven_when_all_its_scopes_are():
    desk = Scopes()
    desk.book.mode(AccountMode(ACCOUNT, "default", plain=True))
    assert desk.book.account(ACCOUNT).reason == "not judged yet"
    desk.stated("BTC long 1 @ 100", at=0)
    desk.judge()
    account = desk.book.account(ACCOUNT)
    assert (account.verdict, account.reason) == ("unproven", "spot: no statement from the venue yet")
    assert (account.stated, account.as_of_ms) == (False, None)

    desk.spot("HYPE long 5 @ 10", at=9)
    desk.judge()
    account = desk.book.account(ACCOUNT)
    assert (account.verdict, account.stated, account.as_of_ms) == ("proven", True, ms(0))
    assert (account.equity, account.equity_reason) == (None, "each of its scopes has figures of its own")
    first, spot = desk.book.scopes(ACCOUNT)
    assert (first.name, first.proof, first.equity, first.as_of_ms) == (FIRST, "fills", 1000, ms(0))
    assert (spot.name, spot.proof, spot.verdict, spot.as_of_ms) == (SPOT, "statement", "proven", ms(9))


def test_positions_of_all_scopes_are_shown_in_the_order_of_their_keys():
    desk = Scopes()
    desk.spot("AAVE long 5 @ 10, ZEC long 1 @ 1", at=1)
    desk.stated("BTC long 1 @ 100", at=2)

    assert [view.key for view in desk.book.views()] == [key("AAVE"), key("BTC"), key("ZEC")]
    assert sorted(desk.book.keys(ACCOUNT)) == [key("AAVE"), key("BTC"), key("ZEC")]
    assert [desk.view(coin).proof.value for coin in ("AAVE", "BTC")] == ["statement", "fills"]
    with pytest.raises(KeyError):
        desk.view("SOL")
    desk.book.mark(Marks({key("ZEC"): Decimal(3), key("BTC"): Decimal(7)}, 1.0))
    assert (desk.view("ZEC").mark, desk.view("BTC").mark) == (3, 7)


# ------------------------------------------------------------ the venue's word


def test_where_the_venues_word_is_all_its_newest_statement_is_the_position():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.spot("HYPE long 3 @ 10", at=2)
    desk.judge()
    assert (desk.size("HYPE"), desk.verdict("HYPE")) == (3, ("proven", None))
    assert desk.view("HYPE").as_of_ms == ms(2)

    desk.spot("HYPE long 3 @ 10", at=4)
    assert desk.view("HYPE").as_of_ms == ms(4)
    desk.spot("HYPE long 9 @ 10", at=3, asked_s=5.0)  # older, though asked for later
    assert (desk.size("HYPE"), desk.view("HYPE").as_of_ms) == (3, ms(4))
    desk.spot("", at=6)
    assert (desk.size("HYPE"), desk.view("HYPE").as_of_ms) == (0, ms(6))
    said = [(change.reason, change.position.size) for change in desk.of(Adopted)]
    assert said == [(AdoptionReason.START, 5), (AdoptionReason.STATED, 3), (AdoptionReason.STATED, 0)]


def test_only_another_entry_price_than_the_tolerance_allows_is_news():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10 ~ 0.1", at=1)
    for time, text in enumerate(
        ("HYPE long 5 @ 10.1 ~ 0.1", "HYPE long 5 @ ?", "HYPE long 5 @ 10.2 ~ 0.1"), 2
    ):
        desk.spot(text, at=time)

    assert [change.position.cost for change in desk.of(Adopted)] == [50, 51]


def test_two_statements_of_one_time_that_differ_dispute_the_position_until_a_newer_one():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.spot("HYPE long 5 @ 10", at=1, asked_s=2.0)
    desk.judge()
    assert desk.verdict("HYPE") == ("proven", None)

    desk.spot("HYPE long 3 @ 10", at=1, asked_s=3.0)
    desk.judge()
    assert desk.size("HYPE") == 5
    assert desk.verdict("HYPE") == ("unproven", "two statements of one time differ: 5 and 3")
    assert desk.view("HYPE").in_doubt
    desk.spot("HYPE long 3 @ 10", at=4)
    desk.judge()
    assert (desk.size("HYPE"), desk.verdict("HYPE")) == (3, ("proven", None))


def test_where_the_venues_word_is_all_it_must_be_fresh_and_no_fills_are_asked_for():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    one = fill("tid=1 buy 1 HYPE @ 10 from 5 at 2")
    assert desk.book.apply(Fills(ACCOUNT, "feed", (one, one), 1.0, scope=SPOT)) == []
    assert desk.book.apply(Fills(ACCOUNT, "feed", (one,), 1.0, scope=SPOT)) == []
    desk.judge(replace(NO_FILLS, behind="too busy"))
    assert desk.verdict("HYPE") == ("proven", None)
    desk.judge(replace(NO_FILLS, statement=Age(121, 120)))
    assert desk.verdict("HYPE") == ("stale", "no statements for more than 120 s")


def test_after_a_restart_the_venues_word_of_before_is_none_of_now():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    again = Scopes()
    again.book.recall(desk.book.memories(SPOT), desk.book.base_ms(SPOT), scope=SPOT)
    again.judge()
    assert (again.size("HYPE"), again.verdict("HYPE")) == (
        5,
        ("unproven", "not yet stated again since the start"),
    )
    assert again.book.memories() == []

    again.spot("HYPE long 5 @ 10", at=9)
    again.judge()
    assert again.verdict("HYPE") == ("proven", None)


# -------------------------------------------------------------- which scopes


def test_scopes_can_be_added_and_let_go_and_one_with_another_law_begins_anew():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.book.watch_scopes(ACCOUNT, {FIRST: FILL_CHAIN, SPOT: FILL_CHAIN})
    assert [view.key for view in desk.book.views()] == [key("BTC")]
    assert desk.book.mark(Marks({key("BTC"): Decimal(9), key("HYPE"): Decimal(9)}, 1.0)) == [
        (ACCOUNT, key("BTC"))
    ]

    desk.book.watch_scopes(ACCOUNT, {SPOT: FILL_CHAIN})
    assert desk.book.views() == []
    assert desk.stated("BTC long 1 @ 100", at=5) == []
    assert (desk.book.doubtful(), desk.book.base_ms()) == ([], {})
    with pytest.raises(KeyError):
        desk.book.is_live(ACCOUNT)


def test_reports_of_a_scope_that_is_not_watched_change_nothing():
    desk = Desk()
    one = fill("tid=1 buy 1 HYPE @ 10 from 5 at 2")
    assert desk.book.apply(Fills(ACCOUNT, "feed", (one,), scope=SPOT)) == []
    assert desk.book.reconcile(replace(statement("HYPE long 1 @ 1"), scope=SPOT)) == []
    assert not desk.book.unlist(Unlisted(ACCOUNT, 0, 1, "gone", scope=SPOT))
    desk.book.feed(FeedState(ACCOUNT, "first", True, 5.0, scope=SPOT))
    assert desk.book.views() == []

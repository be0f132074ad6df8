"""Several scopes of one account: what one statement covers, and by which law its sizes are proven."""

from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.changes import Adopted, AdoptionReason, Drift, Filled, Gap
from hlposmon.domain.instrument import SPOT
from hlposmon.domain.rendering import Rendered, Renderer, Sums
from hlposmon.domain.reports import (
    OTHER_SCOPES,
    AccountMode,
    Collateral,
    FeedState,
    Fills,
    Funding,
    Marks,
    Place,
    PlaceRead,
    Unlisted,
)
from hlposmon.domain.verdict import Age, Freshness
from tests.domain.language import ACCOUNT, FRESH, Desk, fill, key, ms, statement

DEX = "xyz"
TSLA, HYPE = "xyz:TSLA", "hyperliquid:BaseToken:HYPE"
NO_FILLS = Freshness(Age(None, 5), Age(0.1, 5), Age(1, 120))


class Scopes(Desk):
    """A desk whose account trades on a second dex, and holds tokens of which the venue tells the balance."""

    def dex(self, text: str, *, at: float, **more):
        return self._heard(self.book.reconcile(replace(statement(text, at=at), scope=DEX, **more)))

    def spot(self, text: str, *, at: float, **more):
        said = statement(text, at=at)
        rows = [replace(row, key=row.key.replace("Perp", "BaseToken")) for row in said.positions]
        return self._heard(self.book.reconcile(replace(said, positions=tuple(rows), scope=SPOT, **more)))

    def fetched(self, text: str, *, since: float):
        return self._heard(self.book.apply(Fills(ACCOUNT, "fetch", (fill(text),), from_ms=ms(since))))

    def nothing_else(self, *, at: float) -> bool:
        return self.book.note_nothing_else(replace(statement("", at=at), positions=()))

    def judge(self, spot: Freshness = NO_FILLS) -> None:
        for scope in self.book.scope_names(ACCOUNT):
            self.book.set_freshness(ACCOUNT, spot if scope == SPOT else FRESH, scope)
        self._heard(self.book.judge())

    def of_key(self, name: str):
        return self.book.view(ACCOUNT, name)

    def verdict(self, name: str) -> tuple[str, str | None]:
        view = self.of_key(name)
        return view.verdict.value, view.reason


def test_a_statement_of_one_dex_does_not_flatten_another():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.dex(f"{TSLA} long 5 @ 10", at=1)
    for time in range(2, 40, 3):
        desk.stated("BTC long 1 @ 100", at=time, fetched=-100)
        desk.dex(f"{TSLA} long 5 @ 10", at=time + 1, fills_from_ms=ms(-100))

    assert (desk.size("BTC"), desk.size(TSLA)) == (1, 5)
    assert not desk.of(Drift)
    assert desk.book.doubtful() == []
    desk.dex("", at=50)
    assert desk.size("BTC") == 1


def test_a_dex_has_a_scope_once_something_is_stated_or_traded_there():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.dex("", at=1, equity=Decimal(0))
    assert desk.book.scope_names(ACCOUNT) == ("",)
    assert not desk.book.is_stated(ACCOUNT, DEX)

    desk.dex(f"{TSLA} long 5 @ 10", at=2)
    desk.heard(fill("tid=1 buy 1 abc:GOLD @ 10 at 3"))
    assert desk.book.scope_names(ACCOUNT) == ("", DEX, "abc")
    assert desk.book.is_stated(ACCOUNT, DEX) and not desk.book.is_stated(ACCOUNT, "abc")
    assert desk.book.take_opened() == {(ACCOUNT, DEX): None, (ACCOUNT, "abc"): None}
    assert desk.book.take_opened() == {}
    desk.nothing_else(at=4)
    desk.heard(fill("tid=2 buy 1 def:OIL @ 10 at 5"))
    assert desk.book.take_opened() == {(ACCOUNT, "def"): ms(4)}
    assert desk.book.base_ms() == {ACCOUNT: {"": ms(0), DEX: ms(2), "def": ms(4)}}


def test_on_a_dex_that_held_nothing_the_chain_begins_at_zero():
    desk = Scopes()
    desk.stated("", at=0)
    assert desk.nothing_else(at=10)
    assert not desk.nothing_else(at=80)
    assert desk.book.is_stated(ACCOUNT, DEX)

    desk.heard(fill(f"tid=1 buy 1 {TSLA} @ 10 at 90"))
    desk.judge()
    assert desk.verdict(key(TSLA)) == ("proven", None)
    assert desk.of(Filled)[-1].position.size == 1

    desk.heard(fill("tid=2 buy 1 abc:GOLD @ 10 from 3 at 91"))  # three were bought, and nobody told
    assert [(change.expected, change.found) for change in desk.of(Gap)] == [(0, 3)]
    assert desk.book.base_ms()[ACCOUNT] == {"": ms(0), DEX: ms(10), "abc": ms(10), OTHER_SCOPES: ms(10)}


def test_a_position_on_a_dex_that_held_nothing_is_doubted_until_its_fills_are_there():
    desk = Scopes()
    desk.stated("", at=0)
    desk.nothing_else(at=10)
    desk.dex(f"{TSLA} long 5 @ 10", at=20)
    desk.judge()
    assert desk.size(TSLA) == 0 and desk.verdict(key(TSLA))[0] == "unproven"
    assert desk.book.doubtful()
    desk.fetched(f"tid=1 buy 5 {TSLA} @ 10 at 15", since=5)
    desk.dex(f"{TSLA} long 5 @ 10", at=30, fills_from_ms=ms(5))
    desk.judge()
    assert (desk.size(TSLA), desk.verdict(key(TSLA))) == (5, ("proven", None))
    assert not desk.of(Drift)


def test_one_stream_has_the_fills_of_all_dexes():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=100)
    desk.dex(f"{TSLA} long 5 @ 10", at=110)
    assert desk.book.high_water_ms(ACCOUNT) == ms(95)  # a first statement may lag

    desk.heard(fill("tid=1 buy 1 BTC @ 10 from 1 at 200"))
    assert desk.book.high_water_ms(ACCOUNT) == ms(200)
    desk.heard(fill(f"tid=2 buy 1 {TSLA} @ 10 from 7 at 300"))
    assert desk.book.has_gap(ACCOUNT)
    assert [name for name, _ in desk.book.doubtful()] == [ACCOUNT]
    assert desk.book.doubtful_keys(ACCOUNT, DEX) == [key(TSLA)]
    assert desk.book.doubtful_keys(ACCOUNT, "") == []
    desk.judge()
    assert desk.verdict(key("BTC")) == ("proven", None)
    assert desk.verdict(key(TSLA))[0] == "unproven"

    assert desk.book.high_water_ms(ACCOUNT) < ms(300)
    assert desk.book.unlist(Unlisted(ACCOUNT, 0, 1, "gone"))
    paid = Funding(ACCOUNT, key(TSLA), ms(120), Decimal(2), Decimal(5), Decimal(0))
    assert len(desk.book.apply_funding(paid)) == 1 and desk.position(TSLA).funding == 2


def test_while_a_first_statement_is_awaited_fills_from_its_first_one_on_are_wanted_again():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=100)
    desk.heard(fill(f"tid=1 buy 1 {TSLA} @ 10 at 150"))
    desk.heard(fill("tid=2 buy 1 BTC @ 10 from 1 at 200"))
    assert desk.book.high_water_ms(ACCOUNT) == ms(150)
    desk.dex(f"{TSLA} long 1 @ 10", at=210)
    assert desk.book.high_water_ms(ACCOUNT) == ms(200)


def test_a_message_with_fills_of_several_dexes_is_taken_by_each():
    desk = Scopes()
    desk.stated("", at=0)
    desk.nothing_else(at=0)
    fills = [fill(text) for text in ("tid=1 buy 1 BTC @ 10 at 5", f"tid=2 sell 2 {TSLA} @ 10 at 5")]
    desk._heard(desk.book.apply(Fills(ACCOUNT, "feed", tuple(fills), 1.0)))
    assert (desk.size("BTC"), desk.size(TSLA)) == (1, -2)
    assert desk.book.high_water_ms(ACCOUNT) == ms(5)


def test_a_feed_that_goes_down_is_down_for_every_dex():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=100)
    desk.dex(f"{TSLA} long 5 @ 10", at=110)
    desk.heard(fill("tid=1 buy 1 BTC @ 10 from 1 at 200"))
    desk.book.feed(FeedState(ACCOUNT, "first", False, 201.0, "cut off"))
    desk.judge()
    assert {desk.verdict(key(coin)) for coin in ("BTC", TSLA)} == {
        ("unproven", "the feed of fills is down: cut off")
    }
    assert desk.book.unsure() == {ACCOUNT: {"": ms(200)}}


def test_after_a_restart_every_dex_goes_on_from_what_was_known_of_the_account():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=100)
    desk.nothing_else(at=100)
    desk.heard(fill(f"tid=1 buy 5 {TSLA} @ 10 at 110"))
    desk.heard(fill("tid=2 buy 1 BTC @ 10 from 1 at 9000"))
    again = Scopes()
    again.book.recall(desk.book.memories(), desk.book.base_ms())

    assert again.book.high_water_ms(ACCOUNT) == ms(8940)  # fills of the last minute are told apart again
    assert (again.size("BTC"), again.size(TSLA)) == (2, 5)
    assert again.book.base_ms() == desk.book.base_ms()
    again.fetched("tid=3 buy 1 abc:GOLD @ 10 at 9010", since=8930)  # opened while nobody watched
    assert again.of(Filled)[-1].position.size == 1


def test_an_account_is_proven_when_all_its_scopes_are():
    desk = Scopes()
    desk.book.mode(AccountMode(ACCOUNT, "default", plain=True))
    assert desk.book.account(ACCOUNT).reason == "not judged yet"
    desk.stated("BTC long 1 @ 100", at=0)
    desk.book.open(ACCOUNT, DEX)
    desk.judge()
    account = desk.book.account(ACCOUNT)
    assert (account.verdict, account.reason) == ("unproven", "xyz: no statement from the venue yet")
    assert (account.stated, account.as_of_ms) == (False, None)
    assert desk.book.is_stated(ACCOUNT) and not desk.book.is_wholly_stated(ACCOUNT)

    desk.dex(f"{TSLA} long 5 @ 10", at=9)
    desk.judge()
    account = desk.book.account(ACCOUNT)
    assert (account.verdict, account.stated, account.as_of_ms) == ("proven", True, ms(0))
    first, dex = desk.book.scopes(ACCOUNT)
    assert (first.name, first.proof, first.equity, first.as_of_ms) == ("", "fills", 1000, ms(0))
    assert (dex.name, dex.proof, dex.verdict, dex.as_of_ms) == (DEX, "fills", "proven", ms(9))


def test_positions_of_all_scopes_are_shown_in_the_order_of_their_keys():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.dex(f"{TSLA} long 1 @ 1", at=1)
    desk.stated("BTC long 1 @ 100", at=2)

    assert [view.key for view in desk.book.views()] == [HYPE, key("BTC"), key(TSLA)]
    assert [desk.of_key(one).proof.value for one in (HYPE, key(TSLA))] == ["statement", "fills"]
    with pytest.raises(KeyError):
        desk.view("SOL")
    desk.book.mark(Marks({key(TSLA): Decimal(3), HYPE: Decimal(7)}, 1.0))
    assert (desk.view(TSLA).mark, desk.of_key(HYPE).mark) == (3, 7)


# ------------------------------------------------------------ the venue's word


def test_where_the_venues_word_is_all_its_newest_statement_is_the_position():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.spot("HYPE long 3 @ 10", at=2)
    desk.judge()
    assert (desk.of_key(HYPE).position.size, desk.verdict(HYPE)) == (3, ("proven", None))
    assert desk.of_key(HYPE).as_of_ms == ms(2)

    desk.spot("HYPE long 3 @ 10", at=4)
    assert desk.of_key(HYPE).as_of_ms == ms(4)
    desk.spot("HYPE long 9 @ 10", at=3, asked_s=5.0)  # older, though asked for later
    assert (desk.of_key(HYPE).position.size, desk.of_key(HYPE).as_of_ms) == (3, ms(4))
    desk.spot("", at=6)
    assert (desk.of_key(HYPE).position.size, desk.of_key(HYPE).as_of_ms) == (0, ms(6))
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
    assert desk.verdict(HYPE) == ("proven", None)

    desk.spot("HYPE long 3 @ 10", at=1, asked_s=3.0)
    desk.judge()
    assert desk.of_key(HYPE).position.size == 5
    assert desk.verdict(HYPE) == ("unproven", "two statements of one time differ: 5 and 3")
    assert desk.of_key(HYPE).in_doubt
    desk.spot("HYPE long 3 @ 10", at=4)
    desk.judge()
    assert (desk.of_key(HYPE).position.size, desk.verdict(HYPE)) == (3, ("proven", None))


def test_where_the_venues_word_is_all_it_must_be_fresh_and_no_fills_are_asked_for():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    one = replace(fill("tid=1 buy 1 HYPE @ 10 from 5 at 2"), key=HYPE)
    assert desk.book.apply(Fills(ACCOUNT, "feed", (one, one), 1.0)) == []
    assert desk.book.apply(Fills(ACCOUNT, "feed", (one,), 1.0)) == []
    desk.judge(replace(NO_FILLS, behind="too busy"))
    assert desk.verdict(HYPE) == ("proven", None)
    desk.judge(replace(NO_FILLS, statement=Age(121, 120)))
    assert desk.verdict(HYPE) == ("stale", "no statements for more than 120 s")


def test_after_a_restart_the_venues_word_of_before_is_none_of_now():
    desk = Scopes()
    desk.spot("HYPE long 5 @ 10", at=1)
    again = Scopes()
    again.book.recall(desk.book.memories(), desk.book.base_ms())
    again.judge()
    assert (again.of_key(HYPE).position.size, again.verdict(HYPE)) == (
        5,
        ("unproven", "not yet stated again since the start"),
    )

    again.spot("HYPE long 5 @ 10", at=9)
    again.judge()
    assert again.verdict(HYPE) == ("proven", None)


# -------------------------------------------------------------- what could not be read


def test_reports_about_an_account_that_is_not_watched_change_nothing():
    desk = Scopes()
    one = replace(fill(f"tid=1 buy 1 {TSLA} @ 10 from 5 at 2"), account="other")
    assert desk.book.apply(Fills("other", "feed", (one,))) == []
    assert desk.book.reconcile(replace(statement("BTC long 1 @ 1"), account="other")) == []
    assert not desk.book.unlist(Unlisted("other", 0, 1, "gone"))
    assert not desk.book.note_nothing_else(replace(statement(""), account="other"))
    desk.book.feed(FeedState("other", "first", True, 5.0))
    desk.book.fetched("other", 0)
    assert desk.book.views() == []


def test_that_nothing_else_is_held_is_remembered_once_all_that_is_held_was_stated():
    """The first statement of a dex may wait for a feed; a restart then knows nothing of that dex."""
    desk = Scopes()
    desk.stated("", at=0)
    desk.book.open(ACCOUNT, DEX)
    assert not desk.nothing_else(at=1)
    assert desk.book.base_ms() == {ACCOUNT: {"": ms(0)}}
    desk.heard(fill("tid=1 buy 1 abc:GOLD @ 10 at 2"))  # but in this process it is known
    assert desk.of(Filled)[-1].position.size == 1
    desk.dex(f"{TSLA} long 5 @ 10", at=3)
    assert desk.book.persist_flat(ACCOUNT)
    assert not desk.book.persist_flat(ACCOUNT)
    assert desk.book.base_ms() == {ACCOUNT: {"": ms(0), DEX: ms(3), "abc": ms(1), OTHER_SCOPES: ms(1)}}


# ------------------------------------------------------------ what an account is worth


def worth(desk: Scopes) -> tuple[Decimal | None, str | None]:
    account = desk.book.account(ACCOUNT)
    return account.equity, account.equity_reason


def test_an_account_is_worth_its_dexes_and_its_tokens_at_their_marks():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    assert worth(desk) == (1000, None)
    desk.spot("HYPE long 5 @ 10, USDC long 70 @ 1", at=1)
    assert worth(desk) == (None, f"the price of {HYPE} is not known")
    desk.book.mark(Marks({HYPE: Decimal(30), HYPE.replace("HYPE", "USDC"): Decimal(1)}, 1.0))
    assert worth(desk) == (1000 + 150 + 70, None)
    assert [one.equity for one in desk.book.scopes(ACCOUNT)] == [1000, 220]
    desk.spot("USDC long 70 @ 1", at=2)
    assert worth(desk) == (1070, None)
    desk.spot("", at=3, unread={HYPE: "no text"})
    assert worth(desk) == (None, f"the balance of {HYPE} could not be read")


def test_figures_in_another_token_are_valued_at_its_mark():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.dex(f"{TSLA} long 5 @ 10", at=1)
    assert worth(desk) == (None, "it is not known yet in which token the figures of the dex xyz are")
    desk.book.collateral(Collateral(DEX, "USDH"))
    assert worth(desk) == (None, "the figures of the dex xyz are in USDH, whose price is not known")
    desk.book.mark(Marks({"hyperliquid:BaseToken:USDH": Decimal("0.5")}, 1.0))
    assert worth(desk) == (1500, None)
    assert desk.view(TSLA).quote == "USDH"
    desk.book.collateral(Collateral(DEX, "USDC"))
    assert worth(desk) == (2000, None)


def test_what_the_exchange_does_not_tell_of_spot_leaves_the_equity_unknown():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.book.place_read(PlaceRead(ACCOUNT, Place.SPOT, ("its balances on spot",)))
    assert worth(desk) == (None, "the exchange does not tell its balances on spot")


def test_of_a_token_what_was_earned_and_paid_is_not_known():
    desk = Scopes()
    desk.stated("", at=0)
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.book.mark(Marks({HYPE: Decimal(30)}, 1.0))
    shown = Rendered(desk.of_key(HYPE))
    assert (shown.size, shown.entry_price, shown.unrealized_pnl) == ("5", "10", "100.00")
    assert [shown.realized_pnl, shown.fees, shown.funding, shown.closed_pnl, shown.total_pnl] == [None] * 5


def test_sums_are_those_of_perpetuals_in_usd_and_count_all():
    desk = Scopes()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.spot("HYPE long 5 @ 10", at=1)
    desk.book.mark(Marks({HYPE: Decimal(30), key("BTC"): Decimal(110)}, 1.0))
    renderer = Renderer()
    for view in desk.book.views():
        renderer.render(view)
    assert renderer.sums(ACCOUNT).shown()["active_positions"] == 2
    assert renderer.sums(ACCOUNT).shown()["unrealized_pnl"] == "10.00"
    desk.dex(f"{TSLA} long 5 @ 10", at=2)
    for view in desk.book.views():
        renderer.render(view)
    sums = renderer.sums(ACCOUNT).shown()
    assert (sums["active_positions"], sums["unrealized_pnl"], sums["realized_pnl"]) == (3, None, None)
    desk.book.collateral(Collateral(DEX, "USDC"))
    desk.book.mark(Marks({key(TSLA): Decimal(11)}, 2.0))
    for view in desk.book.views():
        renderer.render(view)
    assert renderer.sums(ACCOUNT).shown()["unrealized_pnl"] == "15.00"
    assert renderer.sums(ACCOUNT).shown() == Sums(desk.book.views()).shown()


# ------------------------------------------------------------ what a restart and a fetch must not forget


def test_a_gap_on_a_dex_that_held_nothing_is_known_after_a_restart():
    desk = Scopes()
    desk.stated("", at=0)
    desk.nothing_else(at=10)
    desk.heard(fill(f"tid=2 buy 2 {TSLA} @ 10 from 3 at 20"))  # the first one was lost
    again = Scopes()
    again.book.recall(desk.book.memories(), desk.book.base_ms(), desk.book.unsure())
    assert again.book.has_recalled_gap(ACCOUNT)
    assert again.book.high_water_ms(ACCOUNT) <= ms(10)


def test_the_first_statement_of_another_dex_does_not_say_that_fills_before_it_are_known():
    desk = Scopes()
    desk.stated("", at=0)
    desk.heard(fill("tid=1 buy 1 BTC @ 10 at 5"))
    desk.dex("", at=700)  # money alone
    assert desk.book.scope_names(ACCOUNT) == ("", DEX)
    assert desk.book.high_water_ms(ACCOUNT) == ms(5)


def test_a_dex_on_which_nothing_is_held_is_stated_with_all_others():
    desk = Scopes()
    desk.stated("", at=0)
    desk.dex("", at=1)
    desk.nothing_else(at=50)
    assert desk.book.statement_asked_s(ACCOUNT, DEX) == 50
    desk.dex(f"{TSLA} long 5 @ 10", at=60)
    desk.nothing_else(at=90)
    assert desk.book.statement_asked_s(ACCOUNT, DEX) == 60


def test_a_scope_that_is_opened_knows_which_fills_are_not_listed_any_more():
    desk = Scopes()
    desk.stated("", at=0)
    desk.nothing_else(at=0)
    desk.book.unlist(Unlisted(ACCOUNT, ms(10), ms(20), "gone"))
    desk.heard(fill(f"tid=1 buy 1 {TSLA} @ 10 at 25"))
    desk.judge()
    assert desk.verdict(key(TSLA))[0] == "unproven"


def test_an_equity_is_not_known_while_its_dexes_were_stated_far_apart():
    desk = Scopes()
    desk.stated("", at=0)
    desk.dex("", at=1)
    desk.book.collateral(Collateral(DEX, "USDC"))
    assert worth(desk) == (2000, None)
    desk.stated("", at=30)
    assert worth(desk) == (
        None,
        "its dexes were stated at different times, and money may have moved between them",
    )


def test_the_margin_is_that_of_the_dexes_whatever_the_tokens_are_worth():
    desk = Scopes()
    desk.stated("", at=0)
    desk.spot("HYPE long 5 @ 10", at=1)
    account = desk.book.account(ACCOUNT)
    assert (account.equity, account.margin_used, account.withdrawable) == (None, 10, 900)


def test_that_nothing_is_held_elsewhere_says_nothing_of_the_first_dex():
    desk = Scopes()
    desk.stated("", at=0)
    desk.nothing_else(at=50)
    assert desk.book.statement_asked_s(ACCOUNT) == 0
    assert desk.book.account(ACCOUNT).equity == 1000


def test_until_spot_was_looked_at_and_stated_again_an_account_is_of_unknown_worth():
    desk = Scopes(plain=False)
    desk.book.mode(AccountMode(ACCOUNT, "default", plain=True))
    desk.stated("", at=0)
    assert worth(desk) == (None, "it is not known yet what it holds on spot")
    desk.spot("USDC long 70 @ 1", at=1)

    again = Scopes()
    again.book.recall(desk.book.memories(), desk.book.base_ms())
    again.stated("", at=2)
    assert worth(again) == (None, "no statement of spot yet")
    assert again.book.keys(ACCOUNT, SPOT) == [HYPE.replace("HYPE", "USDC")]


def test_an_older_word_that_nothing_else_is_held_changes_nothing():
    desk = Scopes()
    desk.stated("", at=0)
    desk.nothing_else(at=50)
    desk.nothing_else(at=40)
    desk.dex(f"{TSLA} long 5 @ 10", at=60)
    assert desk.book.base_ms()[ACCOUNT][OTHER_SCOPES] == ms(50)
    assert desk.view(TSLA).in_doubt  # it was flat at 50


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_dex_whose_token_turns_out_to_be_another_is_taken_out_of_the_sums(is_marked):
    desk, renderer = Scopes(), Renderer()
    desk.stated("BTC long 1 @ 100", at=0)
    desk.dex(f"{TSLA} long 5 @ 10", at=1)
    desk.book.mark(Marks({key("BTC"): Decimal(110)}, 1.0))
    if is_marked:
        desk.book.mark(Marks({key(TSLA): Decimal(11)}, 1.0))
    for token, unrealized in (("USDC", "15.00" if is_marked else None), ("USDH", None)):
        desk.book.collateral(Collateral(DEX, token))
        for view in desk.book.views():
            renderer.render(view)
        assert renderer.sums(ACCOUNT).shown()["unrealized_pnl"] == unrealized
        assert renderer.sums(ACCOUNT).shown() == Sums(desk.book.views()).shown()
    assert renderer.sums(ACCOUNT).unrealized == 10


def test_that_nothing_else_is_held_says_nothing_of_a_dex_on_which_something_is():
    desk = Scopes()
    desk.stated("", at=0)
    desk.dex(f"{TSLA} long 5 @ 10", at=1)
    desk.nothing_else(at=90)
    assert desk.size(TSLA) == 5
    assert desk.book.statement_asked_s(ACCOUNT, DEX) == 1


# ------------------------------------------------------------ statements that cross each other


def answer(desk: Scopes, text: str, *, at: float, asked_s: float, pushed: bool = False) -> None:
    desk._heard(desk.book.reconcile(replace(statement(text, at=at), asked_s=asked_s, pushed=pushed)))


def test_a_push_that_is_older_than_the_last_answer_agrees_and_so_does_the_next_answer():
    desk = Scopes()
    desk.stated("BTC long 1 @ 10", at=10)
    answer(desk, "BTC long 1 @ 10", at=34, asked_s=21)
    answer(desk, "BTC long 1 @ 10", at=31, asked_s=22, pushed=True)
    answer(desk, "BTC long 1 @ 10", at=31, asked_s=23)
    assert desk.size("BTC") == 1
    assert desk.book.doubtful() == []


def test_the_figures_of_what_was_heard_last_stay_when_an_earlier_question_is_answered():
    desk = Scopes()
    desk.stated("BTC long 1 @ 10", at=10)
    answer(desk, "BTC long 1 @ 10", at=18, asked_s=20, pushed=True)
    answer(desk, "BTC long 1 @ 10", at=25, asked_s=19)
    assert desk.view("BTC").as_of_ms == ms(25)
    assert desk.book.statement_asked_s(ACCOUNT) == 20

"""The state worker: every account's state as it is pushed, or why it is not; nothing asked by REST."""

import time
from decimal import Decimal

from hlposmon.domain.reports import AccountEvent, AccountEventKind, Joined, NotWatched, Place, Statement
from hlposmon.workers import state
from tests.clock import awake_s


def pushed(one, name="main"):
    return [said for said in one.tracker.statements() if said.account == name]


def sizes(statement: Statement):
    return {stated.key: stated.size for stated in statement.positions}


def test_states_are_pushed_about_each_second(stage):
    one = stage()
    one.buy("BTC", "0.25")
    began_s = time.monotonic()
    one.start(one.state_worker)
    one.tracker.until(lambda: len(pushed(one)) >= 3)
    held = one.control.state()["accounts"][one.account.address]["positions"]

    assert one.tracker.heard[0] == Joined("worker", "state", one.addresses)
    assert all(said.pushed and said.fills_from_ms is None for said in pushed(one))
    assert sizes(pushed(one)[-1]) == {
        f"hyperliquid:Perp:{coin}": Decimal(row["szi"])
        for coin, row in held.items()
        if Decimal(row["szi"]) and ":" not in coin
    }
    assert began_s < pushed(one)[-1].asked_s < time.monotonic()


def test_every_account_is_pushed(stage):
    one = stage(accounts=3)
    one.start(one.state_worker)

    wanted = {account.name for account in one.accounts}
    one.tracker.until(lambda: {said.account for said in one.tracker.statements()} == wanted)


def test_a_position_that_no_fill_tells_is_in_the_next_push(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.control.ghost(one.account.address, "ETH", "7")
    began_s = awake_s()
    one.tracker.until(lambda: sizes(pushed(one)[-1]).get("hyperliquid:Perp:ETH") == 7)

    assert awake_s() - began_s < 2.5


def test_where_all_dexes_are_refused_the_first_is_asked_for(stage):
    one = stage()
    one.control.refuse_subscription("allDexsClearinghouseState")
    one.start(one.state_worker)

    one.tracker.until(lambda: len(pushed(one)) >= 2)


def test_where_every_push_is_refused_it_is_said(stage):
    one = stage()
    for kind in ("allDexsClearinghouseState", "clearinghouseState"):
        one.control.refuse_subscription(kind)
    one.start(one.state_worker)

    one.tracker.until(lambda: any("REST statements only" in text for text in one.tracker.notices()))
    assert not pushed(one)


def test_after_a_loss_it_is_pushed_again(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.control.drop()
    one.tracker.heard.clear()

    one.tracker.until(lambda: len(pushed(one)) >= 2)


def test_a_new_tracker_is_told_too(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.tracker.renew()

    one.tracker.until(lambda: pushed(one))


def test_what_is_not_understood_is_passed_over(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    for kind in ("text", "cut_json", "wrong_types", "unknown_channel", "binary"):
        one.control.ws_junk(kind)
    count = len(pushed(one))

    one.tracker.until(lambda: len(pushed(one)) >= count + 2)


def test_more_accounts_than_the_exchange_tracks_are_said(stage):
    one = stage(accounts=17, limits=True)
    one.start(one.state_worker)

    one.tracker.until(lambda: sum("refuses to push" in text for text in one.tracker.notices()) >= 1)
    one.tracker.until(lambda: len({said.account for said in one.tracker.statements()}) == 15)


def test_what_is_held_on_another_dex_is_told_until_it_is_held_no_more(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.tracker.until(lambda: one.tracker.of(AccountEvent))
    [told] = one.tracker.of(AccountEvent)

    assert (told.kind, told.text, told.keys) == (AccountEventKind.ELSEWHERE, "xyz:TSLA", ())
    one.tracker.until(lambda: one.tracker.holdings(Place.DEXES) == ("xyz:TSLA",))
    one.control.ghost(one.account.address, "xyz:TSLA", "0")
    one.tracker.until(lambda: one.tracker.holdings(Place.DEXES) == ())


def test_that_nothing_is_held_on_other_dexes_is_told_again_and_again(stage, monkeypatch):
    """What was traded there is named until then, whichever connection brought its news first."""
    monkeypatch.setattr(state, "OTHERS_S", 0.1)
    one = stage()
    one.start(one.state_worker)

    one.tracker.until(lambda: len(one.tracker.of(NotWatched)) >= 2)
    assert {told.holdings for told in one.tracker.of(NotWatched)} == {()}
    assert not one.tracker.of(AccountEvent)

"""The state worker: every account's state as it is pushed, or why it is not; nothing asked by REST."""

import json
import threading
import time
from decimal import Decimal

import pytest

from hlposmon.config import Account
from hlposmon.domain.reports import AccountEvent, AccountEventKind, Joined, Place, PlaceRead, Statement
from hlposmon.pacing import Backoff
from hlposmon.supervision.loop import Pulse
from hlposmon.transport.quota import Quota
from hlposmon.venues.hyperliquid.venue import Hyperliquid
from hlposmon.workers import state
from tests.clock import awake_s
from tests.transport.test_websocket import TEXT, Line, frame
from tests.venues.hyperliquid.payloads import all_dexes, balance, position_row, spot_state
from tests.venues.hyperliquid.payloads import state as state_of
from tests.workers.conftest import Tracker

TSLA = "hyperliquid:Perp:xyz:TSLA"
HYPE = "hyperliquid:BaseToken:HYPE"


def pushed(one, name="main", scope=""):
    return [said for said in one.tracker.statements(scope) if said.account == name]


def soon(monkeypatch):
    """What is held on no other dex is told with each push."""
    monkeypatch.setattr(state, "OTHERS_S", 0.1)


def message(channel, data):
    return json.dumps({"channel": channel, "data": data}).encode()


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

    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.tracker.until(lambda: len(pushed(one)) >= 2)
    assert not pushed(one, scope="xyz")
    assert not one.tracker.looks(Place.DEXES)  # of the others nothing is known


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


def test_a_dex_that_holds_something_is_reported_and_then_its_becoming_flat_and_each_push_after(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.tracker.until(lambda: pushed(one, scope="xyz"))
    held, *_ = pushed(one, scope="xyz")

    assert (sizes(held), held.pushed) == ({TSLA: 3}, True)
    one.control.ghost(one.account.address, "xyz:TSLA", "0")
    one.tracker.until(lambda: not sizes(pushed(one, scope="xyz")[-1]))
    count = len(pushed(one, scope="xyz"))
    one.tracker.until(lambda: len(pushed(one, scope="xyz")) >= count + 2)
    assert not any(":xyz:" in key for said in pushed(one) for key in sizes(said))


def test_a_dex_with_money_alone_is_reported(stage):
    one = stage()
    one.control.transfer(one.account.address, "250", "xyz")
    one.start(one.state_worker)

    one.tracker.until(lambda: pushed(one, scope="xyz"))
    assert {(said.equity, said.positions) for said in pushed(one, scope="xyz")} == {(250, ())}


def test_a_dex_with_a_position_that_cannot_be_read_is_reported(stage):
    one = stage()
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.control.garble("state", 1000, one.account.address, "xyz:TSLA")
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one, scope="xyz"))

    assert pushed(one, scope="xyz")[0].unread.keys() == {TSLA}


def test_a_dex_on_which_nothing_is_held_is_reported_to_a_tracker_that_wants_it_and_to_no_other(stage):
    one = stage(accounts=2)
    one.start(one.state_worker)
    one.tracker.until(lambda: len(pushed(one)) >= 3 and len(pushed(one, "other-1")) >= 3)
    assert not one.tracker.statements("xyz")
    one.tracker.want_statements("xyz")

    one.tracker.until(lambda: len(pushed(one, scope="xyz")) >= 2)
    assert {said.positions for said in pushed(one, scope="xyz")} == {()}
    assert not pushed(one, "other-1", "xyz")


def test_statements_wanted_of_an_account_that_is_not_watched_here_are_none(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.tracker.want_statements("xyz", account="nobody")
    count = len(pushed(one))

    one.tracker.until(lambda: len(pushed(one)) >= count + 2)
    assert not one.tracker.statements("xyz")


def test_that_nothing_is_held_on_other_dexes_is_told_again_and_again(stage, monkeypatch):
    soon(monkeypatch)
    one = stage()
    began_s, began_ms = time.monotonic(), one.control.state()["time"]
    one.start(one.state_worker)

    one.tracker.until(lambda: len(one.tracker.of(PlaceRead)) >= 2)
    told = one.tracker.looks(Place.DEXES)
    assert {look.unread for look in told} == {()}
    assert all(began_ms <= look.time_ms <= one.control.state()["time"] for look in told)
    assert all(began_s < look.asked_s < time.monotonic() for look in told)


def test_what_is_held_on_a_dex_is_told_before_that_nothing_is_held_on_any_other(stage, monkeypatch):
    """Else the tracker would believe for a moment that there was nothing on it."""
    soon(monkeypatch)
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.tracker.until(lambda: pushed(one, scope="xyz"))
    held, *_ = pushed(one, scope="xyz")
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES)[-1].asked_s >= held.asked_s)

    before = one.tracker.heard[: one.tracker.heard.index(held)]
    assert all(look.time_ms < held.time_ms for look in before if isinstance(look, PlaceRead))


def test_a_dex_whose_state_cannot_be_read_is_named_until_it_can_be_and_harms_no_other(stage, monkeypatch):
    soon(monkeypatch)
    one = stage()
    one.control.ghost(one.account.address, "xyz:TSLA", "3")
    one.control.garble("state", 1000, one.account.address, "xyz:TSLA", field="coin")
    one.start(one.state_worker)
    one.tracker.until(lambda: one.tracker.unread(Place.DEXES) == ("xyz",))
    one.tracker.until(lambda: len(pushed(one)) >= 2)

    assert not pushed(one, scope="xyz")
    one.control.ungarble()
    one.tracker.until(lambda: one.tracker.unread(Place.DEXES) == ())
    assert sizes(pushed(one, scope="xyz")[-1]) == {TSLA: 3}


@pytest.mark.parametrize("held", ["0", "3"])
def test_a_new_tracker_is_told_of_the_other_dexes_with_the_next_push(stage, held):
    """Though the one before was told just now: it is repeated every OTHERS_S seconds only."""
    one = stage()
    if held != "0":
        one.control.ghost(one.account.address, "xyz:TSLA", held)
    one.start(one.state_worker)
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))
    one.tracker.renew()
    began_s = awake_s()
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))

    assert awake_s() - began_s < state.OTHERS_S / 2
    assert [sizes(said) for said in pushed(one, scope="xyz")][-1:] == ([{TSLA: 3}] if held != "0" else [])


# ------------------------------------------------------------------ balances on spot


def test_balances_on_spot_are_reported_and_then_their_being_gone(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: len(pushed(one)) >= 2)
    assert not pushed(one, scope="spot")  # nothing is held there, and nobody has asked
    one.control.spot(one.account.address, "HYPE", "12.5")
    began_s, began_ms = time.monotonic(), one.control.state()["time"]
    one.tracker.until(lambda: pushed(one, scope="spot"))
    held, *_ = pushed(one, scope="spot")

    assert (sizes(held), held.pushed, held.fills_from_ms) == ({HYPE: Decimal("12.5")}, True, None)
    assert began_s < held.asked_s < time.monotonic()
    # A state is of up to a second before, and our clock is not the exchange's.
    assert began_ms - 2000 <= held.time_ms <= one.control.state()["time"] + 100
    one.control.spot(one.account.address, "HYPE", "0")
    one.tracker.until(lambda: not sizes(pushed(one, scope="spot")[-1]))
    assert not any("BaseToken" in key for said in pushed(one) for key in sizes(said))


def test_empty_balances_are_reported_to_a_tracker_that_wants_them_and_to_no_other(stage):
    one = stage(accounts=2)
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one) and pushed(one, "other-1"))
    one.tracker.want_statements("spot")

    one.tracker.until(lambda: len(pushed(one, scope="spot")) >= 2)
    assert {said.positions for said in pushed(one, scope="spot")} == {()}
    assert not pushed(one, "other-1", "spot")


def test_the_balances_of_each_account_are_its_own(stage):
    one = stage(accounts=2)
    one.control.spot(one.accounts[0].address, "HYPE", "1")
    one.control.spot(one.accounts[1].address, "HYPE", "2")
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one, scope="spot") and pushed(one, "other-1", "spot"))

    assert {tuple(sizes(said).values()) for said in pushed(one, scope="spot")} == {(1,)}
    assert {tuple(sizes(said).values()) for said in pushed(one, "other-1", "spot")} == {(2,)}


def test_where_balances_are_not_pushed_the_states_are_and_nothing_is_said(stage):
    one = stage()
    one.control.refuse_subscription("spotState")
    one.control.spot(one.account.address, "HYPE", "12.5")
    one.start(one.state_worker)
    one.tracker.until(lambda: len(pushed(one)) >= 3)
    one.tracker.until(lambda: one.tracker.looks(Place.DEXES))

    assert not pushed(one, scope="spot")
    assert one.tracker.notices() == []


def test_where_states_are_not_pushed_balances_have_no_time_and_are_not_reported(stage):
    one = stage()
    for kind in ("allDexsClearinghouseState", "clearinghouseState"):
        one.control.refuse_subscription(kind)
    one.control.spot(one.account.address, "HYPE", "12.5")
    one.start(one.state_worker)
    one.tracker.until(lambda: any("REST statements only" in text for text in one.tracker.notices()))
    one.tracker.for_s(1.5)

    assert not one.tracker.of(Statement)


def test_balances_are_no_sign_that_states_are_pushed(tmp_path, server):
    """An exchange that states positions once, and from then on balances alone."""
    user = "0x" + "ab" * 20
    states = all_dexes(("", state_of(position_row(coin="BTC"))), user=user)
    opened = []

    def balances_alone(sock, at):
        line = Line(sock, at)
        opened.append(line)
        echo = {"method": "subscribe", "subscription": {"type": "allDexsClearinghouseState", "user": user}}
        line.send(frame(TEXT, message("subscriptionResponse", echo)))
        line.send(frame(TEXT, message("allDexsClearinghouseState", states)))
        while not at.over.wait(0.1):
            body = {"user": user, "spotState": spot_state(balance("HYPE", "1.5"))}
            line.send(frame(TEXT, message("spotState", body)))

    url = f"ws://127.0.0.1:{server(balances_alone).port}/ws"
    tracker, pulse = Tracker(tmp_path / "q", {"main": None}), Pulse.alone("state")
    worker = state.StateWorker(
        pulse,
        accounts=[Account("main", user)],
        venue=Hyperliquid("", url, share=Quota().share(), deadline=pulse, backoff=Backoff(0.05, 0.2)),
        queue=tracker.path,
        silent_s=0.8,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        tracker.until(lambda: len(tracker.statements("spot")) >= 2)
        tracker.until(lambda: len(opened) >= 2)
    finally:
        pulse.stop()
        thread.join(30)
        tracker.close()
        pulse.close()

    assert [sizes(said) for said in tracker.statements()][:1] == [{"hyperliquid:Perp:BTC": Decimal(-4)}]


# ------------------------------------------------------------------- events


def events(one):
    return one.tracker.of(AccountEvent)


def test_transfers_are_told_as_they_happen_and_again_to_a_new_tracker(stage):
    one = stage()
    one.start(one.state_worker)
    one.tracker.until(lambda: pushed(one))
    one.control.transfer(one.account.address, "250")
    one.tracker.until(lambda: "deposit of 250.0 USDC" in [told.text for told in events(one)])
    told = events(one)[-1]

    assert (told.account, told.type, told.kind) == ("main", "deposit", AccountEventKind.TRANSFER)
    assert [(move.scope, move.token, move.amount) for move in told.moves] == [("", "USDC", 250)]
    one.tracker.renew()
    one.tracker.until(lambda: told in events(one))


def test_transfers_that_happened_while_nobody_listened_are_told_on_the_next_connection(stage):
    one = stage()
    one.control.transfer(one.account.address, "-3")
    one.start(one.state_worker)
    one.tracker.until(lambda: "withdraw of 3.0 USDC" in [told.text for told in events(one)])


def test_where_the_stream_of_transfers_is_refused_states_are_pushed_all_the_same(stage):
    one = stage()
    one.control.refuse_subscription("userNonFundingLedgerUpdates")
    one.start(one.state_worker)
    one.tracker.until(lambda: len(pushed(one)) >= 2)
    assert not one.tracker.notices()

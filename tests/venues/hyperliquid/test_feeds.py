"""What is subscribed at Hyperliquid, and what its answers mean: by a server that says what a test wants."""

import json
import time
from decimal import Decimal

import pytest

from hlposmon.config import Account
from hlposmon.domain.reports import StatedPosition
from hlposmon.transport.events import Lost, Opened
from hlposmon.transport.quota import Quota
from hlposmon.venues.hyperliquid import feed as feeds
from hlposmon.venues.hyperliquid.venue import Hyperliquid
from hlposmon.venues.port import (
    Acknowledged,
    NotUnderstood,
    PushedFills,
    PushedFundings,
    PushedPrices,
    PushedState,
    Refused,
)
from tests.transport.test_websocket import TEXT, Line, frame
from tests.venues.hyperliquid.payloads import (
    THEM,
    US,
    all_dexes,
    balance,
    fill_row,
    key,
    packed,
    paid_row,
    position_row,
    spot_state,
    state,
    token_key,
)

MAIN, OTHER = Account("main", US), Account("other", THEM)


def said(channel, data):
    return json.dumps({"channel": channel, "data": data}).encode()


def acknowledged(kind, user):
    return said("subscriptionResponse", {"method": "subscribe", "subscription": {"type": kind, "user": user}})


def refused(text, **subscription):
    return said("error", f"{text} {json.dumps(subscription)}" if subscription else text)


class Talk:
    """A feed at a server that hears what is subscribed, says its lines and stays."""

    def __init__(self, server, deadline, make, lines, hears=0):
        self.asked = []

        def talk(sock, at):
            line = Line(sock, at)
            self.asked += [json.loads(line.hear()[1])["subscription"] for _ in range(hears)]
            line.send(*(frame(TEXT, raw) for raw in lines))
            line.stay()

        url = f"ws://127.0.0.1:{server(talk).port}/ws"
        venue = Hyperliquid("", url, share=Quota().share(), deadline=deadline)
        self.feed = make(venue)

    def events(self, count, seconds=20.0):
        """The next `count` events after the connection is open."""
        found, until_s = [], time.monotonic() + seconds
        while len(found) < count:
            assert time.monotonic() < until_s, f"not in time: {found}"
            event = self.feed.next()
            if event is None:
                time.sleep(0.002)
            elif not isinstance(event, Opened):
                found.append(event)
        return found


@pytest.fixture
def talk(server, deadline):
    made = []

    def start(make, *lines, hears=0):
        made.append(Talk(server, deadline, make, lines, hears))
        return made[-1]

    yield start
    for one in made:
        one.feed.close()


def fills_of(*accounts):
    return lambda venue: venue.fill_feed(accounts)


def states_of(*accounts):
    return lambda venue: venue.state_feed(accounts)


# ------------------------------------------------------------------ fills


def test_both_streams_of_each_account_are_asked_for_and_it_is_followed_when_both_are_acknowledged(talk):
    one = talk(
        fills_of(MAIN, OTHER),
        acknowledged("userFills", US),
        acknowledged("userFills", THEM),
        acknowledged("userFundings", THEM),
        acknowledged("userFundings", US),
        hears=4,
    )

    assert one.events(2) == [Acknowledged("other"), Acknowledged("main")]
    assert sorted((row["type"], row["user"]) for row in one.asked) == sorted(
        (kind, user) for kind in ("userFills", "userFundings") for user in (US, THEM)
    )


def test_fills_and_payments_come_under_the_accounts_name(talk):
    row, odd = fill_row(), fill_row(px=1.5)
    one = talk(
        fills_of(MAIN),
        said("userFills", {"user": US.upper().replace("0X", "0x"), "fills": [row, odd, fill_row(coin="@1")]}),
        said("userFundings", {"user": US, "fundings": [paid_row()]}),
    )
    fills, fundings = one.events(2)

    assert isinstance(fills, PushedFills)
    assert [(fill.account, fill.key) for fill in fills.fills] == [("main", key("BTC"))]
    assert (fills.others, len(fills.unread)) == (["@1"], 1)
    assert isinstance(fundings, PushedFundings)
    assert (fundings.account, len(fundings.payments), fundings.unread) == ("main", 1, [])


def test_a_snapshot_and_what_is_of_strangers_mean_nothing(talk):
    one = talk(
        fills_of(MAIN),
        b"Websocket connection established.",
        said("pong", None),
        said("userFills", {"user": US, "isSnapshot": True, "fills": [fill_row()]}),
        said("userFills", {"user": THEM, "fills": [fill_row()]}),
        said("userFills", {"user": US, "fills": []}),
    )

    assert one.events(1) == [PushedFills("main", [], [], [])]


@pytest.mark.parametrize(
    ("raw", "account"),
    [
        (b"{", None),
        (b"[]", None),
        (said("userFills", None), None),
        (said("userFills", {"user": 5}), None),
        (said("userFills", {"user": US, "fills": None}), "main"),
        (said("userFundings", {"user": US, "fundings": 5}), "main"),
    ],
)
def test_what_is_not_understood_is_of_one_account_or_of_any(talk, raw, account):
    [event] = talk(fills_of(MAIN), raw).events(1)

    assert isinstance(event, NotUnderstood)
    assert event.account == account


def test_refused_funding_is_done_without(talk):
    one = talk(
        fills_of(MAIN),
        acknowledged("userFills", US),
        refused("Invalid subscription", type="userFundings", user=US),
    )
    refusal, followed = one.events(2)

    assert (refusal.accounts, followed) == ((), Acknowledged("main"))


def test_refused_fills_are_refused_for_that_account_alone_and_are_not_waited_for(talk, monkeypatch):
    monkeypatch.setattr(feeds, "ACK_DEADLINE_S", 0.3)
    one = talk(
        fills_of(MAIN, OTHER),
        acknowledged("userFills", US),
        acknowledged("userFundings", US),
        refused("Invalid subscription", type="userFills", user=THEM),
    )
    followed, refusal = one.events(2)

    assert followed == Acknowledged("main")
    assert isinstance(refusal, Refused)
    assert refusal.accounts == ("other",)
    time.sleep(0.5)
    assert one.feed.next() is None
    assert one.feed.is_open


def test_where_there_is_no_room_each_account_without_its_fills_is_refused(talk):
    one = talk(
        fills_of(MAIN, OTHER),
        acknowledged("userFills", US),
        refused("Cannot track more than 10 total users."),
    )

    assert one.events(1)[0].accounts == ("other",)


def test_what_we_have_already_is_no_loss(talk):
    one = talk(fills_of(MAIN), refused("Already subscribed:", type="userFills", user=US))

    assert one.events(1)[0].accounts == ()


def test_a_connection_on_which_nothing_is_acknowledged_is_given_up(talk, monkeypatch):
    monkeypatch.setattr(feeds, "ACK_DEADLINE_S", 0.2)
    [lost] = talk(fills_of(MAIN), acknowledged("userFills", US)).events(1)

    assert isinstance(lost, Lost)
    assert lost.reason == "not acknowledged within 0.2 s: userFundings of main"


# ------------------------------------------------------------------ states


def test_the_best_channel_that_is_not_refused_is_asked_for(talk):
    one = talk(
        states_of(MAIN),
        refused("Invalid subscription", type="allDexsClearinghouseState", user=US),
        acknowledged("clearinghouseState", US),
        said("clearinghouseState", {"user": US, "dex": "", "clearinghouseState": state()}),
        hears=1,
    )
    refusal, followed, pushed = one.events(3)

    assert (refusal.accounts, followed) == ((), Acknowledged("main"))
    assert isinstance(pushed, PushedState)
    assert (pushed.account, pushed.unread, pushed.is_whole) == ("main", (), False)
    assert [(said.scope, said.pushed) for said in pushed.statements] == [("", True)]


def test_where_no_channel_is_left_the_account_is_refused(talk):
    one = talk(
        states_of(MAIN),
        refused("Invalid subscription", type="allDexsClearinghouseState", user=US),
        refused("Invalid subscription", type="clearinghouseState", user=US),
    )

    assert [event.accounts for event in one.events(2)] == [(), ("main",)]


def test_a_channel_that_stays_unacknowledged_is_given_up_for_the_next(talk, monkeypatch):
    monkeypatch.setattr(feeds, "STATE_ACK_DEADLINE_S", 0.1)
    events = talk(states_of(MAIN)).events(2)

    assert [event.accounts for event in events] == [(), ("main",)]


def test_states_of_all_dexes_are_a_statement_of_each_that_can_be_read(talk):
    data = all_dexes(("", state()), ("xyz", state(position_row(coin="xyz:TSLA"))), ("flx", None))
    [pushed] = talk(states_of(MAIN), said("allDexsClearinghouseState", data)).events(1)

    assert isinstance(pushed, PushedState)
    assert (pushed.account, pushed.unread, pushed.is_whole) == ("main", ("flx",), True)
    assert [(said.scope, len(said.positions), said.pushed) for said in pushed.statements] == [
        ("", 0, True),
        ("xyz", 1, True),
    ]


def test_of_each_account_the_states_and_the_balances_on_spot_are_asked_for(talk):
    one = talk(states_of(MAIN, OTHER), acknowledged("allDexsClearinghouseState", US), hears=4)

    assert one.events(1) == [Acknowledged("main")]
    assert sorted((row["type"], row["user"]) for row in one.asked) == sorted(
        (kind, user) for kind in ("allDexsClearinghouseState", "spotState") for user in (US, THEM)
    )


STATED_MS = state()["time"]


def whole(user=US):
    """A push of the first dex alone, of STATED_MS."""
    return said("allDexsClearinghouseState", all_dexes(("", state()), user=user))


def on_spot(*balances, user=US):
    return said("spotState", {"user": user, "spotState": spot_state(*balances)})


def test_balances_on_spot_are_a_pushed_statement_of_the_last_states_time_and_what_passed_since(talk):
    began_s = time.monotonic()
    one = talk(states_of(MAIN), whole(), on_spot(balance("HYPE", "4", "0.5", "10.0")))
    _, pushed = one.events(2)
    [told] = pushed.statements

    assert (pushed.account, pushed.unread, pushed.is_whole) == ("main", (), False)
    assert (told.account, told.scope, told.pushed, told.unread) == ("main", "spot", True, {})
    assert told.positions == (
        StatedPosition(token_key("HYPE"), Decimal(4), Decimal("2.5"), hold=Decimal("0.5")),
    )
    passed_ms = (time.monotonic() - began_s) * 1000
    assert STATED_MS <= told.time_ms <= STATED_MS + passed_ms + 1
    assert began_s < told.asked_s < time.monotonic()


def test_the_time_of_balances_goes_on_with_our_clock_until_the_next_state(talk):
    later = said("allDexsClearinghouseState", all_dexes(("", state(time=STATED_MS + 60_000))))
    one = talk(states_of(MAIN), whole(), on_spot(), on_spot(), later, on_spot())
    [(_, first), (_, second), (_, third)] = [
        (pushed, pushed.statements[0].time_ms)
        for pushed in one.events(5)
        if pushed.statements[0].scope == "spot"
    ]

    assert STATED_MS <= first <= second < STATED_MS + 60_000 <= third


def test_balances_that_come_before_any_state_and_those_of_strangers_mean_nothing(talk):
    stranger = "0x" + "ef" * 20
    one = talk(
        states_of(MAIN, OTHER),
        on_spot(balance("HYPE", "1")),
        whole(THEM),
        on_spot(balance("HYPE", "2")),
        on_spot(balance("HYPE", "3"), user=stranger),
        on_spot(balance("HYPE", "4"), user=THEM),
    )
    state_of_other, balances_of_other = one.events(2)

    assert [said.scope for said in state_of_other.statements] == [""]
    assert balances_of_other.account == "other"
    assert [stated.size for stated in balances_of_other.statements[0].positions] == [4]


def test_an_address_is_the_same_in_capitals_in_a_push_of_balances(talk):
    one = talk(states_of(MAIN), whole(), on_spot(user=US.upper().replace("0X", "0x")))

    assert one.events(2)[1].statements[0].scope == "spot"


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"user": 5},
        {"user": US},
        {"user": US, "spotState": {"balances": None}},
        {"user": US, "spotState": spot_state(balance(5, "1"))},
    ],
)
def test_balances_that_are_not_understood_are_said_and_the_next_are_taken(talk, data):
    one = talk(states_of(MAIN), whole(), said("spotState", data), on_spot(balance("HYPE", "4")))
    _, odd, pushed = one.events(3)

    assert isinstance(odd, NotUnderstood)
    assert [stated.key for stated in pushed.statements[0].positions] == [token_key("HYPE")]


@pytest.mark.parametrize("words", ["Invalid subscription", "Already subscribed:"])
def test_refused_balances_harm_no_states(talk, words):
    one = talk(
        states_of(MAIN, OTHER),
        refused(words, type="spotState", user=US),
        acknowledged("allDexsClearinghouseState", US),
        acknowledged("allDexsClearinghouseState", THEM),
        whole(),
    )
    events = one.events(3 if words.startswith("Already") else 4)

    assert [event.accounts for event in events if isinstance(event, Refused)] in ([], [()])
    assert [event for event in events if not isinstance(event, Refused)][:2] == [
        Acknowledged("main"),
        Acknowledged("other"),
    ]
    assert events[-1].statements[0].scope == ""


def test_an_acknowledgement_of_balances_is_none_of_the_states(talk, monkeypatch):
    monkeypatch.setattr(feeds, "STATE_ACK_DEADLINE_S", 0.1)
    events = talk(states_of(MAIN), acknowledged("spotState", US)).events(2)

    assert [event.accounts for event in events] == [(), ("main",)]


# ------------------------------------------------------------------ prices


def test_prices_are_taken_when_they_are_wanted(talk):
    one = talk(
        lambda venue: venue.price_feed(),
        said("fastAssetCtxs", packed({"BTC": {"markPx": "1"}})),
        said("fastAssetCtxs", packed({"BTC": {"markPx": "2"}})),
        said("fastAssetCtxs", "no base64!"),
        refused("Invalid subscription"),
    )
    events = one.events(4)

    assert [type(event) for event in events] == [PushedPrices, PushedPrices, NotUnderstood, Refused]
    assert one.feed.changed() == ({key("BTC"): Decimal(2)}, [])
    assert one.feed.changed() == ({}, [])


def test_prices_of_tokens_are_taken_once_their_pairs_are_in_use(talk):
    one = talk(
        lambda venue: venue.price_feed(),
        said("fastAssetCtxs", packed({"BTC": {"markPx": "1"}, "@107": {"markPx": "33.21"}})),
    )
    one.events(1)
    assert one.feed.changed() == ({key("BTC"): Decimal(1)}, [])
    one.feed.use_pairs({"@107": token_key("HYPE")})

    assert one.feed.changed() == (
        {token_key("HYPE"): Decimal("33.21"), token_key("USDC"): Decimal(1)},
        [],
    )

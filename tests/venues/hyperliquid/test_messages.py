"""Envelopes and short answers: greetings, acknowledgements, refusals, roles, modes."""

import pytest

from hlposmon.errors import WireError
from hlposmon.text import loads
from hlposmon.venues.hyperliquid import payloads
from tests.venues.hyperliquid.payloads import THEM, US


@pytest.mark.parametrize("raw", [b"Websocket connection established.", "Websocket connection established."])
def test_the_greeting_is_a_message_of_no_channel(raw):
    assert payloads.message(raw).channel == ""


def test_a_message_has_a_channel_and_data():
    assert payloads.message(b'{"channel":"pong"}') == payloads.Message("pong", None)
    assert payloads.message('{"channel":"userFills","data":{"a":1}}').data == {"a": 1}


@pytest.mark.parametrize(
    "raw", [b"", b"pong", b"{", b'{"channel":5}', b"{}", b"[]", b"null", b"\xff", "\ud800"]
)
def test_other_text_is_no_message(raw):
    with pytest.raises(WireError):
        payloads.message(raw)


def test_requests_are_what_the_venue_expects():
    assert loads(payloads.PING) == {"method": "ping"}
    assert loads(payloads.info("userRole", user=US)) == {"type": "userRole", "user": US}
    assert loads(payloads.subscription("userFills", user=US)) == {
        "method": "subscribe",
        "subscription": {"type": "userFills", "user": US},
    }


# ------------------------------------------------------------------ acknowledgements


def ack(**echo):
    return {"method": "subscribe", "subscription": echo}


def test_an_acknowledgement_may_hold_more_than_was_asked_for():
    echo = ack(type="userFills", user=US, aggregateByTime=False, something=None)

    assert payloads.acknowledges(echo, "userFills", US)
    assert payloads.acknowledges(echo, "userFills", US.upper().replace("0X", "0x"))
    assert payloads.acknowledges(ack(type="fastAssetCtxs"), "fastAssetCtxs")


@pytest.mark.parametrize(
    "data",
    [
        ack(type="userFills", user=THEM),
        ack(type="userFundings", user=US),
        ack(type="userFills"),
        ack(type="userFills", user=None),
        {"method": "unsubscribe", "subscription": {"type": "userFills", "user": US}},
        {"method": "subscribe", "subscription": "userFills"},
        {},
        None,
        [],
        "userFills",
    ],
)
def test_the_answer_to_another_subscription_is_no_acknowledgement(data):
    assert not payloads.acknowledges(data, "userFills", US)


# ------------------------------------------------------------------ refusals

NOT_PARSED = "Error parsing JSON into valid websocket request: "


@pytest.mark.parametrize(
    ("text", "already", "limit", "kind", "user"),
    [
        (f'Already subscribed: {{"type":"userFills","user":"{US.upper()}"}}', True, False, "userFills", US),
        ('Invalid subscription {"type":"webData9"}', False, False, "webData9", None),
        ("Cannot track more than 10 total users.", False, True, None, None),
        ("Cannot subscribe to more than 1000 channels.", False, True, None, None),
        ("Invalid subscription {not json}", False, False, None, None),
        ("Invalid subscription {", False, False, None, None),
        ("Invalid subscription {5}", False, False, None, None),
    ],
)
def test_a_refusal_says_what_it_means_and_whom_as_far_as_it_does(text, already, limit, kind, user):
    found = payloads.refusal(text)

    assert (found.text, found.already, found.limit) == (text, already, limit)
    assert (found.kind, found.user) == (kind, user)


@pytest.mark.parametrize(
    ("request_of_ours", "kind", "user"),
    [
        (payloads.subscription("webData9", user=US), "webData9", US),
        (payloads.subscription("fastAssetCtxs"), "fastAssetCtxs", None),
        (b'{"method":"subscribe","subscription":{"type":5,"user":null}}', None, None),
        (b'{"method":"subscribe","subscription":"webData9"}', None, None),
        (b'{"method":"subscribe"}', None, None),
    ],
)
def test_a_subscription_that_the_server_does_not_know_is_named_though_the_whole_request_is_said_back(
    request_of_ours, kind, user
):
    found = payloads.refusal(NOT_PARSED + request_of_ours.decode())

    assert (found.kind, found.user, found.already, found.limit) == (kind, user, False, False)


@pytest.mark.parametrize("data", [None, 5, [], {"subscription": {"type": "x"}}, {}])
def test_a_refusal_that_is_no_text_names_nothing(data):
    found = payloads.refusal(data)

    assert (found.text, found.already, found.limit, found.kind, found.user) == (
        str(data),
        False,
        False,
        None,
        None,
    )


# ------------------------------------------------------------------ role, mode, time


def test_a_role_names_the_account_behind_an_agent():
    assert payloads.role({"role": "user"}) == ("user", None)
    assert payloads.role({"role": "missing"}) == ("missing", None)
    assert payloads.role({"role": "agent", "data": {"user": THEM.upper()}}) == ("agent", THEM)
    assert payloads.role({"role": "subAccount", "data": {"master": THEM}}) == ("subAccount", THEM)


@pytest.mark.parametrize("body", [None, [], {}, {"role": 5}, {"role": "agent", "data": {"user": 5}}])
def test_a_role_of_another_shape_is_refused(body):
    with pytest.raises(WireError):
        payloads.role(body)


@pytest.mark.parametrize("mode", ["default", "disabled", "unifiedAccount", "portfolioMargin", "somethingNew"])
def test_the_mode_of_an_account_is_a_bare_word(mode):
    assert payloads.abstraction(mode) == mode


def test_a_mode_of_null_is_none_that_is_known():
    assert payloads.abstraction(None) is None


@pytest.mark.parametrize("body", [5, {}, [], "", "x" * 61, "a\nb", False])
def test_a_mode_of_another_shape_is_refused(body):
    with pytest.raises(WireError, match="userAbstraction"):
        payloads.abstraction(body)


def test_the_venues_time_is_that_of_its_status():
    assert payloads.venue_time({"time": 5, "specialStatuses": None}) == 5
    for wrong in (None, {}, {"time": "5"}):
        with pytest.raises(WireError, match=r"exchangeStatus|time"):
            payloads.venue_time(wrong)

"""What one client may cost the others: every bound over a real socket, and who is told of its breach."""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Ping, TextMessage

from hlposmon.serving import http as http_module
from hlposmon.serving.callers import Caller, caller_of, command_of, plain

Hosts = Callable[..., Any]


def frames(*events: Any) -> bytes:
    end = Connection(ConnectionType.CLIENT)
    return b"".join(end.send(event) for event in events)


def goodbye(client: Any) -> int:
    """The code with which the server closed."""
    codes: list[int] = []

    def found() -> list[int]:
        end = Connection(ConnectionType.CLIENT)
        end.receive_data(client.read)
        codes[:] = [event.code for event in end.events() if isinstance(event, CloseConnection)]
        return codes

    client.until(lambda: bool(found()))
    return codes[0]


@pytest.fixture
def from_users(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`from_users(1001)`: the connections accepted from now on are that user's. The kernel alone can say
    otherwise who connects, and only root could be several users here."""
    now = [os.getuid()]

    def of(sock: socket.socket) -> Caller:
        return Caller(os.getpid(), now[0], now[0])

    monkeypatch.setattr("hlposmon.serving.server.caller_of", of)

    def become(uid: int) -> None:
        now[0] = uid

    return become


# ------------------------------------------------------------------ requests


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4_0\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /x HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /x y HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /x\x00y HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /x HTTP/3.0\r\nHost: x\r\n\r\n",
    ],
)
def test_a_request_whose_end_could_be_read_in_two_ways_is_refused(host: Hosts, smuggled: bytes) -> None:
    here = host()
    follower = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = here.client().send(smuggled + follower).until_ended()

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 505"))
    assert b"/smuggled" not in answer
    assert here.app.requests == []


def test_too_many_headers_are_refused_however_small(host: Hosts) -> None:
    many = b"".join(b"a%d:\r\n" % number for number in range(101))
    here = host()

    assert here.client().send(b"GET / HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n").until_ended()[9:12] == b"431"
    assert here.client().get("/", *[f"a{number}: 1" for number in range(98)]).until_text(b"HTTP/1.1 200")


def test_a_request_line_without_an_end_is_refused(host: Hosts) -> None:
    assert host().client().send(b"GET /" + b"a" * 40_000).until_ended().startswith(b"HTTP/1.1 431")


def test_the_host_of_an_absolute_target_is_the_one_that_counts(host: Hosts) -> None:
    here = host()
    here.client().send(b"GET http://evil.example/a?b=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    request = here.app.requests[0]

    assert (request.path, request.headers["host"], request.query) == ("/a", "evil.example", {"b": "1"})


@pytest.mark.parametrize(
    "target", ["*", "//evil.example/x", "/..%2f..%2fetc", "/%00", "/%zz", "/%ff", "evil.example:80"]
)
def test_a_strange_target_is_only_a_path(host: Hosts, target: str) -> None:
    here = host()
    here.client().get(target).until_text(b"HTTP/1.1 ")

    assert here.app.requests[0].path.startswith(("/", "*"))


def test_one_who_pipelines_lets_the_others_have_their_turn(host: Hosts) -> None:
    here = host()
    flood = here.client()
    flood.sock.send(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
    other = here.client()
    other.sock.send(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
    other.until_text(b"GET /other 0")

    assert len(here.app.requests) <= 2 * http_module.REQUESTS_A_TURN + 2
    flood.until(lambda: flood.read.count(b"GET /flood 0") == 500)


def test_what_is_left_of_a_pipeline_wakes_who_waits_for_the_server(host: Hosts) -> None:
    here = host()
    client = here.client()
    client.sock.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
    here.server.step()
    answered = len(here.app.requests)
    deadline = time.monotonic() + 60
    while len(here.app.requests) < 40 and time.monotonic() < deadline:
        here.server.step(1.0)  # an outer loop that sleeps on fileno()

    assert answered == http_module.REQUESTS_A_TURN
    assert len(here.app.requests) == 40


@pytest.mark.parametrize("host_line", ["Host: x\r\n", ""])
def test_a_websocket_asked_for_by_http_1_0_is_refused_without_a_word_of_error(
    host: Hosts, caplog: pytest.LogCaptureFixture, host_line: str
) -> None:
    asked = (
        f"GET /ws HTTP/1.0\r\n{host_line}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    here = host()

    assert here.client().send(asked.encode()).until_ended().startswith(b"HTTP/1.1 400")
    assert caplog.records == []
    assert here.app.session.events == []


# ------------------------------------------------------------------ frames


def test_a_message_of_empty_pieces_without_end_is_refused(host: Hosts) -> None:
    here = host(max_message_bytes=1000)
    client = here.client().upgrade()
    pieces = [TextMessage(data="", message_finished=False)] * 1100

    assert goodbye(client.send(frames(*pieces))) == 1009


def test_a_message_in_single_bytes_is_a_message(host: Hosts) -> None:
    client = host().client().upgrade()
    text = "äöü" * 100
    client.send(
        frames(*[TextMessage(data=char, message_finished=False) for char in text], TextMessage(data="!"))
    )

    assert client.until_text((text + "!").encode())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00" + b"x" * 20_000,
            1009,
        ),  # 2**63 - 1 bytes
        (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1002),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),  # a reserved bit
        (b"\x83\x80\x00\x00\x00\x00", 1002),  # an unknown opcode
        (b"\x89\xfe\x00\xff\x00\x00\x00\x00", 1002),  # a ping of 255 bytes
        (b"\x09\x80\x00\x00\x00\x00", 1002),  # a ping in pieces
        (b"\x81\x05hello", 1002),  # not masked
        (b"\x80\x80\x00\x00\x00\x00", 1002),  # a continuation of nothing
        (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007),
    ],
)
def test_a_broken_frame_is_answered_with_its_code_and_told(host: Hosts, frame: bytes, code: int) -> None:
    here = host()
    client = here.client().upgrade()

    assert goodbye(client.send(frame)) == code
    assert [told.status for told in here.refusals] == [code]
    here.later(4.0)
    assert here.server.connections == 0


def test_a_clients_own_goodbye_is_no_refusal(host: Hosts) -> None:
    here = host()
    here.client().upgrade().send(frames(CloseConnection(code=1002))).until_ended()

    assert here.refusals == []


def test_one_who_floods_with_messages_lets_the_others_have_their_turn(host: Hosts) -> None:
    here = host()
    flood, other = here.client().upgrade(), here.client().upgrade()
    heard = len(here.app.session.heard)
    flood.sock.send(frames(*[TextMessage(data="flood")] * 400))
    other.sock.send(frames(TextMessage(data="other")))
    other.until_text(b"other")

    assert len(here.app.session.heard) - heard <= 100
    flood.until(lambda: flood.read.count(b"flood") == 400)


def test_pings_without_end_do_not_keep_the_others_waiting(host: Hosts) -> None:
    here = host()
    flood, other = here.client().upgrade(), here.client()
    flood.sock.send(frames(*[Ping(payload=b"x")] * 5000))

    assert other.get("/other").until_text(b"GET /other 0")


# ------------------------------------------------------------------ buffers


def test_all_buffers_together_are_bounded_and_who_holds_most_must_go(host: Hosts) -> None:
    here = host(max_buffer_bytes=1 << 20, max_buffered_bytes=2 << 20)
    clients = [here.client().upgrade() for _ in range(8)]
    for _ in range(60):
        for peer in list(here.app.session.peers):
            peer.send("x" * 20_000)
        assert here.server.tally.size <= (2 << 20) + 8 * 100_000

    assert 1013 in {told.status for told in here.refusals}
    assert len(clients) == 8


def test_what_waits_for_one_who_is_gone_is_not_counted_any_more(host: Hosts) -> None:
    here = host()
    client = here.client().get("/big")
    assert here.server.tally.size > 0
    client.sock.close()
    here.until(lambda: here.server.connections == 0)

    assert here.server.tally.size == 0


def test_while_too_much_waits_a_request_is_answered_503(host: Hosts) -> None:
    here = host(max_buffered_bytes=1 << 20)
    here.client().get("/big")

    assert here.client().get("/small").until_ended().startswith(b"HTTP/1.1 503")


# ------------------------------------------------------------------ connections


def test_one_user_cannot_take_the_last_places(host: Hosts, from_users: Callable[[int], None]) -> None:
    here = host(max_connections=60)  # ten are kept
    from_users(1001)
    greedy = [here.client() for _ in range(60)]
    here.until(lambda: sum(client.ended for client in greedy if not client.listen()) == 10)
    from_users(1002)

    assert here.server.connections == 50
    assert here.client().get("/mine").until_text(b"GET /mine 0")
    assert {told.caller.uid for told in here.refusals} == {1001}
    assert {told.status for told in here.refusals} == {503}


def test_several_users_leave_a_place_for_one_who_has_none(
    host: Hosts, from_users: Callable[[int], None]
) -> None:
    here = host(max_connections=240)  # forty are kept, eight of them for each
    for uid in (1001, 1002, 1003):
        from_users(uid)
        for _ in range(210):
            here.client()
    from_users(1004)

    assert here.server.connections == 200 + 8 + 8
    assert here.client().get("/mine").until_text(b"GET /mine 0")


def test_a_place_that_was_given_up_is_free_again(host: Hosts, from_users: Callable[[int], None]) -> None:
    here = host(max_connections=60)
    from_users(1001)
    greedy = [here.client() for _ in range(50)]
    for client in greedy:
        client.sock.close()
    here.until(lambda: here.server.connections == 0)
    again = [here.client() for _ in range(50)]

    assert here.server.connections == 50
    assert again[-1].get("/back").until_text(b"GET /back 0")


# ------------------------------------------------------------------ who it was


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", 413),
        (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
    ],
)
def test_a_refused_call_is_told_once_with_who_made_it(host: Hosts, said: bytes, status: int) -> None:
    here = host()
    here.client().send(said).until_text(b"HTTP/1.1 ")
    here.later(1.0)

    assert [(told.status, told.caller) for told in here.refusals] == [
        (status, Caller(os.getpid(), os.getuid(), os.getgid()))
    ]


def test_one_who_is_too_slow_is_told(host: Hosts) -> None:
    here = host(header_timeout_s=10.0, idle_timeout_s=120.0)
    here.client().send(b"GET / HT")
    here.later(11.0)
    here.client().get("/big")
    here.later(121.0)

    assert [told.status for told in here.refusals] == [408, 408]


def test_a_teller_that_fails_costs_nobody_the_connection(host: Hosts) -> None:
    here = host()
    here.tell = lambda told: 1 / 0
    here.client().get("/ws").until_text(b"HTTP/1.1 426")

    assert here.client().get("/on").until_text(b"GET /on 0")


def test_a_caller_is_named_by_the_kernel() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        caller = caller_of(ours)

    assert (caller.pid, caller.uid, caller.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert caller.facts()["command"] == command_of(os.getpid())
    assert caller.party == os.getuid()


def test_a_command_that_cannot_be_seen_is_left_out() -> None:
    assert "command" not in Caller(4_194_304 + 1, 0, 0).facts()


def test_what_a_peer_says_is_short_and_printable_in_the_log() -> None:
    assert plain("a\x1b[31m\r\nb\u202e" + "x" * 500) == ("a?[31m??b?" + "x" * 500)[:120]

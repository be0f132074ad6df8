"""WebSocket: whole messages, shared frames, and no patience with those who do not read."""

from collections.abc import Callable
from typing import Any

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from hlposmon.serving.frames import binary_frame, payload_of, text_frame
from tests.clock import awake_s

Hosts = Callable[..., Any]


def encoded(*events: Event) -> bytes:
    """Client frames."""
    end = Connection(ConnectionType.CLIENT)
    return b"".join(end.send(event) for event in events)


def heard(client: Any) -> list[Event]:
    """The events in what the client has read so far; a message in pieces comes as one."""
    end = Connection(ConnectionType.CLIENT)
    end.receive_data(client.read)
    events: list[Event] = []
    text = ""
    for event in end.events():
        if isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                events.append(TextMessage(data=text))
                text = ""
        else:
            events.append(event)
    return events


def until_heard(client: Any, kind: type[Event], count: int = 1) -> list[Any]:
    def found() -> list[Event]:
        return [event for event in heard(client) if isinstance(event, kind)]

    client.until(lambda: len(found()) >= count)
    return found()


def test_a_message_comes_whole_and_is_answered(host: Hosts) -> None:
    client = host().client().upgrade()
    client.send(encoded(TextMessage(data="one", message_finished=False), TextMessage(data="half")))

    assert until_heard(client, TextMessage)[0].data == "onehalf"


def test_what_came_right_behind_the_handshake_is_heard(host: Hosts) -> None:
    here = host()
    client = here.client()
    handshake = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    client.send(handshake + encoded(TextMessage(data="early")))
    client.until_text(b"early")

    assert here.server.peers == 1


def test_a_ping_is_answered_with_its_payload(host: Hosts) -> None:
    client = host().client().upgrade().send(encoded(Ping(payload=b"42")))

    assert until_heard(client, Pong)[0].payload == b"42"


def test_one_encoded_frame_serves_every_peer(host: Hosts) -> None:
    here = host()
    clients = [here.client().upgrade() for _ in range(20)]
    frame = text_frame(b'{"price":"1.5"}')
    for peer in here.app.session.peers:
        peer.send_frame(frame)

    assert {until_heard(client, TextMessage)[0].data for client in clients} == {'{"price":"1.5"}'}


def test_closing_is_answered_and_the_session_told(host: Hosts) -> None:
    here = host()
    client = here.client().upgrade().send(encoded(CloseConnection(code=1000)))
    client.until_ended()
    here.until(lambda: here.server.connections == 0)

    assert until_heard(client, CloseConnection)[0].code == 1000
    assert here.app.session.events == ["opened", "closed"]


def test_a_client_that_vanishes_is_told_to_the_session_once(host: Hosts) -> None:
    here = host()
    here.client().upgrade().sock.close()
    here.until(lambda: here.server.peers == 0)

    assert here.app.session.events == ["opened", "closed"]


def test_our_close_waits_for_no_answer(host: Hosts) -> None:
    here = host(close_timeout_s=3.0)
    client = here.client().upgrade()
    here.app.session.peers[0].close(4001, "enough")
    assert until_heard(client, CloseConnection)[0].code == 4001
    assert here.server.connections == 1
    here.later(3.5)

    assert here.server.connections == 0


@pytest.mark.parametrize("tcp", [False, True])
def test_a_peer_that_never_reads_is_closed_with_1013_after_its_last_whole_frame(
    host: Hosts, tcp: bool
) -> None:
    here = host(max_buffer_bytes=100_000, tcp=tcp)
    slow, quick = here.client().upgrade(), here.client().upgrade()
    peer = here.app.session.peers[0]
    frame = text_frame(b"m" * 30_000)
    for _ in range(400):
        for one in here.app.session.peers:
            one.send_frame(frame)
        assert peer.buffered <= 100_000 + len(frame)
        quick.until(lambda: here.app.session.peers[1].buffered == 0)
    assert peer.buffered <= 30_000 + 200, "only the frame that is partly sent is kept"
    goodbye = until_heard(slow, CloseConnection)[0]
    whole = [event for event in heard(slow) if isinstance(event, TextMessage)]

    assert goodbye.code == 1013
    assert {len(event.data) for event in whole} == {30_000}
    assert len(until_heard(quick, TextMessage, 400)) == 400


def test_a_peer_that_never_reads_is_gone_after_the_close_timeout(host: Hosts) -> None:
    here = host(max_buffer_bytes=100_000, close_timeout_s=3.0)
    here.client().upgrade()
    peer = here.app.session.peers[0]
    for _ in range(100):
        peer.send("m" * 30_000)
    here.later(2.0)
    assert here.server.peers == 1
    here.later(2.0)

    assert here.server.peers == 0
    assert here.app.session.events == ["opened", "closed"]


def test_pings_without_end_from_one_who_never_reads_end_him(host: Hosts) -> None:
    here = host(max_buffer_bytes=50_000)
    client = here.client().upgrade()
    client.send(encoded(*[Ping(payload=b"x" * 120)] * 8000))
    here.later(4.0)

    assert here.server.peers == 0


def test_a_message_that_is_too_large_is_refused_with_1009(host: Hosts) -> None:
    client = host(max_message_bytes=1000).client().upgrade()
    pieces = [TextMessage(data="x" * 400, message_finished=False) for _ in range(3)]
    client.send(encoded(*pieces))

    assert until_heard(client, CloseConnection)[0].code == 1009


@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"\x81\x05hello", b"GET / HTTP/1.1\r\n\r\n"])
def test_broken_frames_end_the_connection_and_no_other(host: Hosts, garbage: bytes) -> None:
    here = host()
    good = here.client().upgrade()
    here.client().upgrade().send(garbage).until_ended()
    good.send(encoded(TextMessage(data="fine")))

    assert until_heard(good, TextMessage)[0].data == "fine"


def test_text_that_is_not_utf8_is_refused(host: Hosts) -> None:
    raw = bytearray(encoded(BytesMessage(data=b"\xff\xfe\xfd")))
    raw[0] = 0x81
    client = host().client().upgrade().send(bytes(raw))

    assert until_heard(client, CloseConnection)[0].code == 1007


def test_a_session_that_raises_costs_its_own_connection(
    host: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    here = host()
    client, other = here.client().upgrade(), here.client().upgrade()
    client.send(encoded(TextMessage(data="raise")))
    other.send(encoded(TextMessage(data="fine")))

    assert until_heard(client, CloseConnection)[0].code == 1011
    assert until_heard(other, TextMessage)[0].data == "fine"
    assert len(caplog.records) == 1


def test_a_quiet_peer_is_spoken_to_every_keepalive(host: Hosts) -> None:
    here = host(keepalive_s=30.0, idle_timeout_s=40.0)
    client = here.client().upgrade()
    for _ in range(4):
        here.later(31.0)

    assert here.app.session.events == ["opened"] + ["idle"] * 4
    assert len(until_heard(client, TextMessage, 4)) == 4


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Sec-WebSocket-Version: 13"], b"400"),
        (["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], b"426"),
        (["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], b"400"),
    ],
)
def test_a_handshake_that_is_none_is_refused(host: Hosts, headers: list[str], status: bytes) -> None:
    here = host()
    client = here.client().get("/ws", "Connection: Upgrade", "Upgrade: websocket", *headers)

    assert client.until_ended().startswith(b"HTTP/1.1 " + status)
    assert here.app.session.events == []


def test_a_client_of_another_websocket_version_is_told_which_one_is_spoken(host: Hosts) -> None:
    asked = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8"]
    answer = host().client().get("/ws", *asked).until_ended()
    head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 426")
    assert b"sec-websocket-version: 13" in head.lower().split(b"\r\n")
    assert b"version 13 is spoken here" in body and b"not 8" in body


def test_a_websocket_asked_for_by_plain_http_is_426(host: Hosts) -> None:
    assert host().client().get("/ws").until_ended().startswith(b"HTTP/1.1 426")


def test_a_handshake_may_be_answered_by_a_plain_response(host: Hosts) -> None:
    client = host().client().get("/elsewhere", "Connection: Upgrade", "Upgrade: websocket")

    assert client.until_text(b"GET /elsewhere 0")


def test_a_paused_peer_is_not_heard_until_it_is_resumed(host: Hosts) -> None:
    here = host()
    client = here.client().upgrade()
    here.app.session.peers[0].pause()
    client.send(encoded(Ping(payload=b"1"), TextMessage(data="later")))
    for _ in range(10):
        here.server.step()
    client.listen()
    assert client.read == b""
    here.app.session.peers[0].resume()

    assert until_heard(client, TextMessage)[0].data == "later"


def test_an_aborted_peer_gets_no_goodbye(host: Hosts) -> None:
    here = host(tcp=True)
    client = here.client().upgrade()
    here.app.session.peers[0].abort()
    here.until(lambda: here.server.peers == 0)
    client.sock.settimeout(30)

    with pytest.raises(ConnectionResetError):
        client.sock.recv(1)


def test_the_end_of_the_server_is_said_to_every_peer(host: Hosts) -> None:
    here = host()
    clients = [here.client().upgrade() for _ in range(3)]
    here.server.close()
    for client in clients:
        client.listen()

    assert [heard(client)[-1].code for client in clients] == [1001] * 3
    assert here.app.session.events == ["opened"] * 3 + ["closed"] * 3


def test_hundreds_of_peers_hear_a_broadcast_within_a_second(host: Hosts) -> None:
    here = host()
    clients = [here.client().upgrade() for _ in range(400)]
    frame = text_frame(b"x" * 156)
    began = awake_s()
    for peer in here.app.session.peers:
        peer.send_frame(frame)
    for client in clients:
        client.until(lambda client=client: len(client.read) == len(frame))

    assert awake_s() - began < 1.0


def test_a_ping_after_our_goodbye_ends_nothing_early(host: Hosts) -> None:
    here = host()
    client = here.client().upgrade()
    here.app.session.peers[0].close(1000)
    client.send(encoded(Ping(payload=b"late")))

    assert until_heard(client, CloseConnection)[0].code == 1000
    assert here.server.connections == 1


def test_a_paused_peer_that_went_away_is_noticed(host: Hosts) -> None:
    here = host()
    client, other = here.client().upgrade(), here.client().upgrade()
    for peer in here.app.session.peers:
        peer.pause()
    client.send(encoded(TextMessage(data="never heard"))).sock.close()
    here.later(1.0)

    assert here.server.peers == 1
    assert not other.ended


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_frame_is_the_one_that_wsproto_makes_and_gives_its_payload_back(length):
    payload = b"x" * length
    protocol = Connection(ConnectionType.SERVER)

    assert text_frame(payload) == protocol.send(TextMessage(data=payload.decode()))
    assert binary_frame(payload) == protocol.send(BytesMessage(data=payload))
    assert payload_of(text_frame(payload)) == payload

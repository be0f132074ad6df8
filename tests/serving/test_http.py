"""HTTP: what an honest client gets, and what becomes of every other."""

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

from hlposmon.serving import server as server_module

Hosts = Callable[..., Any]


def test_a_request_is_answered_with_its_length_and_type(host: Hosts) -> None:
    answer = host().client().get("/hello?a=1").until_text(b"GET /hello 0")

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"content-length: 12\r\n" in answer
    assert b"content-type: text/plain\r\n" in answer


def test_the_application_sees_path_query_headers_body_and_who_asks(host: Hosts) -> None:
    here = host()
    here.client().send(
        b"POST /a%20b?x=1&y=&x=2 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\n\r\nabc"
    )
    request = here.app.requests[0]

    assert (request.method, request.path, request.query) == ("POST", "/a b", {"x": "2", "y": ""})
    assert (request.headers["x-a"], request.body, request.is_upgrade) == ("1, 2", b"abc", False)
    assert (request.peer_pid, request.peer_uid) == (os.getpid(), os.getuid())


def test_on_tcp_nobody_vouches_for_the_peer(host: Hosts) -> None:
    here = host(tcp=True)
    here.client().get("/").until_text(b"GET / 0")

    assert (here.app.requests[0].peer_pid, here.app.requests[0].peer_uid) == (None, None)


def test_a_connection_is_kept_for_the_next_request(host: Hosts) -> None:
    client = host().client()
    client.get("/one").until_text(b"GET /one 0")
    client.get("/two").until_text(b"GET /two 0")

    assert not client.ended


def test_pipelined_requests_are_answered_in_their_order(host: Hosts) -> None:
    client = host().client()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)))
    answer = client.until_text(b"GET /49 0")
    places = [answer.index(b"GET /%d 0" % n) for n in range(50)]

    assert places == sorted(places)


def test_a_request_that_arrives_byte_by_byte_is_a_request(host: Hosts) -> None:
    client = host().client()
    for byte in b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab":
        client.send(bytes([byte]))

    assert client.until_text(b"POST /slow 2")


def test_connection_close_is_heeded(host: Hosts) -> None:
    answer = host().client().get("/bye", "Connection: close").until_ended()

    assert answer.endswith(b"GET /bye 0")


def test_a_client_that_shuts_its_sending_side_is_still_answered(host: Hosts) -> None:
    client = host().client().get("/half")
    client.sock.shutdown(socket.SHUT_WR)

    assert client.until_ended().endswith(b"GET /half 0")


def test_head_is_answered_without_a_body(host: Hosts) -> None:
    client = host().client().send(b"HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert client.until_ended().endswith(b"\r\n\r\n")


def test_a_client_that_waits_for_100_gets_it(host: Hosts) -> None:
    client = host().client()
    client.send(b"POST /w HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    client.until_text(b"HTTP/1.1 100")

    assert client.send(b"ab").until_text(b"POST /w 2")


def test_an_answer_larger_than_any_buffer_arrives_whole(host: Hosts) -> None:
    client = host().client().get("/big", "Connection: close")
    body = client.until_ended().partition(b"\r\n\r\n")[2]

    assert body == b"x" * 3_000_000


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe garbage \r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /?" + b"&".join(b"a=%d" % n for n in range(100)) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_garbage_is_answered_400_and_closed(host: Hosts, garbage: bytes) -> None:
    here = host()

    assert here.client().send(garbage).until_ended().startswith(b"HTTP/1.1 400")
    assert here.client().get("/still").until_text(b"GET /still 0")


@pytest.mark.parametrize("size", [20_000, 200_000, 10_000_000])
def test_a_header_that_is_too_large_is_answered_431(host: Hosts, size: int) -> None:
    client = host().client().send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * size + b"\r\n\r\n")

    assert client.until_ended().startswith(b"HTTP/1.1 431")


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_read(host: Hosts) -> None:
    here = host()
    client = here.client().send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")

    assert client.until_text(b"HTTP/1.1 413")
    assert here.app.requests == []


@pytest.mark.parametrize("tcp", [False, True])
def test_ten_megabytes_are_answered_413_and_not_kept(host: Hosts, tcp: bool) -> None:
    here = host(tcp=tcp)
    client = here.client().send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000
    )
    client.until(lambda: client.ended)
    here.until(lambda: here.server.connections == 0)

    assert tcp or client.read.startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_counted_as_it_comes(host: Hosts) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    client = (
        host().client().send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 8)
    )

    assert client.until_text(b"HTTP/1.1 413")


def test_half_a_request_and_silence_is_ended(host: Hosts) -> None:
    here = host(header_timeout_s=10.0)
    client = here.client().send(b"GET / HTTP/1.1\r\nHo")
    here.later(9.0)
    assert here.server.connections == 1
    here.later(2.0)

    assert client.until_ended().startswith(b"HTTP/1.1 408")


def test_a_request_that_trickles_for_ever_is_ended_all_the_same(host: Hosts) -> None:
    here = host(header_timeout_s=10.0)
    client = here.client().send(b"GET / HTTP/1.1\r\n")
    for _ in range(12):
        here.later(1.0)
        client.send(b"X-More: 1\r\n")

    assert client.until_ended().startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_closed_in_the_end(host: Hosts) -> None:
    here = host(idle_timeout_s=120.0)
    fresh, used = here.client(), here.client()
    used.get("/x").until_text(b"GET /x 0")
    here.later(119.0)
    assert here.server.connections == 2
    here.later(2.0)
    fresh.until_ended()
    used.until_ended()
    here.later(4.0)

    assert here.server.connections == 0


def test_a_client_that_never_reads_its_answer_is_dropped(host: Hosts) -> None:
    here = host(idle_timeout_s=120.0)
    here.client().get("/big")
    here.later(121.0)

    assert here.server.connections == 0


def test_a_client_that_asks_and_never_reads_costs_one_answer_at_a_time(host: Hosts) -> None:
    here = host()
    client = here.client()
    client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    for _ in range(20):
        here.server.step()

    assert len(here.app.requests) == 1
    client.until(lambda: client.read.count(b"HTTP/1.1 200") == 5 and len(client.read) > 15_000_000)


def test_what_a_client_asks_without_reading_stays_in_its_own_socket(host: Hosts) -> None:
    here = host()
    client = here.client().get("/big")
    taken = 0
    for _ in range(200):
        try:
            taken += client.sock.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        except BlockingIOError:
            here.server.step()

    assert taken < 1_000_000


def test_an_application_that_raises_costs_a_500_and_one_line_of_log(
    host: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    here = host()
    answer = here.client().get("/raise").until_text(b"internal error")

    assert answer.startswith(b"HTTP/1.1 500")
    assert b"asked to" not in answer
    assert len(caplog.records) == 1
    assert here.client().get("/on").until_text(b"GET /on 0")


def test_beyond_the_limit_newcomers_are_told_503(host: Hosts) -> None:
    here = host(max_connections=2)
    kept = [here.client(), here.client()]
    answer = here.client().until_ended()

    assert answer.startswith(b"HTTP/1.1 503")
    assert kept[0].get("/kept").until_text(b"GET /kept 0")
    kept[1].sock.close()
    here.until(lambda: here.server.connections == 1)
    assert here.client().get("/free").until_text(b"GET /free 0")


def test_three_hundred_idle_connections_do_not_hinder_a_good_client(host: Hosts) -> None:
    here = host()
    idle = [here.client() for _ in range(300)]

    assert here.client().get("/good").until_text(b"GET /good 0")
    assert here.server.connections == 301
    assert not any(client.ended for client in idle)


def test_a_socket_that_was_handed_over_is_the_applications(host: Hosts) -> None:
    here = host()
    client = here.client().get("/take")
    here.until(lambda: bool(here.app.taken))
    here.app.taken[0].send(b"by hand")

    assert client.until_text(b"by hand")
    assert here.server.connections == 0


def test_no_free_descriptor_does_not_end_or_spin_the_loop(
    host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted(socket.socket):
        left = 1

        def accept(self) -> Any:
            if Exhausted.left:
                Exhausted.left -= 1
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    here = host()
    listener = Exhausted(fileno=os.dup(here.listener.fileno()))
    here.server.unlisten(here.listener)
    here.server.listen(listener)
    client = here.client()
    before = here.server.connections
    here.later(server_module.ACCEPT_PAUSE_S + server_module.SWEEP_S)

    assert before == 0
    assert client.get("/now").until_text(b"GET /now 0")
    here.server.unlisten(listener)
    listener.close()


def test_the_listening_socket_outlives_the_server(host: Hosts) -> None:
    here = host()
    here.server.close()
    again = server_module.Server(here.app)
    again.listen(here.listener)
    here.server = again

    assert here.client().get("/again").until_text(b"GET /again 0")


def test_an_outer_selector_can_wait_for_the_server(host: Hosts) -> None:
    here = host()
    assert select.select([here.server], [], [], 0)[0] == []
    here.client().sock.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert select.select([here.server], [], [], 1)[0] == [here.server]

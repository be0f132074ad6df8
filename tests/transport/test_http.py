"""One request: an answer, or a plain reason within its deadline, and never a caller without a beat."""

import socket
import threading
import time

import pytest

from hlposmon.errors import VenueRefused, VenueUnavailable
from hlposmon.transport.http import Requests
from hlposmon.transport.quota import SILENCE_S, URGENT_SILENCE_S, Quota
from tests.clock import awake_s
from tests.transport.venue_stage import descriptors, until


def asked(sock):
    """Read one whole request."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError
        raw += piece
    return raw


def answers(body=b'{"a":1}', status="200 OK", *headers, length=None, keep=False):
    """A server that gives this answer to every request."""

    def serve(sock, server):
        while True:
            asked(sock)
            named = [
                f"HTTP/1.1 {status}",
                f"Content-Length: {len(body) if length is None else length}",
                *headers,
            ]
            sock.sendall("\r\n".join([*named, "", ""]).encode() + body)
            if not keep:
                return

    return serve


def in_turn(*serves):
    """One behaviour for each connection, the last one for all further ones."""
    return lambda sock, server: serves[min(server.count, len(serves)) - 1](sock, server)


def hangs(sock, server):
    asked(sock)
    server.over.wait(30)


def drips(sock, server):
    asked(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not server.over.wait(0.05):
        sock.sendall(b" ")


class Asker:
    def __init__(self, port, deadline, *, attempts=3, per_minute=1200):
        self.budget = Quota(per_minute=per_minute, headroom=0).share()
        self.deadline = deadline
        self.requests = Requests(
            f"http://127.0.0.1:{port}/info", budget=self.budget, deadline=deadline, attempts=attempts
        )

    def ask(self, deadline_s=5.0, weight=2, *, urgent=True):
        self.deadline.begin()
        began, awake = time.monotonic(), awake_s()
        try:
            return self.requests.post(b"{}", weight=weight, deadline_s=deadline_s, urgent=urgent)
        finally:
            self.took_s, self.ran_s = time.monotonic() - began, awake_s() - awake

    def refused(self, deadline_s=5.0, error=VenueUnavailable, *, urgent=True):
        with pytest.raises(error) as caught:
            self.ask(deadline_s, urgent=urgent)
        assert self.ran_s < deadline_s + 0.5, f"{self.ran_s:.1f} s"
        assert self.deadline.longest_s <= 0.5
        return str(caught.value)


@pytest.fixture
def asker(server, deadline):
    askers = []

    def start(serve, **options):
        port = serve if isinstance(serve, int) else server(serve).port
        askers.append(Asker(port, deadline, **options))
        return askers[-1]

    yield start
    for one in askers:
        one.requests.close()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


# ------------------------------------------------------------------ answers


def test_an_answer_is_given_as_it_came(asker):
    assert asker(answers(b'{"a": [1]}')).ask() == b'{"a": [1]}'


def test_a_connection_is_kept_for_the_next_request(server, asker):
    one = server(answers(keep=True))
    two = asker(one.port)
    for _ in range(5):
        two.ask()

    assert one.count == 1


def test_an_idle_connection_that_the_server_closed_is_made_anew(asker):
    one = asker(answers())
    for _ in range(3):
        assert one.ask() == b'{"a":1}'


def test_weight_is_spent_on_asking_and_on_what_came(asker):
    one = asker(answers(b"x" * 40))
    one.requests.post(b"{}", weight=20, extra=len, most=10)

    assert one.budget.quota.weight.used(time.monotonic()) == 60


def test_a_null_with_500_is_asked_again(asker):
    one = asker(in_turn(answers(b"null", "500 Internal Server Error"), answers()))

    assert one.ask() == b'{"a":1}'
    assert one.budget.quota.weight.used(time.monotonic()) == 4


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Unavailable", "408 Request Timeout", "302 Found"])
def test_what_may_pass_is_asked_again(asker, status):
    assert asker(in_turn(answers(b"<html>", status), answers())).ask() == b'{"a":1}'


# ------------------------------------------------------------ the environment


def heard(texts):
    """A server that keeps what it is asked, and answers."""

    def serve(sock, server):
        texts.append(asked(sock).decode())
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}')

    return serve


def test_what_netrc_has_for_everybody_is_not_sent(asker, tmp_path, monkeypatch):
    netrc, texts = tmp_path / "netrc", []
    netrc.write_text("default login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    one = asker(heard(texts))
    one.requests._session.trust_env = True  # as for an exchange that is not on this machine
    one.ask()

    assert "authorization" not in texts[0].lower()


def test_a_proxy_of_the_environment_is_asked_for_the_exchange(server, deadline, monkeypatch):
    texts = []
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server(heard(texts)).port}")
    monkeypatch.setenv("no_proxy", "")
    deadline.begin()
    one = Requests("http://exchange.invalid/info", budget=Quota().share(), deadline=deadline)
    one.post(b"{}", weight=2, deadline_s=5.0)
    one.close()

    assert texts[0].startswith("POST http://exchange.invalid/info ")


def test_no_proxy_is_asked_for_this_machine_itself(asker, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "")

    assert asker(answers()).ask() == b'{"a":1}'


# ------------------------------------------------------------------ refusals


def test_a_422_is_a_refusal_and_is_not_asked_again(server, asker):
    serve = server(answers(b"Failed to deserialize the JSON body", "422 Unprocessable Entity"))

    assert "Failed to deserialize" in asker(serve.port).refused(error=VenueRefused)
    assert serve.count == 1


def test_a_429_silences_what_may_wait_and_says_so_at_once(server, asker):
    serve = server(answers(b"null", "429 Too Many Requests"))
    one = asker(serve.port)

    assert "429" in one.refused(urgent=False)
    assert one.ran_s < 1
    assert serve.count == 1
    assert one.budget.take(2, urgent=False)[0] > SILENCE_S[0] - 1
    assert "used up" in one.refused(deadline_s=1, urgent=False)
    assert serve.count == 1


def test_after_a_429_a_heal_is_tried_again_soon(server, asker):
    serve = server(in_turn(answers(b"null", "429 Too Many Requests"), answers()))
    one = asker(serve.port)

    assert one.ask() == b'{"a":1}'
    assert URGENT_SILENCE_S[0] < one.took_s
    assert one.ran_s < SILENCE_S[0]


def test_without_weight_nothing_is_asked(server, asker):
    one = asker(answers(keep=True), per_minute=10)
    for _ in range(5):
        one.ask()

    assert "weight" in one.refused(deadline_s=1)
    assert one.budget.quota.weight.used(time.monotonic()) == 10


@pytest.mark.parametrize("attempts", [1, 3])
def test_an_error_page_is_tried_so_often_and_no_more(server, asker, attempts):
    serve = server(answers(b"<html>502 Bad Gateway</html>", "502 Bad Gateway"))

    assert "502" in asker(serve.port, attempts=attempts).refused()
    assert serve.count == attempts


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (answers(b'{"a":', length=100), "cut"),
        (answers(b"", "200 OK", length=100), "cut"),
        (lambda sock, server: asked(sock), "."),
        (lambda sock, server: sock.sendall(b"\x00\xff rubbish\r\n\r\n"), "."),
        (answers(b"5\r\nab", "200 OK", "Transfer-Encoding: chunked"), "."),
        (answers(b"not gzip", "200 OK", "Content-Encoding: gzip"), "."),
        (answers(b"", "200 OK", "Content-Length: x"), "."),
    ],
)
def test_a_broken_answer_is_an_unavailable_venue(asker, serve, reason):
    assert reason in asker(serve, attempts=2).refused()


def test_a_huge_answer_is_not_read_to_its_end(asker):
    def huge(sock, server):
        asked(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n")
        while not server.over.is_set():
            sock.sendall(b" " * 1_000_000)

    assert "longer than" in asker(huge, attempts=1).refused()


def test_a_refused_connection_says_so(asker):
    assert "refused" in asker(closed_port()).refused().lower()


def test_a_name_that_does_not_exist_says_so(deadline):
    requests = Requests(
        "http://no-such-host.invalid/info", budget=Quota().share(), deadline=deadline, attempts=1
    )
    with pytest.raises(VenueUnavailable):
        requests.post(b"{}", weight=2, deadline_s=8)
    assert deadline.longest_s <= 0.5


# ------------------------------------------------------------------ time


@pytest.mark.parametrize("serve", [hangs, drips])
def test_a_server_that_hangs_or_drips_is_given_up_in_time(asker, serve):
    one = asker(serve)

    one.refused(deadline_s=0.7)
    assert one.took_s > 0.6


def test_a_stop_ends_the_waiting_at_once(asker, deadline):
    one = asker(hangs)
    threading.Timer(0.3, lambda: setattr(deadline, "stopping", True)).start()

    assert "stopping" in one.refused(deadline_s=10)
    assert one.ran_s < 1


def test_after_a_drip_was_given_up_the_next_request_is_answered(asker):
    one = asker(in_turn(drips, answers()), attempts=1)
    one.refused(deadline_s=0.6)

    assert one.ask(deadline_s=6) == b'{"a":1}'


def test_a_long_pause_between_attempts_is_beaten_through(asker):
    one = asker(answers(b"null", "500 Internal Server Error"), attempts=4)

    one.refused(deadline_s=4)
    assert one.took_s > 0.9


def test_fifty_failures_leave_no_thread_and_no_descriptor(server, asker):
    serve = server(in_turn(*[answers(b'{"a":', length=100), lambda sock, server: None] * 25))
    one = asker(serve.port, attempts=1)
    one.refused()
    before = descriptors()
    for _ in range(50):
        one.refused()  # each one kind of two

    until(lambda: not any(thread.name.startswith("POST") for thread in threading.enumerate()))
    # The server's own ends may linger for a moment.
    until(lambda: descriptors() <= before + 1)

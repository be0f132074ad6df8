"""The dead man's switch: what is called with what, what is tried again, and that no secret is said."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request

import pytest

from hlposmon.cli.probe.ping import TOTAL_S, NoPing, _Redirects, read_url, send, target
from tests.clock import awake_s

SECRET = "5d7a-secret"
LINE = "HLPOSMON OK - all proven | drift=0\n"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Switch:
    """What a healthchecks.io stand-in was told, and the statuses that it answers with."""

    def __init__(self, *statuses: int, location: str = "") -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.agents: list[str] = []
        self.statuses, self.location = list(statuses), location
        self.url = ""


@contextmanager
def switch(*statuses: int, location: str = "") -> Iterator[Switch]:
    told = Switch(*statuses, location=location)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told.calls.append((self.command, self.path, body))
            told.agents.append(self.headers["User-Agent"])
            status = told.statuses.pop(0) if told.statuses else 200
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", told.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    told.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ping-url"
    path.touch(0o600)
    return path


def pinged(file: Path, url: str, status: int = 0, text: str = LINE) -> list[str]:
    """Ping; what was said on stderr."""
    file.write_text(f"# the switch\n\n{url}\nhttp://127.0.0.1:1/not-this-one\n")
    said: list[str] = []
    send(str(file), status, text, said.append)
    return said


def test_success_calls_the_url_with_the_line_as_body(file: Path):
    with switch() as told:
        assert [] == pinged(file, told.url)

    assert [("POST", f"/{SECRET}", LINE)] == told.calls
    assert told.agents[0].startswith("hlposmon/")


@pytest.mark.parametrize("status", [1, 2, 3])
def test_a_failure_calls_the_url_with_the_status(file: Path, status: int):
    with switch() as told:
        assert [] == pinged(file, told.url, status)

    assert [("POST", f"/{SECRET}/{status}", LINE)] == told.calls


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://hc-ping.com/x", "https://hc-ping.com/x/2"),
        ("https://hc-ping.com/x/", "https://hc-ping.com/x/2"),
        ("https://hc-ping.com/key/slug?create=1", "https://hc-ping.com/key/slug/2?create=1"),
        ("https://h:8000#part", "https://h:8000/2"),
    ],
)
def test_the_status_goes_behind_the_path(url: str, called: str):
    assert called == target(urlsplit(url), 2)


def test_what_may_pass_is_tried_again(file: Path):
    with switch(503, 429) as told:
        assert [] == pinged(file, told.url)

    assert 3 == len(told.calls)


@pytest.mark.parametrize(
    ("statuses", "calls", "said"), [((404,), 1, "status 404 (Not Found)"), ((500,) * 9, 3, "status 500")]
)
def test_a_refusal_is_said_without_the_secret(file: Path, statuses: tuple[int, ...], calls: int, said: str):
    with switch(*statuses) as told:
        [line] = pinged(file, told.url)

    assert calls == len(told.calls)
    assert line.startswith("no ping: http://127.0.0.1 did not take it: ")
    assert said in line
    assert SECRET not in line


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_with_the_body(file: Path, status: int):
    with switch() as there, switch(status, location=f"{there.url}/moved") as here:
        assert [] == pinged(file, here.url)

    assert [("POST", f"/{SECRET}/moved", LINE)] == there.calls


def test_a_redirect_to_no_web_page_is_not_followed(file: Path):
    with switch(302, 302, 302, location="file:///etc/passwd") as told:
        [line] = pinged(file, told.url)

    assert "did not take it" in line


def test_a_secret_is_not_taken_from_https_to_http():
    request = Request(f"https://h/{SECRET}", b"x", method="POST")
    with pytest.raises(NoPing, match="over plain http") as caught:
        _Redirects().redirect_request(request, BytesIO(), 302, "Found", Message(), f"http://h/{SECRET}")

    assert SECRET not in str(caught.value)


def test_the_body_of_a_redirect_is_not_read(file: Path):
    """It may have no end, and was held in memory until the time was over."""
    sent = [0]

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != f"/{SECRET}":
                self.send_response(200)
                self.end_headers()
                return
            self.send_response(302)
            self.send_header("Location", "/well")
            self.end_headers()
            try:
                while sent[0] < 1 << 27:
                    sent[0] += self.wfile.write(b"x" * (1 << 16))
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert [] == pinged(file, f"http://127.0.0.1:{server.server_port}/{SECRET}")
    finally:
        server.shutdown()
        server.server_close()

    assert sent[0] < 1 << 25, "what the sockets hold at the most"


def test_a_redirect_for_ever_ends(file: Path):
    with switch(*[302] * 50, location=f"/{SECRET}/again") as told:
        [line] = pinged(file, told.url)

    assert len(told.calls) < 10
    assert SECRET not in line


def test_nobody_there_is_said_without_the_secret(file: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        [line] = pinged(file, f"http://127.0.0.1:{unused.getsockname()[1]}/{SECRET}")

    assert "no ping: http://127.0.0.1 did not take it: connection refused" == line


def test_who_never_answers_is_given_up_in_time(file: Path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start_s = awake_s()
        [line] = pinged(file, f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")

    assert "no answer in time" in line or "did not answer within 5 s" in line
    assert awake_s() - start_s < TOTAL_S + 2
    assert SECRET not in line


def test_a_proxy_of_the_environment_is_used(file: Path, monkeypatch: pytest.MonkeyPatch):
    with switch() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix(f"/{SECRET}"))
        assert [] == pinged(file, "http://hc-ping.example/x", 2)

    assert "http://hc-ping.example/x/2" == proxy.calls[0][1]


def test_a_file_that_everybody_can_read_is_said_and_used(file: Path):
    file.chmod(0o644)
    with switch() as told:
        [line] = pinged(file, told.url)

    assert f"{file} can be read by everybody, and its URL is a secret: chmod o-r {file}" == line
    assert 1 == len(told.calls)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no URL"),
        ("# only a comment\n\n", "holds no URL"),
        (f"ftp://h/{SECRET}", "is no http or https URL"),
        (f"http:///{SECRET}", "is no http or https URL"),
        (f"http://h:x/{SECRET}", "is no http or https URL"),
        (f"http://[/{SECRET}", "is no http or https URL"),
        (f"http://h/{SECRET} x", "is no http or https URL"),
        (f"http://h/{SECRET}\x00", "is no http or https URL"),
        (f"{SECRET}", "is no http or https URL"),
        (f"https://user:{SECRET}@h/", "holds a user or a password"),
    ],
)
def test_a_file_without_a_url_is_said_and_not_quoted(file: Path, text: str, said: str):
    file.write_text(text)
    with pytest.raises(NoPing, match=said) as caught:
        read_url(str(file))

    assert SECRET not in str(caught.value)


def test_a_byte_order_mark_and_windows_lines_are_no_matter(file: Path):
    file.write_bytes(b"\xef\xbb\xbf# c\r\nhttps://hc-ping.com/x \r\n")

    assert "https://hc-ping.com/x" == read_url(str(file))[0].geturl()


def test_a_pipe_that_nobody_writes_holds_up_nothing(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NoPing, match="holds no URL"):
        read_url(str(tmp_path / "pipe"))


@pytest.mark.parametrize(("name", "said"), [("missing", "no such file"), (".", "is a directory")])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, name: str, said: str):
    lines: list[str] = []
    send(str(tmp_path / name), 0, LINE, lines.append)

    assert said in lines[0]

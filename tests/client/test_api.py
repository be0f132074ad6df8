"""Questions over the socket: answers in any framing, restarts, silence, and what may not be imported."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hlposmon.client.api import Api, RequestRefused
from hlposmon.errors import MonitorNotRunning, NotPermitted, TimedOut, WireError
from tests.clock import awake_s

Script = bytes | Callable[[socket.socket], None]


def answer(body: bytes | dict[str, object], status: str = "200 OK") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(data), data)


def reset(_connection: socket.socket) -> None:
    """Close without a word."""


@contextmanager
def monitor(path: Path, *scripts: Script) -> Iterator[list[bytes]]:
    """A socket whose connections are answered by these scripts in turn; the requests they brought."""
    requests: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        for script in scripts:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    if script is not reset:
                        requests.append(connection.recv(65536))
                    if callable(script):
                        script(connection)
                    else:
                        connection.sendall(script)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield requests
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_the_summary_comes_as_it_was_sent_with_decimals_as_strings(path: Path):
    with monitor(path, answer({"total_pnl": "121.24"})) as requests:
        assert {"total_pnl": "121.24"} == Api(path).summary()

    assert requests[0].startswith(b"GET /api/v1/positions/summary HTTP/1.1\r\n")
    assert b"Connection: close\r\n" in requests[0]


def test_an_accounts_name_is_quoted(path: Path):
    with monitor(path, answer({})) as requests:
        Api(path).summary("a b&c")

    assert requests[0].startswith(b"GET /api/v1/positions/summary?account=a%20b%26c HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}',
        b'HTTP/1.1 200\r\ncontent-length: 8\r\n\r\n{"a": 1}and more',
    ],
)
def test_each_framing_of_an_answer_is_understood(path: Path, sent: bytes):
    with monitor(path, sent):
        assert (200, {"a": 1}) == Api(path).get("/x")


def test_health_is_an_answer_also_when_it_is_503(path: Path):
    with monitor(path, answer({"status": "unhealthy"}, "503 Service Unavailable")):
        assert {"status": "unhealthy"} == Api(path).health()


def test_an_error_of_the_monitor_is_raised_with_its_word(path: Path):
    error = {"error": {"code": "not_found", "message": "no account named x"}}
    with (
        monitor(path, answer(error, "404 Not Found")),
        pytest.raises(RequestRefused, match="no account named x") as caught,
    ):
        Api(path).summary("x")

    assert (404, "not_found") == (caught.value.status, caught.value.code)


def test_workers_are_a_list(path: Path):
    with monitor(path, answer({"workers": [{"name": "tracker"}]})):
        assert [{"name": "tracker"}] == Api(path).workers()


def test_no_socket_means_no_monitor_at_once(path: Path):
    began = awake_s()
    with pytest.raises(MonitorNotRunning, match="there is no socket"):
        Api(path, timeout_s=30).health()

    assert awake_s() - began < 0.5


def test_a_socket_that_refuses_is_tried_until_the_deadline(path: Path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    began, awake = time.monotonic(), awake_s()
    with pytest.raises(MonitorNotRunning, match="refused"):
        Api(path, timeout_s=0.4).health()

    assert 0.2 < time.monotonic() - began
    assert awake_s() - awake < 1.0


def test_a_socket_that_refuses_is_no_monitor_also_where_the_machine_lets_us_sleep_too_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds + 0.5))

    with pytest.raises(MonitorNotRunning, match="refused"):
        Api(path, timeout_s=0.4).health()


def test_a_reset_and_a_cut_answer_are_asked_again(path: Path):
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
    with monitor(path, reset, cut, answer({"status": "healthy"})):
        assert {"status": "healthy"} == Api(path).health()


def test_a_monitor_that_takes_over_the_socket_in_time_is_found(path: Path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append(Api(path, timeout_s=30).health()))
    asking.start()
    time.sleep(0.15)
    new = path.with_name("new")
    with monitor(new, answer({"status": "healthy"})):
        new.rename(path)
        asking.join(30)

    assert [{"status": "healthy"}] == found


def test_a_silent_monitor_times_out(path: Path):
    with monitor(path, lambda _connection: time.sleep(0.6)), pytest.raises(TimedOut, match=r"within 0\.2 s"):
        Api(path, timeout_s=0.2).health()


def test_the_deadline_is_over_the_whole_answer_not_over_each_byte(path: Path):
    def drip(connection: socket.socket) -> None:
        for byte in answer({"status": "healthy"}):
            time.sleep(0.05)
            connection.sendall(bytes([byte]))

    began = awake_s()
    with monitor(path, drip):
        with pytest.raises(TimedOut):
            Api(path, timeout_s=0.3).health()
        took_s = awake_s() - began

    assert took_s < 0.6


@pytest.mark.parametrize(
    "sent",
    [
        b"220 mail.example ESMTP\r\n\r\n",
        answer(b"not json"),
        answer(b"[]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
        b"x" * 40_000,
    ],
)
def test_what_is_no_answer_is_refused(path: Path, sent: bytes):
    with monitor(path, sent), pytest.raises(WireError):
        Api(path).health()


def test_a_socket_that_may_not_be_opened_is_said(path: Path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with _nobody(), pytest.raises(NotPermitted, match="by this user; become a member of its group"):
            Api(path).health()


@contextmanager
def _nobody() -> Iterator[None]:
    """Root may open everything: for that moment it is another user."""
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(uid)


def test_asking_imports_nothing_heavy():
    code = "import sys, hlposmon.client.api as a; a.Api('/x').get; print(*sys.modules)"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare
    ).stdout.split()

    assert not {"ssl", "asyncio", "multiprocessing", "http.client", "requests", "orjson", "email"} & set(
        names
    )


def test_the_package_offers_both_ways_in_and_nothing_else():
    import hlposmon.client
    from hlposmon.client.snapshot import Snapshot

    assert (hlposmon.client.Api, hlposmon.client.Snapshot) == (Api, Snapshot)
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = hlposmon.client.Server

"""The public socket, as the contract has it: paths, errors, the stream, and clients that misbehave.

The client is the `websockets` library's: another implementation of the protocol than ours.
"""

import contextlib
import http.client
import json
import os
import re
import selectors
import socket
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect, unix_connect

from hlposmon.api import server as servers
from hlposmon.api import subscribers
from hlposmon.api.server import PATHS, PublicServer
from hlposmon.errors import HistoryUnread
from hlposmon.serving.access import Access
from hlposmon.serving.frames import text_frame
from hlposmon.serving.messages import Limits
from hlposmon.text import dumps
from tests.clock import awake_here_s

BASE = "/api/v1/positions"
NOW_MS = 1_790_000_000_000


class Monitor:
    """The source of what is served: a summary, a health, and messages numbered without holes."""

    def __init__(self, subscribers):
        self._subscribers = subscribers
        self.status = "healthy"
        self.positions = {}

    @property
    def seq(self):
        return self._subscribers.seq

    def summary(self, account):
        if account not in (None, "main"):
            return None
        return {"timestamp": "…Z", "seq": self.seq, "positions": self.positions, "asked": account}

    def health(self):
        return {"status": self.status, "running": True}

    def workers(self):
        return {"supervisor": {}, "workers": []}

    def now_ms(self):
        return NOW_MS

    def ledger(self, account, since_ms, until_ms):
        if account == "unread":
            raise HistoryUnread("history.sqlite3: the history cannot be read: it is locked")
        return {"account": account, "since": since_ms, "until": until_ms}

    def metrics(self, accept, traffic):
        return "text/plain; version=0.0.4", b"# TYPE hlposmon_up gauge\nhlposmon_up 1\n"


class Stage:
    """The server turning in its own thread; what is asked of it from outside is done there."""

    def __init__(self, folder, access=None, **limits):
        self.subscribers = subscribers.Subscribers(1000)
        self.monitor = Monitor(self.subscribers)
        self.refusals = []
        self.server = PublicServer(
            self.monitor, self.subscribers, Limits(**limits), access=access, refused=self.refusals.append
        )
        self.path = folder / "s"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.path))
        self.tcp = socket.create_server(("127.0.0.1", 0))
        for listener in (self.unix, self.tcp):
            listener.listen(64)
            self.server.listen(listener)
        self.port = self.tcp.getsockname()[1]
        self.open = contextlib.ExitStack()
        self._bell = os.eventfd(0)
        self._ready = selectors.DefaultSelector()
        for number in (self.server.fileno(), self._bell):
            self._ready.register(number, selectors.EVENT_READ)
        self._todo = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _turn(self):
        while not self._over.is_set():
            sleep_s = 0 if self.subscribers.is_owed else 0.25
            rung = any(key.fd == self._bell for key, _ in self._ready.select(sleep_s))
            self.server.step()
            if rung:
                os.eventfd_read(self._bell)
            while self._todo:
                self._todo.pop(0)()

    def do(self, work):
        """Have this done in the server's thread; what came of it."""
        done, results = threading.Event(), []
        self._todo.append(lambda: (results.append(work()), done.set()))
        os.eventfd_write(self._bell, 1)
        assert done.wait(30)
        return results[0]

    def say(self, event="fill", account="main", **body):
        """Publish; in the server's thread."""
        seq = self.subscribers.seq + 1
        whole = {"type": event, "seq": seq, "account": account, "symbol": "BTC-USD", **body}
        self.subscribers.publish(subscribers.Published(seq, event, account, text_frame(dumps(whole))))
        self.subscribers.flush()
        return seq

    def publish(self, event="fill", account="main", **body):
        return self.do(lambda: self.say(event, account, **body))

    def until(self, wanted, seconds=30):
        """Wait for what only the server's thread can tell."""
        deadline = time.monotonic() + seconds
        while not self.do(wanted):
            assert time.monotonic() < deadline, "it did not happen in time"

    def until_something_waits(self):
        """A client does not read what it was sent."""
        self.until(lambda: self.server._server.tally.size)

    def waiting_questions(self):
        return sum(len(one.questions) for one in self.server._subscribers._listeners.values())

    def publish_until_cut_off(self, most=2000, **body):
        """Go on until a client that does not read is closed, no longer: its goodbye waits only so long."""
        for _ in range(most):
            self.publish(**body)
            if self.do(lambda: self.server.traffic.cut_off):
                return
        raise AssertionError(f"no client was cut off by {most} messages")

    def request(self, method, path, body=None, headers=None, tcp=False):
        connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
        if not tcp:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(30)
            connection.sock.connect(str(self.path))
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        return answer, raw

    def get(self, path, **more):
        answer, raw = self.request("GET", path, **more)
        return answer.status, json.loads(raw)

    def stream(self, query="", **more):
        """A client of another make. It sends no pings, by which it would leave a server that is slow."""
        options = {"uri": f"ws://localhost{BASE}/stream{query}", "close_timeout": 1, "ping_interval": None}
        return Client(self.open.enter_context(unix_connect(str(self.path), **options | more)))

    def stop(self):
        """The monitor's end, orderly."""
        if not self._over.is_set():
            self._over.set()
            os.eventfd_write(self._bell, 1)
            self._thread.join()
            self._ready.close()
            self.server.close()
            os.close(self._bell)

    def close(self):
        self.stop()
        self.open.close()
        self.unix.close()
        self.tcp.close()


class Client:
    """One stream."""

    def __init__(self, connection):
        self.connection = connection

    def raw(self, timeout=30):
        return self.connection.recv(timeout=timeout)

    def next(self):
        return json.loads(self.raw())

    def say(self, value):
        self.connection.send(value if isinstance(value, str | bytes) else json.dumps(value))
        return self

    def ask(self, value):
        return self.say(value).next()

    def is_quiet(self):
        """Whether nothing is on its way: a pong comes first."""
        return self.ask({"action": "ping"}) == {"type": "pong"}


@pytest.fixture
def stage(tmp_path):
    stages = []

    def start(**limits):
        stages.append(Stage(tmp_path, **limits))
        return stages[-1]

    yield start
    for one in stages:
        one.close()


# ------------------------------------------------------------------ requests


def test_each_path_has_its_answer(stage):
    one = stage()

    assert one.get(f"{BASE}/summary")[1]["seq"] == 1000
    assert one.get(f"{BASE}/summary?account=main")[1]["asked"] == "main"
    assert one.get(f"{BASE}/health") == (200, {"status": "healthy", "running": True})
    assert one.get("/api/v1/workers") == (200, {"supervisor": {}, "workers": []})
    answer, raw = one.request("GET", "/metrics")
    assert (answer.status, raw[:6]) == (200, b"# TYPE")
    assert answer.getheader("Content-Type").startswith("text/plain; version=0.0.4")


def test_the_ledger_is_asked_for_with_times_as_people_name_them(stage):
    one = stage()
    nothing = {"account": None, "since": None, "until": None}
    assert one.get("/api/v1/ledger") == (200, nothing)
    status, answer = one.get("/api/v1/ledger?account=main&since=1h&until=2026-11-20")
    assert (status, answer) == (
        200, {"account": "main", "since": NOW_MS - 3_600_000, "until": 1_795_132_800_000}
    )  # fmt: skip


def test_a_ledger_that_cannot_be_had_says_why(stage):
    one = stage()
    status, answer = one.get("/api/v1/ledger?since=then")
    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert "since: 'then' is no time" in answer["error"]["message"]
    status, answer = one.get("/api/v1/ledger?account=unread")
    assert (status, answer["error"]["message"]) == (
        503, "history.sqlite3: the history cannot be read: it is locked"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code"), [("healthy", 200), ("degraded", 200), ("unhealthy", 503), ("stopping", 503)]
)
def test_health_is_a_status_code_too(stage, status, code):
    one = stage()
    one.monitor.status = status

    assert one.get(f"{BASE}/health") == (code, {"status": status, "running": True})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/api/v1/positions", 404, "not_found"),
        ("GET", f"{BASE}/summary/", 404, "not_found"),
        ("POST", "/nothing", 404, "not_found"),
        ("GET", f"{BASE}/summary?account=nobody", 404, "not_found"),
        ("POST", f"{BASE}/summary", 405, "method_not_allowed"),
        ("DELETE", "/metrics", 405, "method_not_allowed"),
        ("GET", f"{BASE}/stream", 426, "upgrade_required"),
    ],
)
def test_what_cannot_be_answered_says_why(stage, method, path, status, code):
    answer, raw = stage().request(method, path)
    error = json.loads(raw)["error"]

    assert (answer.status, error["code"]) == (status, code)
    assert error["message"]
    assert answer.getheader("Content-Type") == "application/json"
    if status == 405:
        assert answer.getheader("Allow") == "GET"
    if status == 426:
        assert answer.getheader("Upgrade") == "websocket"


def test_a_request_that_is_too_large_says_so(stage):
    one = stage(max_header_bytes=2000, max_body_bytes=1000)

    assert one.get(f"{BASE}/summary?x={'y' * 3000}")[1]["error"]["code"] == "headers_too_large"
    _, raw = one.request("POST", f"{BASE}/summary", b"x" * 5000)
    assert json.loads(raw)["error"]["code"] == "too_large"


def test_what_is_not_http_is_a_bad_request(stage):
    one = stage()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(one.path))
        sock.sendall(b"what is this\r\n\r\n")
        raw = b""
        while piece := sock.recv(4096):
            raw += piece

    assert raw.startswith(b"HTTP/1.1 400")
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "9" * 30, "", "٣"])
def test_a_since_that_is_no_number_is_refused(stage, since):
    with pytest.raises(InvalidStatus) as caught:
        stage().stream(f"?since={since}")

    assert caught.value.response.status_code == 400


# ------------------------------------------------------------------ the stream


def test_a_stream_begins_with_the_whole_state(stage):
    first = stage().stream().next()

    assert next(iter(first)) == "type"
    assert (first["type"], first["seq"], first["positions"]) == ("initial_state", 1000, {})


def test_messages_come_in_order_without_holes(stage):
    one = stage()
    client = one.stream()
    client.next()
    for _ in range(100):
        one.publish()

    assert [client.next()["seq"] for _ in range(100)] == list(range(1001, 1101))


def test_all_clients_are_sent_the_same_bytes(stage):
    one = stage()
    clients = [one.stream() for _ in range(5)]
    for client in clients:
        client.next()
    one.publish(position={"size": "0.1", "note": "ü"})

    assert len({client.raw() for client in clients}) == 1


def test_a_client_may_ask_for_the_summary_and_for_a_sign_of_life(stage):
    client = stage().stream()
    client.next()

    assert client.ask({"action": "ping"}) == {"type": "pong"}
    summary = client.ask({"action": "get_summary"})
    assert (summary["type"], summary["seq"], summary["positions"]) == ("summary", 1000, {})


@pytest.mark.parametrize(
    "said",
    [
        "garbage",
        "",
        "null",
        "[]",
        "5",
        "{}",
        b"\x00\xff",
        {"action": "explode"},
        {"action": ["ping"]},
        {"action": "subscribe", "events": "fill"},
        {"action": "subscribe", "events": [5]},
        {"action": "subscribe", "accounts": {"main": 1}},
        {"action": "subscribe", "events": ["x"] * 100},
        "[" * 5000,
        '{"action":"\\ud800"}',
    ],
)
def test_anything_else_is_answered_with_an_error_and_the_stream_goes_on(stage, said):
    client = stage().stream()
    client.next()
    error = client.ask(said)

    assert error["type"] == "error"
    assert isinstance(error["message"], str) and error["message"]
    assert client.is_quiet()


def test_a_subscription_is_confirmed_and_kept_to(stage):
    one = stage()
    client = one.stream()
    client.next()
    confirmed = client.ask({"action": "subscribe", "events": ["fill"], "accounts": ["main"]})
    one.publish("fill", "other")
    one.publish("verdict", "main")
    wanted = one.publish("fill", "main")

    assert confirmed == {"type": "subscribed", "events": ["fill"], "accounts": ["main"]}
    assert client.next()["seq"] == wanted
    assert client.ask({"action": "subscribe"}) == {"type": "subscribed", "events": [], "accounts": []}
    assert client.is_quiet()
    assert one.publish("verdict", "other") == client.next()["seq"]


def test_a_filter_may_stand_in_the_address(stage):
    one = stage()
    client = one.stream("?events=fill,gap&accounts=main")
    client.next()
    one.publish("verdict")
    wanted = [one.publish("gap"), one.publish("fill")]

    assert [client.next()["seq"], client.next()["seq"]] == wanted


def test_a_compact_stream_sends_the_short_form(stage):
    one = stage()
    client = one.stream("?compact=1")
    client.next()
    seq = one.publish("price_update")

    assert client.next() == {"seq": seq, "e": "price_update", "a": "main", "k": "BTC-USD"}


def test_a_silent_stream_is_pinged(stage):
    client = stage(keepalive_s=0.2).stream()
    client.next()

    assert [client.next(), client.next()] == [{"type": "ping"}] * 2


# ------------------------------------------------------------------ coming back


def test_who_comes_back_is_sent_exactly_what_was_missed(stage):
    one = stage()
    steady = one.stream()
    steady.next()
    seqs = [one.publish(number=number) for number in range(20)]
    sent = [steady.raw() for _ in range(20)]
    back = one.stream(f"?since={seqs[11]}")

    assert [back.raw() for _ in range(8)] == sent[12:]
    assert back.is_quiet()


def test_who_missed_nothing_is_sent_nothing(stage):
    one = stage()
    seq = one.publish()
    back = one.stream(f"?since={seq}")

    assert back.is_quiet()
    assert one.stream("?since=1000").next()["seq"] == seq


@pytest.mark.parametrize("since", [0, 998, 2000])
def test_who_was_away_too_long_is_sent_the_whole_state(stage, since):
    one = stage()
    one.publish()

    first = one.stream(f"?since={since}").next()
    assert (first["type"], first["seq"]) == ("initial_state", 1001)


def test_only_so_much_is_kept_for_those_who_come_back(stage, monkeypatch):
    monkeypatch.setattr(subscribers, "REPLAY_MESSAGES", 5)
    one = stage()
    last = [one.publish() for _ in range(8)][-1]

    assert one.stream(f"?since={last - 5}").next()["seq"] == last - 4
    assert one.stream(f"?since={last - 6}").next()["type"] == "initial_state"
    monkeypatch.setattr(subscribers, "REPLAY_BYTES", 1000)
    last = one.publish(padding="x" * 1100)
    assert one.stream(f"?since={last - 1}").next()["type"] == "initial_state"


def test_who_comes_back_keeps_the_filter_and_the_form(stage):
    one = stage()
    one.publish("verdict")
    wanted = one.publish("fill")
    back = one.stream("?since=1000&events=fill&compact=1")

    assert back.next() == {"seq": wanted, "e": "fill", "a": "main", "k": "BTC-USD"}


def test_requests_are_counted_by_path_and_status_and_what_is_kept_is_measured(stage):
    one = stage()
    client = one.stream()
    client.next()
    one.publish(padding="x" * 100)
    for path in ("/metrics", "/metrics", "/secret-1", "/secret-2", f"{BASE}/summary?account=nobody"):
        one.request("GET", path)
    traffic = one.do(lambda: one.server.traffic)

    assert traffic.requests == {
        (f"{BASE}/stream", 101): 1,
        ("/metrics", 200): 2,
        ("other", 404): 2,
        (f"{BASE}/summary", 404): 1,
    }
    assert (traffic.clients, traffic.cut_off, traffic.replay_messages) == (1, 0, 1)
    assert traffic.connections >= 1
    assert 100 < traffic.replay_bytes < 1000


# ------------------------------------------------------------------ many clients


@pytest.fixture
def no_time(monkeypatch):
    """So many listen that nobody can be sent anything at once, and one in each step what it lacks."""
    monkeypatch.setattr(subscribers, "FLUSH_S", 0)
    monkeypatch.setattr(servers, "TURN_S", 0)


def test_where_there_is_no_time_for_all_each_is_sent_everything_in_turns(stage, no_time):
    one = stage()
    clients = [one.stream() for _ in range(8)]
    assert [client.next()["seq"] for client in clients] == [1000] * 8
    seqs = [one.publish(padding="x" * 3000) for _ in range(50)]

    assert [[client.next()["seq"] for _ in seqs] for client in clients] == [seqs] * 8
    assert one.publish() == clients[0].next()["seq"]


def test_who_is_behind_keeps_its_filter_and_its_form(stage, no_time):
    one = stage()
    whole, filtered, short = one.stream(), one.stream("?events=fill"), one.stream("?compact=1&accounts=main")
    for client in (whole, filtered, short):
        client.next()
    seqs = one.do(lambda: [one.say(event) for event in ("fill", "verdict", "fill")])

    assert [whole.next()["seq"] for _ in seqs] == seqs
    assert [filtered.next()["seq"] for _ in range(2)] == [seqs[0], seqs[2]]
    assert [short.next() for _ in seqs] == [
        {"seq": seq, "e": event, "a": "main", "k": "BTC-USD"}
        for seq, event in zip(seqs, ("fill", "verdict", "fill"), strict=True)
    ]


@pytest.fixture
def behind(stage):
    """A stage, a client that does not read yet and lacks messages, and their numbers."""
    one = stage()
    client = one.stream("?since=1000", max_queue=1)
    seqs = [one.publish(event, padding="x" * 20_000) for event in ("fill", "verdict") * 30]
    one.until_something_waits()
    return one, client, seqs


def test_who_is_behind_is_answered_when_it_has_what_is_older(behind):
    one, client, seqs = behind
    for _ in range(2):
        client.say({"action": "get_summary"})
    one.until(lambda: one.waiting_questions() == 2)
    seen = [client.next() for _ in range(len(seqs) + 2)]

    assert [message["seq"] for message in seen] == [*seqs, seqs[-1], seqs[-1]]
    assert [message["type"] for message in seen[-2:]] == ["summary"] * 2
    assert client.is_quiet()


def test_who_is_behind_changes_its_filter_behind_what_is_older(behind):
    one, client, seqs = behind
    client.say({"action": "subscribe", "events": ["verdict"]})
    one.until(lambda: one.waiting_questions() == 1)
    seen = [client.next() for _ in range(len(seqs) + 1)]
    one.publish("fill")

    assert [message.get("seq") for message in seen] == [*seqs, None]
    assert seen[-1] == {"type": "subscribed", "events": ["verdict"], "accounts": []}
    assert one.publish("verdict") == client.next()["seq"]


def test_who_asks_on_and_on_and_does_not_read_is_cut_off(behind):
    one, client, _ = behind
    for _ in range(subscribers.WAITING_QUESTIONS + 1):
        client.say({"action": "get_summary"})
    one.until(lambda: one.server.traffic.cut_off)
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            client.next()

    assert caught.value.rcvd.code == 1013
    assert one.get(f"{BASE}/health")[0] == 200


def test_a_summary_that_fails_costs_who_asked_and_nobody_else(behind):
    one, client, _ = behind
    steady = one.stream()
    steady.next()
    client.say({"action": "get_summary"})
    one.until(lambda: one.waiting_questions() == 1)
    one.monitor.summary = None  # not to be called
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            client.next()

    assert caught.value.rcvd.code == 1011
    assert one.publish() == steady.next()["seq"]


def test_the_last_messages_reach_those_who_read_though_there_was_no_time(stage, no_time):
    """All that was sent until the end of the file is looked at: the library forgets it at a goodbye."""
    one = stage()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(one.path))
        client.sendall(
            f"GET {BASE}/stream?compact=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        one.until(lambda: one.server.traffic.clients)
        seqs = one.do(lambda: [one.say() for _ in range(20)])
        one.stop()
        with client.makefile("rb") as file:
            said = file.read()

    assert [int(seq) for seq in re.findall(rb'{"seq":(\d+),"e":"fill"', said)] == seqs


# ------------------------------------------------------------------ slow clients


def test_who_missed_more_than_may_wait_is_sent_all_of_it_as_it_reads(stage):
    one = stage(max_buffer_bytes=100_000)
    seqs = [one.publish(padding="x" * 2000) for _ in range(500)]
    back = one.stream("?since=1000", max_queue=1)
    one.until_something_waits()
    seqs += [one.publish() for _ in range(10)]

    assert [back.next()["seq"] for _ in seqs] == seqs
    assert back.is_quiet()
    assert one.publish() == back.next()["seq"]
    assert one.do(lambda: one.server.traffic).cut_off == 0


def test_what_was_missed_is_kept_once_however_many_come_back_for_it(stage):
    one = stage(max_buffered_bytes=200_000)
    seqs = [one.publish(padding="x" * 2000) for _ in range(400)]
    back = [one.stream("?since=1000", max_queue=1) for _ in range(8)]

    assert [[client.next()["seq"] for _ in seqs] for client in back] == [seqs] * 8


def test_who_comes_back_and_does_not_read_is_closed_when_what_it_missed_is_gone(stage, monkeypatch):
    monkeypatch.setattr(subscribers, "REPLAY_MESSAGES", 500)
    one = stage()
    for _ in range(500):
        one.publish(padding="x" * 2000)
    stuck = one.stream("?since=1000", max_queue=1)
    one.publish_until_cut_off(padding="x" * 2000)
    seqs = []
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            seqs.append(stuck.next()["seq"])

    assert caught.value.rcvd.code == 1013
    assert seqs == list(range(1001, 1001 + len(seqs))) and seqs
    assert one.do(lambda: one.server.traffic).cut_off == 1


def test_a_state_larger_than_may_wait_reaches_who_reads(stage):
    one = stage()
    one.monitor.positions = {f"coin {number}": {"note": "x" * 1000} for number in range(3000)}
    client = one.stream(max_queue=1, max_size=None)
    one.until_something_waits()
    seqs = [one.publish() for _ in range(100)]
    first = client.next()

    assert (first["type"], len(first["positions"])) == ("initial_state", 3000)
    assert [client.next()["seq"] for _ in seqs] == seqs
    assert client.ask({"action": "get_summary"})["type"] == "summary"
    assert client.is_quiet()


def test_who_does_not_read_its_large_state_is_closed_all_the_same(stage):
    one = stage(max_buffer_bytes=100_000)
    one.monitor.positions = {"coin": "x" * 1_000_000}
    stuck = one.stream(max_queue=1, max_size=None)
    one.publish_until_cut_off(padding="x" * 20_000)
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            stuck.next()

    assert caught.value.rcvd.code == 1013


def test_a_client_that_does_not_read_is_closed_and_delays_nobody(stage):
    one = stage()
    slow = one.stream(max_queue=1)
    steady = one.stream()
    steady.next()
    longest_s = 0.0
    while not one.do(lambda: one.server.traffic.cut_off):
        began = awake_here_s()
        seq = one.publish(padding="x" * 2000)
        assert steady.next()["seq"] == seq
        longest_s = max(longest_s, awake_here_s() - began)
        assert seq < 6000, "nobody is cut off"
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            slow.next()

    assert caught.value.rcvd.code == 1013
    assert one.do(lambda: one.server.traffic).cut_off == 1
    assert longest_s < 1
    print(f"longest publish-to-receive beside a stuck client: {longest_s * 1000:.1f} ms")


def test_clients_that_vanish_are_forgotten(stage):
    one = stage()
    for _ in range(5):
        one.stream().connection.socket.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 60
    while one.do(lambda: one.server.traffic.clients):
        assert time.monotonic() < deadline
        one.publish()


def test_the_end_is_said_to_every_client(stage):
    one = stage()
    client = one.stream()
    client.next()
    one.stop()

    with pytest.raises(ConnectionClosed) as caught:
        client.next()
    assert caught.value.rcvd.code == 1001


# ------------------------------------------------------------------ over TCP


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "[::1]"],
)
def test_over_tcp_this_machine_is_answered(stage, host):
    assert stage().get(f"{BASE}/health", headers={"Host": host}, tcp=True)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:8000",
        "",
        "127.0.0.1.x.example",
        "[x",
        "10.0.0.5:8000",
        "x@localhost",
    ],
)
def test_over_tcp_a_name_that_was_made_to_point_here_is_refused(stage, host):
    status, body = stage().get(f"{BASE}/health", headers={"Host": host}, tcp=True)

    assert (status, body["error"]["code"]) == (403, "forbidden")


def test_over_tcp_a_page_of_our_own_origin_may_read(stage):
    one = stage()
    with connect(f"ws://127.0.0.1:{one.port}{BASE}/stream", origin=f"http://127.0.0.1:{one.port}") as client:
        assert json.loads(client.recv(timeout=30))["type"] == "initial_state"


def test_over_tcp_a_page_that_the_configuration_names_may_read(stage):
    one = stage(access=Access(allowed_origins=("http://localhost:3000",)))
    answer, _ = one.request("GET", f"{BASE}/summary", headers={"Origin": "http://localhost:3000"}, tcp=True)
    with connect(f"ws://127.0.0.1:{one.port}{BASE}/stream", origin="http://localhost:3000") as client:
        assert json.loads(client.recv(timeout=30))["type"] == "initial_state"

    assert (answer.status, answer.getheader("Access-Control-Allow-Origin")) == (200, "http://localhost:3000")
    assert answer.getheader("Vary") == "Origin"


def test_an_error_can_be_read_by_an_allowed_page_too(stage):
    one = stage(access=Access(allowed_origins=("http://localhost:3000",)))
    answer, _ = one.request("GET", "/nothing", headers={"Origin": "http://localhost:3000"}, tcp=True)

    assert (answer.status, answer.getheader("Access-Control-Allow-Origin")) == (404, "http://localhost:3000")


def test_the_preflight_of_an_allowed_page_is_answered_and_of_no_other(stage):
    one = stage(access=Access(allowed_origins=("http://localhost:3000",)))

    def preflight(origin):
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        return one.request("OPTIONS", f"{BASE}/summary", headers=headers, tcp=True)[0]

    allowed, refused = preflight("http://localhost:3000"), preflight("http://localhost:3001")
    assert (allowed.status, allowed.getheader("Access-Control-Allow-Methods")) == (200, "GET")
    assert allowed.getheader("Access-Control-Allow-Origin") == "http://localhost:3000"
    assert (refused.status, refused.getheader("Access-Control-Allow-Origin")) == (403, None)


def test_a_proxy_that_passes_on_a_foreign_pages_request_to_the_unix_socket_is_refused(stage):
    headers = {"Host": "monitor.lan", "Origin": "http://evil.example"}

    one = stage()
    assert one.get(f"{BASE}/summary", headers=headers)[0] == 403
    assert one.get(f"{BASE}/summary", headers=headers | {"Origin": "https://monitor.lan"})[0] == 200


def test_answers_are_not_kept_nor_taken_for_scripts(stage):
    one = stage()
    for path in (f"{BASE}/summary", "/nothing"):
        answer, _ = one.request("GET", path)

        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://6.6.6.6",
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[::1]:1",
        "http://localhost@evil.example",
        "file://",
        "",
    ],
)
def test_over_tcp_pages_from_elsewhere_may_not_read(stage, origin):
    one = stage()
    assert one.get(f"{BASE}/summary", headers={"Origin": origin}, tcp=True)[0] == 403
    if origin:
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{one.port}{BASE}/stream", origin=origin)


def test_on_the_unix_socket_the_host_is_of_no_matter(stage):
    assert stage().get(f"{BASE}/health", headers={"Host": "anything"})[0] == 200


def test_every_path_is_named_where_a_path_is_unknown(stage):
    message = stage().get("/x")[1]["error"]["message"]

    assert all(path in message for path in PATHS)


def test_no_request_takes_a_body(stage):
    one = stage()
    answer, raw = one.request("GET", f"{BASE}/summary", b"{}")

    assert (answer.status, json.loads(raw)["error"]["code"]) == (413, "too_large")
    assert one.request("POST", f"{BASE}/summary", b"{}")[0].status == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
def test_no_method_but_get_reaches_anything(stage, method, path):
    one = stage()
    before = one.monitor.seq

    assert one.request(method, path)[0].status in (404, 405)
    assert one.monitor.seq == before


@pytest.mark.parametrize(
    "name", ["%00", "a%00b", "%ff", "%F0%9F%92%A9", "../../etc/passwd", "main%20", "%", "a" * 5000]
)
def test_a_strange_account_is_no_account(stage, name):
    status, body = stage().get(f"{BASE}/summary?account={name}")

    assert (status, body["error"]["code"]) == (404, "not_found")
    assert len(body["error"]["message"]) < 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{BASE}/summary", 405),
        ("GET", f"{BASE}/stream", 426),
        ("GET", f"{BASE}/stream?since=x", 426),
    ],
)
def test_a_refused_call_is_told_with_who_made_it(stage, method, path, status):
    one = stage()
    one.request(method, path)
    refusal = one.refusals[0]

    assert len(one.refusals) == 1
    assert refusal.status == status
    assert (refusal.caller.pid, refusal.caller.uid, refusal.caller.gid) == (
        os.getpid(),
        os.getuid(),
        os.getgid(),
    )


def test_an_answer_is_no_refusal(stage):
    one = stage()
    one.monitor.status = "unhealthy"
    for path in (f"{BASE}/summary", f"{BASE}/health", "/nothing", f"{BASE}/summary?account=nobody"):
        one.request("GET", path)

    assert one.refusals == []


def test_over_tcp_a_refused_call_is_told_with_its_address(stage):
    one = stage()
    one.request("GET", f"{BASE}/summary", headers={"Host": "evil.example"}, tcp=True)

    assert [(told.status, told.caller.address, told.caller.uid) for told in one.refusals] == [
        (403, "127.0.0.1", None)
    ]


def test_no_message_of_a_client_changes_anything(stage):
    """Everything that a client may say is an answer to it alone, or an error."""
    one = stage()
    client, other = one.stream(), one.stream()
    client.next(), other.next()
    for action in ("close", "restart", "reload", "set", "delete", "publish", "stop", "resync"):
        assert client.ask({"action": action})["type"] == "error"
    client.ask({"action": "subscribe", "events": ["fill"]})

    assert other.is_quiet()
    assert one.monitor.seq == 1000
    seq = one.publish("verdict")
    assert other.next()["seq"] == seq

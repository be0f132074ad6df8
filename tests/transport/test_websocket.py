"""One feed over WebSocket: whatever the server does it is noticed, said, and retried, and nothing blocks."""

import base64
import hashlib
import os
import random
import threading
import time

import pytest

from hlposmon.pacing import Backoff
from hlposmon.transport import websocket
from hlposmon.transport.events import Lost, Opened, Received
from hlposmon.transport.websocket import Feed
from hlposmon.venues.hyperliquid.payloads import PING
from tests.clock import awake_here_s, awake_s
from tests.transport.venue_stage import descriptors, until

TEXT, BINARY, CLOSE, PROTOCOL_PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(opcode, payload=b"", *, fin=True, length=None):
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + b"\x7e" + size.to_bytes(2, "big") + payload
    return head + b"\x7f" + size.to_bytes(8, "big") + payload


class Line:
    """The server's end of one connection, after the handshake."""

    def __init__(self, sock, server):
        self.sock, self.server = sock, server
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = sock.recv(4096)
            if not piece:
                raise ConnectionError
            raw += piece
        key = next(line for line in raw.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + guid).digest())
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def send(self, *frames):
        for one in frames:
            self.sock.sendall(one)

    def drip(self, raw, every_s):
        for at in range(len(raw)):
            if self.server.over.wait(every_s):
                return
            self.sock.sendall(raw[at : at + 1])

    def hear(self):
        """The next frame of the client: (opcode, payload)."""
        head = self.exactly(2)
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
        mask, masked = self.exactly(4), self.exactly(size)
        return head[0] & 0xF, bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))

    def exactly(self, count):
        raw = b""
        while len(raw) < count:
            piece = self.sock.recv(count - len(raw))
            if not piece:
                raise ConnectionError
            raw += piece
        return raw

    def stay(self):
        self.server.over.wait(30)


def line(talk):
    """A server each connection of which shakes hands and then talks so."""
    return lambda sock, server: talk(Line(sock, server))


def silent(line):
    line.stay()


class Listener:
    """Turns a feed as a worker does, and remembers what it said and how long each turn took."""

    def __init__(self, url, deadline, **options):
        settings = {
            "ping_after_s": 0.15,
            "ping_every_s": 5.0,
            "pong_s": 1.0,
            "backoff": Backoff(0.02, 0.1),
        } | options
        self.deadline = deadline
        self.feed = Feed(url, ping=PING, deadline=deadline, **settings)
        self.events = []
        self.longest_s = 0.0

    def turn(self):
        began = awake_here_s()
        event = self.feed.next()
        if not isinstance(event, Opened | Lost):
            self.longest_s = max(self.longest_s, awake_here_s() - began)
        if event is None:
            time.sleep(min(self.feed.wait_s(), 0.005))
        else:
            self.events.append(event)
        return event

    def until(self, kind, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not isinstance(event := self.turn(), kind):
            assert time.monotonic() < deadline, f"no {kind.__name__} in time, but {self.events[-5:]}"
        return event

    def for_s(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.turn()
        return self

    def said(self):
        return [event.raw for event in self.events if isinstance(event, Received)]

    def losses(self):
        return [event.reason for event in self.events if isinstance(event, Lost)]


@pytest.fixture
def listener(server, deadline):
    listeners = []

    def start(talk, **options):
        url = talk if isinstance(talk, str) else f"ws://127.0.0.1:{server(talk).port}/ws"
        listeners.append(Listener(url, deadline, **options))
        return listeners[-1]

    yield start
    for one in listeners:
        one.feed.close()


def says(*frames):
    def talk(line):
        line.send(*frames)
        line.stay()

    return talk


# ------------------------------------------------------------------ messages


def test_a_feed_opens_and_says_what_it_is_told(listener):
    one = listener(line(says(frame(TEXT, b"hello"), frame(TEXT, b""), frame(TEXT, "ü".encode()))))

    assert isinstance(one.until(Opened), Opened)
    assert [one.until(Received).raw for _ in range(3)] == [b"hello", b"", "ü".encode()]
    assert one.feed.is_open


def test_the_simulated_exchange_greets_and_answers_a_ping(venue, listener):
    one = listener(venue().ws_url)
    one.until(Opened)

    assert one.until(Received).raw.startswith(b"Websocket connection established")
    assert one.feed.send(PING)
    assert one.until(Received).raw == b'{"channel":"pong"}'


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 3_000_000])
def test_a_message_of_any_usual_length_arrives_whole(listener, size):
    payload = os.urandom(size // 2).hex().encode() + b"x" * (size % 2)
    one = listener(line(says(frame(TEXT, payload))))

    assert one.until(Received).raw == payload


def test_a_message_in_parts_is_one_message_whatever_comes_between(listener):
    parts = [
        frame(TEXT, b"ab", fin=False),
        frame(PROTOCOL_PING, b"?"),
        frame(MORE, b"cd", fin=False),
        frame(PONG),
    ]
    one = listener(line(says(*parts, frame(MORE, b"ef"), frame(TEXT, b"next"))))

    assert [one.until(Received).raw, one.until(Received).raw] == [b"abcdef", b"next"]


def test_a_burst_arrives_whole_and_in_order_however_frames_fall_into_reads(listener):
    """Frames of all lengths, some in parts and pings between: more than a few reads hold."""
    rng = random.Random(11)
    messages = [b"%d:" % number + b"x" * rng.choice((0, 100, 125, 126, 450, 70_000)) for number in range(400)]
    raw = b""
    for number, message in enumerate(messages):
        if number % 7 == 3:
            raw += frame(TEXT, message[:2], fin=False) + frame(PROTOCOL_PING) + frame(MORE, message[2:])
        else:
            raw += frame(TEXT, message) + frame(BINARY, b"no text") * (number % 5 == 0)
    one = listener(line(says(raw)))

    assert [one.until(Received).raw for _ in messages] == messages
    assert one.said() == messages
    assert not one.losses()


def test_a_caller_with_messages_left_to_read_is_not_let_sleep(listener):
    one = listener(line(says(frame(TEXT, b"a") + frame(TEXT, b"b"))))
    one.until(Received)

    assert one.feed.wait_s() == 0.0
    assert one.until(Received).raw == b"b"
    until(lambda: one.turn() is None)
    assert one.feed.wait_s() > 0.0


def test_binary_messages_mean_nothing_and_end_nothing(listener):
    one = listener(line(says(frame(BINARY, b"\x00\x01"), frame(TEXT, b"next"))))
    one.until(Received)

    assert one.said() == [b"next"]
    assert not one.losses()


def test_a_protocol_ping_is_answered(listener):
    heard = []

    def talk(line):
        line.send(frame(PROTOCOL_PING, b"abc"))
        heard.append(line.hear())
        line.stay()

    one = listener(line(talk))
    one.until(Opened)
    until(lambda: one.turn() or heard)

    assert heard == [(PONG, b"abc")]


def test_what_is_sent_arrives(listener):
    heard = []

    def talk(line):
        heard.append(line.hear())
        line.stay()

    one = listener(line(talk))
    one.until(Opened)
    assert one.feed.send(b'{"method":"x"}')
    until(lambda: heard)

    assert heard == [(TEXT, b'{"method":"x"}')]


# ------------------------------------------------------------------ silence


def test_silence_is_asked_after_and_an_answer_keeps_the_connection(listener):
    pings = []

    def talk(line):
        while True:
            pings.append(line.hear())
            line.send(frame(TEXT, b'{"channel":"pong"}'))

    one = listener(line(talk))
    one.until(Opened)
    began = time.monotonic()
    until(lambda: one.turn() or len(pings) >= 3)

    assert not one.losses()
    assert len(pings) <= (time.monotonic() - began) / 0.15
    assert set(pings) == {(TEXT, PING)}


def test_even_a_busy_connection_is_pinged_now_and_then(listener):
    pings = []

    def talk(line):
        line.sock.settimeout(0.02)
        while not line.server.over.is_set():
            line.send(frame(TEXT, b"data"))
            try:
                pings.append(line.hear())
            except TimeoutError:
                pass

    one = listener(line(talk), ping_every_s=0.2)
    one.until(Opened)
    began = time.monotonic()
    until(lambda: one.turn() or len(pings) >= 3)

    assert len(pings) <= (time.monotonic() - began) / 0.2


def test_no_pong_is_a_loss_in_time(listener):
    one = listener(line(silent))
    one.until(Opened)
    began, awake = time.monotonic(), awake_s()

    assert "silent" in one.until(Lost).reason
    assert 1.1 < time.monotonic() - began
    assert awake_s() - awake < 3


def test_a_caller_who_was_busy_elsewhere_asks_before_giving_up(listener):
    def talk(line):
        while True:
            line.hear()
            line.send(frame(TEXT, b"pong"))

    one = listener(line(talk))
    one.until(Opened)
    time.sleep(1.5)  # longer than any silence that is borne

    assert one.until(Received)
    assert not one.losses()


def test_half_a_message_and_then_silence_is_a_loss_in_time(listener):
    one = listener(line(says(frame(TEXT, b"x" * 1000)[:500])))
    one.until(Opened)
    began = awake_s()

    one.until(Lost)
    assert awake_s() - began < 3
    assert one.longest_s < 0.5
    assert one.said() == []


@pytest.mark.parametrize("every_s", [0.001, 0.03, 0.25])
def test_a_message_that_drips_never_blocks_the_loop(listener, every_s):
    message = b"x" * 4
    one = listener(line(lambda line: (line.drip(frame(TEXT, message), every_s), line.stay())), pong_s=5.0)

    assert one.until(Received).raw == message
    assert one.longest_s < 0.5


def test_a_message_that_drips_without_end_is_a_loss(listener, monkeypatch):
    monkeypatch.setattr(websocket, "MESSAGE_DEADLINE_S", 0.5)
    one = listener(line(lambda line: line.drip(frame(TEXT, b"x" * 100_000), 0.01)), pong_s=30.0)
    one.until(Opened)
    began = awake_s()

    assert "slowly" in one.until(Lost).reason
    assert awake_s() - began < 2
    assert one.longest_s < 0.5


def test_parts_without_end_between_pings_are_a_loss(listener, monkeypatch):
    monkeypatch.setattr(websocket, "MAX_MESSAGE_BYTES", 1 << 20)

    def talk(line):
        line.send(frame(TEXT, b"x" * 1000, fin=False))
        while not line.server.over.is_set():
            line.send(frame(MORE, b"x" * 10_000, fin=False), frame(PROTOCOL_PING))

    assert "longer than" in listener(line(talk), pong_s=30.0).until(Lost).reason


@pytest.mark.parametrize("length", [20 << 20, 1 << 62])
def test_a_message_that_is_too_long_is_a_loss_before_it_is_held(listener, length, monkeypatch):
    monkeypatch.setattr(websocket, "MAX_MESSAGE_BYTES", 1 << 20)

    def talk(line):
        line.send(frame(TEXT, length=length))
        while not line.server.over.is_set():
            line.send(b"x" * 65_536)

    assert "longer than" in listener(line(talk)).until(Lost).reason


# ------------------------------------------------------------------ losses


@pytest.mark.parametrize("code", [1000, 1001, 1013, 4000])
def test_a_close_says_its_code(listener, code):
    one = listener(line(says(frame(CLOSE, code.to_bytes(2, "big") + b"why"))))

    assert f"code {code}" in one.until(Lost).reason


def test_a_connection_that_just_ends_is_a_loss(listener):
    assert listener(line(lambda line: None)).until(Lost).reason


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        frame(3, b"what"),
        frame(MORE, b"of what?"),
        frame(CLOSE, b"x"),
        frame(CLOSE, b"\x00\x01"),
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
        frame(PROTOCOL_PING, b"x" * 200),
        b"\xf1\x01x",
        b"HTTP/1.1 200 OK\r\n\r\nhello, this is not a frame at all",
    ],
)
def test_junk_on_the_wire_is_a_loss_and_nothing_worse(listener, raw):
    one = listener(line(lambda line: (line.send(raw), line.stay())))

    one.until(Lost)


def test_random_bytes_are_at_worst_a_loss(listener):
    rng = random.Random(5)

    def talk(line):
        line.send(rng.randbytes(400))

    one = listener(line(talk), pong_s=0.1, ping_after_s=0.1)
    for _ in range(15):
        one.until(Lost)


@pytest.mark.parametrize(
    "talk",
    [
        lambda sock, server: sock.recv(4096) and sock.sendall(b"HTTP/1.1 429 Too Many Requests\r\n\r\nnull"),
        lambda sock, server: (
            sock.recv(4096) and sock.sendall(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n")
        ),
        lambda sock, server: sock.recv(4096) and sock.sendall(b"\x00\x01\x02\r\n\r\n"),
        lambda sock, server: sock.recv(4096) and sock.sendall(b"HTTP/1.1 302 X\r\n\r\n"),
        lambda sock, server: None,
    ],
)
def test_a_handshake_that_fails_is_a_loss(listener, talk):
    one = listener(talk)

    assert one.until(Lost).reason
    assert not one.feed.is_open


def test_a_proxy_of_the_environment_is_asked_for_the_exchange_but_not_for_this_machine(
    server, deadline, listener, monkeypatch
):
    asked = []

    def proxy(sock, server):
        asked.append(sock.recv(4096))

    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server(proxy).port}")
    monkeypatch.setenv("no_proxy", "")

    assert listener("ws://exchange.invalid/ws").until(Lost).reason
    assert asked[0].startswith(b"CONNECT exchange.invalid:80 ")
    assert listener(line(says(frame(TEXT, b"hello")))).until(Received).raw == b"hello"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/ws", "ws://no-such-host.invalid/ws", "nonsense", "ws://"])
def test_an_address_that_does_not_answer_is_a_loss(listener, url):
    assert listener(url).until(Lost).reason


@pytest.mark.parametrize("drip", [False, True])
def test_a_handshake_that_hangs_or_drips_ends_in_time_and_the_next_one_succeeds(listener, monkeypatch, drip):
    monkeypatch.setattr(websocket, "OPEN_DEADLINE_S", 0.5)

    def talk(sock, server):
        if server.count > 1:
            return Line(sock, server).stay()
        sock.recv(4096)
        while not server.over.wait(0.05):
            if drip:
                sock.sendall(b"x")
        return None

    one = listener(talk)
    began = awake_s()
    one.deadline.begin()
    one.until(Lost)
    assert awake_s() - began < 1.6
    assert one.deadline.longest_s <= 0.5
    one.until(Opened)


def test_a_stop_ends_connecting_at_once(listener, deadline):
    one = listener(lambda sock, server: server.over.wait(30))
    threading.Timer(0.2, lambda: setattr(deadline, "stopping", True)).start()
    began = awake_s()

    assert "stopping" in one.until(Lost).reason
    assert awake_s() - began < 1


# ------------------------------------------------------------------ coming back


def test_losses_wait_longer_and_longer_until_all_is_well(listener):
    one = listener("ws://127.0.0.1:1/ws", backoff=Backoff(0.01, 0.08, jitter=0))
    waits = [one.until(Lost).retry_s for _ in range(5)]
    one.feed.reset_backoff()

    assert waits == [0.01, 0.02, 0.04, 0.08, 0.08]
    assert one.until(Lost).retry_s == 0.01


def test_nothing_happens_before_the_wait_is_over(listener):
    one = listener("ws://127.0.0.1:1/ws", backoff=Backoff(0.3, 0.3, jitter=0))
    one.until(Lost)
    began = time.monotonic()

    assert one.feed.next() is None
    assert 0.2 < one.feed.wait_s() <= 0.3
    one.until(Lost)
    assert time.monotonic() - began >= 0.29


def test_a_caller_may_give_up_a_connection(listener):
    one = listener(line(silent))
    one.until(Opened)

    assert one.feed.lose("no acknowledgement").reason == "no acknowledgement"
    assert one.feed.fileno() is None
    assert one.feed.send(b"x") is False
    one.until(Opened)


def test_sending_into_a_full_connection_is_a_loss_and_not_a_wait(listener):
    one = listener(line(silent), pong_s=30.0)
    one.until(Opened)
    began = awake_s()
    while one.feed.send(b"x" * 1_000_000):
        assert awake_s() - began < 5

    assert "could not be sent" in one.until(Lost).reason


def test_fifty_reconnects_leave_no_descriptor(listener):
    def talk(line):
        if line.server.count % 3 == 0:
            line.send(frame(CLOSE, b"\x03\xe8"))
        elif line.server.count % 3 == 1:
            line.send(b"\xff" * 20)

    one = listener(line(talk), backoff=Backoff(0.001, 0.002))
    for _ in range(5):
        one.until(Lost)
    before = descriptors()
    for _ in range(50):
        one.until(Lost)

    until(lambda: descriptors() <= before + 2)
    until(lambda: not any(thread.name.startswith("connect") for thread in threading.enumerate()))


def test_every_end_that_the_exchange_can_make_is_survived(venue, listener):
    exchange = venue()
    one = listener(exchange.ws_url)
    for end in (exchange.control.drop, exchange.control.abort, exchange.control.stall):
        one.until(Opened)
        one.until(Received)
        end()
        one.until(Lost)
    one.until(Opened)
    for kind in ("text", "cut_json", "binary", "huge"):
        exchange.control.ws_junk(kind)
    one.until(Received)

    assert len(one.losses()) == 3

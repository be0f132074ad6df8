"""The targets of `make fuzz`, driven by hypothesis with what is nearly right: in every run of the tests."""

import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hlposmon.errors import WireError
from hlposmon.ipc.codec import decode, encode
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import READERS, TARGETS

usual = settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(usual, max_examples=30)
edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from("irdx"), st.binary(min_size=1, max_size=12)), max_size=6
)


def edited(seed, changes):
    """A sound input with a few bytes inserted, replaced, taken away, or a part of it said twice."""
    data = bytearray(seed)
    for where, how, given_bytes in changes:
        at = int(where * len(data))
        if how == "i":
            data[at:at] = given_bytes
        elif how == "r":
            data[at : at + len(given_bytes)] = given_bytes
        elif how == "d":
            del data[at : at + len(given_bytes) ** 2]
        else:
            data += data[at : at + 4096 // (1 + len(given_bytes))]
    return bytes(data[:20_000])


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_sound_is_taken(name):
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("seed", SEEDS["datagram"])
def test_the_datagrams_to_begin_with_are_reports(seed):
    """Else nothing that is nearly a report would be tried."""
    assert decode(encode(decode(seed))) == decode(seed)


def test_the_payloads_to_begin_with_are_read_by_every_reader():
    taken = {
        reader
        for seed in SEEDS["venue"]
        for reader in READERS
        for given in parts(seed)
        if read(reader, given)
    }

    assert taken == set(READERS)


def parts(seed):
    """What a reader may be given of a payload."""
    body = json.loads(seed)
    return (body, body["data"]) if isinstance(body, dict) and "data" in body else (body,)


def read(reader, given):
    try:
        return reader(given) is not None
    except WireError:
        return False


@pytest.mark.parametrize("name", TARGETS)
@usual
@given(data=st.binary(max_size=600))
def test_any_bytes_at_all_are_read_or_refused(name, data):
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@usual
@given(index=st.integers(0, 19), changes=edits)
def test_what_is_nearly_sound_is_read_or_refused(name, index, changes):
    seeds = SEEDS[name]
    TARGETS[name](edited(seeds[index % len(seeds)], changes))


WORDS = (
    "GET POST HEAD OPTIONS / /api/v1/positions/summary http://evil.example/ ?account=%00 ?since=9"
    " HTTP/1.1 HTTP/1.0 Host:localhost Host: Content-Length:3"
    " Content-Length:99999999999999999999999 Transfer-Encoding:chunked"
    " Expect:100-continue Connection:Upgrade Connection:close Upgrade:websocket Origin:null 3\\r\\nabc\\r\\n"
    " 0\\r\\n\\r\\n Sec-WebSocket-Version:13 Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ=="
)
words = st.sampled_from(
    [word.replace("\\r", "\r").replace("\\n", "\n").encode() for word in WORDS.split(" ")]
    + [b" ", b"\r\n", b"\n", b"\r", b"\t", b"\x00", b"\xff"]
)


@pytest.mark.parametrize("name", ["http", "http_tcp"])
@usual
@given(
    cut=st.binary(min_size=1, max_size=1),
    parts=st.lists(st.one_of(words, st.binary(max_size=4)), max_size=40),
)
def test_the_words_of_http_in_any_order_are_answered_or_refused(name, cut, parts):
    TARGETS[name](cut + b"".join(parts))


@st.composite
def frame(draw, *, masked):
    """One frame whose length may be a lie."""
    first = draw(st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x09, 0x83, 0xC1]))
    payload = draw(st.binary(max_size=200))
    said = draw(st.one_of(st.just(len(payload)), st.integers(0, 2**64 - 1)))
    bit = 0x80 if draw(st.booleans()) == masked or masked else 0
    form = draw(st.sampled_from([7, 16, 64]))
    if form == 7:
        head = bytes([first, bit | min(said, 125)])
    elif form == 16:
        head = bytes([first, bit | 126]) + struct.pack(">H", said & 0xFFFF)
    else:
        head = bytes([first, bit | 127]) + struct.pack(">Q", said)
    return head + (b"\0\0\0\0" if bit else b"") + payload


@few
@given(cut=st.binary(min_size=1, max_size=1), frames=st.lists(frame(masked=True), max_size=12))
def test_frames_of_a_client_in_any_order_are_answered_or_refused(cut, frames):
    TARGETS["frames"](cut + b"".join(frames))


@few
@given(frames=st.lists(frame(masked=False), max_size=12))
def test_frames_of_a_server_in_any_order_are_read_or_refused(frames):
    TARGETS["stream"](b"".join(frames))


odd = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["1e400", "NaN", "-0", "0x1", "1_0", "٣", "Infinity", "1" * 400, "BTC",
                         "xyz:A:B", "@1", "B"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def spoiled(draw, value):
    """A payload with some of its parts in another shape."""
    if draw(st.integers(0, 9)) == 0:
        return draw(odd)
    if isinstance(value, dict):
        return {key: spoiled(draw, item) for key, item in value.items() if draw(st.integers(0, 19))}
    if isinstance(value, list):
        return [spoiled(draw, item) for item in value] * draw(st.integers(1, 2))
    return value


@pytest.mark.parametrize("name", ["venue", "datagram"])
@settings(few, max_examples=25)
@given(index=st.integers(0, 19), data=st.data())
def test_a_payload_with_parts_of_another_shape_is_read_or_refused(name, index, data):
    seeds = SEEDS[name]
    body = spoiled(data.draw, json.loads(seeds[index % len(seeds)]))
    TARGETS[name](json.dumps(body).encode())


@pytest.mark.parametrize("opening", ["[", '{"a":', "[1,", "a=["])
@pytest.mark.parametrize("name", TARGETS)
def test_nesting_without_end_is_refused(name, opening):
    TARGETS[name]((opening * 20_000).encode())


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"]
)
def test_an_answer_that_nests_without_end_is_refused(head):
    TARGETS["answer"](head + b"[" * 60_000)


@pytest.mark.parametrize("name", TARGETS)
def test_a_number_of_thousands_of_digits_is_refused(name):
    TARGETS[name](b"a = " + b"9" * 10_000)
    TARGETS[name](b"9" * 10_000)

"""Scripted actions on the network: lose, repeat or delay messages, close or silence connections.

The world is not affected. The table in `control` lists the arguments.
"""

import json
import math
import struct
from collections.abc import Callable
from typing import Any

from hlposmon.serving.frames import binary_frame, text_frame
from hlposmon.simulator.deeds import account_of, coin_of
from hlposmon.simulator.delivery import BACKWARDS, BATCH, Hold, Loss, Repeat
from hlposmon.simulator.facts import Row
from hlposmon.simulator.hub import Listener
from hlposmon.simulator.script import Script, ScriptError
from hlposmon.simulator.stage import Stage

JUNK = ("text", "cut_json", "wrong_types", "unknown_channel", "binary", "huge")
JUNK_BYTES = 2_000_000
HUGE_PIECE_BYTES = 1 << 20
OUTAGE_CODE = 1000


def any_account(stage: Stage, script: Script) -> str | None:
    """The address that is named, or None for any."""
    named = script.value("account", None)
    return None if named is None else account_of(stage, named).address


def any_coin(stage: Stage, script: Script) -> str | None:
    """The coin that is named, or None for any."""
    named = script.value("coin", None)
    return None if named is None else coin_of(stage, named)


def _feeds(stage: Stage, script: Script) -> list[Listener]:
    number = script.whole("feed", 0)
    if number > len(stage.hub.feeds):
        raise ScriptError(f"there are {len(stage.hub.feeds)} connections, and no {number}")
    return [stage.hub.feeds[number - 1]] if number else list(stage.hub.feeds)


def lose(stage: Stage, script: Script) -> Row:
    """Lose the next fills on every feed."""
    return _lose(stage, script, None)


def lose_feed(stage: Stage, script: Script) -> Row:
    """Lose the next fills on the k-th feed that watches their account."""
    feed = script.whole("feed")
    if not feed:
        raise ScriptError("feed counts from 1")
    return _lose(stage, script, feed)


def _lose(stage: Stage, script: Script, feed: int | None) -> Row:
    count, account, coin = script.whole("count", 1), any_account(stage, script), any_coin(stage, script)
    script.end()
    stage.hub.delivery.losses.append(Loss(count, account, coin, feed))
    return {}


def duplicate(stage: Stage, script: Script) -> Row:
    """Send the next messages of fills twice."""
    rule = Repeat(script.whole("count", 1), any_account(stage, script))
    script.end()
    stage.hub.delivery.doubled.append(rule)
    return {}


def reverse(stage: Stage, script: Script) -> Row:
    """Send the next messages of fills, or the fills inside each, in reverse order."""
    count, account, within = script.whole("count", 2), any_account(stage, script), script.flag("within")
    script.end()
    if within:
        stage.hub.delivery.turned.append(Repeat(count, account))
    else:
        stage.hub.delivery.holds.append(Hold(BACKWARDS, count, account))
    return {}


def batch(stage: Stage, script: Script) -> Row:
    """Hold the next fills and send them in one message."""
    count, account = script.whole("count"), any_account(stage, script)
    script.end()
    stage.hub.delivery.holds.append(Hold(BATCH, count, account))
    return {}


def drop(stage: Stage, script: Script) -> Row:
    """Close feeds with a close frame."""
    code, feeds = script.whole("code", OUTAGE_CODE), _feeds(stage, script)
    script.end()
    for feed in feeds:
        if feed.peer is not None:
            feed.peer.close(code)
    return {"closed": len(feeds)}


def abort(stage: Stage, script: Script) -> Row:
    """Reset feeds, without a close frame."""
    feeds = _feeds(stage, script)
    script.end()
    _abort(feeds)
    return {"closed": len(feeds)}


def _abort(feeds: list[Listener]) -> None:
    for feed in feeds:
        if feed.peer is not None:
            feed.peer.abort()


def stall(stage: Stage, script: Script) -> Row:
    """Keep feeds open, but silent and deaf."""
    seconds, feeds = script.seconds("seconds", math.inf), _feeds(stage, script)
    script.end()
    for feed in feeds:
        feed.stall(seconds)
    return {"stalled": len(feeds)}


def resume(stage: Stage, script: Script) -> Row:
    """End every stall, refusal and outage."""
    script.end()
    stage.refuse_rest_until = stage.refuse_feeds_until = 0.0
    for feed in list(stage.hub.feeds):
        feed.resume()
    return {}


def refuse(stage: Stage, script: Script) -> Row:
    """Close new requests or WebSockets, or both, without an answer for some seconds."""
    seconds, what = script.seconds("seconds"), script.one_of("what", ("all", "rest", "websocket"), "all")
    script.end()
    _refuse(stage, seconds, what)
    return {}


def _refuse(stage: Stage, seconds: float, what: str) -> None:
    until = stage.clock() + seconds
    if what in ("all", "rest"):
        stage.refuse_rest_until = until
    if what in ("all", "websocket"):
        stage.refuse_feeds_until = until


def outage(stage: Stage, script: Script) -> Row:
    """Reset all feeds, and refuse requests and WebSockets for some seconds."""
    seconds = script.seconds("seconds")
    script.end()
    _refuse(stage, seconds, "all")
    _abort(list(stage.hub.feeds))
    return {}


def ws_junk(stage: Stage, script: Script) -> Row:
    """Send content that no client expects."""
    kind, size, feeds = script.one_of("kind", JUNK), script.whole("bytes", JUNK_BYTES), _feeds(stage, script)
    script.end()
    frames = junk(kind, size)
    for feed in feeds:
        for frame in frames:
            feed.send_frame(frame)
    return {"sent": len(feeds)}


def junk(kind: str, size: int) -> list[bytes]:
    """One message in well-formed frames, with content of this kind that no client expects."""
    if kind == "binary":
        return [binary_frame(bytes(range(256)))]
    if kind == "huge":
        return _huge(size)
    user = "0x" + "0" * 40
    fill: Row = {"coin": 7, "px": 1.5, "sz": None, "side": "X", "time": "now", "startPosition": []}
    said: dict[str, Any] = {
        "text": "this is no JSON",
        "cut_json": '{"channel":"userFills","data":{"user":"0x12',
        "wrong_types": json.dumps({"channel": "userFills", "data": {"user": user, "fills": [fill]}}),
        "unknown_channel": json.dumps({"channel": "weather", "data": {"sky": "blue"}}),
    }
    return [text_frame(said[kind].encode())]


def _huge(size: int) -> list[bytes]:
    """One message of about `size` bytes in fragments (RFC 6455, 5.4). Most are the same object, since
    building 100 MB in memory would block the whole exchange for seconds."""
    head, tail = b'{"channel":"weather","data":"', b'"}'
    piece = _fragment(0x00, b"x" * HUGE_PIECE_BYTES)
    rest = _fragment(0x00, b"x" * (size % HUGE_PIECE_BYTES))
    return [_fragment(0x01, head), *[piece] * (size // HUGE_PIECE_BYTES), rest, _fragment(0x80, tail)]


def _fragment(first: int, payload: bytes) -> bytes:
    return bytes((first, 127)) + struct.pack(">Q", len(payload)) + payload


ACTIONS: dict[str, Callable[[Stage, Script], Row]] = {
    "lose": lose,
    "lose_feed": lose_feed,
    "duplicate": duplicate,
    "reverse": reverse,
    "batch": batch,
    "drop": drop,
    "abort": abort,
    "stall": stall,
    "resume": resume,
    "refuse": refuse,
    "outage": outage,
    "ws_junk": ws_junk,
}

"""REST answers that go wrong on purpose, byte by byte: late, cut short, dripping, huge, not JSON.

A rule is matched by request type and used up. A broken answer is written by hand to a socket that
the server has handed over, and the connection ends with it.
"""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hlposmon.serving.messages import Handover, Response

KINDS = ("429", "500", "html", "null", "cut", "drip", "delay", "huge", "close")
DRIP_PIECES = 20
HUGE_BYTES = 50_000_000
PIECE_BYTES = 256 * 1024
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"


@dataclass(slots=True)
class Fault:
    """The next `left` requests of a type ("*": any) are answered in this way."""

    kind: str
    type: str = "*"
    left: int = 1
    delay_s: float = 1.0
    bytes: int = HUGE_BYTES


class Trickle:
    """One socket and what is still to be written to it, each piece not before its time."""

    def __init__(self, sock: socket.socket, pieces: Iterator[tuple[float, bytes]]) -> None:
        self._sock = sock
        self._pieces = pieces
        self.due = 0.0
        self._piece: bytes | memoryview = b""
        self.ended = False
        self._next()

    def step(self, now: float) -> None:
        """Write what is due."""
        try:
            while not self.ended and now >= self.due:
                self._piece = memoryview(self._piece)[self._sock.send(self._piece) :]
                if not self._piece:
                    self._next()
        except BlockingIOError:
            self.due = now + 0.01
        except OSError:
            self.close()

    def close(self) -> None:
        """End the connection."""
        self.ended = True
        self._sock.close()

    def _next(self) -> None:
        try:
            self.due, self._piece = next(self._pieces)
        except StopIteration:
            self.close()


def head(length: int) -> bytes:
    """The beginning of a 200 answer that ends its connection."""
    lines = ("HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {length}")
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()


def pieces_of(fault: Fault, body: bytes, now: float) -> Iterator[tuple[float, bytes]]:
    """The pieces of a spoilt answer, each with the time to write it (seconds of the clock)."""
    whole = head(len(body)) + body
    if fault.kind == "delay":
        yield now + fault.delay_s, whole
    elif fault.kind == "cut":
        yield now, head(len(body)) + body[: len(body) // 2]
    elif fault.kind == "drip":
        size = max(1, -(-len(whole) // DRIP_PIECES))
        for n in range(0, len(whole), size):
            yield now + fault.delay_s * n / len(whole), whole[n : n + size]
    elif fault.kind == "huge":
        yield now, head(fault.bytes) + b"["
        left = fault.bytes - 2
        while left > 0:
            yield now, b" " * min(left, PIECE_BYTES)
            left -= PIECE_BYTES
        yield now, b"]"


class Faults:
    """The rules in force and the sockets that are being answered by them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rules: list[Fault] = []
        self.trickles: list[Trickle] = []
        self._clock = clock

    def match(self, kind: object) -> Fault | None:
        """The first rule for a request of this type, with its count lowered by one; None if there is none."""
        for rule in self.rules:
            if rule.type in ("*", kind):
                rule.left -= 1
                if not rule.left:
                    self.rules.remove(rule)
                return rule
        return None

    def spoil(self, fault: Fault, answer: object) -> Response | Handover:
        """The answer as this fault has it."""
        body = json.dumps(answer, separators=(",", ":")).encode()
        if fault.kind == "429":
            return Response(429, b"null")
        if fault.kind == "500":
            return Response(500, b"null")
        if fault.kind == "html":
            return Response(502, PAGE, "text/html")
        if fault.kind == "null":
            return Response(200, b"null")
        return self.trickle(fault, body)

    def trickle(self, fault: Fault, body: bytes) -> Handover:
        """Take the socket over, and answer in timed pieces."""
        pieces = pieces_of(fault, body, self._clock())
        return Handover(lambda sock: self.trickles.append(Trickle(sock, pieces)))

    def step(self) -> None:
        """Write what is due."""
        now = self._clock()
        for trickle in self.trickles:
            trickle.step(now)
        self.trickles = [trickle for trickle in self.trickles if not trickle.ended]

    def due(self) -> float:
        """When there is something to write next."""
        return min((trickle.due for trickle in self.trickles), default=float("inf"))

    def close(self) -> None:
        """End every connection that is still being answered."""
        for trickle in self.trickles:
            trickle.close()

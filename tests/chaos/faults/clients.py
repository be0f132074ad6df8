"""Faults of those who ask the monitor: one that never reads, a thousand at once, rubbish."""

import contextlib
import random
import resource
import socket

from tests.chaos.trial import Act, Trial

UPGRADE = (
    b"GET /api/v1/positions/stream HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RUBBISH = (
    b"\x00\xff" * 400,
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000,
    b"POST /api/v1/positions/summary HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
    b"GET /api/v1/../../etc/passwd HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    UPGRADE + b"\xff\xff\xff\xff\xff",
    UPGRADE + b"\x81\x05hello",  # a client's frame must be masked
    UPGRADE[:-2],
)


def never_reads(trial: Trial, chance: random.Random) -> Act:
    """A few clients take the stream and do not read a byte of it."""
    trial.begins()
    opened = [_connect(trial, UPGRADE) for _ in range(chance.randint(1, 10))]
    yield chance.uniform(1.0, 3.0)
    _close(opened)
    trial.over()


def thousand(trial: Trial, chance: random.Random) -> Act:
    """A thousand clients follow the stream, and then leave all at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    trial.may_lag(6)
    trial.hurts_pushes(6)
    trial.begins()
    opened = []
    for _ in range(20):
        opened += [_connect(trial, UPGRADE) for _ in range(50)]
        yield 0.02
    yield chance.uniform(0.5, 1.5)
    _close(opened)
    trial.over()


def rubbish(trial: Trial, chance: random.Random) -> Act:
    """What no client should send; some of them stay and say no more."""
    trial.begins()
    opened = []
    for _ in range(chance.randint(10, 60)):
        opened.append(_connect(trial, chance.choice(RUBBISH)))
        if chance.random() < 0.5:
            _close([opened.pop()])
        yield 0.01
    yield 0.5
    _close(opened)
    trial.over()


def _connect(trial: Trial, said: bytes) -> socket.socket:
    """One connection; a monitor that is being started again turns it away, which is its right."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(2)
    trial.open.append(sock)
    with contextlib.suppress(OSError):
        sock.connect(str(trial.stage.socket))
        sock.sendall(said)
    return sock


def _close(opened: list[socket.socket]) -> None:
    for sock in opened:
        sock.close()

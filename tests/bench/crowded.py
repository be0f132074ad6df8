"""Stream clients in numbers, a process of their own: they read all that comes and keep nothing."""

import multiprocessing
import resource
import selectors
import socket
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.listener import connect


def _crowd(path: str, count: int, pipe: Connection) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock, _ = connect(path)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    pipe.send(None)
    selector.register(pipe, selectors.EVENT_READ)
    closed = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is pipe:
                pipe.send(closed)
                return
            assert isinstance(key.fileobj, socket.socket)
            try:
                ended = not key.fileobj.recv(1 << 16)
            except OSError:
                ended = True
            if ended:
                selector.unregister(key.fileobj)
                closed += 1


class Crowd:
    """The other end of the pipe, as a context manager. `closed` clients were cut off, known at its end."""

    def __init__(self, path: Path, count: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_crowd, args=(str(path), count, theirs), name="crowd", daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe.recv()
        self.closed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._pipe.send(None)
            self.closed = self._pipe.recv()
        self._process.join(5)
        self._process.kill()

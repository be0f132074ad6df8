"""Watches the socket files of this service, and binds a socket again if its file was removed.

A listening socket outlives its file, but nobody can connect to it any more (`rm /run/hlposmon/*`, a cleanup
of temporary files). The supervisor binds the sockets. The tracker serves them, so it checks once a second
that their files are still the same, and binds a new socket where one is not. It never touches a socket of
another live monitor; that is a reason in health until it is gone.

The kernel keeps a bound socket's inode while the socket is open, so that no other file can have its number.
"""

import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from hlposmon.errors import HlposmonError, InUse
from hlposmon.ipc.listeners import FileId, file_of, open_door
from hlposmon.ipc.queue import is_served, listen
from hlposmon.supervision.logs import Repeats, fields

log = logging.getLogger(__name__)

LOOK_S = 1.0
# Seconds to the next check after a failed bind: asking a socket whether its owner lives may take a second.
RETRY_S = 2.0


class BoundSockets:
    """Watches socket files and rebinds lost ones.

    `files` are device and inode of the sockets' files, by path. `public` is the clients' socket; any other
    one is the workers'. `failure` says why a socket cannot be reached; None if all can.
    """

    def __init__(self, files: Mapping[Path, FileId], public: Path) -> None:
        self.failure: str | None = None
        self._files, self._public = dict(files), public
        self._ours: dict[Path, socket.socket] = {}
        self._look_s = 0.0
        self._repeats = Repeats()

    def look(self, now_s: float) -> Iterator[tuple[Path, socket.socket, socket.socket | None]]:
        """Yield, for each file that was gone, its path, the new listening socket, and the former one.

        The former socket is None unless it was bound here; the caller must close it. `now_s` is monotonic
        seconds; the files are checked once every LOOK_S, however often this is called.
        """
        if now_s < self._look_s:
            return
        self._look_s, self.failure = now_s + LOOK_S, None
        for path, file in list(self._files.items()):
            if file_of(path) == file:
                continue
            try:
                sock = self._bind(path)
            except HlposmonError as error:
                self._fail(path, error, now_s)
                continue
            log.warning("a socket's file was gone: it is bound again", extra=fields(path=path))
            before, self._ours[path] = self._ours.get(path), sock
            yield path, sock, before

    def close(self) -> None:
        """Close what was bound here; the supervisor closes its own, and removes the files."""
        for sock in self._ours.values():
            sock.close()

    def _bind(self, path: Path) -> socket.socket:
        with contextlib.suppress(OSError):  # it exists, or binding reports why it cannot
            path.parent.mkdir(mode=0o700)
        if path == self._public:
            sock = open_door(path)
        elif is_served(path):
            raise InUse(f"{path} is in use by a live monitor: stop that one")
        else:
            sock = listen(path)
        bound = file_of(path)
        if bound is not None:  # else it was removed at once, and is bound again at the next look
            self._files[path] = bound
        return sock

    def _fail(self, path: Path, error: HlposmonError, now_s: float) -> None:
        self._look_s = now_s + RETRY_S
        self.failure = f"{path} is not ours any more: {error}"
        self._repeats.log(
            log, logging.ERROR, "a socket cannot be bound again", now=now_s, key=path, reason=error
        )

"""The locks and sockets that the supervisor holds, so that they outlive any one of its children.

They are opened in order and closed in reverse. Never in here: the protocols of the sockets.
"""

import contextlib
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hlposmon.config import Settings
from hlposmon.errors import HlposmonError, InUse
from hlposmon.ipc import queue as queues
from hlposmon.ipc.listeners import FileId, Lock, check_folder, file_of, open_door, remove_door
from hlposmon.supervision.logs import Repeats, fields

log = logging.getLogger(__name__)

LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Places:
    """The public sockets (`doors`), the workers' queue, device and inode of the files that they are bound to,
    and the listening socket of the simulated exchange; None in a live run."""

    doors: tuple[socket.socket, ...]
    queue: socket.socket
    queue_path: Path
    files: Mapping[Path, FileId]
    exchange: socket.socket | None


class Locks:
    """The locks that this monitor holds; `look` takes a lock again if its file was removed.

    A lock belongs to a file and not to its name. If somebody removes `.lock`, a second monitor could lock the
    folder, and both would write one journal.
    """

    def __init__(self, locks: Sequence[Lock]) -> None:
        self._locks, self._look_s, self._repeats = locks, 0.0, Repeats()

    def look(self) -> None:
        """Check all lock files, at most once every LOOK_S. Logs failures and never raises them."""
        now_s = time.monotonic()
        if now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_S
        for one in self._locks:
            try:
                if one.renew():
                    log.warning("a lock's file was gone: it is made again", extra=fields(path=one.path))
            except (HlposmonError, OSError) as error:
                said = "a lock's file was gone and cannot be made again"
                self._repeats.log(log, logging.ERROR, said, now=now_s, key=one.path, reason=error)


def lock(stack: contextlib.ExitStack, settings: Settings) -> Locks:
    """Lock the socket, the state and log folders and the snapshot; the stack releases them.

    Raises InUse if another monitor holds one of them; the message names the option that gives this one
    another place. Raises NotPermitted if a lock file cannot be created or the socket's folder is unsafe.
    """
    paths = settings.paths
    socket_path = paths.socket
    check_folder(socket_path.parent)
    own = "or run this one with --socket, --state-dir and --log-dir in folders of its own"
    beside = "or choose a socket in another folder with --socket: the snapshot lies beside it"
    folders = {paths.state_dir: "the state folder", paths.log_dir: "the log folder"}
    wanted = [
        (socket_path.with_name(f".{socket_path.name}.lock"), str(socket_path), own),
        *((folder / ".lock", f"{what} {folder}", own) for folder, what in folders.items()),
        (paths.snapshot.with_name(".snapshot.lock"), f"the snapshot {paths.snapshot}", beside),
    ]
    return Locks([stack.enter_context(Lock(path, what, otherwise)) for path, what, otherwise in wanted])


def open_places(stack: contextlib.ExitStack, settings: Settings, *, simulated: bool) -> Places:
    """Open the public sockets, the workers' queue, and with `simulated` the exchange's socket.

    The stack closes them and removes their files and the snapshot. Raises InUse or NotPermitted.
    """
    path = settings.paths.socket
    door = open_door(path)
    stack.callback(remove_door, path)  # not a plain unlink: another process may have bound the path since
    doors = [_open(stack, door)]
    if settings.tcp.listen:
        doors.append(_listen_tcp(stack, settings.tcp.listen))
    queue_path = path.with_name(f".{path.name}.q")
    queue = _open(stack, queues.listen(queue_path), queue_path)
    exchange = _open(stack, socket.create_server(("127.0.0.1", 0), backlog=128)) if simulated else None
    # The tracker removes its snapshot, unless it was killed.
    stack.callback(settings.paths.snapshot.unlink, missing_ok=True)
    files = {one: file for one in (path, queue_path) if (file := file_of(one)) is not None}
    return Places(tuple(doors), queue, queue_path, files, exchange)


def _open(stack: contextlib.ExitStack, sock: socket.socket, path: Path | None = None) -> socket.socket:
    if path is not None:
        stack.callback(path.unlink, missing_ok=True)
    stack.callback(sock.close)
    return sock


def _listen_tcp(stack: contextlib.ExitStack, listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return _open(stack, socket.create_server((host.strip("[]"), int(port)), family=family, backlog=512))
    except OSError as error:
        raise InUse(
            f"[tcp] listen = {listen!r}: {error.strerror or error}; choose another or leave it empty"
        ) from error

"""The places that a monitor holds while it lives: its public socket, and the locks on its folders.

A monitor never replaces the socket of a living one. Whether one lives is asked of the socket itself
(the kernel names the process that listens); the lock beside it keeps two that start at once apart, and
dies with its holder. What a dead monitor left is replaced.
"""

import contextlib
import fcntl
import os
import socket
import stat
from pathlib import Path
from types import TracebackType

from hlposmon.errors import InUse, NotPermitted
from hlposmon.serving.callers import caller_of
from hlposmon.system.processes import is_running

SOCKET_MODE = 0o660
BACKLOG = 512

# A file's device and inode: which file it is, whatever its name leads to now.
FileId = tuple[int, int]


class Lock:
    """An exclusive lock on a small file that holds its owner's pid; the file goes with the lock."""

    def __init__(self, path: Path, what: str, otherwise: str = "or choose another place") -> None:
        """Take the lock; InUse with the owner's pid when it is taken. `what` is locked, `otherwise` is what
        may be done besides stopping its owner."""
        self.path, self._what, self._otherwise = path, what, otherwise
        self._fd = self._take()

    def renew(self) -> bool:
        """Take the lock anew where its file was removed or replaced; whether that was so.

        InUse where another monitor has taken the new file meanwhile, NotPermitted where none can be made;
        the lock on the file that is gone is kept then.
        """
        if _is_still_there(self.path, self._fd):
            return False
        before, self._fd = self._fd, self._take()
        os.close(before)
        return True

    def _take(self) -> int:
        """Open the file, lock it, and write our pid into it."""
        while True:
            try:
                # No link is followed: in a folder that others can write it may lead to a file of ours.
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                # Who may open it may lock it, and keep us from starting: nobody of our group.
                if os.fstat(fd).st_uid == os.geteuid():
                    os.fchmod(fd, 0o600)
            except OSError as error:
                raise NotPermitted(f"{self.path}: the lock cannot be made: {error.strerror}") from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                said = f"{self._what} is in use by {_holder(owner)}, {self._otherwise}"
                raise InUse(said) from error
            if _is_still_there(self.path, fd):
                break
            os.close(fd)  # its owner took the file away between our open and our lock
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same, without a name in it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def release(self) -> None:
        """Let go of the lock, and take the file away."""
        with contextlib.suppress(OSError):
            if _is_still_there(self.path, self._fd):
                self.path.unlink()
        os.close(self._fd)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(owner: str) -> str:
    """Who holds a lock whose file names this pid, and what to do about it."""
    if owner.isdigit() and not Path(f"/proc/{owner}").exists():
        return f"a process that is no monitor (that one, pid {owner}, is gone): end what 'lslocks' names"
    return f"a live monitor, pid {owner}: stop that one"


def objection(folder: Path, uid: int) -> tuple[str, str] | None:
    """Why the monitor of this user must not serve in this folder, and what to do; None where it may.

    Its owner could put a socket or snapshot of his in the place of ours, and so could whoever made a link
    that leads there, and anybody where all may write and take away.
    """
    try:
        status = folder.lstat()
    except OSError:
        return None  # there is no such folder for us: to bind there says so
    if stat.S_ISLNK(status.st_mode):
        return (
            f"the socket's folder {folder} is a symbolic link",
            "name the folder that it leads to with --socket",
        )
    if status.st_uid not in (uid, 0):
        owner = f"uid {status.st_uid}, who could put a socket in the place of ours (uid {uid})"
        remedy = "run as that user, or choose another folder with --socket"
        return f"the socket's folder {folder} belongs to {owner}", remedy
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return (
            f"everybody may write in the socket's folder {folder}",
            "chmod o-w it, or choose another with --socket",
        )
    return None


def check_folder(folder: Path) -> None:
    """Raises NotPermitted where another user could put a socket or snapshot of his in the place of ours."""
    found = objection(folder, os.geteuid())
    if found is not None:
        raise NotPermitted(": ".join(found))


def file_of(path: Path) -> FileId | None:
    """Which file stands at `path`; None where none does, or none that we may see."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove_door(path: Path) -> None:
    """Remove a socket's file that nobody listens at any more; another monitor's stays."""
    with contextlib.suppress(InUse, NotPermitted, OSError):
        _make_way(path)


def open_door(path: Path) -> socket.socket:
    """A listening Unix socket at `path`; hold the lock on it first.

    Raises InUse when a living process listens there, NotPermitted when it cannot be made.
    """
    check_folder(path.parent)
    _make_way(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        sock.bind(os.fspath(path))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise NotPermitted(f"{path}: the socket cannot be made: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return sock


def _make_way(path: Path) -> None:
    """Remove what a dead monitor left at `path`."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1.0)
        probe.connect(os.fspath(path))
        pid = caller_of(probe).pid or 0
        if pid and not is_running(pid):
            # Who made it is dead; its children, who inherited it, have yet to notice and will.
            path.unlink(missing_ok=True)
            return
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        if not path.is_socket():
            raise InUse(f"{path} is there already and is not a socket: move it away") from None
        path.unlink()
        return
    except PermissionError as error:
        raise NotPermitted(f"{path}: another user's socket stands there") from error
    except (TimeoutError, BlockingIOError):
        pid = 0  # it listens, and is too busy to take us
    except OSError as error:
        raise NotPermitted(f"{path}: cannot be looked at: {error.strerror or error}") from error
    finally:
        probe.close()
    owner = pid or "unknown"
    raise InUse(f"{path} is in use by a live monitor, pid {owner}: stop it, or choose another with --socket")


def _is_still_there(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False

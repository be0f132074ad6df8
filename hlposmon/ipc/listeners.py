"""The public socket of a monitor, and the locks on its folders.

A monitor never replaces the socket of another live monitor. It finds out by connecting to the socket: the
kernel names the listening process. The lock beside the socket decides between two monitors that start at the
same time, and the kernel releases it when its holder dies. Files of a dead monitor are replaced.
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

# Device and inode: identify a file, whatever its name leads to now.
FileId = tuple[int, int]


class Lock:
    """An exclusive lock (flock) on a small file that holds its owner's pid; `release` removes the file."""

    def __init__(self, path: Path, what: str, otherwise: str = "or choose another place") -> None:
        """Take the lock without waiting.

        For the message, `what` names the locked thing and `otherwise` an alternative to stopping its owner.
        Raises InUse, with the owner's pid, if another process holds it, and NotPermitted if the file cannot
        be created.
        """
        self.path, self._what, self._otherwise = path, what, otherwise
        self._fd = self._take()

    def renew(self) -> bool:
        """Lock a new file if ours was removed or replaced; return whether it was.

        Raises InUse if another monitor has locked the new file, NotPermitted if none can be created; the lock
        on the removed file is kept then.
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
                # Follow no link: in a folder that others can write, it could lead to a file of ours.
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                # Whoever can open the file can lock it and keep us from starting: exclude our group too.
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
            os.close(fd)  # its owner removed the file between our open and our lock: try again
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same, without a name in it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def release(self) -> None:
        """Release the lock and remove the file, unless another file has replaced it."""
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
    """Return who holds a lock whose file names this pid, and what to do about it, for a message."""
    if owner.isdigit() and not Path(f"/proc/{owner}").exists():
        return f"a process that is no monitor (that one, pid {owner}, is gone): end what 'lslocks' names"
    return f"a live monitor, pid {owner}: stop that one"


def objection(folder: Path, uid: int) -> tuple[str, str] | None:
    """Return why a monitor of this user must not serve in `folder`, and a remedy; None if it may.

    Three kinds of users could replace our socket or snapshot by their own: the folder's owner, the owner of
    a symbolic link to it, and everybody if it is world-writable without the sticky bit. Root is trusted.
    """
    try:
        status = folder.lstat()
    except OSError:
        return None  # the folder does not exist or is not accessible: binding the socket reports that
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
    """Raise NotPermitted if another user could replace a socket or snapshot in `folder`; see `objection`."""
    found = objection(folder, os.geteuid())
    if found is not None:
        raise NotPermitted(": ".join(found))


def file_of(path: Path) -> FileId | None:
    """Return device and inode of the file at `path`, following no link; None if it is not accessible."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove_door(path: Path) -> None:
    """Remove the socket at `path` if no live process listens there. Never raises."""
    with contextlib.suppress(InUse, NotPermitted, OSError):
        _make_way(path)


def open_door(path: Path) -> socket.socket:
    """Return a listening Unix stream socket at `path` with mode SOCKET_MODE; take the lock beside it first.

    Raises InUse if a live process listens there or the file is not a socket, NotPermitted if the socket
    cannot be created or the folder is not safe (`check_folder`).
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
    """Remove the socket that a dead monitor left at `path`. Raises InUse or NotPermitted if it must stay."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1.0)
        probe.connect(os.fspath(path))
        pid = caller_of(probe).pid or 0
        if pid and not is_running(pid):
            # Its creator is dead; children that inherited the socket have not noticed yet, but will end.
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
        pid = 0  # it listens, but is too busy to accept us
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

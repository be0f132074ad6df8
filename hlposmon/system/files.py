"""A file put in the place of another at once: who reads has the old one or the new one, never half of one.

The new one is made beside it under a name with our pid. No link is followed on the way: in a folder that
another user can write, one that he planted would have root write to a file of his choosing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's, without typing: the health check comes through here
if TYPE_CHECKING:
    from pathlib import Path


def replace_file(
    path: str | Path, text: str, *, mode: int, durable: bool = False, handed_over: bool = False
) -> None:
    """Write `text` in the place of the file, with this mode whatever the umask. Raises OSError.

    `durable`: it is on the disk before the old one goes, and so is its name when this returns.
    `handed_over`: when root writes, the file is its folder's owner's, who is to read it afterwards.
    """
    folder, name = os.path.split(path)
    handle = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _replace_in(handle, name, text, mode, durable=durable, handed_over=handed_over)
    finally:
        os.close(handle)


def _replace_in(folder: int, name: str, text: str, mode: int, *, durable: bool, handed_over: bool) -> None:
    beside = f"{name}.{os.getpid()}"
    # A file left by a killed process of the same number is in the way; O_EXCL follows no link.
    try:
        os.unlink(beside, dir_fd=folder)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(beside, flags, mode & 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            if handed_over and os.geteuid() == 0:
                status = os.fstat(folder)
                os.fchown(fd, status.st_uid, status.st_gid)
            os.fchmod(fd, mode)
            file.write(text)
            file.flush()
            if durable:
                os.fsync(fd)
        os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise
    if durable:
        try:
            os.fsync(folder)
        except OSError:
            pass  # not every file system can; the file itself is there

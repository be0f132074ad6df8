"""Replaces a file atomically: a reader sees the old content or the new one, never a part of either.

The new file is written beside the old one, under a name with our pid, and renamed. Symbolic links are not
followed: in a folder that another user can write, a planted link could make root write to a file of that
user's choice.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's, without typing: the health check comes through here
if TYPE_CHECKING:
    from pathlib import Path


def replace_file(
    path: str | Path, text: str, *, mode: int, durable: bool = False, handed_over: bool = False
) -> None:
    """Replace the file at `path` by one with this text (UTF-8) and mode, whatever the umask. Raises OSError.

    `durable`: the content is synced before the old file is replaced, and the rename before this returns.
    `handed_over`: if root writes, the file is given to the owner of its folder, who must be able to read it.
    """
    folder, name = os.path.split(path)
    handle = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _replace_in(handle, name, text, mode, durable=durable, handed_over=handed_over)
    finally:
        os.close(handle)


def _replace_in(folder: int, name: str, text: str, mode: int, *, durable: bool, handed_over: bool) -> None:
    beside = f"{name}.{os.getpid()}"
    # A killed process with the same pid may have left its file; O_EXCL, which follows no link, would fail.
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
            pass  # not every file system can sync a folder; the file itself is synced

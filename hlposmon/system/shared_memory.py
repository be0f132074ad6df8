"""Anonymous shared memory of 8-byte words, handed to children as they are spawned.

The memory is a memfd: nothing can be left behind in /dev/shm, whoever dies. Words are written through
memoryview.cast("Q"), which stores all eight bytes at once; struct.pack_into would show a reader a zero
first. What the words mean, and who may write which, is the owner's law.
"""

import mmap
import os
import weakref
from multiprocessing import context, reduction
from typing import Any

WORD_BYTES = 8


class SharedWords:
    """`words` and `bytes` are two views of one memory. It can be pickled only into a child that is being
    spawned, which maps the same memory."""

    def __init__(self, name: str, count: int) -> None:
        fd = os.memfd_create(f"hlposmon-{name}", os.MFD_CLOEXEC)
        os.ftruncate(fd, count * WORD_BYTES)
        self._open(fd)

    def _open(self, fd: int) -> None:
        self._fd = fd
        self._close_fd = weakref.finalize(self, os.close, fd)
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        return (_inherited, (reduction.DupFd(self._fd),))

    def close(self) -> None:
        """Let go of the memory; its views must not be used afterwards."""
        self.words.release()
        self.bytes.release()
        self._map.close()
        self._close_fd()


def _inherited(dup: Any) -> SharedWords:
    shared = SharedWords.__new__(SharedWords)
    shared._open(dup.detach())
    return shared

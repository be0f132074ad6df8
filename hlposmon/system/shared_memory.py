"""Anonymous shared memory of 8-byte words, inherited by the processes that are forked afterwards.

It has no name and no descriptor: nothing can be left behind in /dev/shm, whoever dies, and a child that
closes its descriptors keeps it. Words are written through memoryview.cast("Q"), which stores all eight bytes
at once; struct.pack_into would show a reader a zero first. What the words mean, and who may write which, is
the owner's law.
"""

import mmap

WORD_BYTES = 8


class SharedWords:
    """`words` and `bytes` are two views of one memory, which a forked process shares with its parent."""

    def __init__(self, count: int) -> None:
        self._map = mmap.mmap(-1, count * WORD_BYTES)  # MAP_SHARED | MAP_ANONYMOUS, of zeros
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")

    def close(self) -> None:
        """Let go of the memory; its views must not be used afterwards."""
        self.words.release()
        self.bytes.release()
        self._map.close()

"""Anonymous shared memory of 8-byte words, inherited by the processes that are forked afterwards.

It has no name and no descriptor: no process that dies leaves a file in /dev/shm, and a child that closes its
descriptors keeps the memory. Words are written through memoryview.cast("Q"), which stores all eight bytes at
once; struct.pack_into would show a reader a zero first. The owner defines what the words mean and which
process may write which of them.
"""

import mmap

WORD_BYTES = 8


class SharedWords:
    """`count` unsigned 8-byte words, initially zero, shared with every process forked afterwards.

    `words` (by index) and `bytes` (by byte offset) are two views of the same memory. Raises OSError.
    """

    def __init__(self, count: int) -> None:
        self._map = mmap.mmap(-1, count * WORD_BYTES)  # MAP_SHARED | MAP_ANONYMOUS, of zeros
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")

    def close(self) -> None:
        """Unmap the memory in this process; the views must not be used afterwards."""
        self.words.release()
        self.bytes.release()
        self._map.close()

"""JSON text: what is kept of it is kept in blocks of its own size."""

import ctypes

import pytest

from hlposmon.text import dumps, fragment

TEXT = {"text": "x" * 900}
COUNT = 1000


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` (mallinfo(3))."""

    _fields_ = [
        ("arena", ctypes.c_size_t),
        ("free_blocks", ctypes.c_size_t * 2),
        ("mapped_blocks", ctypes.c_size_t),
        ("mapped_bytes", ctypes.c_size_t),
        ("unused", ctypes.c_size_t * 2),
        ("used_bytes", ctypes.c_size_t),
        ("free_bytes", ctypes.c_size_t),
        ("top_bytes", ctypes.c_size_t),
    ]


def in_use_bytes() -> int:
    """What malloc has handed out, as glibc counts it."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo
    found = libc.mallinfo2()
    return found.used_bytes + found.mapped_bytes


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this C library does not count")
def test_a_fragment_that_is_kept_takes_its_own_size_and_not_the_encoders_buffer():
    before = in_use_bytes()
    kept = [fragment(TEXT) for _ in range(COUNT)]
    taken = in_use_bytes() - before

    assert dumps(kept[0]) == dumps(TEXT)
    assert len(dumps(TEXT)) <= taken / COUNT < 1.5 * len(dumps(TEXT))

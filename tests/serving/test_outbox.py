"""What waits for a slow client: in order, and never half a frame."""

import socket

from hlposmon.serving.outbox import Outbox


def test_a_cut_keeps_the_frame_that_is_partly_sent_and_no_other() -> None:
    outbox = Outbox()
    outbox.put(b"abcdef", sent=2)
    outbox.put(b"second")
    outbox.cut()
    ours, theirs = socket.socketpair()

    assert len(outbox) == 4
    assert outbox.flush(ours) == 4
    assert theirs.recv(100) == b"cdef"
    ours.close()
    theirs.close()


def test_a_cut_drops_everything_that_was_not_begun() -> None:
    outbox = Outbox()
    outbox.put(b"first")
    outbox.put(b"second")
    outbox.cut()

    assert len(outbox) == 0


def test_frames_leave_in_order_however_little_is_taken() -> None:
    outbox = Outbox()
    frames = [bytes([n]) * (n * 37 + 1) for n in range(250)]
    for frame in frames:
        outbox.put(frame)
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    theirs.setblocking(False)
    read = b""
    while outbox or len(read) < sum(map(len, frames)):
        outbox.flush(ours)
        try:
            read += theirs.recv(1000)
        except BlockingIOError:
            continue

    assert read == b"".join(frames)
    ours.close()
    theirs.close()

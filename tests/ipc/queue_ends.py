"""A producer or a consumer that is forked, killed on demand, and forked again: for test_queue.

    queue_ends.py produce|consume QUEUE STORE LISTENER_FD

A "k" on stdin: SIGKILL the forked end, fork another, say "n" on stdout. The end of stdin ends both.
"""

import os
import select
import signal
import socket
import sys
from pathlib import Path

from hlposmon.domain.reports import Bell, BellReason, Heard, Joined, Notice, NoticeCode, Welcome
from hlposmon.ipc.queue import Queue, QueueBroken, accept

PADDING = "x" * 60_000  # every so often a message of two datagrams


def message(number):
    return Notice(str(number), NoticeCode.UNREADABLE, PADDING) if number % 7 == 0 else Heard(str(number), 0.5)


def number_of(report):
    return int(report.account if isinstance(report, Notice) else report.feed)


def produce(path):
    """Ask how far the consumer knows, and put everything from there on; connect again when it is gone."""
    while True:
        try:
            queue = Queue.connect(path)
            queue.put(Joined("fill", "fill"))
            follow(queue)
        except QueueBroken:
            continue


def follow(queue):
    upcoming = None
    while True:
        while (ask := queue.get()) is not None:
            if isinstance(ask, Welcome):
                upcoming = ask.high_water_ms["main"]
        if upcoming is None:
            select.select([queue], [], [], 1)
            continue
        queue.put(message(upcoming), lambda: True)
        upcoming += 1


def consume(listener, store):
    """Keep what comes, once and in order, and say so at each greeting. The file is what is known."""
    file = os.open(store, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    size = os.fstat(file).st_size
    os.ftruncate(file, size - size % 8)
    known = size // 8
    queues = []
    while True:
        select.select([listener, *queues], [], [], 1)
        while (came := accept(listener)) is not None:
            queues.append(came)
        for queue in list(queues):
            try:
                while (report := queue.get()) is not None:
                    if isinstance(report, Joined):
                        queue.put(Welcome({"main": known}))
                        continue
                    number = number_of(report)
                    queue.put(Bell("main", None, BellReason.GAP))
                    if number < known:
                        continue  # seen before: from one that lived on beside its successor
                    if number > known:
                        os.write(file, b"\xff" * 8)  # a hole: the test will see it
                        os._exit(1)
                    os.write(file, number.to_bytes(8, "big"))
                    known += 1
            except QueueBroken:
                queue.close()
                queues.remove(queue)


def main():
    what, path, store, fd = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    listener = socket.socket(fileno=fd) if what == "consume" else None
    while True:
        pid = os.fork()
        if pid == 0:
            try:
                produce(path) if what == "produce" else consume(listener, store)
            finally:
                os._exit(1)
        order = os.read(0, 1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if not order:
            os._exit(0)
        os.write(1, b"n")


if __name__ == "__main__":
    main()

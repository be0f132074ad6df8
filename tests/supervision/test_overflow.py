"""A log that nobody reads: who writes it goes on, and what was dropped is counted."""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hlposmon.supervision import logs, overflow
from hlposmon.supervision.overflow import HELD_BYTES
from tests.clock import awake_s

log = logging.getLogger("hlposmon.some.where")


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


class Pipe:
    """A log on a pipe; nobody reads before `read`."""

    def __init__(self) -> None:
        self.out, end = os.pipe()
        self.end = os.fdopen(end, "w")
        logs.configure("INFO", name="fill", stream=self.end)

    def read(self) -> bytes:
        """What is there, once whoever logs has beaten again."""
        overflow.settle()
        piece = os.read(self.out, 1 << 16)
        assert piece, "the pipe ended"
        return piece

    def read_until(self, last: str) -> list[str]:
        raw = b""
        while not raw.rstrip(b"\n").endswith(last.encode()):
            raw += self.read()
        return raw.decode().splitlines()


def test_lines_come_in_order():
    pipe = Pipe()
    for number in range(200):
        log.info("line %d", number)

    assert [line.rpartition(" ")[2] for line in pipe.read_until("line 199")] == [str(n) for n in range(200)]


def test_who_logs_to_a_pipe_that_nobody_reads_goes_on_and_the_dropped_lines_are_counted():
    pipe = Pipe()
    count = 4 * HELD_BYTES // 1000
    began = awake_s()
    for number in range(count):
        log.info("%d %s", number, "x" * 1000)
    assert awake_s() - began < 5

    raw = b""
    while b"were dropped" not in raw or not raw.endswith(b"\n"):
        raw += pipe.read()
    lines = raw.decode().splitlines()
    said = lines[-1]
    assert "WARNING fill log lines were dropped: not read lines=" in said
    kept = [int(line.split()[3]) for line in lines[:-1]]
    assert kept == list(range(len(kept)))
    assert len(kept) + int(said.rpartition("=")[2]) == count

    log.info("it flows again")
    assert pipe.read_until("it flows again")[-1].endswith("INFO fill it flows again")


def test_a_descriptor_that_somebody_made_non_blocking_loses_no_line():
    pipe = Pipe()
    os.set_blocking(pipe.end.fileno(), False)
    count = HELD_BYTES // 2000
    for number in range(count):
        log.info("%d %s", number, "x" * 1000)
    log.info("the end")

    lines = pipe.read_until("the end")
    assert [int(line.split()[3]) for line in lines[:-1]] == list(range(count))


def test_who_shares_the_pipe_does_not_find_it_non_blocking():
    pipe = Pipe()
    log.info("a line")

    assert os.get_blocking(pipe.end.fileno())


def test_a_socket_that_nobody_reads_stops_nobody_and_stays_blocking():
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("w") as stream:
        logs.configure("INFO", name="fill", stream=stream)
        count = HELD_BYTES // 2000
        for number in range(count):
            log.info("%d %s", number, "x" * 1000)
        raw = b""
        while raw.count(b"\n") < count:
            overflow.settle()
            raw += ours.recv(1 << 16)

        assert [int(line.split()[3]) for line in raw.splitlines()] == list(range(count))
        assert theirs.getblocking()


def test_no_thread_writes_it():
    pipe = Pipe()
    before = threading.active_count()
    log.info("a line")

    assert pipe.read_until("a line")
    assert threading.active_count() == before


def test_a_process_whose_log_nobody_reads_ends():
    code = (
        "import logging, sys; from hlposmon.supervision import logs; logs.configure('INFO', name='fill');"
        "[logging.info('x' * 1000) for _ in range(3000)]; print('done', flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_last_lines_of_a_process_are_written_before_it_ends():
    code = (
        "import logging; from hlposmon.supervision import logs; logs.configure('INFO', name='fill');"
        "[logging.info('line %d', n) for n in range(500)]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()] == [str(n) for n in range(500)]


def test_a_reader_that_is_gone_stops_nobody():
    pipe = Pipe()
    os.close(pipe.out)
    for _ in range(10):
        log.info("to nobody")
    logging.getLogger().handlers[0].flush()


def test_a_file_is_written_to_directly(tmp_path: Path):
    with (tmp_path / "log").open("w") as file:
        assert type(overflow.handler_for(file)) is logging.StreamHandler

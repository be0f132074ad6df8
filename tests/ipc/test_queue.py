"""The queue: in order, of any length, and whole whenever either end is killed."""

import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from hlposmon.domain.reports import Heard, Marks, Notice, NoticeCode, Welcome
from hlposmon.errors import NotPermitted, WireError
from hlposmon.ipc import queue as queues
from hlposmon.ipc.queue import PIECE_BYTES, Queue, QueueBroken, accept, listen
from tests.clock import awake_s
from tests.shared_memory import leave_nothing, shared_files

ENDS = Path(__file__).with_name("queue_ends.py")
KILLS = int(os.environ.get("HLPOSMON_KILLS", "110"))


class Line:
    """A listening socket, and pairs of ends on it."""

    def __init__(self, folder):
        self.path = folder / "q"
        self.listener = listen(self.path)
        self.listener.setblocking(False)
        self.open = []

    def pair(self):
        worker = Queue.connect(self.path)
        tracker = accept(self.listener)
        assert tracker is not None
        self.open += [worker, tracker]
        return worker, tracker

    def close(self):
        for end in self.open:
            end.close()
        self.listener.close()


@pytest.fixture
def line(tmp_path):
    one = Line(tmp_path)
    yield one
    one.close()


def heard(number):
    return Heard("fill", float(number))


def drained(end):
    found = []
    while (message := end.get()) is not None:
        found.append(message)
    return found


def filled(end, message=None):
    """Fill a queue until it takes no more; how many it took."""
    count = 0
    while end.put(message or heard(count)):
        count += 1
    return count


def long_notice(pieces):
    return Notice("main", NoticeCode.UNREADABLE, "x" * (PIECE_BYTES * (pieces - 1) + 100))


# ------------------------------------------------------------------ messages


def test_messages_come_in_the_order_in_which_they_were_put(line):
    worker, tracker = line.pair()
    for number in range(50):
        assert worker.put(heard(number))

    assert drained(tracker) == [heard(number) for number in range(50)]
    assert tracker.get() is None


def test_both_ends_can_speak(line):
    worker, tracker = line.pair()
    tracker.put(Welcome({"main": 5, "other": None}))

    assert not worker.empty()
    assert worker.get() == Welcome({"main": 5, "other": None})
    assert worker.empty()


@pytest.mark.parametrize(
    "length", [PIECE_BYTES - 20, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 2_000_000]
)
def test_a_message_of_any_length_arrives_whole(line, length):
    worker, tracker = line.pair()
    message = Notice("main", NoticeCode.UNREADABLE, "ü" * (length // 2))
    sender = threading.Thread(target=worker.put, args=(message, lambda: True))
    sender.start()
    found = None
    while found is None:
        found = tracker.get()
    sender.join()

    assert found == message


def test_a_queue_can_be_waited_for_by_its_descriptor(line):
    worker, tracker = line.pair()
    poller = queues.select.poll()
    poller.register(tracker, queues.select.POLLIN)

    assert not poller.poll(0)
    worker.put(heard(1))
    assert poller.poll(1000)


def test_what_is_no_report_is_a_wire_error_and_the_next_one_still_comes(line):
    worker, tracker = line.pair()
    worker._sock.send(b"\x03garbage")
    worker.put(heard(2))

    with pytest.raises(WireError):
        tracker.get()
    assert tracker.get() == heard(2)


# ------------------------------------------------------------------ a full queue


def test_a_full_queue_drops_what_need_not_wait(line):
    worker, tracker = line.pair()
    took = filled(worker)

    assert took > 100
    assert drained(tracker) == [heard(number) for number in range(took)]
    assert worker.put(heard(-1))


def test_a_full_queue_is_waited_for_and_the_waiter_beats(line):
    worker, tracker = line.pair()
    took = filled(worker)
    beats = []

    def waiting():
        beats.append(awake_s())
        if len(beats) == 4:
            drained(tracker)
        return True

    began = awake_s()
    assert worker.put(heard(took), waiting)
    assert tracker.get() == heard(took)
    pauses = [after - before for before, after in zip([began, *beats], beats, strict=False)]
    assert max(pauses) < 0.45


def test_whoever_waits_may_give_up(line):
    worker, tracker = line.pair()
    took = filled(worker)

    assert worker.put(heard(-1), lambda: False) is False
    assert drained(tracker)[-1] == heard(took - 1)


@pytest.mark.parametrize("waiting", [None, lambda: False])
def test_a_long_message_that_was_given_up_halfway_spoils_nothing(line, waiting):
    worker, tracker = line.pair()

    assert worker.put(long_notice(200), waiting) is False  # more than the queue holds
    assert tracker.get() is None  # half of it is there, and is not a message
    assert worker.put(heard(1))
    assert drained(tracker) == [heard(1)]
    assert worker.put(long_notice(3))
    assert drained(tracker) == [long_notice(3)]


# ------------------------------------------------------------------ the end


def test_what_was_put_before_the_end_is_got_before_the_end(line):
    worker, tracker = line.pair()
    worker.put(heard(1))
    worker.close()

    assert tracker.get() == heard(1)
    with pytest.raises(QueueBroken):
        tracker.get()


def test_what_was_put_is_got_even_from_one_who_died_with_our_words_unread(line):
    worker, tracker = line.pair()
    tracker.put(Welcome({"main": 5}))
    worker.put(heard(1))
    worker.put(heard(2))
    worker.close()  # the kernel says "reset" now, before what was sent

    assert [tracker.get(), tracker.get()] == [heard(1), heard(2)]
    with pytest.raises(QueueBroken):
        tracker.get()


def test_putting_to_one_who_is_gone_says_so_however_full_it_is(line):
    worker, tracker = line.pair()
    filled(worker)
    tracker.close()

    for _ in range(2):
        with pytest.raises(QueueBroken):
            worker.put(heard(1), lambda: True)


def test_half_a_message_of_one_who_died_is_not_a_message(line):
    worker, tracker = line.pair()
    worker.put(long_notice(200))
    worker.close()

    with pytest.raises(QueueBroken):
        tracker.get()


def test_where_nobody_listens_there_is_no_queue(tmp_path):
    with pytest.raises(QueueBroken, match="no tracker"):
        Queue.connect(tmp_path / "none")


def test_connecting_does_not_wait_for_a_tracker_that_hangs(line):
    began = awake_s()
    with pytest.raises(QueueBroken):
        for _ in range(200):
            line.open.append(Queue.connect(line.path))

    assert awake_s() - began < 1


# ------------------------------------------------------------------ the socket


def test_the_socket_is_for_its_owner_alone_and_replaces_what_was_left(tmp_path):
    (tmp_path / "q").write_text("left behind")
    with listen(tmp_path / "q"):
        assert stat.S_IMODE((tmp_path / "q").stat().st_mode) == 0o600


@pytest.mark.parametrize("where", ["missing/q", "x" * 200])
def test_a_socket_that_cannot_be_made_says_where(tmp_path, where):
    with pytest.raises(NotPermitted, match="cannot be made"):
        listen(tmp_path / where)


def test_nobody_at_the_door_is_no_queue(line):
    assert accept(line.listener) is None


def test_another_users_process_is_sent_away(line):
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    line.path.chmod(0o666)
    line.path.parent.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        try:
            for folder in [*line.path.parents][::-1]:
                folder.chmod(folder.stat().st_mode | 0o011)
            os.setuid(65534)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.connect(str(line.path))
            os._exit(0 if sock.recv(10) == b"" else 1)
        except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
            os._exit(2)
    queues.select.select([line.listener], [], [], 5)

    assert accept(line.listener) is None
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_without_descriptors_nobody_is_accepted_and_nobody_dies(line):
    Queue.connect(line.path)
    waiting = Queue.connect(line.path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        assert accept(line.listener) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)
    waiting.close()
    assert accept(line.listener) is not None


# ------------------------------------------------------------------ kills


class Kills:
    """A producer and a consumer as processes, killed at random instants and started again.

    The consumer is the store: it writes each number it took to a file, and says at each connect how far
    it knows; the producer puts everything from there on. That is how a worker and the tracker do it.
    """

    def __init__(self, folder, seed):
        self.path, self.store = folder / "q", folder / "store"
        self.listener = listen(self.path)
        self.listener.setblocking(False)
        self.rng = random.Random(seed)
        self.children = {}
        self.kills = {"produce": 0, "consume": 0}

    def start(self, what):
        fd = self.listener.fileno()
        command = [sys.executable, str(ENDS), what, str(self.path), str(self.store), str(fd)]
        passed = (fd,) if what == "consume" else ()
        # The server forks: one interpreter's start would cost more than all the kills.
        self.children[what] = subprocess.Popen(
            command, pass_fds=passed, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def server(self, what):
        return self.children[what]

    def kill(self, what):
        """SIGKILL the forked end; its server starts another and says so."""
        server = self.children[what]
        server.stdin.write(b"k")
        server.stdin.flush()
        assert server.stdout.read(1) == b"n", f"the {what}r was not killed"
        self.kills[what] += 1

    def progress(self):
        return self.store.stat().st_size // 8 if self.store.exists() else 0

    def numbers(self):
        raw = self.store.read_bytes()
        return [int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw) - len(raw) % 8, 8)]

    def close(self):
        for child in self.children.values():
            child.stdin.close()
        for child in self.children.values():
            child.stdout.close()
            child.wait()
        self.listener.close()


def test_nothing_is_lost_doubled_or_hung_whoever_is_killed_whenever(tmp_path):
    shm = shared_files()
    kills = Kills(tmp_path, seed=20)
    try:
        kills.start("produce")
        kills.start("consume")
        for _ in range(KILLS):
            before = kills.progress()
            time.sleep(kills.rng.uniform(0, 0.02))  # the instant of a kill is what is tried here
            for what in kills.rng.choice([["produce"], ["consume"], ["consume", "produce"]]):
                kills.kill(what)
            if kills.rng.random() < 0.3:
                deadline = time.monotonic() + 60
                while kills.progress() <= before:
                    assert time.monotonic() < deadline, f"hung after {kills.kills}"
                    time.sleep(0.001)
        done, deadline = kills.progress(), time.monotonic() + 60
        while kills.progress() <= done + 200:
            assert time.monotonic() < deadline, "hung at the end"
            time.sleep(0.005)
    finally:
        kills.close()
    numbers = kills.numbers()

    assert sum(kills.kills.values()) >= KILLS
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > KILLS
    assert leave_nothing(shm)
    print(f"{kills.kills} kills, {len(numbers)} messages")


def test_descriptors_are_given_back(line):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = descriptors()
    for round_ in range(50):
        worker, tracker = line.pair()
        worker.put(heard(round_))
        if round_ % 2:
            filled(tracker, Marks({"k": Decimal(1)}, 1.0))
        (worker, tracker)[round_ % 2].close()
        with pytest.raises(QueueBroken):
            while True:
                (tracker, worker)[round_ % 2].get()
        (tracker, worker)[round_ % 2].close()
        with pytest.raises(QueueBroken):
            Queue.connect(line.path.with_name("none"))

    assert descriptors() == before


def test_a_killed_process_leaves_an_end_of_file_and_no_more(line):
    pid = os.fork()
    if pid == 0:
        end = Queue.connect(line.path)
        while end.put(heard(1), lambda: True):
            pass
        os._exit(0)
    tracker = None
    while tracker is None:
        tracker = accept(line.listener)
    line.open.append(tracker)
    while tracker.get() is None:
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    with pytest.raises(QueueBroken):
        while True:
            assert tracker.get() is not None

"""The pulse: what a child's work loop beats with and hears from."""

import os
import selectors
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.loop import Pulse
from tests.clock import awake_s


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    alone = Pulse.alone("alone", signals=True)
    yield alone
    alone.close()


def readable(pulse: Pulse, timeout_s: float = 0.0) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pulse.wake_fd, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


def test_a_beat_is_written_to_the_row(pulse: Pulse):
    assert pulse.beat_ns == 0
    before = time.monotonic_ns()
    pulse.beat()

    assert before <= pulse.beat_ns <= time.monotonic_ns()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_is_a_flag_and_a_wake_up(pulse: Pulse, number: signal.Signals):
    assert not pulse.stopping and not readable(pulse)
    os.kill(os.getpid(), number)

    assert readable(pulse, 5.0)
    assert pulse.stopping


def test_a_drained_wake_up_keeps_the_flag(pulse: Pulse):
    os.kill(os.getpid(), signal.SIGTERM)
    assert readable(pulse, 5.0)
    pulse.drain_wake()

    assert not readable(pulse)
    assert pulse.stopping


def test_a_hangup_asks_for_one_reload(pulse: Pulse):
    os.kill(os.getpid(), signal.SIGHUP)
    assert pulse.wait(5.0)

    assert [pulse.take_reload(), pulse.take_reload()] == [True, False]
    assert not pulse.stopping


def test_a_wait_that_nothing_disturbs_lasts_as_long_as_it_should(pulse: Pulse):
    start, awake = time.monotonic(), awake_s()

    assert pulse.wait(0.1) is False
    assert 0.1 <= time.monotonic() - start
    assert awake_s() - awake < 2.0


def test_a_long_wait_beats_on(pulse: Pulse):
    start_ns = time.monotonic_ns()
    pulse.wait(1.2)

    assert pulse.beat_ns - start_ns >= 1_000_000_000


def test_a_signal_ends_a_wait(pulse: Pulse):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    start = awake_s()

    assert pulse.wait(30.0) is True
    assert awake_s() - start < 5.0


def test_a_stop_is_not_slept_through_even_when_its_wake_up_was_drained(pulse: Pulse):
    os.kill(os.getpid(), signal.SIGTERM)
    assert readable(pulse, 5.0)
    pulse.drain_wake()
    start = awake_s()

    assert pulse.wait(30.0) is True
    assert awake_s() - start < 5.0


def test_many_signals_neither_block_nor_get_lost(pulse: Pulse):
    for _ in range(5000):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)

    assert pulse.take_reload()
    assert pulse.stopping


def test_a_wait_of_nothing_still_beats(pulse: Pulse):
    assert pulse.wait(0.0) is False
    assert pulse.beat_ns > 0


def test_a_loop_in_a_thread_can_be_asked_to_stop():
    pulse = Pulse.alone("alone")
    loop = threading.Thread(target=pulse.wait, args=(30.0,))
    loop.start()
    pulse.stop()
    loop.join(30)

    assert not loop.is_alive()
    assert pulse.stopping
    pulse.close()


def test_a_pulse_that_is_alone_leaves_signals_to_others():
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    pulse = Pulse.alone("alone")

    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
    pulse.close()


def test_a_closed_pulse_gives_the_signals_back():
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    Pulse.alone("alone", signals=True).close()

    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_child_whose_supervisor_is_gone_stops_at_its_next_beat():
    pulse = Pulse("orphan", Board(["orphan"]).row("orphan"), parent_pid=os.getppid() + 1)
    assert not pulse.stopping
    pulse.beat()

    assert pulse.stopping
    pulse.close()

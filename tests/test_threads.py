"""Threads of ours take no signals: a signal must wake the main thread, which waits for one."""

import signal
import threading

from hlposmon.system.threads import start_deaf
from hlposmon.transport.deadline import BlockingCalls, NoDeadline

OURS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def blocked_here() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def test_a_thread_takes_no_signals_and_who_started_it_still_does():
    found: list[set[int]] = []
    thread = start_deaf(lambda: found.append(blocked_here()), name="one")
    thread.join(30)

    assert found[0] >= OURS
    assert not blocked_here() & OURS
    assert (thread.name, thread.daemon) == ("one", True)
    assert thread is not threading.current_thread()


def test_an_errand_takes_no_signals():
    assert BlockingCalls(NoDeadline()).within(5.0, "a look", blocked_here) >= OURS

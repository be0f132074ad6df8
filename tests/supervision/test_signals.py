"""Signals are noted, also those that come before anybody hears them."""

import signal

from hlposmon.supervision.signals import Signals, Wake, held_back


def test_a_signal_that_was_held_back_is_heard_by_who_comes_to_hear_it():
    noted: list[int] = []
    wake = Wake()
    with held_back((signal.SIGHUP, signal.SIGTERM)):
        signal.raise_signal(signal.SIGHUP)
        assert signal.SIGHUP in signal.sigpending()
        with Signals((signal.SIGHUP, signal.SIGTERM), noted.append, wake):
            assert wake.wait(5)
            signal.raise_signal(signal.SIGTERM)
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    wake.close()

    assert noted == [signal.SIGHUP, signal.SIGTERM]
    assert {signal.SIGHUP, signal.SIGTERM} <= held, "until it ends"
    assert not {signal.SIGHUP, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, ())

"""How a worker sleeps: as long as it may, and no longer than it must."""

import time

import pytest

from hlposmon.supervision.loop import LONGEST_NAP_S, Pulse
from hlposmon.workers.tracker_link import TrackerLink
from hlposmon.workers.waiting import Waiter


@pytest.fixture
def asleep(stage):
    """A waiter with a tracker that has welcomed it; `asleep.lasts(...)` is how long one wait took."""

    class Asleep:
        def __init__(self):
            self.stage, self.pulse = stage(), Pulse.alone("worker")
            self.link = TrackerLink(self.stage.tracker.path, self.pulse, "reconcile", self.stage.accounts)
            self.waiter = Waiter(self.pulse, self.link)

        def connected(self):
            self.stage.tracker.until(lambda: self.link.poll() or self.stage.tracker.turn())
            return self

        def lasts(self, most_s):
            began_s = time.monotonic()
            self.waiter.wait(most_s)
            return time.monotonic() - began_s

    one = Asleep()
    yield one
    one.link.close()
    one.pulse.close()


def test_with_nothing_to_do_it_sleeps_until_the_next_beat_is_due(asleep):
    assert asleep.connected().lasts(60.0) >= LONGEST_NAP_S * 0.99


def test_it_sleeps_no_longer_than_it_is_told(asleep):
    assert 0.05 <= asleep.connected().lasts(0.05) < LONGEST_NAP_S
    assert asleep.lasts(-5.0) < LONGEST_NAP_S / 2


def test_without_a_tracker_it_looks_again_soon(asleep):
    assert asleep.lasts(60.0) < LONGEST_NAP_S / 2


def test_what_the_tracker_says_wakes_it(asleep):
    asleep.connected().stage.tracker.ring("main")

    assert asleep.lasts(60.0) < LONGEST_NAP_S / 2
    assert asleep.link.poll()


def test_a_stop_wakes_it_once(asleep):
    asleep.connected().pulse.stop()

    assert asleep.lasts(60.0) < LONGEST_NAP_S / 2
    assert asleep.lasts(60.0) >= LONGEST_NAP_S * 0.99

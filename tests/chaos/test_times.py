"""What has to be noticed, and what has to be healed, within its time."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hlposmon.simulator.client import Control
from tests.chaos.stage import Stage
from tests.chaos.trial import PUSHES_S
from tests.chaos.witness import Witness, is_alarm
from tests.clock import awake_between, awake_s
from tests.system.world import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

QUIET = "[supervision]\nbackoff_s = 0.2\nbackoff_max_s = 1.0\n[reconcile]\ninterval_s = {interval_s}\n"


class Watched(Stage):
    """A monitor of one account with one long position in the first coin, and one who listens to it."""

    witness: Witness
    control: Control

    def buy(self) -> float:
        """One more; when."""
        at_s = time.monotonic()
        self.control.fill(self.accounts[0], self.coin, "B", "1", self.price)
        return at_s

    def heard_after(self, at_s: float, wanted: Callable[[dict[str, Any]], bool]) -> float:
        """How long after `at_s` such a message came, on a machine that let us run."""

        def found() -> list[float]:
            return [
                heard_s
                for heard_s, message in list(self.witness.heard)
                if heard_s >= at_s and wanted(message)
            ]

        return awake_between(at_s, until("it was said", found)[0])

    def open(self, interval_s: float) -> None:
        self.open_exchange("--seed", "5", "--pace", "0", "--coins", "3", "--accounts", "1")
        self.coin = "SOL"
        self.price = "130"
        self.flatten()
        self.watch(1, QUIET.format(interval_s=interval_s))
        self.witness = Witness(self, [], {"one": self.made("one")})
        self.buy()
        until("it is proven", lambda: self.proven_with("1"))

    def proven_with(self, size: str) -> bool:
        row = self.api.summary()["positions"].get(f"{self.coin}-USD")
        return bool(row and row["size"] == size and row["verdict"] == "proven")


@pytest.fixture
def watched() -> Iterator[Callable[[float], Watched]]:
    """`watched(60)`: one who asks for a statement each minute."""
    with ExitStack() as stack:

        def open_one(interval_s: float) -> Watched:
            here = Watched(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlc-"))))
            stack.callback(here.close)
            here.open(interval_s)
            awake_s()  # from here on it can be asked what was between
            stack.callback(here.witness.close)
            return here

        yield open_one


def _proves(message: dict[str, Any]) -> bool:
    return message.get("event_type") == "verdict" and message["position"]["verdict"] == "proven"


def _is(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["type"] == kind


def test_a_gap_is_noticed_at_the_next_fill_and_healed_within_3_s(watched: Callable[[float], Watched]):
    here = watched(60)
    here.control.lose(1)
    here.buy()
    lost_then = here.buy()

    assert here.heard_after(lost_then, _is("gap")) < 1
    assert here.heard_after(lost_then, _is("healed")) < 3
    until("it is proven", lambda: here.proven_with("3"))


def test_a_fill_lost_in_silence_is_noticed_by_the_next_reconciliation(watched: Callable[[float], Watched]):
    here = watched(3)
    here.control.lose(1)
    lost = here.buy()

    assert here.heard_after(lost, is_alarm) < 4
    until("it is proven", lambda: here.proven_with("2"))


def test_a_fill_lost_in_silence_is_noticed_by_the_next_push_of_the_state(watched: Callable[[float], Watched]):
    here = watched(60)
    here.control.lose(1)
    lost = here.buy()

    assert here.heard_after(lost, is_alarm) < 3 * PUSHES_S
    until("it is proven", lambda: here.proven_with("2"))


def test_a_silent_stall_of_both_feeds_is_noticed_within_15_s(watched: Callable[[float], Watched]):
    here = watched(60)
    for number, row in enumerate(here.control.state()["connections"], 1):
        if any(one["type"] == "userFills" for one in row["subscriptions"]):
            here.control.stall(feed=number)
    stalled = time.monotonic()
    here.buy()

    assert here.heard_after(stalled, is_alarm) < 15
    until("it is proven", lambda: here.proven_with("2"))


def test_after_an_outage_of_8_s_all_is_proven_within_5_s(watched: Callable[[float], Watched]):
    here = watched(60)
    here.control.outage(8)
    began = time.monotonic()
    here.buy()
    noticed_s = here.heard_after(began, is_alarm)
    until("the exchange is back", lambda: time.monotonic() - began >= 8)
    returned = time.monotonic()

    until("it is proven", lambda: here.proven_with("2"))
    assert awake_between(returned, time.monotonic()) < 5
    assert noticed_s < 2


@pytest.mark.parametrize("cause", ["reset", "killed"])
def test_the_loss_of_all_feeds_is_on_the_stream_within_a_second(
    watched: Callable[[float], Watched], cause: str
):
    here = watched(60)
    here.control.refuse(3, "websocket")
    victims = here.pids("fill")
    lost = time.monotonic()
    if cause == "reset":
        here.control.abort()
    else:
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    assert here.heard_after(lost, is_alarm) < 1
    assert here.heard_after(lost, _proves) < 15


def test_that_a_gap_is_healed_is_on_the_stream_within_a_second(watched: Callable[[float], Watched]):
    here = watched(60)
    here.control.lose(1)
    here.buy()
    lost_then = here.buy()
    healed_s = here.heard_after(lost_then, _is("healed"))

    assert here.heard_after(lost_then, _proves) < healed_s + 1

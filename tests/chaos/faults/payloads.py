"""Faults of what is said: junk on the feeds, and answers that are wrong, late, cut or endless."""

import random
from collections.abc import Callable

from tests.chaos.faults.network import BACK_S
from tests.chaos.trial import Act, Trial

ASKED = ("*", "clearinghouseState", "userFillsByTime")


def junk(kind: str) -> Callable[[Trial, random.Random], Act]:
    """Some messages that no client expects, on one connection or all."""

    def act(trial: Trial, chance: random.Random) -> Act:
        count = len(trial.control.state()["connections"])
        feed = chance.choice((None, chance.randint(1, count))) if count else None
        trial.may_lag(3)
        trial.hurts_pushes(BACK_S)
        trial.begins()
        for _ in range(chance.randint(1, 4)):
            trial.control.ws_junk(kind, feed=feed)
            yield chance.uniform(0, 0.2)
        trial.over()

    return act


def huge_message(trial: Trial, chance: random.Random) -> Act:
    """100 MB in one message, on one feed of fills."""
    feeds = trial.feeds()
    trial.may_lag(5)
    trial.begins()
    if feeds:
        trial.control.ws_junk("huge", bytes=100_000_000, feed=chance.choice(feeds))
    yield 1
    trial.over()


def answer(kind: str) -> Callable[[Trial, random.Random], Act]:
    """The next answers are spoilt, and mostly the feeds are reset, so that much is asked."""

    def act(trial: Trial, chance: random.Random) -> Act:
        asked, times = chance.choice(ASKED), chance.randint(1, 4)
        trial.note(f"{asked} x{times}")
        trial.may_lag(6)
        trial.begins()
        trial.control.http_fault(kind, asked, times, delay_s=chance.uniform(0.5, 4.0))
        if chance.random() < 0.7:
            trial.hurts_pushes(BACK_S)
            trial.control.abort()
        yield chance.uniform(0.5, 2.0)
        trial.over()

    return act

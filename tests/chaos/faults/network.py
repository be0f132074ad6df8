"""Faults of connections: closed, reset, refused, gone for a time, open but silent."""

import random
from collections.abc import Callable

from tests.chaos.trial import Act, Trial

# A feed that is open but silent: a ping after 3 s, given up 5 s later, and then the fills are fetched.
SILENCE_S = 10.0
# A connection that was ended is open again after that, and has brought something.
BACK_S = 4.0
STATES = ("allDexsClearinghouseState", "clearinghouseState")


def _some(trial: Trial, chance: random.Random) -> int | None:
    """One connection of those that are open, or all of them."""
    count = len(trial.control.state()["connections"])
    feed = chance.choice((None, chance.randint(1, count))) if count else None
    trial.note("all" if feed is None else f"connection {feed}")
    return feed


def drop(trial: Trial, chance: random.Random) -> Act:
    """The exchange closes with a code."""
    feed, code = _some(trial, chance), chance.choice((1000, 1001, 1008, 1011, 1012))
    trial.may_lag(3)
    trial.hurts_pushes(BACK_S)
    trial.begins()
    trial.control.drop(code, feed)
    trial.over()
    yield 0


def abort(trial: Trial, chance: random.Random) -> Act:
    """A reset, without a word."""
    feed = _some(trial, chance)
    trial.may_lag(3)
    trial.hurts_pushes(BACK_S)
    trial.begins()
    trial.control.abort(feed)
    trial.over()
    yield 0


def flapping(trial: Trial, chance: random.Random) -> Act:
    """Reset again and again, as soon as they are back."""
    trial.begins()
    for _ in range(chance.randint(3, 6)):
        trial.may_lag(3)
        trial.hurts_pushes(BACK_S)
        trial.control.abort()
        yield chance.uniform(0.1, 0.7)
    trial.over()


def refused(what: str) -> Callable[[Trial, random.Random], Act]:
    """Connections are reset and new ones refused for a time; or requests only; or both."""

    def act(trial: Trial, chance: random.Random) -> Act:
        seconds = chance.uniform(0.5, 3.0)
        trial.note(f"{seconds:.1f} s")
        trial.may_lag(seconds + 3)
        trial.hurts_pushes(seconds + BACK_S)
        trial.begins()
        trial.control.refuse(seconds, what)
        if what != "rest" or chance.random() < 0.5:
            trial.control.abort()
        yield seconds
        trial.over()

    return act


def outage(trial: Trial, chance: random.Random) -> Act:
    """The exchange is away for 8 seconds, and trading goes on."""
    trial.may_lag(3)
    trial.hurts_pushes(8 + BACK_S)
    trial.begins()
    trial.control.outage(8)
    yield 8
    trial.over()


def stall(who: str) -> Callable[[Trial, random.Random], Act]:
    """Open but silent and deaf, until long after it should have been noticed."""

    def act(trial: Trial, chance: random.Random) -> Act:
        fills = trial.feeds()
        chosen = {
            "one": [chance.choice(fills)] if fills else [],
            "both": fills,
            "states": trial.feeds(*STATES),
            "all": list(range(1, len(trial.control.state()["connections"]) + 1)),
        }[who]
        if who != "states":
            trial.may_lag(SILENCE_S)
        if who in ("states", "all"):
            trial.hurts_pushes(SILENCE_S)
        trial.begins()
        for feed in chosen:
            trial.control.stall(feed=feed)
        yield SILENCE_S
        trial.control.resume()
        trial.over()

    return act


def short_stall(trial: Trial, chance: random.Random) -> Act:
    """Silent for less than the patience of anybody; then everything that was held back is gone."""
    seconds = chance.uniform(0.3, 4.0)
    trial.note(f"{seconds:.1f} s")
    trial.hurts_pushes(seconds)
    trial.may_lose()
    trial.begins()
    trial.control.stall(seconds, _some(trial, chance))
    yield seconds
    trial.over()

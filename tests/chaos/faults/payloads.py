"""Faults of what is said: junk on the feeds, rows that cannot be decoded, wrong, late or endless answers."""

import random
from collections.abc import Callable

from tests.chaos.faults.network import BACK_S
from tests.chaos.trial import Act, Trial

# Fields of a fill without which nobody can take it.
OF_A_FILL = ("sz", "px", "startPosition", "side", "time", "fee", "coin")
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


def odd_fill(where: str) -> Callable[[Trial, random.Random], Act]:
    """Some fills cannot be decoded: on one feed, on both, or wherever they are listed; for a few seconds."""

    def act(trial: Trial, chance: random.Random) -> Act:
        address = trial.stage.address(chance.choice(trial.stage.names))
        coin = chance.choice((None, *trial.control.state()["coins"]))
        count, odd = chance.randint(1, 3), chance.choice(OF_A_FILL)
        feeds = trial.feeds()
        feed = chance.choice(feeds) if where == "one" and feeds else None
        trial.note(f"{odd} of {count}{f' of {coin}' if coin else ''}")
        trial.may_lag(3)
        trial.begins()
        what = "fill_everywhere" if where == "everywhere" else "fill"
        trial.control.garble(what, count, address, coin, field=odd, feed=feed)
        trial.control.random_fills(chance.randint(count, 20), account=address)
        yield chance.uniform(1.0, 5.0)
        trial.may_lag(3)
        trial.control.ungarble(what)
        trial.over()

    return act


def odd_fill_in_answers(trial: Trial, chance: random.Random) -> Act:
    """Fills come while the feeds are away, and some rows of the answers that bring them cannot be decoded."""
    address = trial.stage.address(chance.choice(trial.stage.names))
    seconds, count, odd = chance.uniform(0.5, 2.0), chance.randint(1, 60), chance.choice(OF_A_FILL)
    trial.note(f"{odd} of {count}")
    trial.may_lag(3)
    trial.hurts_pushes(seconds + BACK_S)
    trial.begins()
    trial.control.garble("fill_rest", count, address, field=odd)
    trial.control.refuse(seconds, "websocket")
    trial.control.abort()
    trial.control.random_fills(chance.randint(1, 30), account=address)
    yield seconds + chance.uniform(1.0, 3.0)
    trial.control.ungarble("fill_rest")
    trial.over()


def odd_row(what: str, odd: tuple[str, ...], most: int) -> Callable[[Trial, random.Random], Act]:
    """Some rows of statements, prices or payments cannot be decoded; those beside them can."""

    def act(trial: Trial, chance: random.Random) -> Act:
        coin = chance.choice((None, *trial.control.state()["coins"]))
        count, field = chance.randint(1, most), chance.choice(odd)
        place = chance.choice(("stream", "rest", "both"))
        trial.note(f"{field} of {count}{f' of {coin}' if coin else ''}, {place}")
        trial.hurts_pushes(count)
        trial.begins()
        trial.control.garble(what, count, coin=coin, field=field, place=place)
        if what == "funding":
            trial.control.funding()
        yield chance.uniform(1.0, 4.0)
        trial.control.ungarble(what)
        trial.over()

    return act

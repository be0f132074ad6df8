"""Faults of what the feeds bring: fills lost, doubled, turned round, heaped; statements that are late."""

import random

from tests.chaos.faults.network import SILENCE_S
from tests.chaos.trial import Act, Trial


def lost_then_followed(trial: Trial, chance: random.Random) -> Act:
    """Up to three fills of a coin are sent on no feed; the next one of it is."""
    address, coin = _market(trial, chance)
    count = chance.choice((1, 1, 2, 3))
    trial.note(f"{count} of {coin}")
    trial.may_lag(3)
    trial.control.lose(count, address, coin)
    price, side = trial.price(coin), chance.choice("BA")
    for _ in range(count):
        trial.control.fill(address, coin, side, "1", price)
        yield chance.uniform(0, 0.2)
    trial.begins()
    trial.control.fill(address, coin, chance.choice("BA"), "2", price)
    trial.over()


def lost_in_silence(trial: Trial, chance: random.Random) -> Act:
    """A fill is sent on no feed, and none of its coin comes after it until the others know."""
    address, coin = _market(trial, chance)
    pace = float(trial.control.state()["pace"])
    trial.control.pace(0)
    yield 0.3
    trial.note(coin)
    trial.may_lose()
    trial.control.lose(1, address, coin)
    trial.begins()
    trial.control.fill(address, coin, chance.choice("BA"), "1", trial.price(coin))
    trial.over()
    yield trial.statements_s + 3
    trial.control.pace(pace)


def lost_round_trip(trial: Trial, chance: random.Random) -> Act:
    """A buy and a sale are sent on no feed: every size is as it was, and only the list of fills can tell."""
    address, coin = _market(trial, chance)
    price, sides = trial.price(coin), chance.sample("BA", 2)
    trial.note(coin)
    trial.control.lose(2, address, coin)
    trial.begins()
    for side in sides:
        trial.control.fill(address, coin, side, "1", price)
    trial.over()
    yield 0


def lost_on_one_feed(trial: Trial, chance: random.Random) -> Act:
    """One of the two connections loses fills that the other brings."""
    address, _ = _market(trial, chance)
    feed, count = chance.choice((1, 2)), chance.randint(1, 20)
    trial.note(f"{count} on feed {feed}")
    trial.begins()
    trial.control.lose_feed(feed, count, address)
    trial.control.random_fills(count, account=address)
    trial.over()
    yield 0


def doubled(trial: Trial, chance: random.Random) -> Act:
    """Messages come twice."""
    address, _ = _market(trial, chance)
    trial.begins()
    trial.control.duplicate(count := chance.randint(1, 30), address)
    trial.control.random_fills(count, account=address)
    trial.over()
    yield 0


def backwards(trial: Trial, chance: random.Random) -> Act:
    """Messages come in reversed order."""
    address, _ = _market(trial, chance)
    trial.note(f"{(count := chance.randint(2, 12))} messages")
    trial.may_lag(3)
    trial.begins()
    trial.control.reverse(count, address)
    trial.control.random_fills(count, account=address)
    trial.over()
    yield 0


def backwards_within(trial: Trial, chance: random.Random) -> Act:
    """The fills inside a message stand in reversed order."""
    address, coin = _market(trial, chance)
    price = trial.price(coin)
    trial.begins()
    trial.control.reverse(1, address, within=True)
    sides = [chance.choice("BA") for _ in range(chance.randint(2, 8))]
    rows = [
        {"account": address, "coin": coin, "side": side, "size": str(chance.randint(1, 9)), "price": price}
        for side in sides
    ]
    trial.control.fills(*rows, same_block=True)
    trial.over()
    yield 0


def thousand_in_one(trial: Trial, chance: random.Random) -> Act:
    """1000 fills in one message."""
    address, _ = _market(trial, chance)
    trial.may_lag(5)
    trial.control.batch(1000, address)
    trial.begins()
    trial.control.random_fills(1000, account=address)
    trial.over()
    yield 1


def burst(trial: Trial, chance: random.Random) -> Act:
    """Hundreds of fills at once, each in a message of its own."""
    trial.note(f"{(count := chance.randint(100, 400))} fills")
    trial.may_lag(5)
    trial.begins()
    trial.control.random_fills(count)
    trial.over()
    yield 0.5


def page_boundary(trial: Trial, chance: random.Random) -> Act:
    """While the feeds are away come 2000 fills and more, and the 2000th lies amid many of one millisecond."""
    address, coin = _market(trial, chance)
    seconds, price = 2.0, trial.price(coin)
    trial.may_lag(3)  # the end of the feeds is noticed at once, and until they are back nothing is proven
    trial.hurts_pushes(seconds + 4)
    trial.begins()
    trial.control.refuse(seconds + 5, "websocket")
    trial.control.abort()
    trial.control.random_fills(1960 + chance.randint(0, 39), account=address)
    rows = [
        {"account": address, "coin": coin, "side": chance.choice("BA"), "size": "1", "price": price}
        for _ in range(80)
    ]
    trial.control.fills(*rows, same_block=True)
    trial.control.random_fills(30, account=address)
    yield seconds
    trial.control.resume()
    trial.over()


def late_statements(trial: Trial, chance: random.Random) -> Act:
    """Statements are as of some seconds ago, while fills go on."""
    late_s, seconds = chance.uniform(0.5, 6.0), chance.uniform(2.0, 5.0)
    trial.note(f"{late_s:.1f} s late for {seconds:.1f} s")
    trial.hurts_pushes(seconds)
    trial.begins()
    trial.control.state_delay(late_s)
    yield seconds
    trial.control.state_delay(0)
    trial.over()


def venue_clock(trial: Trial, chance: random.Random) -> Act:
    """The exchange's clock leaps an hour forward, and stays there: block times never go back."""
    trial.note("+3600 s")
    trial.begins()
    trial.control.clock_skew(3600)
    yield chance.uniform(1, 2)
    trial.over()


def monitor_clock(trial: Trial, chance: random.Random) -> Act:
    """The monitor's wall clock is stepped by an hour, and for half of the runs stepped back."""
    assert trial.clock is not None, "the run was made for it"
    step_s = chance.choice((-3600, 3600))
    trial.note(f"{step_s:+d} s")
    trial.begins()
    trial.clock.step(step_s)
    yield chance.uniform(1, 2)
    if chance.random() < 0.5:
        trial.clock.step(-step_s)
    trial.over()


def funding(trial: Trial, chance: random.Random) -> Act:
    """An hour's funding is paid amid all this."""
    trial.begins()
    trial.control.funding()
    trial.over()
    yield 0


def funding_while_away(trial: Trial, chance: random.Random) -> Act:
    """Two hours' funding on several coins while nobody hears: an outage, or the feeds of fills alone."""
    address = trial.stage.address(chance.choice(trial.stage.names))
    for coin in trial.control.state()["coins"]:
        trial.control.fill(address, coin, "B", "1", trial.price(coin))
    yield 0.3
    how, seconds = chance.choice(("outage", "refused", "stalled")), chance.uniform(1.0, 8.0)
    trial.note(f"{how} {seconds:.1f} s")
    trial.begins()
    if how == "stalled":
        seconds = SILENCE_S
        trial.may_lag(SILENCE_S)
        for feed in trial.feeds():
            trial.control.stall(feed=feed)
    else:
        trial.may_lag(3)
        trial.hurts_pushes(seconds + 4)
        trial.control.refuse(seconds, "all" if how == "outage" else "websocket")
        trial.control.abort()
    # The second one may come when the first feed is back already.
    pauses = sorted(chance.uniform(0, seconds) for _ in range(2))
    yield pauses[0]
    trial.control.funding()
    yield pauses[1] - pauses[0]
    trial.control.funding()
    yield seconds - pauses[1]
    if how == "stalled":
        trial.control.resume()
    trial.over()


def _market(trial: Trial, chance: random.Random) -> tuple[str, str]:
    """One watched account and one coin."""
    address = trial.stage.address(chance.choice(trial.stage.names))
    return address, chance.choice(trial.control.state()["coins"])

"""Faults of what an account is and holds: on other markets, and at a server that knows less."""

import random
from decimal import Decimal

from tests.chaos.faults import network, processes
from tests.chaos.trial import Act, Trial

# What is held elsewhere is shown at the latest with the next statement that is asked for, on a machine with
# much else to do, and with other faults under way.
SAID_S = 20.0
DEX_COIN, DEX_PRICE = "xyz:TSLA", "402.15"


def on_spot(trial: Trial, chance: random.Random) -> Act:
    """An account gets a balance on spot, and later gives it up; the monitor shows both."""
    name = chance.choice(trial.stage.names)
    coin, size = chance.choice((("HYPE", "12.5"), ("PURR", "1000"), ("+107580", "3")))
    within_s = trial.statements_s + SAID_S
    trial.note(f"{size} {coin}")
    trial.begins()
    trial.control.spot(trial.stage.address(name), coin, size)
    yield from trial.wait_for_size(name, coin, lambda: Decimal(size), within_s=within_s)
    yield chance.uniform(0, 2.0)
    trial.control.spot(trial.stage.address(name), coin, "0")
    yield from trial.wait_for_size(name, coin, Decimal, within_s=within_s)
    trial.over()


def on_another_dex(trial: Trial, chance: random.Random) -> Act:
    """An account opens a position on the builder's dex, and later closes it; the monitor shows both."""
    name, size = chance.choice(trial.stage.names), chance.choice(("0.5", "1.5", "12"))
    within_s = trial.statements_s + SAID_S
    trial.note(f"{size} {DEX_COIN}")
    trial.begins()
    trial.control.fill(trial.stage.address(name), DEX_COIN, "B", size, DEX_PRICE)
    yield from trial.wait_for_size(name, DEX_COIN, lambda: _held(trial, name), within_s=within_s)
    yield chance.uniform(0, 2.0)
    trial.control.fill(trial.stage.address(name), DEX_COIN, "A", size, DEX_PRICE)
    yield from trial.wait_for_size(name, DEX_COIN, lambda: _held(trial, name), within_s=within_s)
    trial.over()


def _held(trial: Trial, name: str) -> Decimal:
    """What the account holds of DEX_COIN, which the run's own flow may trade too."""
    positions = trial.control.state()["accounts"][trial.stage.address(name)]["positions"]
    return Decimal(positions[DEX_COIN]["szi"]) if DEX_COIN in positions else Decimal(0)


def older_server(trial: Trial, chance: random.Random) -> Act:
    """The exchange refuses the newer requests from the beginning to the end; amid it much begins anew."""
    yield from _anew(trial, chance)


def newer_refused(trial: Trial, chance: random.Random) -> Act:
    """The exchange refuses the newer requests for a time, in which much begins anew."""
    trial.refuse_newer()
    yield from _anew(trial, chance)
    yield chance.uniform(1.0, 5.0)
    trial.answer_newer()


def _anew(trial: Trial, chance: random.Random) -> Act:
    """Connections are reset, or the monitor is started again: then most is asked."""
    how = chance.choice((network.abort, processes.kill_supervisor, processes.kill_supervisor))
    yield from how(trial, chance)

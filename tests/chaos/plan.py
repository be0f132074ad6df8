"""What a seed stands for: the faults of a run, when they come, and what the monitor is told to do. Pure."""

import random
from dataclasses import dataclass

from tests.chaos.faults.table import BY_NAME, FAULTS, Fault

# With these a fill may be lost that nothing follows: only a statement tells.
SILENT = (
    "lost in silence",
    "short stall",
    "backwards",
    "lost then followed",
    "thousand fills in one message",
)
# From 2**19 on, what the exchange prints of most sizes is not the size; sizes of 15 digits are the largest
# that can be read back.
SCALES = ("1000000", "1000000000", "1000000000000")


@dataclass(frozen=True, slots=True)
class Step:
    """A fault, and when it begins: seconds after the first, or, in a run of one after the other, after all
    is well again."""

    fault: Fault
    after_s: float
    seed: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    seed: int
    steps: tuple[Step, ...]
    together: bool
    accounts: int
    coins: int
    builder_coins: int
    pace: float
    interval_s: float
    fsync: str
    scale: str  # about how large an order is; "" is a few thousand dollars

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(step.fault.needs for step in self.steps if step.fault.needs)

    def line(self) -> str:
        """One line for those who read along."""
        joint = " + " if self.together else ", then "
        return (
            f"seed {self.seed}: {joint.join(step.fault.name for step in self.steps)}"
            f" ({self.accounts} acc, {self.pace:.0f}/s, statements {self.interval_s:g} s"
            f"{', orders of ' + self.scale if self.scale else ''})"
        )


def plan_of(seed: int, *, only: str | None = None) -> Plan:
    """The plan of a seed; `only` puts one named fault in the place of those drawn."""
    chance = random.Random(f"chaos {seed}")
    together = chance.random() < 0.5
    count = chance.choice((2, 3, 4)) if together else chance.choice((1, 2, 2))
    drawn = _drawn(chance, count)
    if only is not None:
        drawn, together = [BY_NAME[only]], False
    steps = tuple(
        Step(
            fault,
            chance.uniform(0, 2.5) if together else chance.uniform(0.1, 0.5),
            f"{seed} {number} {fault.name}",
        )
        for number, fault in enumerate(drawn)
    )
    silent = any(step.fault.name in SILENT for step in steps)
    return Plan(
        seed=seed,
        steps=steps,
        together=together,
        accounts=chance.choice((1, 2)),
        coins=chance.choice((3, 6, 12)),
        # By dice of their own, so that a seed keeps its other choices.
        builder_coins=random.Random(f"dexes {seed}").choice((0, 0, 1, 2)),
        pace=chance.choice((5.0, 20.0, 60.0)),
        # Sixty seconds is what users have; a run that has to wait for a statement is given a shorter one.
        interval_s=chance.choice((1.0, 2.0, 3.0)) if silent or chance.random() < 0.8 else 60.0,
        fsync=chance.choice(("batch", "batch", "each")),
        scale=chance.choice(("", "", "", *SCALES)),
    )


def _drawn(chance: random.Random, count: int) -> list[Fault]:
    """Different faults, by weight."""
    left, found = list(FAULTS), []
    for _ in range(count):
        fault = chance.choices(left, [each.weight for each in left])[0]
        left.remove(fault)
        found.append(fault)
    return found

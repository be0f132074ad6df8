"""What may go wrong in one life, and how often: drawn from the seed, and from nothing else."""

import random
from dataclasses import dataclass, replace
from fractions import Fraction

# Sizes are multiples of one of these; with the large ones most have a fraction and 15 digits.
UNITS = (
    *(Fraction("0.01"),) * 4,
    Fraction("524288.7"),
    Fraction("1048576.3"),
    Fraction("1e9") + Fraction("0.01"),
    Fraction("1e11") + Fraction("0.01"),
    Fraction("1e12"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Shares are of one event each; `_s` are seconds of virtual time. All faults end after `faults_s`."""

    accounts: int = 1
    coins: int = 3
    feeds: int = 2
    unit: Fraction = UNITS[0]
    fine: bool = False  # no size comes twice
    is_open_at_start: bool = True
    trades_before: int = 1
    pace_s: float = 1.0
    faults_s: float = 25.0
    venue_clock_ms: int = 0
    horizon: int | None = None
    is_hole_told: bool = False
    fsync: str = "each"
    interval_s: float = 60.0  # between statements that are asked for
    tick_s: float = 0.25
    push_s: float | None = 1.0
    price_s: float = 1.0  # between two batches of marks
    # Of fills on their way to each feed, and of pushed states.
    loss: float = 0.0
    both_lost: float = 0.0  # of a block, on both feeds
    twice: float = 0.0
    out_of_order: float = 0.0
    delay_s: float = 0.2
    unreadable: float = 0.0
    push_loss: float = 0.0
    push_lag_s: float = 0.0
    # Of answers.
    answer_lag_s: float = 0.0
    answer_early_s: float = 0.0  # what it says is newer than its time
    answer_loss: float = 0.0
    answer_delay_s: float = 0.3
    page: int = 2000  # fills; it is the exchange's own
    # How often each of these happens in a minute.
    drops: float = 0.0  # of a feed's connection
    deaths: float = 0.0  # of a worker's process
    restarts: float = 0.0  # of the tracker
    power_cuts: float = 0.0
    stalls: float = 0.0  # the tracker is kept from its work
    outages: float = 0.0  # nothing of the exchange can be reached
    disk_faults: float = 0.0
    leaps: float = 0.0  # of the wall clock
    sleeps: float = 0.0  # of the machine
    price_pauses: float = 0.0
    corrections: float = 0.0  # a size changes, and no fill tells of it
    fundings: float = 0.0
    closings: float = 0.0  # liquidations and settlements
    has_long_gap: bool = False  # nothing is answered while a gap is open, and then the power is cut
    strays: float = 0.0  # half of a round trip is lost, and the other half comes when a later fill is missed
    reloads: float = 0.0
    polled: int = 0  # of the accounts, the last ones
    round_s: float = 5.0
    turns: float = 0.0  # an account that is followed is polled from a reload on, or the other way round

    @property
    def tells_every_fill_in_time(self) -> bool:
        """Whether each fill comes once, in its order and while it is listed: what is realised is known to the
        cent then, since it depends on the order of fills."""
        odd = self.loss + self.both_lost + self.twice + self.out_of_order + self.unreadable + self.strays
        ends = self.drops + self.deaths + self.restarts + self.power_cuts + self.outages
        return self.horizon is None and not odd + ends and not self.has_long_gap

    @classmethod
    def drawn(cls, dice: random.Random) -> "Plan":
        """Some faults are in each life and most are not: with all of them at once little else is seen."""
        if dice.random() < 0.01:
            return cls._with_long_gap(dice)

        def at_times(share: float, *values: float) -> float:
            return dice.choice(values) if dice.random() < share else 0.0

        return cls(
            accounts=dice.choice((1, 1, 1, 2)),
            coins=dice.choice((1, 2, 3)),
            feeds=dice.choice((1, 2, 2)),
            unit=dice.choice(UNITS),
            fine=dice.random() < 0.3,
            is_open_at_start=dice.random() < 0.7,
            trades_before=dice.choice((0, 1, 5)),
            pace_s=dice.choice((0.02, 0.3, 1.0, 2.0, 5.0)),
            faults_s=dice.choice((8.0, 15.0, 30.0)),
            venue_clock_ms=dice.choice((0, 0, 0, -3_600_000, 3_600_000)),
            horizon=dice.choice((5, 20)) if dice.random() < 0.1 else None,
            is_hole_told=dice.random() < 0.5,
            fsync=dice.choice(("each", "batch", "off")),
            interval_s=dice.choice((5.0, 20.0, 60.0)),
            tick_s=dice.choice((0.25, 0.5)),
            push_s=dice.choice((1.0, 1.0, 3.0, None)),
            price_s=dice.choice((1.0, 3.0, 5.0)),
            loss=at_times(0.5, 0.05, 0.4),
            both_lost=at_times(0.5, 0.05, 0.3),
            twice=at_times(0.3, 0.1),
            out_of_order=at_times(0.2, 0.1),
            delay_s=dice.choice((0.05, 0.3, 1.5, 6.0)),
            unreadable=at_times(0.1, 0.05),
            push_loss=at_times(0.3, 0.2, 0.8),
            push_lag_s=dice.choice((0.0, 0.0, 0.4, 4.0)),
            answer_lag_s=dice.choice((0.0, 0.0, 0.5, 9.0)),
            answer_early_s=at_times(0.1, 0.5, 3.0),
            answer_loss=at_times(0.3, 0.1, 0.5),
            answer_delay_s=dice.choice((0.1, 0.3, 2.0)),
            page=dice.choice((3, 20, 100, 2000)),
            drops=at_times(0.4, 3.0, 12.0),
            deaths=at_times(0.3, 3.0, 8.0),
            restarts=at_times(0.4, 3.0, 10.0),
            power_cuts=at_times(0.2, 4.0),
            stalls=at_times(0.2, 4.0),
            outages=at_times(0.2, 3.0),
            disk_faults=at_times(0.2, 6.0),
            leaps=at_times(0.2, 4.0),
            sleeps=at_times(0.1, 3.0),
            price_pauses=at_times(0.2, 6.0),
            corrections=at_times(0.15, 3.0),
            fundings=at_times(0.3, 4.0),
            closings=at_times(0.2, 4.0),
            strays=at_times(0.02, 4.0),
            reloads=at_times(0.1, 4.0),
        )

    def with_polled(self, dice: random.Random) -> "Plan":
        """Some lives have accounts that no feed follows. They are drawn apart, so that the others are as they
        were."""
        if self.has_long_gap or dice.random() < 0.8:
            return self
        accounts = max(self.accounts, dice.choice((1, 2, 3)))
        return replace(
            self,
            accounts=accounts,
            polled=dice.randint(1, accounts),
            round_s=dice.choice((2.0, 5.0, 10.0)),
            turns=dice.choice((0.0, 0.0, 4.0)),
        )

    @classmethod
    def _with_long_gap(cls, dice: random.Random) -> "Plan":
        """No other fault, which would make all be fetched."""
        return cls(
            has_long_gap=True,
            faults_s=85.0,
            feeds=dice.choice((1, 2)),
            unit=dice.choice(UNITS),
            is_open_at_start=dice.random() < 0.5,
            trades_before=0,
            pace_s=dice.choice((1.0, 5.0)),
            fsync=dice.choice(("each", "batch")),
            interval_s=dice.choice((20.0, 60.0)),
            tick_s=0.5,
            push_s=3.0,
            price_s=5.0,
        )

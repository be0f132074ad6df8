"""What a fault may take hold of: the exchange, the monitor, its processes, and the dice of one run.

A fault is a generator: it does something, yields how many seconds it wants to wait, and goes on. So
several overlap without threads, and the seed alone decides what is done and in which order.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from hlposmon.errors import HlposmonError
from hlposmon.simulator.client import Control
from tests.chaos.places import Clock, Disk
from tests.chaos.stage import Stage
from tests.system.world import alive, descendants

Act = Iterator[float]
PUSHES_S = 1.0  # the exchange pushes each account's state so often
# A push to be heard, a second one to be sure, and what a machine with much else to do takes for it; the
# witness adds its own lag to that.
TOLD_S = 3 * PUSHES_S + 2
# With the pushes hurt: the answer to a question and the second look, on such a machine.
ANSWERED_S = 8.0
# A snapshot without a writer is called stale after 5 s.
STALE_S = 6.0
# What a run may have to prepare: a small disk of its own below the audit, or below the state.
LOG_DISK, STATE_DISK = "log disk", "state disk"
# And what the exchange may be from the beginning to the end: one that does not know the newer requests.
OLD_SERVER = "old server"
LOOK_S = 0.2  # between two looks at the health
FOUR_DIGITS = Context(prec=4)


@dataclass(slots=True)
class Wound:
    """One fault as it was done: when it began and ended, on the monotonic clock."""

    name: str
    began_s: float
    over_s: float | None = None
    alone: bool = True  # nothing else was under way: what was noticed then was this
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Blindness:
    """From `began_s` to `until_s` a number may rightly be as old as `began_s` and yet be called proven.

    What the next push of the state will tell may take longer while the pushes are hurt themselves, but
    no longer than until `latest_s`, when a statement that was asked for tells it.
    """

    began_s: float
    until_s: float
    latest_s: float


class Trial:
    """One run."""

    def __init__(
        self,
        stage: Stage,
        chance: random.Random,
        *,
        disks: dict[str, Disk],
        clock: Clock | None,
        statements_s: float,
        old_server: bool = False,
    ) -> None:
        self.stage, self.chance, self.disks, self.clock = stage, chance, disks, clock
        self.statements_s = statements_s  # how often the exchange's own statement is asked for, at the least
        self.blind: list[Blindness] = []
        self._pushes_hurt_until_s = 0.0
        self.wound: Wound | None = None
        self.down_until_s = 0.0  # a monitor that has ended is not started again before that
        self.old_server = old_server
        self.unsaid: list[str] = []  # what the monitor had to say and did not, or still said
        self.open: list[Any] = []  # sockets of clients that a fault made
        self.family: set[int] = set()  # every process of the monitor that was ever seen

    @property
    def control(self) -> Control:
        return self.stage.control

    # -------------------------------------------------------------- measuring

    def begins(self) -> None:
        """The cause is now; a fault that prepares something says so when it really begins."""
        assert self.wound is not None, "a fault is under way"
        self.wound.began_s = time.monotonic()

    def over(self) -> None:
        """What was broken is whole again, as far as it is not the monitor's to mend."""
        assert self.wound is not None, "a fault is under way"
        self.wound.over_s = time.monotonic()

    def note(self, text: str) -> None:
        """A word on what the dice chose, for the line of the run."""
        assert self.wound is not None, "a fault is under way"
        self.wound.notes.append(text)

    def may_lag(self, seconds: float) -> None:
        """From now on, and for so long, the monitor cannot know better."""
        now_s = time.monotonic()
        self.blind.append(Blindness(now_s, now_s + seconds, now_s + seconds))

    def may_lose(self) -> None:
        """What no fill will follow is lost now: the next push of the state tells it."""
        now_s = time.monotonic()
        latest_s = now_s + max(TOLD_S, self.statements_s + ANSWERED_S)
        until_s = min(latest_s, max(now_s, self._pushes_hurt_until_s) + TOLD_S)
        self.blind.append(Blindness(now_s, until_s, latest_s))

    def hurts_pushes(self, seconds: float) -> None:
        """From now on, and for so long, no push of the state can be counted on."""
        now_s = time.monotonic()
        self._pushes_hurt_until_s = max(self._pushes_hurt_until_s, now_s + seconds)
        for each in self.blind:
            if each.until_s >= now_s:
                each.until_s = min(each.latest_s, max(each.until_s, self._pushes_hurt_until_s + TOLD_S))

    # -------------------------------------------------------------- processes

    def pids(self) -> dict[str, int]:
        """The processes of the monitor by name, the supervisor too; those that are down are left out."""
        monitor = self.stage.monitor
        assert monitor is not None, "a monitor was started"
        found = {"supervisor": monitor.pid} if alive(monitor.pid) else {}
        try:
            rows = self.stage.api.workers()
        except HlposmonError:
            return found
        found |= {row["name"]: row["pid"] for row in rows if row["pid"] and alive(row["pid"])}
        self.family |= set(found.values())
        return found

    def everything(self) -> list[int]:
        """The supervisor and all below it."""
        monitor = self.stage.monitor
        assert monitor is not None, "a monitor was started"
        found = [monitor.pid, *descendants(monitor.pid)]
        self.family |= set(found)
        return found

    def send(self, what: signal.Signals, *pids: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                continue

    def cut_down(self, pids: list[int], *, for_s: float) -> None:
        """Kill what is named, the supervisor among it; it is started again after a while, as by a service
        manager, which is the run's business: two faults may do so side by side."""
        self.down_until_s = max(self.down_until_s, time.monotonic() + for_s)
        self.send(signal.SIGKILL, *pids)
        assert self.stage.monitor is not None, "a monitor was started"
        self.stage.monitor.wait()

    def keep_up(self) -> None:
        """What a service manager does with a monitor that has ended."""
        monitor = self.stage.monitor
        assert monitor is not None, "a monitor was started"
        if monitor.poll() is not None and time.monotonic() >= self.down_until_s:
            self.down_until_s = time.monotonic() + 0.5
            self.stage.start_again()

    # ---------------------------------------------------------------- health

    def wait_for_health(
        self, what: str, wanted: Callable[[dict[str, Any]], bool], *, within_s: float
    ) -> Iterator[float]:
        """Wait, by short pauses, until the health is so; the run fails if that does not come in time."""
        deadline_s, health = time.monotonic() + within_s, {}
        while time.monotonic() < deadline_s:
            with contextlib.suppress(HlposmonError):  # it may be down, or not begun yet
                health = self.stage.api.health()
                if wanted(health):
                    return
            yield LOOK_S
        said = {name: health.get(name) for name in ("status", "ready", "details", "reasons")}
        self.unsaid.append(f"not within {within_s:g} s: {what}; health says {said}")

    def wait_for_size(
        self, name: str, coin: str, held: Callable[[], Decimal], *, within_s: float
    ) -> Iterator[float]:
        """Wait, by short pauses, until the summary shows the size that is held; the run fails if that does
        not come in time."""
        deadline_s, shown, size = time.monotonic() + within_s, None, None
        while time.monotonic() < deadline_s:
            with contextlib.suppress(HlposmonError):  # it may be down, or not begun yet
                rows = self.stage.api.summary()["accounts"][name]["positions"].values()
                shown = sum((Decimal(row["size"]) for row in rows if row["coin"] == coin), Decimal(0))
                size = held()
                if shown == size:
                    return
            yield LOOK_S
        self.unsaid.append(f"not within {within_s:g} s: {coin} of {name} is {shown}, the exchange has {size}")

    # -------------------------------------------------------------- exchange

    def refuse_newer(self) -> None:
        """The requests that an older server does not know are refused."""
        self.control.refuse_request("newer")

    def answer_newer(self) -> None:
        """They are answered again, unless that is how the exchange is in this run."""
        if not self.old_server:
            self.control.refuse_request("newer", release=True)

    def feeds(self, *kinds: str) -> list[int]:
        """The numbers, from 1, of the open WebSockets that follow one of these channels (the fills)."""
        wanted = kinds or ("userFills",)
        rows = self.control.state()["connections"]
        return [
            number
            for number, row in enumerate(rows, 1)
            if any(one["type"] in wanted for one in row["subscriptions"])
        ]

    def price(self, coin: str) -> str:
        """A lawful price: four significant digits of the mark, wherever it is held."""
        for account in self.control.state()["accounts"].values():
            if coin in account["positions"]:
                return lawful(account["positions"][coin]["markPx"])
        return "100"


def lawful(price: str) -> str:
    """The nearest price of four significant digits, which every coin may be traded at."""
    return format(FOUR_DIGITS.create_decimal(price), "f")

"""What the monitor claims, held against the exchange while both are at work.

A size that is shown as `proven`, in the snapshot or in the summary, must be one that the exchange had
within the last LAG_S, or, where a fault blinds the monitor for a known time, since that began. A coin
that is not listed at all is claimed to be flat. What is said on the stream is heard with its time.
"""

import contextlib
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice, takewhile
from typing import Any

from hlposmon.client.snapshot import Snapshot
from hlposmon.errors import HlposmonError, TimedOut
from hlposmon.simulator.client import ControlError
from tests.chaos.stage import Stage
from tests.chaos.trial import Blindness

LAG_S = 3.0
# No fault blinds for longer: sizes from before are forgotten.
PAST_S = 120.0
# What is asked of the looks is of the last wounds: ten minutes of them.
LOOKS = 6000
LOOK_S = 0.1
SUMMARY_S = 0.5
ALARMS = ("gap", "drift")

Name = tuple[str, str]  # account, coin


@dataclass(slots=True)
class Past:
    """The sizes of one coin, each with when it was first seen to be over."""

    now: Decimal = Decimal(0)
    over: deque[tuple[float, Decimal]] = field(default_factory=deque)

    def moves(self, to: Decimal, at_s: float) -> None:
        self.over.append((at_s, self.now))
        self.now = to
        while self.over[0][0] < at_s - PAST_S:
            self.over.popleft()

    def had(self, size: Decimal, since_s: float) -> bool:
        """Whether it was the size at any time since then."""
        recent = takewhile(lambda each: each[0] >= since_s, reversed(self.over))
        return size == self.now or any(size == was for _, was in recent)


@dataclass(frozen=True, slots=True)
class Look:
    """What one comparison found. `whole`: all is proven, and as it is now or was a moment ago."""

    at_s: float
    whole: bool
    doubted: bool


class Witness:
    """Two threads: one looks, one listens. `blind` belongs to the run and grows."""

    def __init__(self, stage: Stage, blind: list[Blindness], begun: dict[str, int]) -> None:
        self.looks: deque[Look] = deque(maxlen=LOOKS)
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self.wrong: list[str] = []
        self.claims = 0
        self._stage, self._blind = stage, blind
        self._past: dict[Name, Past] = {}
        self._seen = dict(begun)
        self._summary_s = 0.0
        self._health = ""
        self._snapshot: Snapshot | None = None
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._look_on, self._listen_on)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)
        if self._snapshot is not None:
            self._snapshot.close()

    # --------------------------------------------------------------- questions

    def is_whole_since(self, at_s: float) -> float | None:
        """When all was proven and right for the first time after `at_s`."""
        return next((look.at_s for look in self._looks_since(at_s) if look.whole), None)

    def noticed_after(self, at_s: float) -> float | None:
        """When the first doubt was said or shown after `at_s`."""
        said = [heard_s for heard_s, message in list(self.heard) if heard_s >= at_s and is_alarm(message)]
        shown = (look.at_s for look in self._looks_since(at_s) if look.doubted)
        return min([*said, *islice(shown, 1)], default=None)

    def _looks_since(self, at_s: float) -> list[Look]:
        """Those from then on; a copy, since the other thread goes on looking."""
        looks = list(self.looks)
        return looks[bisect_left(looks, at_s, key=lambda look: look.at_s) :]

    def gaps(self) -> Iterator[float]:
        """How long each gap was open, in seconds, by what the stream said."""
        opened: dict[tuple[str, str], float] = {}
        for heard_s, message in self.heard:
            name = message.get("account", ""), message.get("key", "")
            if message["type"] == "gap":
                opened.setdefault(name, heard_s)
            elif message["type"] == "healed" and name in opened:
                yield heard_s - opened.pop(name)

    def drifts(self) -> list[dict[str, Any]]:
        return [message for _, message in self.heard if message["type"] == "drift"]

    # ----------------------------------------------------------------- looking

    def _look_on(self) -> None:
        while not self._ended.wait(LOOK_S):
            with contextlib.suppress(HlposmonError, OSError, ControlError):
                self._look()

    def _look(self) -> None:
        at_s = time.monotonic()
        claims, sound = self._claims_of_snapshot()
        if at_s - self._summary_s >= SUMMARY_S:
            self._summary_s = at_s
            with contextlib.suppress(HlposmonError):
                claims += self._claims_of_summary()
        self._take_fills()  # after the claims: what they rest on has happened by then
        sound = sound and self._health != "unhealthy"
        whole = sound
        for where, name, size in claims:
            self._check(where, name, size, at_s)
            whole = whole and self._past.setdefault(name, Past()).had(size, at_s - 0.5)
        self.looks.append(Look(at_s, whole, not sound))

    def _claims_of_snapshot(self) -> tuple[list[tuple[str, Name, Decimal]], bool]:
        """The sizes that are claimed, and whether all is proven."""
        try:
            if self._snapshot is None:
                self._snapshot = Snapshot.open(self._stage.folder / "snapshot")
            live = self._snapshot.state == "live"
            records = self._snapshot.positions(all=True)
        except (HlposmonError, OSError):
            return [], False
        # Balances on spot are the exchange's word: `holding on spot` looks at them.
        followed = [record for record in records if record.proof != "statement"]
        claims = [
            ("snapshot", (record.account, record.key.split(":", 2)[2]), record.size)
            for record in followed
            if record.verdict == "proven"
        ]
        return claims, live and all(record.verdict == "proven" for record in records)

    def _claims_of_summary(self) -> list[tuple[str, Name, Decimal]]:
        said = self._stage.api.summary()
        self._health = said["health"]
        rows = [row for row in said["positions"].values() if row["proof"] != "statement"]
        listed = {(row["account"], row["coin"]): row for row in rows}
        claims = [
            ("summary", name, Decimal(row["size"]))
            for name, row in listed.items()
            if row["verdict"] == "proven"
        ]
        for account in said["accounts"]:
            if said["accounts"][account]["verdict"] == "proven":
                claims += [
                    ("summary", name, Decimal(0))
                    for name in list(self._past)
                    if name[0] == account and name not in listed
                ]
        return claims

    def _take_fills(self) -> None:
        for account in self._stage.names:
            address = self._stage.address(account)
            for fill in self._stage.control.made(address, since=self._seen[account]):
                self._seen[account] += 1
                size = Decimal(fill["sz"]) if fill["side"] == "B" else -Decimal(fill["sz"])
                past = self._past.setdefault((account, fill["coin"]), Past())
                past.moves(Decimal(fill["startPosition"]) + size, time.monotonic())

    def _check(self, where: str, name: Name, size: Decimal, at_s: float) -> None:
        since_s = at_s - LAG_S
        for each in self._blind:
            if each.began_s <= at_s <= each.until_s + LAG_S:
                since_s = min(since_s, each.began_s - LAG_S)
        self.claims += 1
        past = self._past.setdefault(name, Past())
        if not past.had(size, since_s):
            self.wrong.append(
                f"{where}: {'/'.join(name)} is called proven at {size}; the exchange has {past.now} and had"
                f" no such size in the last {at_s - since_s:.1f} s"
            )

    # --------------------------------------------------------------- listening

    def _listen_on(self) -> None:
        since: int | None = None
        while not self._ended.is_set():
            try:
                with self._stage.api.stream(
                    since=since, events=("gap", "healed", "drift", "verdict"), timeout_s=0.5
                ) as stream:
                    while not self._ended.is_set():
                        with contextlib.suppress(TimedOut):
                            message = next(stream)
                            since = message["seq"]
                            self.heard.append((time.monotonic(), message))
            except (HlposmonError, OSError, StopIteration):
                self._ended.wait(0.05)  # the monitor is being started again


def is_alarm(message: dict[str, Any]) -> bool:
    """Whether a message takes back something that was claimed."""
    if message["type"] in ALARMS:
        return True
    return message.get("event_type") == "verdict" and message["position"]["verdict"] != "proven"

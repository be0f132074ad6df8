"""The world of a chaos run: what tests of the whole service have, for one or two accounts, with restarts."""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from hlposmon.channels.audit import verify
from tests.system.world import World

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Stage(World):
    """A world whose monitor can be started again as it was, in surroundings of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.monitor_environ: dict[str, str] = {}
        self.names: tuple[str, ...] = ()
        self._config = ""
        self._since_ms = 0

    def environ(self) -> dict[str, str]:
        # The exchange is started before anything is put here: the clock that is stepped is the monitor's.
        return super().environ() | self.monitor_environ

    def watch(self, count: int, config: str) -> None:
        """Start the monitor on the first accounts of the exchange; payments from now on are counted."""
        self.names, self._config = NAMES[:count], config
        self._since_ms = int(self.control.state()["time"])
        self.start_again(wait=True)

    def start_again(self, *, wait: bool = False) -> None:
        """Start it on the same folders, as after a power cut."""
        named = [
            f"--address={name}={address}" for name, address in zip(self.names, self.accounts, strict=False)
        ]
        self.start(*named, *self.urls, config=self._config, wait=wait)

    def all_disagreements(self, begun: dict[str, int]) -> list[str]:
        """Where exchange, book, snapshot, journal and whatever else is kept differ, over all accounts.

        `begun` has how many fills of each account were made before the monitor began.
        """
        wrong = []
        for name in self.names:
            found = self.disagreements(fills_from=begun[name], account=name)
            wrong += [f"{name}: {each}" for each in found]
        return wrong or list(self.fundings_differ()) or self.audit_faults()

    def fundings_differ(self) -> Iterator[str]:
        """Funding payments that are not in the journal exactly once, to the last digit."""
        lines = [line for line in self.lines() if line["type"] == "funding"]
        for name in self.names:
            booked = Counter(
                (line["key"].split(":", 2)[2], line["time_ms"], *map(Decimal, (line["amount"], line["size"])))
                for line in lines
                if line["account"] == name
            )
            paid = Counter(
                (row["coin"], time_ms, Decimal(row["usdc"]), Decimal(row["szi"]))
                for time_ms, row in self.payments(name)
            )
            if lost := paid - booked:
                yield f"{name}: {lost.total()} of {paid.total()} payments of funding not booked: {min(lost)}"
            if more := booked - paid:
                yield f"{name}: {more.total()} payments of funding booked that were not made: {min(more)}"

    def payments(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every funding payment to an account since it is watched, each with its time."""
        seen: set[tuple[int, str]] = set()
        start_ms = self._since_ms
        while True:
            rows = self._ask(type="userFunding", user=self.address(name), startTime=start_ms)
            new = [row for row in rows if (row["time"], row["delta"]["coin"]) not in seen]
            yield from ((row["time"], row["delta"]) for row in new)
            if not new:
                return
            seen |= {(row["time"], row["delta"]["coin"]) for row in new}
            start_ms = rows[-1]["time"]  # a page may end amid those of one hour

    def _ask(self, **request: Any) -> Any:
        url = self.urls[self.urls.index("--api-url") + 1]
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{url}/info", json.dumps(request).encode(), headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def audit_faults(self) -> list[str]:
        """What `audit verify` finds wrong with the chain."""
        report = verify(self.log_dir / "trading")
        return [f"audit: {one.kind} in {one.file}, line {one.line}: {one.message}" for one in report.faults]

    def address(self, account: str | None) -> str:
        return self.accounts[self.names.index(account)] if account else self.accounts[0]

    def made(self, name: str) -> int:
        """How many fills the exchange has made for an account."""
        return int(self.control.state()["accounts"][self.address(name)]["fills"])

"""The world of a chaos run: what tests of the whole service have, for one or two accounts, with restarts."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from hlposmon.journal.verify import verify
from tests.system.world import World, as_read

NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Stage(World):
    """A world whose monitor can be started again as it was, in surroundings of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.monitor_environ: dict[str, str] = {}
        self.names: tuple[str, ...] = ()
        self._config = ""
        self._paid: dict[str, int] = {}  # payments of funding before the monitor began, by account

    def environ(self) -> dict[str, str]:
        # The exchange is started before anything is put here: the clock that is stepped is the monitor's.
        return super().environ() | self.monitor_environ

    def watch(self, count: int, config: str) -> None:
        """Start the monitor on the first accounts of the exchange; payments from now on are counted."""
        self.names, self._config = NAMES[:count], config
        state = self.control.state()["accounts"]
        self._paid = {name: int(state[self.address(name)]["fundings"]) for name in self.names}
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
        """Funding payments that are not in the journal exactly once, to the last digit that can be read."""
        lines = [line for line in self.lines() if line["type"] == "funding"]
        for name in self.names:
            booked = Counter(
                (line["key"].split(":", 2)[2], line["time_ms"], *map(Decimal, (line["amount"], line["size"])))
                for line in lines
                if line["account"] == name
            )
            paid = Counter(
                (row["coin"], row["time"], as_read(row["usdc"]), Decimal(row["szi"]))
                for row in self.payments(name)
            )
            if lost := paid - booked:
                yield f"{name}: {lost.total()} of {paid.total()} payments of funding not booked: {min(lost)}"
            if more := booked - paid:
                yield f"{name}: {more.total()} payments of funding booked that were not made: {min(more)}"

    def payments(self, name: str) -> Iterator[dict[str, Any]]:
        """Every payment of funding to an account since it is watched."""
        return self.control.paid(self.address(name), since=self._paid[name])

    def audit_faults(self) -> list[str]:
        """What `audit verify` finds wrong with the chain."""
        report = verify(self.log_dir / "trading")
        return [f"audit: {one.kind} in {one.file}, line {one.line}: {one.message}" for one in report.faults]

    def address(self, account: str | None) -> str:
        return self.accounts[self.names.index(account)] if account else self.accounts[0]

    def made(self, name: str) -> int:
        """How many fills the exchange has made for an account."""
        return int(self.control.state()["accounts"][self.address(name)]["fills"])

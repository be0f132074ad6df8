"""A clerk that keeps a journal and a history as the tracker does, one fill after the other."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from hlposmon.domain.changes import Filled
from hlposmon.domain.position import FillEffect, Position
from hlposmon.domain.reports import Fill, Side
from hlposmon.domain.views import Memory
from hlposmon.history.importer import Importer
from hlposmon.history.writer import History
from hlposmon.journal.lines import Recovered, body_of, checkpoint, event
from hlposmon.journal.writer import Journal
from hlposmon.tracker.recovery import recover
from tests.journal.clerk import remembered

BTC = "hyperliquid:Perp:BTC"
NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)
ADDRESS = "0x" + "ab" * 20


def fill(number: int, *, time_ms: int, key: str = BTC, **more) -> Fill:
    """The fill that takes a position of `number - 1` to `number`."""
    facts = {
        "account": "main",
        "key": key,
        "time_ms": time_ms,
        "side": Side.BUY,
        "size": Decimal(1),
        "price": Decimal("100.5"),
        "start_position": Decimal(number - 1),
        "fee": Decimal("0.1"),
        "fee_token": "USDC",
        "closed_pnl": Decimal(0),
        "order_id": number,
        "trade_id": number,
        "hash": "0x" + f"{number:064x}",
        "direction": "Open Long",
    }
    return Fill(**(facts | more))


class Clerk:
    """Writes one fill after the other to a journal, as the tracker does, and brings it into a history, as the
    history's process does. `number` is the size of the one position after the last fill."""

    made: ClassVar[list["Clerk"]] = []

    def __init__(self, folder: Path, *, now_ms: int = NOON, mode: str = "live", fsync: str = "off"):
        Clerk.made.append(self)
        self.log, self.state = folder / "log", folder / "state"
        self.now_ms, self.now_s, self.mode = now_ms, 1000.0, mode
        self.number = 0
        self.last: Memory | None = None
        self.journal = Journal(self.log, fsync=fsync, checkpoint=self.checkpoint)
        self.found: Recovered = recover(self.journal, self.state, now_ms).found
        self.history = History(self.state, fsync=fsync)
        self.importer = Importer(self.journal.folder, self.history)
        for memory in self.found.memories.values():
            self.last, self.number = memory, int(memory.position.size)
            self.now_ms = max(now_ms, *(identity[0] for identity in memory.seen))

    def start(self) -> None:
        """As the tracker does when it has told its book."""
        if self.journal.missing is not None:
            first, last = self.journal.missing
            self.say("rejoined", first=first, last=last)
        self.say("start", mode=self.mode, accounts={})
        self.journal.append_checkpoint(self.now_ms)
        self.commit()

    def say(self, kind: str, **facts: Any) -> None:
        self.journal.append(event(kind, now_ms=self.now_ms, **facts), self.now_ms)

    def checkpoint(self) -> dict[str, Any]:
        memories = [self.last] if self.last else []
        return checkpoint(memories, {"main": {"": NOON}}, {"main": ADDRESS}, mode=self.mode)

    def journals(self, count: int = 1) -> None:
        """So many fills, in the journal alone."""
        for _ in range(count):
            self.number += 1
            self.now_ms += 1
            made = fill(self.number, time_ms=self.now_ms)
            position = Position(Decimal(self.number), Decimal(self.number * 100), fills=self.number)
            body = body_of(Filled(made, FillEffect.ADDED, position), now_ms=self.now_ms + 5)
            assert body is not None
            self.last = remembered(self.last, made, position)
            self.journal.append(body, self.now_ms)
        self.now_s += 2
        self.journal.commit(self.now_s)

    def write(self, count: int = 1) -> None:
        """So many fills, and a look of the history at the journal."""
        self.journals(count)
        self.look()

    def commit(self, later_s: float = 2.0) -> None:
        self.now_s += later_s
        self.journal.commit(self.now_s)
        self.look()

    def look(self) -> None:
        """The history's process looks at the journal once; what it says, the tracker journals."""
        while self.importer.step(self.now_s, self.now_ms):
            pass
        for kind, facts in self.importer.take_remarks():
            self.say(kind.value, **facts)

    def follow(self) -> None:
        """Until the history has all that the journal has."""
        deadline = time.monotonic() + 60
        while self.history.seq < self.journal.seq:
            assert time.monotonic() < deadline, self.importer.failure
            self.commit()

    def close(self) -> None:
        """The tracker ends, and then the history's process."""
        self.journal.close()
        self.now_s += 5
        while self.importer.step(self.now_s, self.now_ms):
            pass
        self.importer.close()

    @classmethod
    def ends_all(cls) -> None:
        """Let go of all that were made, at the end of a test."""
        while cls.made:
            one = cls.made.pop()
            one.journal.close()
            one.dies()

    def dies(self) -> None:
        """Both are killed: nothing is closed in order."""
        self.history._shut()

"""A clerk that keeps a journal and a history as the tracker does, one fill after the other."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

from hlposmon.domain.changes import Filled
from hlposmon.domain.position import Effect, Position
from hlposmon.domain.reports import Fill, Side
from hlposmon.domain.views import Memory
from hlposmon.history.writer import History
from hlposmon.journal.lines import Recovered, body_of, checkpoint, event
from hlposmon.journal.writer import Journal
from hlposmon.tracker.archive import Archive
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
    """`number` is the size of the one position after the last fill."""

    made: ClassVar[list["Clerk"]] = []

    def __init__(self, folder: Path, *, now_ms: int = NOON, mode: str = "live", fsync: str = "off"):
        Clerk.made.append(self)
        self.log, self.state = folder / "log", folder / "state"
        self.now_ms, self.now_s, self.mode = now_ms, 1000.0, mode
        self.number = 0
        self.last: Memory | None = None
        self.history = History(self.state, fsync=fsync)
        self.journal = Journal(
            self.log,
            fsync=fsync,
            checkpoint=self.checkpoint,
            sealed=self.history.take,
            kept_seq=lambda: self.history.seq,
        )
        self.archive = Archive(self.journal, self.history, beat=lambda: None)
        self.found: Recovered = self.archive.recover(self.now_s, now_ms)
        for memory in self.found.memories.values():
            self.last, self.number = memory, int(memory.position.size)
            self.now_ms = max(now_ms, *(identity[0] for identity in memory.seen))

    def start(self) -> None:
        """As the tracker does when it has told its book."""
        self.journal.append(event("start", now_ms=self.now_ms, mode=self.mode, accounts={}), self.now_ms)
        self.journal.append_checkpoint(self.now_ms)
        self.commit()

    def checkpoint(self):
        memories = [self.last] if self.last else []
        return checkpoint(memories, {"main": NOON}, {"main": ADDRESS}, mode=self.mode)

    def write(self, count: int = 1, *, commit: bool = True) -> None:
        for _ in range(count):
            self.number += 1
            self.now_ms += 1
            made = fill(self.number, time_ms=self.now_ms)
            position = Position(Decimal(self.number), Decimal(self.number * 100), fills=self.number)
            body = body_of(Filled(made, Effect.ADDED, position), now_ms=self.now_ms + 5)
            assert body is not None
            self.last = remembered(self.last, made, position)
            self.journal.append(body, self.now_ms)
        if commit:
            self.commit()

    def commit(self, later_s: float = 2.0) -> None:
        self.now_s += later_s
        self.archive.commit(self.now_s, self.now_ms)

    def follow(self) -> None:
        """Until the history has all that the journal has."""
        deadline = time.monotonic() + 60
        while self.history.seq < self.journal.seq:
            assert time.monotonic() < deadline, self.history.failure
            self.now_s += 2
            self.archive.commit(self.now_s, self.now_ms)
            self.archive.follow(self.now_s, self.now_ms)

    def close(self) -> None:
        self.archive.close(self.now_s + 5, self.now_ms)

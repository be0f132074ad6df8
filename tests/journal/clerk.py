"""The small language of the audit's tests: a clerk who writes one fill after the other."""

import io
from datetime import UTC, datetime
from decimal import Decimal

from hlposmon.domain.changes import Filled
from hlposmon.domain.payments import Payments
from hlposmon.domain.position import FillEffect, Position
from hlposmon.domain.reports import Fill, Side
from hlposmon.domain.views import Memory, window_ms
from hlposmon.errors import WireError
from hlposmon.journal.lines import FIRST_PREV, body_of, checkpoint, open_line
from hlposmon.journal.reader import lines_after
from hlposmon.journal.writer import Journal

BTC = "hyperliquid:Perp:BTC"
NOON = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)
HOUR, DAY = 3_600_000, 86_400_000


def remembered(last, fill, position):
    """What is remembered after one more fill."""
    seen = (*(last.seen if last else ()), fill.identity)
    known_ms = window_ms((identity[0] for identity in seen), last.known_ms if last else NOON)
    return Memory(
        "main", BTC, position, known_ms, Payments(), tuple(one for one in seen if one[0] >= known_ms)
    )


class Clerk:
    """Writes one fill after the other to a journal; `number` is the size of the position after the last."""

    def __init__(self, folder, *, fsync="off", number=0, now_ms=NOON):
        self.folder = folder
        self.number = number
        self.now_ms = now_ms
        self.now_s = 1000.0
        self.last = None
        self.journal = Journal(folder, fsync=fsync, checkpoint=self.checkpoint)
        self.recovered = self.journal.recover(now_ms)
        if self.recovered.memories:
            [self.last] = self.recovered.memories.values()
            self.number = int(self.last.position.size)

    def checkpoint(self):
        return checkpoint([self.last] if self.last else [], {"main": {"": NOON}}, {"main": "0xab"})

    def write(self, count=1, *, commit=True):
        for _ in range(count):
            self.number += 1
            self.now_ms += 1
            self.journal.begin_turn(self.now_ms)
            fill = Fill(
                account="main",
                key=BTC,
                time_ms=self.now_ms,
                side=Side.BUY,
                size=Decimal(1),
                price=Decimal("100.5"),
                start_position=Decimal(self.number - 1),
                fee=Decimal("0.1"),
                fee_token="USDC",
                closed_pnl=Decimal(0),
                order_id=self.number,
                trade_id=self.number,
            )
            position = Position(Decimal(self.number), Decimal(self.number * 100), fills=self.number)
            body = body_of(Filled(fill, FillEffect.ADDED, position), now_ms=self.now_ms)
            self.last = remembered(self.last, fill, position)
            self.journal.append(body, self.now_ms)
        return self.commit() if commit else None

    def commit(self, later_s=2.0):
        self.now_s += later_s
        return self.journal.commit(self.now_s)

    def lines_behind(self, seq, damaged=lambda _name, _reason: None):
        """The lines of the files behind a number, in order."""
        return [line for line, _, _ in lines_after(self.folder / "trading", seq, damaged)]

    def sizes(self):
        """The sizes that the fill lines hold, in the order of the files."""
        return [int(line["position"]["size"]) for line in lines_in(self.folder) if line["type"] == "fill"]


def files_in(folder):
    return sorted((folder / "trading").glob("audit-*.jsonl"))


def lines_in(folder):
    """All whole lines, in order, the chain of which is asserted. A half one must be followed by its mark."""
    found, prev, seq, torn = [], FIRST_PREV, 0, None
    for path in files_in(folder):
        for raw in io.BytesIO(path.read_bytes()):
            try:
                line = open_line(raw)
            except WireError:
                assert torn is None, "two broken lines one after the other"
                torn = len(raw.rstrip(b"\n"))
                continue
            assert (line["prev"], line["seq"]) == (prev, seq + 1), f"{path.name}: the chain breaks"
            prev, seq = line["hash"], line["seq"]
            if torn is not None:
                assert (line["type"], line["bytes"]) == ("torn", torn)
                torn = None
            found.append(line)
    assert torn is None, "a half-written line without its mark"
    return found


def kinds(folder):
    return [line["type"] for line in lines_in(folder)]

"""How much a position takes in the tracker, counted in bytes that Python has handed out for it."""

import gc
import tracemalloc
from decimal import Decimal
from typing import Any

from hlposmon.domain.rendering import Renderer
from hlposmon.domain.reports import Marks, StatedPosition, Statement
from hlposmon.ipc.codec import decode, encode
from tests.engine.language import Bench, key_of

FEW, MANY = 10, 210
MOST_BYTES = 4_800


class Held(Bench):
    """An engine whose account holds so many positions, stated and priced again and again, and shown."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.keys = [key_of(f"C{number}") for number in range(count)]
        self.renderer = Renderer()
        self.goes_live()
        for second in range(3):
            self.s += 1
            self.says(received(self.all_stated(pushed=second > 0)), received(self.all_priced(second)))
            self.revalues()
            for view in self.engine.book.views():
                self.renderer.render(view)
            self.effects.clear()

    def all_stated(self, *, pushed: bool) -> Statement:
        positions = tuple(
            StatedPosition(
                key=key,
                size=Decimal(f"{number}.125"),
                entry_price=Decimal(f"99.{number}"),
                mark_price=Decimal(f"100.{number}"),
                leverage=Decimal(20),
                margin_used=Decimal(f"5.{number}"),
                liquidation_price=Decimal(f"50.{number}"),
                tolerance=Decimal("0.0001"),
            )
            for number, key in enumerate(self.keys, start=100)
        )
        return Statement("main", "hyperliquid", self.now.ms, self.s, positions, Decimal(1000), pushed=pushed)

    def all_priced(self, second: int) -> Marks:
        return Marks({key: Decimal(f"100.{second}") for key in self.keys}, self.s)


def received(report: Any) -> Any:
    """As the queue brings it: it shares nothing with what was sent."""
    return decode(encode(report))


def held_bytes(count: int) -> int:
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    one = Held(count)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    assert len(one.engine.book.views()) == count, "it is held still"
    return held


def test_a_position_takes_a_few_kilobytes():
    tracemalloc.start()
    try:
        held_bytes(MANY)  # what is made once, for a key or for all, is there by now
        each = (held_bytes(MANY) - held_bytes(FEW)) / (MANY - FEW)
    finally:
        tracemalloc.stop()

    assert each > 1_000, "it was counted"
    assert each < MOST_BYTES, f"{each:.0f} bytes a position"

"""What the snapshot costs: `python tests/bench/snapshot.py`. Medians, in microseconds.

Ratios within one run count; absolute figures move with the machine.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from hlposmon.client.snapshot import Snapshot
from hlposmon.snapshot.layout import PositionRecord, decode_record, encode_record
from hlposmon.snapshot.writer import SnapshotWriter

SIZES = (10, 100, 1000, 10_000)


def position(number: int) -> PositionRecord:
    return PositionRecord(
        account="main",
        key=f"hyperliquid:Perp:C{number}",
        symbol=f"C{number}-USD",
        verdict="proven",
        verdict_reason="",
        size=Decimal("0.15"),
        entry_price=Decimal("50166.66667"),
        mark_price=Decimal("51000.5"),
        unrealized_pnl=Decimal("125.07"),
        realized_pnl=Decimal("-3.25"),
        fees=Decimal("3.76"),
        funding=Decimal("0.0123"),
        notional_value=Decimal("7650.075"),
        leverage=Decimal(20),
        margin_used=Decimal("382.50375"),
        liquidation_price=None,
        last_fill_ms=1_700_000_000_123,
        last_updated_ms=1_700_000_001_456,
        fills=7,
    )


def once_us(call: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start_ns) / 1000


def median_us(call: Callable[[], object], rounds: int) -> float:
    gc.collect()
    return statistics.median(once_us(call) for _ in range(rounds))


def show(name: str, figure_us: float) -> None:
    print(f"{name:<46}{figure_us:>12.1f} us")


def of_size(size: int, folder: Path) -> None:
    path = folder / f"snapshot-{size}"
    writer = SnapshotWriter(path, mode="simulated", capacity=size)
    records = [position(number) for number in range(size)]
    for record in records:
        writer.write(record)
    writer.beat(wall_ms=0, seq=0, healthy=True)
    turn = iter(range(10**9))
    show(
        f"{size} positions: update one",
        median_us(lambda: writer.write(records[next(turn) * 997 % size]), 5000),
    )
    with Snapshot.open(path, limit_s=3600) as snapshot:
        key = records[size // 2].key
        changed = [replace(records[size // 2], fills=fills) for fills in range(2)]

        def read_one() -> None:
            snapshot.position(key)

        show(f"{size} positions: read one, unchanged", median_us(read_one, 5000))
        samples = []
        for number in range(2000):
            writer.write(changed[number % 2])
            samples.append(once_us(read_one))
        show(f"{size} positions: read one, changed", statistics.median(samples))
        rounds = max(5, 2000 // size)
        show(
            f"{size} positions: read all, unchanged", median_us(lambda: snapshot.positions(all=True), rounds)
        )

    def read_anew() -> None:
        with Snapshot.open(path, limit_s=3600) as fresh:
            fresh.positions(all=True)

    show(f"{size} positions: open and read all", median_us(read_anew, rounds))
    writer.close()


def main() -> None:
    record = position(1)
    block = encode_record(record, 2)
    show("encode one record", median_us(lambda: encode_record(record, 2), 5000))
    show("decode one record", median_us(lambda: decode_record(block), 5000))
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        writer = SnapshotWriter(Path(folder) / "beat", mode="simulated")
        show("beat", median_us(lambda: writer.beat(wall_ms=0, seq=0, healthy=True), 5000))
        writer.close()
        for size in SIZES:
            of_size(size, Path(folder))


if __name__ == "__main__":
    main()

"""What the history costs: `python -m tests.bench.history`. Bytes a fill, microseconds to write and read.

Ratios within one run count; absolute figures move with the machine. HLPOSMON_FILLS says how many (100 000).
"""

import os
import random
import shutil
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from hlposmon.client.history import History as Reader
from hlposmon.domain.amounts import exactly
from hlposmon.domain.changes import Filled
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill, Side
from hlposmon.history.writer import History
from hlposmon.journal.lines import FIRST_PREV, body_of, checkpoint, event, open_line, seal

COINS = 20


def flow(count: int) -> list[bytes]:
    """Sealed lines of a flow of fills: trades up and down, with partial reductions and flips."""
    rng = random.Random(1)
    now_ms, order_id, prev = 1_795_000_000_000, 400_000_000_000, FIRST_PREV
    held = [Position() for _ in range(COINS)]
    begin = {"addresses": {"main": "0x" + "ab" * 20}, "base_ms": {"main": now_ms}}
    bodies = [event("checkpoint", now_ms=now_ms, **checkpoint([], **begin, mode="live"))]
    lines = []
    for number in range(count):
        coin = rng.randrange(COINS)
        now_ms += rng.choice((0, 0, 2, 5))
        order_id += rng.randrange(1000)
        side = rng.choice((Side.BUY, Side.SELL))
        size, price = Decimal(rng.randint(1, 9999)) / 1000, Decimal(rng.randint(2_000_000, 3_000_000)) / 1000
        fill = Fill(
            account="main",
            key=f"hyperliquid:Perp:C{coin}",
            time_ms=now_ms,
            side=side,
            size=size,
            price=price,
            start_position=held[coin].size,
            fee=(size * price * Decimal("0.00045")).quantize(Decimal("0.000001")),
            fee_token="USDC",
            closed_pnl=Decimal(rng.randint(-99_999_999, 99_999_999)) / 1_000_000,
            order_id=order_id,
            trade_id=rng.randrange(1 << 50),
            hash="0x" + rng.randbytes(32).hex(),
            direction="Open Long" if side is Side.BUY else "Close Long",
            crossed=bool(number % 2),
        )
        with exactly():
            held[coin], effect = held[coin].after(fill)
        body = body_of(Filled(fill, effect, held[coin]), now_ms=now_ms + rng.randint(80, 900))
        assert body is not None
        bodies.append(body)
    for seq, body in enumerate(bodies, 1):
        line, prev = seal(body, seq=seq, prev=prev)
        lines.append(line)
    return lines


def show(name: str, figure: float, unit: str) -> None:
    print(f"{name:<46}{figure:>12.1f} {unit}")


def write(folder: Path, lines: list[bytes], batch: int) -> float:
    """Seconds of the processor and of waiting that writing takes, `batch` lines a transaction."""
    opened = [(open_line(line), line) for line in lines]
    history = History(folder, fsync="batch")
    history.open(0.0, 0)
    began_s = time.perf_counter()
    for number, (line, raw) in enumerate(opened, 1):
        while not history.take(line, "", raw):
            history.commit(0.0, 0, written_seq=number)
        if number % batch == 0:
            history.commit(0.0, 0, written_seq=number)
    while not history.commit(0.0, 0, written_seq=len(opened)):
        assert history.failure is None, history.failure
    spent_s = time.perf_counter() - began_s
    history.close()
    assert history.seq == len(opened), history.failure
    return spent_s


def main() -> None:
    count = int(os.environ.get("HLPOSMON_FILLS", "100000"))
    lines = flow(count)
    show("bytes a fill in the audit journal", sum(map(len, lines)) / count, "bytes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show("write, 1 fill a transaction", write(folder / "one", lines[:20_000], 1) / 20_000 * 1e6, "us")
        shutil.rmtree(folder / "one")
        show("write, 500 fills a transaction", write(folder, lines, 500) / count * 1e6, "us")
        path = folder / "history.sqlite3"
        show("bytes a fill in the history", path.stat().st_size / count, "bytes")
        with Reader.open(path) as reader:
            began_s = time.perf_counter()
            assert sum(1 for _ in reader.fills()) == count
            show("read, all", (time.perf_counter() - began_s) / count * 1e6, "us")
            began_s = time.perf_counter()
            found = sum(1 for _ in reader.fills(coin="C7"))
            show(
                "read, one coin of twenty: a fill of it", (time.perf_counter() - began_s) / found * 1e6, "us"
            )
        began_s = time.perf_counter()
        again = History(folder, fsync="batch")
        again.open(0.0, 0)
        show("open, with the check of the whole file", (time.perf_counter() - began_s) * 1e3, "ms")
        again.close()


if __name__ == "__main__":
    main()

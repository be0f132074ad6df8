"""What the history costs: `python -m tests.bench.history`. Bytes a fill, the processor's time to write and
read.

Ratios within one run count; absolute figures move with the machine. HLPOSMON_FILLS says how many (100 000).
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from hlposmon.client.history import History as Reader
from hlposmon.domain.amounts import exactly
from hlposmon.domain.changes import Filled
from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill, Side
from hlposmon.history.importer import Importer
from hlposmon.history.writer import History
from hlposmon.ipc.queue import accept, listen
from hlposmon.journal.lines import FIRST_PREV, body_of, checkpoint, event, seal

COINS = 20


def flow(count: int) -> list[bytes]:
    """Sealed lines of a flow of fills: trades up and down, with partial reductions and flips."""
    rng = random.Random(1)
    now_ms, order_id, prev = 1_795_000_000_000, 400_000_000_000, FIRST_PREV
    held = [Position() for _ in range(COINS)]
    begin = {"addresses": {"main": "0x" + "ab" * 20}, "base_ms": {"main": {"": now_ms}}}
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


def bring(journal: Path, state: Path) -> float:
    """Processor seconds that it takes to bring all of a journal into a new history."""
    history = History(state, fsync="batch")
    importer = Importer(journal, history)
    began_s = time.process_time()
    while importer.step(time.monotonic(), 0):
        pass
    importer.close()
    assert importer.failure is None, importer.failure
    return time.process_time() - began_s


FOLLOW = """
import sys
from pathlib import Path
from hlposmon.supervision.loop import Pulse
from hlposmon.workers.history import HistoryWorker
folder = Path(sys.argv[1])
HistoryWorker(
    Pulse.alone("history", signals=True),
    journal=folder / "journal",
    state_dir=folder / "state",
    fsync="batch",
    queue=folder / "queue",
).run()
"""


def follow(folder: Path, lines: list[bytes], a_second: int) -> tuple[float, float]:
    """Processor seconds of a process that follows a journal which grows by so many fills a second; and
    those of as long a time in which nothing comes."""
    (folder / "journal").mkdir()
    listener = listen(folder / "queue")
    process = subprocess.Popen([sys.executable, "-c", FOLLOW, str(folder)])
    joined, accepted = None, None
    with (folder / "journal" / "audit-2026-11-20.jsonl").open("ab", buffering=0) as file:
        file.write(lines[0])
        while joined is None:  # it is up, and has found the first line
            time.sleep(0.05)
            accepted = accepted or accept(listener)
            joined = accepted and accepted.get()
        time.sleep(2)
        marks = [_spent_s(process.pid)]
        at_s, step = time.monotonic(), max(1, a_second // 20)
        for number in range(1, len(lines), step):
            file.write(b"".join(lines[number : number + step]))
            at_s += step / a_second
            time.sleep(max(0.0, at_s - time.monotonic()))
        time.sleep(2)
        marks.append(_spent_s(process.pid))
        time.sleep(len(lines) / a_second)
        marks.append(_spent_s(process.pid))
    process.terminate()
    process.wait()
    listener.close()
    with Reader.open(folder / "state" / "history.sqlite3") as reader:
        assert sum(1 for _ in reader.fills()) == len(lines) - 1
    return marks[1] - marks[0], marks[2] - marks[1]


def _spent_s(pid: int) -> float:
    """Processor seconds of a process so far, as its scheduler counts them (in nanoseconds)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def main() -> None:
    count = int(os.environ.get("HLPOSMON_FILLS", "100000"))
    lines = flow(count)
    show("bytes a fill in the audit journal", sum(map(len, lines)) / count, "bytes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for a_second in (20, 200, 1000):
            (folder / str(a_second)).mkdir()
            some = lines[: a_second * 20 + 1]
            busy_s, idle_s = follow(folder / str(a_second), some, a_second)
            said = f"follow, {a_second} fills a second: 1000 fills"
            show(said, busy_s / len(some) * 1e6, "ms of processor")
            show("the same process, idle", idle_s / 20 * 3.6e3, "s of processor an hour")
        journal = folder / "journal"
        journal.mkdir()
        (journal / "audit-2026-11-20.jsonl").write_bytes(b"".join(lines))
        show("catch up: 1000 fills", bring(journal, folder) / count * 1e6, "ms of processor")
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

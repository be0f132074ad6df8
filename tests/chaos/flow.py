"""A long flow of fills, and never a false `drift`: `python -m tests.chaos.flow --minutes 60 --rate 200`.

The service runs on two accounts with prices and statements as they come, and nothing is done to it.
A statement and a fill have no common number, so that each statement is a chance to see a drift where
there is none. At the end all records must be equal, each fill in the audit exactly once.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hlposmon.client.snapshot import Snapshot
from hlposmon.journal.lines import open_line
from tests.chaos import report
from tests.chaos.stage import Stage
from tests.chaos.witness import Witness
from tests.system.world import until

COINS = 12
CONFIG = "[reconcile]\ninterval_s = {interval_s}\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    fills: int
    seconds: float
    drifts: int
    gaps: int
    doubts: int
    wrong: tuple[str, ...]
    unequal: tuple[str, ...]
    log: str

    @property
    def rate(self) -> float:
        """Fills a second that were really made."""
        return self.fills / self.seconds

    @property
    def ok(self) -> bool:
        return not (self.drifts or self.wrong or self.unequal)


def flow(seconds: float, rate: float, *, interval_s: float = 1.0, seed: int = 1) -> Outcome:
    """Let it run for so long at so many fills a second, with a statement each `interval_s`."""
    with ExitStack() as stack:
        stage = Stage(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlc-"))))
        stack.callback(stage.close)
        stage.open_exchange(
            "--seed", str(seed), "--pace", "0", "--coins", str(COINS), "--accounts", "2", "--no-limits"
        )
        stage.flatten()
        stage.watch(2, CONFIG.format(interval_s=interval_s))
        begun = {name: stage.made(name) for name in stage.names}
        witness = Witness(stage, [], begun)
        stack.callback(witness.close)
        began_s = time.monotonic()
        stage.control.pace(rate)
        until("the time is over", lambda: time.monotonic() - began_s >= seconds, within_s=seconds + 10)
        stage.control.pace(0)
        took_s = time.monotonic() - began_s
        unequal: list[str] = []

        def agree() -> bool:
            unequal[:] = sizes_differ(stage)
            return not unequal

        try:
            until("all agree", agree, within_s=60)
            unequal += fills_differ(stage, begun)
        except AssertionError as error:
            unequal.append(str(error))
        alarms = [message for _, message in witness.heard if message.get("event_type") == "verdict"]
        return Outcome(
            fills=sum(stage.made(name) - begun[name] for name in stage.names),
            seconds=took_s,
            drifts=len(witness.drifts()),
            gaps=sum(message["type"] == "gap" for _, message in witness.heard),
            doubts=sum(message["position"]["verdict"] != "proven" for message in alarms),
            wrong=tuple(witness.wrong[:5]),
            unequal=tuple(unequal[:5]),
            log=stage.log(),
        )


def sizes_differ(stage: Stage) -> list[str]:
    """Where exchange, book and snapshot differ, or something is not proven; for any number of accounts."""
    state, summary = stage.control.state()["accounts"], stage.api.summary()
    truth = {
        (name, coin): Decimal(held["szi"])
        for name in stage.names
        for coin, held in state[stage.address(name)]["positions"].items()
        if Decimal(held["szi"])
    }
    rows = summary["positions"].values()
    book = {(row["account"], row["coin"]): Decimal(row["size"]) for row in rows}
    with Snapshot.open(stage.folder / "snapshot") as opened:
        records = opened.positions()
    shown = {(record.account, record.key.split(":", 2)[2]): record.size for record in records}
    doubted = [row["verdict_reason"] for row in rows if row["verdict"] != "proven"]
    doubted += [record.verdict_reason for record in records if record.verdict != "proven"]
    return [
        f"{'/'.join(name)}: exchange {truth.get(name)}, book {book.get(name)}, snapshot {shown.get(name)}"
        for name in sorted(truth.keys() | book.keys() | shown.keys())
        if not truth.get(name) == book.get(name) == shown.get(name)
    ] + [str(doubt) for doubt in doubted[:3]]


def fills_differ(stage: Stage, begun: dict[str, int]) -> Iterator[str]:
    """Fills that the audit has not exactly once; reads both sides as they come, so that an hour fits."""
    journalled = Counter(_journalled(stage))
    made = Counter(
        (name, fill["tid"])
        for name in stage.names
        for fill in stage.control.made(stage.address(name), since=begun[name])
    )
    if lost := made - journalled:
        yield f"{lost.total()} of {made.total()} fills are not in the journal"
    if more := journalled - made:
        yield f"{more.total()} fills too many in the journal"


def _journalled(stage: Stage) -> Iterable[tuple[str, int]]:
    for path in sorted((stage.log_dir / "trading").glob("audit-*.jsonl")):
        with path.open("rb") as file:
            for raw in file:
                line = open_line(raw)
                if line["type"] == "fill":
                    yield line["account"], line["tid"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.flow", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--interval-s", type=float, default=1.0, help="how often a statement is asked for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the result into this report")
    given = parser.parse_args()
    commit = report.commit()
    found = flow(given.minutes * 60, given.rate, interval_s=given.interval_s, seed=given.seed)
    print(
        f"{found.fills} fills in {found.seconds:.0f} s ({found.rate:.0f} a second):"
        f" {found.drifts} drifts, {found.gaps} gaps, {found.doubts} other doubts;"
        f" wrong {list(found.wrong)}; unequal {list(found.unequal)}"
    )
    if given.write:
        command = f"python -m tests.chaos.flow --minutes {given.minutes:g} --rate {given.rate:g}"
        report.put(given.write, "flow", "\n".join(section(found, command, commit)))
    return 0 if found.ok else 1


def section(found: Outcome, command: str, commit: str) -> Iterator[str]:
    """Its part of the report."""
    yield "## A long flow, and no false alarm"
    yield ""
    yield f"`{command}`; {report.machine(commit)}."
    yield ""
    yield (
        f"Nothing was done to the monitor, but two accounts traded in {COINS} coins for"
        f" {found.seconds / 60:.1f} minutes: {found.fills:,} fills,"
        f" {found.rate:.0f} a second, with a statement of each account every second."
    )
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| `drift` said | {found.drifts} |"
    yield f"| gaps | {found.gaps} |"
    yield f"| other doubts | {found.doubts} |"
    yield f"| claims of `proven` that were more than 3 s behind, or wrong | {len(found.wrong)} |"
    yield f"| exchange, book, snapshot and audit at the end | {'; '.join(found.unequal) or 'equal'} |"


if __name__ == "__main__":
    sys.exit(main())

"""Seven days in a quarter of an hour: `python -m tests.chaos.soak [--leaps 168] [--leap-s 6]`.

Every few seconds the wall clock of the monitor and that of the exchange leap by an hour, while the
monotonic clock, by which all is timed, goes on as it is; prices come each real second. Ten accounts
with ten positions each trade, and are paid or pay funding every hour. Watched are the memory of the
whole process tree, its descriptors, and what is written to the disk.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hlposmon.errors import HlposmonError
from hlposmon.history.file import WAL_BYTES
from hlposmon.history.schema import HISTORY_FILE
from tests.chaos import places, report
from tests.chaos.flow import fills_differ, sizes_differ
from tests.chaos.stage import Stage
from tests.chaos.trial import lawful
from tests.system.world import descendants, until

ACCOUNTS, COINS = 10, 10
HOUR_S, DAY_HOURS = 3600, 24
PACE = 80.0
# Both feeds remember the last 1000 fills of each account: until those are there, memory grows by right.
WARM_FILLS = 12_000
# Memory may still settle in the first days; what grows over the last three will grow for ever.
LAST_HOURS = 3 * DAY_HOURS
MAX_GROWTH = 0.02
MAX_SPREAD = 4  # connections that are just being made or closed when it is counted
# The file after the stop, when its log has been moved into it: fills, payments, statements, indexes.
HISTORY_BYTES_A_ROW = 300
# What the log of a history that is written to may hold beside it, and the commit that is under way.
HISTORY_LOG_BYTES = WAL_BYTES + (16 << 20)
WEEK_HOURS = 7 * DAY_HOURS
CONFIG = "[reconcile]\ninterval_s = 5\n"
ABOUT = """Ten accounts with ten positions each trade steadily; prices come each real second; every few
seconds the wall clock of the monitor and of the exchange leaps by an hour, at which funding is paid on
every position. Memory is what the supervisor and its processes have of their own (anonymous); it and the
descriptors are taken before each leap. What counts begins with the end of the warm-up (a day, and 12,000
fills); memory may settle for some days, and must not grow in the last three. At the end the sizes, the
fills and the funding payments in the audit must be those of the exchange. The history is the whole file,
with fills, payments, statements and indexes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process tree at one moment."""

    pss: int  # bytes: what is shared is counted once
    descriptors: int
    fills: int  # made by the exchange until then
    by_process: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    leaps: int
    fills: int = 0
    fundings: int = 0
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    audit_files: int = 0
    audit_bytes: int = 0
    history_bytes: int = 0
    history_log_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def settled(self) -> list[Sample]:
        """Those after the first day, and after what is remembered for a while has been filled."""
        return [one for one in self.samples[DAY_HOURS:] if one.fills >= WARM_FILLS]

    def sizes(self, hours: int) -> tuple[float, float]:
        """Memory at both ends of the last so many hours, bytes: medians of a sixth of them."""
        among = self.settled[-hours:]
        count = max(1, len(among) // 6)
        return _size(among[:count]), _size(among[-count:])

    def growth(self) -> float:
        """Of the memory, as a share, over the last three days."""
        begin, end = self.sizes(LAST_HOURS)
        return end / begin - 1

    def history_each(self) -> float:
        """Bytes of history for each fill or payment of funding."""
        return self.history_bytes / max(1, self.fills + self.fundings)

    def check(self) -> Iterator[str]:
        """Everything that is not as it must be."""
        yield from self.wrong
        days = self.leaps // DAY_HOURS
        if self.audit_files < days:
            yield f"{self.audit_files} audit files for {days} days"
        if self.settled:
            if self.growth() >= MAX_GROWTH:
                yield f"memory grew by {self.growth():.1%} in three days: {_by_process(self)}"
            counts = [one.descriptors for one in self.settled]
            if max(counts) - min(counts) > MAX_SPREAD:
                yield f"descriptors from {min(counts)} to {max(counts)}"
        elif self.leaps >= WEEK_HOURS:
            yield f"never warm: fewer than {WARM_FILLS:,} fills, so that nothing could be compared"
        if self.history_each() > HISTORY_BYTES_A_ROW:
            yield f"{self.history_each():.0f} bytes of history for each fill or payment"
        if self.history_log_bytes > HISTORY_LOG_BYTES:
            yield f"{self.history_log_bytes >> 20} MB in the log of the history"


def _size(samples: list[Sample]) -> float:
    return statistics.median(one.pss for one in samples)


def _by_process(outcome: Outcome) -> str:
    first, last = (dict(outcome.settled[-LAST_HOURS:][at].by_process) for at in (0, -1))
    return ", ".join(f"{name} {first.get(name, 0) >> 10} to {size >> 10} kB" for name, size in last.items())


def soak(leaps: int, leap_s: float, *, seed: int = 1, progress: bool = False) -> Outcome:
    """Leap so many hours, one every `leap_s`. Raises `places.Unavailable` where no clock can be stepped."""
    with ExitStack() as stack:
        stage = Stage(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlc-"))))
        clock = places.clock(stage.folder)
        stack.callback(stage.close)
        stage.open_exchange(
            "--seed", str(seed), "--pace", "0", "--coins", str(COINS), "--accounts", str(ACCOUNTS),
            "--no-limits",
        )  # fmt: skip
        _hold_all(stage)
        stage.monitor_environ = clock.environ
        stage.watch(ACCOUNTS, CONFIG)
        assert stage.monitor is not None
        stack.callback(lambda pids: places.sweep(set(pids)), _tree(stage))
        begun = {name: stage.made(name) for name in stage.names}
        paid = _fundings(stage)
        outcome = Outcome(leaps)
        began_s = time.monotonic()
        stage.control.pace(PACE)
        for number in range(1, leaps + 1):
            due_s = began_s + number * leap_s
            time.sleep(max(0.0, due_s - time.monotonic()))  # an hour takes so long here
            outcome.samples.append(_sample(stage))
            clock.step(HOUR_S)
            stage.control.clock_skew(clock.offset_s)
            if progress and number % DAY_HOURS == 0:
                sample = outcome.samples[-1]
                print(
                    f"day {number // DAY_HOURS}: {sample.pss >> 10} kB, {sample.descriptors} descriptors",
                    flush=True,
                )
        stage.control.pace(0)
        outcome.seconds = time.monotonic() - began_s
        _compare(stage, begun, paid, outcome)
        outcome.history_log_bytes = _history(stage, "-wal")
        pids = set(_tree(stage))
        status = stage.stop()
        if status != 0:
            outcome.wrong.append(f"exit status {status}")
        _measure(stage, outcome)
        places.sweep(pids)
        return outcome


def _hold_all(stage: Stage) -> None:
    """Every account holds every coin."""
    state = stage.control.state()
    prices = {
        coin: held["markPx"]
        for account in state["accounts"].values()
        for coin, held in account["positions"].items()
    }
    for address, account in state["accounts"].items():
        missing = [coin for coin in state["coins"] if coin not in account["positions"]]
        for coin in missing:
            stage.control.fill(address, coin, "B", "1", lawful(prices.get(coin, "100")))


def _tree(stage: Stage) -> list[int]:
    assert stage.monitor is not None
    return [stage.monitor.pid, *descendants(stage.monitor.pid)]


def _sample(stage: Stage) -> Sample:
    names: dict[int, str] = {}
    with suppress(HlposmonError):  # only names: a machine that is busy elsewhere answers later
        names = {row["pid"]: row["name"] for row in stage.api.workers()}
    sizes, descriptors = {}, 0
    for pid in _tree(stage):
        with suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            own = next(line for line in rollup.splitlines() if line.startswith("Anonymous:"))
            sizes[names.get(pid, str(pid))] = int(own.split()[1]) << 10
            descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    accounts = stage.control.state()["accounts"].values()
    fills = sum(account["fills"] for account in accounts)
    return Sample(sum(sizes.values()), descriptors, fills, tuple(sizes.items()))


def _fundings(stage: Stage) -> Counter[str]:
    state = stage.control.state()["accounts"]
    return Counter({name: int(state[stage.address(name)]["fundings"]) for name in stage.names})


def _compare(stage: Stage, begun: dict[str, int], paid: Counter[str], outcome: Outcome) -> None:
    """The equality at the end, and each funding payment once."""
    due = Counter(_fundings(stage))
    due.subtract(paid)

    def differences() -> list[str]:
        booked = Counter(line["account"] for line in stage.lines() if line["type"] == "funding")
        wrong = [
            f"funding of {name}: {booked[name]} of {due[name]} booked"
            for name in due
            if booked[name] != due[name]
        ]
        return wrong or sizes_differ(stage) or list(fills_differ(stage, begun))

    try:
        # A machine that is busy elsewhere makes doubts, and the weight of a minute may be spent on those.
        until("all agree", lambda: not differences(), within_s=150)
    except AssertionError:
        outcome.wrong += differences()[:5]
    outcome.fills = sum(stage.made(name) - begun[name] for name in stage.names)
    outcome.fundings = due.total()


def _measure(stage: Stage, outcome: Outcome) -> None:
    files = list((stage.log_dir / "trading").glob("audit-*.jsonl"))
    outcome.audit_files = len(files)
    outcome.audit_bytes = sum(path.stat().st_size for path in files)
    outcome.history_bytes = _history(stage)


def _history(stage: Stage, suffix: str = "") -> int:
    """The bytes of the history, with all that belongs to it, or of one of its files."""
    paths = stage.state_dir.glob(f"{HISTORY_FILE}*{suffix}")
    return sum(path.stat().st_size for path in paths)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--leaps", type=int, default=WEEK_HOURS, help="hours")
    parser.add_argument("--leap-s", type=float, default=6.0, help="how long each takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the result into this report")
    given = parser.parse_args()
    command = f"python -m tests.chaos.soak --leaps {given.leaps} --leap-s {given.leap_s:g}"
    commit = report.commit()
    try:
        found = soak(given.leaps, given.leap_s, seed=given.seed, progress=True)
    except places.Unavailable as why:
        print(f"passed over: {why}", file=sys.stderr)
        return 1
    wrong = list(found.check())
    text = "\n".join(section(found, command, commit))
    print(text)
    if given.write:
        report.put(given.write, "soak", text)
    print("\n".join(wrong) or "all is as it must be", file=sys.stderr)
    return 1 if wrong else 0


def section(found: Outcome, command: str, commit: str) -> Iterator[str]:
    """Its part of the report."""
    yield "## Soak: seven days in a quarter of an hour"
    yield ""
    yield f"`{command}`; {report.machine(commit)}."
    yield ""
    yield ABOUT
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| simulated hours, in real minutes | {found.leaps} in {found.seconds / 60:.1f} |"
    yield f"| fills, funding payments | {found.fills:,}, {found.fundings:,} |"
    if found.settled:
        warm, end = (size / 2**20 for size in found.sizes(len(found.settled)))
        counts = [one.descriptors for one in found.settled]
        yield f"| memory of all processes, warm and at the end | {warm:.1f} MB, {end:.1f} MB |"
        yield f"| growth in the last three days (limit {MAX_GROWTH:.0%}) | {found.growth():+.2%} |"
        yield f"| descriptors, least and most (limit: {MAX_SPREAD} apart) | {min(counts)}, {max(counts)} |"
    yield f"| audit files, by day | {found.audit_files} |"
    yield f"| audit, bytes for each fill | {found.audit_bytes / max(1, found.fills):.0f} |"
    limit = f"limit {HISTORY_BYTES_A_ROW}"
    yield f"| history after the stop, bytes for each fill or payment ({limit}) | {found.history_each():.0f} |"
    limit = f"limit {HISTORY_LOG_BYTES >> 20} MB"
    yield f"| log of the history before the stop ({limit}) | {found.history_log_bytes / 2**20:.1f} MB |"
    yield f"| not as it must be | {'; '.join(found.check()) or 'nothing'} |"


if __name__ == "__main__":
    sys.exit(main())

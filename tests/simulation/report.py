"""The section of docs/reliability.md that tells of lives in virtual time."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos import report
from tests.simulation.life import CONVERGED_S
from tests.simulation.result import Result
from tests.simulation.states import WANTED
from tests.simulation.witness import CALM_LAG_S, LAG_S

A_LIFE = f"""A life is the engine, the journal, its recovery and the stream's publisher in one process
under one seeded scheduler: no thread, no sleep, no clock but the scheduler's. The exchange and the workers
round it are models, and the files are real ones, on a disk that refuses and a machine that loses its power.
For 8 to 30 seconds of its time faults that the seed draws go on; then they end, trading goes on for a while,
and all has to be proven and equal within {CONVERGED_S:g} s, and stay so. After each step of the tracker a
witness holds every size that the snapshot, the stream or an account's summary claims to be proven against
those that the exchange has had: it may be none from before the newest fill that was told, and none from more
than {LAG_S:g} s before the newest statement; once all is calm, none from more than {CALM_LAG_S:g} s ago. In
the end the journal is read back: chained, each fill once, each sum right, and no fill missing."""


def write(path: Path, total: Result, *, command: str, missed: Sequence[str], minutes: float) -> None:
    report.put(path, "simulation", "\n".join(section(total, command, missed, minutes)))


def section(total: Result, command: str, missed: Sequence[str], minutes: float) -> Iterable[str]:
    yield "## Simulation: the engine in virtual time"
    yield ""
    yield f"`{command}`; {report.machine(report.commit())}."
    yield ""
    yield A_LIFE
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| lives | {total.lives:,}, in {minutes:.0f} minutes |"
    yield f"| fills made | {total.fills:,} |"
    yield f"| claims of `proven` that were checked | {total.claims:,} |"
    yield f"| lives that were unsafe | {len(total.unsafe)} |"
    yield f"| lives that were not whole in time | {len(total.late)} |"
    yield f"| the slowest was whole after | {total.slowest_s:.1f} s |"
    yield ""
    yield bound(total)
    yield ""
    if total.wrong:
        yield "What was wrong, by seed:"
        yield ""
        yield from (f"* {seed}: {texts[0]}" for seed, texts in sorted(total.wrong.items())[:20])
        yield ""
    yield "How often each state was met that a fault can lead to, the rarest first:"
    yield ""
    yield "| state | times |"
    yield "|---|---|"
    for state in sorted(WANTED, key=lambda state: total.seen[state]):
        yield f"| {state} | {total.seen[state]:,} |"
    yield ""
    yield f"Never met: {', '.join(missed)}." if missed else "None of them was never met."
    yield ""
    yield "To repeat one life with a trace: `make simulate SEED=N`."


def bound(total: Result) -> str:
    """What so many lives without a failure say of those that were not lived."""
    failed = len(total.wrong)
    if failed:
        return f"{failed} of {total.lives:,} lives failed: nothing is bounded before they are mended."
    return (
        f"0 of {total.lives:,} failed: at 95 % confidence fewer than {3 / total.lives:.1e} of all such lives"
        f" do (3/n), one in {total.lives // 3:,}. That is said of these models of the exchange and of its"
        " faults, and of nothing that they do not hold."
    )

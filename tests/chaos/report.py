"""docs/reliability.md: what was run and what came of it, written by the suites themselves.

Each suite has its section between two marks and leaves those of the others alone. The words around
the figures are here, so that figures and words cannot part.
"""

import json
import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.faults.table import BY_NAME, HEALED_S, NOTICED_S
from tests.chaos.run import GAP_S

Row = dict[str, Any]
HEAD = """# How far the monitor can be trusted

This page is written by the tests. It says what was done to the monitor, how often, and what came of it; each
section names the command that made it, and the same command makes it again on your machine.

Everything here was done against the [simulated exchange](simulator.md) on one machine, over loopback. It
speaks the real exchange's protocol and shows its habits, as far as they are known. What was **not** tested:
the real exchange under load, real networks with their own delays and losses, several machines, failing memory
or disks that answer wrongly (a disk that is full, read-only or loses what was not synced is part of it), and
months of real time.
"""
A_RUN = """A run is a fresh exchange and a fresh monitor with one or two accounts and two feeds of
fills, a flow of 5 to 60 fills a second, and one to four faults of the table below, one after the other or
all at once. In half of the runs the orders are of a million to a million million units: sizes that the
exchange prints, as doubles, not quite as they are. Meanwhile a witness compares, up to ten times a second,
every size that is shown as proven with the sizes that the exchange has had: it may be at most 3 seconds
behind, or as old as a silence that nobody can have noticed yet. In the end the exchange, the book, the
snapshot, the audit and the history must be equal to the last digit and all be proven again, with each fill in
the audit and in the history exactly once, and each payment of funding in the audit exactly once; the audit's
chain must hold; and the monitor must end with status 0 and leave no process, file or descriptor behind. A
`drift` counts as a failure, since in these runs every fill can be fetched. Money is compared to the 15
digits that can be read of a double."""
THE_TIMES = """The times below, in seconds, are of faults that came alone. *Noticed* counts from the
cause to the first doubt on the stream or in the snapshot (for fills that were lost and followed: from the
fill that followed; for one lost in silence: from its loss); *healed* from the end of the cause until
everything is proven and right again. Where nothing had to be noticed, since a second feed or a quick
restart covered it, there is no time. A fault may be noticed by chance of another reason, such as the end
of a feed that a monitor gives up by itself."""
SLOW = f"""Slow: a fault that came alone was noticed after more than {NOTICED_S:g} s or healed after more than
{HEALED_S:g} s (longer for a few that have to take longer), or a gap was open for more than {GAP_S:g} s:"""
TO_REPEAT = """To repeat one run: `python -m tests.chaos --seed N`. One fault in each of many runs:
`python -m tests.chaos --runs 50 --only 'kill tracker'`. All of it: `make chaos`."""
# A batch of so many runs is the long form: what it never does is no part of what it says.
LONG_RUNS = 500
SECTIONS = ("chaos", "simulation", "flow", "soak")


def put(path: Path, section: str, text: str) -> None:
    """Replace one section; the others stay as they are."""
    old = path.read_text() if path.exists() else ""
    kept = {name: _between(old, name) for name in SECTIONS}
    kept[section] = text.strip()
    parts = [f"<!-- {name} -->\n{kept[name]}\n<!-- end of {name} -->" for name in SECTIONS if kept[name]]
    path.write_text("\n\n".join([HEAD.strip(), *parts]) + "\n")


def _between(text: str, name: str) -> str:
    _, begin, rest = text.partition(f"<!-- {name} -->\n")
    inner, end, _ = rest.partition(f"\n<!-- end of {name} -->")
    return inner if begin and end else ""


def commit() -> str:
    """What of the product this is; "unknown" outside a checkout."""
    folder = Path(__file__).parent
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"


def machine(*commits: str) -> str:
    """What was run, when and where."""
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return (
        f"commit {' and '.join(commits)}, {datetime.now(UTC):%d %B %Y}, Python {platform.python_version()},"
        f" {system}, {os.cpu_count()} processors"
    )


def read(path: Path) -> list[Row]:
    """The results of all runs in a file, the last one of each seed."""
    rows = {row["seed"]: row for row in map(json.loads, path.read_text().splitlines())}
    return list(rows.values())


def spans(seeds: Iterable[int]) -> str:
    """Seeds in words: "1 to 500 and 801 to 900"."""
    found: list[list[int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1][1] = seed
        else:
            found.append([seed, seed])
    return " and ".join(f"{first} to {last}" if first < last else f"{first}" for first, last in found)


def never_done(rows: Sequence[Row]) -> list[str]:
    """The faults that a long batch did not do once, but for those that this machine cannot do."""
    if len(rows) < LONG_RUNS:
        return []
    done = {fault["name"] for row in rows for fault in row["faults"]}
    passed_over = {reason.partition(":")[0] for row in rows for reason in row["skipped"]}
    return [name for name, fault in BY_NAME.items() if name not in done and fault.needs not in passed_over]


def write_chaos(path: Path, rows: Sequence[Row], *, command: str, missed: Sequence[str] = ()) -> None:
    put(path, "chaos", "\n".join(chaos(rows, command, missed)))


def chaos(rows: Sequence[Row], command: str, missed: Sequence[str]) -> Iterable[str]:
    """The section of the chaos runs; `command` says how, `missed` names what they ought to have done."""
    failed = [row for row in rows if not row["ok"]]
    faults = [fault for row in rows for fault in row["faults"]]
    slow = [row for row in rows if row.get("slow")]
    kinds = Counter(_kind_of(words) for row in rows for words in row["unequal"])
    kinds["wrong"] += sum(len(row["wrong"]) for row in rows)
    unsaid = sum(len(row.get("unsaid", [])) for row in rows)
    gaps = [gap for row in rows for gap in row["gaps_s"]]
    settled = [row["settle_s"] for row in rows if row["settle_s"]]
    yield "## Chaos: the whole service under faults that a seed draws"
    yield ""
    yield f"{command}; {machine(*sorted({row.get('commit', 'unknown') for row in rows}))}."
    yield ""
    yield A_RUN
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| runs | {len(rows)} |"
    yield f"| faults | {len(faults)} of {len({fault['name'] for fault in faults})} kinds |"
    yield f"| fills made | {sum(row['fills'] for row in rows):,} |"
    yield f"| funding payments made | {sum(row.get('fundings', 0) for row in rows):,} |"
    yield f"| claims of `proven` that were checked | {sum(row['claims'] for row in rows):,} |"
    yield f"| wrong positions | {kinds['wrong']} |"
    yield f"| fills lost | {kinds['lost']} |"
    yield f"| fills doubled | {kinds['doubled']} |"
    yield f"| accounts with a payment of funding lost or doubled | {kinds['funding']} |"
    yield f"| other differences at the end of a run | {kinds['other']} |"
    yield f"| holdings that are not watched, and were not said in time | {unsaid} |"
    yield f"| false drifts | {sum(row['drifts'] for row in rows)} |"
    yield f"| processes replaced | {sum(row['restarts'] for row in rows):,} |"
    yield f"| runs that left something behind | {sum(bool(row['left']) for row in rows)} |"
    yield f"| failed runs | {len(failed)} |"
    yield f"| slow runs, which is no failure | {len(slow)} |"
    yield f"| from a gap to `healed`, by the stream: p50, p99, longest | {_spread(gaps)} ({len(gaps)} gaps) |"
    yield f"| from the end of trading to the equality: p50, p99, longest | {_spread(settled)} |"
    yield ""
    yield from _failures(failed)
    if slow:
        yield SLOW
        yield ""
        yield from (f"* seed {row['seed']}: {'; '.join(row['slow'])}" for row in slow)
        yield ""
    if missed:
        yield f"**Not done once, which so long a batch has to: {', '.join(missed)}.**"
        yield ""
    yield THE_TIMES
    yield ""
    yield "| fault | times | noticed: of those alone | p50 | p99 | longest | healed p50 | p99 | longest |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield from _table(faults)
    skipped = sorted({reason for row in rows for reason in row["skipped"]})
    if skipped:
        yield ""
        yield "Passed over on this machine: " + "; ".join(skipped) + "."
    yield ""
    yield TO_REPEAT


def _failures(failed: Sequence[Row]) -> Iterable[str]:
    if not failed:
        return
    yield "The runs that failed:"
    yield ""
    for row in failed:
        found = (each for name in ("wrong", "unequal", "unsaid", "left") for each in row.get(name, []))
        why = [*found, *row["error"].strip().splitlines()[-1:]]
        yield f"* {row['plan']}: {why[0] if why else 'drift'}"
    yield ""


def _table(faults: Sequence[Row]) -> Iterable[str]:
    group = ""
    for known in BY_NAME.values():
        of_kind = [fault for fault in faults if fault["name"] == known.name]
        if known.group != group:
            group = known.group
            yield f"| **{group}** | | | | | | | | |"
        alone = [fault for fault in of_kind if "notice_s" in fault]
        noticed = [fault["notice_s"] for fault in alone if fault["notice_s"] is not None]
        healed = [fault["heal_s"] for fault in alone if "heal_s" in fault]
        cells = [*_cells(noticed), *_cells(healed)]
        yield f"| {known.name} | {len(of_kind)} | {len(noticed)} of {len(alone)} | {' | '.join(cells)} |"


def _cells(values: Sequence[float]) -> list[str]:
    if not values:
        return ["", "", ""]
    return [f"{quantile(values, share):.2f}" for share in (0.5, 0.99, 1.0)]


def _spread(values: Sequence[float]) -> str:
    return ", ".join(f"{quantile(values, share):.2f} s" for share in (0.5, 0.99, 1.0)) if values else "none"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _kind_of(words: str) -> str:
    """Wrong, lost, doubled, funding or other, of one finding at the end of a run."""
    if "payments of funding" in words:
        return "funding"
    if "are not in the" in words:
        return "lost"
    if "too many in the" in words:
        return "doubled"
    return "wrong" if "sizes {" in words or ": exchange " in words else "other"

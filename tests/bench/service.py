"""The whole service beside a relay that proves nothing: `python -m tests.bench.service`.

One exchange, one service and one client at a time, each a process (or a tree of them) of its own. Rounds of
all who are measured are interleaved, since a machine's speed drifts; medians of the rounds are shown, and
ratios are of medians. `--checkout DIR` measures the code of another working copy.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import processes
from tests.bench.contestants import NAMES, Contestants, contestants
from tests.bench.scenarios import SCENARIOS, Figures, Plan, medians
from tests.bench.services import HERE

CACHE = Path.home() / ".cache/hlposmon-bench"


@dataclass(slots=True)
class Results:
    """Scenario -> who -> a row of figures for each round; what went wrong, in words; and of what."""

    figures: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)


def measure(names: list[str], plan: Plan, who: Contestants) -> Results:
    """All scenarios, round by round."""
    results = Results(about=_about(plan, who))
    for name in names:
        scenario = SCENARIOS[name]
        rows: dict[str, list[Figures]] = {one: [] for one in who.start if one in scenario.of}
        for number in range(plan.rounds):
            for one in list(rows):
                try:
                    rows[one].append(scenario.measure(who.start[one], plan))
                except (AssertionError, OSError, ValueError) as error:
                    results.failures.append(f"{name}, {one}, round {number + 1}: {error}")
                    print(results.failures[-1], file=sys.stderr, flush=True)
                else:
                    said = ", ".join(f"{figure} {value:.4g}" for figure, value in rows[one][-1].items())
                    print(f"{name} {one} round {number + 1}: {said}", file=sys.stderr, flush=True)
        results.figures[name] = {one: figures for one, figures in rows.items() if figures}
        show(name, results.figures[name])
    return results


def show(name: str, rows: dict[str, list[Figures]]) -> None:
    """Medians, and the monitor's ratio to the relay where it has the same figure."""
    of = {one: medians(figures) for one, figures in rows.items()}
    print(f"\n{name}: {SCENARIOS[name].title}")
    print(f"  {'':<24}" + "".join(f"{one:>12}" for one in of) + f"{'ratio':>9}")
    for figure in dict.fromkeys(figure for figures in of.values() for figure in figures):
        cells = "".join(f"{of[one][figure]:>12.4g}" if figure in of[one] else f"{'':>12}" for one in of)
        base, ours = of.get("relay", {}).get(figure), of.get("hlposmon", {}).get(figure)
        ratio = f"{ours / base:>9.2f}" if base and ours is not None else ""
        print(f"  {figure:<24}{cells}{ratio}", flush=True)


def _about(plan: Plan, who: Contestants) -> dict[str, Any]:
    return {
        "commit": processes.commit(plan.checkout),
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": processes.machine(),
        "rounds": plan.rounds,
        "fills": plan.fills,
        "idle_s": plan.idle_s,
        "versions": who.versions,
        "skipped": who.skipped,
    }


def arguments(prog: str, description: str | None, among: tuple[str, ...]) -> argparse.ArgumentParser:
    """The options; `among` are measured where nothing else is said."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("scenario", nargs="*", help=f"all, or of: {' '.join(SCENARIOS)}")
    parser.add_argument("--checkout", type=Path, default=HERE, help="whose hlposmon is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fills", type=int, default=500, help="of each paced run")
    parser.add_argument("--quick", action="store_true", help="one round, fewer fills")
    parser.add_argument("--among", default=",".join(among), help=f"of: {','.join(NAMES)}")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the others' venvs are made")
    parser.add_argument("--nautilus", metavar="COMMAND", help="runs a Python that has nautilus_trader")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    return parser


def run(parser: argparse.ArgumentParser) -> tuple[Results, argparse.Namespace]:
    """Measure what the command line asks for."""
    given = parser.parse_args()
    if unknown := set(given.scenario) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if unknown := set(given.among.split(",")) - set(NAMES):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}")
    checkout = given.checkout.resolve()
    plan = Plan(checkout, given.rounds, given.fills, 20.0)
    if given.quick:
        plan = Plan(checkout, rounds=1, fills=300, idle_s=10.0)
    print(f"{checkout} at {processes.commit(checkout)}; {processes.machine()['processors']}")
    who = contestants(given.among.split(","), checkout, given.cache, given.nautilus)
    results = measure(given.scenario or list(SCENARIOS), plan, who)
    if given.json is not None:
        given.json.write_text(as_json(results))
    return results, given


def as_json(results: Results) -> str:
    whole = {"about": results.about, "failures": results.failures, "figures": results.figures}
    return json.dumps(whole, indent=1) + "\n"


def main() -> None:
    results, _ = run(arguments("python -m tests.bench.service", __doc__, ("relay", "hlposmon")))
    sys.exit(bool(results.failures))


if __name__ == "__main__":
    main()

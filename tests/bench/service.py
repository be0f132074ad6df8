"""The whole service beside a relay that proves nothing: `python -m tests.bench.service`.

One exchange, one service and one client at a time, each a process (or a tree of them) of its own. A fill is
timed from just before the exchange sends it until a client of the Unix socket has the message in hand. Rounds
of the relay and of the monitor are interleaved, since a machine's speed drifts; medians of the rounds are
shown, and ratios are of medians. `--checkout DIR` measures the code of another working copy.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes
from tests.bench.exchange import Exchange, Script
from tests.bench.listener import Listener
from tests.bench.monitor import HERE, Monitor, Relay, Service, addresses

Figures = dict[str, float]
PEERS = ("relay", "hlposmon")
BURST = 1000
PACE_S = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `fills` of each paced run, `idle_s` of each run in which only prices move."""

    checkout: Path
    rounds: int
    fills: int
    idle_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """One service on one exchange with one client, all up."""

    exchange: Exchange
    service: Service
    listener: Listener
    start_s: float


def make(peer: str, exchange: Exchange, plan: Plan) -> Service:
    return Relay(exchange) if peer == "relay" else Monitor(exchange, plan.checkout)


@contextmanager
def running(peer: str, plan: Plan, *, positions: int = 1, coins: int = 1) -> Iterator[Run]:
    """Everything up, the first hundred fills made, and nothing in flight."""
    with (
        Exchange(Script(addresses(1), positions, coins)) as exchange,
        make(peer, exchange, plan) as service,
    ):
        start_s = service.wait()
        with Listener(service.socket) as listener:
            exchange.fills(100, 0.005)
            listener.fills(100)
            yield Run(exchange, service, listener, start_s)


def quantile(values: list[float], part: float) -> float:
    """The smallest value that at least this part of them does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def timed(run: Run, count: int, interval_s: float) -> tuple[list[float], dict[int, int], dict[int, int]]:
    """Microseconds of each fill from the exchange to the client; both tables of times (ns)."""
    sent = run.exchange.fills(count, interval_s)
    heard = run.listener.fills(count)
    assert list(heard) == list(sent), "the fills did not come in the order in which they were made"
    return [(heard[tid] - sent[tid]) / 1000 for tid in sent], sent, heard


def paced(run: Run, plan: Plan) -> Figures:
    """Fills one at a time, and what they cost the processors."""
    before = run.service.cpu()
    late, *_ = timed(run, plan.fills, PACE_S)
    spent = processes.spent(before, run.service.cpu())
    found = {"p50 us": statistics.median(late), "p99 us": quantile(late, 0.99), "max us": max(late)}
    return (
        found
        | {"cpu s per 1000": spent.total * 1000 / plan.fills}
        | _shares(run, spent.by_pid, 1000 / plan.fills)
    )


def _shares(run: Run, by_pid: dict[int, float], scale: float) -> Figures:
    return {f"cpu {name}": used * scale for name, used in run.service.by_name(by_pid).items()}


# ---------------------------------------------------------------------- scenarios


def idle(peer: str, plan: Plan) -> Figures:
    """A fill each 20 ms, one position, prices that stand still."""
    with running(peer, plan) as run:
        return paced(run, plan) | {"start s": run.start_s}


def prices_1hz(peer: str, plan: Plan) -> Figures:
    """The same with 100 positions, and 500 coins that all move once a second."""
    return _with_prices(peer, plan, 1.0)


def prices_10hz(peer: str, plan: Plan) -> Figures:
    """The same with 5000 changes of price a second."""
    return _with_prices(peer, plan, 10.0)


def _with_prices(peer: str, plan: Plan, hz: float) -> Figures:
    with running(peer, plan, positions=100, coins=500) as run:
        run.exchange.prices(hz)
        return paced(run, plan)


def burst(peer: str, plan: Plan) -> Figures:
    """1000 fills, a message each, as fast as the exchange can send them: until the client has the last."""
    with running(peer, plan) as run:
        lasts, sends, costs, shares = [], [], [], []
        for _ in range(3):
            before = run.service.cpu()
            _, sent, heard = timed(run, BURST, 0.0)
            began_ns = min(sent.values())
            lasts.append((max(heard.values()) - began_ns) / 1e6)
            sends.append((max(sent.values()) - began_ns) / 1e6)
            _settle(run.service)
            spent = processes.spent(before, run.service.cpu())
            costs.append(spent.total * 1000 / BURST)
            shares.append(_shares(run, spent.by_pid, 1000 / BURST))
        found = {
            "last ms": statistics.median(lasts),
            "sent ms": statistics.median(sends),
            "cpu s per 1000": statistics.median(costs),
        }
        return found | {name: statistics.median(row.get(name, 0.0) for row in shares) for name in shares[0]}


def _settle(service: Service) -> None:
    """Until a tenth of a second costs next to nothing: what is done behind a burst counts too."""
    for _ in range(100):
        before = sum(service.cpu().values())
        time.sleep(0.1)
        if sum(service.cpu().values()) - before < 0.015:
            return


def hour(peer: str, plan: Plan) -> Figures:
    """Ten positions, 500 coins once a second, no fills: processor seconds an hour."""
    return _hour(peer, plan, 10)


def hour_100(peer: str, plan: Plan) -> Figures:
    """The same with 100 positions."""
    return _hour(peer, plan, 100)


def _hour(peer: str, plan: Plan, positions: int) -> Figures:
    with running(peer, plan, positions=positions, coins=500) as run:
        run.exchange.prices(1.0)
        time.sleep(2)  # the first prices are all prices
        run.listener.fills(0)
        said, before, began_s = run.listener.messages, run.service.cpu(), time.monotonic()
        time.sleep(plan.idle_s)
        took_s, spent = time.monotonic() - began_s, processes.spent(before, run.service.cpu())
        run.listener.fills(0)
        found = {"cpu s per hour": spent.total * 3600 / took_s} | _shares(run, spent.by_pid, 3600 / took_s)
        return found | {"messages per s": (run.listener.messages - said) / took_s}


def memory(positions: int) -> Callable[[str, Plan], Figures]:
    def measure(peer: str, plan: Plan) -> Figures:
        with running(peer, plan, positions=positions, coins=500) as run:
            run.exchange.prices(1.0)
            run.exchange.fills(200, 0.005)
            run.listener.fills(200)
            time.sleep(3)
            pss = processes.pss_of(run.service.pid)
            shares = {f"pss {name}": size for name, size in run.service.by_name(pss).items()}
            return {"pss MiB": sum(pss.values())} | shares

    measure.__doc__ = f"Memory (PSS) with {positions} position{'s' if positions != 1 else ''}."
    return measure


SCENARIOS: dict[str, Callable[[str, Plan], Figures]] = {
    "idle": idle,
    "prices-1hz": prices_1hz,
    "prices-10hz": prices_10hz,
    "burst": burst,
    "hour": hour,
    "hour-100": hour_100,
    "memory-1": memory(1),
    "memory-100": memory(100),
    "memory-1000": memory(1000),
}


# ------------------------------------------------------------------------- results


def measure(names: list[str], plan: Plan) -> dict[str, dict[str, list[Figures]]]:
    """Scenario -> peer -> a row of figures for each round."""
    found: dict[str, dict[str, list[Figures]]] = {}
    for name in names:
        rows: dict[str, list[Figures]] = {peer: [] for peer in PEERS}
        for number in range(plan.rounds):
            for peer in PEERS:
                rows[peer].append(SCENARIOS[name](peer, plan))
                print(
                    f"{name} {peer} round {number + 1}: {_brief(rows[peer][-1])}", file=sys.stderr, flush=True
                )
        found[name] = rows
        show(name, rows)
    return found


def _brief(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def medians(rows: list[Figures]) -> Figures:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: statistics.median(row.get(name, 0.0) for row in rows) for name in names}


def show(name: str, rows: dict[str, list[Figures]]) -> None:
    """Medians, and the ratio to the relay where it has the same figure."""
    of = {peer: medians(figures) for peer, figures in rows.items()}
    print(f"\n{name}: {SCENARIOS[name].__doc__}")
    print(f"  {'':<24}" + "".join(f"{peer:>12}" for peer in of) + f"{'ratio':>9}")
    for figure in dict.fromkeys(figure for figures in of.values() for figure in figures):
        cells = "".join(f"{of[peer][figure]:>12.4g}" if figure in of[peer] else f"{'':>12}" for peer in of)
        base, ours = of["relay"].get(figure), of["hlposmon"].get(figure)
        ratio = f"{ours / base:>9.2f}" if base and ours is not None else ""
        print(f"  {figure:<24}{cells}{ratio}", flush=True)


def commit(checkout: Path) -> str:
    """What is measured: the last commit, and whether the working copy differs from it."""
    said = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "?"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.service", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"all, or of: {' '.join(SCENARIOS)}")
    parser.add_argument("--checkout", type=Path, default=HERE, help="whose hlposmon is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, fewer fills")
    parser.add_argument("--json", type=Path, help="write the raw figures there")
    given = parser.parse_args()
    if unknown := set(given.scenario) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    checkout = given.checkout.resolve()
    plan = (
        Plan(checkout, rounds=1, fills=300, idle_s=10.0)
        if given.quick
        else Plan(checkout, rounds=given.rounds, fills=1000, idle_s=20.0)
    )
    print(f"{checkout} at {commit(checkout)}; {processes.machine()['processors']}")
    found = measure(given.scenario or list(SCENARIOS), plan)
    if given.json is not None:
        given.json.write_text(json.dumps({"commit": commit(checkout), "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

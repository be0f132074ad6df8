"""What is measured, one function for each: a service is started, used, looked at and ended.

A fill is timed from just before the exchange sends it until a client of the Unix socket has it in hand. Of a
program that has only a callback it is also said when that had it.
"""

import json
import math
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes
from tests.bench.contestants import NAMES, Start
from tests.bench.crowded import Crowd
from tests.bench.exchange import Exchange, Script
from tests.bench.listener import Listener
from tests.bench.services import HERE, Service, addresses, interpreter

Figures = dict[str, float]
BURST = 1000
PACE_S = 0.02
# A thousand clients are told each fill one after another: a slower pace, so that no fill waits for another.
CROWD_PACE_S = 0.2
WITH_SOCKET = ("relay", "hlposmon")
COINS = 500


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
    ears: Listener
    start_s: float
    plan: Plan


Measure = Callable[[Start, Plan], Figures]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`of`: whose figures it has."""

    title: str
    measure: Measure
    of: tuple[str, ...] = NAMES


@contextmanager
def running(
    start: Start, plan: Plan, *, positions: int = 1, coins: int = 1, clients: int = 1
) -> Iterator[Run]:
    """Everything up, the first hundred fills made, and nothing in flight."""
    with ExitStack() as opened:
        exchange = opened.enter_context(Exchange(Script(addresses(1), positions, coins)))
        service = opened.enter_context(start(exchange))
        start_s = service.wait()
        if clients > 1:
            crowd = opened.enter_context(Crowd(service.socket, clients - 1))
        ears = opened.enter_context(Listener(service.socket))
        exchange.fills(100, 0.005)
        ears.fills(100)
        yield Run(exchange, service, ears, start_s, plan)
    assert clients == 1 or not crowd.closed, f"{crowd.closed} of {clients} clients were closed"


def quantile(values: list[float], part: float) -> float:
    """The smallest value that at least this part of them does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def timed(run: Run, count: int, interval_s: float) -> tuple[list[float], dict[int, int], dict[int, int]]:
    """Microseconds of each fill from the exchange to the client; both tables of times (ns)."""
    sent = run.exchange.fills(count, interval_s)
    heard = run.ears.fills(count)
    assert list(heard) == list(sent), "the fills did not come in the order in which they were made"
    return [(heard[tid] - sent[tid]) / 1000 for tid in sent], sent, heard


def paced(run: Run, count: int, interval_s: float = PACE_S) -> Figures:
    """Fills one at a time, and what they cost the processors."""
    run.service.in_callback()
    before = run.service.cpu()
    late, sent, _ = timed(run, count, interval_s)
    spent = processes.spent(before, run.service.cpu())
    found = {"p50 us": statistics.median(late), "p99 us": quantile(late, 0.99), "max us": max(late)}
    if called := [(at - sent[tid]) / 1000 for tid, at in run.service.in_callback().items()]:
        found |= {"callback p50 us": statistics.median(called), "callback p99 us": quantile(called, 0.99)}
    return found | {"cpu s per 1000": sum(spent.values()) * 1000 / count} | _shares(run, spent, 1000 / count)


def _shares(run: Run, by_pid: dict[int, float], scale: float) -> Figures:
    return {f"cpu {name}": used * scale for name, used in run.service.by_name(by_pid).items()}


def fills(positions: int, hz: float) -> Measure:
    """A fill each 20 ms while COINS coins (or as many as are held) all move `hz` times a second."""

    def measure(start: Start, plan: Plan) -> Figures:
        with running(start, plan, positions=positions, coins=COINS if hz else 1) as run:
            if hz:
                run.exchange.prices(hz)
            return paced(run, plan.fills) | {"start s": run.start_s}

    return measure


def burst(start: Start, plan: Plan) -> Figures:
    """1000 fills, a message each, as fast as the exchange can send them: until the client has the last."""
    with running(start, plan) as run:
        rows = []
        for _ in range(3):
            before = run.service.cpu()
            _, sent, heard = timed(run, BURST, 0.0)
            began_ns = min(sent.values())
            _settle(run.service)
            spent = processes.spent(before, run.service.cpu())
            figures = {
                "last ms": (max(heard.values()) - began_ns) / 1e6,
                "sent ms": (max(sent.values()) - began_ns) / 1e6,
                "cpu s per 1000": sum(spent.values()) * 1000 / BURST,
            }
            rows.append(figures | _shares(run, spent, 1000 / BURST))
        return medians(rows)


def _settle(service: Service) -> None:
    """Until a tenth of a second costs next to nothing: what is done behind a burst counts too."""
    for _ in range(100):
        before = sum(service.cpu().values())
        time.sleep(0.1)
        if sum(service.cpu().values()) - before < 0.015:
            return


def hour(positions: int) -> Measure:
    """No fills, COINS coins once a second: what that costs in an hour."""

    def measure(start: Start, plan: Plan) -> Figures:
        with running(start, plan, positions=positions, coins=COINS) as run:
            run.exchange.prices(1.0)
            time.sleep(2)  # the first prices are all prices
            run.ears.fills(0)
            told, before, began_s = run.ears.messages, run.service.cpu(), time.monotonic()
            time.sleep(plan.idle_s)
            took_s, spent = time.monotonic() - began_s, processes.spent(before, run.service.cpu())
            run.ears.fills(0)
            found = {"cpu s per hour": sum(spent.values()) * 3600 / took_s} | _shares(
                run, spent, 3600 / took_s
            )
            return found | {"messages per s": (run.ears.messages - told) / took_s}

    return measure


def memory(positions: int) -> Measure:
    """PSS once prices move and 300 fills were made."""

    def measure(start: Start, plan: Plan) -> Figures:
        with running(start, plan, positions=positions, coins=COINS) as run:
            run.exchange.prices(1.0)
            run.exchange.fills(200, 0.005)
            run.ears.fills(200)
            time.sleep(3)
            pss = processes.pss_of(run.service.pid)
            shares = {f"pss {name}": size for name, size in run.service.by_name(pss).items()}
            return {"pss MiB": sum(pss.values())} | shares

    return measure


def clients(count: int) -> Measure:
    """What the one that connected last hears, and what all of them cost; nobody may be cut off."""

    def measure(start: Start, plan: Plan) -> Figures:
        with running(start, plan, clients=count) as run:
            return paced(run, plan.fills // 5, CROWD_PACE_S)

    return measure


def snapshot(start: Start, plan: Plan) -> Figures:
    """A program reads shared memory while 100 positions are held, prices move and fills come."""
    with running(start, plan, positions=100, coins=COINS) as run:
        run.exchange.prices(1.0)
        command = [str(interpreter(plan.checkout)), "-m", "tests.bench.reader"]
        reader = subprocess.Popen(
            [*command, str(run.service.folder / "snapshot"), "hyperliquid:Perp:BTC"],
            env={"PYTHONPATH": f"{plan.checkout}:{HERE}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert reader.stdin is not None and reader.stdout is not None, "both are pipes"
        assert reader.stdout.readline() == "ready\n", "the reader is up"
        count = plan.fills // 100 * 100
        sent = run.exchange.fills(count, PACE_S)
        run.ears.fills(count)
        time.sleep(0.5)
        said, _ = reader.communicate("stop\n", timeout=30)
        found = json.loads(said)
        of_it = list(sent.values())[::100]  # each hundredth fill is of the position that is looked at
        assert len(found["changes"]) == len(of_it), "each fill of the position was seen in shared memory"
        late = [(seen - made) / 1000 for made, seen in zip(of_it, found["changes"], strict=True)]
        return {
            "fill to snapshot p50 us": statistics.median(late),
            "read one p50 us": statistics.median(found["looks_us"]),
            "read one p99 us": quantile(found["looks_us"], 0.99),
            "read all 100 p50 us": statistics.median(found["alls_us"]),
            "read all 100 p99 us": quantile(found["alls_us"], 0.99),
        }


def starting(start: Start, plan: Plan) -> Figures:
    """From the start of the first process until a client may connect; the monitor has proven all by then."""
    found = {}
    for positions in (1, 100, 1000):
        with Exchange(Script(addresses(1), positions, COINS)) as exchange, start(exchange) as service:
            found[f"{positions} position{'s' if positions > 1 else ''} s"] = service.wait()
    return found


def many(_start: Start, plan: Plan) -> Figures:
    """The tracker's own work with 300 accounts of 50 positions, in one process and without a service."""

    def measured(accounts: int, positions: int) -> Figures:
        command = [str(interpreter(plan.checkout)), "-m", "tests.bench.many"]
        made = subprocess.run(
            [*command, "--accounts", str(accounts), "--positions", str(positions)],
            cwd=HERE,
            env={"PYTHONPATH": f"{plan.checkout}:{HERE}"},
            stdout=subprocess.PIPE,
            check=False,
        )
        assert made.returncode == 0, f"tests.bench.many ended with {made.returncode}"
        found: Figures = json.loads(made.stdout)
        return found

    of_one, of_many = measured(1, 1), measured(300, 50)
    ticks_and_prices_ms = 4 * of_many["idle tick ms"] + of_many["prices ms"]
    return {
        **of_many,
        "fill, times that of one position": of_many["fill ms"] / of_one["fill ms"],
        "percent of a core, prices at 1 Hz": ticks_and_prices_ms / 10,
    }


def medians(rows: list[Figures]) -> Figures:
    """Of the rounds; what a round has not counts as nothing in it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: statistics.median(row.get(name, 0.0) for row in rows) for name in names}


_MOVES = {
    0: "prices that stand still",
    1: "500 coins that move once a second",
    10: "5000 price changes a second",
}


def _fills(positions: int, hz: int, of: tuple[str, ...] = NAMES) -> Scenario:
    held = f"{positions} position{'s' if positions > 1 else ''}"
    return Scenario(f"a fill each 20 ms, {held}, {_MOVES[hz]}", fills(positions, hz), of)


SCENARIOS: dict[str, Scenario] = {
    "idle": _fills(1, 0),
    "prices-1hz": _fills(100, 1),
    "prices-10hz": _fills(100, 10),
    "burst": Scenario("1000 fills at once, a message each", burst),
    "hour": Scenario("no fills, ten positions, 500 coins that move once a second", hour(10)),
    "hour-100": Scenario("the same with 100 positions", hour(100)),
    "memory-1": Scenario("memory with one position", memory(1)),
    "memory-100": Scenario("memory with 100 positions", memory(100)),
    "memory-1000": Scenario("memory with 1000 positions", memory(1000)),
    "one-1hz": _fills(1, 1, WITH_SOCKET),
    "one-10hz": _fills(1, 10, WITH_SOCKET),
    "hundred": _fills(100, 0, WITH_SOCKET),
    "thousand": _fills(1000, 0, WITH_SOCKET),
    "thousand-1hz": Scenario(
        "a fill each 20 ms, 1000 positions that all move once a second", fills(1000, 1), WITH_SOCKET
    ),
    "clients-100": Scenario("a fill each 200 ms, 100 clients of the stream", clients(100), WITH_SOCKET),
    "clients-1000": Scenario("a fill each 200 ms, 1000 clients of the stream", clients(1000), WITH_SOCKET),
    "snapshot": Scenario("shared memory read under load, 100 positions", snapshot, ("hlposmon",)),
    "many": Scenario("300 accounts of 50 positions, the tracker alone", many, ("hlposmon",)),
    "start": Scenario("start until proven", starting),
}

"""A simulated exchange and a monitor as real processes, and what tests ask of them.

The exchange stands alone (`hlposmon simulate`), so that it outlives what is done to the monitor. What it
says of the truth is exact; what it prints for the monitor are doubles. Sizes are compared exactly, money as a
reader of the print has it.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from hlposmon.client.api import Api
from hlposmon.client.history import FillRow, History
from hlposmon.client.snapshot import Snapshot
from hlposmon.errors import HlposmonError
from hlposmon.journal.lines import open_line
from hlposmon.simulator.client import Control

T = TypeVar("T")
COMMAND = [sys.executable, "-m", "hlposmon"]
# The digits of a double that are sure to be those of the number.
READABLE = Context(prec=15)


def until(what: str, ask: Callable[[], T], *, within_s: float = 60.0) -> T:
    """The first true answer; AssertionError with the last one when none comes in time."""
    deadline = time.monotonic() + within_s
    answer: T | None = None
    while time.monotonic() < deadline:
        with contextlib.suppress(HlposmonError):
            answer = ask()
            if answer:
                return answer
        time.sleep(0.05)  # between two looks at a condition
    raise AssertionError(f"not within {within_s:g} s: {what}; last answer: {answer!r}")


def as_read(exact: str) -> Decimal:
    """What a careful reader has of an amount that is printed as a double with ten decimals."""
    return READABLE.create_decimal(f"{float(exact):.10f}")


def is_perp(key: str) -> bool:
    """Whether a key is a perpetual's: a token may have the same name."""
    return key.split(":", 2)[1] == "Perp"


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


class World:
    """One exchange, one monitor, one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Whether its places come from its config alone, as those of a service do.
        self.placed_by_config = False
        self.socket = folder / "m.sock"
        self.state_dir, self.log_dir = folder / "state", folder / "log"
        self.api = Api(self.socket, timeout_s=10.0)
        self.exchange: subprocess.Popen[str] | None = None
        self.monitor: subprocess.Popen[bytes] | None = None
        self.control: Control
        self.accounts: list[str] = []
        self.urls: list[str] = []

    # ------------------------------------------------------------ processes

    def open_exchange(self, *args: str) -> None:
        self.exchange = subprocess.Popen(
            [*COMMAND, "simulate", *args], stdout=subprocess.PIPE, text=True, env=self.environ()
        )
        assert self.exchange.stdout is not None
        said = json.loads(self.exchange.stdout.readline())
        self.accounts = said["accounts"]
        self.urls = ["--api-url", said["api_url"], "--ws-url", said["ws_url"]]
        self.control = Control(said["api_url"])

    def flatten(self) -> None:
        """Close every position, so that what comes is made of fills alone."""
        for address, account in self.control.state()["accounts"].items():
            for coin, held in account["positions"].items():
                if Decimal(held["szi"]):
                    self.control.settle(address, coin)

    def start(self, *args: str, config: str = "", wait: bool = True) -> None:
        """Start the monitor on the exchange's first account, or on what `args` name."""
        given = list(args) or ["--address", f"main={self.accounts[0]}", *self.urls]
        if config:
            path = self.folder / "hlposmon.toml"
            path.write_text(config)
            given += ["--config", str(path)]
        self.monitor = subprocess.Popen(
            [*COMMAND, "run", "--plain", *self.places(), *given],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "monitor.log").open("ab"),
            env=self.environ(),
        )
        if wait:
            self.ready()

    def places(self) -> list[str]:
        if self.placed_by_config:
            return []
        return [
            "--socket", str(self.socket), "--state-dir", str(self.state_dir), "--log-dir", str(self.log_dir)
        ]  # fmt: skip

    def run(self, *args: str, timeout_s: float = 20.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *args], capture_output=True, text=True, env=self.environ(), timeout=timeout_s
        )

    def environ(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME", "LANG") or name.startswith("COVERAGE")
        }
        named = {} if self.placed_by_config else {"HLPOSMON_SOCKET": str(self.socket)}
        return kept | named | {"XDG_STATE_HOME": str(self.folder / "xdg")}

    def ready(self, *, within_s: float = 60.0) -> dict[str, Any]:
        return until("the monitor is ready", self._if_ready, within_s=within_s)

    def _if_ready(self) -> dict[str, Any] | None:
        assert self.monitor is None or self.monitor.poll() is None, f"the monitor ended:\n{self.log()}"
        health = self.api.health()
        return health if health["ready"] else None

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.monitor is not None
        self.monitor.send_signal(how)
        return self.monitor.wait(timeout=30)

    def pids(self, kind: str) -> list[int]:
        """The processes of one kind that run now."""
        return [
            row["pid"]
            for row in self.api.workers()
            if row["kind"] == kind and row["pid"] and row["state"] == "up"
        ]

    def restarts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in self.api.workers():
            counts[row["kind"]] += row["restarts"]
        return counts

    def log(self) -> str:
        path = self.folder / "monitor.log"
        return path.read_text()[-6000:] if path.exists() else ""

    def close(self) -> None:
        for process in (self.monitor, self.exchange):
            if process is not None:
                if process.poll() is None:
                    process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    def unexplained(self) -> list[str]:
        """The accounts of which money is called unexplained; it may not be known yet."""
        accounts = self.api.summary()["accounts"]
        rests = {name: account["unexplained"] for name, account in accounts.items()}
        return [
            f"{name}: {rest} USD unexplained" for name, rest in rests.items() if rest not in (None, "0.00")
        ]

    # ------------------------------------------------------------ the truth

    def address(self, account: str | None) -> str:
        """The address of a watched account; the first one's when none is named."""
        return self.accounts[0]

    def positions(self, account: str | None = None) -> dict[str, dict[str, Any]]:
        """The exchange's open positions of one account in what is watched, by coin."""
        held = self.control.state()["accounts"][self.address(account)]["positions"]
        return {coin: row for coin, row in held.items() if Decimal(row["szi"])}

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line of the journal, in order; a torn one is passed over."""
        found = []
        for path in sorted((self.log_dir / "trading").glob("audit-*.jsonl")):
            for raw in path.read_bytes().splitlines(keepends=True):
                with contextlib.suppress(HlposmonError):
                    found.append(open_line(raw))
        return found

    def history(self) -> list[FillRow]:
        """Every fill in the history, in order."""
        with History.open(self.state_dir / "history.sqlite3") as history:
            return list(history.fills())

    def _checkpoint(self) -> dict[str, Any] | None:
        """What a restart from the history would begin with."""
        path = self.state_dir / "history.sqlite3"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoint'").fetchone() is None:
                return None  # a new file is being begun at this moment
            row = db.execute("SELECT line FROM checkpoint").fetchone()
            return None if row is None else json.loads(row[0])

    def disagreements(self, *, fills_from: int = 0, account: str | None = None) -> list[str]:
        """Where exchange, book, snapshot, journal and history differ; empty when they agree to the last
        digit.

        `fills_from`: how many of the account's fills were made before the monitor began. `account` is
        its name, and may be left out where one is watched.
        """
        truth, summary = self.positions(account), self.api.summary()
        book = {
            row["coin"]: row
            for row in summary["positions"].values()
            if row["type"] == "Perp" and account in (None, row["account"])
        }
        with Snapshot.open(self.folder / "snapshot") as opened:
            records = {
                record.key.split(":", 2)[2]: record
                for record in opened.positions()
                if is_perp(record.key) and account in (None, record.account)
            }
        lines = [line for line in self.lines() if account in (None, line.get("account"))]
        last = {
            line["key"].split(":", 2)[2]: line["position"]
            for line in lines
            if "position" in line and is_perp(line["key"])
        }
        wrong = []
        for coin in sorted(truth.keys() | book.keys() | records.keys()):
            if not all(coin in known for known in (truth, book, records, last)):
                wrong.append(
                    f"{coin}: exchange {coin in truth}, book {coin in book}, snapshot {coin in records},"
                    f" journal {coin in last}"
                )
                continue
            sizes = {
                Decimal(truth[coin]["szi"]),
                Decimal(book[coin]["size"]),
                records[coin].size,
                Decimal(last[coin]["size"]),
            }
            if len(sizes) != 1:
                wrong.append(f"{coin}: sizes {sizes}")
                continue
            wrong += self._entry_differs(coin, truth[coin], book[coin], records[coin].entry_price, last[coin])
            verdicts = {book[coin]["verdict"], records[coin].verdict}
            if verdicts != {"proven"}:
                wrong.append(f"{coin}: {verdicts}: {book[coin]['verdict_reason']}")
        wrong += self._fills_differ(lines, fills_from, self.address(account))
        return [*wrong, *self._history_differs(lines, account)]

    def _history_differs(self, lines: list[dict[str, Any]], account: str | None) -> Iterator[str]:
        """The history holds each fill of the journal once, and the same position after each."""
        journalled = Counter(_of_line(line) for line in lines if line["type"] == "fill")
        kept = Counter(_of_row(row) for row in self.history() if account in (None, row.account))
        if lost := journalled - kept:
            yield f"{lost.total()} fills are not in the history, such as {next(iter(lost))}"
        if more := kept - journalled:
            yield f"{more.total()} fills too many in the history, such as {next(iter(more))}"
        checkpoints = [line for line in self.lines() if line["type"] == "checkpoint"]
        if self._checkpoint() != checkpoints[-1]:
            yield f"the history would not restart from the last checkpoint, line {checkpoints[-1]['seq']}"

    def _entry_differs(
        self,
        coin: str,
        truth: dict[str, Any],
        book: dict[str, Any],
        record: Decimal | None,
        line: dict[str, Any],
    ) -> Iterator[str]:
        exact = Fraction(truth["entry"])
        ours = Fraction(line["cost"]) / Fraction(line["size"])
        if abs(ours - exact) > exact * Fraction(1, 10**40):
            yield f"{coin}: entry {float(ours)}, the exchange has {float(exact)}"
        shown = Decimal(truth["entryPx"])
        cut = Decimal(ours.numerator) / Decimal(ours.denominator)
        if cut.quantize(shown, ROUND_DOWN) != shown:
            yield f"{coin}: entry {cut} does not truncate to {shown}"
        if record != Decimal(book["entry_price"]):
            yield f"{coin}: entry {record} in the snapshot, {book['entry_price']} on the socket"

    def _fills_differ(self, lines: list[dict[str, Any]], fills_from: int, address: str) -> Iterator[str]:
        made = list(self.control.made(address, since=fills_from))
        expected = Counter(map(_of_truth, made))
        sides = {"buy": "B", "sell": "A"}
        journalled = Counter(
            (
                line["key"].split(":", 2)[2],
                line["time_ms"],
                line["tid"],
                int(line["order_id"]),
                sides[line["side"]],
                *map(Decimal, (line["quantity"], line["start_position"], line["price"])),
                *map(Decimal, (line["fee"], line["closed_pnl"])),
            )
            for line in lines
            if line["type"] == "fill"
        )
        if lost := expected - journalled:
            yield f"{lost.total()} of {len(made)} fills are not in the journal, such as {next(iter(lost))}"
        if more := journalled - expected:
            yield f"{more.total()} fills too many in the journal, such as {next(iter(more))}"


def _of_truth(fill: dict[str, Any]) -> tuple[Any, ...]:
    """A fill as the journal has to have it."""
    exact = map(Decimal, (fill["sz"], fill["startPosition"], fill["px"]))
    money = map(as_read, (fill["fee"], fill["closedPnl"]))
    return (fill["coin"], fill["time"], fill["tid"], fill["oid"], fill["side"], *exact, *money)


def _of_line(line: dict[str, Any]) -> tuple[Any, ...]:
    """A fill of the journal, with the position after it."""
    names = ("time_ms", "tid", "side", "quantity", "price", "fee", "start_position", "closed_pnl", "effect")
    after = [line["position"][name] for name in ("size", "entry_price", "fees", "fills")]
    return (line["key"], int(line["order_id"]), *(line[name] for name in names), *after)


def _of_row(row: FillRow) -> tuple[Any, ...]:
    """The same of the history."""
    amounts = (row.quantity, row.price, row.fee, row.start_position, row.closed_pnl)
    after = (_text(row.position.size), _text(row.position.entry_price), _text(row.position.fees))
    head = (row.key, row.order_id, row.time_ms, row.tid, row.side)
    return (*head, *map(_text, amounts), row.effect, *after, row.position.fills)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


@contextlib.contextmanager
def world() -> Iterator[World]:
    # A short path: a Unix socket's may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="hlposmon-") as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.close()

"""The table of positions: what `status` prints and what `run` shows live. Decides nothing, only shows.

Columns have a rank; what does not fit the width is left out from the least important on. Never a number
without its verdict: that column stays to the last.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hlposmon.cli.workers import age

Position = dict[str, Any]

# title, justification, rank (1 stays longest)
COLUMNS = (
    ("POSITION", "left", 1),
    ("SIDE", "left", 2),
    ("SIZE", "right", 3),
    ("ENTRY", "right", 7),
    ("MARK", "right", 6),
    ("uPnL", "right", 4),
    ("rPnL", "right", 8),
    ("FEES+FUND", "right", 11),
    ("NOTIONAL", "right", 9),
    ("LEV", "right", 12),
    ("LIQ", "right", 10),
    ("LAST FILL", "right", 13),
    ("VERDICT", "left", 5),
)
VERDICT_STYLES = {"proven": "green", "unproven": "yellow", "drift": "bold red", "stale": "magenta"}
STATUS_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "bold red", "stopping": "yellow"}


def overview(
    summary: dict[str, Any], health: dict[str, Any] | None, *, account: str | None = None, problem: str = ""
) -> RenderableType:
    """The whole picture: who and how, the positions, the accounts; `problem` tells why it is not new."""
    parts: list[RenderableType] = [_Header(summary, health)]
    if summary.get("mode") == "simulated":
        parts.insert(
            0, Text(" SIMULATED - no venue is contacted, no money is real ", style="bold reverse yellow")
        )
    if problem:
        parts.append(Text(plain(problem), style="bold red"))
    parts += [Text(f"! {plain(remark)}", style="yellow") for remark in _remarks(summary, health)]
    accounts = summary.get("accounts") or {}
    rows = _shown_positions(summary.get("positions") or {})
    if problem:
        # What was proven when it was seen is not proven now.
        rows = [(name, {**position, "verdict": "stale"}) for name, position in rows]
    if rows:
        parts.append(_Positions(rows, str(summary.get("timestamp") or "")))
    elif unknown := _unknown(summary):
        # A venue that has not answered is not flat.
        parts.append(Text(f"positions unknown: {', '.join(unknown)} not stated by the exchange yet"))
    else:
        where = f" in {account}" if account else ""
        parts.append(Text(f"no open positions{where}"))
    if len(accounts) > 1:
        parts.append(_accounts(accounts))
    return Group(*parts)


def _shown_positions(positions: dict[str, Position]) -> list[tuple[str, Position]]:
    """A flat position is worth a row only while something about it is in doubt."""
    return [
        (name, position)
        for name, position in positions.items()
        if not position.get("is_flat") or position.get("verdict") != "proven"
    ]


def _unknown(summary: dict[str, Any]) -> list[str]:
    """The accounts that the venue has not stated yet."""
    return [
        plain(name)
        for name, account in (summary.get("accounts") or {}).items()
        if account.get("equity") is None and account.get("verdict") not in (None, "proven")
    ]


class _Header:
    """Who and how in one line, or in two where one would wrap."""

    def __init__(self, summary: dict[str, Any], health: dict[str, Any] | None) -> None:
        self._sums, self._ages = _sums(summary, health), _ages(summary, health)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = Text.assemble(self._sums, self._ages)
        if whole.cell_len <= options.max_width:
            yield whole
        else:
            yield self._sums
            yield Text.assemble("  ", self._ages)


def _ages(summary: dict[str, Any], health: dict[str, Any] | None) -> Text:
    line, ages = Text(), (health or {}).get("ages_s") or {}
    for title, key in (("fills", "fills"), ("prices", "prices"), ("sync", "reconcile")) if ages else ():
        line.append(f"  {title} {age(ages.get(key))}", style="dim")
    quota = summary.get("quota") or {}
    if "weight_used" in quota:
        line.append(f"  weight {quota['weight_used']}/{quota['weight_limit']}", style="dim")
    return line


def _sums(summary: dict[str, Any], health: dict[str, Any] | None) -> Text:
    mode = str(summary.get("mode") or "unknown")
    line = Text("hlposmon ", style="bold")
    line.append(f"{mode.upper()} ", style="bold yellow" if mode != "live" else "bold")
    if health is not None:
        status = str(health.get("status") or "unknown")
        line.append(f"{status}  ", style=STATUS_STYLES.get(status, "bold red"))
    if not summary.get("positions") and _unknown(summary):
        line.append("positions unknown")
        return line
    line.append(f"positions {summary.get('active_positions', 0)}")
    for title, key in (("exposure", "total_exposure"), ("uPnL", "unrealized_pnl"), ("total", "total_pnl")):
        line.append(f"  {title} ")
        line.append(money(summary.get(key), sign=key != "total_exposure"), style=_gain(summary.get(key), key))
    return line


def _remarks(summary: dict[str, Any], health: dict[str, Any] | None) -> list[str]:
    """Every reason for doubt: the monitor's own list, and what the numbers carry that is not in it.

    Among them an address that the exchange does not know, or that is an agent's.
    """
    remarks = [str(reason) for reason in (health or {}).get("reasons") or []]
    found = [
        (f"account {name}", notice)
        for name, account in (summary.get("accounts") or {}).items()
        for notice in account.get("notices") or []
    ]
    found += [
        (f"{name} is {position.get('verdict')}", position["verdict_reason"])
        for name, position in (summary.get("positions") or {}).items()
        if position.get("verdict_reason")
    ]
    found += [
        (f"feed {name}", f"missed {counts['missed']} fills that came by another way")
        for name, counts in ((summary.get("feeds") or {}).get("fill_feeds") or {}).items()
        if counts.get("missed")
    ]
    said = "\n".join(remarks)
    return remarks + [f"{what}: {why}" for what, why in found if str(why) not in said]


def _accounts(accounts: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("ACCOUNT", no_wrap=True)
    for title in ("EQUITY", "EXPOSURE", "uPnL", "TOTAL"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, account in accounts.items():
        table.add_row(
            Text(plain(name)),
            money(account.get("equity")),
            money(account.get("total_exposure")),
            Text(money(account.get("unrealized_pnl"), sign=True), style=_gain(account.get("unrealized_pnl"))),
            Text(money(account.get("total_pnl"), sign=True), style=_gain(account.get("total_pnl"))),
        )
    return table


class _Positions:
    """The table that fits itself to the width it is given, and to the height when that is limited."""

    def __init__(self, rows: Sequence[tuple[str, Position]], timestamp: str) -> None:
        self._rows = rows
        self._now = _time(timestamp)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self._rows
        if console.is_terminal and options.height is not None:
            rows = rows[: max(1, options.height - 8)]
        cells = [_cells(name, position, self._now) for name, position in rows]
        dropped: set[int] = set()
        by_rank = sorted(range(len(COLUMNS)), key=lambda column: -COLUMNS[column][2])
        table = _table(cells, dropped)
        for column in by_rank[:-5]:
            if Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width:
                break
            dropped.add(column)
            table = _table(cells, dropped)
        yield table
        if len(rows) < len(self._rows):
            yield Text(f"... and {len(self._rows) - len(rows)} more", style="dim")


def _table(cells: list[list[Text]], dropped: set[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    kept = [column for column in range(len(COLUMNS)) if column not in dropped]
    for column in kept:
        title, justify, _ = COLUMNS[column]
        table.add_column(title, justify="right" if justify == "right" else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(row[column] for column in kept))
    return table


def _cells(name: str, position: Position, now: datetime | None) -> list[Text]:
    verdict = plain(position.get("verdict") or "unproven")
    filled = _time(str(position.get("last_fill_time") or ""))
    since_s = (now - filled).total_seconds() if now and filled else None
    side = str(position.get("side") or "-")
    profit, realized = position.get("unrealized_pnl"), position.get("realized_pnl")
    costs = _difference(position.get("funding"), position.get("fees"))
    return [
        Text(plain(name)),
        Text(plain(side), style={"long": "green", "short": "red"}.get(side, "")),
        Text(_word(position.get("quantity"))),
        Text(_price(position.get("entry_price"))),
        Text(_price(position.get("mark_price"))),
        Text(money(profit, sign=True), style=_gain(profit)),
        Text(money(realized, sign=True), style=_gain(realized)),
        Text(money(costs, sign=True)),
        Text(money(position.get("notional_value"))),
        Text(f"{_word(position.get('leverage'))}x" if position.get("leverage") else "-"),
        Text(_price(position.get("liquidation_price"))),
        Text(age(since_s)),
        Text(verdict, style=VERDICT_STYLES.get(verdict, "bold red")),
    ]


def plain(value: object) -> str:
    """Text from outside, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def _word(value: object) -> str:
    return "-" if value is None else plain(value)


def _price(amount: object) -> str:
    """A price to eight significant digits, more than the venue quotes; the exact one is in --json."""
    value = _decimal(amount)
    if value is None:
        return _word(amount)
    places = max(0, min(-int(value.as_tuple().exponent), 7 - value.adjusted()))
    return f"{value:.{places}f}"


def money(amount: object, *, sign: bool = False) -> str:
    """USD to the cent for the eye; the exact string is in --json."""
    value = _decimal(amount)
    if value is None:
        return "-"
    return f"{value:+,.2f}" if sign else f"{value:,.2f}"


def _gain(amount: object, key: str = "") -> str:
    value = _decimal(amount)
    if not value or key == "total_exposure":
        return ""
    return "green" if value > 0 else "red"


def _difference(received: object, paid: object) -> str | None:
    plus, minus = _decimal(received), _decimal(paid)
    return None if plus is None or minus is None else str(plus - minus)


def _decimal(amount: object) -> Decimal | None:
    if not isinstance(amount, str):
        return None
    try:
        return Decimal(amount)
    except InvalidOperation:
        return None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

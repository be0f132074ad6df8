"""The table of positions that `status` prints and `run` shows live. It shows values and decides nothing.

Columns have a rank; those that do not fit the width are dropped, the least important first. The verdict is
one of the KEPT columns that are never dropped: no number is shown without its verdict.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hlposmon.cli.accounts import Accounts, verdict_of
from hlposmon.cli.columns import GAP, Column, by_rank, fits, fold, make_table
from hlposmon.cli.formats import aligned, difference, gain, money, places_of, plain, price, time, word
from hlposmon.cli.probe.verdict import reasons_of
from hlposmon.cli.workers import age

Position = dict[str, Any]

COLUMNS = (
    Column("POSITION", "left", 1),
    Column("SIDE", "left", 2),
    Column("SIZE", "right", 3),
    Column("ENTRY", "right", 7),
    Column("MARK", "right", 6),
    Column("uPnL", "right", 4),
    Column("rPnL", "right", 8),
    Column("FEES+FUND", "right", 11),
    Column("NOTIONAL", "right", 9),
    Column("LEV", "right", 12),
    Column("LIQ", "right", 10),
    Column("LAST FILL", "right", 13),
    Column("PROOF", "left", 15),
    Column("AS OF", "right", 14),
    Column("VERDICT", "left", 5),
)
PRICES = ("ENTRY", "MARK", "LIQ")
KEPT = 5  # number of columns that are never dropped
STATUS_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "bold red", "stopping": "yellow"}


class Overview:
    """A rich renderable of header, remarks, positions and accounts. `problem` is why the data is old.

    If the height is limited, it shows as many positions and accounts as fit, and counts the others.
    """

    def __init__(
        self,
        summary: dict[str, Any],
        health: dict[str, Any] | None,
        *,
        account: str | None = None,
        problem: str = "",
    ) -> None:
        self._head: list[RenderableType] = [_Header(summary, health)]
        if summary.get("mode") == "simulated":
            said = " SIMULATED - no venue is contacted, no money is real "
            self._head.insert(0, Text(said, style="bold reverse yellow"))
        if problem:
            self._head.append(Text(plain(problem), style="bold red"))
        self._head += [Text(f"! {plain(remark)}", style="yellow") for remark in _remarks(summary, health)]
        self._positions = _positions(summary, account, is_old=bool(problem))
        self._accounts = Accounts(summary.get("accounts") or {}, is_old=bool(problem))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._head
        room, room_for_accounts = options.height, None
        if room is not None:
            room = max(1, room - sum(_lines(console, options, part) for part in self._head))
            room_for_accounts = max(1, room // 3)
        foot = options.update(height=room_for_accounts)
        if room is not None:
            room = max(1, room - _lines(console, foot, self._accounts))
        yield from console.render(self._positions, options.update(height=room))
        yield from console.render(self._accounts, foot)


def _lines(console: Console, options: ConsoleOptions, part: RenderableType) -> int:
    return len(list(Segment.split_lines(console.render(part, options))))


def _positions(summary: dict[str, Any], account: str | None, *, is_old: bool) -> RenderableType:
    """The table of positions, or one line that says why there is none."""
    rows = _shown_positions(summary.get("positions") or {})
    if is_old:
        # A position that was proven then is not proven now.
        rows = [(name, {**position, "verdict": "stale"}) for name, position in rows]
    if rows:
        return _Positions(rows, str(summary.get("timestamp") or ""))
    if unknown := _unknown(summary):
        # Without an answer of the venue, an account may still have positions.
        return Text(f"positions unknown: {', '.join(unknown)} not stated by the exchange yet")
    return Text(f"no open positions{f' in {account}' if account else ''}")


def _shown_positions(positions: dict[str, Position]) -> list[tuple[str, Position]]:
    """The positions to show: open ones, and flat ones that are not proven."""
    return [
        (name, position)
        for name, position in positions.items()
        if not position.get("is_flat") or position.get("verdict") != "proven"
    ]


def _unknown(summary: dict[str, Any]) -> list[str]:
    """Names of the accounts that the venue has not stated yet.

    Unknown equity alone does not show that, so `stated` of the summary comes first.
    """
    if summary.get("stated") is True:
        return []
    return [
        plain(name)
        for name, account in (summary.get("accounts") or {}).items()
        if account.get("equity") is None and account.get("verdict") not in (None, "proven")
    ]


class _Header:
    """The header: mode, status, totals and ages, on one line if it fits, else folded between figures."""

    def __init__(self, summary: dict[str, Any], health: dict[str, Any] | None) -> None:
        self._sums, self._ages = _sums(summary, health), _ages(summary, health)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = list(fold([*self._sums, *self._ages], options.max_width))
        if len(whole) == 1:
            yield from whole
            return
        yield from fold(self._sums, options.max_width)
        if self._ages:
            yield from fold(self._ages, options.max_width, indent=GAP)


def _ages(summary: dict[str, Any], health: dict[str, Any] | None) -> list[Text]:
    ages, quota = (health or {}).get("ages_s") or {}, summary.get("quota") or {}
    feeds = (("fills", "fills"), ("prices", "prices"), ("sync", "reconcile")) if ages else ()
    said = [f"{title} {age(ages.get(key))}" for title, key in feeds]
    if "weight_used" in quota:
        said.append(f"weight {quota['weight_used']}/{quota['weight_limit']}")
    return [Text(text, style="dim") for text in said]


def _sums(summary: dict[str, Any], health: dict[str, Any] | None) -> list[Text]:
    mode = str(summary.get("mode") or "unknown")
    name = Text.assemble(("hlposmon ", "bold"), (mode.upper(), "bold yellow" if mode != "live" else "bold"))
    if health is not None:
        status = str(health.get("status") or "unknown")
        name.append(f" {status}", style=STATUS_STYLES.get(status, "bold red"))
    if not summary.get("positions") and _unknown(summary):
        return [name, Text("positions unknown")]
    count = summary.get("active_positions")
    positions = f"positions {'unknown' if count is None else count}"
    if flats := sum(bool(row.get("is_flat")) for _, row in _shown_positions(summary.get("positions") or {})):
        positions += f", {flats} flat in doubt"
    exposure, profit, total = (summary.get(key) for key in ("total_exposure", "unrealized_pnl", "total_pnl"))
    return [
        name,
        Text(positions),
        Text(f"exposure {money(exposure)}"),
        Text.assemble("uPnL ", (money(profit, sign=True), gain(profit))),
        Text.assemble("total ", (money(total, sign=True), gain(total))),
    ]


def _remarks(summary: dict[str, Any], health: dict[str, Any] | None) -> list[str]:
    """All reasons for doubt: the monitor's own, then those of accounts, positions and feeds that it lacks.

    For example an address that the exchange does not know, or that is an agent's.
    """
    remarks = reasons_of(health or {})
    for whose, what, why in _doubts_of_accounts(summary.get("accounts") or {}):
        if not any(
            why in one and (one == why or one.startswith((f"{whose}:", f"{whose} "))) for one in remarks
        ):
            remarks.append(f"{whose}: {what}{why}")
    others = [
        (f"{name} is {position.get('verdict')}", str(position["verdict_reason"]))
        for name, position in (summary.get("positions") or {}).items()
        if position.get("verdict_reason")
    ]
    others += [
        (f"feed {name}", f"missed {counts['missed']} fills that came by another way")
        for name, counts in ((summary.get("feeds") or {}).get("fill_feeds") or {}).items()
        if counts.get("missed")
    ]
    # The reason for a whole account is not repeated for each of its positions.
    said = "\n".join(remarks)
    return remarks + [f"{what}: {why}" for what, why in others if why not in said]


def _doubts_of_accounts(accounts: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(account, prefix, reason) of each notice and each reason why equity is unknown."""
    for name, account in accounts.items():
        for notice in account.get("notices") or []:
            yield f"account {name}", "", str(notice)
        if account.get("equity_reason"):
            yield f"account {name}", "equity: ", str(account["equity_reason"])


class _Positions:
    """The table of positions, which fits itself to the given width, and to the height if that is limited."""

    def __init__(self, rows: Sequence[tuple[str, Position]], timestamp: str) -> None:
        self._rows = rows
        self._now = time(timestamp)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self._rows
        if options.height is not None and len(rows) + 1 > options.height:
            rows = rows[: max(1, options.height - 2)]  # less the titles and the count of the rest
        cells = [_cells(name, position, self._now) for name, position in rows]
        for table in _tables(cells):
            if fits(console, options, table):
                break
        yield table
        if more := len(self._rows) - len(rows):
            yield Text(f"... and {more} more", style="dim")


def _tables(cells: list[list[Text]]) -> Iterator[Table]:
    """The same table, each one narrower than the last: first with prices lined up, then without, then the
    same two with one more column dropped, and so on."""
    first_out = by_rank(COLUMNS)[:-KEPT]
    columns, lined_up = _lined_up(cells)
    for count in range(len(first_out) + 1):
        yield make_table(columns, lined_up, first_out[:count])
        yield make_table(COLUMNS, cells, first_out[:count])


def _lined_up(cells: list[list[Text]]) -> tuple[list[Column], list[list[Text]]]:
    """Columns and cells in which the decimal points of each price column line up."""
    columns, rows = list(COLUMNS), [list(row) for row in cells]
    for place, column in enumerate(COLUMNS):
        if column.title in PRICES:
            # Padded here: to justify right, rich would strip the blanks that line up the points.
            texts = aligned([row[place].plain for row in rows])
            width = max(map(len, [column.title, *texts]))
            columns[place] = replace(column, title=column.title.rjust(width), justify="left")
            for row, text in zip(rows, texts, strict=True):
                row[place] = Text(text.rjust(width))
    return columns, rows


def _cells(name: str, position: Position, now: datetime | None) -> list[Text]:
    side = str(position.get("side") or "-")
    profit, realized = position.get("unrealized_pnl"), position.get("realized_pnl")
    costs = difference(position.get("funding"), position.get("fees"))
    places = places_of(position.get("mark_price"))
    return [
        Text(plain(name)),
        Text(plain(side), style={"long": "green", "short": "red"}.get(side, "")),
        Text(word(position.get("quantity"))),
        Text(price(position.get("entry_price"), places)),
        Text(price(position.get("mark_price"), places)),
        Text(money(profit, sign=True), style=gain(profit)),
        Text(money(realized, sign=True), style=gain(realized)),
        Text(money(costs, sign=True)),
        Text(money(position.get("notional_value"))),
        Text(f"{word(position.get('leverage'))}x" if position.get("leverage") else "-"),
        Text(price(position.get("liquidation_price"), places)),
        Text(age(_since_s(position.get("last_fill_time"), now))),
        Text(word(position.get("proof"))),
        Text(age(_since_s(position.get("as_of"), now))),
        verdict_of(position),
    ]


def _since_s(at: object, now: datetime | None) -> float | None:
    then = time(str(at or ""))
    return (now - then).total_seconds() if now and then else None

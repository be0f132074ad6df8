"""The table of positions, grouped by account and market. It shows values and decides nothing.

Columns have a rank; those that do not fit the width are dropped, the least important first. The verdict is
one of the KEPT columns that are never dropped: no number is shown without its verdict.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hlposmon.cli.accounts import verdict_of
from hlposmon.cli.columns import Column, by_rank, fits, fold, make_table
from hlposmon.cli.formats import aligned, difference, gain, money, places_of, plain, price, time, word
from hlposmon.cli.groups import Shown
from hlposmon.cli.layout import lay_out
from hlposmon.cli.rows import Row
from hlposmon.cli.selection import Selection, Sort
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
    Column("TOTAL", "right", 16),
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


class Body:
    """A rich renderable of each account's head line with its positions below it, and the total line.

    All rows are of one table, so that the columns of all accounts line up. It fits itself to the given width,
    and to the height if that is limited.
    """

    def __init__(self, shown: Shown, foot: Sequence[Text], selection: Selection, timestamp: str) -> None:
        self._shown, self._foot = shown, foot
        self._sort = selection.sort
        # The sums of a whole account stand above no part of its rows; those of the only one are in the foot.
        self._with_sums = len(shown.groups) > 1 and not selection.is_partial
        self._now = time(timestamp)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        foot = list(fold(self._foot, options.max_width)) if self._foot else []
        room = None if options.height is None else max(1, options.height - len(foot))
        layout = lay_out(self._shown, options.max_width, room, with_sums=self._with_sums)
        shown = [row for block in layout.blocks for market in block.markets for row in market.rows]
        lines = self._lines(console, options.update(height=None), shown)
        titles = next(lines, [])
        for number, block in enumerate(layout.blocks):
            if number and room is None:
                yield Segment.line()
            yield from block.head
            for market in block.markets:
                yield from titles
                titles = []  # once is enough
                if layout.has_headings:
                    yield Text(plain(f"-- {market.title}"), style="dim")
                for _ in market.rows:
                    yield from next(lines)
        if layout.rows_left_out:
            yield Text(f"... and {layout.rows_left_out} more", style="dim")
        if layout.accounts_left_out:
            yield Text(f"... and {layout.accounts_left_out} accounts more", style="dim")
        if foot and room is None and len(layout.blocks) > 1:
            yield Segment.line()
        yield from foot

    def _lines(
        self, console: Console, options: ConsoleOptions, rows: Sequence[Row]
    ) -> Iterator[list[Segment]]:
        """The titles, then each row, as the lines of the widest table that fits; nothing without rows."""
        if not rows:
            return
        cells = [_cells(row.name, row.position, self._now) for row in rows]
        for table in _tables(cells, self._sort):
            if fits(console, options, table):
                break
        for line in console.render_lines(table, options, pad=False):
            yield [*line, Segment.line()]


def _tables(cells: list[list[Text]], sort: Sort | None) -> Iterator[Table]:
    """The same table, each one narrower than the last: first with prices lined up, then without, then the
    same two with one more column dropped, and so on. The column of `sort` is the last to be dropped."""
    first_out = by_rank(COLUMNS)[:-KEPT]
    if sort is not None:
        first_out.sort(key=lambda place: COLUMNS[place].title == sort.title)
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
        Text(money(position.get("total_pnl"), sign=True), style=gain(position.get("total_pnl"))),
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

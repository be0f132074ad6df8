"""Tables and lines that fit a given width. Nothing here knows of positions or accounts."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column. If the table is too wide, columns are dropped in order of `rank`, the highest first."""

    title: str
    justify: Literal["left", "right"]
    rank: int


def by_rank(columns: Sequence[Column]) -> list[int]:
    """Indexes of the columns in the order in which they are dropped."""
    return sorted(range(len(columns)), key=lambda place: -columns[place].rank)


def make_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], dropped: Collection[int] = ()
) -> Table:
    """A table without the columns whose indexes are in `dropped`. Each row has a cell for every column,
    including the dropped ones."""
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    kept = [place for place in range(len(columns)) if place not in dropped]
    for place in kept:
        table.add_column(columns[place].title, justify=columns[place].justify, no_wrap=True)
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    return table


def fits(console: Console, options: ConsoleOptions, table: Table) -> bool:
    """Whether the table fits the width of `options` without cutting a cell."""
    return Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width


def fold(parts: Sequence[Text], width: int, *, indent: str = "") -> Iterator[Text]:
    """Lay the parts out in as few lines of at most `width` cells as possible, breaking only between parts.

    Lines after the first are indented by GAP more than `indent`.
    """
    line = Text(indent)
    for number, part in enumerate(parts):
        if number and line.cell_len + len(GAP) + part.cell_len > width:
            yield line
            line = Text(GAP + indent)
        elif number:
            line.append(GAP)
        line.append_text(part)
    yield line

"""Tables and lines that fit the width they are given. They know no position and no account."""

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
    """`rank`: what does not fit is left out from the highest on."""

    title: str
    justify: Literal["left", "right"]
    rank: int


def by_rank(columns: Sequence[Column]) -> list[int]:
    """The places of the columns, the first to be left out first."""
    return sorted(range(len(columns)), key=lambda place: -columns[place].rank)


def make_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], dropped: Collection[int] = ()
) -> Table:
    """`rows` have a cell for each column, the dropped ones too."""
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    kept = [place for place in range(len(columns)) if place not in dropped]
    for place in kept:
        table.add_column(columns[place].title, justify=columns[place].justify, no_wrap=True)
    for row in rows:
        table.add_row(*(row[place] for place in kept))
    return table


def fits(console: Console, options: ConsoleOptions, table: Table) -> bool:
    """Whether no cell of it has to be cut."""
    return Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width


def fold(parts: Sequence[Text], width: int, *, indent: str = "") -> Iterator[Text]:
    """The parts in as few lines as they need; a line breaks between two of them only."""
    line = Text(indent)
    for number, part in enumerate(parts):
        if number and line.cell_len + len(GAP) + part.cell_len > width:
            yield line
            line = Text(GAP + indent)
        elif number:
            line.append(GAP)
        line.append_text(part)
    yield line

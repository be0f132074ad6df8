"""The table of accounts: equity, margin in use, and the amount that can be withdrawn. It shows values only.

If the columns do not fit the width, each account is printed as lines of text. These three values and the
verdict are never left out.
"""

from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from hlposmon.cli.columns import Column, by_rank, fits, fold, make_table
from hlposmon.cli.formats import gain, money, plain

Account = dict[str, Any]

UNKNOWN = "unknown"  # shown for null: the exchange has not stated the value, or it cannot be computed
OWN = (("EQUITY", "equity"), ("MARGIN", "margin_used"), ("WITHDRAWABLE", "withdrawable"))
COLUMNS = (
    Column("ACCOUNT", "left", 1),
    *(Column(title, "right", 3) for title, _ in OWN),
    Column("EXPOSURE", "right", 5),
    Column("uPnL", "right", 4),
    Column("TOTAL", "right", 6),
    Column("VERDICT", "left", 2),
)
SUMS = 3  # columns whose totals are in the header: not shown for one account, and dropped first
VERDICT_STYLES = {"proven": "green", "unproven": "yellow", "drift": "bold red", "stale": "magenta"}


class Accounts:
    """A rich renderable with a row for each account of a summary; `is_old` shows every verdict as stale."""

    def __init__(self, accounts: dict[str, Account], *, is_old: bool) -> None:
        verdict = {"verdict": "stale"} if is_old else {}
        self._accounts = {name: {**account, **verdict} for name, account in accounts.items()}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._accounts:
            return
        accounts = list(self._accounts.items())[: options.height]
        rows = [_cells(name, account) for name, account in accounts]
        sums = by_rank(COLUMNS)[:SUMS]
        first = SUMS if len(self._accounts) == 1 else 0
        for count in range(first, SUMS + 1):
            table = make_table(COLUMNS, rows, sums[:count])
            if fits(console, options, table):
                yield table
                break
        else:
            for name, account in accounts:
                yield from fold(_parts(name, account), options.max_width)
        if more := len(self._accounts) - len(accounts):
            yield Text(f"... and {more} accounts more", style="dim")


def _cells(name: str, account: Account) -> list[Text]:
    return [
        Text(plain(name)),
        *(Text(money(account.get(key), missing=UNKNOWN)) for _, key in OWN),
        Text(money(account.get("total_exposure"))),
        *(
            Text(money(account.get(key), sign=True), style=gain(account.get(key)))
            for key in ("unrealized_pnl", "total_pnl")
        ),
        verdict_of(account),
    ]


def _parts(name: str, account: Account) -> list[Text]:
    said = (f"{title.lower()} {money(account.get(key), missing=UNKNOWN)}" for title, key in OWN)
    return [Text(plain(name)), *map(Text, said), verdict_of(account)]


def verdict_of(judged: dict[str, Any]) -> Text:
    """The verdict on an account or a position as styled text; `unproven` if it has none."""
    verdict = plain(judged.get("verdict") or "unproven")
    return Text(verdict, style=VERDICT_STYLES.get(verdict, "bold red"))

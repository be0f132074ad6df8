"""The head line of an account and the total line, as parts that are folded between figures. They show values
only.

A value that is null is `unknown`; one that the monitor does not tell, since it is older, is left out. The
verdict comes first, so that it stands in the line of the name however narrow the terminal is.
"""

from collections.abc import Callable, Iterator
from typing import Any

from rich.text import Text

from hlposmon.cli.formats import gain, money, percent, plain
from hlposmon.cli.groups import Account, Group, Total

UNKNOWN = "unknown"  # shown for null: the exchange has not stated the value, or it cannot be computed
VERDICT_STYLES = {"proven": "green", "unproven": "yellow", "drift": "bold red", "stale": "magenta"}


def _usd(amount: object) -> Text:
    return Text(money(amount, missing=UNKNOWN))


def _signed(amount: object) -> Text:
    return Text(money(amount, sign=True, missing=UNKNOWN))


def _gain(amount: object) -> Text:
    return Text(money(amount, sign=True, missing=UNKNOWN), style=gain(amount))


def _share(fraction: object) -> Text:
    return Text(percent(fraction, missing=UNKNOWN))


def _mode(mode: object) -> Text:
    return Text(UNKNOWN if mode is None else plain(mode))


Figure = tuple[str, str, Callable[[object], Text]]  # title, key in the summary, how it is shown

FIGURES: tuple[Figure, ...] = (
    ("equity", "equity", _usd),
    ("margin", "margin_used", _usd),
    ("margin ratio", "margin_ratio", _share),
    ("withdrawable", "withdrawable", _usd),
    ("unexplained", "unexplained", _signed),
    ("mode", "mode", _mode),
)
# Those of an account are shown where there are several: one account's are in the total line.
SUMS: tuple[Figure, ...] = (
    ("exposure", "total_exposure", _usd),
    ("uPnL", "unrealized_pnl", _gain),
    ("total", "total_pnl", _gain),
)
# Keys of the reasons why figures are unknown, each with the title that it is said of, and those figures.
REASONS = (
    ("equity_reason", "equity", ("equity", "margin_used", "withdrawable")),
    ("margin_reason", "margin ratio", ("margin_ratio",)),
    ("unexplained_reason", "unexplained", ("unexplained",)),
)


def head_parts(group: Group, *, with_sums: bool, with_count: bool) -> list[Text]:
    """The parts of an account's head line; `with_count` has it say that the account shows no position."""
    parts = [Text(plain(group.name), style="bold"), verdict_of(group.account)]
    if with_count and not group.markets:
        parts.append(Text("no positions" if group.is_stated else "positions unknown"))
    return parts + _parts(group.account, FIGURES + SUMS if with_sums else FIGURES)


def total_parts(total: Total, mode: str, part: str) -> list[Text]:
    """The parts of the total line, which says of which mode it is and, for a part of the rows, of which."""
    name = Text.assemble(("TOTAL ", "bold"), (plain(mode).upper(), mode_style(mode)))
    parts = [name, verdict_of({"verdict": total.verdict})]
    if part:
        parts.append(Text(part))
    return parts + _parts(total.sums, (FIGURES[0], *SUMS))


def reasons_of_unknown(account: Account) -> Iterator[tuple[str, str]]:
    """(figure, reason) of what is unknown of an account, as far as the monitor says why."""
    for reason, title, keys in REASONS:
        if account.get(reason) and any(account.get(key) is None for key in keys):
            yield title, str(account[reason])


def mode_style(mode: str) -> str:
    """The rich style of the monitor's mode: anything but `live` stands out."""
    return "bold" if mode == "live" else "bold yellow"


def verdict_of(judged: dict[str, Any]) -> Text:
    """The verdict on an account or a position as styled text; `unproven` if it has none."""
    verdict = plain(judged.get("verdict") or "unproven")
    return Text(verdict, style=VERDICT_STYLES.get(verdict, "bold red"))


def _parts(values: dict[str, Any], figures: tuple[Figure, ...]) -> list[Text]:
    return [Text.assemble(f"{title} ", shown(values[key])) for title, key, shown in figures if key in values]

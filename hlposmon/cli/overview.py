"""All that `status` shows and `run` shows live: header, remarks, and the accounts with their positions."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from hlposmon.cli.accounts import mode_style, reasons_of_unknown, total_parts
from hlposmon.cli.columns import GAP, fold
from hlposmon.cli.formats import plain
from hlposmon.cli.groups import Shown, arrange, total_of, unstated
from hlposmon.cli.probe.verdict import reasons_of
from hlposmon.cli.selection import EVERYTHING, Selection
from hlposmon.cli.table import Body
from hlposmon.cli.workers import age

STATUS_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "bold red", "stopping": "yellow"}


class Overview:
    """A rich renderable of header, remarks, accounts and positions. `problem` is why the data is old.

    If the height is limited, it shows as many accounts and positions as fit, and counts the others.
    """

    def __init__(
        self,
        summary: dict[str, Any],
        health: dict[str, Any] | None,
        *,
        account: str | None = None,
        selection: Selection = EVERYTHING,
        problem: str = "",
    ) -> None:
        shown = arrange(summary, selection, is_old=bool(problem))
        part = _part(summary, shown) if selection.is_partial else ""
        self._head: list[RenderableType] = [_Header(summary, health, part or _count(summary, shown))]
        if summary.get("mode") == "simulated":
            said = " SIMULATED - no venue is contacted, no money is real "
            self._head.insert(0, Text(said, style="bold reverse yellow"))
        if problem:
            self._head.append(Text(plain(problem), style="bold red"))
        self._head += [Text(f"! {plain(remark)}", style="yellow") for remark in _remarks(summary, health)]
        if not shown.rows:
            self._head.append(Text(_nothing(summary, account, selection)))
        total = total_of(summary, shown, is_partial=selection.is_partial)
        foot = total_parts(total, _mode(summary), part) if total else []
        self._body = Body(shown, foot, selection, str(summary.get("timestamp") or ""))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._head
        room = options.height
        if room is not None:
            room = max(1, room - sum(_lines(console, options, part) for part in self._head))
        yield from console.render(self._body, options.update(height=room))


def _lines(console: Console, options: ConsoleOptions, part: RenderableType) -> int:
    return len(list(Segment.split_lines(console.render(part, options))))


def _mode(summary: dict[str, Any]) -> str:
    return str(summary.get("mode") or "unknown")


def _count(summary: dict[str, Any], shown: Shown) -> str:
    """How many positions there are, for the header."""
    if not summary.get("positions") and unstated(summary):
        return "positions unknown"
    count = summary.get("active_positions")
    flats = sum(bool(row.position.get("is_flat")) for row in shown.rows)
    return f"positions {'unknown' if count is None else count}" + (
        f", {flats} flat in doubt" if flats else ""
    )


def _part(summary: dict[str, Any], shown: Shown) -> str:
    """Which part of the positions a filter leaves. It is one of those that are known."""
    is_known = summary.get("active_positions", 0) is not None and not unstated(summary)
    return f"{len(shown.rows)} of {shown.whole}{'' if is_known else ' known'} positions"


def _nothing(summary: dict[str, Any], account: str | None, selection: Selection) -> str:
    """Why there is no position to show."""
    unknown = ", ".join(map(plain, unstated(summary)))
    if selection.is_partial:
        said = f"no position matches {plain(' '.join(selection.words))!r}"
        return f"{said}; those of {unknown} are unknown" if unknown else said
    if unknown:
        # Without an answer of the venue, an account may still have positions.
        return f"positions unknown: {unknown} not stated by the exchange yet"
    return f"no open positions{f' in {account}' if account else ''}"


class _Header:
    """The header: mode, status, count and ages, on one line if it fits, else folded between figures."""

    def __init__(self, summary: dict[str, Any], health: dict[str, Any] | None, count: str) -> None:
        mode = _mode(summary)
        name = Text.assemble(("hlposmon ", "bold"), (plain(mode).upper(), mode_style(mode)))
        if health is not None:
            status = str(health.get("status") or "unknown")
            name.append(f" {status}", style=STATUS_STYLES.get(status, "bold red"))
        self._parts, self._ages = [name, Text(count)], _ages(summary, health)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = list(fold([*self._parts, *self._ages], options.max_width))
        if len(whole) == 1:
            yield from whole
            return
        yield from fold(self._parts, options.max_width)
        if self._ages:
            yield from fold(self._ages, options.max_width, indent=GAP)


def _ages(summary: dict[str, Any], health: dict[str, Any] | None) -> list[Text]:
    ages, quota = (health or {}).get("ages_s") or {}, summary.get("quota") or {}
    feeds = (("fills", "fills"), ("prices", "prices"), ("sync", "reconcile")) if ages else ()
    said = [f"{title} {age(ages.get(key))}" for title, key in feeds]
    if "weight_used" in quota:
        said.append(f"weight {quota['weight_used']}/{quota['weight_limit']}")
    return [Text(text, style="dim") for text in said]


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
    """(account, prefix, reason) of each notice and each reason why a figure is unknown."""
    for name, account in accounts.items():
        for notice in account.get("notices") or []:
            yield f"account {name}", "", str(notice)
        for figure, why in reasons_of_unknown(account):
            yield f"account {name}", f"{figure}: ", why

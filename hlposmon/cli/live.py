"""The live view: redraws the table every second until told to stop, also while the monitor restarts."""

import os
import threading
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from hlposmon.cli.overview import Overview
from hlposmon.cli.selection import EVERYTHING, Selection
from hlposmon.client.api import Api
from hlposmon.errors import HlposmonError, NotPermitted

PERIOD_S = 1.0


def make_console(*, width: int | None = None) -> Console:
    """A console with the terminal's width, else COLUMNS, else 200 columns: piped output is not cut."""
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and width is None and "COLUMNS" not in os.environ:
        console.width = 200
    return console


def picture(api: Api, account: str | None, selection: Selection = EVERYTHING) -> RenderableType:
    """The table for the monitor's present state. Raises what Api.summary raises."""
    return Overview(api.summary(account), _health(api), account=account, selection=selection)


def _health(api: Api) -> dict[str, object] | None:
    try:
        return api.health()
    except HlposmonError:
        return None  # the summary is there: show it without the health


class Viewer:
    """Keeps the last summary, so that during an interruption the old numbers are shown with the reason."""

    def __init__(self, api: Api, account: str | None = None, selection: Selection = EVERYTHING) -> None:
        self._api = api
        self._account = account
        self._selection = selection
        self._summary: dict[str, object] | None = None

    def look(self) -> RenderableType:
        """The table for the present state, or for the last known one. Raises only NotPermitted, which waiting
        does not resolve."""
        try:
            self._summary = self._api.summary(self._account)
        except NotPermitted:
            raise
        except HlposmonError as error:
            if self._summary is None:
                return Text(f"waiting for the monitor: {error}", style="dim")
            return self._overview(self._summary, None, problem=f"NOT NEW: {error}")
        return self._overview(self._summary, _health(self._api))

    def _overview(
        self, summary: dict[str, object], health: dict[str, object] | None, *, problem: str = ""
    ) -> Overview:
        return Overview(summary, health, account=self._account, selection=self._selection, problem=problem)


class _Screenful:
    """Renders `inner` within the terminal's height; rich would otherwise cut off the bottom of the table."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = max(1, options.size.height - 1)  # the last line is for the cursor
        yield from console.render(self._inner, options.update(height=height))


def watch(
    console: Console, look: Callable[[], RenderableType], stop: threading.Event, *, wipe: bool = False
) -> None:
    """Show `look()` every second until `stop` is set; with `wipe`, clear it from the terminal at the end."""
    if not console.is_terminal:
        while not stop.is_set():
            console.print(look())
            console.print()
            stop.wait(PERIOD_S)
        return
    with Live(
        console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=wipe
    ) as live:
        while not stop.is_set():
            live.update(_Screenful(look()), refresh=True)
            stop.wait(PERIOD_S)

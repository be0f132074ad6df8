"""The live view: the table anew each second, through restarts of the monitor, until told to stop."""

import os
import threading
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from hlposmon.cli.table import Overview
from hlposmon.client.api import Api
from hlposmon.errors import HlposmonError, NotPermitted

PERIOD_S = 1.0


def make_console(*, width: int | None = None) -> Console:
    """A console that does not cut what goes into a pipe: a terminal's width, else COLUMNS, else plenty."""
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and width is None and "COLUMNS" not in os.environ:
        console.width = 200
    return console


def picture(api: Api, account: str | None) -> RenderableType:
    """One look at the monitor. Raises what the Api raises."""
    return Overview(api.summary(account), _health(api), account=account)


def _health(api: Api) -> dict[str, object] | None:
    try:
        return api.health()
    except HlposmonError:
        return None  # the summary came: the picture is shown without the judgement


class Viewer:
    """Keeps the last picture, so that an interruption shows old numbers with the reason why they are old."""

    def __init__(self, api: Api, account: str | None = None) -> None:
        self._api = api
        self._account = account
        self._summary: dict[str, object] | None = None

    def look(self) -> RenderableType:
        """The picture now; never raises except NotPermitted, which will not mend itself."""
        try:
            self._summary = self._api.summary(self._account)
        except NotPermitted:
            raise
        except HlposmonError as error:
            if self._summary is None:
                return Text(f"waiting for the monitor: {error}", style="dim")
            return Overview(self._summary, None, account=self._account, problem=f"NOT NEW: {error}")
        return Overview(self._summary, _health(self._api), account=self._account)


class _Screenful:
    """What knows to be short, in the height of the terminal: rich would cut off the foot of it."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = max(1, options.size.height - 1)  # the cursor stands below
        yield from console.render(self._inner, options.update(height=height))


def watch(
    console: Console, look: Callable[[], RenderableType], stop: threading.Event, *, wipe: bool = False
) -> None:
    """Show `look()` each second until `stop` is set; with `wipe`, leave nothing of it on the terminal."""
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

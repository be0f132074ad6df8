"""`hlposmon run`: the supervisor in the foreground, with a live table on a terminal.

It loads the settings, removes secrets from the environment, creates the folders, and starts the service.
"""

import errno
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hlposmon.cli.modes import refuse_another_mode
from hlposmon.cli.options import (
    given_socket,
    log_format_option,
    parse_addresses,
    simulation_options,
    socket_option,
)
from hlposmon.client.api import Api
from hlposmon.config import Flags, Settings, forget_secrets, load
from hlposmon.config.accounts import KEY_NAME
from hlposmon.errors import ConfigError, HlposmonError
from hlposmon.supervision.forking import exit_code, fork
from hlposmon.system.environment import wipe
from hlposmon.system.threads import start_deaf

if TYPE_CHECKING:
    from hlposmon.simulator.exchange import Options

TABLE_ENDS_S = 1.0


@click.command("run", short_help="Watch the positions, in the foreground.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="0x...",
    callback=parse_addresses,
    help="An account to watch, also as name=0x...; repeatable.",
)
@click.option("--api-url", metavar="URL", help="The exchange's REST address.")
@click.option("--ws-url", metavar="URL", help="The exchange's WebSocket address.")
@socket_option
@click.option("--state-dir", metavar="DIR", help="Where the history is kept.")
@click.option("--log-dir", metavar="DIR", help="Where logs and the audit trail are kept.")
@click.option("--simulate", is_flag=True, help="On the simulated exchange; needs no configuration.")
@click.option("--config", metavar="FILE", help="The configuration file.")
@click.option("--env-file", metavar="FILE", help="Read NAME=value lines; the environment is stronger.")
@click.option("--record", metavar="DIR", help="Record all that the tracker is told, to be lived again.")
@log_format_option
@click.option("--plain", is_flag=True, help="Log lines instead of the live table, on a terminal too.")
@simulation_options
@click.pass_context
def command(
    ctx: click.Context,
    addresses: tuple[str, ...],
    api_url: str | None,
    ws_url: str | None,
    socket: str | None,
    state_dir: str | None,
    log_dir: str | None,
    simulate: bool,
    config: str | None,
    env_file: str | None,
    record: str | None,
    log_format: str | None,
    plain: bool,
    seed: int | None,
    pace: float | None,
    coins: int | None,
) -> int:
    """Watch the positions, in the foreground, until SIGINT or SIGTERM."""
    if simulate and (api_url or ws_url):
        raise click.UsageError("--simulate brings its own exchange: leave --api-url and --ws-url out.")
    if not simulate and (seed, pace, coins) != (None, None, None) and "ENABLE_LIVE_TRADING" not in os.environ:
        raise click.UsageError("--seed, --pace and --coins are of the simulated exchange: add --simulate.")
    place = given_socket(ctx, socket)
    flags = Flags(addresses, api_url, ws_url, place, state_dir, log_dir, simulate, config, env_file)
    flags = replace(flags, log_format=log_format, record=record)
    settings, reload = load_for_run(flags)
    simulation = _simulation(settings, seed, pace, coins) if settings.simulated else None
    prepare(settings)
    refuse_another_mode(settings)
    from hlposmon.service.composition import serve

    with_table = sys.stdout.isatty() and not plain and "NOTIFY_SOCKET" not in os.environ
    log_file = settings.paths.log_dir / "hlposmon.log" if with_table else None
    with _live_table(settings.paths.socket, shown=with_table):
        return serve(settings, reload=reload, simulation=simulation, log_file=log_file)


def load_for_run(flags: Flags) -> tuple[Settings, Callable[[], Settings]]:
    """The settings, and a function that loads them again. Afterwards the environment holds no private key.

    Raises ConfigError with all mistakes, as does the function.
    """
    had_key = KEY_NAME in os.environ
    try:
        settings = load(flags, os.environ)
    finally:
        wipe(KEY_NAME)
        forget_secrets(os.environ)
    if had_key and _needs_key(flags):
        # A reload no longer has the key, so it gets the derived address.
        derived = tuple(account.address for account in settings.hyperliquid.accounts)
        flags = replace(flags, derived_addresses=derived)
    return settings, lambda: load(flags, os.environ)


def _needs_key(flags: Flags) -> bool:
    """Whether no account is named without the key, which was removed from the environment before."""
    try:
        load(flags, os.environ)
    except ConfigError:
        return True
    return False


def _simulation(settings: Settings, seed: int | None, pace: float | None, coins: int | None) -> "Options":
    from hlposmon.simulator.exchange import Options

    base = Options(accounts=tuple(account.address for account in settings.hyperliquid.accounts))
    return replace(
        base,
        seed=base.seed if seed is None else seed,
        pace=base.pace if pace is None else pace,
        coins=base.coins if coins is None else coins,
    )


def prepare(settings: Settings) -> None:
    """Create the folders of the socket, the state and the logs. Raises HlposmonError for one that cannot be
    created or written."""
    paths = settings.paths
    for folder, what, flag in (
        (paths.state_dir, "state", "--state-dir"),
        (paths.log_dir, "log", "--log-dir"),
        (paths.socket.parent, "socket's", "--socket"),
    ):
        try:
            _make(folder)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            remedy = "mend its permissions or choose another" if _is_refusal(error) else "choose another"
            raise HlposmonError(
                f"the {what} folder {folder} cannot be made: {reason}; {remedy} with {flag}"
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise HlposmonError(
                f"the {what} folder {folder} is not writable for this user (uid {os.getuid()}); give it to"
                f" this user with chown, or choose another with {flag}"
            )


def _is_refusal(error: OSError) -> bool:
    return isinstance(error, PermissionError) or error.errno == errno.EROFS


def _make(folder: Path) -> None:
    """Create a folder and its missing parents.

    A new folder is for this user only, with mode 0700. If others may not enter its parent, it also gets the
    parent's read and enter permissions for the group, since members of the service's group may read.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        above = stat.S_IMODE(path.parent.stat().st_mode)
        path.mkdir(exist_ok=True)
        path.chmod(0o700 if above & 0o007 else 0o700 | above & 0o050)  # mkdir obeys the umask
    if not folder.is_dir():
        raise NotADirectoryError(20, "it is not a directory", str(folder))


@contextmanager
def _live_table(socket: Path, *, shown: bool) -> Iterator[None]:
    """Show the table of `status --watch` while the service runs; it asks over the socket like any client.

    It runs in its own process: the supervisor forks and so must have one thread, and need not load rich.
    """
    if not shown:
        yield
        return
    table = fork(partial(_show_table, socket), name="live-table")
    try:
        yield
    finally:
        _end(table)
        click.echo("hlposmon stopped")


def _show_table(socket: Path) -> None:
    from hlposmon.cli.live import Viewer, make_console, watch

    stop = threading.Event()

    def show() -> None:
        try:
            watch(make_console(), Viewer(Api(socket)).look, stop)
        except (HlposmonError, OSError):
            pass  # the terminal is gone, or the socket is not ours: the service runs without its table

    thread = start_deaf(show, name="live-table")
    signal.sigwait([signal.SIGTERM])  # `fork` left the signals blocked: Ctrl-C is for the supervisor
    stop.set()
    thread.join(timeout=TABLE_ENDS_S)


def _end(table: int) -> None:
    """End the table's process, giving it time to draw once more and restore the terminal."""
    give_up_s = time.monotonic() + 2 * TABLE_ENDS_S
    if exit_code(table) is not None:
        return
    os.kill(table, signal.SIGTERM)
    while exit_code(table) is None:
        if time.monotonic() > give_up_s:
            os.kill(table, signal.SIGKILL)
        time.sleep(0.01)

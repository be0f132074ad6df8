"""The program `hlposmon`: dispatches to a command, and turns errors into one line and an exit status.

A command is imported only when it is called, so that `health` loads nothing else. Commands raise; only this
module decides what is printed about an error and which exit status it gives.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from hlposmon import __version__
from hlposmon.cli import stdout
from hlposmon.client.connection import RequestRefused
from hlposmon.config.places import UNREAD_CONFIG, unread_config
from hlposmon.errors import (
    ConfigError,
    HlposmonError,
    MonitorNotRunning,
    NotPermitted,
    TimedOut,
    VenueUnavailable,
)

USAGE, UNKNOWN, INTERRUPTED = 2, 3, 130

COMMANDS = {
    "run": "hlposmon.cli.run",
    "status": "hlposmon.cli.status",
    "health": "hlposmon.cli.health",
    "tail": "hlposmon.cli.tail",
    "fills": "hlposmon.cli.fills",
    "ledger": "hlposmon.cli.ledger",
    "workers": "hlposmon.cli.workers",
    "wait": "hlposmon.cli.wait",
    "simulate": "hlposmon.cli.simulate",
    "doctor": "hlposmon.cli.doctor",
    "config": "hlposmon.cli.config",
    "audit": "hlposmon.cli.audit",
    "setup": "hlposmon.cli.setup",
}

# Exit status and hint for each error class; the first class that matches counts.
EXITS: tuple[tuple[type[HlposmonError], int, str], ...] = (
    (ConfigError, 78, ""),
    (MonitorNotRunning, 3, "; start one with 'hlposmon run', or say where it is with --socket"),
    (NotPermitted, 4, ""),
    (TimedOut, 124, ""),
    (VenueUnavailable, 75, ""),
    (HlposmonError, 1, ""),
)


class Program(click.Group):
    """The group of commands; each is the attribute `command` of its module in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(module).command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:  # None if it was closed before the start
                sys.stdout.flush()
        except BrokenPipeError:
            stdout.silence()
            return 0
        return result

    # click's version is overloaded by standalone_mode; this one always exits.
    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        given = list(sys.argv[1:] if args is None else args)
        extra |= {"prog_name": "hlposmon", "standalone_mode": False}
        try:
            result = super().main(given, **extra)
            code = result if isinstance(result, int) else 0
        except click.UsageError as error:
            code = _usage(error, given)
        except click.ClickException as error:
            code = _say(error.format_message(), error.exit_code)
        except click.Abort:
            code = INTERRUPTED
        except HlposmonError as error:
            code = _explain(error, given)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            code = _say(f"{place}{error.strerror or error}", 1)
            stdout.write("")  # flush or drop the buffer now: if it caused this, it would fail again at exit
        sys.exit(code)


def _say(message: str, code: int) -> int:
    from hlposmon.supervision.logs import is_journal

    # The prefix <3> makes it an error in the journal (sd-daemon(3)).
    stdout.complain(f"{'<3>' if is_journal(sys.stderr) else ''}hlposmon: {message}")
    return code


def _usage(error: click.UsageError, given: Sequence[str]) -> int:
    """Report a wrong command line on stderr and return the exit status: 2, but 3 for `health`, since
    monitoring systems read 2 as CRITICAL. (`check_hlposmon` reports it on stdout, as a plugin must.)"""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # not before click 8.2
        click.echo(error.format_message(), err=True)
        return USAGE
    place = error.ctx.command_path if error.ctx else "hlposmon"
    message = " ".join(error.format_message().split()).removesuffix(".") + "."
    return _say(f"{message} See '{place} --help'.", UNKNOWN if "health" in given else USAGE)


def _explain(error: HlposmonError, given: Sequence[str]) -> int:
    if isinstance(error, ConfigError):
        for mistake in error.mistakes:
            _say(mistake, 78)
        return 78
    if isinstance(error, RequestRefused):
        return _say(str(error), 75 if error.status == 503 else 1)
    code, hint = next((code, hint) for kind, code, hint in EXITS if isinstance(error, kind))
    if isinstance(error, MonitorNotRunning) and not any(one.startswith("--socket") for one in given):
        config = unread_config(None, os.environ)
        hint = f"{UNREAD_CONFIG.format(config) if config else ''}{hint}"
    return _say(f"{error}{hint}", code)


@click.command(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="hlposmon %(version)s")
@click.option("--socket", metavar="PATH", help="The monitor's socket; may also follow the command.")
@click.pass_context
def program(ctx: click.Context, socket: str | None) -> None:
    """A live position monitor for Hyperliquid that proves what it shows.

    'hlposmon run --simulate' tries it out; 'hlposmon run --address 0x...' watches an account.
    """
    ctx.obj = socket


def main() -> NoReturn:
    """Entry point for everything that `cli.entry` does not run itself."""
    program.main()

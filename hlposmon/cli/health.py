"""`hlposmon health` and `check_hlposmon` as click commands: their help and the messages about mistakes.

The click options are built from the table in `probe.options`. A command line that `probe.options.parse`
accepts never comes here (`cli.entry`). Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from hlposmon import __version__
from hlposmon.cli import stdout
from hlposmon.cli.options import given_socket
from hlposmon.cli.probe import options
from hlposmon.cli.probe.check import run
from hlposmon.cli.probe.figures import FIGURES
from hlposmon.cli.probe.line import error_line
from hlposmon.cli.probe.verdict import UNKNOWN

HELP = """One monitoring-plugin line; exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

RANGE is as in monitoring plugins: 10 (0 to 10 is well), 10: (10 or more), ~:10 (10 or less), 10:20, and
@10:20 (10 to 20 is not well). Quote what holds a tilde: a shell may replace it. METRIC is one of """


if TYPE_CHECKING:
    FloatType = click.ParamType[float]
else:
    FloatType = click.ParamType  # not generic in the older of the supported click versions


class _Seconds(FloatType):
    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return options.seconds(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def _parameter(option: options.Option) -> click.Option:
    """The table's option as click's."""
    kinds: dict[str, dict[str, Any]] = {
        options.FLAG: {"is_flag": True},
        options.COUNT: {"count": True},
        options.TEXT: {"metavar": option.metavar},
        options.MANY: {"metavar": option.metavar, "multiple": True},
        options.SECONDS: {"metavar": option.metavar, "type": _Seconds(), "show_default": True},
        options.CHOICE: {"type": click.Choice(option.metavar.split("|")), "show_default": True},
    }
    given = kinds[option.kind]
    if option.kind not in (options.FLAG, options.COUNT, options.MANY) and option.default is not None:
        given["default"] = option.default
    return click.Option([*option.flags, option.name], help=option.help, **given)


def _check(**values: Any) -> int:
    ctx = click.get_current_context()
    try:
        checked = options.checked(values)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error
    return run(checked, given_socket(ctx, None))


def _command(name: str, callback: Callable[..., Any], *more: click.Parameter) -> click.Command:
    return click.Command(
        name,
        callback=callback,
        params=[*map(_parameter, options.OPTIONS), *more],
        help=f"{HELP}{', '.join(FIGURES)}.",
        short_help="One line and an exit status for monitoring systems.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


command = _command("health", _check)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"check_hlposmon {__version__}")
        ctx.exit()


def explain_plugin(arguments: Sequence[str]) -> int:
    """Run `check_hlposmon` through click for help, version or a mistake; return the exit status.

    That is UNKNOWN unless a check was run, as the plugin guidelines require
    (https://www.monitoring-plugins.org/doc/guidelines.html).
    """
    version = click.Option(
        ["-V", "--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_version,
        help="Show the version and exit.",
    )
    statuses: list[int] = []

    def check(**values: Any) -> None:
        statuses.append(_check(**values))

    command = _command("check_hlposmon", check, version)
    try:
        command.main(list(arguments), prog_name="check_hlposmon", standalone_mode=False)
    except click.ClickException as error:
        message = f"{error.format_message().removesuffix('.')}. See 'check_hlposmon --help'."
        stdout.write(f"{error_line(UNKNOWN, message)}\n")
    except click.Abort:
        pass
    return statuses[0] if statuses else UNKNOWN

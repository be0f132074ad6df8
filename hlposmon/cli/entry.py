"""The console scripts `hlposmon` and `check_hlposmon`.

A health check runs every minute and must not load click: a `health` command line that can be parsed without
click runs without it. Everything else (help, mistakes, other commands) goes to click, so that only click
explains the command line.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

UNKNOWN, INTERRUPTED = 3, 130
PLUGIN = "check_hlposmon"


def main() -> NoReturn:
    """Entry point of `hlposmon`. Called through a link named `check_hlposmon`, it acts as that plugin."""
    if sys.argv[0].rpartition("/")[2] == PLUGIN:
        check()
    found = health_arguments(sys.argv[1:])
    if found is not None:
        before, arguments = found
        try:
            code = _run_without_click(arguments, before)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - a traceback would end in 1, which is WARNING
            code = _unknown(error)
        if code is not None:
            sys.exit(code)
    from hlposmon.cli.main import main as program

    program()


def check() -> NoReturn:
    """Entry point of `check_hlposmon`: `hlposmon health` as a plugin, with exit status 0 to 3 only."""
    try:
        code = _run_without_click(sys.argv[1:], None)
        if code is None:
            from hlposmon.cli.health import explain_plugin

            code = explain_plugin(sys.argv[1:])
    except KeyboardInterrupt:
        code = UNKNOWN
    except Exception as error:  # noqa: BLE001 - as above
        code = _unknown(error)
    sys.exit(code)


def health_arguments(arguments: Sequence[str]) -> tuple[str | None, Sequence[str]] | None:
    """Split `[--socket PATH] health ...` into the socket, or None, and the arguments after `health`.

    Returns None for any other command line.
    """
    socket, index = None, 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "health":
            return socket, arguments[index + 1 :]
        if argument == "--socket" and index + 1 < len(arguments):
            index += 1
            socket = arguments[index]
        elif argument.startswith("--socket="):
            socket = argument.removeprefix("--socket=")
        else:
            return None
        index += 1
    return None


def _run_without_click(arguments: Sequence[str], before: str | None) -> int | None:
    """Run the check and return its exit status, or return None if click has to handle the command line."""
    from hlposmon.cli.probe.options import parse

    values = parse(arguments)
    if values is None:
        return None
    from hlposmon.cli.probe.check import run

    return run(values, before)


def _unknown(error: Exception) -> int:
    text = " ".join(f"{type(error).__name__}: {error}".replace("|", "/").split())
    from hlposmon.cli import stdout

    stdout.write(f"HLPOSMON UNKNOWN - the check itself failed: {text}\n")
    return UNKNOWN

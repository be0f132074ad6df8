"""`hlposmon workers`: a row for each process of the monitor."""

import json
import signal
from typing import Any

import click

from hlposmon.cli.options import find_api, socket_option, timeout_option

TITLES = ("NAME", "KIND", "PID", "STATE", "RESTARTS", "BEAT", "UP", "MEMORY", "WEIGHT", "LAST EXIT")


@click.command("workers", short_help="A row for each process of the monitor.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
@socket_option
@timeout_option
@click.pass_context
def command(ctx: click.Context, as_json: bool, socket: str | None, timeout_s: float) -> int:
    """A row per process: name, pid, state, restarts, age of its last beat, memory.

    WEIGHT is the request weight that a process spent in the last minute; all share one allowance.
    """
    answer = find_api(ctx, socket, timeout_s).ask("/api/v1/workers")
    if as_json:
        click.echo(json.dumps(answer))
        return 0
    processes = list(answer.get("workers") or [])
    if answer.get("supervisor"):
        processes.insert(0, {"name": "supervisor", "state": "up", **answer["supervisor"]})
    rows = [TITLES, *(_row(process) for process in processes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if used := usage(answer.get("quota") or {}):
        click.echo(f"all together: {used}")
    return 0


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    state = _word(worker.get("state")) + (" (flapping)" if worker.get("flapping") else "")
    return (
        _word(worker.get("name")),
        _word(worker.get("kind")),
        _word(worker.get("pid")),
        state,
        _word(worker.get("restarts")),
        age(worker.get("beat_age_s")),
        age(worker.get("uptime_s")),
        _memory(worker.get("memory_bytes")),
        _word(worker.get("weight_used")),
        _end(worker.get("last_exit")),
    )


def _end(code: object) -> str:
    """An exit status as a number; a signal as its negative number and its name, for example -9 (SIGKILL)."""
    if not isinstance(code, int) or code >= 0:
        return _word(code)
    try:
        return f"{code} ({signal.Signals(-code).name})"
    except ValueError:  # a realtime signal has no name
        return str(code)


def usage(quota: dict[str, Any]) -> str:
    """A sentence on the request weight and connections spent in the last minute, from the API's `quota`;
    empty if that is missing."""
    if "weight_used" not in quota:
        return ""
    said = f"weight {quota['weight_used']} of {quota['weight_limit']} a minute"
    if "connections_used" in quota:
        said += f", new connections {quota['connections_used']} of {quota['connections_limit']}"
    if quota.get("silent_s"):
        said += f", silent for {quota['silent_s']:.0f} s more: the venue said it was too much"
    return said


def _word(value: object) -> str:
    return "-" if value is None or value == "" else " ".join(str(value).split())


def age(seconds: float | None) -> str:
    """Seconds in a short form: 0.4s, 12s, 3m, 2h, 5d; `-` for None. A unit is used from two of it on."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def _memory(count: int | None) -> str:
    return "-" if count is None else f"{count / 1048576:.1f} MiB"

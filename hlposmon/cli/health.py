"""`hlposmon health`: one line for a monitoring system (Nagios plugin form) and its exit status.

Must stay light: click and a socket, nothing else. 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from hlposmon.cli.options import find_api, socket_option, timeout_option
from hlposmon.errors import HlposmonError, NotPermitted, WireError

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
STATUSES = {"healthy": OK, "degraded": WARNING, "unhealthy": CRITICAL, "stopping": CRITICAL}
# perfdata label, key in ages_s, and the thresholds in seconds for a monitor that names none
AGES = (
    ("fills_age", "fills", (5, 15)),
    ("price_age", "prices", (5, 15)),
    ("sync_age", "reconcile", (120, 300)),
)


@click.command("health", short_help="One line and an exit status for monitoring systems.")
@click.option("--json", "as_json", is_flag=True, help="The monitor's health as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is well.")
@socket_option
@timeout_option
@click.pass_context
def command(ctx: click.Context, as_json: bool, quiet: bool, socket: str | None, timeout_s: float) -> int:
    """One monitoring-plugin line; exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    try:
        health = find_api(ctx, socket, timeout_s).health()
    except HlposmonError as error:
        # Who cannot look cannot say; but a monitor that does not answer is down for all who rely on it.
        code = UNKNOWN if isinstance(error, (NotPermitted, WireError)) else CRITICAL
        health = {"status": "unknown", "running": False, "reasons": [str(error)]}
        line = f"HLPOSMON {WORDS[code]} - {_plain(error)}"
    else:
        code = STATUSES.get(str(health.get("status")), UNKNOWN)
        line = plugin_line(code, health)
    if as_json:
        line = json.dumps(health, separators=(", ", ": "))
    if not (quiet and code == OK):
        click.echo(line)
    return code


def plugin_line(code: int, health: dict[str, Any]) -> str:
    """`HLPOSMON OK - 2 positions, uPnL +12.34 USD, all proven | fills_age=0.8s;5;15;0 ...`"""
    count = int(health.get("positions") or 0)
    verdicts = health.get("verdicts") or {}
    parts = [] if health.get("mode", "live") == "live" else [str(health["mode"]).upper()]
    if health.get("status") == "stopping":
        parts.append("stopping")
    if health.get("stated", True) or count:
        parts.append(f"{count} position{'' if count == 1 else 's'}")
        parts += _profit(health.get("unrealized_pnl"))
    else:
        parts.append("positions unknown")  # an exchange that has not answered is not flat
    parts += _verdicts(verdicts)
    reasons = health.get("reasons") or []
    text = ", ".join(parts) + (": " + "; ".join(map(_plain, reasons)) if reasons else "")
    return f"HLPOSMON {WORDS[code]} - {text} | {_perfdata(health, count, verdicts)}"


def _perfdata(health: dict[str, Any], count: int, verdicts: dict[str, int]) -> str:
    ages, thresholds = health.get("ages_s") or {}, health.get("thresholds") or {}
    data = []
    for label, key, default in AGES:
        warn, critical = thresholds.get(key) or default
        age = ages.get(key)
        # U: the value could not be determined (plugin guidelines)
        value = "U" if age is None else f"{_short(age)}s"
        data.append(f"{label}={value};{_short(warn)};{_short(critical)};0")
    positions = count if health.get("stated", True) or count else "U"
    return " ".join([*data, f"positions={positions};;;0", f"drift={verdicts.get('drift', 0)};0;0;0"])


def _short(number: float) -> str:
    """At most one digit after the point, and none that says nothing: 0.8, 21."""
    return f"{number:.1f}".removesuffix(".0")


def _profit(amount: object) -> list[str]:
    if not isinstance(amount, str):
        return []
    try:
        return [f"uPnL {Decimal(amount):+.2f} USD"]
    except InvalidOperation:
        return []


def _verdicts(verdicts: dict[str, int]) -> list[str]:
    others = [f"{number} {name}" for name, number in verdicts.items() if number and name != "proven"]
    if others:
        return others
    return ["all proven"] if verdicts.get("proven") else []


def _plain(reason: object) -> str:
    """One line without the bar that begins the perfdata."""
    return " ".join(str(reason).replace("|", "/").split())

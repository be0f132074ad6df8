"""The output for a monitoring system: one line with perfdata, and with `-v` further lines. Pure.

https://www.monitoring-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

from hlposmon.cli.probe.figures import AGES, FIGURES, flat_in_doubt, position_count
from hlposmon.cli.probe.verdict import WORDS

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from typing import Any

    from hlposmon.cli.probe.thresholds import Range
    from hlposmon.cli.probe.verdict import Verdict

    Thresholds = dict[str, dict[str, Range]]

# A pager shows one line. Reasons that do not fit are counted; -v shows all of them in full.
REASONS, REASON_CHARS, LINE_CHARS = 3, 160, 400


def plugin_line(health: dict[str, Any], verdict: Verdict, thresholds: Thresholds) -> str:
    """`HLPOSMON OK - 2 positions, uPnL +12.34 USD, all proven | fills_age=0.8s;5;15;0 ...`"""
    count = position_count(health)
    parts = [] if health.get("mode", "live") == "live" else [plain(health["mode"]).upper()]
    if health.get("status") == "stopping":
        parts.append("stopping")
    if count is None:
        parts.append("positions unknown")  # an exchange that has not answered is not flat
    else:
        parts.append(f"{count} position{'' if count == 1 else 's'}")
        # These have verdicts too; without them the counts of verdicts would not add up.
        parts += [f"{flats} flat in doubt"] if (flats := flat_in_doubt(health)) else []
        parts += _profit(health.get("unrealized_pnl"))
    parts += _verdicts(health.get("verdicts") or {})
    text = ", ".join(parts) + _reasons(verdict.reasons)
    return f"HLPOSMON {WORDS[verdict.code]} - {text} | {_perfdata(health, verdict, thresholds)}"


def error_line(code: int, error: object) -> str:
    """The line for a check that got no answer, or failed."""
    return f"HLPOSMON {WORDS[code]} - {_cut(plain(error), LINE_CHARS)}"


def details(verdict: Verdict, thresholds: Thresholds) -> list[str]:
    """The lines of `-v`: each reason in full, then each metric with a threshold, its value and its ranges."""
    lines = [plain(reason) for reason in verdict.reasons]
    for metric, levels in thresholds.items():
        value = verdict.values.get(metric)
        shown = "unknown" if value is None else f"{value:f}{FIGURES[metric].unit}"
        lines.append(f"{metric}: {shown}, " + ", ".join(f"{name} {one.text}" for name, one in levels.items()))
    return lines


def plain(reason: object) -> str:
    """The text on one line, with the bar that separates perfdata and non-printable characters replaced."""
    text = " ".join(str(reason).replace("|", "/").split())
    return "".join(char if char.isprintable() else "?" for char in text)


def _reasons(reasons: list[str]) -> str:
    if not reasons:
        return ""
    told = [_cut(plain(reason), REASON_CHARS) for reason in reasons[:REASONS]]
    more = len(reasons) - len(told)
    return ": " + "; ".join([*told, f"and {more} more"] if more else told)


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 3].rstrip() + "..."


def _perfdata(health: dict[str, Any], verdict: Verdict, thresholds: Thresholds) -> str:
    ages, limits = health.get("ages_s") or {}, health.get("thresholds") or {}
    data = []
    for label, key, default in AGES:
        warn, critical = map(_short, limits.get(key) or default)
        age = ages.get(key)
        # U: the value could not be determined (plugin guidelines)
        value = "U" if age is None else f"{_short(age)}s"
        data.append(f"{label}={value};{_limits(thresholds.get(label), warn, critical)};0")
    count = position_count(health)
    given = thresholds.get("positions")
    data.append(f"positions={'U' if count is None else count};{_limits(given, '', '')};0")
    drifts = int((health.get("verdicts") or {}).get("drift", 0))
    unknown = "drift" in thresholds and verdict.values.get("drift") is None
    data.append(f"drift={'U' if unknown else drifts};{_limits(thresholds.get('drift'), '0', '0')};0")
    shown = {label for label, _, _ in AGES} | {"positions", "drift"}
    return " ".join([*data, *_others(verdict, thresholds, shown)])


def _others(verdict: Verdict, thresholds: Thresholds, shown: set[str]) -> list[str]:
    """Perfdata of the metrics that are shown only because they have a threshold."""
    data = []
    for metric, levels in thresholds.items():
        if metric not in shown:
            value, figure = verdict.values.get(metric), FIGURES[metric]
            text = "U" if value is None else f"{value:f}{figure.unit}"
            data.append(f"{metric}={text};{_limits(levels, '', '')};{figure.least}".rstrip(";"))
    return data


def _limits(levels: dict[str, Range] | None, warn: str, critical: str) -> str:
    """`warn;critical`: the given ranges. A default stays only for a level that no given range replaces; `-w`
    drops the critical default too."""
    if not levels:
        return f"{warn};{critical}"
    if "warning" in levels:
        warn, critical = levels["warning"].text, ""
    return f"{warn};{levels['critical'].text if 'critical' in levels else critical}"


def _short(number: float) -> str:
    """The number with one decimal, without a trailing `.0`: 0.8, 21."""
    return f"{number:.1f}".removesuffix(".0")


def _profit(amount: object) -> list[str]:
    if not isinstance(amount, str):
        return []
    from decimal import Decimal, InvalidOperation

    try:
        return [f"uPnL {Decimal(amount):+.2f} USD"]
    except InvalidOperation:
        return []


def _verdicts(verdicts: dict[str, int]) -> list[str]:
    others = [f"{number} {plain(name)}" for name, number in verdicts.items() if number and name != "proven"]
    if others:
        return others
    return ["all proven"] if verdicts.get("proven") else []

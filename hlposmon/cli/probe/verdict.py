"""Combines the monitor's own health and the given thresholds into one status and its reasons. Pure.

Thresholds add reasons to the monitor's own. They replace only one kind: a warning (`-w`) on the age of a feed
replaces the monitor's own warning about it, up to the age at which data of this feed counts as stale. Stale,
drifting or unproven data is always reported: frozen data must not look healthy.

Example: the monitor is degraded because prices are 8 s old (its limits are 5 and 15 s), and for
no other reason. With `-w price_age=10` the status is OK; at 12 s it is WARNING by the given threshold, and at
16 s the monitor's own reason counts again.
"""

from __future__ import annotations

from hlposmon.cli.probe.figures import AGES, FIGURES

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from hlposmon.cli.probe.thresholds import Range

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
STATUSES = {"healthy": OK, "degraded": WARNING, "unhealthy": CRITICAL, "stopping": CRITICAL}
# From the mildest to the worst: a known failure outweighs an unknown state, which outweighs a warning.
SEVERITY = (OK, WARNING, UNKNOWN, CRITICAL)


class Verdict:
    """The result of a check: exit status `code`, and `reasons`, the worst first.

    `values` has the metrics with a threshold (None if unknown), `breaches` the broken thresholds for --json.
    """

    __slots__ = ("breaches", "code", "reasons", "values")

    def __init__(self, code: int, reasons: list[str]) -> None:
        self.code, self.reasons = code, reasons
        self.breaches: list[dict[str, Any]] = []
        self.values: dict[str, Decimal | None] = {}


def judge(
    health: dict[str, Any], summary: dict[str, Any] | None, thresholds: dict[str, dict[str, Range]]
) -> Verdict:
    """The verdict on a monitor that answered. `summary` may be None if `needs_summary` is False; otherwise
    the metrics in it are unknown."""
    code, own = _own(health, thresholds)
    found = [(code, reason) for reason in own]
    verdict = Verdict(code, own)
    for metric, levels in thresholds.items():
        value = FIGURES[metric].value(health, summary)
        verdict.values[metric] = value
        found += _broken(metric, value, levels, verdict.breaches)
    if found:
        found.sort(key=lambda one: -SEVERITY.index(one[0]))
        verdict.reasons = [reason for _, reason in found]
        verdict.code = max((code, found[0][0]), key=SEVERITY.index)
    return verdict


def needs_summary(thresholds: dict[str, dict[str, Range]]) -> bool:
    """Whether a threshold is set on a metric that only the summary has."""
    return any(FIGURES[metric].is_summed for metric in thresholds)


def reasons_of(health: dict[str, Any]) -> list[str]:
    """The monitor's reasons, each prefixed by its account if `details` names one and the text does not."""
    accounts: dict[str, list[Any]] = {}
    for detail in health.get("details") or []:
        accounts.setdefault(str(detail.get("text")), []).append(detail.get("account"))
    reasons = []
    for reason in map(str, health.get("reasons") or []):
        account = accounts[reason].pop(0) if accounts.get(reason) else None
        is_named = account is None or str(account) in reason.replace(":", " ").split()
        reasons.append(reason if is_named else f"account {account}: {reason}")
    return reasons


def _own(health: dict[str, Any], thresholds: dict[str, dict[str, Range]]) -> tuple[int, list[str]]:
    code = STATUSES.get(str(health.get("status")), UNKNOWN)
    reasons = reasons_of(health)
    if code != WARNING or not thresholds:
        return code, reasons
    late, limits, ages = health.get("late") or {}, health.get("thresholds") or {}, health.get("ages_s") or {}
    replaced = []
    for label, key, default in AGES:
        age, (_, stale_s) = ages.get(key), limits.get(key) or default
        if "warning" in thresholds.get(label, ()) and key in late and age is not None and age <= stale_s:
            replaced.append(late[key])
    left = [reason for reason in reasons if reason not in replaced]
    # A monitor that is degraded without giving a reason stays a warning.
    return (OK if reasons and not left else WARNING), left


def _broken(
    metric: str, value: Decimal | None, levels: dict[str, Range], breaches: list[dict[str, Any]]
) -> list[tuple[int, str]]:
    """Status and reason of the worst level that the value breaks, in a list; empty if it breaks none.

    An unknown value is UNKNOWN. Adds to `breaches`.
    """
    if value is None:
        breaches.append({"metric": metric, "value": None, "level": "unknown", "range": None})
        return [(UNKNOWN, f"{metric} is not known")]
    for level, code in (("critical", CRITICAL), ("warning", WARNING)):
        wanted = levels.get(level)
        if wanted is not None and wanted.is_broken_by(value):
            breaches.append({"metric": metric, "value": f"{value:f}", "level": level, "range": wanted.text})
            return [(code, f"{metric} {value:f}{FIGURES[metric].unit} breaks {level} {wanted.text}")]
    return []

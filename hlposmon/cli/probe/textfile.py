"""Writes the result of a check for node_exporter's textfile collector, also if the monitor does not answer.

The format is written by hand, since importing prometheus_client would take longer than the check. All names
begin with `hlposmon_health_`, so that they cannot collide with the monitor's own `/metrics`.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hlposmon.cli.probe.figures import FIGURES, position_count
from hlposmon.system.files import replace_file

TYPE_CHECKING = False  # typing's, without typing
if TYPE_CHECKING:
    from typing import Any

VERDICTS = ("proven", "unproven", "drift", "stale")
Samples = Iterable[tuple[Mapping[str, str], object]]


def exposition(health: Mapping[str, Any], code: int, now_s: float) -> str:
    """The text of the file. `code` is the exit status, `now_s` the Unix time in seconds. Unknown values are
    left out, never written as zero."""
    answered = health.get("status") != "unknown"
    families = [
        _family(
            "status", "gauge", "Status of the check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.", [({}, code)]
        ),
        _family("timestamp_seconds", "gauge", "When the check was made.", [({}, f"{now_s:.3f}")]),
        _family("up", "gauge", "1 when the monitor answered.", [({}, int(answered))]),
    ]
    return "".join([*families, *_of_monitor(health, now_s)] if answered else families)


def _of_monitor(health: Mapping[str, Any], now_s: float) -> list[str]:
    ages = (health.get("ages_s") or {}).items()
    heard = [({"feed": feed}, f"{now_s - age:.3f}") for feed, age in ages if age is not None]
    verdicts = {**dict.fromkeys(VERDICTS, 0), **(health.get("verdicts") or {})}
    by_verdict = [({"verdict": name}, count) for name, count in verdicts.items()]
    count = position_count(dict(health))
    incidents = [({"kind": kind}, n) for kind, n in (health.get("incidents") or {}).items()]
    return [
        _family("feed_heard_timestamp_seconds", "gauge", "When a feed was last heard.", heard),
        _family("positions", "gauge", "Open positions.", [({}, count)]),
        _family(
            "positions_by_verdict", "gauge", "Positions by verdict.", by_verdict if count is not None else []
        ),
        _family("unrealized_pnl_usd", "gauge", "Unrealised P&L of all accounts.", _known(health, "upnl")),
        _family("worker_restarts_total", "counter", "Restarts of all processes.", _known(health, "restarts")),
        _family(
            "incidents_total", "counter", "Gaps, gaps healed, drifts since the tracker began.", incidents
        ),
        _family(
            "journal_backlog_lines", "gauge", "Audit lines that wait.", _known(health, "journal_backlog")
        ),
        _family(
            "history_backlog_lines",
            "gauge",
            "Lines not in the history yet.",
            _known(health, "history_backlog"),
        ),
    ]


def _known(health: Mapping[str, Any], figure: str) -> Samples:
    value = FIGURES[figure].value(dict(health), None)
    return [({}, None if value is None else f"{value:f}")]


def _family(name: str, kind: str, text: str, samples: Samples) -> str:
    """The lines of one metric family with its known samples; empty if none is known."""
    full = f"hlposmon_health_{name}"
    lines = [f"{full}{_labels(labels)} {value}\n" for labels, value in samples if value is not None]
    return "".join([f"# HELP {full} {text}\n# TYPE {full} {kind}\n", *lines]) if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{_escaped(str(value))}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def write(path: str, text: str) -> None:
    """Replace the file atomically, so that node_exporter never reads half of it. Raises OSError.

    The temporary file must not end in .prom, or node_exporter would read it too. Mode 0644 lets
    node_exporter, which runs as another user, read the file.
    """
    replace_file(path, text, mode=0o644)

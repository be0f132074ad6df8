"""The figures for Prometheus, made when they are asked for. prometheus_client's door.

Names follow Prometheus's conventions; ages are given as the time of the last event.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from hlposmon import __version__
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, View
from hlposmon.wire.published import figures


class _Figures:
    """A collector over one picture of the tracker."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def exposition(
    views: Sequence[View],
    accounts: Sequence[AccountView],
    health: dict[str, Any],
    workers: Sequence[dict[str, Any]],
    *,
    now_s: float,
    clients: int,
    journal_lines: int,
    fill_feeds: Mapping[str, Mapping[str, int]],
    usage: Mapping[str, float],
) -> bytes:
    """The text exposition of everything. `now_s` is wall-clock seconds."""
    registry = CollectorRegistry()
    registry.register(
        _Figures([*_of_positions(views), *_of_accounts(accounts), *_of_service(health, workers, now_s)])
    )
    registry.register(
        _Figures(
            [
                GaugeMetricFamily("hlposmon_stream_clients", "Open streams.", value=clients),
                CounterMetricFamily(
                    "hlposmon_journal_lines", "Number of the last audit line.", value=journal_lines
                ),
            ]
        )
    )
    registry.register(_Figures([*_of_feeds(fill_feeds), *_of_usage(usage)]))
    return generate_latest(registry)


def _of_positions(views: Sequence[View]) -> Iterator[Metric]:
    labels = ["account", "key"]
    sizes = GaugeMetricFamily("hlposmon_position_size", "Signed size in base units.", labels=labels)
    pnl = GaugeMetricFamily("hlposmon_position_unrealized_pnl_usd", "Unrealised P&L.", labels=labels)
    notional = GaugeMetricFamily("hlposmon_position_notional_usd", "Size times mark.", labels=labels)
    realized = GaugeMetricFamily("hlposmon_position_realized_pnl_usd", "Realised P&L, gross.", labels=labels)
    fills = CounterMetricFamily("hlposmon_fills", "Fills taken into the book.", labels=labels)
    verdicts = GaugeMetricFamily(
        "hlposmon_position_verdict", "1 for the verdict in force.", labels=[*labels, "verdict"]
    )
    for view in views:
        name, shown = [view.account, view.key], figures(view)
        sizes.add_metric(name, float(view.position.size))
        realized.add_metric(name, float(view.position.realized))
        fills.add_metric(name, view.position.fills)
        if shown.unrealized is not None:
            pnl.add_metric(name, float(shown.unrealized))
        if shown.notional is not None:
            notional.add_metric(name, float(shown.notional))
        for verdict in Verdict:
            verdicts.add_metric([*name, verdict.value], float(view.verdict is verdict))
    yield from (sizes, pnl, notional, realized, fills, verdicts)


def _of_accounts(accounts: Sequence[AccountView]) -> Iterator[Metric]:
    equity = GaugeMetricFamily(
        "hlposmon_account_equity_usd", "Account value, as the venue states it.", labels=["account"]
    )
    margin = GaugeMetricFamily(
        "hlposmon_account_margin_used_usd", "Margin used, as the venue states it.", labels=["account"]
    )
    for account in accounts:
        if account.equity is not None:
            equity.add_metric([account.account], float(account.equity))
        if account.margin_used is not None:
            margin.add_metric([account.account], float(account.margin_used))
    yield from (equity, margin)


def _of_feeds(fill_feeds: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    brought = CounterMetricFamily("hlposmon_feed_fills", "Fills that a feed brought.", labels=["feed"])
    missed = CounterMetricFamily(
        "hlposmon_feed_missed_fills", "Fills that a live feed did not bring.", labels=["feed"]
    )
    for name, counts in fill_feeds.items():
        brought.add_metric([name], counts["fills"])
        missed.add_metric([name], counts["missed"])
    yield from (brought, missed)


def _of_usage(usage: Mapping[str, float]) -> Iterator[Metric]:
    for name, text in (
        ("weight_used", "Request weight spent in the last minute."),
        ("weight_limit", "Request weight that the venue allows a minute."),
        ("connections_used", "Connections opened in the last minute."),
        ("connections_limit", "New connections that the venue allows a minute."),
    ):
        if name in usage:
            yield GaugeMetricFamily(f"hlposmon_request_{name}", text, value=usage[name])


def _of_service(health: dict[str, Any], workers: Sequence[dict[str, Any]], now_s: float) -> Iterator[Metric]:
    mode = InfoMetricFamily("hlposmon", "The version, and what it runs on: live or simulated.")
    mode.add_metric([], {"mode": health["mode"], "version": __version__})
    yield mode
    yield GaugeMetricFamily("hlposmon_healthy", "1 when healthy.", value=float(health["status"] == "healthy"))
    heard = GaugeMetricFamily(
        "hlposmon_feed_heard_timestamp_seconds", "When a feed was last heard.", labels=["feed"]
    )
    for feed, age_s in health["ages_s"].items():
        if age_s is not None:
            heard.add_metric([feed], now_s - age_s)
    yield heard
    incidents = CounterMetricFamily(
        "hlposmon_incidents", "Gaps, gaps healed, drifts since the tracker began.", labels=["kind"]
    )
    for kind, count in health["incidents"].items():
        incidents.add_metric([kind], count)
    yield incidents
    restarts = CounterMetricFamily("hlposmon_worker_restarts", "Restarts of a process.", labels=["worker"])
    memory = GaugeMetricFamily(
        "hlposmon_worker_resident_memory_bytes", "Memory of a process.", labels=["worker"]
    )
    for worker in workers:
        restarts.add_metric([worker["name"]], worker["restarts"])
        if worker["memory_bytes"] is not None:
            memory.add_metric([worker["name"]], worker["memory_bytes"])
    yield from (restarts, memory)

"""All Prometheus metrics, built at each scrape: money, verdicts and failures, feeds, storage, processes.

Names follow https://prometheus.io/docs/practices/naming: base units, `_total` for counters, and for ages the
time of the last event. Counters start at zero with the tracker, except the restarts, which the supervisor
counts from its own start.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from hlposmon import __version__
from hlposmon.domain.rendering import Sums, is_listed
from hlposmon.domain.reports import FillCause
from hlposmon.domain.verdict import Proof, Verdict
from hlposmon.domain.views import Figures, View
from hlposmon.engine.incidents import KINDS
from hlposmon.metrics.families import Metric, counter, exposition_of, gauge, histogram, process, single
from hlposmon.metrics.input import MetricsInput

POSITION, ACCOUNT, FEED, WORKER = ("account", "key"), ("account",), ("feed",), ("worker",)
Rows = Iterator[tuple[tuple[str, ...], Any]]
STATUSES = ("healthy", "degraded", "unhealthy", "stopping")


def exposition(given: MetricsInput, accept: str = "") -> tuple[str, bytes]:
    """Return the content type and the encoded metrics; `accept` is the request's Accept header."""
    parts = (_positions, _accounts, _truth, _fills, _feeds, _keeping, _serving, _workers, _about)
    return exposition_of((metric for part in parts for metric in part(given)), accept)


def _positions(given: MetricsInput) -> Iterator[Metric]:
    """Every position that was ever held; some values exist only while it is open."""
    shown = [((view.account, view.key), view, view.figures) for view in given.views]

    def each(name: str, text: str, value: Callable[[View, Figures], Decimal | float | None]) -> Metric:
        rows = ((labels, value(view, one)) for labels, view, one in shown)
        return gauge(f"hlposmon_position_{name}", text, POSITION, rows)

    yield each("size", "Signed size in base units; 0 when flat.", lambda view, _: view.position.size)
    yield each("entry_price_usd", "Average entry price.", lambda view, _: view.position.entry_price)
    yield each("mark_price_usd", "Mark price.", lambda view, _: view.mark)
    text = "As the exchange states it, or as it follows from its statement at present marks."
    yield each("liquidation_price_usd", text, lambda view, _: view.liquidation_price)
    yield each("notional_usd", "Absolute size times mark.", lambda _, one: one.notional)
    yield each("leverage_ratio", "Leverage, as the exchange states it.", lambda view, _: view.leverage)
    yield each("margin_used_usd", "As the exchange states it.", lambda view, _: view.margin_used)
    text = "What it must keep, by the exchange's margin tiers."
    yield each("maintenance_margin_usd", text, lambda view, _: view.maintenance_margin)
    text = "Distance of the mark to the liquidation price, as a part of the mark; negative beyond."
    yield each("liquidation_distance_ratio", text, lambda view, _: view.liquidation_distance)
    yield each("unrealized_pnl_usd", "Size times mark, less cost.", lambda _, one: one.unrealized)
    text = "Gross of fees and funding."
    yield each("realized_pnl_usd", text, lambda view, _: _booked(view, view.position.realized))
    text = "Fees paid; less rebates."
    yield each("fees_usd", text, lambda view, _: _booked(view, view.position.fees))
    text = "Funding; positive when received."
    yield each("funding_usd", text, lambda view, _: _booked(view, view.position.funding))
    yield each("total_pnl_usd", "Realised + unrealised - fees + funding.", lambda _, one: one.total)
    text = "The exchange's time of the last fill."
    yield each("last_fill_timestamp_seconds", text, lambda view, _: _seconds(view.last_fill_ms))
    text = "The exchange's time up to which the position is known."
    yield each("as_of_timestamp_seconds", text, lambda view, _: _seconds(view.as_of_ms))


def _booked(view: View, amount: Decimal) -> Decimal | None:
    """An amount that was earned or paid; None where that is not known."""
    return amount if view.is_booked else None


def _accounts(given: MetricsInput) -> Iterator[Metric]:
    """Sums over an account's positions, flat ones included, and the exchange's own figures for the account.

    Before the exchange's first statement of the account, neither is known and neither is shown.
    """
    held: dict[str, list[View]] = {account.account: [] for account in given.accounts if account.stated}
    for view in given.views:
        if view.account in held:
            held[view.account].append(view)
    sums = {account: Sums(views).shown() for account, views in held.items()}
    for name, key, text in (
        ("positions", "active_positions", "Open positions."),
        ("exposure_usd", "total_exposure", "Sum of notionals."),
        ("unrealized_pnl_usd", "unrealized_pnl", "Sum over positions."),
        ("realized_pnl_usd", "realized_pnl", "Sum over positions, gross of fees and funding."),
        ("fees_usd", "fees", "Fees paid, less rebates."),
        ("funding_usd", "funding", "Funding; positive when received."),
        ("total_pnl_usd", "total_pnl", "Realised + unrealised - fees + funding."),
    ):
        rows = (((account,), found[key]) for account, found in sums.items())
        yield gauge(f"hlposmon_account_{name}", text, ACCOUNT, rows)
    stated = [((one.account,), one) for one in given.accounts]
    for name, text, values in (
        ("equity_usd", "Account value.", [(label, one.equity) for label, one in stated]),
        ("margin_used_usd", "Margin in use.", [(label, one.margin_used) for label, one in stated]),
        (
            "withdrawable_usd",
            "What could be withdrawn.",
            [(label, one.withdrawable) for label, one in stated],
        ),
    ):
        yield gauge(f"hlposmon_account_{name}", f"{text} As the exchange states it.", ACCOUNT, values)
    text = "What of the dexes' cash nothing that was reported explains."
    rests = ((label, one.unexplained) for label, one in stated)
    yield gauge("hlposmon_account_unexplained_usd", text, ACCOUNT, rests)
    kept = ((label, one.maintenance_margin) for label, one in stated)
    text = "What the positions must keep."
    yield gauge("hlposmon_account_maintenance_margin_usd", text, ACCOUNT, kept)
    ratios = ((label, one.margin_ratio) for label, one in stated)
    text = "Maintenance margin over what backs it; at 1 the exchange liquidates."
    yield gauge("hlposmon_account_margin_ratio", text, ACCOUNT, ratios)
    as_of = ((label, _seconds(one.as_of_ms)) for label, one in stated)
    text = "The exchange's time of its last statement of the account."
    yield gauge("hlposmon_account_as_of_timestamp_seconds", text, ACCOUNT, as_of)


def _truth(given: MetricsInput) -> Iterator[Metric]:
    """Verdicts and proofs, the time of the last news of each kind, incidents, and health."""
    listed = [view for view in given.views if is_listed(view)]
    text = "1 for the verdict in force, of positions that are open or in doubt."
    rows = (((one.account, one.key, v.value), one.verdict is v) for one in listed for v in Verdict)
    yield gauge("hlposmon_position_verdict", text, (*POSITION, "verdict"), rows)
    text = "1 for what it is proven by, of positions that are open or in doubt."
    rows = (((one.account, one.key, p.value), one.proof is p) for one in listed for p in Proof)
    yield gauge("hlposmon_position_proof", text, (*POSITION, "proof"), rows)
    text = "1 while a fill is missing or the exchange states another size."
    yield gauge(
        "hlposmon_position_in_doubt", text, POSITION, (((v.account, v.key), v.in_doubt) for v in listed)
    )
    stated = (((one.account, v.value), one.verdict is v) for one in given.accounts for v in Verdict)
    yield gauge("hlposmon_account_verdict", "1 for the verdict in force.", (*ACCOUNT, "verdict"), stated)
    ages = [(feed, age_s) for feed, age_s in given.ages.items() if age_s is not None]
    text = "When each kind of news was last heard; of statements the oldest account's."
    heard = (((feed,), given.wall_s - age_s) for feed, age_s in ages)
    yield gauge("hlposmon_heard_timestamp_seconds", text, ("news",), heard)
    for kind, name, text in zip(
        KINDS,
        ("gaps", "gaps_healed", "drifts", "unlisted_windows"),
        (
            "Times that fills were found missing.",
            "Gaps that were closed by fetching what was missing.",
            "Times that book and exchange disagreed, confirmed.",
            "Windows of fills that the exchange lists no more.",
        ),
        strict=True,
    ):
        counts = (((a.account,), given.incidents.by_account[a.account][kind]) for a in given.accounts)
        yield counter(f"hlposmon_{name}", text, ACCOUNT, counts)
    states = (((status,), given.health.status == status) for status in STATUSES)
    yield gauge("hlposmon_monitor_status", "1 for the status in force.", ("status",), states)
    text = "1 when every account and position is proven, nothing held is left out, nothing late."
    yield single("hlposmon_ready", text, given.health.ready)


def _fills(given: MetricsInput) -> Iterator[Metric]:
    counts = given.counts
    known = {(view.account, view.key) for view in given.views} | set(counts.fills)
    rows = ((name, counts.fills[name]) for name in sorted(known))
    yield counter("hlposmon_fills", "Fills taken into the book.", POSITION, rows)
    # A zero for each cause that has not occurred, so that the first liquidation is an increase.
    accounts = sorted({view.account for view in given.accounts} | {name for name, _ in counts.causes})
    by_cause = (((name, cause.value), counts.causes[name, cause]) for name in accounts for cause in FillCause)
    text = "Fills taken into the book, by what caused them."
    yield counter("hlposmon_fills_by_cause", text, (*ACCOUNT, "cause"), by_cause)
    yield histogram(
        "hlposmon_fill_publish_duration_seconds",
        "From a worker's hearing of a fill on the stream to its being sent to clients.",
        counts.heard_to_published,
    )
    yield histogram(
        "hlposmon_fill_exchange_to_publish_seconds",
        "From the exchange's time of a fill to then; as right as the difference of the two clocks.",
        counts.made_to_published,
    )


def _feeds(given: MetricsInput) -> Iterator[Metric]:
    """Each connection for fills separately, and the reconnects of all workers."""
    tallies = sorted(given.feeds.tallies.items())
    for name, text, rows in (
        ("fills", "Fills that a feed brought.", [((f,), one.fills) for f, one in tallies]),
        ("first_fills", "Fills that a feed brought first.", [((f,), one.first) for f, one in tallies]),
        ("missed_fills", "Fills that a live feed missed.", [((f,), one.missed) for f, one in tallies]),
    ):
        yield counter(f"hlposmon_fill_feed_{name}", text, FEED, rows)
    live = given.feeds.live()
    pairs = ((a.account, feed) for a in given.accounts for feed, _ in tallies)
    states = (((account, feed), (feed, account) in live) for account, feed in pairs)
    text = "1 while a feed is connected, acknowledged and caught up."
    yield gauge("hlposmon_fill_feed_live", text, (*ACCOUNT, *FEED), states)
    heard = (((feed,), given.wall_s - age_s) for feed, age_s in given.feed_ages.items())
    text = "When a feed's connection last said anything."
    yield gauge("hlposmon_fill_feed_heard_timestamp_seconds", text, FEED, heard)
    again = (((worker,), count) for worker, count in sorted(given.counts.reconnects.items()))
    text = "Connections to the exchange that were opened again after one was lost."
    yield counter("hlposmon_reconnects", text, WORKER, again)


def _keeping(given: MetricsInput) -> Iterator[Metric]:
    """Journal and history."""
    journal, history = given.journal, given.history
    yield single("hlposmon_journal_last_line", "Number of the last audit line.", journal.seq)
    yield single("hlposmon_journal_waiting_lines", "Audit lines not in the file yet.", journal.backlog)
    yield single(
        "hlposmon_journal_failing", "1 while the audit cannot be written.", journal.failure is not None
    )
    yield counter("hlposmon_journal_lost_lines", "Audit lines let go unwritten.", (), [((), journal.lost)])
    written_s = None if given.written_ms is None else given.written_ms / 1000
    yield single("hlposmon_journal_written_timestamp_seconds", "When lines were last written.", written_s)
    behind = max(0, journal.seq - history.seq)
    yield single("hlposmon_history_behind_lines", "Audit lines that the history does not have yet.", behind)
    yield single("hlposmon_history_failing", "1 while it cannot be written.", history.failure is not None)


def _serving(given: MetricsInput) -> Iterator[Metric]:
    """The socket and its clients."""
    traffic = given.traffic
    yield single("hlposmon_stream_clients", "Open streams.", traffic.clients)
    yield single("hlposmon_connections", "Open connections, streams among them.", traffic.connections)
    text = "Clients that did not read and were closed."
    yield counter("hlposmon_stream_clients_cut_off", text, (), [((), traffic.cut_off)])
    yield counter("hlposmon_stream_messages", "Messages of the stream.", (), [((), given.published)])
    yield single(
        "hlposmon_stream_replay_messages", "Messages kept for who comes back.", traffic.replay_messages
    )
    yield single("hlposmon_stream_replay_bytes", "Bytes kept for who comes back.", traffic.replay_bytes)
    rows = (((path, str(code)), count) for (path, code), count in sorted(traffic.requests.items()))
    yield counter("hlposmon_http_requests", "Requests answered.", ("path", "code"), rows)


def _workers(given: MetricsInput) -> Iterator[Metric]:
    """The processes, the bytes waiting in their queues, and their share of the exchange's rate limits."""
    rows = given.workers["workers"]
    yield counter("hlposmon_worker_restarts", "Restarts of a process.", WORKER, _of(rows, "restarts"))
    up = (((row["name"],), row["state"] == "up") for row in rows)
    yield gauge("hlposmon_worker_up", "1 while a process is at work.", WORKER, up)
    flaps = _of(rows, "flapping")
    yield gauge("hlposmon_worker_flapping", "1 while it restarts again and again.", WORKER, flaps)
    for name, key in (("beat_timestamp", "beat_age_s"), ("start_time", "uptime_s")):
        text = "When a process last beat." if key == "beat_age_s" else "When a process was started."
        at = (((row["name"],), given.wall_s - row[key]) for row in rows if row[key] is not None)
        yield gauge(f"hlposmon_worker_{name}_seconds", text, WORKER, at)
    everybody = [*rows, {"name": "supervisor", **given.workers["supervisor"]}]
    text = "Memory of a process."
    yield gauge("hlposmon_worker_resident_memory_bytes", text, WORKER, _of(everybody, "memory_bytes"))
    text = "Request weight that a process spent in the last minute."
    yield gauge("hlposmon_worker_request_weight", text, WORKER, _of(rows, "weight_used"))
    text = "What a process has sent to the tracker and the tracker has not taken yet."
    waiting = (((name,), size) for name, size in sorted(given.waiting_bytes.items()))
    yield gauge("hlposmon_queue_waiting_bytes", text, WORKER, waiting)
    for name, key, text in (
        ("weight_used", "weight_used", "Request weight spent in the last minute."),
        ("weight_limit", "weight_limit", "Request weight that the exchange allows a minute."),
        (
            "weight_reserve",
            "weight_kept_for_heals",
            "Request weight that is kept for fetching what is missed.",
        ),
        ("connections_used", "connections_used", "Connections opened in the last minute."),
        ("connections_limit", "connections_limit", "New connections that the exchange allows a minute."),
        ("silence_seconds", "silent_s", "How long nothing may be asked, as the exchange said 429."),
    ):
        yield single(f"hlposmon_request_{name}", text, given.usage.get(key))


def _about(given: MetricsInput) -> Iterator[Metric]:
    built = (__version__, platform.python_version())
    text = "The version; its value is 1."
    yield gauge("hlposmon_build_info", text, ("version", "python_version"), [(built, 1.0)])
    text = "1 when the simulated exchange is watched: no money is real."
    yield single("hlposmon_simulated", text, given.mode == "simulated")
    yield from process()


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _of(rows: Sequence[dict[str, Any]], key: str) -> Rows:
    return (((row["name"],), row[key]) for row in rows)

"""Builds the socket's answers from the current state: summary, health, workers, metrics."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hlposmon.api import messages
from hlposmon.api.publisher import Publisher
from hlposmon.api.server import Traffic
from hlposmon.api.subscribers import Subscribers
from hlposmon.config import Settings
from hlposmon.domain import rendering
from hlposmon.domain.rendering import Renderer, Sums
from hlposmon.domain.views import View
from hlposmon.engine.engine import Engine
from hlposmon.engine.health import Ages, Health, assess
from hlposmon.history.schema import HISTORY_FILE
from hlposmon.metrics.input import MetricsInput
from hlposmon.metrics.measures import Counts
from hlposmon.system.clock import now_ms
from hlposmon.tracker.journal_output import JournalOutput
from hlposmon.tracker.processes import Worker, memory_bytes
from hlposmon.tracker.snapshot_output import SnapshotOutput
from hlposmon.tracker.worker_queues import WorkerQueues

# How long a question for the ledger may wait for the history's file: fills wait as long.
LEDGER_S = 0.05


class Answers:
    """The public view of the tracker; implements `api.server.Source`. It changes nothing.

    Three functions of the supervisor: `board` returns the processes, `usage` the use of the exchange's rate
    limits, and `spent` the request weight that one process, by name, used in the last minute.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        journal: JournalOutput,
        snapshot: SnapshotOutput,
        subscribers: Subscribers,
        publisher: Publisher,
        renderer: Renderer,
        queues: WorkerQueues,
        counts: Counts,
        *,
        board: Callable[[], Sequence[Worker]],
        usage: Callable[[], dict[str, float]],
        spent: Callable[[str], int | None],
    ) -> None:
        self.settings = settings
        self.stopping = False
        # Why the socket cannot be reached, and why the last reload failed; None if it can, or did not.
        self.socket_failure: str | None = None
        self.reload_failure: str | None = None
        self._engine, self._book = engine, engine.book
        self._journal_output, self._journal = journal, journal.journal
        self._snapshot, self._subscribers = snapshot, subscribers
        self._publisher, self._renderer = publisher, renderer
        self._queues, self._counts = queues, counts
        self._board, self._usage, self._spent = board, usage, spent
        self._began_s = time.monotonic()
        self._began_ms = now_ms()

    def summary(self, account: str | None) -> dict[str, Any] | None:
        """Return the summary of all accounts or of one, for `text.dumps`; None if that one is not watched.

        Each position occurs twice, at the top and in its account, but is encoded only once.
        """
        if account is not None and account not in self._book.accounts:
            return None
        names = self._book.accounts if account is None else (account,)
        shown = {name: self._positions(self._book.views(name)) for name in names}
        whole = {name: not self._book.is_partly_unread(name) for name in names}
        stated = {name: self._book.is_wholly_stated(name) for name in names}
        agents = {account.name: account.agent for account in self.settings.hyperliquid.accounts}
        sums = {name: self._renderer.sums(name) for name in names}
        of_all = _sum_of(sums.values())
        is_one, now_s = len(names) == 1, time.monotonic()
        return {
            "timestamp": rendering.time_text(now_ms()),
            "seq": self._subscribers.seq,
            "mode": self.settings.mode,
            "stated": all(stated.values()),
            **of_all.shown(is_whole=all(whole.values()), is_stated=all(stated.values())),
            "positions": shown[names[0]] if is_one else messages.of_all(shown),
            "accounts": {
                name: {
                    **sums[name].shown(is_whole=whole[name], is_stated=stated[name]),
                    "positions": shown[name],
                    **self._account(name, agents.get(name)),
                }
                for name in names
            },
            "feeds": {
                "ages_s": self._ages_json(),
                "fill_feeds_s": self._engine.freshness.feed_ages(now_s),
                "fill_feeds": self._fill_feeds(),
            },
            "quota": self._usage(),
            "health": self.assess().status,
        }

    def health(self) -> dict[str, Any]:
        """Return the health for `text.dumps`: status, reasons, counts, and ages in seconds (None: never).

        Counts of positions and sums are None until the exchange has stated every account.
        """
        health = self.assess()
        is_whole = not any(map(self._book.is_partly_unread, self._book.accounts))
        is_stated = all(map(self._book.is_wholly_stated, self._book.accounts))
        sums = _sum_of(map(self._renderer.sums, self._book.accounts))
        totals = sums.shown(is_whole=is_whole, is_stated=is_stated)
        limits = self._engine.watched.limits
        return {
            "status": health.status,
            "running": not self.stopping,
            "mode": self.settings.mode,
            "ready": health.ready,
            "reasons": health.texts,
            "details": [
                {"code": reason.code.value, "account": reason.account, "text": reason.text}
                for reason in health.reasons
            ],
            "late": health.late,
            "accounts": len(self._book.accounts),
            "positions": totals["active_positions"],
            # Listed positions that are not open, so that open ones and these add up to the verdicts.
            "flat_in_doubt": sum(health.verdicts.values()) - sums.count if is_stated else None,
            "stated": is_stated,
            "unrealized_pnl": totals["unrealized_pnl"],
            "ages_s": self._ages_json(),
            "thresholds": {
                "fills": list(limits.fills),
                "prices": list(limits.prices),
                "reconcile": list(limits.reconcile),
            },
            "verdicts": health.verdicts,
            "restarts": sum(row.restarts for row in self._board()),
            "incidents": self._engine.incidents.counts,
            "journal": {
                "seq": self._journal.seq,
                "backlog": self._journal.backlog,
                "lost": self._journal.lost,
                "failure": self._journal.failure,
            },
            "history": {
                "seq": self._engine.history.seq,
                "backlog": max(0, self._journal.seq - self._engine.history.seq),
                "failure": self._engine.history.failure,
            },
            "since": rendering.time_text(self._began_ms),
        }

    def now_ms(self) -> int:
        """Return the wall clock in Unix milliseconds."""
        return now_ms()

    def ledger(self, account: str | None, since_ms: int | None, until_ms: int | None) -> dict[str, Any]:
        """Return where the equity of each dex came from between the two times (Unix milliseconds), of one
        account, by name or address, or of all. Raises HistoryUnread where the history cannot be read.

        The history's process may be writing: a reader of its file waits for nobody."""
        from hlposmon.history.ledger import read_object  # SQLite is loaded when it is asked for

        path = self.settings.paths.state_dir / HISTORY_FILE
        return read_object(path, since_ms, until_ms, account, timeout_s=LEDGER_S)

    def workers(self) -> dict[str, Any]:
        """Return the supervisor, one row per process, and the use of the exchange's rate limits (`quota`).

        Ages are in seconds, memory in bytes; `weight_used` is the request weight of the last minute.
        """
        rows = [
            {
                "name": row.name,
                "kind": row.kind,
                "pid": row.pid,
                "state": row.state,
                "restarts": row.restarts,
                "beat_age_s": None if row.beat_age_s is None else round(row.beat_age_s, 3),
                "uptime_s": None if row.uptime_s is None else round(row.uptime_s, 3),
                "memory_bytes": memory_bytes(row.pid),
                "weight_used": self._spent(row.name),
                "flapping": row.flapping,
                "last_exit": row.last_exit,
            }
            for row in self._board()
        ]
        supervisor = {"pid": os.getppid(), "memory_bytes": memory_bytes(os.getppid())}
        return {"supervisor": supervisor, "workers": rows, "quota": self._usage()}

    def prepare_metrics(self) -> Callable[[MetricsInput, str], tuple[str, bytes]]:
        """Import and return `exposition`. The import takes about 5 MB and a pause without fills."""
        from hlposmon.metrics.exposition import exposition

        return exposition

    def metrics(self, accept: str, traffic: Traffic) -> tuple[str, bytes]:
        """Return the content type and the encoded metrics; `accept` is the request's Accept header."""
        exposition = self.prepare_metrics()
        now_s = time.monotonic()
        return exposition(
            MetricsInput(
                now_s=now_s,
                wall_s=now_ms() / 1000,
                mode=self.settings.mode,
                health=self.assess(),
                views=self._book.views(),
                accounts=[self._book.account(name) for name in self._book.accounts],
                ages={**self._ages_json()},
                feed_ages=self._engine.freshness.feed_ages(now_s),
                feeds=self._engine.feeds,
                incidents=self._engine.incidents,
                counts=self._counts,
                journal=self._journal,
                written_ms=self._journal_output.written_ms,
                history=self._engine.history,
                workers=self.workers(),
                usage=self._usage(),
                waiting_bytes=self._queues.waiting_bytes(),
                traffic=traffic,
                published=self._publisher.published,
            ),
            accept,
        )

    def assess(self) -> Health:
        """Return the health now, from the engine's state and that of processes, files and sockets."""
        board, engine, now_s = self._board(), self._engine, time.monotonic()
        return assess(
            engine.listing.doubtful(self._book),
            engine.listing.counts,
            [self._book.account(name) for name in self._book.accounts],
            self.ages(),
            engine.watched.limits,
            uptime_s=now_s - self._began_s,
            stopping=self.stopping,
            journal_failure=self._journal.failure,
            history_failure=self._engine.history.failure,
            snapshot_failure=self._snapshot.failure,
            snapshot_complaints=self._snapshot.complaints,
            socket_failure=self.socket_failure,
            reload_failure=self.reload_failure,
            workers_down=[row.name for row in board if row.state != "up" and not row.flapping],
            flapping=[row.name for row in board if row.flapping],
            drifts=engine.incidents.recent(now_s),
        )

    def ages(self) -> Ages:
        """Return the seconds since each kind of news was last received; None for never."""
        now_s, freshness = time.monotonic(), self._engine.freshness
        fills = freshness.fills_age(now_s)
        return Ages(
            fills=fills,
            prices=freshness.prices_age(now_s),
            reconcile=freshness.statements_age(self._book.accounts, now_s),
            pushes=freshness.pushes_age(now_s),
            rest=freshness.rest_age(now_s),
            last_fill=self._last_fill_age() if fills is None else None,
        )

    def _last_fill_age(self) -> float | None:
        """Return the seconds since the newest fill in the book, by the exchange's time; None without fills.

        The fill may be from before this start, so only wall clocks can be compared.
        """
        times = [view.last_fill_ms for view in self._book.views() if view.last_fill_ms is not None]
        return max(0.0, (now_ms() - max(times)) / 1000) if times else None

    def _ages_json(self) -> dict[str, float | None]:
        ages = self.ages()
        return {
            "fills": _rounded(ages.fills),
            "prices": _rounded(ages.prices),
            "reconcile": _rounded(ages.reconcile),
            "pushes": _rounded(ages.pushes),
            "rest": _rounded(ages.rest),
        }

    def _fill_feeds(self) -> dict[str, dict[str, int]]:
        """Return, by feed, how many fills it brought, brought first, and missed."""
        return {
            name: {"fills": one.fills, "first": one.first, "missed": one.missed}
            for name, one in sorted(self._engine.feeds.tallies.items())
        }

    def _account(self, name: str, agent: str | None) -> dict[str, Any]:
        address = self._engine.watched.addresses.get(name)
        return messages.account(self._book.account(name), self._book.scopes(name), address, agent)

    def _positions(self, views: Sequence[View]) -> dict[str, Any]:
        return messages.positions(views, self._renderer, self._engine.updated_ms)


def _sum_of(sums: Iterable[Sums]) -> Sums:
    of_all = Sums()
    for one in sums:
        of_all.add(one)
    return of_all


def _rounded(age: float | None) -> float | None:
    return None if age is None else round(age, 3)

"""What /metrics says: that it agrees with the other surfaces, in either format, and counts what happened."""

import subprocess
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from hlposmon.domain.reports import Connected, FeedState, FillCause
from tests.debian import program
from tests.monitoring.tools import OPENMETRICS, busy, exposed, scraped, value, values
from tests.tracker.desk import KEY, Desk, desk, until

BTC = {"account": "main", "key": KEY}


def test_no_name_is_one_that_a_textfile_of_health_has():
    with busy() as here:
        names = exposed(scraped(here)[1])

    # `hlposmon health --textfile` has these for itself: two meanings of a name would meet in one Prometheus.
    assert [name for name in names if name.startswith("hlposmon_health_")] == []


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_promtool_finds_nothing_to_say_about_the_names(accept: str):
    with busy() as here:
        _, text = scraped(here)
    found = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_figures_are_those_of_the_summary():
    with busy() as here:
        here.join("price", "price").says(here.marks("50010.5"))
        here.join("state", "state").sees_everything()
        until("marked", lambda: (here.position() or {}).get("mark_price") == "50010.5")
        until("plain", lambda: here.api.summary()["accounts"]["main"]["equity"])
        summary, (_, text) = here.api.summary(), scraped(here)
        [position] = summary["positions"].values()
        account = summary["accounts"]["main"]

    for name, field in (
        *(("size", "size"), ("entry_price_usd", "entry_price"), ("mark_price_usd", "mark_price")),
        *(
            ("unrealized_pnl_usd", "unrealized_pnl"),
            ("realized_pnl_usd", "realized_pnl"),
            ("fees_usd", "fees"),
        ),
        *(("funding_usd", "funding"), ("total_pnl_usd", "total_pnl"), ("notional_usd", "notional_value")),
    ):
        assert value(text, f"hlposmon_position_{name}", **BTC) == float(position[field]), name
    for name, field in (
        *(("equity_usd", "equity"), ("exposure_usd", "total_exposure"), ("total_pnl_usd", "total_pnl")),
        *(("unrealized_pnl_usd", "unrealized_pnl"), ("fees_usd", "fees"), ("positions", "active_positions")),
    ):
        assert value(text, f"hlposmon_account_{name}", account="main") == float(account[field]), name
    verdict = {v: value(text, "hlposmon_position_verdict", **BTC, verdict=v) for v in ("proven", "drift")}
    assert verdict == {"proven": 1, "drift": 0}
    assert abs(value(text, "hlposmon_heard_timestamp_seconds", news="fills") - time.time()) < 10


def test_what_is_not_known_is_not_said():
    with busy() as here:
        _, text = scraped(here)

    for name in ("hlposmon_position_liquidation_price_usd", "hlposmon_account_margin_used_usd"):
        assert name in exposed(text)
        assert not [sample for sample, _ in values(text) if sample == name]


@pytest.mark.parametrize(
    ("accept", "begins"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/html", "text/plain; version=0.0.4"),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain; version=0.0.4"),
        (f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=x9", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=1.0.0; escaping=evil", "application/openmetrics-text"),
    ],
)
def test_the_format_is_the_one_that_is_accepted(accept: str, begins: str):
    with busy() as here:
        content_type, text = scraped(here, accept)

    assert content_type.startswith(begins)
    assert "evil" not in content_type
    if begins.startswith("application"):
        assert text.endswith("# EOF\n")
        assert {"hlposmon_fills", "hlposmon_position_size"} <= {
            one.name for one in openmetrics_families(text)
        }
    else:
        assert value(text, "hlposmon_position_size", **BTC) == 6


def test_a_fill_of_the_stream_is_timed_and_a_fetched_one_only_counted():
    with busy() as here:
        before = scraped(here)[1]
        late = here.join("reconcile", "reconcile")
        late.says(replace(here.fills(here.fill("buy", "1", "6")), source="fetch"))
        until("fetched", lambda: (here.position() or {}).get("size") == "7")
        after = scraped(here)[1]

    for name in ("hlposmon_fill_publish_duration_seconds", "hlposmon_fill_exchange_to_publish_seconds"):
        assert value(before, f"{name}_count") == value(after, f"{name}_count") == 5
    assert 0 < value(after, "hlposmon_fill_publish_duration_seconds_sum") < 5
    # They were made 9, 8, 7, 6 and 5 seconds before the test began, by the wall clock.
    assert 35 <= value(after, "hlposmon_fill_exchange_to_publish_seconds_sum") < 60
    fills = [value(text, "hlposmon_fills_total", **BTC) for text in (before, after)]
    assert fills == [5, 6]


def test_a_fill_that_waited_behind_a_gap_is_not_timed_by_the_one_that_closed_it():
    with busy() as here:
        worker = here.join("fill-2")
        first, then = here.fill("buy", "1", "6"), here.fill("buy", "1", "7")
        heard_s = time.monotonic()
        worker.says(replace(here.fills(then), heard_s=heard_s))
        until("a gap", lambda: here.api.health()["incidents"]["gap"] == 1)
        worker.says(replace(here.fills(first), heard_s=heard_s))
        until("healed", lambda: (here.position() or {}).get("size") == "8")
        _, text = scraped(here)

    assert value(text, "hlposmon_fills_total", **BTC) == 7
    assert value(text, "hlposmon_fill_publish_duration_seconds_count") == 6
    assert value(text, "hlposmon_gaps_total", account="main") == 1
    assert value(text, "hlposmon_gaps_healed_total", account="main") == 1


def test_fills_are_counted_by_cause_and_causes_that_have_not_occurred_are_zero():
    with busy() as here:
        late = here.join("reconcile", "reconcile")
        taken = replace(here.fill("sell", "1", "6"), cause=FillCause.LIQUIDATION, liquidation="market")
        late.says(replace(here.fills(taken), source="fetch"))
        until("taken", lambda: (here.position() or {}).get("size") == "5")
        _, text = scraped(here)

    counts = {
        cause: value(text, "hlposmon_fills_by_cause_total", account="main", cause=cause)
        for cause in ("order", "liquidation", "adl")
    }
    assert counts == {"order": 5, "liquidation": 1, "adl": 0}
    assert value(text, "hlposmon_fills_total", **BTC) == 6


def test_connections_that_are_opened_again_are_counted():
    with busy() as here:
        assert value(scraped(here)[1], "hlposmon_reconnects_total", worker="fill") == 1
        here.join("price", "price").says(Connected("price", 4), Connected("price", 6))
        until(
            "both",
            lambda: (
                values(scraped(here)[1]).get(("hlposmon_reconnects_total", frozenset({("worker", "price")})))
                == 2
            ),
        )


def test_a_feed_that_is_down_is_seen_to_be():
    with busy() as here:
        labels = {"account": "main", "feed": "fill"}
        assert value(scraped(here)[1], "hlposmon_fill_feed_live", **labels) == 1
        here.join("fill").says(FeedState("main", "fill", False, time.monotonic(), "lost"))
        until("down", lambda: value(scraped(here)[1], "hlposmon_fill_feed_live", **labels) == 0)


def test_a_new_tracker_is_seen_as_counters_that_begin_again():
    def fills(here: Desk) -> tuple[float, float]:
        _, text = scraped(here)
        return value(text, "hlposmon_fills_total", **BTC), value(text, "hlposmon_position_fees_usd", **BTC)

    with desk() as here:
        for start in (1, 2):
            with here.running():
                worker = here.join()
                worker.is_live()
                worker.says(here.statement(str(start)), here.fills(here.fill("buy", "1", str(start))))
                until("filled", lambda: (here.position() or {}).get("size") == str(start + 1))  # noqa: B023
                assert fills(here) == (1, 1.5 * start)


def test_what_a_worker_has_sent_and_nobody_took_is_measured():
    from hlposmon.ipc.queue import Queue, accept, listen

    with desk() as here:
        path = here.folder / "queue"
        with listen(path) as door:
            worker, ours = Queue.connect(path), accept(door)
            assert ours is not None
            assert ours.waiting_bytes() == 0
            for _ in range(3):
                worker.put(here.marks("50000"))
            whole = ours.waiting_bytes()
            ours.get()

            assert whole > 3 * 40
            assert ours.waiting_bytes() == pytest.approx(whole * 2 / 3, abs=3)
            worker.close()
            ours.close()
            assert ours.waiting_bytes() == 0


def test_amounts_are_exact_until_the_last_step():
    with desk() as here, here.running():
        worker = here.join()
        worker.is_live()
        worker.says(here.statement("0"), here.marks("0.3"))
        until("stated", lambda: here.api.summary()["stated"])
        for start in range(10):
            size = (Decimal("0.1") * start).normalize()
            worker.says(here.fills(here.fill("buy", "0.1", f"{size:f}", fee=Decimal("0.1"))))
        until("all", lambda: (here.position() or {}).get("size") == "1")

        # Ten times 0.1 as floats is 0.9999999999999999.
        assert value(scraped(here)[1], "hlposmon_account_fees_usd", account="main") == 1.0

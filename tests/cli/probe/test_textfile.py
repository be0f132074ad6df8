"""The file for node_exporter: its format as others read it, and that it is never half written."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hlposmon.cli.probe.textfile import exposition, write
from tests.cli.canned_monitor import HEALTH
from tests.debian import program
from tests.monitoring.tools import busy, exposed, scraped

NOW_S = 1_800_000_000.0
FULL = {
    **HEALTH,
    "incidents": {"gap": 1, "healed": 1, "drift": 0},
    "journal": {"backlog": 3},
    "history": {"backlog": 0},
}
DOWN = {"status": "unknown", "running": False, "reasons": ["no monitor is running"]}


def samples(text: str) -> dict[str, float]:
    """By name and labels, as prometheus_client reads them."""
    return {
        sample.name.removeprefix("hlposmon_health_")
        + "".join(f" {value}" for value in sample.labels.values()): (sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_of_a_monitor_that_is_well():
    assert samples(exposition(FULL, 0, NOW_S)) == {
        "status": 0,
        "timestamp_seconds": NOW_S,
        "up": 1,
        "feed_heard_timestamp_seconds fills": NOW_S - 0.8,
        "feed_heard_timestamp_seconds prices": NOW_S - 0.4,
        "feed_heard_timestamp_seconds reconcile": NOW_S - 21,
        "positions": 2,
        "positions_by_verdict proven": 2,
        "positions_by_verdict unproven": 0,
        "positions_by_verdict drift": 0,
        "positions_by_verdict stale": 0,
        "unrealized_pnl_usd": 12.34,
        "worker_restarts_total": 0,
        "incidents_total gap": 1,
        "incidents_total healed": 1,
        "incidents_total drift": 0,
        "journal_backlog_lines": 3,
        "history_backlog_lines": 0,
    }


def test_a_monitor_that_is_down_is_told_too():
    assert {"status": 2, "timestamp_seconds": NOW_S, "up": 0} == samples(exposition(DOWN, 2, NOW_S))


def test_what_is_not_known_is_left_out_and_never_zero():
    unknown = {"positions": 0, "verdicts": {}, "unrealized_pnl": "0.00", "stated": False}
    found = samples(exposition({**FULL, **unknown, "ages_s": {"fills": None}}, 1, NOW_S))

    assert [] == [name for name in found if name.startswith(("positions", "unrealized", "feed_heard"))]


def test_a_label_may_hold_anything():
    odd = 'a"b\\c\nd'

    assert 1 == samples(exposition({**FULL, "incidents": {odd: 1}}, 0, NOW_S))[f"incidents_total {odd}"]


def test_no_name_is_one_of_the_monitors_own():
    with busy() as here:
        theirs = exposed(scraped(here)[1])
    mine = {family.name for family in text_string_to_metric_families(exposition(FULL, 0, NOW_S))}

    assert theirs
    assert set() == theirs & mine
    assert [] == [name for name in mine if not name.startswith("hlposmon_health_")]


@pytest.mark.parametrize("health", [FULL, DOWN])
def test_promtool_finds_nothing(health: dict[str, Any]):
    promtool = program("promtool")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition(health, 0, NOW_S), capture_output=True, text=True
    )

    assert ("", 0) == (done.stderr + done.stdout, done.returncode)


def test_the_file_is_replaced_whole_and_readable_by_others(tmp_path: Path):
    path = tmp_path / "hlposmon.prom"
    path.write_text("old")
    before, umask = path.open(), os.umask(0o077)
    try:
        write(str(path), "new\n")
    finally:
        os.umask(umask)

    assert "new\n" == path.read_text()
    assert "old" == before.read()  # who had it open reads on in the old one
    before.close()
    assert 0o644 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())


def test_what_a_killed_check_left_is_not_in_the_way(tmp_path: Path):
    (tmp_path / f"a.prom.{os.getpid()}").symlink_to(tmp_path / "elsewhere")
    write(str(tmp_path / "a.prom"), "new\n")

    assert [tmp_path / "a.prom"] == list(tmp_path.iterdir())


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path):
    (tmp_path / "a.prom").mkdir()
    with pytest.raises(OSError):
        write(str(tmp_path / "a.prom"), "new\n")

    assert [tmp_path / "a.prom"] == list(tmp_path.iterdir())

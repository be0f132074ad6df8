"""A real monitor on loopback TCP, asked by prometheus_client's parser and by a real Prometheus."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from tests.debian import program
from tests.monitoring.test_grafana import EXPRESSIONS, filled_in
from tests.monitoring.tools import OPENMETRICS, RULES, over_tcp, over_unix, value, values
from tests.system.world import World, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"127.0.0.1:{one.getsockname()[1]}"


@contextlib.contextmanager
def _monitor() -> Iterator[tuple[World, str]]:
    """A monitor of the simulated exchange, and where it listens."""
    address = _free_address()
    with world() as here:
        here.start("--simulate", "--pace", "5", config=f'[tcp]\nlisten = "{address}"\n')
        yield here, address


def test_tcp_and_the_socket_say_the_same_in_both_formats():
    with _monitor() as (here, address):
        until(
            "a fill was timed",
            lambda: value(over_tcp(address)[1], "hlposmon_fill_publish_duration_seconds_count") > 0,
        )
        plain_type, plain = over_tcp(address)
        open_type, text = over_tcp(address, OPENMETRICS)
        _, by_socket = over_unix(here.socket)

    assert plain_type.startswith("text/plain; version=0.0.4")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    found = {sample.name for family in openmetrics_families(text) for sample in family.samples}
    names = {name for name, _ in values(plain)}
    assert found == names == {name for name, _ in values(by_socket)}
    assert {value(plain, "hlposmon_worker_up", worker=name) for name in ("fill", "price", "tracker")} == {1}
    assert value(plain, "hlposmon_simulated") == 1
    assert value(plain, "hlposmon_request_weight_used") > 0
    assert value(plain, "hlposmon_request_weight_limit") == 1200
    within_s = value(plain, "hlposmon_fill_publish_duration_seconds_bucket", le="10.0")
    assert within_s == value(plain, "hlposmon_fill_publish_duration_seconds_count")


def test_a_worker_that_is_killed_is_a_restart_and_its_feed_a_new_one():
    with _monitor() as (here, address):
        [pid] = here.pids("price")
        os.kill(pid, signal.SIGKILL)
        until(
            "replaced",
            lambda: value(over_tcp(address)[1], "hlposmon_worker_restarts_total", worker="price") == 1,
        )
        until("up", lambda: value(over_tcp(address)[1], "hlposmon_worker_up", worker="price") == 1)


@contextlib.contextmanager
def _prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes the target each second; its address."""
    address = _free_address()
    config = folder / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{RULES}"]
scrape_configs:
  - job_name: hlposmon
    static_configs: [{{targets: ["{target}"]}}]
""")
    data, log = folder / "data", (folder / "prometheus.log").open("wb")
    command = [
        *(program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}"),
        f"--web.listen-address={address}",
    ]
    with log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as running:
        try:
            yield address
        finally:
            running.terminate()
            running.wait(timeout=30)


def _asked(address: str, path: str, **query: str) -> Any:
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None  # it is not up yet


def test_a_real_prometheus_takes_everything_and_answers_the_dashboard(tmp_path: Path):
    program("prometheus")
    with _monitor() as (_, target), _prometheus(tmp_path, target) as address:
        [scraped] = until("a target is up", lambda: _up(address))
        assert scraped["lastError"] == ""
        # A rate needs two looks; and there is no drift to draw.
        until("every panel has something to draw", lambda: _empty(address) == {"Drifts"}, within_s=40)
        rules = [rule for group in _asked(address, "rules")["groups"] for rule in group["rules"]]
        alerts = _asked(address, "alerts")["alerts"]
        firing = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert len(rules) == 31
    # Nothing is the matter with it, but that it is simulated (which is said after five minutes).
    assert firing <= {"HlposmonSimulated"}


def _empty(address: str) -> set[str]:
    """The titles of what has no answer now."""
    return {
        title
        for title, expression in EXPRESSIONS
        if not _asked(address, "query", query=filled_in(expression))["result"]
    }


def _up(address: str) -> list[dict[str, Any]]:
    targets = (_asked(address, "targets") or {}).get("activeTargets", [])
    return [target for target in targets if target["health"] == "up"]

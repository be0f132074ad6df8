"""Prometheus's own programs, and what a tracker says to be looked over by them."""

import contextlib
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from hlposmon.domain.reports import Connected
from tests.tracker.desk import Desk, desk, until

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "etc/prometheus/hlposmon.rules.yml"
RULE_TESTS = ROOT / "etc/prometheus/hlposmon.test.yml"
SCRAPE = ROOT / "etc/prometheus/scrape.yml"
DASHBOARD = ROOT / "etc/grafana/hlposmon.json"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scraped(here: Desk, accept: str = "") -> tuple[str, str]:
    """The content type and the text of a tracker's metrics, over its socket."""
    return over_unix(here.settings.paths.socket, accept)


def over_unix(socket: Path, accept: str = "") -> tuple[str, str]:
    import http.client
    import socket as sockets

    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = sockets.socket(sockets.AF_UNIX)
    connection.sock.settimeout(30)
    connection.sock.connect(str(socket))
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.headers["Content-Type"], answer.read().decode()


def over_tcp(address: str, accept: str = "") -> tuple[str, str]:
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return values(text)[name, frozenset(labels.items())]


def exposed(text: str) -> set[str]:
    """Every name that can be asked for, also of families that have no sample now."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names


def named_in(expression: str) -> set[str]:
    """The metrics of ours in a PromQL expression; recorded ones, which hold a colon, are left out."""
    return set(re.findall(r"(?<![:\w\"])(?:hlposmon|process)_\w+(?![\w:])", expression))


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules that are an `alert`, or a `record`."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


@contextlib.contextmanager
def busy() -> Iterator[Desk]:
    """A tracker with a proven position, fills of a stream, a reconnect, and a client."""
    with desk() as here, here.running():
        here.now_ms = int(time.time() * 1000) - 10_000  # each fill is made a second after the one before
        worker = here.join()
        worker.is_live()
        worker.says(here.statement("1"), here.marks("50000"), Connected("fill", 1), Connected("fill", 2))
        until("proven", lambda: (row := here.position()) and row["verdict"] == "proven")
        for start in range(1, 6):
            made = here.fills(here.fill("buy", "1", str(start)))
            worker.says(replace(made, heard_s=time.monotonic()))
        until("filled", lambda: (here.position() or {}).get("size") == "6")
        yield here

"""The dashboard: what Grafana wants of one, and expressions over what there is."""

import json
import re
import subprocess
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.debian import program
from tests.monitoring.tools import DASHBOARD, busy, exposed, named_in, scraped

DASH: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in DASH["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]] + [
    (one["name"], one["expr"]) for one in DASH["annotations"]["list"] if "expr" in one
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def filled_in(expression: str) -> str:
    """With Grafana's variables replaced by what it would put there."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$account", ".*")


def test_it_has_the_fields_of_a_dashboard():
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time", "version"} <= set(DASH)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", DASH["uid"])
    assert DASH["id"] is None, "an id is the database's that it came from"
    assert DASH["schemaVersion"] >= 36


def test_its_rows_are_truth_money_and_machine():
    rows = [panel["title"] for panel in DASH["panels"] if panel["type"] == "row"]

    assert rows == ["Is it true?", "Money", "The machine"]


def test_it_can_be_pointed_at_any_prometheus_monitor_and_account():
    variables = {one["name"]: one for one in DASH["templating"]["list"]}

    assert set(variables) == {"datasource", "instance", "account"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    with busy() as here:
        there_is = exposed(scraped(here)[1])
    for name in ("instance", "account"):
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables[name]["definition"]).groups()
        assert metric in there_is
        assert label == name


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_asks_the_chosen_source(panel: dict[str, Any]):
    assert panel["type"] in ("stat", "timeseries", "state-timeline", "heatmap", "table")
    assert panel["title"]
    assert panel["targets"]
    assert {"defaults", "overrides"} <= set(panel["fieldConfig"])
    assert panel["datasource"] == SOURCE
    assert all(target["datasource"] == SOURCE for target in panel["targets"])
    names = [target["refId"] for target in panel["targets"]]
    assert len(set(names)) == len(names)


def test_panels_have_ids_of_their_own_and_lie_beside_each_other():
    ids = [panel["id"] for panel in DASH["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASH["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations((panel["gridPos"] for panel in DASH["panels"]), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or below, (one, other)


def test_every_metric_of_it_is_there():
    with busy() as here:
        there_is = exposed(scraped(here)[1])
    wanted = {name for _, expression in EXPRESSIONS for name in named_in(expression)}

    assert wanted - there_is == set()
    assert len(wanted) > 40


def test_every_expression_of_it_can_be_read(tmp_path):
    rules = [{"record": f"panel:n{i}", "expr": filled_in(expr)} for i, (_, expr) in enumerate(EXPRESSIONS)]
    path = tmp_path / "dashboard.rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    found = subprocess.run(
        [program("promtool"), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(EXPRESSIONS)} rules found" in found.stdout

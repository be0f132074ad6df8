"""Prometheus's rules: promtool takes them, each alert is shown firing, and they name what there is."""

import re
import subprocess

import pytest
import yaml

from tests.debian import program
from tests.monitoring.tools import (
    ROOT,
    RULE_TESTS,
    RULES,
    SCRAPE,
    busy,
    exposed,
    named_in,
    rules,
    scraped,
)

OPERATIONS = ROOT / "docs/operations.md"
WANTED = {
    *("HlposmonDown", "HlposmonUnhealthy", "HlposmonFeedStale", "HlposmonDrift", "HlposmonUnproven"),
    *("HlposmonGapOpen", "HlposmonWorkerRestarting", "HlposmonReconnecting", "HlposmonWeightHigh"),
    *("HlposmonAuditBlocked", "HlposmonHistoryBehind", "HlposmonQueueGrowing", "HlposmonSlowPublish"),
    *(
        "HlposmonClientsCutOff",
        "HlposmonEquityUnknown",
        "HlposmonMarginHigh",
        "HlposmonMoneyUnexplained",
        "HlposmonMarginRatioHigh",
        "HlposmonNearLiquidation",
        "HlposmonSimulated",
    ),
}


def _promtool(*args: object) -> None:
    found = subprocess.run(
        [program("promtool"), *map(str, args)], capture_output=True, text=True, check=False, cwd=RULES.parent
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_promtool_takes_the_rules():
    _promtool("check", "rules", RULES)


def test_promtool_takes_the_example_of_a_configuration():
    _promtool("check", "config", SCRAPE)


def test_each_alert_fires_when_it_should_and_not_before():
    _promtool("test", "rules", RULE_TESTS)


def test_each_alert_is_tested_firing_and_not_firing():
    fires, quiet = set(), set()
    for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        for case in test.get("alert_rule_test", []):
            (fires if case["exp_alerts"] else quiet).add(case["alertname"])

    assert fires == quiet == {rule["alert"] for rule in rules("alert")} == WANTED


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_grave_it_is_what_it_is_and_where_to_read_on(rule):
    said = rule["annotations"]

    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert len(re.sub("{{.*?}}", "", said["summary"])) < 60
    assert len(said["description"]) > 40
    assert said["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_every_alert_stands_in_the_runbook():
    headings = {line.strip("# \n`").lower() for line in OPERATIONS.open() if line.startswith("#")}
    alerts = {rule["alert"].lower() for rule in rules("alert")}

    assert alerts - headings == set()


def test_the_rules_name_metrics_that_there_are():
    with busy() as here:
        there_is = exposed(scraped(here)[1])
    recorded = {rule["record"] for rule in rules("record")}
    wanted: set[str] = set()
    for rule in [*rules("record"), *rules("alert")]:
        wanted |= named_in(rule["expr"])
        used = {
            word for word in rule["expr"].replace("(", " ").replace(")", " ").split() if ":hlposmon" in word
        }
        assert used <= recorded, used - recorded

    assert wanted - there_is == set()
    assert len(wanted) > 20

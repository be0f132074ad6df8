"""The margin tiers of the watched dexes: requested at the start and every hour, reported when new."""

from decimal import Decimal

import pytest

from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.domain.reports import MarginTables
from hlposmon.workers import margin_tables

BTC, TSLA = "hyperliquid:Perp:BTC", "hyperliquid:Perp:xyz:TSLA"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What could not be had is requested again soon, and what was had a little later."""
    monkeypatch.setattr(margin_tables, "AGAIN_S", 0.05)
    monkeypatch.setattr(margin_tables, "TABLES_S", 0.3)


def told(one) -> list[str]:
    return [report.scope for report in one.tracker.of(MarginTables)]


def metas(one) -> int:
    return one.control.state()["requests"].get("meta", 0)


def test_the_tiers_of_the_first_dex_are_reported_once_as_long_as_they_stay_as_they_are(stage):
    one = stage().fetching()
    one.tracker.until(lambda: metas(one) >= 3)

    [report] = one.tracker.of(MarginTables)
    assert report.scope == ""
    assert report.tables[BTC] == MarginTable(
        (Tier(Decimal("0.0"), Decimal(40)), Tier(Decimal("150000000.0"), Decimal(20)))
    )


def test_the_tiers_of_another_dex_are_requested_once_its_statements_are_wanted(stage):
    one = stage().fetching()
    one.tracker.until(lambda: told(one) == [""])
    one.tracker.want_statements("spot", "xyz")

    one.tracker.until(lambda: told(one) == ["", "xyz"])
    tables = one.tracker.of(MarginTables)[-1].tables
    assert TSLA in tables
    assert BTC not in tables


def test_tiers_that_the_server_refuses_are_requested_again_until_it_tells_them(stage):
    one = stage()
    one.control.refuse_request("meta")
    one.fetching()
    one.tracker.until(lambda: metas(one) >= 2)
    before = told(one)
    one.control.refuse_request("meta", release=True)

    one.tracker.until(lambda: told(one) == [""])
    assert before == []

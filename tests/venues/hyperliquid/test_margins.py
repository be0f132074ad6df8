"""The margin tiers of a dex, from its description."""

from decimal import Decimal

import pytest

from hlposmon.domain.margin import MarginTable, Tier
from hlposmon.errors import WireError
from hlposmon.venues.hyperliquid import payloads
from tests.venues.hyperliquid.payloads import key, without


def tiers(*rows):
    """A margin table of pairs of a lower bound and a leverage."""
    return {"description": "tiered", "marginTiers": [{"lowerBound": a, "maxLeverage": b} for a, b in rows]}


def market(name="BTC", number=56, **changes):
    return without({"name": name, "szDecimals": 5, "maxLeverage": 40, "marginTableId": number} | changes)


def meta(*markets, tables=()):
    return {"universe": list(markets), "marginTables": [list(one) for one in tables], "collateralToken": 0}


BTC = (56, tiers(("0.0", 40), ("150000000.0", 20)))


def test_a_coin_has_the_tiers_of_the_table_that_it_names():
    found = payloads.margin_tables(meta(market(), tables=[(55, tiers(("0.0", 25))), BTC]))

    two = (Tier(Decimal(0), Decimal(40)), Tier(Decimal(150_000_000), Decimal(20)))
    assert found == {key("BTC"): MarginTable(two)}


def test_a_table_below_fifty_is_not_listed_and_has_one_tier_of_that_leverage():
    found = payloads.margin_tables(meta(market("xyz:TSLA", 10), market("OLD", 3, isDelisted=True)))

    assert found == {
        key("xyz:TSLA"): MarginTable.single(Decimal(10)),
        key("OLD"): MarginTable.single(Decimal(3)),
    }


@pytest.mark.parametrize(
    "odd",
    [
        market("ODD", number=...),
        market("ODD", number="3"),
        market("ODD", number=0),
        market("ODD", number=57),  # not listed
        market("ODD", number=58),
        market("ODD", number=59),
        market("", 3),
        ["ODD", 3],
    ],
)
def test_a_coin_whose_tiers_cannot_be_read_is_left_out_and_harms_no_other(odd):
    tables = [(58, tiers(("0.0", 5), ("10.0", 8))), (59, tiers(("0.0", 5.5))), BTC, ["60", {}], [61]]
    found = payloads.margin_tables(meta(odd, market(), market("OLD", 3), tables=tables))

    assert found.keys() == {key("BTC"), key("OLD")}


def test_a_description_of_before_there_were_tables_has_those_below_fifty():
    assert payloads.margin_tables({"universe": [market(), market("OLD", 3)]}).keys() == {key("OLD")}


@pytest.mark.parametrize("body", [None, [], {}, {"universe": {}}, {"universe": [], "marginTables": {}}])
def test_what_is_no_description_is_refused(body):
    with pytest.raises(WireError):
        payloads.margin_tables(body)

"""What a position must keep, by its tiers, and the mark at which it is liquidated."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.amounts import exactly
from hlposmon.domain.margin import MarginTable, Tier


def table(*tiers: tuple[str, str]) -> MarginTable:
    """Of pairs: from which notional on, and the leverage granted there."""
    return MarginTable(tuple(Tier(Decimal(lower), Decimal(leverage)) for lower, leverage in tiers))


ETH = table(("0.0", "25"), ("100000000.0", "15"))
STEEP = table(("0", "50"), ("1000", "10"), ("5000", "3"), ("20000", "1"))


def by_parts(of: MarginTable, notional: Decimal) -> Decimal:
    """The same margin, added up: each part of the notional at the rate of its own tier."""
    ends = [*(tier.lower for tier in of.tiers[1:]), None]
    with exactly():
        return sum(
            (min(notional, notional if end is None else end) - tier.lower) / (2 * tier.max_leverage)
            for tier, end in zip(of.tiers, ends, strict=True)
            if notional > tier.lower
        ) + Decimal(0)


def test_the_documented_example_of_two_tiers():
    kept = ETH.maintenance(Decimal(150_000_000))

    assert kept.quantize(Decimal("0.01")) == Decimal("3666666.67")
    assert ETH.maintenance(Decimal(100_000_000)) == 2_000_000
    assert ETH.maintenance(Decimal(0)) == 0


def test_the_documented_example_of_a_liquidation():
    found = MarginTable.single(Decimal(10)).liquidation_price(
        Decimal("-4.0"), Decimal("48.145"), Decimal("8.935417")
    )

    assert found is not None
    assert found.quantize(Decimal(1).scaleb(-10)) == Decimal("50.2724802381")


@given(st.decimals("0", "100000", places=4))
def test_the_margin_is_what_each_part_of_the_notional_must_keep_by_its_own_tier(notional):
    assert abs(STEEP.maintenance(notional) - by_parts(STEEP, notional)) < Decimal("1e-40")


@given(
    size=st.decimals("0.01", "1000", places=2),
    side=st.sampled_from([1, -1]),
    mark=st.decimals("1", "500", places=2),
    free=st.decimals("-50000", "50000", places=2),
)
def test_at_the_liquidation_price_the_equity_is_the_maintenance_margin(size, side, mark, free):
    """Across any number of tiers, from above and from below."""
    with exactly():
        equity = free + STEEP.maintenance(size * mark)
        found = STEEP.liquidation_price(side * size, mark, free)

        def left(price: Decimal) -> Decimal:
            return equity + side * size * (price - mark) - STEEP.maintenance(size * price)

        if found is None:
            # A long that is worth enough at any price; a short that is not worth enough at any.
            assert side * left(Decimal(0)) >= 0
        else:
            assert found > 0
            assert abs(left(found)) < Decimal("1e-40")


def test_a_position_that_is_beyond_its_liquidation_price_has_it_all_the_same():
    one = MarginTable.single(Decimal(10))

    assert one.liquidation_price(Decimal(1), Decimal(100), Decimal(-19)) == 120
    assert one.liquidation_price(Decimal(-1), Decimal(100), Decimal(-21)) == 80


def test_a_leverage_is_granted_if_it_is_that_of_a_tier():
    assert ETH.grants(Decimal(25))
    assert ETH.grants(Decimal(15))
    assert not ETH.grants(Decimal(50))  # child vaults of HLP have 50 everywhere
    assert not ETH.grants(None)


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (("1", "10"),),
        (("0", "0"),),
        (("0", "0.5"),),
        (("0", "10"), ("0", "5")),
        (("0", "10"), ("500", "5"), ("400", "3")),
        (("0", "10"), ("500", "10")),
        (("0", "10"), ("500", "20")),
    ],
)
def test_tiers_that_do_not_begin_at_zero_and_go_on_with_less_leverage_are_refused(tiers):
    with pytest.raises(ValueError, match="margin tier"):
        table(*tiers)

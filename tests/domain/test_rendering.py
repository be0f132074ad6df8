"""A position's figures as text: rounded in one place, each made anew only when it may be another."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain import rendering
from hlposmon.domain.rendering import Rendered, Renderer, Sums
from hlposmon.domain.reports import Fill, Side
from hlposmon.domain.verdict import Verdict
from tests.domain.shown import BTC, T, view

PLAIN = re.compile(r"-?\d+(\.\d+)?\Z", re.ASCII)
ANY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**60), max_value=10**60) | st.builds(
    lambda digits, scale: Decimal(digits).scaleb(scale), st.integers(-(10**59), 10**59), st.integers(-60, 20)
)


FLAT = view("0", "0", None)


def test_totals_add_up_flat_positions_too():
    views = [view(), view("-2", "-200", "90", key="hyperliquid:Perp:ETH", realized="7"), FLAT]

    assert Sums(views).shown() == {
        "active_positions": 2,
        "total_exposure": "7830.00",
        "total_pnl": "140.72",  # 125 + 20 + 7 - 3 * 3.76
        "realized_pnl": "7.00",
        "unrealized_pnl": "145.00",
        "fees": "11.28",
        "funding": "0.00",
    }
    assert Sums().shown()["total_pnl"] == "0.00"


def test_count_and_sums_over_an_account_that_is_not_stated_yet_are_unknown_and_not_zero():
    totals = Sums([FLAT]).shown(is_stated=False)

    assert totals == dict.fromkeys(Sums([FLAT]).shown())


def test_while_a_position_has_no_mark_the_sums_that_need_one_are_unknown_and_not_zero():
    totals = Sums([view(), view(mark=None, realized="7")]).shown()
    sums = {key: totals[key] for key in ("total_exposure", "total_pnl", "unrealized_pnl")}

    assert sums == dict.fromkeys(sums)
    assert (totals["active_positions"], totals["realized_pnl"]) == (2, "7.00")


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000_007, "2026-09-21T14:13:20.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (None, None),
    ],
)
def test_times_are_utc_with_milliseconds(ms, text):
    assert rendering.time_text(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("50166.666666666666", "50166.66667"),
        ("0.000000123456789012", "0.000000123456789"),
        ("1E+3", "1000"),
        ("12345678905", "12345678900"),  # half-even at the tenth digit
        ("12345678915", "12345678920"),
        ("1E-20", "0.00000000000000000001"),
    ],
)
def test_an_entry_price_has_ten_significant_digits(value, text):
    assert rendering.entry(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.00"),
        ("-0.0", "0.00"),
        ("5", "5.00"),
        ("1E+2", "100.00"),
        ("1.5", "1.50"),
        ("1.230", "1.23"),
        ("1.2345", "1.2345"),
        ("0.00000000005", "0.00"),
        ("0.00000000015", "0.0000000002"),
        ("-0.00000000001", "0.00"),
        ("1.99999999999", "2.00"),
        (None, None),
    ],
)
def test_money_has_cents_and_at_most_ten_decimals(value, text):
    assert rendering.money(None if value is None else Decimal(value)) == text


def test_a_number_keeps_its_digits_and_loses_its_trailing_zeros():
    assert rendering.number(Decimal("0.1500")) == "0.15"
    assert rendering.number(Decimal("1E+5")) == "100000"
    assert rendering.number(Decimal("-0.00")) == "0"
    assert rendering.number(None) is None


@given(ANY)
def test_no_number_ever_has_an_exponent(value):
    for show in (rendering.number, rendering.entry, rendering.money):
        assert PLAIN.match(show(value)), show


@given(ANY)
def test_what_is_shown_is_near_what_is_meant(value):
    assert abs(Decimal(rendering.money(value)) - value) <= max(
        Decimal("5E-11"), abs(value) * Decimal("1E-58")
    )
    assert abs(Decimal(rendering.entry(value)) - value) <= abs(value) * Decimal("5.1E-10")


AMOUNTS = st.sampled_from([None, Decimal("1"), Decimal("2.5"), Decimal("0.000001")])


@given(
    st.lists(
        st.tuples(st.sampled_from(["0", "1", "-2.5"]), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS),
        min_size=1,
        max_size=8,
    )
)
def test_a_position_that_is_rendered_again_reads_as_one_that_is_rendered_first(states):
    renderer, held = Renderer(), {}
    for size, mark, leverage, greatest, margin, liquidation in states:
        position = held.setdefault(size, view(size, "0" if size == "0" else size).position)
        now = replace(
            view(),
            position=position,
            mark=mark,
            leverage=leverage,
            max_leverage=greatest,
            margin_used=margin,
            liquidation_price=liquidation,
        )
        shown, fresh = renderer.render(now), Rendered(now)

        assert renderer.render(now) is shown
        assert {name: getattr(shown, name) for name in Rendered.__slots__} == {
            name: getattr(fresh, name) for name in Rendered.__slots__
        }


def test_positions_of_accounts_that_are_not_watched_are_forgotten():
    renderer = Renderer()
    main, hedge = renderer.render(view()), renderer.render(view(account="hedge"))
    renderer.keep({("main", BTC)})

    assert renderer.render(view()) is main
    assert renderer.sums("hedge").shown() == Sums().shown()
    assert renderer.render(view(account="hedge")) is not hedge


# Of the length that a division leaves behind, so that a sum in sixty digits would not be exact.
LONG = [Decimal(1).scaleb(at) / 3 for at in (-3, 0, 9)]
STATES = st.tuples(
    st.sampled_from([BTC, "hyperliquid:Perp:ETH"]),
    st.sampled_from(["main", "hedge"]),
    st.sampled_from([("0", "0"), ("1", "100"), ("-2.5", "-77.7")]),
    st.sampled_from([None, Decimal("0.5"), Decimal("123456.789")]),
    st.sampled_from(LONG),
    st.booleans(),
)


@given(st.lists(STATES, min_size=1, max_size=12))
def test_sums_that_are_kept_are_those_that_are_made_anew(states):
    """Whatever a position was before: open or flat, with a mark or without."""
    renderer, views = Renderer(), {}
    for key, account, (size, cost), mark, realized, is_same in states:
        now = replace(view(size, cost, None, account=account, key=key), mark=mark)
        now = replace(now, position=replace(now.position, realized=realized, funding=-realized))
        before = views.get((account, key))
        if before is not None and is_same:  # only its price is another, or not even that
            now = replace(before, mark=mark)
        views[account, key] = now
        renderer.render(now)
        for name in ("main", "hedge"):
            anew = Sums(one for one in views.values() if one.account == name)

            assert renderer.sums(name).shown() == anew.shown()
            assert renderer.sums(name).total == anew.total


@pytest.mark.parametrize(("trade_id", "text"), [(456, "456"), (None, f"123-{T}")])
def test_a_fill_without_a_trade_id_is_named_by_order_and_time(trade_id, text):
    zero = Decimal(0)
    one = Fill("main", BTC, T, Side.BUY, Decimal(1), zero, zero, zero, "USDC", zero, 123, trade_id)

    assert rendering.fill_id(one) == text


@pytest.mark.parametrize(("size", "side"), [("0", "flat"), ("1", "long"), ("-1", "short")])
def test_a_side_is_that_of_the_size(size, side):
    assert rendering.side_of(Decimal(size)) == side


def test_what_is_no_perpetual_is_named_by_its_bare_name():
    assert rendering.symbol_of("hyperliquid:BaseToken:HYPE") == "HYPE"


def test_what_is_not_known_is_shown_as_nothing():
    assert [
        show(None) for show in (rendering.number, rendering.entry, rendering.money, rendering.time_text)
    ] == [None] * 4


def test_what_is_open_is_listed_and_flat_ones_while_they_are_in_doubt():
    assert rendering.is_listed(view())
    assert not rendering.is_listed(FLAT)
    assert rendering.is_listed(replace(FLAT, in_doubt=True))
    assert rendering.is_listed(replace(FLAT, verdict=Verdict.DRIFT))


def test_sums_of_parts_are_those_of_the_whole():
    views = [view(), view("-2", "-200", "90", realized="7"), FLAT, view(mark=None, fees="1")]
    for at in range(len(views) + 1):
        whole = Sums(views[:at])
        whole.add(Sums(views[at:]))

        assert whole.shown() == Sums(views).shown()

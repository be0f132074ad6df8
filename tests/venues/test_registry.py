"""The second seed's interface: one factory, Decimal amounts, and never zero for a venue that is away."""

import subprocess
import sys
from decimal import Decimal

import pytest

from hlposmon.errors import ConfigError, VenueRefused, VenueUnavailable
from hlposmon.venues.registry import create_position_interface, get_position_interfaces

ADDRESS = "0x" + "ab" * 20


def section(url="http://127.0.0.1:1", **changes):
    return {"api_url": url, "accounts": [{"name": "main", "address": ADDRESS}]} | changes


def positions_of(one, mode="live"):
    accounts = [{"name": f"a{number}", "address": address} for number, address in enumerate(one.accounts)]
    return create_position_interface("hyperliquid", mode, section(one.url, accounts=accounts))


def test_the_configuration_may_be_whole_or_the_venues_part():
    part = create_position_interface("hyperliquid", "live", section())
    whole = create_position_interface("hyperliquid", "live", {"venues": {"hyperliquid": section()}})

    for interface in (part, whole):
        assert (interface.venue, interface.execution_mode) == ("hyperliquid", "live")


def test_a_backtest_is_refused_until_it_has_a_source_and_never_asks_the_live_exchange():
    with pytest.raises(ConfigError, match="found 'backtest', wanted live: there is no backtest source yet"):
        create_position_interface("hyperliquid", "backtest", section())
    config = {"venues": {"hyperliquid": section()}}

    assert get_position_interfaces(["hyperliquid"], "backtest", config) == {"hyperliquid": None}


@pytest.mark.parametrize("venue", ["nowhere", "", "Hyperliquid"])
def test_a_venue_that_is_not_known_is_a_value_error_that_names_it(venue):
    with pytest.raises(ValueError, match=f"unsupported venue .*{venue!r}"):
        create_position_interface(venue, "live", section())


def test_a_mode_that_is_not_known_is_a_value_error():
    with pytest.raises(ValueError, match="live or backtest"):
        create_position_interface("hyperliquid", "paper", section())


@pytest.mark.parametrize(
    "accounts",
    [
        None,
        [],
        "0x1",
        [{"name": "main"}],
        [{"name": "main", "address": "0x12"}],
        ["0x12"],
        [{"name": "a", "address": ADDRESS}, {"name": "b", "address": ADDRESS}],
    ],
)
def test_accounts_that_will_not_do_are_a_configuration_error(accounts):
    with pytest.raises(ConfigError, match="accounts"):
        create_position_interface("hyperliquid", "live", section(accounts=accounts))
    with pytest.raises(ConfigError):
        create_position_interface("hyperliquid", "live", {"venues": {}})


def test_of_several_venues_one_that_cannot_be_built_is_none_and_the_rest_go_on():
    found = get_position_interfaces(
        ["nowhere", "hyperliquid"], "live", {"venues": {"hyperliquid": section()}}
    )

    assert found["nowhere"] is None
    assert found["hyperliquid"].venue == "hyperliquid"
    assert get_position_interfaces(["hyperliquid"], "live", {"venues": {}}) == {"hyperliquid": None}


def test_positions_are_decimals_by_account_and_coin(venue):
    one = venue()
    truth = one.control.state()["accounts"]
    answer = positions_of(one).get_positions(5)

    assert (answer["venue"], answer["timestamp"], answer["execution_mode"]) == ("hyperliquid", 5, "live")
    for number, address in enumerate(one.accounts):
        held = answer["perp_positions"][f"a{number}"]
        wanted = {coin: Decimal(row["szi"]) for coin, row in truth[address]["positions"].items()}
        assert {coin: row["size"] for coin, row in held.items()} == wanted
        for row in held.values():
            assert all(
                type(row[name]) is Decimal for name in ("size", "entry_price", "mark_price", "unrealized_pnl")
            )
            assert row["side"] == ("long" if row["size"] > 0 else "short")


def test_a_balance_is_summed_over_the_accounts(venue):
    one = venue()
    interface = positions_of(one)

    total = interface.get_balance("USDC")
    assert type(total) is Decimal
    assert total > 100_000
    with pytest.raises(VenueRefused, match="BTC"):
        interface.get_balance("BTC")


def test_the_history_is_every_fill_of_the_range_oldest_first(venue):
    one = venue()
    made = [row for address in one.accounts for row in one.control.made(address)]
    times = sorted(row["time"] for row in made)
    interface = positions_of(one)
    rows = interface.get_position_history(times[3], times[-3])

    assert [row["timestamp"] for row in rows] == [ms for ms in times if times[3] <= ms <= times[-3]]
    assert all(type(row[name]) is Decimal for row in rows for name in ("delta", "position", "price", "fee"))
    assert interface.get_position_history(0, 0) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda interface: interface.get_positions(),
        lambda interface: interface.get_balance("USDC"),
        lambda interface: interface.get_position_history(0, 10**13),
    ],
)
def test_a_venue_that_could_not_be_asked_raises_and_never_answers_zero(ask):
    with pytest.raises(VenueUnavailable):
        ask(create_position_interface("hyperliquid", "live", section()))


def test_the_factory_imports_no_library_of_a_venue_before_it_is_asked_for():
    code = (
        "import sys, hlposmon.venues.registry; "
        "print([name for name in ('requests', 'websocket', 'ccxt', 'web3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

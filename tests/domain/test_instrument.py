"""Keys are parsed once, at the first two colons only."""

from dataclasses import replace

import pytest

from hlposmon.domain.instrument import Instrument, InstrumentType


@pytest.mark.parametrize(
    ("key", "kind", "name", "dex", "base", "label"),
    [
        ("hyperliquid:Perp:BTC", "Perp", "BTC", "", "BTC", "BTC-USD"),
        ("hyperliquid:Perp:xyz:TSLA", "Perp", "xyz:TSLA", "xyz", "TSLA", "xyz:TSLA-USD"),
        ("hyperliquid:BaseToken:PURR/USDC", "BaseToken", "PURR/USDC", "", "PURR/USDC", "PURR/USDC"),
        ("aave:aToken:aWETH", "aToken", "aWETH", "", "aWETH", "aWETH"),
        ("aave:debtToken:variableDebtUSDC", "debtToken", "variableDebtUSDC", "", "variableDebtUSDC", None),
        ("lido:LST:wstETH", "LST", "wstETH", "", "wstETH", "wstETH"),
    ],
)
def test_a_key_says_what_is_held_and_where(key, kind, name, dex, base, label):
    found = Instrument.of(key)

    assert (found.key, found.venue, found.type) == (key, key.partition(":")[0], InstrumentType(kind))
    assert (found.name, found.dex, found.base, found.label) == (name, dex, base, label or name)
    assert (found.quote, found.collateral, found.decimals) == (None, None, None)
    assert Instrument.of(key) is found


def test_a_venue_may_know_more():
    plain = Instrument.of("binance:Perp:ETHUSDT")
    told = replace(plain, base="ETH", quote="USDT", collateral="USDT", decimals=3)

    assert (plain.base, told.base, told.label) == ("ETHUSDT", "ETH", "ETHUSDT-USD")


@pytest.mark.parametrize(
    "text", ["", "BTC", "hyperliquid:Perp", "hyperliquid::BTC", ":Perp:BTC", "a:Perp:", "a:Swap:B"]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(ValueError):
        Instrument.of(text)

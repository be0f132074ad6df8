"""One account on all markets: the first dex, a builder's dex, and tokens on spot."""

from decimal import Decimal

import pytest

from hlposmon.client.snapshot import Snapshot
from tests.system.world import until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def test_an_account_on_all_markets_is_shown_whole_and_after_a_restart():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        [address] = here.accounts
        here.flatten()
        here.control.fill(address, "BTC", "B", "0.5", "86000")
        here.control.fill(address, "xyz:TSLA", "A", "3", "402")
        here.control.spot(address, "HYPE", "12.5")
        here.control.spot(address, "USDC", "70.25")
        here.start()

        def account():
            return here.api.summary()["accounts"]["main"]

        def equity():
            return account()["equity"]

        until("its equity is known", equity)
        shown = account()
        sizes = {row["key"]: row["size"] for row in shown["positions"].values()}
        assert sizes == {
            "hyperliquid:Perp:BTC": "0.5",
            "hyperliquid:Perp:xyz:TSLA": "-3",
            "hyperliquid:BaseToken:HYPE": "12.5",
            "hyperliquid:BaseToken:USDC": "70.25",
        }
        assert {row["verdict"] for row in shown["positions"].values()} == {"proven"}
        scopes = {one["name"]: one for one in shown["scopes"]}
        assert set(scopes) == {"", "xyz", "spot"}
        assert {one["quote"] for one in scopes.values()} == {"USDC"}
        assert Decimal(shown["equity"]) == sum(Decimal(one["equity"]) for one in scopes.values())
        hype = shown["positions"]["HYPE"]
        worth = Decimal("12.5") * Decimal(hype["mark_price"]) + Decimal("70.25")
        assert Decimal(scopes["spot"]["equity"]) == worth
        assert (hype["type"], hype["proof"], hype["realized_pnl"]) == ("BaseToken", "statement", None)
        with Snapshot.open(here.folder / "snapshot") as opened:
            assert {record.key: str(record.size) for record in opened.positions()} == sizes

        here.control.fill(address, "xyz:TSLA", "B", "3", "402")
        here.control.spot(address, "HYPE", "0")
        until("closed", lambda: set(account()["positions"]) == {"BTC-USD", "USDC"})
        here.stop()
        here.control.fill(address, "xyz:NVDA", "B", "2", "181")
        here.start()
        until("opened while nobody watched", lambda: account()["positions"].get("xyz:NVDA-USD"))
        row = account()["positions"]["xyz:NVDA-USD"]
        assert (row["size"], row["verdict"], row["fills"]) == ("2", "proven", 1)

"""What caused a fill, from the exchange's row to every surface; a liquidation of the account, once."""

import json
from typing import Any

import pytest

from tests.system.world import World, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

OTHER = "0x" + "cd" * 20
# In the order in which they are made: coin, cause, how it was liquidated, number of the TWAP order.
EXPECTED = [
    ("BTC", "order", None, None),
    ("BTC", "twap", None, 3156),
    ("BTC", "order", None, None),  # through a front end that takes a fee
    ("BTC", "order", None, None),  # the other party of somebody's liquidation
    ("BTC", "liquidation", "market", None),
    ("BTC", "liquidation", "backstop", None),
    ("ETH", "order", None, None),
    ("ETH", "adl", None, None),
    ("SOL", "order", None, None),
    ("SOL", "settlement", None, None),
    ("HYPE", "order", None, None),
    ("HYPE", "vault", None, None),
]


def of_each_cause(here: World) -> None:
    """Fills of each cause that a script can bring about."""
    account, control = here.accounts[0], here.control

    def buy(coin: str, **more: Any) -> dict[str, Any]:
        return {"account": account, "coin": coin, "side": "B", "size": "1", "price": "100"} | more

    control.fills(buy("BTC"), buy("BTC", twap=3156), buy("BTC", builder=True), buy("BTC", liquidated=OTHER))
    control.liquidate(account, "BTC", "0.5")
    control.liquidate(account, "BTC", backstop=True)
    for coin, close in (("ETH", control.adl), ("SOL", control.settle), ("HYPE", control.net)):
        control.fills(buy(coin))
        close(account, coin)


def test_every_surface_says_what_caused_a_fill_and_that_the_account_was_liquidated():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.flatten()
        here.start()
        with here.api.stream(events=["fill", "liquidation"], timeout_s=60) as stream:
            next(stream)
            of_each_cause(here)
            told = [next(stream) for _ in range(len(EXPECTED) + 2)]
        until("all is in the history", lambda: len(here.history()) == len(EXPECTED))
        printed = here.run("fills", "--json", *here.places()[2:])

        fills = [message["fill"] for message in told if message["type"] == "position_update"]
        surfaces = {
            "stream": fills,
            "audit": [line for line in here.lines() if line["type"] == "fill"],
            "fills --json": [json.loads(line) for line in printed.stdout.splitlines()],
        }
        for name, rows in surfaces.items():
            found = [
                (row["symbol"].removesuffix("-USD"), row["cause"], row["liquidation"], row["twap_id"])
                for row in rows
            ]
            assert found == EXPECTED, name
            assert [at for at, row in enumerate(rows) if row["builder_fee"] is not None] == [2], name
            assert float(rows[2]["builder_fee"]) < float(rows[2]["fee"]), name

        liquidations = [message for message in told if message["type"] == "liquidation"]
        journalled = [line for line in here.lines() if line["type"] == "liquidation"]
        for rows in (liquidations, journalled):
            assert [(row["symbol"], row["method"]) for row in rows] == [
                ("BTC-USD", "market"),
                ("BTC-USD", "backstop"),
            ]
        assert [row["time"] for row in liquidations] == [row["time"] for row in journalled]
        assert here.log().count("liquidated") >= 2
        verified = here.run("audit", "verify", *here.places()[4:])
        assert verified.returncode == 0, verified.stdout

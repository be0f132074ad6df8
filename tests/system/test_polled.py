"""More accounts than the exchange follows: the first ten by stream, the others by poll, all proven."""

from datetime import datetime
from decimal import Decimal

import pytest

from tests.system.world import until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# The more often the streamed accounts are stated, the less weight is left for rounds.
CONFIG = "[reconcile]\ninterval_s = 20.0\n"


def test_fifteen_accounts_are_proven_of_which_ten_are_followed_and_five_polled():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "15")
        here.flatten()
        addresses = {f"a{number:02}": address for number, address in enumerate(here.accounts, 1)}
        named = [word for name, address in addresses.items() for word in ("--address", f"{name}={address}")]
        here.start(*named, *here.urls, config=CONFIG, wait=False)
        health = here.ready(within_s=200)
        assert health["status"] == "healthy", health["reasons"]

        def accounts():
            return here.api.summary()["accounts"]

        polled = [name for name, one in accounts().items() if one["followed"] == "poll"]
        assert polled == ["a11", "a12", "a13", "a14", "a15"]
        assert {one["round_s"] for name, one in accounts().items() if name not in polled} == {None}
        [round_s] = {accounts()[name]["round_s"] for name in polled}
        assert 20 <= round_s <= 60

        # The same coins at once; the size tells whose it is.
        for number, address in enumerate(addresses.values(), 1):
            here.control.fill(address, "BTC", "B", f"0.{number:02}", "86000")
            here.control.fill(address, "ETH", "A", f"{number}", "2900")
        wanted = {
            name: {"BTC-USD": Decimal(f"0.{number:02}"), "ETH-USD": Decimal(-number)}
            for number, name in enumerate(addresses, 1)
        }

        def sizes():
            return {
                name: {label: Decimal(row["size"]) for label, row in one["positions"].items()}
                for name, one in accounts().items()
            }

        until("each fill is at its own account", lambda: sizes() == wanted, within_s=3 * round_s)
        health = here.ready(within_s=3 * round_s)
        shown = accounts()
        assert health["status"] == "healthy", health["reasons"]
        assert {one["verdict"] for one in shown.values()} == {"proven"}
        assert {row["verdict"] for one in shown.values() for row in one["positions"].values()} == {"proven"}
        assert {row["fills"] for one in shown.values() for row in one["positions"].values()} == {1}
        for name in polled:
            said = datetime.fromisoformat(here.api.summary()["timestamp"])
            age_s = (said - datetime.fromisoformat(shown[name]["as_of"])).total_seconds()
            assert 0 <= age_s <= 2.5 * round_s + 1

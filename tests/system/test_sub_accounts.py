"""An account with `discover`: its sub-accounts join the watch, and are known after a restart."""

import pytest

from hlposmon.config.sub_accounts import known_sub_accounts
from tests.system.world import until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_sub_accounts_join_the_watch_are_proven_and_known_after_a_restart():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "2")
        master, sub = here.accounts
        here.flatten()
        here.control.sub_account(sub, master, "arb, 2nd")
        here.control.fill(sub, "BTC", "B", "0.5", "86000")
        config = (
            '[[venues.hyperliquid.accounts]]\nname = "main"\n'
            f'address = "{master}"\ndiscover = ["subaccounts"]\n'
        )
        here.start(*here.urls, config=config, wait=False)

        def accounts():
            return here.api.summary()["accounts"]

        until("the sub-account is watched", lambda: "main/arb-2nd" in accounts())
        until("it is ready", lambda: here.api.health()["ready"])
        shown = accounts()["main/arb-2nd"]
        assert (shown["address"], accounts()["main"]["address"]) == (sub, master)
        assert shown["positions"]["BTC-USD"]["size"] == "0.5"
        assert shown["positions"]["BTC-USD"]["verdict"] == "proven"
        assert known_sub_accounts(here.folder / "state", here.urls[1]) == {master: {sub: "arb, 2nd"}}
        # Its role costs much request weight, and waits where others have used it.
        until(
            "role and master are there", lambda: accounts()["main/arb-2nd"]["master"] == master, within_s=150
        )

        here.stop()
        here.start(*here.urls, config=config)
        assert accounts()["main/arb-2nd"]["address"] == sub  # it is not asked first

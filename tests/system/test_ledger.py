"""Where an account's money came from: transfers, and that nothing is unexplained, end to end."""

import json
from decimal import Decimal

import pytest

from tests.system.world import until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def lines_of(here, kind):
    """The audit lines of a type, oldest first."""
    days = sorted((here.log_dir / "trading").glob("audit-*.jsonl"))
    lines = (json.loads(line) for day in days for line in day.read_text().splitlines())
    return [line for line in lines if line["type"] == kind]


def test_every_dollar_of_an_account_that_trades_and_is_moved_is_explained_and_after_a_restart():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        [address] = here.accounts
        here.flatten()
        here.start()

        def account():
            return here.api.summary()["accounts"]["main"]

        def is_explained(*scopes):
            """Whether the cash of these dexes was compared after everything that was done so far."""
            last = {line["scope"]: line for line in lines_of(here, "ledger")}
            return account()["unexplained"] == "0.00" and last.keys() >= {*scopes}

        until("the first dex is compared", lambda: is_explained(""))
        here.control.fill(address, "BTC", "B", "0.5", "86000")
        here.control.transfer(address, "-1234.5")
        here.control.fill(address, "xyz:TSLA", "A", "3", "402")
        here.control.transfer(address, "77", "xyz")
        here.control.fill(address, "BTC", "A", "0.2", "86100")
        here.control.funding()
        until("both dexes are compared", lambda: is_explained("", "xyz"))
        told = [(line["transfer_type"], line["moves"]) for line in lines_of(here, "transfer")]
        assert told[-2:] == [
            ("withdraw", [{"scope": "", "token": "USDC", "amount": "-1234.5"}]),
            ("send", [{"scope": "xyz", "token": "USDC", "amount": "77"}]),
        ]

        here.stop()
        here.control.fill(address, "BTC", "A", "0.3", "86200")
        here.control.transfer(address, "1000")
        here.start()
        until("what happened meanwhile is told", lambda: len(lines_of(here, "transfer")) > len(told))
        until("it is explained", lambda: is_explained("", "xyz"))
        for line in lines_of(here, "ledger"):
            terms = Decimal(line["realized_pnl"]) - Decimal(line["fees"]) + Decimal(line["funding"])
            booked = Decimal(line["opening"]) + terms + Decimal(line["transfers"])
            rest = Decimal(line["equity"]) - Decimal(line["unrealized_pnl"]) - booked
            assert abs(rest - Decimal(line["unexplained"])) < Decimal("0.02"), line


def test_money_that_no_row_tells_of_is_named_to_the_cent():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        [address] = here.accounts
        here.flatten()
        here.start()

        def unexplained():
            return here.api.summary()["accounts"]["main"]["unexplained"]

        until("it is compared", lambda: unexplained() == "0.00")
        here.control.ledger(address, "deposit", usdc="12.34")  # a row of money that never came
        until("it is named", lambda: unexplained() == "-12.34")

"""Where an account's money came from: transfers, and that nothing is unexplained, end to end."""

import json
from decimal import Decimal

import pytest

from tests.system.world import until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

FROM_FIRST = {"scope": "", "token": "USDC", "amount": "-10000"}


def lines_of(here, kind, since_ms=0):
    """The audit lines of a type, oldest first, without one that is being written; of a time on if they have
    one."""
    days = sorted((here.log_dir / "trading").glob("audit-*.jsonl"))
    whole = (line for day in days for line in day.read_text().splitlines(keepends=True) if line[-1] == "\n")
    lines = (json.loads(line) for line in whole)
    return [line for line in lines if line["type"] == kind and line.get("time_ms", since_ms) >= since_ms]


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

        def transfers():
            """The types and moves since the first fill."""
            lines = lines_of(here, "transfer", began_ms)
            return [(line["transfer_type"], line["moves"]) for line in lines]

        until("the first dex is compared", lambda: is_explained(""))
        began_ms = here.control.fill(address, "BTC", "B", "0.5", "86000")["time"]
        here.control.transfer(address, "-1234.5")
        here.control.fill(address, "xyz:TSLA", "A", "3", "402")
        here.control.transfer(address, "77", "xyz")
        here.control.fill(address, "BTC", "A", "0.2", "86100")
        here.control.funding()
        until("all transfers are told", lambda: len(transfers()) == 3)
        until("both dexes are compared", lambda: is_explained("", "xyz"))
        assert transfers() == [
            ("withdraw", [{"scope": "", "token": "USDC", "amount": "-1234.5"}]),
            # The exchange moves some to a dex for the first trade there.
            ("send", [FROM_FIRST, {"scope": "xyz", "token": "USDC", "amount": "10000"}]),
            ("send", [{"scope": "xyz", "token": "USDC", "amount": "77"}]),
        ]

        here.stop()
        here.control.fill(address, "BTC", "A", "0.3", "86200")
        here.control.transfer(address, "1000")
        here.start()
        until("what happened meanwhile is told", lambda: len(transfers()) == 4)
        until("it is explained", lambda: is_explained("", "xyz"))
        for line in lines_of(here, "ledger"):
            terms = Decimal(line["realized_pnl"]) - Decimal(line["fees"]) + Decimal(line["funding"])
            booked = Decimal(line["opening"]) + terms + Decimal(line["transfers"])
            rest = Decimal(line["equity"]) - Decimal(line["unrealized_pnl"]) - booked
            assert abs(rest - Decimal(line["unexplained"])) < Decimal("0.02"), line

        places = "--state-dir", str(here.state_dir), "--log-dir", str(here.log_dir)

        def ledger(*args):
            return here.run("ledger", *places, *args)

        until("the history has it", lambda: ledger("--csv").stdout.count("\n") == 3)
        shown = json.loads(ledger("--json", "--account", "main").stdout)["accounts"]["main"]
        assert shown["unexplained"] == "0.00"
        assert [one["scope"] for one in shown["markets"]] == ["", "xyz"]
        assert [one["transfer_type"] for one in shown["transfers"][-3:]] == ["send", "send", "deposit"]
        status, answer = here.api.get("/api/v1/ledger?account=main")
        assert (status, answer["accounts"]["main"]["markets"]) == (200, shown["markets"])
        assert "unexplained                               0.00" in ledger().stdout


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

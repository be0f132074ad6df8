"""What runs are compared by: exact sizes, and money as far as it can be read."""

import tempfile
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.chaos.stage import Stage
from tests.system.world import as_read

pytestmark = [pytest.mark.system]


def asked(stage: Stage, **request: Any) -> Any:
    url = stage.urls[stage.urls.index("--api-url") + 1]
    return requests.post(f"{url}/info", json=request, timeout=10).json()


@pytest.mark.parametrize(
    ("exact", "read"),
    [
        ("1064075.6", "1064075.6"),
        ("-0.037486", "-0.037486"),
        ("1239876543210.37", "1239876543210.37"),
        ("1239876543210.376543", "1239876543210.38"),
        ("123456789012345678.123456", "123456789012346000"),
    ],
)
def test_of_an_amount_fifteen_digits_can_be_read(exact: str, read: str):
    assert as_read(exact) == Decimal(read)


def test_what_can_be_read_of_the_wire_is_what_a_run_compares_with():
    """Every payment and fill of an account with large sizes, as it is printed, and as it is exactly."""
    with tempfile.TemporaryDirectory(prefix="hlc-") as folder:
        stage = Stage(Path(folder))
        try:
            stage.open_exchange("--seed", "1", "--pace", "0", "--coins", "12", "--no-limits")
            stage.flatten()
            stage.control.scale("1000000000000")
            address, reader = stage.accounts[0], Context(prec=15)
            before = int(stage.control.state()["accounts"][address]["fills"])
            stage.control.random_fills(300, account=address)
            stage.control.funding()
            exact = list(stage.control.made(address, since=before))
            printed = asked(stage, type="userFillsByTime", user=address, startTime=exact[0]["time"])
            paid = list(stage.control.paid(address))[-5:]
            told = asked(stage, type="userFunding", user=address)[4::-1]
        finally:
            stage.close()

    assert [row["tid"] for row in printed] == [row["tid"] for row in exact]
    assert sum(row["sz"] != fill["sz"] for row, fill in zip(printed, exact, strict=True)) > 50
    for row, fill in zip(printed, exact, strict=True):
        for name in ("sz", "startPosition", "px"):
            assert reader.create_decimal(row[name]) == Decimal(fill[name])
        for name in ("fee", "closedPnl"):
            assert reader.create_decimal(row[name]) == as_read(fill[name])
    for row, payment in zip(told, paid, strict=True):
        assert reader.create_decimal(row["delta"]["szi"]) == Decimal(payment["szi"])
        assert reader.create_decimal(row["delta"]["usdc"]) == as_read(payment["usdc"])

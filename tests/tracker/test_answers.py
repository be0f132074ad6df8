"""The summary: the contract's shape for one account and for several, each position made and encoded once."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import pytest

from hlposmon.api import messages
from hlposmon.config import Account
from hlposmon.domain.reports import FeedState, Heard, Marks, StatedPosition
from hlposmon.text import dumps, loads
from tests.tracker.desk import ADDRESS, Desk, desk, until
from tests.tracker.shell import Shell

HELD = {"main": {"BTC": "1.5", "ETH": "-2"}, "hedge": {"BTC": "-0.5"}}
MARKS = {"BTC": "50100", "ETH": "3000.5"}


@contextlib.contextmanager
def stated(*names: str) -> Iterator[Desk]:
    """A tracker that runs and knows what these accounts hold."""
    with desk() as here:
        accounts = tuple(
            Account(name, ADDRESS[:-1] + str(number)) for number, name in enumerate(names, start=1)
        )
        here.settings = replace(
            here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=accounts)
        )
        with here.running():
            worker = here.join()
            worker.says(Heard(worker.name, time.monotonic()))
            marks = {f"hyperliquid:Perp:{coin}": Decimal(mark) for coin, mark in MARKS.items()}
            for name in names:
                positions = tuple(
                    StatedPosition(f"hyperliquid:Perp:{coin}", Decimal(size), Decimal("49999.123456789123"))
                    for coin, size in HELD[name].items()
                )
                worker.says(FeedState(name, worker.name, True, time.monotonic()))
                worker.says(replace(here.statement(), account=name, positions=positions))
            worker.says(Marks(marks, time.monotonic()))
            until("all is known", lambda: _is_known(here.api.summary()))
            yield here


def _is_known(summary: dict[str, Any]) -> bool:
    return bool(summary["stated"]) and all(row["mark_price"] for row in summary["positions"].values())


def position(account: str, coin: str) -> dict[str, Any]:
    """What stands in the summary of it; its verdict and times are not the matter here."""
    size, mark, entry = Decimal(HELD[account][coin]), Decimal(MARKS[coin]), Decimal("49999.123456789123")
    profit = f"{(size * (mark - entry)).quantize(Decimal('1e-10')).normalize():f}"
    return {
        "key": f"hyperliquid:Perp:{coin}",
        "account": account,
        "coin": coin,
        "symbol": f"{coin}-USD",
        "side": "long" if size > 0 else "short",
        "size": str(size),
        "entry_price": "49999.12346",
        "mark_price": MARKS[coin],
        "unrealized_pnl": profit,
        "is_flat": False,
    }


def parts(positions: dict[str, Any]) -> dict[str, Any]:
    wanted = position("main", "BTC")
    return {label: {name: row[name] for name in wanted} for label, row in positions.items()}


def counted(call: Callable[[], Any]) -> tuple[Counter[str], Any]:
    """How often positions were made and JSON was written in it, and what came of it."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, called: Any) -> None:
        if event == "call" and frame.f_code is messages.position.__code__:
            calls["made"] += 1
        elif event == "c_call" and (called.__module__, called.__name__) == ("orjson", "dumps"):
            calls["encoded"] += 1

    sys.setprofile(count)
    try:
        result = call()
    finally:
        sys.setprofile(None)
    return calls, result


@pytest.mark.parametrize("asked", [None, "main"])
def test_with_one_account_its_positions_stand_at_the_top_and_in_the_account(asked: str | None):
    with stated("main") as here:
        summary = here.api.summary(asked)
    expected = {"BTC-USD": position("main", "BTC"), "ETH-USD": position("main", "ETH")}

    assert parts(summary["positions"]) == expected
    assert list(summary["accounts"]) == ["main"]
    assert summary["accounts"]["main"]["positions"] == summary["positions"]
    for name in ("active_positions", "total_exposure", "total_pnl", "unrealized_pnl", "fees"):
        assert summary["accounts"]["main"][name] == summary[name]


def test_with_several_accounts_the_labels_at_the_top_name_the_account():
    with stated("main", "hedge") as here, here.api.stream() as stream:
        summary, first = here.api.summary(), next(iter(stream))
    labels = {
        "main/BTC-USD": ("main", "BTC"),
        "main/ETH-USD": ("main", "ETH"),
        "hedge/BTC-USD": ("hedge", "BTC"),
    }

    for answer in (summary, first):
        assert parts(answer["positions"]) == {label: position(*one) for label, one in labels.items()}
        assert list(answer["positions"]) == list(labels)
        for name in ("main", "hedge"):
            own = answer["accounts"][name]["positions"]
            assert {f"{name}/{label}": row for label, row in own.items()} == {
                label: row for label, row in answer["positions"].items() if row["account"] == name
            }
    assert first["type"] == "initial_state"
    assert [summary["accounts"][name]["active_positions"] for name in ("main", "hedge")] == [2, 1]
    assert summary["active_positions"] == 3


def test_of_several_accounts_the_one_that_is_asked_for_stands_alone():
    with stated("main", "hedge") as here:
        summary = here.api.summary("hedge")

    assert parts(summary["positions"]) == {"BTC-USD": position("hedge", "BTC")}
    assert {name: row["positions"] for name, row in summary["accounts"].items()} == {
        "hedge": summary["positions"]
    }
    assert summary["active_positions"] == 1


@pytest.mark.parametrize(
    ("names", "asked", "count"),
    [
        (["main"], None, 2),
        (["main"], "main", 2),
        (["main", "hedge"], None, 3),
        (["main", "hedge"], "hedge", 1),
    ],
)
def test_each_position_is_encoded_once_and_not_again_while_it_does_not_change(
    names: list[str], asked: str | None, count: int
):
    with stated(*names) as here:
        pass  # the tracker has ended, and answers all the same
    here.tracker._renderer.keep(())  # nothing is rendered
    calls, raw = counted(lambda: dumps(here.tracker._answers.summary(asked)))
    again, same = counted(lambda: dumps(here.tracker._answers.summary(asked)))
    answer = loads(raw)

    assert calls == {"made": count, "encoded": count + 1}
    assert again == {"encoded": 1}
    assert loads(same)["positions"] == answer["positions"]
    assert len(answer["positions"]) == count
    assert sum(len(account["positions"]) for account in answer["accounts"].values()) == count


def test_a_summary_takes_the_text_of_a_position_from_the_message_that_told_its_change():
    with TemporaryDirectory(prefix="hlp-") as folder:
        here = Shell(Path(folder), 2, 3)
        dumps(here.answers.summary(None))
        here.moves_prices("200")
        calls, raw = counted(lambda: dumps(here.answers.summary(None)))
        here.close()

    assert calls == {"encoded": 1}
    assert {row["mark_price"] for row in loads(raw)["positions"].values()} == {"200"}

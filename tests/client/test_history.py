"""The history's reader: filters, pages, and files that it may not or cannot read."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from decimal import Decimal

import pytest

from hlposmon.client import history as readers
from hlposmon.client.history import History, NoHistory
from hlposmon.domain.changes import Filled
from hlposmon.domain.position import FillEffect, Position
from hlposmon.errors import NotPermitted
from hlposmon.history.schema import APPLICATION_ID, STEPS
from hlposmon.journal.lines import body_of
from tests.history.archivist import ADDRESS, BTC, NOON, Clerk, fill

ETH, TSLA = "hyperliquid:Perp:ETH", "hyperliquid:Perp:xyz:TSLA"


@pytest.fixture
def clerk(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.start()
    yield clerk
    clerk.history._shut()


def writes(clerk: Clerk, *fills):
    for made in fills:
        body = body_of(Filled(made, FillEffect.ADDED, Position(Decimal(1), Decimal(1))), now_ms=NOON)
        assert body is not None
        clerk.journal.append(body, NOON)
    clerk.commit()


def numbers(history: History, *times, **filters):
    return [row.order_id for row in history.fills(*times, **filters)]


def test_fills_come_in_the_order_of_their_time_and_then_as_they_were_taken(clerk):
    writes(
        clerk,
        fill(9, time_ms=NOON + 5),
        fill(4, time_ms=NOON + 5),
        fill(7, time_ms=NOON + 5),
        fill(1, time_ms=NOON + 1),
    )
    with History.open(clerk.history.path) as history:
        assert numbers(history) == [1, 9, 4, 7]


def test_since_is_within_and_until_is_not(clerk):
    writes(clerk, *(fill(number, time_ms=NOON + number) for number in range(1, 6)))
    with History.open(clerk.history.path) as history:
        assert numbers(history, NOON + 2, NOON + 4) == [2, 3]
        assert numbers(history, NOON + 4) == [4, 5]
        assert numbers(history, None, NOON + 2) == [1]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pages_neither_lose_nor_repeat_a_row(clerk, monkeypatch, size):
    monkeypatch.setattr(readers, "_PAGE_ROWS", size)
    writes(clerk, *(fill(number, time_ms=NOON + number // 3) for number in range(1, 30)))
    with History.open(clerk.history.path) as history:
        assert sorted(numbers(history)) == list(range(1, 30))
        assert len(numbers(history, coin="BTC")) == 29


@pytest.mark.parametrize(
    ("coin", "found"),
    [
        ("BTC", [1]),
        ("btc", [1]),
        ("ETH-USD", [2]),
        (ETH, [2]),
        ("xyz:TSLA", [3]),
        (TSLA, [3]),
        ("TSLA", []),
        ("", []),
        ("'; DROP TABLE fill; --", []),
    ],
)
def test_a_coin_is_asked_for_by_name_symbol_or_key(clerk, coin, found):
    keys = (BTC, ETH, TSLA)
    writes(clerk, *(fill(number, time_ms=NOON, key=key) for number, key in enumerate(keys, 1)))
    with History.open(clerk.history.path) as history:
        assert numbers(history, coin=coin) == found
        assert history.coins() == ["BTC", "ETH", "xyz:TSLA"]


def test_an_account_is_asked_for_by_name_or_address(clerk):
    writes(clerk, fill(1, time_ms=NOON), fill(2, time_ms=NOON, account="hedge"))
    with History.open(clerk.history.path) as history:
        assert numbers(history, account="main") == numbers(history, account=ADDRESS) == [1]
        assert numbers(history, account="0x" + "AB" * 20) == [1]
        assert numbers(history, account="hedge", coin="BTC") == [2]
        assert numbers(history, account="Hedge") == []
        assert numbers(history, account="nobody") == []
        assert history.accounts() == ["hedge", "main"]


def test_rows_that_come_in_meanwhile_are_among_them_and_nothing_is_kept_open(clerk, monkeypatch):
    monkeypatch.setattr(readers, "_PAGE_ROWS", 2)
    writes(clerk, *(fill(number, time_ms=NOON + number) for number in range(1, 4)))
    with History.open(clerk.history.path) as history:
        rows = history.fills()
        assert next(rows).order_id == 1
        writes(clerk, fill(9, time_ms=NOON + 9))
        with sqlite3.connect(clerk.history.path) as other:
            # busy, pages in the log, pages moved: nobody holds the log back
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert [row.order_id for row in rows] == [2, 3, 9]


def test_no_file_another_file_and_a_later_version_are_told_apart(tmp_path, clerk):
    with pytest.raises(NoHistory, match="no history yet"):
        History.open(tmp_path / "nowhere")
    (tmp_path / "empty").touch()
    with pytest.raises(NoHistory, match="no history yet"):
        History.open(tmp_path / "empty")
    (tmp_path / "text").write_text("hello, this is some text" * 100)
    with pytest.raises(NoHistory, match="cannot be read"):
        History.open(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE a (b)")
    with pytest.raises(NoHistory, match="not a history"):
        History.open(tmp_path / "other")
    with pytest.raises(NoHistory):
        History.open(tmp_path)
    clerk.close()
    with sqlite3.connect(clerk.history.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(NoHistory, match="version 99"):
        History.open(clerk.history.path)


def test_a_file_that_no_monitor_of_this_version_has_opened_is_read_without_what_it_lacks(tmp_path):
    path = tmp_path / "old.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db:
        for step in range(1, 5):
            for sql in STEPS[step]:
                db.execute(sql)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 4")
        db.execute("INSERT INTO accounts VALUES (1, 'main', ?, 'live', NULL)", (ADDRESS,))
        db.execute("INSERT INTO instruments VALUES (1, ?, 'BTC-USD')", (BTC,))
        db.execute("INSERT INTO words VALUES (1, 'USDC'), (2, 'Open Long')")
        row = (NOON, 1, 1, 9, 8, 1, "0", "1", 5, 7, "100", "0.1", 1, "0", 2, 1, None, None, None, 0)
        after = ("1", "100", "0", "0", "0.1", "0", 1)
        db.execute(f"INSERT INTO fill VALUES ({', '.join('?' * 27)})", (*row, *after))
        db.commit()

    with History.open(path) as history:
        [fill_] = history.fills()
    assert (fill_.order_id, fill_.direction, fill_.position.fills) == (9, "Open Long", 1)
    assert (fill_.cause, fill_.twap_id, fill_.builder_fee) == (None, None, None)


# In a process of its own, as SQLite does not survive a fork amid its threads.
COUNT = """
import os, sys
from hlposmon.client.history import History
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
try:
    with History.open(sys.argv[1]) as history:
        print(f"{len(list(history.fills()))} immutable={history.is_immutable}")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def count_as_nobody(path) -> str:
    """How many fills somebody reads who may write nowhere, or what he is told."""
    done = subprocess.run([sys.executable, "-c", COUNT, path], capture_output=True, text=True, timeout=120)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("living", [True, False])
def test_who_may_only_read_can_read_whether_the_monitor_runs_or_not(tmp_path, clerk, living):
    tmp_path.chmod(0o755)
    clerk.write(5)
    if not living:
        clerk.close()
    for path in clerk.state.iterdir():
        path.chmod(0o444)
    clerk.state.chmod(0o555)
    try:
        assert count_as_nobody(clerk.history.path) == f"5 immutable={not living}"
    finally:
        clerk.state.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may stand for two users")
def test_who_may_not_read_is_told_so(tmp_path, clerk):
    tmp_path.chmod(0o755)
    clerk.close()
    clerk.history.path.chmod(0o600)
    said = count_as_nobody(clerk.history.path)
    assert said.startswith(NotPermitted.__name__)
    clerk.state.chmod(0o700)
    assert count_as_nobody(clerk.history.path).startswith(NotPermitted.__name__)


def test_it_needs_the_standard_library_only():
    code = (
        "import sys; import hlposmon.client.history;"
        "print([n for n in sys.modules if n.split('.')[0] in ('orjson', 'requests', 'click', 'rich')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

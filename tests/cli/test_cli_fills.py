"""`hlposmon fills`: what it prints, of which fills, and what it says when it cannot."""

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import time

import pytest

from hlposmon.client.history import History
from tests.cli.canned_monitor import Commands
from tests.history.archivist import ADDRESS, BTC, NOON, Clerk


@pytest.fixture
def clerk(tmp_path):
    clerk = Clerk(tmp_path / "kept")
    clerk.start()
    clerk.write(3)
    yield clerk
    clerk.history._shut()


def fills(hlposmon: Commands, clerk: Clerk, *args: str):
    return hlposmon.run("fills", "--state-dir", str(clerk.state), *args)


def test_json_lines_are_the_audits_lines(hlposmon: Commands, clerk: Clerk):
    result = fills(hlposmon, clerk, "--json")
    printed = [json.loads(line) for line in result.stdout.splitlines()]
    [path] = (clerk.log / "trading").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    audited = [line for line in lines if line["type"] == "fill"]

    assert 0 == result.exit_code
    for ours, theirs in zip(printed, audited, strict=True):
        assert (ours.pop("address"), ours.pop("mode")) == (ADDRESS, "live")
        # The chain is the journal's; the cost has digits without end.
        del theirs["prev"], theirs["hash"], theirs["position"]["cost"]
        assert ours == theirs


def test_csv_has_a_header_and_a_row_for_each_fill(hlposmon: Commands, clerk: Clerk):
    result = fills(hlposmon, clerk, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))

    assert [row["position_size"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["time"] == "2026-11-20T12:00:00.001Z"
    assert (rows[0]["key"], rows[0]["side"], rows[0]["price"]) == (BTC, "buy", "100.5")
    assert (rows[0]["cause"], rows[0]["twap_id"], rows[0]["builder_fee"]) == ("order", "", "")
    assert result.stdout_bytes.count(b"\r\n") == 4
    assert fills(hlposmon, clerk, "--csv", "--since", "2040-01-01").stdout.startswith("time,account,")


def test_the_table_is_for_people(hlposmon: Commands, clerk: Clerk):
    title, *rows = fills(hlposmon, clerk).stdout.splitlines()

    assert title.split()[:5] == ["TIME", "ACCOUNT", "COIN", "SIDE", "CAUSE"]
    assert len(rows) == 3
    assert rows[-1].split() == [
        "2026-11-20T12:00:00.003Z", "main", "BTC", "buy", "order", "1", "100.5", "0.1", "0", "3", "100"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (("--since", "2026-11-20T12:00:00.002Z"), 2),
        (("--since", "2026-11-20T13:00:00.002+01:00"), 2),
        (("--until", "2026-11-20T12:00:00.002"), 1),
        (("--since", "2026-11-20"), 3),
        (("--until", "2026-11-20"), 0),
        (("--coin", "btc"), 3),
        (("--coin", BTC), 3),
        (("--account", "main"), 3),
        (("--account", ADDRESS, "--coin", "BTC", "--since", "2026-11-20"), 3),
    ],
)
def test_only_what_was_asked_for(hlposmon: Commands, clerk: Clerk, args, count):
    assert len(fills(hlposmon, clerk, "--json", *args).stdout.splitlines()) == count


def test_a_time_may_be_so_long_ago(hlposmon: Commands, clerk: Clerk):
    clerk.now_ms = int(time.time() * 1000) - 5_400_000
    clerk.write(1)

    for since, count in (("2h", 1), ("3h", 1), ("89m", 0), ("60s", 0), ("1h", 0), ("1d", 1), ("2w", 1)):
        # What was written first is of a day that may lie before or after this one.
        printed = fills(hlposmon, clerk, "--json", "--since", since).stdout.splitlines()
        ours = [line for line in printed if not json.loads(line)["timestamp"].startswith("2026-11-20T12")]
        assert len(ours) == count, since


@pytest.mark.parametrize("text", ["yesterday", "2h30", "-3d", "2026-13-01", "", "10", "99999999999d"])
def test_what_is_no_time_is_a_usage_error(hlposmon: Commands, clerk: Clerk, text: str):
    result = fills(hlposmon, clerk, f"--since={text}")

    assert 2 == result.exit_code
    assert "is no time" in result.stderr


@pytest.mark.parametrize(
    "args", [("--json", "--csv"), ("--since", "2026-11-21", "--until", "2026-11-20"), ("--coin",)]
)
def test_what_contradicts_itself_is_a_usage_error(hlposmon: Commands, clerk: Clerk, args):
    assert 2 == fills(hlposmon, clerk, *args).exit_code


def test_a_name_that_the_history_does_not_know_is_said(hlposmon: Commands, clerk: Clerk):
    coin = fills(hlposmon, clerk, "--json", "--coin", "BCT")
    account = fills(hlposmon, clerk, "--json", "--account", "mian")

    assert (coin.exit_code, coin.stdout, account.exit_code, account.stdout) == (1, "", 1, "")
    assert coin.stderr == "hlposmon: the history knows no coin 'BCT'; it knows BTC\n"
    assert account.stderr == "hlposmon: the history knows no account 'mian'; it knows main\n"


def test_a_known_name_without_fills_at_that_time_is_no_fault(hlposmon: Commands, clerk: Clerk):
    result = fills(hlposmon, clerk, "--json", "--coin", "BTC", "--account", "main", "--since", "2040-01-01")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


HOSTILE = {
    "time_ms": [1 << 61, -1],
    "lag_ms": [1 << 62],
    "order_id": ["many", 1.5, b"\xff"],
    "tid": ["x", 1.5],
    "price": ["NaN", "1e999999999", "-Infinity", "", "one", b"\xff", "9" * 5000],
    "position_size": ["sNaN", "1e-999999999"],
    "position_entry": ["x"],
    "position_fills": ["x", 1.5, -1],
    "seq": ["x", 1.5, -1],
    "tx_hash": [7, 1.5, b"x" * 5000],
    "liquidation": [b"x"],
    "twap_id": ["x", 1.5],
    "builder_fee": ["NaN", "", b"x"],
    "side": [7],
}


@pytest.mark.parametrize(("column", "value"), [(name, one) for name, many in HOSTILE.items() for one in many])
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_what_no_monitor_writes_ends_in_a_sentence(hlposmon: Commands, clerk: Clerk, form, column, value):
    clerk.close()
    with sqlite3.connect(clerk.history.path) as db:
        db.execute(f"UPDATE fill SET {column} = ?", (value,))
    db.close()
    result = fills(hlposmon, clerk, *form)

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    if column != "side":  # whatever is no purchase is a sale
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "history.sqlite3" in result.stderr


def test_names_from_the_file_do_not_steer_the_terminal(hlposmon: Commands, clerk: Clerk):
    clerk.close()
    with sqlite3.connect(clerk.history.path) as db:
        db.execute("UPDATE accounts SET name = ?", ("\x1b[2Jmain",))
        db.execute("UPDATE instruments SET key = 'no colons'")
    db.close()

    assert fills(hlposmon, clerk).stdout.replace("\n", "").isprintable()
    for args in (("--coin", "x"), ("--account", "x")):
        assert fills(hlposmon, clerk, *args).stderr.removesuffix("\n").isprintable()


def test_where_no_history_is_it_says_what_to_do(hlposmon: Commands, tmp_path):
    result = hlposmon.run("fills", "--state-dir", str(tmp_path / "nowhere"))

    assert 1 == result.exit_code
    assert "there is no history yet" in result.stderr
    assert "hlposmon run" in result.stderr
    assert "--state-dir" in result.stderr


def test_a_history_that_may_not_be_read_is_no_permission(
    tmp_path, clerk: Clerk, monkeypatch, hlposmon: Commands
):

    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    else:
        clerk.history.path.chmod(0)
    result = fills(hlposmon, clerk)

    assert 4 == result.exit_code
    assert "may not be read" in result.stderr


def test_a_reader_that_has_had_enough_is_no_error(clerk: Clerk):
    clerk.write(20_000)
    clerk.follow()
    process = subprocess.Popen(
        [sys.executable, "-m", "hlposmon", "fills", "--json", "--state-dir", str(clerk.state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=120) == 0


def test_all_of_many_rows_come(clerk: Clerk, hlposmon: Commands):
    clerk.write(2_500)
    clerk.follow()
    printed = fills(hlposmon, clerk, "--csv").stdout.splitlines()

    assert len(printed) == 2_504
    with History.open(clerk.history.path) as history:
        assert sum(1 for _ in history.fills(since_ms=NOON)) == 2_503


def test_a_history_that_is_behind_the_journal_says_so_and_by_how_much(hlposmon: Commands, clerk: Clerk):
    told = "--log-dir", str(clerk.log)
    assert fills(hlposmon, clerk, *told).stderr == ""

    clerk.now_ms = int(time.time() * 1000) - 60_000
    clerk.journals(4)  # the history's process hangs
    result = fills(hlposmon, clerk, "--json", *told)

    assert len(result.stdout.splitlines()) == 3
    said = re.match(
        r"hlposmon: the history is (\d+) lines and (\d+) s behind the audit journal", result.stderr
    )
    assert said is not None, result.stderr
    assert (int(said[1]), 59 <= int(said[2]) < 90) == (clerk.journal.seq - clerk.history.seq, True)
    clerk.look()
    assert fills(hlposmon, clerk, *told).stderr == ""


def test_half_a_second_behind_the_journal_is_no_news(hlposmon: Commands, clerk: Clerk):
    clerk.now_ms = int(time.time() * 1000)
    clerk.journals(1)

    assert fills(hlposmon, clerk, "--log-dir", str(clerk.log)).stderr == ""


def test_another_journal_says_nothing_of_a_history(hlposmon: Commands, clerk: Clerk, tmp_path):
    other = Clerk(tmp_path / "other", now_ms=NOON + 5)
    other.start()
    other.write(9)

    assert fills(hlposmon, clerk, "--log-dir", str(other.log)).stderr == ""

"""The commands that ask a running monitor: status, workers, wait, tail; and what all commands share."""

import json
import signal
import subprocess
import sys
import time

import pytest
from websockets.sync.server import ServerConnection

from tests.cli.canned_monitor import HEALTH, POSITION, SUMMARY, TOTALS, Commands, Monitor


def test_status_shows_the_position_with_its_verdict(hlposmon: Commands, monitor: Monitor):
    result = hlposmon.run("status")

    assert 0 == result.exit_code
    for word in (
        "LIVE",
        "healthy",
        "BTC-USD",
        "long",
        "0.15",
        "50167",
        "+125.00",
        "-3.76",
        "20x",
        "3m",
    ):
        assert word in result.stdout
    assert "proven" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_status_fits_the_width_and_keeps_the_verdict(hlposmon: Commands, monitor: Monitor, columns: int):
    drift = {**POSITION, "verdict": "drift", "verdict_reason": "the venue says 0.2"}
    monitor.says("positions/summary", {**SUMMARY, "positions": {"BTC-USD": POSITION, "ETH-USD": drift}})
    output = hlposmon.run("status", COLUMNS=str(columns)).stdout

    assert columns >= max(map(len, output.splitlines()))
    assert "+125.00" in output
    assert "drift" in output
    assert ("LAST FILL" in output) == (columns >= 120)
    assert {("AS OF" in output), ("5.0s" in output)} == {columns >= 120}
    assert ("PROOF" in output) == (columns >= 120)


def test_status_says_loudly_that_it_is_simulated(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/summary", {**SUMMARY, "mode": "simulated"})

    assert "SIMULATED - no venue is contacted" in hlposmon.run("status").stdout.splitlines()[0]


def test_status_shows_reasons_and_equity_of_several_accounts(hlposmon: Commands, monitor: Monitor):
    accounts = {
        "main": {**TOTALS, "equity": "10000.00"},
        "desk": {**TOTALS, "equity": "5.5", "notices": ["the address is an agent's"]},
    }
    positions = {"main/BTC-USD": POSITION, "desk/xyz:GOLD-USD": {**POSITION, "is_flat": True}}
    monitor.says("positions/summary", {**SUMMARY, "accounts": accounts, "positions": positions})
    monitor.says("positions/health", {**HEALTH, "status": "degraded", "reasons": ["fills late by 7 s"]})
    output = hlposmon.run("status").stdout

    assert "! fills late by 7 s" in output
    assert "! account desk: the address is an agent's" in output
    assert "main/BTC-USD" in output
    assert "GOLD" not in output
    assert "10,000.00" in output
    assert "5.50" in output


def accounts_say(monitor: Monitor, **accounts: dict[str, object]) -> None:
    given = {name: {**TOTALS, "verdict": "proven", **account} for name, account in accounts.items()}
    monitor.says("positions/summary", {**SUMMARY, "stated": True, "accounts": given})


def head_of(output: str, name: str) -> list[str]:
    """The parts of an account's head line, which has two blanks between two parts."""
    return next(line.split("  ") for line in output.splitlines() if line.startswith(f"{name}  "))


def test_status_shows_what_each_account_has_and_has_in_use(hlposmon: Commands, monitor: Monitor):
    figures = {"equity": "10000.00", "margin_used": "382.5", "withdrawable": "9617.499"}
    accounts_say(monitor, main=figures)
    shown = ["equity 10,000.00", "margin 382.50", "withdrawable 9,617.50"]
    assert head_of(hlposmon.run("status").stdout, "main") == ["main", "proven", *shown]

    accounts_say(monitor, main=figures, desk={**figures, "equity": "5.5"})
    shown = ["no positions", "equity 5.50", "margin 382.50", "withdrawable 9,617.50"]
    sums = ["exposure 7,650.00", "uPnL +125.00", "total +121.24"]
    assert head_of(hlposmon.run("status").stdout, "desk") == ["desk", "proven", *shown, *sums]


def test_an_equity_that_is_not_known_is_said_with_its_reason_once(hlposmon: Commands, monitor: Monitor):
    reason = "unifiedAccount: spot balances are margin too"
    unknown = {"equity": None, "margin_used": None, "withdrawable": None, "equity_reason": reason}
    accounts_say(monitor, main=unknown, desk={"equity": "1"})
    output = hlposmon.run("status").stdout
    assert head_of(output, "main")[2:5] == ["equity unknown", "margin unknown", "withdrawable unknown"]
    assert f"! account main: equity: {reason}\n" in output

    notice = f"the account is a {reason}"
    accounts_say(monitor, main={"equity": None, "equity_reason": reason, "notices": [notice]})
    output = hlposmon.run("status").stdout
    assert output.count(reason) == 1


def test_an_account_without_positions_whose_equity_is_not_known_is_flat(hlposmon: Commands, monitor: Monitor):
    account = {"equity": None, "equity_reason": "not known", "verdict": "stale", "positions": {}}
    summary = {**SUMMARY, "stated": True, "positions": {}, "accounts": {"main": account}}
    monitor.says("positions/summary", summary)
    assert "no open positions" in hlposmon.run("status").stdout

    monitor.says("positions/summary", {**summary, "stated": False})
    assert "positions unknown: main not stated by the exchange yet" in hlposmon.run("status").stdout


def test_the_count_of_positions_says_what_is_flat_in_doubt_and_what_is_not_known(
    hlposmon: Commands, monitor: Monitor
):
    flat = {
        **POSITION,
        "symbol": "SOL-USD",
        "is_flat": True,
        "verdict": "unproven",
        "verdict_reason": "a gap",
    }
    positions = {"BTC-USD": POSITION, "SOL-USD": flat}
    monitor.says("positions/summary", {**SUMMARY, "stated": True, "positions": positions})
    assert "positions 1, 1 flat in doubt " in hlposmon.run("status", COLUMNS="200").stdout

    unstated = {**SUMMARY, "stated": False, "active_positions": None, "total_exposure": None}
    monitor.says("positions/summary", unstated)
    assert "positions unknown " in hlposmon.run("status", COLUMNS="200").stdout


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 120])
def test_what_an_account_has_is_shown_however_narrow_it_is(
    hlposmon: Commands, monitor: Monitor, columns: int
):
    figures = {"equity": "1234567.00", "margin_used": "382.50", "withdrawable": "-9617.50"}
    accounts_say(monitor, main=figures, a_name_of_32_letters_and_no_fewer=figures)
    output = hlposmon.run("status", COLUMNS=str(columns)).stdout

    assert max(map(len, output.splitlines())) <= max(columns, 32)  # a name is never cut
    for figure in ("1,234,567.00", "382.50", "-9,617.50"):
        assert output.count(figure) == 2


def test_the_prices_of_a_row_have_the_decimals_of_its_mark(hlposmon: Commands, monitor: Monitor):
    prices = {
        "ARB": ("0.2103116863", "0.21036", "12.346215"),
        "BTC": ("86052", "85949.4", "74455.27834"),
        "DOGE": ("0.1962", "0.2", None),
        "ETH": ("2872.8307", None, "2500.123456789"),
        "HYPE": ("33.15", "33.15625", "33.15624500"),
    }
    positions = {
        coin: {**POSITION, "entry_price": entry, "mark_price": mark, "liquidation_price": liquidation}
        for coin, (entry, mark, liquidation) in prices.items()
    }
    monitor.says("positions/summary", {**SUMMARY, "positions": positions})
    output = hlposmon.run("status").stdout
    cells = {line.split()[0]: line.split() for line in output.splitlines()}

    def shown(coin: str) -> list[str]:
        return [cells[coin][cells["POSITION"].index(title)] for title in ("ENTRY", "MARK", "LIQ")]

    assert shown("ARB") == ["0.21031", "0.21036", "12.34622"]  # half to even
    assert shown("BTC") == ["86052.0", "85949.4", "74455.3"]
    assert shown("DOGE") == ["0.19620", "0.20000", "-"]  # no fewer than five digits of the mark
    assert shown("ETH") == ["2872.8307", "-", "2500.1235"]
    assert shown("HYPE") == ["33.15000", "33.15625", "33.15624"]
    assert positions == json.loads(hlposmon.run("status", "--json").stdout)["positions"]


def test_the_decimal_points_of_a_column_stand_below_each_other(hlposmon: Commands, monitor: Monitor):
    marks = {"ARB": "0.21036", "BTC": "85949.4", "ETH": "2873.18", "SOL": "131.0525"}
    positions = {
        coin: {**POSITION, "entry_price": mark, "mark_price": mark, "liquidation_price": mark}
        for coin, mark in marks.items()
    }
    monitor.says("positions/summary", {**SUMMARY, "positions": positions})
    rows = [line for line in hlposmon.run("status").stdout.splitlines() if line[:3] in marks]
    points = [[place for place, letter in enumerate(row) if letter == "."] for row in rows]

    assert len(rows) == 4
    # In a row SIZE, ENTRY, MARK, uPnL, rPnL, FEES+FUND, NOTIONAL and LIQ have one each.
    assert len({(row[1], row[2], row[7]) for row in points}) == 1


def test_what_is_amiss_with_two_accounts_alike_is_said_of_both(hlposmon: Commands, monitor: Monitor):
    notices = ["trades on the dex xyz"]
    accounts_say(monitor, main={"notices": notices}, mai={"notices": notices})
    monitor.says("positions/health", {**HEALTH, "reasons": [f"account main: {notices[0]}"]})
    output = hlposmon.run("status").stdout

    assert [line for line in output.splitlines() if line.startswith("!")] == [
        "! account main: trades on the dex xyz",
        "! account mai: trades on the dex xyz",
    ]


def test_status_does_not_obey_what_comes_from_outside(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/summary", {**SUMMARY, "positions": {"\x1b[31m[bold]X": POSITION}})

    assert "?[31m[bold]X" in hlposmon.run("status").stdout


def test_status_json_is_the_summary_on_one_line(hlposmon: Commands, monitor: Monitor):
    result = hlposmon.run("status", "--json", "--account", "main")

    assert SUMMARY == json.loads(result.stdout)
    assert 1 == result.stdout.count("\n")
    assert ["/api/v1/positions/summary?account=main"] == monitor.requests


def test_watch_goes_on_through_a_restart_of_the_monitor(hlposmon: Commands, monitor: Monitor):
    watching = hlposmon.start("status", "--watch", "--timeout", "0.2", PYTHONUNBUFFERED="1")
    assert "LIVE" in watching.stdout.readline()
    monitor.stop()
    seen = next(line for line in watching.stdout if "NOT NEW" in line)
    account = next(line for line in watching.stdout if line.startswith("main"))
    old = next(line for line in watching.stdout if "BTC-USD" in line)
    monitor.start()
    back = next(line for line in watching.stdout if "healthy" in line)
    watching.send_signal(signal.SIGINT)

    assert "no monitor" in seen
    assert old.rstrip().endswith("stale")
    assert account.split() == ["main", "stale", "equity", "10,000.00"]
    assert "LIVE" in back
    assert 0 == watching.wait(30)
    assert "" == watching.communicate()[1].strip()


def test_workers_are_a_table_or_json(hlposmon: Commands, monitor: Monitor):
    worker = {
        "name": "fill-1", "kind": "fill", "pid": 77, "state": "up", "restarts": 3, "beat_age_s": 0.42,
        "uptime_s": 7300, "memory_bytes": 31457280, "flapping": True, "last_exit": None,
        "weight_used": 120,
    }  # fmt: skip
    quota = {
        "weight_used": 160, "weight_limit": 1200, "connections_used": 4, "connections_limit": 30,
        "silent_s": 9.2,
    }  # fmt: skip
    answer = {"supervisor": {"pid": 70, "memory_bytes": 1048576}, "workers": [worker], "quota": quota}
    monitor.says("workers", answer)
    title, first, row, total = hlposmon.run("workers").stdout.splitlines()

    titles = "NAME KIND PID STATE RESTARTS BEAT UP MEMORY WEIGHT LAST EXIT"
    assert titles.split() == title.split()
    assert " ".join(row.split()) == "fill-1 fill 77 up (flapping) 3 0.4s 2h 30.0 MiB 120 -"
    assert " ".join(first.split()) == "supervisor - 70 up - - - 1.0 MiB - -"
    assert total == (
        "all together: weight 160 of 1200 a minute, new connections 4 of 30, "
        "silent for 9 s more: the venue said it was too much"
    )
    assert answer == json.loads(hlposmon.run("workers", "--json").stdout)


@pytest.mark.parametrize(
    ("code", "said"), [(0, "0"), (78, "78"), (-9, "-9 (SIGKILL)"), (-6, "-6 (SIGABRT)"), (-45, "-45")]
)
def test_the_signal_that_ended_a_process_is_named(hlposmon: Commands, monitor: Monitor, code: int, said: str):
    monitor.says("workers", {"workers": [{"name": "fill", "last_exit": code}]})
    row = hlposmon.run("workers").stdout.splitlines()[1]

    assert row.endswith(f"  {said}")


def test_wait_ends_when_the_monitor_is_ready(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/health", {**HEALTH, "ready": False, "reasons": ["BTC is unproven"]})
    result = hlposmon.run("wait", "--ready", "--timeout", "0.4")
    assert 124 == result.exit_code
    assert "hlposmon: the monitor was not ready within 0.4 s: BTC is unproven\n" == result.stderr

    monitor.says("positions/health", HEALTH)
    assert 0 == hlposmon.run("wait", "--ready").exit_code


def test_wait_waits_for_a_monitor_that_is_not_up_yet(hlposmon: Commands, monitor: Monitor):
    monitor.stop()
    waiting = hlposmon.start("wait", "--ready", "--timeout", "20")
    time.sleep(0.5)
    monitor.start()

    assert 0 == waiting.wait(30)
    waiting.communicate()


def test_tail_resumes_after_the_last_message_and_says_so(hlposmon: Commands, monitor: Monitor):
    def talk(client: ServerConnection) -> None:
        first = int(client.request.path.partition("since=")[2] or 0)
        for seq in range(first + 1, first + 3):
            client.send(json.dumps({"type": "verdict", "seq": seq}))
        client.close(1012 if first == 0 else 1000)

    monitor.talk = talk
    tail = hlposmon.start("tail")
    lines = [json.loads(tail.stdout.readline())["seq"] for _ in range(4)]
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=120)

    assert [1, 2, 3, 4] == lines
    assert 0 == tail.returncode
    assert "(code 1012); connecting again\nhlposmon: the stream is back, after seq 2\n" in errors
    assert "Traceback" not in errors


def test_tail_asks_for_what_is_wanted(hlposmon: Commands, monitor: Monitor):
    heard = []

    def talk(client: ServerConnection) -> None:
        heard.append(json.loads(client.recv()))
        client.send("{}")

    monitor.talk = talk
    tail = hlposmon.start(
        "tail", "--since", "9", "--compact", "--events", "fill,verdict", "--account", "main"
    )
    assert "{}\n" == tail.stdout.readline()
    tail.send_signal(signal.SIGINT)
    tail.communicate(timeout=120)

    assert "/api/v1/positions/stream?since=9&compact=1" == monitor.requests[-1]
    assert {"action": "subscribe", "events": ["fill", "verdict"], "accounts": ["main"]} == heard[0]


@pytest.mark.parametrize("command", ["status", "tail", "workers"])
def test_without_a_monitor_the_status_is_3_and_the_way_out_is_said(hlposmon: Commands, command: str):
    result = hlposmon.run(command)

    assert 3 == result.exit_code
    assert "" == result.stdout
    assert result.stderr.startswith("hlposmon: no monitor is running: there is no socket ")
    assert "hlposmon run" in result.stderr
    assert 1 == result.stderr.count("\n")


def test_a_silent_monitor_times_out_with_124(hlposmon: Commands, monitor: Monitor):
    def busy(*_: object) -> None:
        time.sleep(0.6)

    monitor._respond = busy  # the canned monitor's own door
    monitor.stop()
    monitor.start()

    assert 124 == hlposmon.run("status", "--timeout", "0.2").exit_code


def test_an_error_of_the_monitor_is_1(hlposmon: Commands, monitor: Monitor):
    result = hlposmon.run("workers")

    assert 1 == result.exit_code
    assert "hlposmon: there is nothing at /api/v1/workers\n" == result.stderr


def test_the_socket_may_stand_before_or_after_the_command(hlposmon: Commands, monitor: Monitor):
    place = hlposmon.environ.pop("HLPOSMON_SOCKET")

    assert 0 == hlposmon.run("--socket", place, "status", "--json").exit_code
    assert 0 == hlposmon.run("status", "--json", "--socket", place).exit_code
    assert 0 == hlposmon.run("--socket", "/nowhere", "status", "--json", "--socket", place).exit_code
    assert 3 == hlposmon.run("status", "--json").exit_code


@pytest.mark.parametrize("arguments", [("--bogus",), ("bogus",), ("status", "extra"), ("config",), ()])
def test_a_usage_error_is_2_and_on_stderr(hlposmon: Commands, arguments: tuple[str, ...]):
    result = hlposmon.run(*arguments)

    assert 2 == result.exit_code
    assert "" == result.stdout
    assert "" != result.stderr


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_everywhere(hlposmon: Commands, flag: str):
    for command in ("run", "status", "health", "tail", "workers", "wait", "simulate", "config"):
        result = hlposmon.run(command, flag)
        assert 0 == result.exit_code
        assert result.stdout.startswith(f"Usage: hlposmon {command}")
        assert f"\n  {command} " in hlposmon.run(flag).stdout


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_is_said(hlposmon: Commands, flag: str):
    assert hlposmon.run(flag).stdout.startswith("hlposmon 0.")


def test_a_reader_that_has_had_enough_is_no_error(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/summary", {**SUMMARY, "filler": "x" * 1_000_000})
    status = hlposmon.start("status", "--json")
    status.stdout.close()
    status.wait(30)

    assert ("", 0) == (status.stderr.read(), status.returncode)
    status.stderr.close()


def test_a_tail_whose_reader_left_ends_quietly(hlposmon: Commands, monitor: Monitor):
    def talk(client: ServerConnection) -> None:
        while True:
            client.send('{"type": "gap"}')
            time.sleep(0.01)

    monitor.talk = talk
    tail = hlposmon.start("tail")
    tail.stdout.readline()
    tail.stdout.close()

    assert 0 == tail.wait(30)
    assert "" == tail.stderr.read()
    tail.stderr.close()


def test_the_module_is_the_command(hlposmon: Commands):
    done = subprocess.run(
        [sys.executable, "-m", "hlposmon", "-V"], capture_output=True, text=True, env=hlposmon.environ
    )

    assert done.stdout.startswith("hlposmon 0.")


def test_tail_of_an_event_that_does_not_exist_is_refused(hlposmon: Commands, monitor: Monitor):
    result = hlposmon.run("tail", "--events", "fill,fils")

    assert 2 == result.exit_code
    assert "'fils': wanted some of fill, price_update" in result.stderr

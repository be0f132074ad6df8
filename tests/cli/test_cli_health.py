"""`health`: the exact line, the exit status, and how little it costs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.canned_monitor import HEALTH, Commands, Monitor


def test_all_well_is_the_line_of_the_contract_and_zero(hlposmon: Commands, monitor: Monitor):
    result = hlposmon.run("health")

    assert (
        "HLPOSMON OK - 2 positions, uPnL +12.34 USD, all proven | fills_age=0.8s;5;15;0 price_age=0.4s;5;15;0"
        " sync_age=21s;120;300;0 positions=2;;;0 drift=0;0;0;0\n"
    ) == result.stdout
    assert 0 == result.exit_code


def test_a_notice_is_said_on_every_way_and_the_details_are_for_programs(
    hlposmon: Commands, monitor: Monitor, tmp_path: Path
):
    text = "5 HYPE are held on spot and not watched"
    health = {
        **HEALTH,
        "status": "degraded",
        "ready": False,
        "reasons": [text],
        "details": [{"code": "not_watched", "account": "main", "text": text}],
    }
    monitor.says("positions/health", health)
    result = hlposmon.run("health", "-v", "--textfile", str(tmp_path / "h.prom"))
    line, reason = result.stdout.splitlines()

    assert result.exit_code == 1
    assert line.startswith(
        f"HLPOSMON WARNING - 2 positions, uPnL +12.34 USD, all proven: account main: {text} | "
    )
    assert reason == f"account main: {text}"
    assert "hlposmon_health_status 1\n" in (tmp_path / "h.prom").read_text()
    assert json.loads(hlposmon.run("health", "--json").stdout) == health
    assert f"! account main: {text}\n" in hlposmon.run("status").stdout
    waited = hlposmon.run("wait", "--ready", "--timeout", "0.3")
    assert (waited.exit_code, waited.stderr) == (
        124,
        f"hlposmon: the monitor was not ready within 0.3 s: account main: {text}\n",
    )


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (
            {"status": "degraded", "reasons": ["fills late"], "verdicts": {"proven": 1, "unproven": 1}},
            1,
            "HLPOSMON WARNING - 2 positions, uPnL +12.34 USD, 1 unproven: fills late | ",
        ),
        (
            {"status": "unhealthy", "reasons": ["drift | on\nBTC"], "verdicts": {"proven": 1, "drift": 1}},
            2,
            "HLPOSMON CRITICAL - 2 positions, uPnL +12.34 USD, 1 drift: drift / on BTC | ",
        ),
        ({"status": "stopping"}, 2, "HLPOSMON CRITICAL - stopping, 2 positions"),
        ({"mode": "simulated"}, 0, "HLPOSMON OK - SIMULATED, 2 positions"),
        (
            {"positions": 1, "unrealized_pnl": "-3"},
            0,
            "HLPOSMON OK - 1 position, uPnL -3.00 USD, all proven | ",
        ),
        (
            {"positions": 0, "verdicts": {}, "unrealized_pnl": "0"},
            0,
            "HLPOSMON OK - 0 positions, uPnL +0.00 USD | ",
        ),
        ({"status": "odd"}, 3, "HLPOSMON UNKNOWN - "),
    ],
)
def test_each_status_has_its_word(
    hlposmon: Commands, monitor: Monitor, change: dict[str, Any], code: int, line: str
):
    health = {**HEALTH, **change}
    monitor.says("positions/health", health, 503 if health["status"] in ("unhealthy", "stopping") else 200)
    result = hlposmon.run("health")

    assert result.stdout.startswith(line)
    assert 1 == result.stdout.count("\n")
    assert code == result.exit_code


def test_an_age_that_is_not_known_is_u(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/health", {**HEALTH, "ages_s": {"fills": None, "prices": 7.04, "reconcile": None}})

    data = hlposmon.run("health").stdout.split(" | ")[1]
    assert (
        "fills_age=U;5;15;0 price_age=7s;5;15;0 sync_age=U;120;300;0 positions=2;;;0 drift=0;0;0;0\n" == data
    )


def test_json_is_the_answer_of_the_monitor(hlposmon: Commands, monitor: Monitor):
    result = hlposmon.run("health", "--json")

    assert HEALTH == json.loads(result.stdout)
    assert 1 == result.stdout.count("\n")


def test_quiet_is_silent_only_when_all_is_well(hlposmon: Commands, monitor: Monitor):
    assert "" == hlposmon.run("health", "--quiet").stdout

    monitor.says("positions/health", {**HEALTH, "status": "degraded"})
    assert "WARNING" in hlposmon.run("health", "--quiet").stdout


@pytest.mark.parametrize("command", ["health", "status"])
def test_that_the_config_cannot_be_read_is_said_where_no_monitor_is_found(
    hlposmon: Commands, tmp_path: Path, command: str
):
    config = tmp_path / "hl.toml"
    environ = {"HLPOSMON_CONFIG": str(config), "HLPOSMON_SOCKET": ""}
    config.write_text('socket = "/nowhere/a.sock"\nfill_feeds = [\n')
    result = hlposmon.run(command, **environ)

    assert (
        f"{config} cannot be read, so a socket that it names was not tried" in result.stdout + result.stderr
    )

    config.write_text('socket = "/nowhere/a.sock"\n')
    result = hlposmon.run(command, **environ)
    assert "cannot be read" not in result.stdout + result.stderr


def test_no_monitor_is_critical(hlposmon: Commands):
    result = hlposmon.run("health")

    assert result.stdout.startswith("HLPOSMON CRITICAL - no monitor is running")
    assert 2 == result.exit_code
    result = hlposmon.run("health", "--json")
    assert False is json.loads(result.stdout)["running"]
    assert 2 == result.exit_code


@pytest.mark.parametrize(
    "arguments", [("health", "--bogus"), ("--bogus", "health"), ("health", "--timeout", "x")]
)
def test_a_usage_error_is_unknown(hlposmon: Commands, arguments: tuple[str, ...]):
    result = hlposmon.run(*arguments)

    assert (3, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))


def test_health_is_light(hlposmon: Commands, monitor: Monitor):
    code = (
        "import sys, atexit; from hlposmon.cli.entry import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    # Without the start-up files of site-packages, some of which import such modules themselves.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "health"],
        capture_output=True,
        text=True,
        env={**hlposmon.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    modules = set(done.stderr.split())

    assert 0 == done.returncode
    assert "hlposmon.cli.probe.check" in modules
    heavy = {
        "click",
        "pathlib",
        "typing",
        "dataclasses",
        "socket",
        "selectors",
        "urllib.request",
        "threading",
        "h11",
        "wsproto",
        "websocket",
        "sdnotify",
        "prometheus_client",
        "requests",
        "ssl",
        "rich",
        "orjson",
        "asyncio",
        "multiprocessing",
        "http.client",
        "tomllib",
        "logging",
    }
    assert set() == heavy & modules


def test_a_broken_config_does_not_stop_it(hlposmon: Commands, monitor: Monitor, tmp_path: Path):
    (tmp_path / "broken.toml").write_text("a = = b")

    assert 0 == hlposmon.run("health", HLPOSMON_CONFIG=str(tmp_path / "broken.toml")).exit_code


@pytest.mark.parametrize("count", [None, 0], ids=["null", "an older monitor's zero"])
def test_an_exchange_that_has_not_answered_is_not_flat(
    hlposmon: Commands, monitor: Monitor, count: int | None
):
    unknown = {"positions": count, "verdicts": {}, "unrealized_pnl": None, "stated": False}
    monitor.says("positions/health", {**HEALTH, **unknown, "status": "degraded", "reasons": ["no fills yet"]})
    result = hlposmon.run("health")

    assert result.stdout.startswith("HLPOSMON WARNING - positions unknown: no fills yet | ")
    assert " positions=U;;;0 " in result.stdout


def test_a_flat_coin_in_doubt_is_told_beside_the_positions_so_that_the_counts_add_up(
    hlposmon: Commands, monitor: Monitor
):
    counts = {"positions": 2, "flat_in_doubt": 1, "verdicts": {"proven": 2, "unproven": 1}}
    monitor.says("positions/health", {**HEALTH, **counts, "status": "degraded", "reasons": ["a gap"]})
    line = hlposmon.run("health").stdout

    assert line.startswith(
        "HLPOSMON WARNING - 2 positions, 1 flat in doubt, uPnL +12.34 USD, 1 unproven: a gap"
    )

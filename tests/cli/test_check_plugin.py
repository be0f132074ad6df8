"""`check_hlposmon` and `hlposmon health` as installed: statuses, streams, what they tell others, the cost."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hlposmon.cli.probe.options import OPTIONS, parse
from hlposmon.cli.probe.textfile import exposition
from tests.bench.health import Cost, cost_of, install
from tests.cli.canned_monitor import HEALTH, Commands, Monitor
from tests.clock import awake_s

ETC = Path(__file__).parents[2] / "etc"
BINARIES = Path(sys.executable).parent
ALL_WELL = "HLPOSMON OK - 2 positions, uPnL +12.34 USD, all proven | "


def called(hlposmon: Commands, name: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """A console script, run to its end."""
    return subprocess.run(
        [BINARIES / name, *arguments],
        env={**hlposmon.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
    )


def check(hlposmon: Commands, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return called(hlposmon, "check_hlposmon", *arguments, **more)


def test_the_plugin_is_the_health_command(hlposmon: Commands, monitor: Monitor):
    plugin, command = check(hlposmon), called(hlposmon, "hlposmon", "health")

    assert (0, "") == (plugin.returncode, plugin.stderr)
    assert plugin.stdout.startswith(ALL_WELL)
    assert (plugin.stdout, 0) == (command.stdout, command.returncode)


def test_a_link_of_the_plugins_name_is_the_plugin(hlposmon: Commands, monitor: Monitor, tmp_path: Path):
    (tmp_path / "check_hlposmon").symlink_to(BINARIES / "hlposmon")
    done = subprocess.run(
        [tmp_path / "check_hlposmon", "-V"], env=hlposmon.environ, capture_output=True, text=True
    )

    assert (3, "check_hlposmon ") == (done.returncode, done.stdout[:15])


@pytest.mark.parametrize(("option", "said"), [("-h", "Usage: check_hlposmon"), ("-V", "check_hlposmon ")])
def test_help_and_version_are_unknown_as_the_guidelines_want(hlposmon: Commands, option: str, said: str):
    done = check(hlposmon, option)

    assert (3, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(said)


@pytest.mark.parametrize(
    "arguments",
    [["--bogus"], ["-w"], ["-w", "fils=3"], ["-t", "nan"], ["-t", "0"], ["more"], ["--textfile", "a.txt"]],
)
def test_a_mistake_is_unknown_and_said_once_by_a_plugin_on_stdout(hlposmon: Commands, arguments: list[str]):
    plugin, command = check(hlposmon, *arguments), called(hlposmon, "hlposmon", "health", *arguments)

    assert (3, "", 3, "") == (plugin.returncode, plugin.stderr, command.returncode, command.stdout)
    assert re.fullmatch(r"HLPOSMON UNKNOWN - .+\. See 'check_hlposmon --help'\.\n", plugin.stdout)
    assert re.fullmatch(r"hlposmon: .+\. See 'hlposmon(?: health)? --help'\.\n", command.stderr)


def test_an_answer_that_makes_no_sense_is_unknown_and_no_traceback(hlposmon: Commands, monitor: Monitor):
    for odd in ({"status": "healthy", "ages_s": 5}, {"status": "degraded", "verdicts": ["proven"]}):
        monitor.says("positions/health", odd)
        for done in (check(hlposmon), called(hlposmon, "hlposmon", "health")):
            assert 3 == done.returncode
            assert done.stdout.startswith("HLPOSMON UNKNOWN - the check failed: ")
            assert "" == done.stderr


@contextmanager
def mute(path: Path) -> Iterator[None]:
    """A socket that accepts, and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield


def test_who_never_answers_is_critical_in_time(hlposmon: Commands, tmp_path: Path):
    # The plugin guidelines: a socket's time-out is no UNKNOWN.
    start_s = awake_s()
    with mute(tmp_path / "s"):
        done = check(hlposmon, "-t", "0.5")

    assert (2, "") == (done.returncode, done.stderr)
    assert "did not answer within 0.5 s" in done.stdout
    assert awake_s() - start_s < 5


def test_an_interrupted_check_is_unknown_without_a_traceback(hlposmon: Commands, tmp_path: Path):
    with mute(tmp_path / "s"):
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, "-t", "60"],
            env=hlposmon.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)

    assert (3, "") == (process.returncode, said)


# A shell's background job would ignore SIGINT. The first look at the socket's place says that it has begun.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hlposmon.cli.entry import check
sys.addaudithook(lambda name, _: name == "socket.connect" and print("ready", flush=True))
check()
"""


def test_thresholds_are_in_verdict_line_perfdata_and_details(hlposmon: Commands, monitor: Monitor):
    done = check(hlposmon, "-wfills_age=0.5", "-c", "upnl=20:", "-w", "exposure=10000", "-v")

    assert 2 == done.returncode
    assert done.stdout.splitlines() == [
        (
            "HLPOSMON CRITICAL - 2 positions, uPnL +12.34 USD, all proven: upnl 12.34 breaks critical 20:;"
            " fills_age 0.8s breaks warning 0.5 | fills_age=0.8s;0.5;;0 price_age=0.4s;5;15;0"
            " sync_age=21s;120;300;0 positions=2;;;0 drift=0;0;0;0 exposure=7650.00;10000;;0 upnl=12.34;;20:"
        ),
        "upnl 12.34 breaks critical 20:",
        "fills_age 0.8s breaks warning 0.5",
        "fills_age: 0.8s, warning 0.5",
        "exposure: 7650.00, warning 10000",
        "upnl: 12.34, critical 20:",
    ]


def test_the_summary_is_asked_for_only_when_a_metric_is_in_it(hlposmon: Commands, monitor: Monitor):
    check(hlposmon, "-w", "upnl=~:")
    assert ["/api/v1/positions/health"] == monitor.requests

    check(hlposmon, "-w", "equity=1:")
    assert "/api/v1/positions/summary" == monitor.requests[-1]


def test_a_summary_that_is_refused_makes_its_metrics_unknown(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/summary", {"error": {"code": "busy", "message": "m"}}, 503)
    done = check(hlposmon, "-w", "equity=1:")

    assert 3 == done.returncode
    assert " equity=U;1:\n" in done.stdout


def test_json_has_what_the_thresholds_came_to(hlposmon: Commands, monitor: Monitor):
    answer = json.loads(check(hlposmon, "--json", "-c", "upnl=20:").stdout)
    breach = {"metric": "upnl", "value": "12.34", "level": "critical", "range": "20:"}

    assert {**HEALTH, "plugin_status": 2, "breaches": [breach]} == answer


def test_the_first_line_stays_short_and_the_details_are_whole(hlposmon: Commands, monitor: Monitor):
    drifts = [f"drift: main C{number}-USD: " + "book and venue differ " * 20 for number in range(50)]
    monitor.says("positions/health", {**HEALTH, "status": "unhealthy", "reasons": drifts}, 503)
    first, *others = check(hlposmon, "-v").stdout.splitlines()

    assert len(first) < 900
    assert "; and 47 more | " in first
    assert [reason.strip() for reason in drifts] == others
    assert 1 == check(hlposmon).stdout.count("\n")


def test_what_is_printed_can_move_no_cursor_and_begin_no_perfdata(hlposmon: Commands, monitor: Monitor):
    monitor.says("positions/health", {**HEALTH, "status": "degraded", "reasons": ["a\x1b[2J|b\x07\u2028c"]})
    done = check(hlposmon, "-v", LC_ALL="C", PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")

    assert ": a?[2J/b? c | " in done.stdout
    assert 1 == done.stdout.count("|")


def test_a_reader_that_leaves_is_quiet(hlposmon: Commands, monitor: Monitor):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [BINARIES / "hlposmon", "health"], env=hlposmon.environ, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)

    assert (0, b"") == (done.returncode, done.stderr)


NOWHERE = [">/dev/full", ">&-", "1</dev/null", "2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"]


def shell(hlposmon: Commands, words: str, where: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """A console script whose output goes where the shell sends it."""
    line = f"exec {BINARIES}/{words} {where}"
    environ = {**hlposmon.environ, **more}
    return subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("check_hlposmon", 0),
        ("hlposmon health", 0),
        ("check_hlposmon --socket /nonexist", 2),
        ("hlposmon health --socket /nonexist --json", 2),
        ("hlposmon health --bogus", 3),
        ("check_hlposmon --bogus", 3),
        ("check_hlposmon --help", 3),
    ],
)
def test_the_status_is_the_checks_wherever_its_words_go(
    hlposmon: Commands, monitor: Monitor, words: str, status: int, where: str
):
    done = shell(hlposmon, words, where)

    assert status == done.returncode
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.parametrize("where", NOWHERE)
def test_another_command_has_no_traceback_either(hlposmon: Commands, monitor: Monitor, where: str):
    done, broken = shell(hlposmon, "hlposmon status", where), shell(hlposmon, "hlposmon status -x", where)

    assert done.returncode == (1 if "1<" in where or ">/dev/full" in where.split() else 0)
    assert 2 == broken.returncode
    assert "Traceback" not in done.stderr + broken.stderr and "Exception" not in done.stderr + broken.stderr


@pytest.mark.parametrize("where", NOWHERE)
def test_extras_come_before_a_line_that_cannot_be_printed(
    hlposmon: Commands, monitor: Monitor, tmp_path: Path, where: str
):
    with switch() as (url, calls):
        (tmp_path / "url").write_text(url)
        (tmp_path / "url").chmod(0o600)
        extras = f"--ping-url-file {tmp_path}/url --textfile {tmp_path}/a.prom"
        done = shell(hlposmon, f"check_hlposmon {extras}", where, no_proxy="*")

    assert 0 == done.returncode
    assert 1 == len(calls)
    assert (tmp_path / "a.prom").exists()


def test_extras_that_fail_change_neither_status_nor_stdout(hlposmon: Commands, monitor: Monitor):
    done = check(hlposmon, "--textfile", "/nowhere/a.prom", "--ping-url-file", "/nowhere/ping-url")

    assert 0 == done.returncode
    assert done.stdout.startswith(ALL_WELL)
    assert done.stderr.splitlines() == [
        "hlposmon: /nowhere/a.prom is not written: no such file or directory",
        "hlposmon: no ping: /nowhere/ping-url: no such file or directory",
    ]


def test_a_text_file_is_written_of_a_monitor_that_is_down(hlposmon: Commands, tmp_path: Path):
    path = tmp_path / "hlposmon.prom"
    done = check(hlposmon, "--textfile", str(path))

    assert (2, "") == (done.returncode, done.stderr)
    assert {"hlposmon_health_status 2", "hlposmon_health_up 0"} <= set(path.read_text().splitlines())


def test_a_text_file_is_written_of_a_monitor_that_is_well(
    hlposmon: Commands, monitor: Monitor, tmp_path: Path
):
    check(hlposmon, "-q", "--textfile", str(tmp_path / "hlposmon.prom"))

    stamp = re.compile(r"(timestamp_seconds\S*) \d+\.\d+")
    written = stamp.sub(r"\1", (tmp_path / "hlposmon.prom").read_text())
    assert stamp.sub(r"\1", exposition(HEALTH, 0, time.time())) == written


@contextmanager
def switch() -> Iterator[tuple[str, list[str]]]:
    """Where to ping, and the first lines and bodies that came."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = connection.makefile("rb")
                    lines = [line.decode().strip() for line in iter(request.readline, b"\r\n")]
                    [length] = [int(line[15:]) for line in lines if line.startswith("Content-Length:")]
                    calls.append(f"{lines[0]} {request.read(length).decode()}")
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/uuid", calls
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize(
    ("status", "options", "path"),
    [
        ("healthy", [], "/uuid"),
        ("degraded", [], "/uuid"),
        ("degraded", ["--ping-fail-on", "warning"], "/uuid/1"),
        ("unhealthy", [], "/uuid/2"),
        ("odd", [], "/uuid/3"),
    ],
)
def test_the_switch_is_told_the_status_and_the_line(
    hlposmon: Commands, monitor: Monitor, tmp_path: Path, status: str, options: list[str], path: str
):
    monitor.says("positions/health", {**HEALTH, "status": status, "reasons": ["because"]})
    with switch() as (url, calls):
        (tmp_path / "url").write_text(url)
        (tmp_path / "url").chmod(0o600)
        done = check(hlposmon, "--ping-url-file", str(tmp_path / "url"), *options, no_proxy="*")

    assert [f"POST {path} HTTP/1.1 {done.stdout}"] == calls
    assert "" == done.stderr


def test_example_definitions_use_options_that_there_are():
    nagios = (ETC / "nagios/hlposmon.cfg").read_text()
    arguments = re.findall(r"^\s*check_command\s+check_hlposmon!(.*)$", nagios, re.MULTILINE)
    flags = set(re.findall(r'^    "(--[a-z-]+)"', (ETC / "icinga2/hlposmon.conf").read_text(), re.MULTILINE))
    ranges = re.findall(r'"([a-z_]+=[^"]+)"', (ETC / "icinga2/hlposmon.conf").read_text())

    assert [parse([word.strip("'") for word in line.split()]) is not None for line in arguments] == [True]
    assert flags
    assert flags <= {flag for option in OPTIONS for flag in option.flags}
    assert parse([word for wanted in ranges for word in ("-w", wanted)]) is not None


SERVER = """
import json, socket, sys
body = json.dumps(json.loads(sys.argv[2])).encode()
head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(head + body)
    connection.close()
"""


def test_a_check_costs_less_than_three_and_a_half_starts_of_python(hlposmon: Commands, tmp_path: Path):
    binaries = install(tmp_path / "venv")
    # A process of its own: in this one a thread would wait for the interpreter's lock.
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, tmp_path / "s", json.dumps(HEALTH)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert "ready\n" == server.stdout.readline()
        costs: list[Cost] = []
        # A loaded machine may spoil one look, not the least of three.
        while len(costs) < 3 and not (costs and _ratio(costs[-1]) < 3.5):
            costs.append(cost_of(binaries, ["health"], hlposmon.environ, rounds=25))
    finally:
        server.kill()
        server.communicate()

    assert min(map(_ratio, costs)) < 3.5, costs


def _ratio(cost: Cost) -> float:
    return min(cost.by_fastest, cost.by_median)

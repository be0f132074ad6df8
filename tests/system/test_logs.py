"""What the whole service logs: no secret anywhere, little under faults, and JSON when asked."""

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.world import COMMAND, World, descendants, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

KEY, OTHER = "c0ffee" * 10 + "c0ff", "deadbeef" * 8
SECRETS = {"HYPERLIQUID_PRIVATE_KEY": "0x" + KEY, "OTHER_API_SECRET": OTHER}
# journald drops what is beyond 10 000 lines in 30 s of one service (journald.conf(5)): far below that.
WATCHED_S, MOST_LINES = 4.0, 120


@contextlib.contextmanager
def _watching(*args: str, **environ: str) -> Iterator[World]:
    with world() as here:
        here.open_exchange("--seed", "5", "--pace", "5", "--coins", "4", "--accounts", "1")
        plain = here.environ
        here.environ = lambda: plain() | environ  # type: ignore[method-assign]
        here.start("--address", f"main={here.accounts[0]}", *here.urls, *args)
        until("fills are journalled", lambda: any(line["type"] == "fill" for line in here.lines()))
        yield here


def _log(here: World) -> str:
    return (here.folder / "monitor.log").read_text()


def test_a_key_in_the_environment_is_on_no_surface(tmp_path: Path):
    with _watching(LOG_LEVEL="DEBUG", **SECRETS) as here:
        assert here.monitor is not None
        said = [
            here.run(*command.split()).stdout
            for command in ("status --json", "health", "workers", "config print")
        ]
        said += [here.run("audit", "verify", *here.places()[-2:]).stdout, here.run("doctor").stderr]
        for pid in (here.monitor.pid, *descendants(here.monitor.pid)):
            assert KEY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(here.pids("price")[0], 6)  # a traceback of a worker that was aborted
        until("it is replaced", lambda: here.restarts()["price"] == 1)
        here.stop()
        said.append(_log(here))
        files = [path for path in here.folder.rglob("*") if path.is_file()]
        assert {"history.sqlite3", "monitor.log"} <= {path.name for path in files}
        said += [path.read_bytes().decode("latin-1") for path in files]

    assert not [text for text in said if KEY in text or OTHER in text]


def test_json_lines_are_all_json_and_say_who_speaks():
    speakers = ("supervisor", "tracker", "fill")
    with _watching("--log-format", "json") as here:
        until("all have spoken", lambda: all(f'"process": "{one}"' in _log(here) for one in speakers))
        here.stop()
        text = _log(here)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert len(lines) == len(text.splitlines()), text

    assert set(speakers) <= {line["process"] for line in lines}
    assert all({"time", "level", "process", "message"} <= line.keys() for line in lines)


def _away(here: World) -> None:
    here.control.outage(WATCHED_S + 5)


def _too_many_requests(here: World) -> None:
    here.control.http_fault("429", times=100_000)
    here.control.abort()


def _garbage(here: World) -> None:
    until_s = time.monotonic() + WATCHED_S
    while time.monotonic() < until_s:
        here.control.ws_junk("text")


def _lost_fills(here: World) -> None:
    here.control.lose(500)
    here.control.pace(50)


def _rubbish_clients(here: World) -> None:
    until_s = time.monotonic() + WATCHED_S
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(here.socket))
            client.sendall(b"\x1b[2J\r\nGET / HTTP/9.9\n<0>forged\r\n\r\n")
            client.recv(100)


def _no_log_folder(here: World) -> None:
    trading = here.log_dir / "trading"
    trading.rename(here.folder / "kept")
    trading.write_text("in the way")


FAULTS = [_away, _too_many_requests, _garbage, _lost_fills, _rubbish_clients, _no_log_folder]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_fault_that_lasts_does_not_fill_the_log(fault, record_property):
    with _watching() as here:
        before, began_s = len(_log(here).splitlines()), time.monotonic()
        fault(here)
        until("time has passed", lambda: time.monotonic() > began_s + WATCHED_S, within_s=WATCHED_S + 5)
        lines = _log(here).splitlines()[before:]

    per_30_s = len(lines) * 30 / WATCHED_S
    print(f"{fault.__name__.strip('_')}: {len(lines)} lines in {WATCHED_S:g} s, {per_30_s:.0f} in 30 s")
    assert len(lines) < MOST_LINES, "\n".join(lines[:20])
    assert all(line.isprintable() and len(line.encode()) < 48 << 10 for line in lines)


def test_the_simulated_exchange_alone_logs_nothing_in_peace():
    done = subprocess.run(
        ["timeout", "-s", "INT", "2", *COMMAND, "simulate", "--log-format", "json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout)["accounts"]

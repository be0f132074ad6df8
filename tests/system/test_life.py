"""The life of a monitor on one machine: started, asked, hurt, stopped; nothing is left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest
from websockets.sync.client import unix_connect

from hlposmon.client.snapshot import Snapshot
from tests.clock import awake_s, count_orphans
from tests.shared_memory import leave_nothing, shared_files
from tests.system.world import World, alive, descendants, until, world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def _simulated(here: World) -> None:
    here.start("--simulate", "--pace", "5")


def _left_behind(here: World) -> list[str]:
    """Files in the runtime folder; the state, the log and this test's own may stay."""
    kept = {"state", "log", "xdg", "monitor.log", "hlposmon.toml"}
    files = [path.name for path in here.folder.iterdir() if path.name not in kept]
    locks = [str(path) for path in here.folder.rglob("*.lock")]
    return files + locks


def test_the_simulated_run_shows_proven_positions_and_ends_clean():
    before = shared_files()
    with world() as here:
        _simulated(here)
        assert here.monitor is not None
        family = [here.monitor.pid, *descendants(here.monitor.pid)]

        status = here.run("status", "--json")
        health = here.run("health")

        summary = json.loads(status.stdout)
        assert status.returncode == 0
        assert summary["mode"] == "simulated"
        assert summary["active_positions"] >= 3
        assert {row["verdict"] for row in summary["positions"].values()} == {"proven"}
        assert (health.returncode, health.stdout.split(" - ")[0]) == (0, "HLPOSMON OK")
        assert "all proven" in health.stdout

        begun = awake_s()
        assert here.stop(signal.SIGINT) == 0
        assert awake_s() - begun < 10
        until("the whole family is gone", lambda: not any(map(alive, family)))
        assert _left_behind(here) == []
        assert leave_nothing(before)


def test_curl_and_another_librarys_websocket_client_are_served():
    with world() as here:
        _simulated(here)
        curl = shutil.which("curl")
        assert curl is not None, "curl is not installed: apt-get install curl"
        said = subprocess.run(
            [curl, "-sf", "--unix-socket", str(here.socket), "http://localhost/api/v1/positions/summary"],
            capture_output=True,
            check=True,
        )
        assert json.loads(said.stdout)["active_positions"] >= 3

        with unix_connect(str(here.socket), "ws://localhost/api/v1/positions/stream") as stream:
            first = json.loads(stream.recv(timeout=30))
            assert first["type"] == "initial_state"
            seqs = [json.loads(stream.recv(timeout=30))["seq"] for _ in range(20)]
        assert seqs == list(range(first["seq"] + 1, first["seq"] + 21))


def test_the_snapshot_on_disk_says_what_the_socket_says():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.start()
        with Snapshot.open(here.folder / "snapshot") as opened:
            records = {record.symbol: record for record in opened.positions()}
            assert opened.state == "live"
        summary = here.api.summary()
        assert {s: str(r.size) for s, r in records.items()} == {
            s: row["size"] for s, row in summary["positions"].items()
        }


def test_no_process_outlives_a_supervisor_that_is_killed():
    with world() as here:
        _simulated(here)
        assert here.monitor is not None
        family = descendants(here.monitor.pid)
        assert len(family) >= 6

        count_orphans(family)
        here.monitor.kill()
        killed = awake_s()

        until("every child is gone", lambda: not any(map(alive, family)))
        assert awake_s() - killed < 2


def test_who_dies_under_a_supervisor_that_hangs_is_shown_as_gone_and_health_says_so():
    with world() as here:
        _simulated(here)
        assert here.monitor is not None
        [price] = here.pids("price")
        here.monitor.send_signal(signal.SIGSTOP)
        os.kill(price, signal.SIGKILL)

        until("it is down", lambda: not here.pids("price"))
        health = until("it is said", lambda: here.api.health() if here.api.health()["reasons"] else None)
        here.monitor.send_signal(signal.SIGCONT)

        assert health["status"] == "degraded"
        assert any("price" in reason for reason in health["reasons"])
        until("another is up", lambda: here.pids("price"))


def test_what_a_killed_monitor_left_is_replaced_by_the_next():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        # What was open at the first statement would have its entry price from there, not to the last digit.
        here.flatten()
        here.start()
        assert here.monitor is not None
        begun = int(here.control.state()["accounts"][here.accounts[0]]["fills"])
        here.control.pace(20)
        until("fills are journalled", lambda: any(line["type"] == "fill" for line in here.lines()))
        here.monitor.kill()
        here.monitor.wait()
        assert here.socket.exists()

        here.start()

        here.control.pace(0)
        until("all agree", lambda: not here.disagreements(fills_from=begun))


@pytest.mark.parametrize("kinds", [("fill", "price", "reconcile"), ("tracker",)])
def test_stopped_processes_are_noticed_and_replaced_within_15_s(kinds: tuple[str, ...]):
    with world() as here:
        _simulated(here)
        victims = [here.pids(kind)[0] for kind in kinds]
        for victim in victims:
            os.kill(victim, signal.SIGSTOP)
        begun = awake_s()

        until("they are gone", lambda: not any(map(alive, victims)))
        until(
            "others are up in their place",
            lambda: all(set(here.pids(kind)) - set(victims) for kind in kinds),
        )
        here.ready()
        assert awake_s() - begun < 15


def test_a_second_monitor_is_refused_and_names_the_pid_of_the_first():
    with world() as here:
        _simulated(here)
        assert here.monitor is not None

        second = here.run("run", "--plain", "--simulate", *here.places())

        assert second.returncode == 1
        assert f"pid {here.monitor.pid}" in second.stderr
        assert here.api.health()["running"]


def test_with_the_exchange_out_of_reach_it_serves_and_says_so_and_goes_on_trying():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.control.refuse(6.0)
        here.start(wait=False)

        health = until("it serves", here.api.health)
        assert health["status"] in ("degraded", "unhealthy")
        assert not health["ready"]
        assert here.run("health").returncode in (1, 2)

        assert here.ready()["status"] == "healthy"


def test_three_hundred_idle_connections_and_garbage_do_no_harm():
    with world() as here:
        _simulated(here)
        idle = []
        for _ in range(300):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(here.socket))
            idle.append(sock)
        try:
            for raw in (b"\x16\x03\x01\x02\x00\x01" * 50, b"GET\r\n\r\n", os.urandom(4096), b"\n" * 100):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.settimeout(30)
                    sock.connect(str(here.socket))
                    sock.sendall(raw)
                    sock.shutdown(socket.SHUT_WR)
                    answer = sock.recv(4096)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
            assert _status_of_10_mb(here) == 413

            begun = awake_s()
            assert here.api.summary()["active_positions"] >= 3
            assert awake_s() - begun < 1
            assert here.run("health").returncode == 0
        finally:
            for sock in idle:
                sock.close()


def _status_of_10_mb(here: World) -> int:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(here.socket))
        sock.sendall(
            b"POST /api/v1/positions/summary HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n"
        )
        try:
            for _ in range(160):
                sock.sendall(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it did not read it all, as it should not
        return int(sock.recv(4096).split()[1])


def test_the_price_of_a_position_moves_its_profit_within_two_seconds():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.start()
        symbol, row = next(iter(here.api.summary()["positions"].items()))
        price = "2" + row["mark_price"]

        here.control.set_mark(row["coin"], price)
        begun = awake_s()

        until("the mark arrived", lambda: here.api.summary()["positions"][symbol]["mark_price"] == price)
        assert awake_s() - begun < 3


def test_a_fill_lost_on_the_stream_is_noticed_at_the_next_and_healed():
    with world() as here:
        here.open_exchange("--pace", "0", "--accounts", "1")
        here.flatten()
        here.start()
        address = here.accounts[0]
        begun = int(here.control.state()["accounts"][address]["fills"])
        coin = here.control.state()["coins"][0]
        mark = here.control.state()["accounts"][address]["positions"].get(coin, {}).get("markPx", "1000")
        here.control.fill(address, coin, "B", "1", mark)
        until("the first fill is in", lambda: here.api.summary()["positions"])

        here.control.lose(1, address)
        here.control.fill(address, coin, "B", "1", mark)
        here.control.fill(address, coin, "B", "1", mark)

        until("all agree", lambda: not here.disagreements(fills_from=begun))
        kinds = [line["type"] for line in here.lines()]
        assert kinds.index("gap") < kinds.index("healed")


def test_a_reload_takes_a_changed_config_and_keeps_the_clients():
    with world() as here:
        here.open_exchange("--pace", "0")
        rows = "".join(
            f'[[venues.hyperliquid.accounts]]\nname = "{name}"\naddress = "{address}"\n'
            for name, address in zip(("one", "two"), here.accounts, strict=True)
        )
        first, _ = rows.split('[[venues.hyperliquid.accounts]]\nname = "two"')
        here.start(*here.urls, config=first)
        assert here.monitor is not None
        assert set(here.api.summary()["accounts"]) == {"one"}
        with unix_connect(str(here.socket), "ws://localhost/api/v1/positions/stream") as stream:
            json.loads(stream.recv(timeout=30))
            (here.folder / "hlposmon.toml").write_text(rows)

            here.monitor.send_signal(signal.SIGHUP)

            until("both are watched", lambda: set(here.api.summary()["accounts"]) == {"one", "two"})
            here.ready()
            stream.send('{"action": "ping"}')
            while json.loads(stream.recv(timeout=30))["type"] != "pong":
                pass  # what was published meanwhile comes first

        (here.folder / "hlposmon.toml").write_text("nonsense = 1\n")
        here.monitor.send_signal(signal.SIGHUP)
        until("the mistake is named", lambda: "nonsense" in here.log())
        assert set(here.api.summary()["accounts"]) == {"one", "two"}


def test_a_reload_that_changes_nothing_leaves_every_process_alone():
    with world() as here:
        here.open_exchange("--pace", "0")
        here.start(config="[reconcile]\ninterval_s = 60.0\n")
        before = {row["name"]: row["pid"] for row in here.api.workers()}
        here.monitor.send_signal(signal.SIGHUP)
        until("it was reloaded", lambda: "reloaded" in here.log())

        assert {row["name"]: row["pid"] for row in here.api.workers()} == before
        assert here.ready()

"""The service's life under a real systemd."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from hlposmon.client.api import Api
from hlposmon.errors import MonitorNotRunning, TimedOut
from tests.booted.conftest import Host
from tests.booted.watcher import Watcher

T = TypeVar("T")
UNIT = "hlposmon.service"
KINDS = ("fill", "fill-2", "price", "state", "reconcile", "tracker")


@contextmanager
def configured(host: Host, change: Callable[[str], str]) -> Iterator[None]:
    """The configuration changed, and afterwards as it was."""
    path = "/etc/hlposmon/hlposmon.toml"
    before = host.machine.read(path)
    host.machine.write(path, change(before))
    try:
        yield
    finally:
        host.machine.write(path, before)


@contextmanager
def drop_in(host: Host, unit: str, text: str) -> Iterator[None]:
    folder = f"/etc/systemd/system/{unit}.d"
    host.machine.write(f"{folder}/test.conf", text)
    host.machine.must("systemctl daemon-reload")
    try:
        yield
    finally:
        host.machine.must(f"rm {folder}/test.conf && systemctl daemon-reload")


def worker(host: Host, name: str) -> dict[str, Any]:
    return next(row for row in host.workers() if row["name"] == name)


def test_it_is_active_only_when_it_answers(host: Host):
    machine = host.machine
    machine.must(f"systemctl stop {UNIT}")
    seen = machine.must(
        f"systemctl start --no-block {UNIT}; "
        "for i in $(seq 600); do "
        f"  state=$(systemctl show -P ActiveState {UNIT}); "
        "  if [ $state = active ]; then"
        "    curl -s -o /dev/null -w 'active %{http_code}\\n' --unix-socket /run/hlposmon/hlposmon.sock"
        "      http://localhost/api/v1/positions/health; exit; fi; "
        "  echo $state; sleep 0.05; done"
    ).splitlines()

    assert set(seen[:-1]) == {"activating"}
    assert seen[-1] in ("active 200", "active 503")


def test_systemctl_says_how_it_goes(host: Host):
    """It is told every few seconds: just after a start the last word may be of that."""

    def says_so() -> bool:
        return " positions, " in host.machine.show(UNIT, "StatusText")["StatusText"]

    assert host.machine.until("a status that tells of positions", says_so, within_s=30)


def test_members_of_the_group_are_answered_and_others_told_why_not(host: Host):
    machine = host.machine
    machine.must("useradd member -m -G hlposmon; useradd stranger -m")

    assert "proven" in machine.must("hlposmon status", user="member")
    assert machine.must("hlposmon health", user="member").startswith("HLPOSMON OK")
    refused = machine.run("hlposmon status", user="stranger")
    assert refused.returncode == 4
    assert "/run/hlposmon/hlposmon.sock" in refused.stderr
    assert "member of its group" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert machine.run("hlposmon health", user="stranger").returncode == 3
    assert machine.run("cat /run/hlposmon/snapshot", user="stranger").returncode != 0
    assert machine.must("stat -c '%a %U:%G' /run/hlposmon/hlposmon.sock").strip() == "660 hlposmon:hlposmon"
    assert machine.must("stat -c '%a %U:%G' /run/hlposmon/snapshot").strip() == "640 hlposmon:hlposmon"


def test_every_worker_that_is_killed_is_replaced_and_the_unit_stays_active(host: Host):
    machine = host.machine
    names = ("ActiveState", "ActiveEnterTimestampMonotonic", "NRestarts", "MainPID")
    before = machine.show(UNIT, *names)
    for name in KINDS:
        row = worker(host, name)
        machine.must(f"kill -KILL {row['pid']}")
        machine.until(
            f"{name} is replaced",
            lambda name=name, row=row: (
                (new := worker(host, name))["pid"] != row["pid"] and new["state"] == "up"
            ),
        )
    machine.must("hlposmon wait --ready --timeout 30")

    assert machine.show(UNIT, *names) == before
    host.agrees()


def test_a_supervisor_that_hangs_is_ended_by_the_watchdog_and_started_anew(host: Host):
    machine = host.machine
    with drop_in(host, UNIT, "[Service]\nWatchdogSec=4\n"):
        machine.must(f"systemctl restart {UNIT}")
        before = machine.show(UNIT, "MainPID", "NRestarts")
        machine.must(f"kill -STOP {before['MainPID']}")
        after = machine.until(
            "another supervisor",
            lambda: (
                (found := machine.show(UNIT, "MainPID", "NRestarts", "ActiveState"))["ActiveState"]
                == "active"
                and found["NRestarts"] != before["NRestarts"]
                and found
            ),
            within_s=60,
        )
        machine.must("hlposmon wait --ready --timeout 60", timeout_s=70)

    assert int(after["NRestarts"]) == int(before["NRestarts"]) + 1
    assert "Watchdog timeout" in machine.journal("-u", UNIT)
    host.agrees()


def test_a_reload_takes_the_new_configuration_and_loses_no_fill_and_no_client(host: Host):
    machine = host.machine
    host.venue.pace(40)
    try:
        with Watcher(machine) as watcher:
            watcher.until_fills(40)
            with configured(host, lambda text: text.replace("interval_s = 60.0", "interval_s = 7.0")):
                machine.must(f"systemctl reload {UNIT}")
                machine.until(
                    "the new interval is in force",
                    lambda: "reloaded" in machine.journal("-u", UNIT, "--since=-20s"),
                )
                watcher.until_fills(120)
            machine.must(f"systemctl reload {UNIT}")
            watcher.until_fills(80)
            assert watcher.ended is None, "the connection was closed by the reload"
            assert watcher.holes == []
    finally:
        host.venue.pace(2)

    host.agrees()


def test_a_reload_with_a_mistake_keeps_what_was_and_says_where(host: Host):
    machine = host.machine
    with configured(host, lambda text: text + "\n[prices]\n"):
        machine.run(f"systemctl reload {UNIT}")
        machine.until(
            "the mistake is in the journal",
            lambda: "/etc/hlposmon/hlposmon.toml" in machine.journal("-u", UNIT, "--since=-15s", "-p", "err"),
        )

        assert machine.show(UNIT, "ActiveState", "Result") == {"ActiveState": "active", "Result": "success"}
        reason = "not reloaded, the configuration before is in force: /etc/hlposmon/hlposmon.toml"
        machine.until("health says so", lambda: reason in machine.run("hlposmon health").stdout)
        assert machine.run("hlposmon health").returncode == 1

    machine.must(f"systemctl reload {UNIT}")
    machine.until(
        "the good configuration is taken",
        lambda: machine.run("hlposmon health").stdout.startswith("HLPOSMON OK"),
    )


def test_a_stop_is_clean_and_takes_no_ten_seconds(host: Host):
    machine = host.machine
    began_s = time.monotonic()
    machine.must(f"systemctl stop {UNIT}")
    took_s = time.monotonic() - began_s

    assert took_s < 10
    found = machine.show(UNIT, "ActiveState", "Result", "ExecMainStatus", "ExecMainCode")
    assert found["ActiveState"] == "inactive"
    assert (found["Result"], found["ExecMainStatus"]) == ("success", "0")
    assert machine.run("pgrep -u hlposmon").stdout == ""
    assert machine.run("ls /run/hlposmon").returncode != 0
    assert machine.must("ls -A /dev/shm").strip() == ""
    assert machine.run("hlposmon status").returncode == 3
    assert machine.run("hlposmon health").returncode == 2


def test_a_bad_configuration_fails_once_with_78_and_a_message_and_raises_the_alert(host: Host):
    machine = host.machine
    machine.must(f"systemctl stop {UNIT}; rm -rf /run/hlposmon-alert/*")
    machine.write(
        "/etc/hlposmon/alert.d/note", '#!/bin/sh\n{ echo "unit=$1"; cat; } >> /run/told\n', mode="755"
    )
    try:
        with configured(host, lambda text: text.replace('name    = "main"', 'nmae = "main"')):
            assert machine.run(f"systemctl start {UNIT}").returncode == 1
            machine.until("the alert has been raised", lambda: machine.run("cat /run/told").stdout)
            found = machine.show(UNIT, "ActiveState", "Result", "ExecMainStatus", "NRestarts")
            said = machine.journal("-u", UNIT, "-p", "err", "--since=-60s")
    finally:
        machine.must("rm -rf /etc/hlposmon/alert.d")

    assert (found["ActiveState"], found["Result"], found["ExecMainStatus"]) == ("failed", "exit-code", "78")
    assert found["NRestarts"] == "0"
    assert "nmae" in said
    assert "/etc/hlposmon/hlposmon.toml" in said
    told = machine.read("/run/told")
    assert "unit=hlposmon.service" in told
    assert "nmae" in told, "the report holds the reason"


def test_the_timer_reports_health_and_raises_the_alert_when_it_is_critical(host: Host):
    machine = host.machine
    quick = "[Timer]\nOnActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec=2s\n"
    with drop_in(host, "hlposmon-health.timer", quick):
        machine.must("rm -rf /run/hlposmon-alert/*; systemctl start hlposmon-health.timer")
        try:
            unit = "hlposmon-health.service"
            machine.until("a green line in the journal", lambda: "HLPOSMON OK" in machine.journal("-u", unit))
            machine.must(f"systemctl stop {UNIT}")
            machine.until(
                "a critical line in the journal",
                lambda: "HLPOSMON CRITICAL" in machine.journal("-u", unit, "--since=-15s"),
            )
            machine.until(
                "the alert",
                lambda: f"alert unit={unit}" in machine.journal("-t", "hlposmon-alert", "--since=-30s"),
            )
        finally:
            machine.must("systemctl stop hlposmon-health.timer")


def test_the_health_unit_leaves_figures_that_others_may_read(host: Host):
    machine = host.machine
    path = "/run/hlposmon-health/hlposmon.prom"
    args = f'[Service]\nEnvironment="HEALTH_ARGS=--quiet --textfile {path}"\n'
    with drop_in(host, "hlposmon-health.service", args):
        machine.must("hlposmon wait --ready --timeout 30")
        machine.must("systemctl start hlposmon-health.service")

    assert "hlposmon_health_up 1" in machine.must(f"cat {path}", user="nobody")
    assert machine.must(f"stat -c '%a %U' {path}").split() == ["644", "hlposmon"]


def test_the_sandbox_hides_homes_and_lets_it_write_to_its_own_folders_alone(host: Host):
    machine = host.machine
    machine.must("mkdir -p /home/someone && echo secret > /home/someone/file && chmod -R a+rX /home/someone")
    pid = machine.show(UNIT, "MainPID")["MainPID"]

    def try_inside(command: str) -> int:
        """As the service's user, in the service's own view of the files."""
        return machine.run(
            f"nsenter -t {pid} --mount setpriv --reuid=hlposmon --regid=hlposmon --clear-groups"
            f" --no-new-privs sh -c '{command}'"
        ).returncode

    assert try_inside("cat /home/someone/file") != 0
    assert try_inside("ls /root/.") != 0
    for folder in ("/var/lib/hlposmon", "/var/log/hlposmon", "/run/hlposmon"):
        assert try_inside(f"touch {folder}/probe && rm {folder}/probe") == 0, folder
    for folder in (
        "/etc",
        "/etc/hlposmon",
        "/usr",
        "/opt/hlposmon",
        "/var/lib",
        "/srv",
        "/run",
        "/dev/shm/..",
    ):
        assert try_inside(f"touch {folder}/probe") != 0, folder
    status = dict(
        line.split(":\t", 1) for line in machine.read(f"/proc/{pid}/status").splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16)) == ("1", "2", 0)


def test_credentials_reach_the_service_and_nobody_else(host: Host):
    machine = host.machine
    machine.write("/etc/hlposmon/credentials/binance-api-key", "a-secret-key", mode="600")
    try:
        machine.must(f"systemctl restart {UNIT}")
        pid = machine.show(UNIT, "MainPID")["MainPID"]
        path = machine.must(f"tr '\\0' '\\n' < /proc/{pid}/environ | grep ^CREDENTIALS_DIRECTORY=").split(
            "="
        )[1]
        read = f"cat {path.strip()}/venue_binance-api-key"
        service = f"nsenter -t {pid} --mount setpriv --reuid=hlposmon --clear-groups"
        assert machine.must(f"{service} {read}") == "a-secret-key"
        assert machine.run(read, user="nobody").returncode != 0
    finally:
        machine.must("rm /etc/hlposmon/credentials/binance-api-key")


def test_systemd_finds_nothing_wrong_with_the_units_and_little_exposed(host: Host):
    machine = host.machine
    units = "hlposmon.service hlposmon-health.service hlposmon-health.timer hlposmon-alert@x.service"
    verdict = machine.run(f"systemd-analyze verify --man=no {units}")
    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, "", "")
    for unit in ("hlposmon.service", "hlposmon-health.service"):
        said = machine.must(f"systemd-analyze security --no-pager {unit}").splitlines()
        assert float(said[-1].split(":")[1].split()[0]) <= 1.5, said[-1]


def test_it_fits_into_its_memory_limit(host: Host):
    limit = int(host.machine.show(UNIT, "MemoryHigh")["MemoryHigh"])
    used = sum(row["memory_bytes"] or 0 for row in host.workers())

    assert 0 < used < limit, "resident sizes count what is shared several times, and still fit"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_in_place(host: Host, shell: str):
    place = {
        "bash": "/usr/local/share/bash-completion/completions/hlposmon",
        "zsh": "/usr/local/share/zsh/site-functions/_hlposmon",
        "fish": "/usr/local/share/fish/vendor_completions.d/hlposmon.fish",
    }[shell]

    assert "_HLPOSMON_COMPLETE" in host.machine.read(place)


def test_bash_completes_a_command(host: Host):
    said = host.machine.must(
        "COMP_WORDS='hlposmon st' COMP_CWORD=1 _HLPOSMON_COMPLETE=bash_complete hlposmon"
    )

    assert "plain,status" in said


def polling(
    ask: Callable[[], T], over: threading.Event
) -> tuple[threading.Thread, list[tuple[float, float, T]]]:
    """Ask without end; each answer with when it was asked for and when it came."""
    answers: list[tuple[float, float, T]] = []

    def poll() -> None:
        while not over.is_set():
            began = time.monotonic()
            answer = ask()
            answers.append((began, time.monotonic(), answer))

    thread = threading.Thread(target=poll)
    thread.start()
    return thread, answers


def held(summary: dict[str, Any]) -> dict[str, Decimal]:
    """The size of every position that is open."""
    sizes = {row["coin"]: Decimal(row["size"]) for row in summary["positions"].values()}
    return {coin: size for coin, size in sizes.items() if size}


def is_right(summary: dict[str, Any], sizes: dict[str, Decimal]) -> bool:
    """Whether what it claims is the exchange's: every proven size and, when all is, that this is all."""
    rows = summary["positions"].values()
    proven = {row["coin"]: Decimal(row["size"]) for row in rows if row["verdict"] == "proven"}
    claims_all = summary["stated"] and len(proven) == len(rows)
    return all(size == sizes.get(coin, 0) for coin, size in proven.items()) and (
        not claims_all or {coin for coin, size in proven.items() if size} == set(sizes)
    )


def test_clients_that_come_during_a_restart_are_answered_again_and_never_wrongly(host: Host):
    """Readers that poll see an error only while it is down, though the exchange went on meanwhile."""
    machine, venue, over = host.machine, host.venue, threading.Event()
    api = Api(machine.path("/run/hlposmon/hlposmon.sock"), timeout_s=5.0)

    def summary() -> dict[str, Any] | None:
        try:
            return api.summary()
        except (MonitorNotRunning, TimedOut):
            time.sleep(0.02)
            return None

    venue.pace(0)
    machine.until("the sizes are the exchange's", lambda: held(api.summary()) == venue.sizes())
    before = venue.sizes()
    statuses, codes = polling(lambda: machine.run("hlposmon health").returncode, over)
    readers, summaries = polling(summary, over)
    try:
        machine.until("answers before it", lambda: len(codes) > 1 and len(summaries) > 1)
        stopping_s = time.monotonic()
        machine.must(f"systemctl stop {UNIT}")
        stopped_s = time.monotonic()
        venue.pace(20)
        machine.until("other sizes", lambda: venue.sizes() != before)
        venue.pace(0)
        machine.must(f"systemctl start {UNIT}", timeout_s=70)
        started_s = time.monotonic()
        machine.must("hlposmon wait --ready --timeout 60", timeout_s=70)
        machine.until("all proven anew", lambda: machine.run("hlposmon health").returncode == 0)
        after, enough = venue.sizes(), len(codes) + 1
        machine.until("answers after it", lambda: len(codes) > enough)
    finally:
        over.set()
        statuses.join()
        readers.join()
        venue.pace(2)

    assert {0, 2} <= {code for _, _, code in codes} <= {0, 1, 2}
    for answers, failed in ((codes, 2), (summaries, None)):
        seen = [(began, ended) for began, ended, answer in answers if answer == failed]
        assert seen and all(ended > stopping_s and began < started_s for began, ended in seen)
    told = [(began, ended, answer) for began, ended, answer in summaries if answer is not None]
    assert not [answer for _, ended, answer in told if ended < stopped_s and not is_right(answer, before)]
    assert not [answer for began, _, answer in told if began > stopped_s and not is_right(answer, after)]
    assert held(told[-1][2]) == after != before

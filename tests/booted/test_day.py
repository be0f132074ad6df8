"""A day of the service in a few minutes: the clocks leap by hours; an upgrade at eight, a reload at sixteen.

As in the soak, the wall clock of the monitor and that of the exchange leap, while the monotonic clock,
by which all is timed, goes on as it is.
"""

import os
import time
from pathlib import Path

from tests.booted import rootfs
from tests.booted.conftest import Host, commands
from tests.booted.watcher import Watcher

HOURS, HOUR_S = 24, 3600
UPGRADE, RELOAD = 8, 16
# The time that an hour takes here: make test-systemd gives it longer.
REAL_S = float(os.environ.get("HLPOSMON_HOUR_S", "2"))
PACE = 20.0
NEXT = "99.0"
# What the reload brings: one feed of fills instead of two, and other intervals.
CHANGE = r"s/^fill_feeds = .*/fill_feeds = 1/; s/^interval_s = 60.0/interval_s = 30.0/"
CLOCK = "/run/clock/offset"
FAKETIME = f"""[Service]
Environment=LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1
Environment=FAKETIME_TIMESTAMP_FILE={CLOCK} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
Environment=NO_FAKE_STAT=1 FAKETIME_DISABLE_SHM=1
"""


def leap(host: Host, hours: int) -> None:
    host.machine.write(CLOCK + ".new", f"+{hours * HOUR_S}\n")
    host.machine.must(f"mv {CLOCK}.new {CLOCK}")
    host.venue.skew(hours * HOUR_S)


def test_a_day_with_an_upgrade_and_a_reload_loses_no_fill_and_the_reload_no_client(
    host: Host, tmp_path: Path
):
    machine = host.machine
    rootfs.later_wheel(host.wheels / "next", tmp_path, NEXT)
    machine.write(CLOCK, "+0\n")
    machine.write("/etc/systemd/system/hlposmon.service.d/clock.conf", FAKETIME)
    machine.must("systemctl daemon-reload; systemctl restart hlposmon.service", timeout_s=120)
    machine.must("hlposmon wait --ready --timeout 60", timeout_s=70)
    made = host.venue.made()
    host.venue.pace(PACE)
    before = {row["name"]: row["pid"] for row in host.workers()}
    watcher = Watcher(machine).__enter__()
    try:
        for hour in range(1, HOURS + 1):
            if hour == UPGRADE:
                machine.must(f"set -e; cd /srv/next\n{commands('upgrade')}", timeout_s=180)
                assert watcher.holes == [], "before the upgrade, which closes every connection"
                watcher.__exit__()
                watcher = Watcher(machine).__enter__()
            if hour == RELOAD:
                machine.must(f"sed -i -E '{CHANGE}' /etc/hlposmon/hlposmon.toml; hlposmon config check")
                machine.must("systemctl reload hlposmon.service")
            due_s = time.monotonic() + REAL_S
            leap(host, hour)
            time.sleep(max(0.0, due_s - time.monotonic()))  # an hour takes so long here
        assert watcher.ended is None, "the connection was closed by the reload"
        assert watcher.holes == []
    finally:
        watcher.__exit__()
    host.venue.pace(0)
    machine.must("hlposmon wait --ready --timeout 60", timeout_s=70)
    total = host.venue.made() - made
    print(f"\n{total} fills in {HOURS} hours of {REAL_S:g} s, {len(days(host))} days of audit")

    assert total > HOURS * REAL_S * PACE / 2
    assert NEXT in machine.must("hlposmon --version")
    assert "fill-2" in before and "fill-2" not in {row["name"] for row in host.workers()}
    assert machine.show("hlposmon.service", "NRestarts") == {"NRestarts": "0"}
    assert len(days(host)) >= 2
    host.agrees()


def days(host: Host) -> set[str]:
    names = (path.name for path in host.machine.path("/var/log/hlposmon/trading").glob("audit-*.jsonl*"))
    return {name[: len("audit-2026-11-21")] for name in names}

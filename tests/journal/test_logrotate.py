"""The shipped logrotate configuration, run by the real logrotate over many days beside a living journal."""

import grp
import gzip
import os
import pwd
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from hlposmon.client.history import History
from hlposmon.journal.verify import verify
from tests.debian import UNPACKED, program
from tests.history.archivist import Clerk as Archivist

ROOT = Path(__file__).parents[2]
DAYS, KEPT = 9, 4
DAY_MS = 86_400_000


def _logrotate() -> tuple[str, dict[str, str]]:
    """Where it is, and what it wants in its environment when it was unpacked and not installed."""
    libraries = {str(path.parent) for path in UNPACKED.rglob("libpopt.so*")}
    return program("logrotate"), {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}


class Machine:
    """Folders like those of the service, and a clock of days: the last one is today's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log, self.state = root / "log", root / "state"
        self.program, self.env = _logrotate()
        self.today = datetime.now(UTC).date()
        self.status = root / "status"

    def day(self, number: int) -> date:
        return self.today - timedelta(days=DAYS - 1 - number)

    def noon_ms(self, number: int) -> int:
        noon = datetime(self.day(number).year, self.day(number).month, self.day(number).day, 12, tzinfo=UTC)
        return int(noon.timestamp()) * 1000

    def configuration(self, number: int) -> Path:
        """The shipped file, with this machine's folders. What is 400 days old today was so long before."""
        text = (ROOT / "etc/logrotate.d/hlposmon").read_text()
        text = text.replace("/var/log/hlposmon", str(self.log)).replace("/var/lib/hlposmon", str(self.state))
        text = text.replace("--keep 400", f"--keep {KEPT + DAYS - 1 - number}")
        text = text.replace("PATH=/usr/local/bin", f"PATH={Path(sys.executable).parent}")
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        text = text.replace("su hlposmon hlposmon", f"su {user} {group}" if os.geteuid() == 0 else "")
        path = self.root / "hlposmon.conf"
        path.write_text(text)
        path.chmod(0o644)
        return path

    def rotate(self, number: int) -> str:
        """As on the morning of that day: files have the age that they have then."""
        now_s = time.time()
        for path in (self.log / "trading").glob("audit-*"):
            day = date.fromisoformat(path.name[6:16])
            age_s = (self.day(number) - day).days * 86_400 if day != self.day(number) else 1
            os.utime(path, (now_s - age_s, now_s - age_s))
        if self.status.exists():
            yesterday = (self.today - timedelta(days=1)).strftime("%Y-%-m-%-d-3:0:0")
            self.status.write_text(re.sub(r'(?m)^(".*") \S+$', rf"\1 {yesterday}", self.status.read_text()))
        done = subprocess.run(
            [self.program, "-v", "-s", str(self.status), str(self.configuration(number))],
            env={**os.environ, **self.env}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.log / "trading").glob("audit-*"))

    def verified(self):
        report = verify(self.log / "trading")
        assert report.faults == [], report.faults
        return report


def test_over_days_the_audit_is_compressed_and_pruned_and_stays_intact(tmp_path):
    machine = Machine(tmp_path)
    clerk = Archivist(tmp_path, now_ms=machine.noon_ms(0))
    clerk.start()
    for number in range(DAYS):
        clerk.now_ms = machine.noon_ms(number)
        clerk.write(5)
        clerk.follow()
        machine.rotate(number)
        clerk.write(5)  # the file that is written is still the same
        living = machine.log / "trading" / f"audit-{machine.day(number)}.jsonl"
        assert living.read_bytes().endswith(clerk.journal.hash.encode() + b'"}\n')
        report = machine.verified()
        assert report.last == (clerk.journal.seq, clerk.journal.hash)

    oldest = DAYS - 1 - KEPT
    packed = [f"audit-{machine.day(number)}.jsonl.gz" for number in range(oldest, DAYS - 2)]
    plain = [f"audit-{machine.day(number)}.jsonl" for number in range(DAYS - 2, DAYS)]
    # A day is compressed when its last line is a day old.
    assert machine.names() in (packed + plain, [*packed, plain[0] + ".gz", plain[1]])
    [note] = report.notes
    assert f"of {machine.day(oldest - 1)}, was pruned on {machine.today}" in note

    with History.open(machine.state / "history.sqlite3") as history:
        assert len(list(history.fills())) == 10 * DAYS
    clerk.close()
    after = Archivist(tmp_path, now_ms=clerk.now_ms + 1000)
    assert (after.number, after.journal.missing) == (10 * DAYS, None)
    after.start()
    after.write(3)
    machine.verified()
    after.close()


def test_a_tracker_takes_the_book_up_across_files_that_were_all_compressed(tmp_path):
    machine = Machine(tmp_path)
    clerk = Archivist(tmp_path, now_ms=machine.noon_ms(0))
    clerk.start()
    for number in range(3):
        clerk.now_ms = machine.noon_ms(number)
        clerk.write(5)
        machine.rotate(number)
    clerk.close()
    shutil.rmtree(machine.state)
    machine.state.mkdir()
    for number in (3, 4, 5):
        machine.rotate(number)
    assert [name[-3:] for name in machine.names()] == [".gz"] * 3

    after = Archivist(tmp_path, now_ms=machine.noon_ms(6))
    assert (after.number, after.journal.missing) == (15, None)
    after.start()
    after.write(2)
    after.follow()
    machine.verified()
    with History.open(machine.state / "history.sqlite3") as history:
        assert len(list(history.fills())) == 17
    after.close()


def test_what_is_verified_while_files_are_renamed_is_intact(tmp_path):
    machine = Machine(tmp_path)
    clerk = Archivist(tmp_path, now_ms=machine.noon_ms(0))
    clerk.start()
    for number in range(DAYS):
        clerk.now_ms = machine.noon_ms(number)
        clerk.write(200)
    clerk.close()
    found, ended = [], threading.Event()

    def look() -> None:
        while not ended.is_set():
            found.append(verify(machine.log / "trading").faults)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(DAYS - 3, DAYS):
            machine.rotate(number)
    finally:
        ended.set()
        looking.join()
    assert found and not any(found)
    assert gzip.decompress((machine.log / "trading" / machine.names()[0]).read_bytes())

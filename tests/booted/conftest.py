"""One booted Debian for all tests of this folder, on which the monitor was installed as the documents say."""

import gzip
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hlposmon.client.api import Api
from hlposmon.journal.lines import open_line
from tests.booted import rootfs
from tests.booted.machine import Machine, boot
from tests.booted.venue import Venue, open_venue
from tests.booted.watcher import SOCKET
from tests.checkout import CHECKOUT

OPERATIONS = CHECKOUT / "docs/operations.md"
ADDRESS = "0x0123456789abcdef0123456789abcdef01234567"
# The machine's Python trusts what Debian trusts; requests brings a list of its own unless it is told.
TRUST = "[Service]\nEnvironment=REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt\n"
LOGS = "/var/log/hlposmon"
PIP = "[global]\nno-index = true\nfind-links = /srv/wheels\n"
# Folders of `wheels`, and their names below /srv.
BINDS = {"all": "wheels", "next": "next", "pinned": "pinned", "checkout": "checkout"}
UV = 'no-index = true\nfind-links = ["/srv/wheels"]\n'


def commands(name: str) -> str:
    """The lines that docs/operations.md has under a mark, as they stand there."""
    found = re.search(rf"<!-- run: {name} -->\n```sh\n(.*?)```", OPERATIONS.read_text(), re.S)
    assert found, f"docs/operations.md has no commands marked {name!r}"
    return found[1]


def files(machine: Machine) -> set[str]:
    """Everything on the machine's own disk."""
    return set(machine.must("find / -xdev -path /var/log/journal -prune -o -print").splitlines())


@dataclass
class Host:
    """The machine, the exchange in its network, the files before, and what was printed."""

    machine: Machine
    venue: Venue
    wheels: Path
    before: set[str]
    printed: dict[str, str]

    def workers(self) -> list[dict[str, Any]]:
        return Api(self.machine.path(SOCKET), timeout_s=5.0).workers()

    def lines(self) -> list[dict[str, Any]]:
        """Every line of the audit, in order."""
        found = []
        for path in sorted(self.machine.path(LOGS + "/trading").glob("audit-*.jsonl*")):
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rb") as file:
                found += [open_line(raw) for raw in file]
        return found

    def agrees(self) -> None:
        """Exchange, book and audit agree to the last digit, each fill once; the pace afterwards is 2."""
        self.venue.pace(0)
        try:
            self.machine.until(
                "the sizes are the exchange's", lambda: self._sizes() == self.venue.sizes(), within_s=30
            )
            made = {fill["tid"]: fill for fill in self.venue.fills()}
            told = [line for line in self.lines() if line["type"] == "fill"]
            first = made[told[0]["tid"]]["time"]
            due = Counter(tid for tid, fill in made.items() if fill["time"] > first)
            told_once = Counter(line["tid"] for line in told)
            assert not due - told_once, f"not in the audit: {sorted(due - told_once)[:5]}"
            assert not [tid for tid, count in told_once.items() if count > 1]
            assert not set(told_once) - set(made)
        finally:
            self.venue.pace(2)
        self.machine.must(f"hlposmon audit verify --log-dir {LOGS}")

    def _sizes(self) -> dict[str, Decimal]:
        held = Api(self.machine.path(SOCKET), timeout_s=5.0).summary()["positions"]
        return {row["coin"]: Decimal(row["size"]) for row in held.values() if Decimal(row["size"])}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package's wheel; in `all/` every wheel it needs, in `pinned/` what is pinned."""
    folder = tmp_path_factory.mktemp("wheels")
    (folder / "next").mkdir()
    rootfs.dependencies(folder / "all", rootfs.wheel(folder))
    rootfs.pinned(folder / "pinned")
    return folder


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Machine]:
    try:
        rootfs.check()
        with (
            rootfs.debian() as root,
            boot(
                root,
                tmp_path_factory.mktemp("boot") / "console.log",
                binds={
                    wheels: "/srv/package",
                    **{wheels / here: f"/srv/{there}" for here, there in BINDS.items()},
                },
            ) as booted,
        ):
            booted.write("/etc/pip.conf", PIP)
            booted.write("/etc/uv/uv.toml", UV)
            yield booted
    except rootfs.Unavailable as reason:
        if os.environ.get("HLPOSMON_MUST_BOOT"):
            raise
        pytest.skip(f"no Debian can be booted here: {reason}")


@pytest.fixture(scope="session")
def venue(machine: Machine) -> Iterator[Venue]:
    with open_venue(machine, "--address", ADDRESS, "--seed", "7", "--pace", "2") as opened:
        yield opened


@pytest.fixture(scope="session")
def installed(machine: Machine, venue: Venue, wheels: Path) -> Host:
    """The documents' commands, one block after another, as root types them beside the wheel."""
    machine.write("/etc/systemd/system/hlposmon.service.d/trust.conf", TRUST)
    before, printed = files(machine), {}
    for name in ("install", "configure", "start"):
        printed[name] = machine.must(f"set -e; cd /srv/package\n{commands(name)}", timeout_s=180)
    return Host(machine, venue, wheels, before, printed)


@pytest.fixture
def host(installed: Host) -> Host:
    """It, with the monitor running and all proven, whatever the test before did."""
    machine = installed.machine
    machine.must("systemctl reset-failed hlposmon.service; systemctl start hlposmon.service", timeout_s=120)
    machine.must("hlposmon wait --ready --timeout 60", timeout_s=70)
    return installed


# One after another they change what the next one finds: the clock is put forward, the package removed.
ORDER = ("test_install", "test_service", "test_upkeep", "test_day", "test_removal")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    rest = [item for item in items if item not in ours]
    items[:] = sorted(ours, key=lambda item: ORDER.index(item.path.stem)) + rest  # the longest first
    for item in ours:
        # The first one makes the Debian and boots it, beside whatever else this machine does.
        item.add_marker(pytest.mark.timeout(1500))

"""A tracker whose snapshot cannot be written, or cannot hold a number: it says so, and goes on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hlposmon.client.snapshot import Snapshot
from hlposmon.config import Account
from hlposmon.snapshot.layout import PositionRecord
from hlposmon.tracker.snapshot_output import LEAST_CAPACITY
from tests.chaos.places import Disk, Unavailable, disk
from tests.tracker.desk import KEY, Desk, desk, until

LONG = "123456789012345.123456789012345678"
FULL = "No space left on device"


def record(here: Desk, key: str = KEY) -> PositionRecord | None:
    with Snapshot.open(here.settings.paths.snapshot) as opened:
        return opened.position(key)


def is_listed(here: Desk, key: str) -> bool:
    return here.settings.paths.snapshot.exists() and record(here, key) is not None


def health(here: Desk) -> dict[str, Any]:
    _, answer = here.api.get("/api/v1/positions/health")
    assert isinstance(answer, dict)
    return answer


def opens(here: Desk, worker: Desk.Worker, keys: list[str]) -> None:
    """One coin each of those, in an account that held nothing."""
    worker.says(here.statement("0"))
    fills = [here.fill("buy", "1", "0", key=key) for key in keys]
    for at in range(0, len(fills), 50):
        worker.says(here.fills(*fills[at : at + 50]))
    until("taken", lambda: len(here.api.summary()["positions"]) >= len(keys), within_s=60)


def test_a_size_that_the_snapshot_has_no_room_for_ends_neither_the_tracker_nor_the_next_one():
    with desk() as here:
        with here.running():
            worker = here.join()
            worker.is_live()
            worker.says(here.statement("0"), here.marks("50000"))
            worker.says(here.fills(here.fill("buy", LONG, "0")), here.marks("50000"))
            until("proven", lambda: (row := here.position()) and row["verdict"] == "proven")
            first = until("shown", lambda: (r := record(here)) and r.mark_price is not None and r)
            assert ("unproven", "more digits than the snapshot holds: size") == (
                first.verdict,
                first.verdict_reason,
            )
        with here.running():
            worker = here.join()
            worker.is_live()
            worker.says(here.statement(LONG), here.marks("50000"))
            until("proven", lambda: (row := here.position()) and row["verdict"] == "proven")
            until("shown", lambda: (r := record(here)) and r.mark_price is not None)
            again = record(here)
            assert again is not None
            assert ("123456789012345.1234567890123457", "unproven") == (str(again.size), again.verdict)

            worker.says(here.fills(here.fill("sell", "0.000000000000000678", LONG)))
            until("exact", lambda: (r := record(here)) and r.verdict == "proven")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        with disk(tmp_path / "disk") as made:
            yield made
    except Unavailable as reason:
        print(f"skipped: {reason}")
        pytest.skip(str(reason))


@pytest.fixture
def here(small_disk: Disk) -> Iterator[Desk]:
    """A desk whose snapshot alone lies on the small disk."""
    with desk() as made:
        paths = replace(made.settings.paths, snapshot=small_disk.folder / "snapshot")
        made.settings = made.next_settings = replace(made.settings, paths=paths)
        yield made


def test_a_disk_that_is_full_when_the_table_has_to_grow_is_said_until_there_is_room(
    here: Desk, small_disk: Disk
):
    coins = [f"hyperliquid:Perp:C{number}" for number in range(LEAST_CAPACITY)]
    with here.running():
        worker = here.join()
        worker.is_live()
        opens(here, worker, coins)
        until("all shown", lambda: is_listed(here, coins[-1]))
        small_disk.fill()
        worker.says(here.fills(here.fill("buy", "1", "0")))
        until("said", lambda: health(here)["status"] == "unhealthy" and health(here)["reasons"])
        assert any(f"the snapshot cannot be written: {here.settings.paths.snapshot}: {FULL}" == reason
                   for reason in health(here)["reasons"])  # fmt: skip
        with Snapshot.open(here.settings.paths.snapshot) as opened:
            until("its status", lambda: opened.status == "unhealthy")
            assert (LEAST_CAPACITY, None) == (len(opened.positions(all=True)), opened.position(KEY))
            worker.says(here.fills(here.fill("buy", "2", "1", key=coins[0])))
            until("the others go on", lambda: (r := opened.position(coins[0])) and str(r.size) == "3")

            small_disk.free()
            until("all are there", lambda: opened.position(KEY))
            assert LEAST_CAPACITY + 1 == len(opened.positions(all=True))
        until("it is over", lambda: not any("snapshot" in reason for reason in health(here)["reasons"]))
        assert ["filler", "snapshot"] == sorted(one.name for one in small_disk.folder.iterdir())


def test_a_disk_that_is_full_at_the_start_and_at_a_reload_is_said_until_there_is_room(
    here: Desk, small_disk: Disk
):
    small_disk.fill()
    with here.running():
        worker = here.join()
        worker.is_live()
        opens(here, worker, [KEY])
        assert any(FULL in reason for reason in health(here)["reasons"])
        assert not here.settings.paths.snapshot.exists()
        small_disk.free()
        until("there", lambda: is_listed(here, KEY))

        small_disk.fill()
        other = Account("main", "0x" + "2" * 40)
        here.next_settings = replace(
            here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=(other,))
        )
        here.pulse.reload()
        until("said again", lambda: any(FULL in reason for reason in health(here)["reasons"]))
        old = until("the old file", lambda: record(here))
        assert ("stale", "no longer watched") == (old.verdict, old.verdict_reason)
        small_disk.free()
        until("without it", lambda: not is_listed(here, KEY))

"""The snapshot's writer: what stands in the file, byte by byte, and when."""

import gc
import mmap
import os
import resource
import statistics
import time
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.snapshot.layout import BLOCK_BYTES, PositionRecord, decode_header, decode_record
from hlposmon.snapshot.writer import SnapshotWriter


def position(coin="BTC", size="0.1", account="main", **changes):
    record = PositionRecord(
        account=account,
        key=f"hyperliquid:Perp:{coin}",
        symbol=f"{coin}-USD",
        verdict="proven",
        verdict_reason="",
        size=Decimal(size),
        entry_price=Decimal("50166.66667"),
        mark_price=Decimal("51000"),
        unrealized_pnl=Decimal("125.00"),
        realized_pnl=Decimal(0),
        fees=Decimal("3.76"),
        funding=Decimal(0),
        notional_value=Decimal("7650.00"),
        leverage=Decimal(20),
        margin_used=Decimal("382.5"),
        liquidation_price=None,
        last_fill_ms=1_700_000_000_123,
        last_updated_ms=1_700_000_001_456,
        fills=7,
    )
    return replace(record, **changes)


class OnDisk:
    """The file as it was when it was opened, whatever happens to its name."""

    def __init__(self, path):
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def block(self, index):
        return self.bytes[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]

    @property
    def header(self):
        return decode_header(self.block(0))

    @property
    def records(self):
        return [decode_record(self.block(1 + slot)) for slot in range(self.header.used)]


@contextmanager
def no_file_larger_than(limit_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snapshot"


@pytest.fixture
def writer(path):
    writer = SnapshotWriter(path, mode="live", capacity=4)
    yield writer
    writer.close()


def test_what_was_written_stands_in_the_file(path, writer):
    writer.write(position("BTC"))
    writer.write(position("ETH", "-2"))

    assert [position("BTC"), position("ETH", "-2")] == OnDisk(path).records


def test_a_position_keeps_its_slot_also_when_it_is_flat(path, writer):
    writer.write(position("BTC"))
    writer.write(position("ETH"))
    writer.write(position("BTC", "0"))
    writer.write(position("SOL"))
    writer.write(position("BTC", "3"))

    assert [position("BTC", "3"), position("ETH"), position("SOL")] == OnDisk(path).records


def test_two_accounts_hold_the_same_key_in_two_slots(path, writer):
    writer.write(position(account="main"))
    writer.write(position(account="hedge", size="-1"))

    assert ["main", "hedge"] == [record.account for record in OnDisk(path).records]


def test_a_record_that_does_not_fit_changes_nothing(path, writer):
    writer.write(position("BTC"))
    before = OnDisk(path).bytes[:]
    for unfit in (position("X" * 60), position("BTC", "1E-60"), position("NEW", "1E-60")):
        with pytest.raises(ValueError):
            writer.write(unfit)

    assert before == OnDisk(path).bytes[:]


def test_a_new_file_is_starting_and_the_first_beat_makes_it_live(path, writer):
    file = OnDisk(path)
    assert ("starting", "starting", os.getpid(), "live", 4) == (
        file.header.state,
        file.header.status,
        file.header.pid,
        file.header.mode,
        file.header.capacity,
    )
    before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    writer.beat(wall_ms=1_700_000_000_000, seq=42, healthy="degraded")

    assert ("live", "degraded", 1_700_000_000_000, 42) == (
        file.header.state,
        file.header.status,
        file.header.beat_wall_ms,
        file.header.seq,
    )
    assert before_ns <= file.header.beat_ns <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@pytest.mark.parametrize(
    ("healthy", "status"), [(True, "healthy"), (0, "unhealthy"), ("stopping", "stopping")]
)
def test_a_beat_says_how_the_monitor_is(path, writer, healthy, status):
    writer.beat(wall_ms=0, seq=0, healthy=healthy)

    assert status == OnDisk(path).header.status


@pytest.mark.parametrize("permissions", [0o640, 0o600, 0o644])
def test_the_files_mode_is_what_was_asked_for_whatever_the_umask(path, permissions):
    umask = os.umask(0o077)
    try:
        writer = SnapshotWriter(path, mode="live", permissions=permissions)
    finally:
        os.umask(umask)

    assert permissions == path.stat().st_mode & 0o7777
    writer.close()


def test_a_half_built_file_of_a_dead_writer_is_removed(path):
    path.with_name("snapshot.new").write_bytes(b"half")
    writer = SnapshotWriter(path, mode="live")

    assert ["snapshot"] == [file.name for file in path.parent.iterdir()]
    writer.close()


def test_a_link_in_the_place_of_the_new_file_is_not_followed(path, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path.with_name("snapshot.new").symlink_to(precious)
    SnapshotWriter(path, mode="live").close()

    assert "mine" == precious.read_text()


def test_a_full_table_grows_into_a_new_file_and_sends_readers_on(path, writer):
    writer.beat(wall_ms=5, seq=9, healthy=True)
    coins = [f"C{number}" for number in range(9)]
    old = OnDisk(path)
    for coin in coins:
        writer.write(position(coin))
    writer.write(position("C0", "7"))
    new = OnDisk(path)

    assert ("replaced", 4) == (old.header.state, len(old.records))
    assert ("live", 16, 9) == (new.header.state, new.header.capacity, new.header.seq)
    assert [position("C0", "7"), *map(position, coins[1:])] == new.records
    assert ["snapshot"] == [file.name for file in path.parent.iterdir()]
    assert 0o640 == path.stat().st_mode & 0o7777


def test_without_room_to_grow_the_old_table_goes_on(path, writer):
    for number in range(4):
        writer.write(position(f"C{number}"))
    with no_file_larger_than(5 * BLOCK_BYTES), pytest.raises(OSError):
        writer.write(position("C4"))
    writer.write(position("C0", "7"))

    assert "7" == str(OnDisk(path).records[0].size)
    assert ["snapshot"] == [file.name for file in path.parent.iterdir()]
    writer.write(position("C4"))
    assert 5 == len(OnDisk(path).records)


def test_where_the_grown_file_cannot_take_the_name_the_old_table_goes_on(path, writer):
    for number in range(4):
        writer.write(position(f"C{number}"))
    old = OnDisk(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError):
        writer.write(position("C4"))
    writer.write(position("C0", "7"))
    writer.beat(wall_ms=5, seq=9, healthy=False)

    assert ("live", "7") == (old.header.state, str(old.records[0].size))
    assert ["snapshot"] == [file.name for file in path.parent.iterdir()]
    path.rmdir()
    writer.write(position("C4"))
    assert ("replaced", 5) == (old.header.state, len(OnDisk(path).records))


def test_there_is_room_for_known_positions_and_for_new_ones_until_the_file_is_full(writer):
    for number in range(4):
        assert writer.has_room_for("main", f"hyperliquid:Perp:C{number}")
        writer.write(position(f"C{number}"))

    assert writer.has_room_for("main", "hyperliquid:Perp:C0")
    assert not writer.has_room_for("main", "hyperliquid:Perp:C4")


def test_a_position_that_is_given_up_is_stale_and_the_others_are_as_they_were(path, writer):
    writer.write(position("BTC"))
    writer.write(position("ETH"))
    writer.mark_stale("main", "hyperliquid:Perp:BTC", "no longer watched")
    writer.mark_stale("main", "hyperliquid:Perp:SOL", "no longer watched")

    assert [
        position("BTC", verdict="stale", verdict_reason="no longer watched"),
        position("ETH"),
    ] == OnDisk(path).records
    assert {("main", "hyperliquid:Perp:BTC"), ("main", "hyperliquid:Perp:ETH")} == writer.names


def test_without_room_at_the_start_the_older_file_stays(path, writer):
    with no_file_larger_than(BLOCK_BYTES), pytest.raises(OSError):
        SnapshotWriter(path, mode="live")

    assert os.getpid() == OnDisk(path).header.pid
    assert ["snapshot"] == [file.name for file in path.parent.iterdir()]


def test_closing_says_so_to_those_who_have_it_mapped_and_removes_the_file(path, writer):
    writer.write(position())
    file = OnDisk(path)
    writer.close()
    writer.close()

    assert not path.exists()
    assert ("closed", [position()]) == (file.header.state, file.records)


def test_a_closed_writer_writes_no_more(path, writer):
    writer.close()

    with pytest.raises(ValueError):
        writer.write(position())
    with pytest.raises(ValueError):
        writer.beat(wall_ms=0, seq=0, healthy=True)


def test_closing_leaves_the_file_of_a_newer_writer_alone(path, writer):
    newer = SnapshotWriter(path, mode="simulated")
    writer.close()

    assert "simulated" == OnDisk(path).header.mode
    newer.close()
    assert not path.exists()


def test_an_unknown_mode_or_no_capacity_is_refused(path):
    with pytest.raises(ValueError, match="paper"):
        SnapshotWriter(path, mode="paper")
    with pytest.raises(ValueError, match="capacity"):
        SnapshotWriter(path, mode="live", capacity=0)


def test_an_update_costs_the_same_at_ten_and_at_ten_thousand_positions(tmp_path):
    sizes = (10, 10_000)
    writers = {size: SnapshotWriter(tmp_path / str(size), mode="live", capacity=size) for size in sizes}
    records = {size: [position(f"C{number}") for number in range(size)] for size in sizes}
    for size in sizes:
        for record in records[size]:
            writers[size].write(record)
    samples = {size: [] for size in sizes}
    gc.collect()
    for round_number in range(3000):  # in turns, so that both sizes see the same noise
        for size in sizes:
            record = records[size][round_number * 997 % size]
            start_ns = time.perf_counter_ns()
            writers[size].write(record)
            samples[size].append(time.perf_counter_ns() - start_ns)
    few, many = (statistics.median(samples[size]) / 1000 for size in sizes)
    print(f"median update: {few:.1f} us at 10 positions, {many:.1f} us at 10 000")

    assert many < 3 * few
    for writer in writers.values():
        writer.close()

"""The snapshot's reader: what other programs are shown, above all when the writer is not well.

Run as a script, this file is the other process of its own tests: `python test_snapshot.py ROLE PATH`.
"""

import mmap
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from hlposmon.client.snapshot import Snapshot, SnapshotStale
from hlposmon.errors import MonitorNotRunning, NotPermitted, WireError
from hlposmon.snapshot.layout import BLOCK_BYTES, PositionRecord, decode_header, encode_header
from hlposmon.snapshot.writer import SnapshotWriter

COUNTS = 1000
KEY, TSLA = "hyperliquid:Perp:BTC", "hyperliquid:Perp:xyz:TSLA"
C_READER = Path(__file__).parents[2] / "docs" / "examples" / "read_snapshot.c"


def counted(number, coin="BTC", account="main"):
    """A record all of whose fields follow from one number, so that a mixture of two would show."""
    figure = Decimal(number)
    return PositionRecord(
        account=account,
        key=f"hyperliquid:Perp:{coin}",
        symbol=f"{coin}-USD",
        verdict="proven",
        verdict_reason=f"{number} " * 8,
        size=figure,
        entry_price=figure + 1,
        mark_price=figure + 2,
        unrealized_pnl=figure + 3,
        realized_pnl=figure + 4,
        fees=figure + 5,
        funding=figure + 6,
        notional_value=figure + 7,
        leverage=figure + 8,
        margin_used=figure + 9,
        liquidation_price=figure + 10,
        last_fill_ms=number,
        last_updated_ms=number,
        fills=number,
        proof="fills",
        as_of_ms=number or None,
        block=None,
    )


def whole(record):
    return record == counted(record.fills)


def beat(writer, seq=0):
    writer.beat(wall_ms=time.time_ns() // 1_000_000, seq=seq, healthy=True)


# --- the other process ---


def hammer(path):
    """Write one record as fast as possible, until killed."""
    writer = SnapshotWriter(path, mode="simulated")
    records = [counted(number) for number in range(COUNTS)]
    writer.write(records[0])
    beat(writer)
    print("ready", flush=True)
    while True:
        for record in records:
            writer.write(record)
        beat(writer)


def slow(path):
    """Write one record again and again, and be kept from the processor in the midst of each write."""
    writer = SnapshotWriter(path, mode="simulated")
    records = [counted(number) for number in range(COUNTS)]
    writer.write(records[0])
    beat(writer)
    print("ready", flush=True)
    while True:
        for record in records:
            tear(path, 1)
            time.sleep(0.1)  # stands for the scheduler
            writer.write(record)
            beat(writer)
            time.sleep(0.005)


def half(path):
    """Do half of what a write does to the first record, then wait to be killed."""
    writer = SnapshotWriter(path, mode="simulated")
    writer.write(counted(1))
    beat(writer)
    tear(path, 1)
    print("ready", flush=True)
    signal.pause()


def peek(path):
    """Read once and leave without a word of good-bye."""
    print(len(Snapshot.open(path).positions()), flush=True)


def tear(path, index):
    """Leave a block as a writer that dies in mid-write leaves it: odd, and half of it new."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        start = index * BLOCK_BYTES
        sequence = int.from_bytes(memory[start : start + 8], sys.byteorder)
        memory[start : start + 8] = (sequence + 1).to_bytes(8, sys.byteorder)
        memory[start + 8 : start + 300] = b"\x55" * 292


@contextmanager
def process(role, path):
    command = [sys.executable, __file__, role, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline(), f"{role} did not start"
            yield child
        finally:
            child.kill()


def until(condition, within_s=30.0):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        os.sched_yield()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snapshot"


@pytest.fixture
def writer(path):
    writer = SnapshotWriter(path, mode="simulated", capacity=4)
    beat(writer)
    yield writer
    writer.close()


@pytest.fixture
def snapshot(path, writer):
    with Snapshot.open(path) as snapshot:
        yield snapshot


# --- while the monitor is well ---


def test_what_the_writer_wrote_is_read(writer, snapshot):
    writer.write(counted(7))

    assert counted(7) == snapshot.position(KEY)
    assert [counted(7)] == snapshot.positions()


def test_an_update_is_seen_at_once(writer, snapshot):
    for number in range(1, 50):
        writer.write(counted(number))
        assert number == snapshot.position(KEY).fills


def test_open_and_doubtful_positions_are_listed_and_proven_flat_ones_only_when_asked_for(writer, snapshot):
    flat = counted(0, "BTC")
    doubtful = replace(counted(0, "ETH"), verdict="unproven")
    short = replace(counted(1, "SOL"), size=Decimal(-1))
    for record in (flat, doubtful, short):
        writer.write(record)

    assert [doubtful, short] == snapshot.positions()
    assert [flat, doubtful, short] == snapshot.positions(all=True)
    assert flat == snapshot.position(flat.key)


def test_a_key_that_the_monitor_never_saw_is_none(writer, snapshot):
    writer.write(counted(1))

    assert snapshot.position("hyperliquid:Perp:ETH") is None
    assert snapshot.position(KEY, account="nobody") is None


def test_a_key_that_several_accounts_hold_needs_the_account(writer, snapshot):
    writer.write(counted(1, account="main"))
    assert "main" == snapshot.position(KEY).account
    writer.write(counted(2, account="hedge"))

    assert 2 == snapshot.position(KEY, account="hedge").fills
    with pytest.raises(ValueError, match="hedge, main"):
        snapshot.position(KEY)


def test_the_header_says_who_writes_and_how_far_the_stream_is(writer, snapshot):
    beat(writer, seq=1042)

    assert ("live", "healthy", "simulated", 1042, os.getpid()) == (
        snapshot.state,
        snapshot.status,
        snapshot.mode,
        snapshot.seq,
        snapshot.pid,
    )
    assert 0 <= snapshot.age_s < 5


def test_a_table_that_grew_is_followed(writer, snapshot):
    writer.write(counted(0))
    assert counted(0) == snapshot.position(KEY)
    coins = [f"C{number}" for number in range(20)]
    for coin in coins:
        writer.write(counted(1, coin))
    writer.write(counted(2))

    assert counted(2) == snapshot.position(KEY)
    assert [counted(2), *(counted(1, coin) for coin in coins)] == snapshot.positions()


def test_a_table_that_grew_before_the_first_beat_is_followed(path):
    writer = SnapshotWriter(path, mode="live", capacity=1)
    with Snapshot.open(path) as snapshot:
        writer.write(counted(1, "ETH"))
        writer.write(counted(1, "SOL"))

        assert ("stale", 2) == (snapshot.state, len(snapshot.positions()))
        assert "writer has not beaten yet" == snapshot.positions()[0].verdict_reason
    writer.close()


# --- opening ---


def test_without_a_file_the_monitor_is_not_running(path):
    with pytest.raises(MonitorNotRunning, match="not running"):
        Snapshot.open(path)
    with pytest.raises(MonitorNotRunning):
        Snapshot.open(path / "below" / "nothing")


def test_a_file_that_may_not_be_read_says_so(path, writer):
    path.chmod(0)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)  # root may read anything
    try:
        with pytest.raises(NotPermitted, match="snapshot"):
            Snapshot.open(path)
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("content", [b"", b"no snapshot", bytes(4 * BLOCK_BYTES)])
def test_a_file_that_is_no_snapshot_is_not_a_running_monitor(path, content):
    path.write_bytes(content)

    with pytest.raises(MonitorNotRunning):
        Snapshot.open(path)


def test_a_folder_or_a_pipe_is_not_a_running_monitor_and_nobody_waits_for_it(path):
    os.mkfifo(path)
    for other in (path, path.parent):
        with pytest.raises(MonitorNotRunning, match="not a snapshot"):
            Snapshot.open(other)


def test_a_reader_needs_the_standard_library_only():
    command = [sys.executable, "-S", "-c", "import hlposmon.client.snapshot"]

    assert 0 == subprocess.run(command, cwd=Path(__file__).parents[2]).returncode


def test_a_file_that_is_shorter_than_it_claims_is_refused(path, writer):
    whole_file = path.read_bytes()
    header = replace(decode_header(whole_file[:BLOCK_BYTES]), used=4000)
    path.write_bytes(encode_header(header, 2) + whole_file[BLOCK_BYTES:])

    with pytest.raises(WireError, match="4000"):
        Snapshot.open(path)


# --- frozen data never looks healthy ---


def doubts(snapshot):
    return {(record.verdict, record.verdict_reason) for record in snapshot.positions(all=True)}


def test_before_the_first_beat_everything_is_stale(path):
    writer = SnapshotWriter(path, mode="live")
    writer.write(counted(1))
    with Snapshot.open(path) as snapshot:
        assert ("stale", {("stale", "writer has not beaten yet")}) == (snapshot.state, doubts(snapshot))
        beat(writer)
        assert ("live", counted(1)) == (snapshot.state, snapshot.position(KEY))
    writer.close()


def test_a_silent_writers_records_are_all_stale_until_it_beats_again(path, writer):
    for record in (counted(1), counted(0, "ETH"), replace(counted(2, "SOL"), verdict="drift")):
        writer.write(record)
    with Snapshot.open(path, limit_s=0.05) as snapshot:
        until(lambda: snapshot.state == "stale")

        assert snapshot.age_s > 0.05
        assert {"stale"} == {verdict for verdict, _ in doubts(snapshot)}
        assert all(re.fullmatch(r"writer silent for \d+\.\d s", reason) for _, reason in doubts(snapshot))
        assert 3 == len(snapshot.positions()), "a flat position is doubtful too, once it is stale"
        assert "stale" == snapshot.position(KEY).verdict
        until(lambda: beat(writer) or snapshot.position(KEY) == counted(1))


def test_after_the_monitor_has_stopped_everything_is_stale(path, writer, snapshot):
    writer.write(counted(1))
    writer.close()

    assert ("closed", {("stale", "monitor stopped")}) == (snapshot.state, doubts(snapshot))
    with pytest.raises(MonitorNotRunning):
        Snapshot.open(path)


def test_a_file_from_before_the_last_boot_is_stale_however_young_its_beat_seems(path, writer):
    writer.write(counted(1))
    old = path.read_bytes()
    header = replace(decode_header(old[:BLOCK_BYTES]), boot_id="another")
    path.write_bytes(encode_header(header, 2) + old[BLOCK_BYTES:])

    with Snapshot.open(path) as snapshot:
        assert ("stale", {("stale", "written before the last boot")}) == (snapshot.state, doubts(snapshot))


def test_a_restarted_monitor_is_followed_once_it_beats_and_not_while_its_table_is_empty(path, writer):
    writer.write(counted(1))
    with Snapshot.open(path, limit_s=0.05) as snapshot:
        assert 1 == snapshot.position(KEY).fills
        newer = SnapshotWriter(path, mode="simulated")  # and the old one, killed, never beats again
        until(lambda: snapshot.state == "stale")
        assert ["stale"] == [record.verdict for record in snapshot.positions()]
        newer.write(counted(5, "ETH"))
        newer.write(counted(6))
        until(lambda: beat(newer) or snapshot.state == "live")

        assert [5, 6] == [record.fills for record in snapshot.positions()]
        assert 6 == snapshot.position(KEY).fills
        assert 5 == snapshot.position("hyperliquid:Perp:ETH").fills, "in the slot that was another's"
        newer.close()
        assert "closed" == snapshot.state


# --- torn records ---


def seconds(call):
    """How long it takes to give up."""
    began = time.monotonic()
    with pytest.raises(SnapshotStale, match="mid-write"):
        call()
    return time.monotonic() - began


def test_a_torn_record_is_never_returned_and_given_up_in_bounded_time(path, writer):
    writer.write(counted(1))
    writer.write(counted(2, "ETH"))
    with Snapshot.open(path, patience_s=0.1) as snapshot:
        assert 1 == snapshot.position(KEY).fills
        tear(path, 1)
        for read in (snapshot.positions, lambda: snapshot.position(KEY)):
            assert 0.1 <= seconds(read)

        assert 2 == snapshot.position("hyperliquid:Perp:ETH").fills, "the others are whole"


def test_a_writer_that_was_preempted_in_mid_write_is_waited_for(path):
    with process("slow", path), Snapshot.open(path) as snapshot:
        reads, waited_s = 0, 0.0
        while reads < 20 or waited_s < 0.05:
            began = time.monotonic()
            assert whole(snapshot.position(KEY))
            reads, waited_s = reads + 1, max(waited_s, time.monotonic() - began)


def test_a_reader_that_waits_for_the_writer_leaves_it_the_processor(path, writer):
    writer.write(counted(1))
    tear(path, 1)
    with Snapshot.open(path, patience_s=0.5) as snapshot:
        used_s = time.process_time()
        took_s = seconds(snapshot.positions)
        used_s = time.process_time() - used_s

    assert used_s < took_s / 2


def test_a_writer_whose_process_is_gone_is_given_up_long_before_one_that_may_be_preempted(path):
    with process("half", path) as dying, Snapshot.open(path, limit_s=3600, patience_s=2.0) as snapshot:
        living_s = seconds(snapshot.positions)
        dying.kill()
        dying.wait()
        dead_s = min(seconds(snapshot.positions) for _ in range(5))

    assert 2.0 <= living_s
    assert dead_s < living_s / 4


def test_a_writer_that_has_been_silent_for_too_long_is_given_up_long_before_one_that_beats(path, writer):
    writer.write(counted(1))
    tear(path, 1)
    with Snapshot.open(path, limit_s=3600, patience_s=2.0) as snapshot:
        beating_s = seconds(snapshot.positions)
    with Snapshot.open(path, limit_s=0.01, patience_s=2.0) as snapshot:
        until(lambda: snapshot.state == "stale")
        silent_s = min(seconds(snapshot.positions) for _ in range(5))

    assert 2.0 <= beating_s
    assert silent_s < beating_s / 4


def test_a_writer_that_is_another_users_may_live(path):
    with process("half", path), Snapshot.open(path, limit_s=3600, patience_s=0.4) as snapshot:
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)  # root may signal anybody
        try:
            assert 0.4 <= seconds(snapshot.positions)
        finally:
            os.seteuid(was)


@pytest.mark.parametrize("pid", [0, 2**31, 2**32 - 1])
def test_a_number_that_no_process_can_have_is_that_of_a_dead_writer(path, writer, pid):
    writer.write(counted(1))
    tear(path, 1)
    file = bytearray(path.read_bytes())
    file[:BLOCK_BYTES] = encode_header(replace(decode_header(bytes(file[:BLOCK_BYTES])), pid=pid), 2)
    path.write_bytes(file)
    with Snapshot.open(path, limit_s=3600, patience_s=3600) as snapshot:
        seconds(snapshot.positions)


def test_a_record_that_was_torn_is_whole_after_the_next_write(path, writer, snapshot):
    writer.write(counted(1))
    tear(path, 1)
    writer.write(counted(2))

    assert counted(2) == snapshot.position(KEY)


def test_while_the_writer_is_inside_a_record_its_sequence_is_odd(path):
    with (
        process("hammer", path),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory,
        memoryview(memory).cast("Q") as words,
    ):
        until(lambda: words[BLOCK_BYTES // 8] % 2 == 1)


def test_a_torn_header_makes_everything_stale(path, writer, snapshot):
    writer.write(counted(1))
    assert "live" == snapshot.state
    tear(path, 0)

    assert ("stale", {("stale", "writer died or stands in mid-write")}) == (snapshot.state, doubts(snapshot))
    with pytest.raises(SnapshotStale):
        Snapshot.open(path)


def test_a_damaged_byte_is_never_shown(path, writer, snapshot):
    writer.write(counted(1))
    with path.open("r+b") as file:
        file.seek(BLOCK_BYTES + 290)
        file.write(b"9")

    with pytest.raises(SnapshotStale):
        snapshot.positions()


def test_a_writer_killed_in_mid_write_is_survived_by_its_readers(path):
    with process("half", path) as dying:
        snapshot = Snapshot.open(path)
        dying.kill()
        dying.wait()
        with pytest.raises(SnapshotStale):
            snapshot.position(KEY)
    writer = SnapshotWriter(path, mode="simulated")
    writer.write(counted(9))
    beat(writer)

    assert counted(9) == snapshot.position(KEY)
    snapshot.close()
    writer.close()


def test_two_hundred_thousand_reads_against_a_hammering_writer_are_all_whole(path):
    wanted = [counted(number) for number in range(COUNTS)]
    reads, changes, last = 0, 0, None
    with process("hammer", path), Snapshot.open(path) as snapshot:
        while reads < 200_000 or changes < 1000:
            reads += 1
            record = snapshot.position(KEY)
            assert wanted[record.fills] == record
            changes += record is not last
            last = record
    print(f"{changes} of {reads} reads met a new record")


def test_a_writer_killed_anywhere_leaves_a_whole_record_or_none(tmp_path):
    dice = random.Random(7)
    outcomes = {"whole": 0, "torn": 0}
    for attempt in range(8):
        path = tmp_path / str(attempt)
        with process("hammer", path) as dying, Snapshot.open(path) as snapshot:
            target = dice.randrange(COUNTS)
            until(lambda: snapshot.position(KEY).fills >= target)  # noqa: B023
            dying.kill()
            dying.wait()
            try:
                assert whole(snapshot.position(KEY))
                outcomes["whole"] += 1
            except SnapshotStale:
                outcomes["torn"] += 1
    print(outcomes)


# --- other processes ---


def test_an_unrelated_reader_that_exits_leaves_the_file_to_the_others(path, writer, snapshot):
    writer.write(counted(1))
    with process("peek", path) as other:
        assert 0 == other.wait()

    assert path.exists()
    writer.write(counted(2))
    assert 2 == snapshot.position(KEY).fills


@pytest.fixture(scope="session")
def c_reader(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        print("skipped: no C compiler (cc) on this machine")
        pytest.skip("no C compiler (cc) on this machine")
    program = tmp_path_factory.mktemp("c") / "read_snapshot"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(program), str(C_READER)], check=True)
    return lambda path: subprocess.run([program, path], capture_output=True, text=True, timeout=120)


def test_a_reader_in_c_written_from_the_page_shows_the_same(path, writer, c_reader):
    writer.write(counted(41))
    unknown = {"last_fill_ms": None, "as_of_ms": None, "entry_price": None}
    writer.write(replace(counted(-2, "xyz:TSLA"), **unknown, fills=0, verdict="drift"))
    shown = c_reader(path)

    assert [
        ["main", KEY, "BTC-USD", "41", "42", "43", "44", "proven", "41 " * 8, "fills", "41"],
        ["main", TSLA, "xyz:TSLA-USD", "-2", "", "0", "1", "drift", "-2 " * 8, "fills", ""],
    ] == [line.split("\t") for line in shown.stdout.splitlines()]
    assert (0, "") == (shown.returncode, shown.stderr)


def test_the_reader_in_c_knows_a_starting_a_torn_and_a_missing_snapshot(path, c_reader):
    assert 3 == c_reader(path).returncode
    writer = SnapshotWriter(path, mode="live")
    writer.write(counted(1))
    starting = c_reader(path)
    assert (1, True) == (starting.returncode, "stale\twriter has not beaten yet" in starting.stdout)
    beat(writer)
    tear(path, 1)
    torn = c_reader(path)
    assert (1, "", "slot 1 cannot be read\n") == (torn.returncode, torn.stdout, torn.stderr)
    writer.close()


if __name__ == "__main__":
    {"hammer": hammer, "slow": slow, "half": half, "peek": peek}[sys.argv[1]](Path(sys.argv[2]))

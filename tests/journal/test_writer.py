"""The audit journal: whole chains across days, crashes and full disks; what was written is recovered."""

import contextlib
import errno
import gzip
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from decimal import Decimal

import pytest

from hlposmon.domain.changes import Funded
from hlposmon.domain.reports import Funding
from hlposmon.errors import WireError
from hlposmon.journal import recovery
from hlposmon.journal import writer as journals
from hlposmon.journal.lines import FIRST_PREV, body_of, event, open_line
from hlposmon.journal.reader import lines_after
from hlposmon.journal.recovery import opened
from hlposmon.journal.verify import verify
from hlposmon.journal.writer import CHECKPOINT_LINES
from tests.clock import awake_s
from tests.journal.clerk import BTC, DAY, HOUR, NOON, Clerk, files_in, kinds, lines_in

# ------------------------------------------------------------------ lines and files


def test_a_file_begins_with_a_checkpoint_and_the_first_line_chains_from_zeros(tmp_path):
    Clerk(tmp_path).write(3)
    first, *rest = lines_in(tmp_path)

    assert [path.name for path in files_in(tmp_path)] == ["audit-2026-11-20.jsonl"]
    assert (first["type"], first["prev"], first["seq"]) == ("checkpoint", FIRST_PREV, 1)
    assert [line["type"] for line in rest] == ["fill"] * 3


def test_lines_chain_across_days_and_each_day_begins_with_a_checkpoint(tmp_path):
    clerk = Clerk(tmp_path)
    for _ in range(4):
        clerk.write(2)
        clerk.now_ms += DAY

    assert [path.name[6:16] for path in files_in(tmp_path)] == [f"2026-11-2{n}" for n in range(4)]
    assert kinds(tmp_path) == ["checkpoint", "fill", "fill"] * 4
    assert clerk.sizes() == list(range(1, 9))


def test_a_batch_over_midnight_is_split_between_the_days(tmp_path):
    clerk = Clerk(tmp_path, now_ms=NOON + 12 * HOUR - 3)
    clerk.write(5)

    assert [len(path.read_bytes().splitlines()) for path in files_in(tmp_path)] == [3, 4]
    assert clerk.sizes() == [1, 2, 3, 4, 5]


def test_a_checkpoint_comes_every_so_many_lines(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(2 * CHECKPOINT_LINES)
    at = [number for number, kind in enumerate(kinds(tmp_path)) if kind == "checkpoint"]

    assert at == [0, CHECKPOINT_LINES, 2 * CHECKPOINT_LINES]


def test_the_clock_set_back_does_not_reopen_a_day_that_was_left(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write()
    clerk.now_ms += DAY
    clerk.write()
    clerk.now_ms -= 3 * DAY
    clerk.write(2)
    again = Clerk(tmp_path, now_ms=NOON - 2 * DAY)
    again.write()

    assert [path.name[6:16] for path in files_in(tmp_path)] == ["2026-11-20", "2026-11-21"]
    assert again.sizes() == [1, 2, 3, 4, 5]


def test_files_are_for_the_group_to_read(tmp_path):
    before = os.umask(0o022)
    try:
        Clerk(tmp_path).write()
    finally:
        os.umask(before)

    assert files_in(tmp_path)[0].stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("fsync", ["each", "batch", "off"])
def test_what_is_committed_is_in_the_file(tmp_path, fsync):
    clerk = Clerk(tmp_path, fsync=fsync)

    assert clerk.write(3)
    assert clerk.sizes() == [1, 2, 3]
    assert (clerk.journal.backlog, clerk.journal.seq, clerk.journal.failure) == (0, 4, None)


def test_what_is_not_committed_is_in_the_backlog(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3, commit=False)

    assert clerk.journal.backlog == 4
    clerk.journal.close()
    assert clerk.sizes() == [1, 2, 3]


def test_descriptors_are_given_back(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        clerk = Clerk(tmp_path)
        clerk.write()
        clerk.now_ms += DAY
        clerk.write()
        clerk.journal.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# ------------------------------------------------------------------ recovery


def test_nothing_is_recovered_where_nothing_was_written(tmp_path):
    clerk = Clerk(tmp_path)

    assert (clerk.recovered.seq, clerk.recovered.memories, clerk.recovered.base_ms) == (0, {}, {})


@pytest.mark.parametrize("days", [0, 1, 3])
def test_what_is_recovered_is_what_was_written(tmp_path, days):
    clerk = Clerk(tmp_path)
    clerk.write(4)
    for _ in range(days):
        clerk.now_ms += DAY
        clerk.write(4)
    again = Clerk(tmp_path, now_ms=clerk.now_ms)

    assert again.recovered.memories == {("main", BTC): clerk.last}
    assert again.recovered.base_ms == {"main": {"": NOON}}
    assert again.recovered.addresses == {"main": "0xab"}
    again.write()
    assert again.sizes() == list(range(1, again.number + 1))


def test_recovery_after_many_checkpoints_reads_from_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "CHECKPOINT_LINES", 10)
    clerk = Clerk(tmp_path)
    clerk.write(95)
    opened = []
    monkeypatch.setattr(recovery, "replay", lambda body, into: opened.append(body["type"]))
    Clerk(tmp_path)

    assert opened[0] == "checkpoint"
    assert len(opened) <= 10


def cut(folder, length):
    """A crash: the newest file ends `length` bytes early."""
    path = files_in(folder)[-1]
    os.truncate(path, path.stat().st_size - length)


@pytest.mark.parametrize("length", [2, 30, 300])
def test_a_half_written_line_is_kept_and_marked(tmp_path, length):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    cut(tmp_path, length)
    left = files_in(tmp_path)[0].read_bytes()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.write(2)

    assert again.recovered.memories["main", BTC].position.size == 2
    assert files_in(tmp_path)[0].read_bytes().startswith(left + b"\n")
    assert kinds(tmp_path) == ["checkpoint", "fill", "fill", "torn", "fill", "fill"]
    assert again.sizes() == [1, 2, 3, 4]


@pytest.mark.parametrize("half", [b'{"seq":\rgarbage', b"\r\r", b"\x0b\x0c\x1c\x85\r"])
def test_half_a_line_ends_at_a_newline_and_at_no_other_control_character(tmp_path, half):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    with files_in(tmp_path)[0].open("ab") as file:
        file.write(half)
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.write(2)

    assert kinds(tmp_path) == ["checkpoint", "fill", "fill", "fill", "torn", "fill", "fill"]
    assert verify(tmp_path / "trading").faults == []


def test_a_line_that_lacks_only_its_newline_is_whole(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    cut(tmp_path, 1)
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.write(2)

    assert again.sizes() == [1, 2, 3, 4, 5]
    assert "torn" not in kinds(tmp_path)


def test_the_mark_of_a_half_written_line_is_made_once(tmp_path):
    Clerk(tmp_path).write(3)
    cut(tmp_path, 10)
    for _ in range(3):
        Clerk(tmp_path).write()

    assert kinds(tmp_path).count("torn") == 1


@pytest.mark.parametrize("keep", [0, 1, 50])
def test_a_new_days_first_checkpoint_cut_short_leaves_the_day_before(tmp_path, keep):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    clerk.now_ms += DAY
    clerk.write()
    newest = files_in(tmp_path)[-1]
    os.truncate(newest, keep)
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.write(2)

    assert again.recovered.memories["main", BTC].position.size == 3
    assert again.sizes() == [1, 2, 3, 4, 5]
    assert kinds(tmp_path).count("torn") == bool(keep)


def test_a_checkpoint_cut_short_leaves_the_one_before(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    clerk.journal.append_checkpoint(clerk.now_ms)
    clerk.commit()
    cut(tmp_path, 5)

    assert Clerk(tmp_path).recovered.memories == {("main", BTC): clerk.last}


def test_an_altered_checkpoint_is_not_believed(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    clerk.journal.append_checkpoint(clerk.now_ms)
    clerk.commit()
    path = files_in(tmp_path)[0]
    raw = path.read_bytes()
    at = raw.rindex(b'"size":"3"')
    path.write_bytes(raw[:at] + b'"size":"9"' + raw[at + 10 :])

    assert Clerk(tmp_path).recovered.memories == {("main", BTC): clerk.last}


def test_a_file_without_a_checkpoint_is_read_behind_the_one_before(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    clerk.now_ms += DAY
    clerk.write(3)
    newest = files_in(tmp_path)[-1]
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[1:]))

    assert Clerk(tmp_path).recovered.memories == {("main", BTC): clerk.last}


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    Clerk(tmp_path).write(3)
    for name in ("audit-2099-01-01.jsonl.gz", "notes.txt", "audit-x.jsonl"):
        (tmp_path / "trading" / name).write_text("not ours\n")

    assert Clerk(tmp_path).recovered.memories["main", BTC].position.size == 3


# ------------------------------------------------------------------ kill -9


def test_killed_in_the_middle_of_writing_nothing_committed_is_lost(tmp_path):
    """A process writes batches as fast as it can and tells after each commit; it is killed at random."""
    rng = random.Random(7)
    for round_ in range(8):
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                clerk = Clerk(tmp_path, now_ms=NOON + round_ * HOUR)
                while True:
                    clerk.write(200)
                    os.write(tell, clerk.number.to_bytes(8, "big"))
            finally:
                os._exit(1)
        os.close(tell)
        os.read(told, 8)
        time.sleep(rng.uniform(0, 0.05))  # the instant of the kill is what is tried here
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        rest = b""
        while piece := os.read(told, 1 << 16):
            rest += piece
        os.close(told)
        clerk = Clerk(tmp_path, now_ms=NOON + round_ * HOUR)
        clerk.commit()
        if rest:
            assert clerk.number >= int.from_bytes(rest[-8:], "big")
        assert clerk.sizes() == list(range(1, clerk.number + 1))


# ------------------------------------------------------------------ disks that refuse


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a file system of 256 kB; or, where none can be mounted, a limit on the size of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    mounted = mount and os.geteuid() == 0 and not _mounts(mount, folder).returncode
    if mounted:
        ballast = folder / "ballast"

        @contextlib.contextmanager
        def full():
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 512)
            try:
                yield
            finally:
                ballast.unlink()

    else:

        @contextlib.contextmanager
        def full():
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            largest = max((path.stat().st_size for path in files_in(folder)), default=0)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 700, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                signal.signal(signal.SIGXFSZ, before)

    yield folder, full
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mounts(mount, folder):
    return subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], capture_output=True)


def test_a_full_disk_is_said_and_loses_nothing(full_disk):
    folder, full = full_disk
    clerk = Clerk(folder)
    assert clerk.write(5)
    with full():
        assert clerk.write(40) is False
        assert clerk.journal.failure is not None
        waiting = clerk.journal.backlog
        assert clerk.write(3) is False
        assert clerk.journal.backlog == waiting + 3
        assert clerk.sizes() == list(range(1, len(clerk.sizes()) + 1))  # whole lines only

    assert clerk.commit()
    assert (clerk.journal.failure, clerk.journal.backlog, clerk.journal.lost) == (None, 0, 0)
    assert clerk.sizes() == list(range(1, 49))
    assert Clerk(folder).recovered.memories == {("main", BTC): clerk.last}


def test_a_file_taken_away_while_the_disk_is_full_brings_one_checkpoint_however_often_it_is_tried(full_disk):
    folder, full = full_disk
    clerk = Clerk(folder)
    clerk.write(2)
    files_in(folder)[0].unlink()
    with full():
        for _ in range(5):
            clerk.write(1)
    assert clerk.commit()

    lines = [json.loads(raw) for raw in files_in(folder)[0].read_bytes().splitlines()]
    assert [line["type"] for line in lines].count("checkpoint") == 1
    assert [line["position"]["size"] for line in lines if line["type"] == "fill"] == list("34567")


def test_after_a_failure_it_is_tried_again_once_a_second(full_disk):
    folder, full = full_disk
    clerk = Clerk(folder)
    clerk.write()
    with full():
        clerk.write(40)

    assert clerk.commit(later_s=0.5) is False
    assert clerk.commit(later_s=0.6)


def test_a_monitor_can_start_on_a_full_disk(full_disk):
    folder, full = full_disk
    with full():
        if not files_in(folder) and resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
            pytest.skip("a limit on file sizes lets the first line through")
        clerk = Clerk(folder)
        assert clerk.write(20) is False
        assert clerk.journal.failure is not None

    assert clerk.commit()
    assert clerk.sizes() == list(range(1, 21))


def test_a_folder_that_cannot_be_written_is_said_and_loses_nothing(tmp_path):
    clerk = Clerk(tmp_path / "log")
    clerk.write(2)
    clerk.journal.close()
    (tmp_path / "log").rename(tmp_path / "away")
    (tmp_path / "log").write_text("in the way")

    assert clerk.write(3) is False
    assert str(tmp_path / "log") in clerk.journal.failure
    (tmp_path / "log").unlink()
    (tmp_path / "away").rename(tmp_path / "log")
    assert clerk.commit()
    assert clerk.journal.failure is None
    assert clerk.sizes() == [1, 2, 3, 4, 5]


# ------------------------------------------------------------------ files that cannot be read


def test_a_folder_that_cannot_be_read_at_the_start_is_said_and_nothing_is_lost(tmp_path):
    (tmp_path / "trading").write_text("in the way")
    clerk = Clerk(tmp_path)

    assert clerk.write(3) is False
    assert str(tmp_path / "trading") in clerk.journal.failure
    assert "the audit cannot be read" in clerk.journal.failure
    assert (clerk.journal.backlog, clerk.journal.seq) == (4, 0)
    (tmp_path / "trading").unlink()
    assert clerk.commit()
    assert (clerk.journal.failure, clerk.sizes()) == (None, [1, 2, 3])


@contextlib.contextmanager
def unreadable(path):
    """The file cannot be read, not even by root: a folder is in its place."""
    kept = path.rename(path.with_suffix(".kept"))
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        kept.rename(path)


def test_an_older_file_that_cannot_be_read_is_not_written_behind_until_it_can_be(tmp_path):
    before = Clerk(tmp_path)
    before.write(3)
    path = files_in(tmp_path)[0]
    raw = path.read_bytes()
    with unreadable(path):
        clerk = Clerk(tmp_path, now_ms=NOON + DAY)
        assert clerk.write(2) is False
        assert "Is a directory" in clerk.journal.failure
        assert files_in(tmp_path) == [path]

    assert clerk.commit()
    assert path.read_bytes().startswith(raw)
    assert kinds(tmp_path) == ["checkpoint", *["fill"] * 3, "audit_unread", "checkpoint", "fill", "fill"]
    unread = lines_in(tmp_path)[4]
    assert ("Is a directory" in unread["reason"], unread["lines"]) == (True, 3)
    assert [said for said, _ in clerk.journal.take_remarks()] == [
        "the audit could not be read at the start: the book began anew"
    ]
    assert verify(tmp_path / "trading").faults == []
    assert Clerk(tmp_path, now_ms=clerk.now_ms).recovered.memories == {("main", BTC): clerk.last}


def test_what_waits_for_files_to_be_read_is_bounded_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "BACKLOG_LINES", 50)
    (tmp_path / "trading").write_text("in the way")
    clerk = Clerk(tmp_path)
    clerk.write(80)

    assert (clerk.journal.backlog, clerk.journal.lost) == (50, 31)


def test_lines_that_were_let_go_are_said_with_their_count_while_and_when_it_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "BACKLOG_LINES", 50)
    clerk = Clerk(tmp_path)
    clerk.write(2)
    clerk.journal._file.close()
    (tmp_path / "trading").rename(tmp_path / "kept")
    (tmp_path / "trading").write_text("in the way")
    clerk.write(80)
    assert clerk.journal.failure.endswith("; 30 lines had to be let go")
    clerk.write(10)
    assert clerk.journal.failure.endswith("; 40 lines had to be let go")

    (tmp_path / "trading").unlink()
    (tmp_path / "kept").rename(tmp_path / "trading")
    assert clerk.commit()
    [(said, facts)] = clerk.journal.take_remarks()
    assert (said, facts["lines"]) == ("audit lines had to be let go while they could not be written", 40)
    assert (clerk.journal.failure, clerk.journal.lost) == (None, 40)
    assert clerk.write(1) and clerk.journal.take_remarks() == []
    assert verify(tmp_path / "trading").faults == []


def test_an_altered_checkpoint_is_named_in_a_line_and_a_remark(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    clerk.journal.append_checkpoint(clerk.now_ms)
    clerk.write(1)
    path = files_in(tmp_path)[0]
    alter(path, 5, b'"size":"3"', b'"size":"9"')
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.commit()

    assert again.recovered.memories == {("main", BTC): clerk.last}
    [(said, facts)] = again.journal.take_remarks()
    assert (said, facts["line"]) == ("a line of the audit was altered and is not believed", 5)
    line = file_lines(path)[-1]
    assert (line["type"], line["file"], line["line"]) == ("audit_damaged", path.name, 5)


def test_without_a_sound_checkpoint_the_book_begins_anew_and_the_chain_goes_on(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    path = files_in(tmp_path)[0]
    alter(path, 1, b'"main":"0xab"', b'"main":"0xcd"')
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.commit()

    assert again.recovered.memories == {}
    assert [said for said, _ in again.journal.take_remarks()] == [
        "a line of the audit was altered and is not believed",
        "no checkpoint of the audit is sound: the book begins anew",
    ]
    assert [line["seq"] for line in file_lines(path)[-2:]] == [5, 6]
    assert [(one.kind, one.line) for one in verify(tmp_path / "trading").faults] == [("altered", 1)]


@pytest.mark.parametrize("damaged", [False, True])
def test_funding_of_a_line_that_is_lost_is_in_the_sums_of_the_next_and_is_not_owed(tmp_path, damaged):
    clerk = Clerk(tmp_path)
    clerk.write(1)
    position = clerk.last.position
    for hour in (1, 2, 3):
        paid = Funding("main", BTC, NOON + hour * HOUR, Decimal(hour), Decimal(1), Decimal(0))
        position = position.funded(paid.amount)
        clerk.journal.append(body_of(Funded(paid, position), now_ms=clerk.now_ms), clerk.now_ms)
    clerk.commit()
    if damaged:
        alter(files_in(tmp_path)[0], 4, b'"amount":"2"', b'"amount":"7"')
    [memory] = Clerk(tmp_path, now_ms=clerk.now_ms).recovered.memories.values()

    assert memory.position.funding == 6
    assert [memory.payments.owes(NOON + hour * HOUR) for hour in (1, 2, 3, 4)] == [False] * 3 + [True]
    assert memory.payments.owes(NOON + HOUR // 2) is not damaged


def test_an_altered_line_is_named_once_and_not_at_every_start(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    alter(files_in(tmp_path)[0], 3, b'"quantity":"1"', b'"quantity":"7"')
    for _ in range(3):
        again = Clerk(tmp_path, now_ms=clerk.now_ms)
        again.journal.append_checkpoint(clerk.now_ms)
        again.commit()

    assert [line["type"] for line in file_lines(files_in(tmp_path)[0])].count("audit_damaged") == 1


@pytest.mark.parametrize("name", ["{}.gz", "{}-20261121.gz"])
def test_a_book_that_rotation_has_compressed_is_recovered_and_its_chain_goes_on(tmp_path, name):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    path = files_in(tmp_path)[0]
    path.with_name(name.format(path.name)).write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    again = Clerk(tmp_path, now_ms=NOON + DAY)
    again.write(2)

    assert again.recovered.memories == {("main", BTC): clerk.last}
    report = verify(tmp_path / "trading")
    assert (report.faults, report.last[0]) == ([], 7)


def alter(path, line, old, new):
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    path.write_bytes(b"".join(lines))


def file_lines(path):
    return [json.loads(raw) for raw in path.read_bytes().splitlines()]


def test_what_a_refused_write_has_left_is_neither_doubled_nor_hidden(tmp_path, monkeypatch):
    """The disk takes some of a batch, refuses the rest, and refuses to take it back as well."""
    clerk = Clerk(tmp_path)
    clerk.write(2)
    path = files_in(tmp_path)[0]
    real, left = os.write, [1500]

    def refusing(fd, raw):
        if not left[0]:
            raise OSError(errno.EIO, "Input/output error")
        taken, left[0] = bytes(raw[: left[0]]), 0
        return real(fd, taken)

    monkeypatch.setattr(os, "write", refusing)
    monkeypatch.setattr(os, "ftruncate", lambda *_: refusing(0, b""))
    assert clerk.write(5) is False
    monkeypatch.undo()
    assert not path.read_bytes().endswith(b"\n")

    assert clerk.commit()
    report = verify(tmp_path / "trading")
    assert (report.faults, len(report.marked)) == ([], 1)
    assert [line["position"]["size"] for line in sound(path) if line["type"] == "fill"] == list("1234567")
    # The mark comes before what had to wait: a power cut that takes it away leaves none of that either.
    raw = path.read_bytes().splitlines()
    half = next(number for number, line in enumerate(raw) if opened(line) is None)
    assert json.loads(raw[half + 1])["type"] == "torn"


def test_a_line_that_the_disk_took_but_for_its_newline_is_there_once(tmp_path, monkeypatch):
    clerk = Clerk(tmp_path)
    clerk.write(2)
    path = files_in(tmp_path)[0]
    real, taken = os.write, []

    def refusing(fd, raw):
        if taken:
            raise OSError(errno.EIO, "Input/output error")
        taken.append(real(fd, bytes(raw[:-1])))
        return taken[0]

    monkeypatch.setattr(os, "write", refusing)
    monkeypatch.setattr(os, "ftruncate", lambda *_: refusing(0, b""))
    clerk.write(1)
    monkeypatch.undo()
    assert clerk.journal.failure is not None
    assert not path.read_bytes().endswith(b"\n")

    clerk.write(1)
    report = verify(tmp_path / "trading")
    assert (report.faults, report.marked) == ([], [])
    assert [line["position"]["size"] for line in file_lines(path) if line["type"] == "fill"] == list("1234")


def sound(path):
    lines = []
    for raw in path.read_bytes().splitlines():
        with contextlib.suppress(WireError):
            lines.append(open_line(raw))
    return lines


# ------------------------------------------------------------------ files that go away


@pytest.mark.parametrize("removed", ["deleted", "renamed", "emptied", "with its folder"])
def test_a_file_that_is_taken_away_is_made_anew(tmp_path, removed):
    clerk = Clerk(tmp_path)
    clerk.write(2)
    path = files_in(tmp_path)[0]
    if removed == "deleted":
        path.unlink()
    elif removed == "renamed":
        path.rename(path.with_suffix(".jsonl.1"))
    elif removed == "emptied":  # as `copytruncate` does
        os.truncate(path, 0)
    else:
        shutil.rmtree(path.parent)

    assert clerk.write(2)
    [(said, facts)] = clerk.journal.take_remarks()
    assert "removed, renamed or emptied" in said
    assert facts["file"] == path.name
    lines = file_lines(path)
    assert [line["position"]["size"] for line in lines if line["type"] == "fill"] == ["3", "4"]
    # It begins with no checkpoint, and has one all the same: a start needs nothing that is gone.
    assert Clerk(tmp_path, now_ms=clerk.now_ms).recovered.memories == {("main", BTC): clerk.last}


def test_a_backlog_beyond_its_bound_lets_the_oldest_go_and_counts_them(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "BACKLOG_LINES", 50)
    clerk = Clerk(tmp_path / "log")
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "log").write_text("in the way")
    clerk.write(80)

    assert (clerk.journal.backlog, clerk.journal.lost) == (50, 31)
    (tmp_path / "log").unlink()
    assert clerk.commit()
    lines = file_lines(files_in(tmp_path / "log")[0])
    written = [int(line["position"]["size"]) for line in lines if line["type"] == "fill"]
    assert written == list(range(31, 81))
    [lost] = [line for line in lines if line["type"] == "lost"]
    assert lost["last"] - lost["first"] + 1 == lost["count"] == 31


def test_events_are_lines_too(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.journal.append(event("start", now_ms=NOON, version="1"), NOON)
    clerk.commit()

    assert kinds(tmp_path) == ["checkpoint", "start"]


def test_a_large_backlog_is_written_in_pieces_and_quickly(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(8_000, commit=False)
    began = awake_s()

    assert clerk.commit()
    assert awake_s() - began < 1.0
    assert clerk.sizes() == list(range(1, 8_001))


# ------------------------------------------------------------------ lines behind a number


def renamed(path, name, *, packed=False):
    """As rotation leaves a file."""
    raw = path.read_bytes()
    path.unlink()
    path.with_name(name).write_bytes(gzip.compress(raw) if packed else raw)


@pytest.mark.parametrize("packed", [(), (0,), (0, 1), (2,)])
def test_the_lines_behind_any_number_are_read_over_the_days(tmp_path, packed):
    clerk = Clerk(tmp_path)
    for count in (300, 1, 500):
        clerk.write(count)
        clerk.now_ms += DAY
    clerk.write(3)
    for number, path in enumerate(files_in(tmp_path)):
        if number in packed:
            renamed(path, path.name + ".gz", packed=True)

    for seq in (0, 1, 299, 300, 301, 302, 303, 304, 305, 500, 805, 806, 807, 808, 5000):
        found = [line["seq"] for line in clerk.lines_behind(seq)]
        assert found == list(range(seq + 1, clerk.journal.seq + 1)), seq


@pytest.mark.parametrize("name", ["{}.1", "{}-20261121", "{}.1.gz", "{}-20261121.gz"])
def test_lines_in_files_that_rotation_renamed_are_read_as_well(tmp_path, name):
    """Also where it did so in the middle of a day: the same day then has a newer file of the old name."""
    clerk = Clerk(tmp_path)
    for count in (40, 30, 20):
        clerk.write(count)
        [path] = files_in(tmp_path)
        renamed(path, name.format(path.name), packed=name.endswith(".gz"))
        clerk.now_ms += DAY
    clerk.write(10)
    clerk.now_ms -= DAY // 4
    [path] = files_in(tmp_path)
    renamed(path, name.format(path.name), packed=name.endswith(".gz"))
    clerk.write(10)

    for seq in (0, 1, 40, 41, 42, 90, 110):
        found = [line["seq"] for line in clerk.lines_behind(seq)]
        assert found == list(range(seq + 1, clerk.journal.seq + 1)), seq


def test_a_day_that_is_there_twice_is_read_once_and_broken_lines_are_passed_over(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(300)
    [path] = files_in(tmp_path)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[100] = lines[100].replace(b"100.5", b"999.5")
    lines[200] = lines[200][:50] + b"\n"
    path.write_bytes(b"".join(lines))

    for seq in (0, 99, 150, 250):
        found = [line["seq"] for line in clerk.lines_behind(seq)]
        assert found == [number for number in range(seq + 1, 302) if number not in (101, 201)]


def test_there_are_no_lines_where_there_is_no_folder(tmp_path):
    assert list(lines_after(tmp_path / "nowhere", 0, lambda _name, _reason: None)) == []


def test_a_checkpoint_that_is_due_comes_before_what_is_decided_in_a_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "CHECKPOINT_LINES", 20)
    clerk = Clerk(tmp_path)
    clerk.write(48)
    clerk.journal.want_checkpoint()
    clerk.write(2)
    clerk.journal.begin_turn(clerk.now_ms + DAY)
    clerk.journal.commit(clerk.now_s)
    lines = [line for line, *_ in lines_after(clerk.journal.folder, 0, lambda *_: None)]
    at = [number for number, line in enumerate(lines) if line["type"] == "checkpoint"]

    assert len(at) == 1 + 2 + 1 + 1  # the file's, two by count, the one that was wanted, the day's
    for number in at[1:]:  # each is exactly what the line before it says
        [row] = lines[number]["book"]
        assert row["position"] == lines[number - 1]["position"]

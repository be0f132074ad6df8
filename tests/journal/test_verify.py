"""Verifying the audit: whatever is done to it is found, once, and where; an intact one is never accused."""

import gzip
import os
import random
import shutil
import signal
import threading
import time
import tracemalloc
from datetime import UTC, datetime

import pytest

from hlposmon.errors import HlposmonError, NotPermitted
from hlposmon.journal import files as parts
from hlposmon.journal import verify as audit
from hlposmon.journal import writer as journals
from hlposmon.journal.files import folder_of
from hlposmon.journal.lines import FIRST_PREV, open_line, seal
from hlposmon.journal.verify import Expected
from tests.journal.clerk import DAY, HOUR, NOON, Clerk, files_in

SEEDS = range(12)


def verify(folder, **how):
    return audit.verify(folder / "trading", **how)


def told(report):
    return [(one.kind, one.file, one.line, one.seq) for one in report.faults]


class Tampered:
    """An audit of three days, with the lines of its files in hand, to be changed and put back."""

    def __init__(self, folder, seed=0, days=3, lines=15):
        self.folder = folder
        self.chance = random.Random(seed)
        clerk = Clerk(folder)
        for _ in range(days):
            clerk.write(lines)
            clerk.now_ms += DAY
        assert verify(folder).faults == []
        self.names = [path.name for path in files_in(folder)]
        self.files = [path.read_bytes().splitlines(keepends=True) for path in files_in(folder)]

    def anywhere(self):
        """A random line that is neither the very first nor the very last: its file and index."""
        part = self.chance.randrange(len(self.files))
        low = 1 if part == 0 else 0
        high = len(self.files[part]) - (part == len(self.files) - 1)
        return part, self.chance.randrange(low, high)

    def put(self, part, index, *lines, instead_of=0):
        self.files[part][index : index + instead_of] = lines

    def place(self, part, index):
        """File and line number, which of two files' neighbours the first of the later."""
        if index == len(self.files[part]):
            part, index = part + 1, 0
        return self.names[part], index + 1

    def found(self, **how):
        for name, lines in zip(self.names, self.files, strict=True):
            (self.folder / "trading" / name).write_bytes(b"".join(lines))
        return told(verify(self.folder, **how))


def seq_of(raw):
    return open_line(raw)["seq"]


def sealed(raw, **changes):
    """The line sealed again by somebody who knows how."""
    body = open_line(raw) | changes
    seq, prev, _ = body.pop("seq"), body.pop("prev"), body.pop("hash")
    return seal(body | {"note": "forged"}, seq=seq, prev=prev)[0]


# ------------------------------------------------------------------ intact


def test_an_intact_audit_of_many_days_is_intact(tmp_path):
    clerk = Clerk(tmp_path)
    for _ in range(4):
        clerk.write(20)
        clerk.now_ms += DAY
    report = verify(tmp_path)

    assert (report.faults, report.marked, report.notes) == ([], [], [])
    assert (report.lines, report.first[0], report.last[0]) == (84, 1, 84)
    assert report.last[1] == open_line(files_in(tmp_path)[-1].read_bytes().splitlines()[-1])["hash"]


def test_restarts_days_on_which_nothing_ran_and_a_clock_set_back_are_no_faults(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    Clerk(tmp_path, now_ms=NOON + 5 * DAY).write(3)
    Clerk(tmp_path, now_ms=NOON + DAY).write(3)

    assert verify(tmp_path).faults == []


def test_a_beginning_that_was_cut_off_by_hand_is_found(tmp_path):
    made = Tampered(tmp_path)
    files_in(tmp_path)[0].unlink()
    [fault] = verify(tmp_path).faults

    assert (fault.kind, fault.file, fault.line, fault.seq) == ("removed", made.names[1], 1, 16)
    assert fault.message == "lines before seq 17 are missing, and nothing tells of them"


def test_a_beginning_that_was_noted_elsewhere_is_no_fault(tmp_path):
    made = Tampered(tmp_path)
    files_in(tmp_path)[0].unlink()
    first = open_line(made.files[1][0])

    assert verify(tmp_path, expected_first=Expected(17, first["hash"])).faults == []
    [fault] = verify(tmp_path, expected_first=Expected(1, first["hash"])).faults
    assert (fault.kind, fault.seq) == ("removed", 1)


def test_who_asks_for_some_days_is_not_told_that_others_are_missing(tmp_path):
    Tampered(tmp_path)
    files_in(tmp_path)[0].unlink()
    report = verify(tmp_path, since="2026-11-21")

    assert (report.faults, report.first[0]) == ([], 17)
    assert report.notes == ["the files begin with seq 17: older ones are not here, and were not checked"]


def test_a_line_without_an_end_is_found_in_bounded_memory_and_reading_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "LONGEST_LINE", 1 << 20)
    made = Tampered(tmp_path)
    path = files_in(tmp_path)[0]
    path.write_bytes(path.read_bytes() + b"x" * (100 << 20) + b"\n")
    tracemalloc.start()
    report = verify(tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert told(report) == [("torn", made.names[0], 17, None)]
    [note] = report.notes
    assert note.startswith(f"{made.names[0]}:17: a line of {(100 << 20) + 1} bytes: ")
    assert (report.lines, most < 16 << 20) == (49, True)


@pytest.mark.parametrize("form", ["{}.gz", "{}-20261125.gz", "{}.1", "{}.2.gz"])
def test_files_that_rotation_has_renamed_and_compressed_are_read(tmp_path, form):
    Tampered(tmp_path)
    for path in files_in(tmp_path)[:2]:
        raw = path.read_bytes()
        path.unlink()
        new = path.with_name(form.format(path.name))
        new.write_bytes(gzip.compress(raw) if new.name.endswith(".gz") else raw)
    report = verify(tmp_path)

    assert (report.faults, report.lines, len(report.files)) == ([], 48, 3)


def test_a_day_whose_file_was_taken_away_half_way_is_read_in_its_order(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    path = files_in(tmp_path)[0]
    path.rename(path.with_name(path.name + ".1"))
    clerk.write(3)

    report = verify(tmp_path)
    assert (report.faults, report.files) == ([], [path.name + ".1", path.name])


def test_a_file_that_is_there_compressed_and_not_is_read_once(tmp_path):
    Tampered(tmp_path)
    path = files_in(tmp_path)[0]
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    report = verify(tmp_path)

    assert report.faults == []
    assert report.notes == [f"{path.name}.gz was passed over: it is there uncompressed as well"]


@pytest.mark.parametrize("kept", [0, 40])
def test_a_compression_that_was_interrupted_is_passed_over(tmp_path, kept):
    Tampered(tmp_path)
    path = files_in(tmp_path)[0]
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:kept])
    report = verify(tmp_path)

    assert report.faults == []
    assert report.notes == [f"{path.name}.gz was passed over: it is there uncompressed as well"]


def test_a_day_that_was_compressed_half_way_is_read_in_both_files(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(3)
    [path] = files_in(tmp_path)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    clerk.write(3)
    report = verify(tmp_path)

    assert (report.faults, report.notes) == ([], [])
    assert (report.files, report.lines) == ([packed.name, path.name], 8)
    assert [line["seq"] for line in clerk.lines_behind(0)] == list(range(1, 9))


def test_an_audit_that_is_being_written_is_not_accused(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write()
    done = threading.Event()

    def write():
        while not done.is_set():
            clerk.write(400)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert [verify(tmp_path).faults for _ in range(5)] == [[]] * 5
    finally:
        done.set()
        writer.join()


# ------------------------------------------------------------------ every kind of tampering, anywhere


@pytest.mark.parametrize("seed", SEEDS)
def test_an_altered_byte_is_found(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part, index = made.anywhere()
    raw = made.files[part][index]
    at = made.chance.randrange(len(raw) - 1)
    other = made.chance.choice([byte for byte in b'0123456789abc{}",: ' if byte != raw[at]])
    made.put(part, index, raw[:at] + bytes([other]) + raw[at + 1 :], instead_of=1)

    assert made.found() == [("altered", *made.place(part, index), seq_of(raw))]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_altered_line_that_was_sealed_again_is_found(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part, index = made.anywhere()
    raw = made.files[part][index]
    changes = made.chance.choice([{}, {"prev": "a" * 64}, {"seq": 999}, {"seq": seq_of(raw) + 3}])
    made.put(part, index, sealed(raw, **changes), instead_of=1)

    assert made.found() == [("altered", *made.place(part, index), seq_of(raw))]


@pytest.mark.parametrize("seed", SEEDS)
def test_removed_lines_are_found_and_numbered(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part, index = made.anywhere()
    count = min(made.chance.randint(1, 4), len(made.files[part]) - index - (part == 2))
    first = seq_of(made.files[part][index])
    made.put(part, index, instead_of=count)
    place = made.place(part, index)

    assert made.found() == [("removed", *place, first)]
    [fault] = verify(tmp_path).faults
    assert (fault.seq, fault.seq_last) == (first, first + count - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_line_moved_elsewhere_is_found_where_it_stands(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part, index = made.anywhere()
    [raw] = made.files[part][index : index + 1]
    made.put(part, index, instead_of=1)
    other = made.chance.choice([0, 1, 2])
    at = made.chance.choice(
        [at for at in range(1, len(made.files[other])) if other != part or abs(at - index) > 1]
    )
    made.put(other, at, raw)

    assert made.found() == [("reordered", *made.place(other, at), seq_of(raw))]


@pytest.mark.parametrize("seed", SEEDS)
def test_two_lines_that_changed_places_are_found(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part = made.chance.randrange(3)
    index = made.chance.randrange(len(made.files[part]) - 1)
    one, two = made.files[part][index : index + 2]
    made.put(part, index, two, one, instead_of=2)

    [(kind, file, line, seq)] = made.found()
    assert (kind, file) == ("reordered", made.names[part])
    assert (line, seq) in {(index + 1, seq_of(two)), (index + 2, seq_of(one))}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_line_that_stands_twice_is_found_at_the_second(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part, index = made.anywhere()
    raw = made.files[part][index]
    other, at = made.chance.choice([(part, index + 1), (2, 15), (2, made.chance.randrange(index + 1, 16))])
    made.put(other, at, raw)

    assert made.found() == [("duplicated", *made.place(other, at), seq_of(raw))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_line_that_was_put_in_is_found(tmp_path, seed):
    made = Tampered(tmp_path, seed)
    part, index = made.anywhere()
    raw = made.files[part][index]
    before = (
        (made.files[part - 1][-1] if index == 0 else made.files[part][index - 1]) if part or index else raw
    )
    forged = made.chance.choice(
        [
            sealed(raw, prev=open_line(before)["hash"]),
            sealed(raw, seq=500),
            sealed(raw, seq=2, prev=FIRST_PREV),
            b'{"seq":3,"type":"fill","prev":"","hash":"%s"}\n' % (b"0" * 64),
        ]
    )
    made.put(part, index, forged)

    [(kind, *place, _)] = made.found()
    assert (kind, *place) == ("inserted", *made.place(part, index))


@pytest.mark.parametrize("seed", SEEDS)
def test_several_faults_are_all_found_and_each_is_told_once(tmp_path, seed):
    made = Tampered(tmp_path, seed, lines=60)
    chance = made.chance
    # From the back, so that the places of the earlier ones stay what they are.
    ((one, two, three, four),) = [sorted(chance.sample(range(3, 58), 4))]
    if min(two - one, three - two, four - three) < 3:
        one, two, three, four = 5, 20, 35, 50
    raws = made.files[1][:]
    made.put(1, four, instead_of=1)
    made.put(1, three, raws[three].replace(b"fill", b"fi11", 1), instead_of=1)
    made.put(1, two, raws[one - 1])
    made.put(1, one, b"nonsense\n")

    name = made.names[1]
    assert made.found() == [
        ("torn", name, one + 1, None),
        ("duplicated", name, two + 2, seq_of(raws[one - 1])),
        ("altered", name, three + 3, seq_of(raws[three])),
        ("removed", name, four + 3, seq_of(raws[four])),
    ]


def test_a_missing_file_in_the_middle_is_named_by_its_day(tmp_path):
    made = Tampered(tmp_path)
    files_in(tmp_path)[1].unlink()
    [fault] = verify(tmp_path).faults

    assert (fault.kind, fault.file, fault.line) == ("missing_file", made.names[2], 1)
    assert (fault.seq, fault.seq_last) == (17, 32)
    assert "there is no file of 2026-11-21" in fault.message


@pytest.mark.parametrize("day", ["2026-11-19", "2026-11-25"])
def test_a_file_under_the_name_of_another_day_is_found(tmp_path, day):
    Tampered(tmp_path)
    path = files_in(tmp_path)[1]
    path.rename(path.with_name(f"audit-{day}.jsonl"))

    assert [(fault.kind, fault.file, fault.line) for fault in verify(tmp_path).faults] == [
        ("wrong_day", f"audit-{day}.jsonl", 1)
    ]


def test_lines_removed_from_the_head_of_the_oldest_file_are_found(tmp_path):
    made = Tampered(tmp_path)
    made.put(0, 0, instead_of=2)

    assert made.found() == [("removed", made.names[0], 1, 2)]


@pytest.mark.parametrize(("part", "index"), [(0, 0), (2, 15)])
def test_the_very_first_and_the_very_last_line_are_guarded_by_their_own_hash(tmp_path, part, index):
    made = Tampered(tmp_path)
    raw = made.files[part][index]
    made.put(part, index, raw.replace(b"main", b"mine", 1), instead_of=1)

    assert made.found() == [("altered", made.names[part], index + 1, seq_of(raw))]


def test_lines_whose_ends_were_converted_are_told_as_one_stretch(tmp_path):
    made = Tampered(tmp_path)
    made.files[1] = [raw.replace(b"\n", b"\r\n") for raw in made.files[1]]

    assert made.found() == [("altered", made.names[1], 1, 17)]
    assert verify(tmp_path).faults[0].lines == 16


def test_a_compressed_file_that_is_damaged_is_told(tmp_path):
    made = Tampered(tmp_path)
    path = files_in(tmp_path)[1]
    raw = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_name(path.name + ".gz").write_bytes(raw[: len(raw) // 2])
    report = verify(tmp_path)

    assert {fault.kind for fault in report.faults} == {"unreadable", "removed"}
    assert {fault.file for fault in report.faults} == {made.names[1] + ".gz", made.names[2]}


def test_memory_is_bounded_and_copies_from_long_ago_are_still_found(tmp_path):
    made = Tampered(tmp_path)
    made.put(2, 5, made.files[0][3])

    [(kind, *place, seq)] = made.found(known_lines=8)
    assert (kind, *place, seq) == ("duplicated", *made.place(2, 5), 4)


# ------------------------------------------------------------------ crashes


def crashed(folder, cut):
    """A clerk whose last line lacks `cut` bytes."""
    clerk = Clerk(folder)
    clerk.write(3)
    path = files_in(folder)[-1]
    os.truncate(path, path.stat().st_size - cut)
    return clerk


def test_half_a_line_that_the_next_line_marks_is_told_and_is_no_fault(tmp_path):
    clerk = crashed(tmp_path, 30)
    Clerk(tmp_path, now_ms=clerk.now_ms).write(2)
    report = verify(tmp_path)

    assert report.faults == []
    assert [(one.kind, one.line, one.seq) for one in report.marked] == [("torn", 4, 4)]


def test_half_a_line_that_nothing_marks_is_a_fault(tmp_path):
    crashed(tmp_path, 30)
    assert [(kind, line) for kind, _, line, _ in told(verify(tmp_path))] == [("torn", 4)]

    made = Tampered(tmp_path / "other")
    made.put(1, 3, made.files[1][3][:40] + b"\n")
    assert made.found() == [("torn", made.names[1], 4, seq_of(made.files[1][4]))]


def test_a_mark_excuses_only_the_half_line_that_it_tells_of(tmp_path):
    clerk = crashed(tmp_path, 130)
    Clerk(tmp_path, now_ms=clerk.now_ms).write(2)
    path = files_in(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    for altered in (lines[3][:-2] + b"x\n", lines[3][:-9] + b"\n"):
        path.write_bytes(b"".join([*lines[:3], altered, *lines[4:]]))
        assert {fault.kind for fault in verify(tmp_path).faults} == {"torn", "removed"}
    path.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    assert [(kind, line) for kind, _, line, _ in told(verify(tmp_path))] == [("removed", 4)]


def test_an_audit_whose_monitor_was_killed_again_and_again_is_intact(tmp_path):
    """A process writes as fast as it can and is killed at random; the next goes on. Half lines are marked."""
    chance = random.Random(11)
    for round_ in range(25):
        told_, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                clerk = Clerk(tmp_path, now_ms=NOON + round_ * HOUR)
                clerk.write(20)
                os.write(tell, b"x")
                while True:
                    clerk.write(chance.choice([1, 50, 900]))
            finally:
                os._exit(1)
        os.close(tell)
        os.read(told_, 1)
        time.sleep(chance.uniform(0, 0.02))  # the instant of the kill is what is tried here
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told_)
    Clerk(tmp_path, now_ms=NOON + 30 * HOUR).write()
    report = verify(tmp_path)

    assert report.faults == []
    assert report.lines > 25 * 20


@pytest.mark.parametrize("seed", range(30))
def test_an_audit_cut_at_any_byte_again_and_again_is_intact_after_the_next_start(tmp_path, seed):
    """Crashes upon crashes, also while the mark of the one before was being written."""
    chance = random.Random(seed)
    now_ms = NOON
    for _ in range(6):
        clerk = Clerk(tmp_path, now_ms=now_ms)
        clerk.write(chance.choice([0, 0, 1, 2]))
        clerk.commit()
        now_ms = clerk.now_ms + chance.choice([1, 1, DAY])
        path = files_in(tmp_path)[-1] if files_in(tmp_path) else None
        if path is not None:
            last = len(path.read_bytes().splitlines(keepends=True)[-1]) if path.stat().st_size else 0
            os.truncate(path, path.stat().st_size - chance.randint(0, last))
    Clerk(tmp_path, now_ms=now_ms).write()

    assert told(verify(tmp_path)) == []


# ------------------------------------------------------------------ days, the end, and what is not there


def test_from_a_day_on_the_link_to_the_file_before_is_checked(tmp_path):
    made = Tampered(tmp_path)
    assert made.found(since="2026-11-21") == []
    assert verify(tmp_path, since="2026-11-21").first[0] == 17

    made.put(0, 15, sealed(made.files[0][15]), instead_of=1)
    assert made.found(since="2026-11-21") == [("altered", made.names[0], 16, 16)]


def test_only_the_days_that_are_asked_for_are_read(tmp_path):
    made = Tampered(tmp_path)
    made.put(2, 3, b"nonsense\n", instead_of=1)
    assert made.found(until="2026-11-21") == []
    assert made.found(since="2026-11-20", until="2026-11-20") == []
    assert len(made.found(since="2026-11-22")) == 1


def test_a_tail_that_was_cut_off_shows_only_to_who_has_noted_a_line(tmp_path):
    made = Tampered(tmp_path)
    noted = Expected(*verify(tmp_path).last)
    Clerk(tmp_path, now_ms=NOON + 3 * DAY).write(2)
    assert verify(tmp_path, expected=noted).faults == []

    files_in(tmp_path)[-1].unlink()
    made.put(2, 10, instead_of=6)
    assert made.found() == []
    assert made.found(expected=noted) == [("truncated", made.names[2], 0, 48)]


def test_a_tail_that_was_written_anew_shows_to_who_has_noted_a_line(tmp_path):
    made = Tampered(tmp_path)
    noted = Expected(*verify(tmp_path).last)
    prev = open_line(made.files[2][9])["hash"]
    for index in range(10, 16):
        made.files[2][index] = sealed(made.files[2][index], prev=prev)
        prev = open_line(made.files[2][index])["hash"]

    assert made.found() == []
    assert made.found(expected=noted) == [("rewritten", made.names[2], 0, 48)]


def test_where_there_is_nothing_it_says_so(tmp_path):
    with pytest.raises(HlposmonError, match=r"there is no folder .*; give the log folder with --log-dir"):
        verify(tmp_path)
    Tampered(tmp_path)
    with pytest.raises(HlposmonError, match="they reach from 2026-11-20 to 2026-11-22"):
        verify(tmp_path, since="2027-01-01")


def test_a_folder_with_copies_of_the_files_will_do(tmp_path):
    Tampered(tmp_path / "log")
    shutil.copytree(tmp_path / "log" / "trading", tmp_path / "copies")

    assert audit.verify(folder_of(tmp_path / "copies")).faults == []
    assert folder_of(tmp_path / "log") == tmp_path / "log" / "trading"


def test_a_file_that_may_not_be_read_is_said(tmp_path):
    Tampered(tmp_path)
    files_in(tmp_path)[1].chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(NotPermitted, match="may not be read"):
            verify(tmp_path)
        return
    pid = os.fork()
    if pid == 0:  # root reads everything: become somebody else
        try:
            for path in (tmp_path, tmp_path / "trading", *files_in(tmp_path)[::2]):
                os.chown(path, 65534, 65534)
            os.setuid(65534)
            verify(tmp_path)
        except NotPermitted:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_thirty_thousand_lines_are_read_at_a_good_pace(tmp_path):
    clerk = Clerk(tmp_path, now_ms=int(datetime(2026, 11, 20, 1, tzinfo=UTC).timestamp() * 1000))
    clerk.write(30_000, commit=False)
    clerk.commit()
    began = time.process_time()
    report = verify(tmp_path)

    assert (report.faults, report.last[0]) == ([], report.lines)
    assert time.process_time() - began < 6.0


# ------------------------------------------------------------------ lines that the monitor had to let go


def let_go(folder, monkeypatch):
    """An audit whose disk refused for so long that 31 lines could not even be kept."""
    monkeypatch.setattr(journals, "BACKLOG_LINES", 50)
    clerk = Clerk(folder)
    clerk.write(5)
    away = (folder / "trading").rename(folder / "away")
    (folder / "trading").write_text("in the way")
    clerk.write(81)
    (folder / "trading").unlink()
    away.rename(folder / "trading")
    clerk.commit()


def test_lines_that_the_monitor_had_to_let_go_are_told_and_are_no_fault(tmp_path, monkeypatch):
    let_go(tmp_path, monkeypatch)
    report = verify(tmp_path)

    assert report.faults == []
    assert [(one.kind, one.line, one.seq, one.seq_last) for one in report.marked] == [("lost", 7, 7, 37)]


def test_what_was_removed_beside_lines_that_were_let_go_is_found(tmp_path, monkeypatch):
    let_go(tmp_path, monkeypatch)
    path = files_in(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:6], *lines[8:]]))

    assert told(verify(tmp_path)) == [("removed", path.name, 7, 38)]


def test_a_pipe_under_the_name_of_an_audit_file_is_passed_over(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.write(5)
    os.mkfifo(tmp_path / "trading" / "audit-2026-12-01.jsonl")
    report = verify(tmp_path)

    assert report.faults == []
    assert report.notes == ["audit-2026-12-01.jsonl was passed over: it is no file"]
    assert Clerk(tmp_path).number == 5

"""Old files of the audit removed: only what is intact and in the history, and the audit stays intact."""

import gzip
import json
import os
import stat
from datetime import UTC, date, datetime

import pytest

from hlposmon.errors import HlposmonError
from hlposmon.journal import pruning
from hlposmon.journal import verify as audit
from tests.journal.clerk import DAY, NOON, Clerk, files_in, lines_in

TODAY = date(2026, 11, 25)


def verify(folder, **how):
    return audit.verify(folder / "trading", **how)


def prune(folder, keep_days=3, **how):
    return pruning.prune(folder / "trading", keep_days=keep_days, today=TODAY, **how)


@pytest.fixture
def clerk(tmp_path):
    """Six days, of 2026-11-20 to 25; the older ones compressed."""
    made = Clerk(tmp_path)
    for day in range(6):
        if day:
            made.now_ms += DAY
        made.write(5)
    for path in files_in(tmp_path)[:4]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert datetime.fromtimestamp(made.now_ms / 1000, UTC).date() == TODAY
    return made


def names(folder):
    return [path.name[6:16] for path in sorted((folder / "trading").glob("audit-*"))]


def test_what_is_too_old_goes_and_the_rest_is_intact(tmp_path, clerk):
    last = verify(tmp_path, until="2026-11-21").last
    result = prune(tmp_path)
    report = verify(tmp_path)

    assert result.removed == ["audit-2026-11-20.jsonl.gz", "audit-2026-11-21.jsonl.gz"]
    assert names(tmp_path) == ["2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"]
    assert (report.faults, report.first[0], (result.pruned.seq, result.pruned.hash)) == ([], 13, last)
    assert report.notes == [
        "the files begin with seq 13: what was before, up to seq 12 of 2026-11-21, was pruned on 2026-11-25"
    ]


def test_day_by_day_the_note_moves_on(tmp_path, clerk):
    for keep_days in (5, 4, 3, 2):
        prune(tmp_path, keep_days)
        assert verify(tmp_path).faults == []
    assert prune(tmp_path, 2).removed == []
    assert names(tmp_path) == ["2026-11-23", "2026-11-24", "2026-11-25"]


def test_the_newest_two_files_stay_however_old_they_are(tmp_path, clerk):
    pruning.prune(tmp_path / "trading", keep_days=2, today=date(2030, 1, 1))

    assert names(tmp_path) == ["2026-11-24", "2026-11-25"]


def test_a_monitor_goes_on_behind_what_was_pruned(tmp_path, clerk):
    clerk.journal.close()
    prune(tmp_path, 2)
    after = Clerk(tmp_path, now_ms=clerk.now_ms + 1000)
    after.write(3)

    assert (after.number, after.journal.missing) == (33, None)
    assert verify(tmp_path).faults == []


def test_one_more_file_than_was_noted_is_a_fault(tmp_path, clerk):
    prune(tmp_path)
    (tmp_path / "trading" / "audit-2026-11-22.jsonl.gz").unlink()
    [fault] = verify(tmp_path).faults

    assert (fault.kind, fault.seq) == ("removed", 18)
    assert (
        fault.message == "lines before seq 19 are missing, and pruned.json tells of those up to seq 12 only"
    )


def test_a_file_from_the_midst_is_still_missed(tmp_path, clerk):
    prune(tmp_path)
    (tmp_path / "trading" / "audit-2026-11-23.jsonl.gz").unlink()

    assert [fault.kind for fault in verify(tmp_path).faults] == ["missing_file"]


def test_a_beginning_that_is_chained_to_another_line_is_a_fault(tmp_path, clerk):
    prune(tmp_path)
    note = tmp_path / "trading" / "pruned.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"hash": "0" * 64}))
    [fault] = verify(tmp_path).faults

    assert (fault.kind, fault.line) == ("altered", 1)


@pytest.mark.parametrize("text", ["", "[" * 5000, "{}", '{"seq": true}', '{"seq": 1e400}', "\x00", "[1]"])
def test_a_note_that_cannot_be_understood_is_none(tmp_path, clerk, text):
    prune(tmp_path)
    (tmp_path / "trading" / "pruned.json").write_text(text)

    assert [fault.kind for fault in verify(tmp_path).faults] == ["removed"]


def test_what_was_tampered_with_is_not_removed(tmp_path, clerk):
    path = tmp_path / "trading" / "audit-2026-11-20.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"100.5", b"100.6", 1)))
    with pytest.raises(HlposmonError, match=r"nothing was removed: audit-2026-11-20.jsonl.gz:2: "):
        prune(tmp_path)

    assert len(names(tmp_path)) == 6
    assert not (tmp_path / "trading" / "pruned.json").exists()


def test_what_the_history_has_not_taken_yet_is_not_removed(tmp_path, clerk):
    with pytest.raises(HlposmonError, match=r"the history has come to seq 11 only"):
        prune(tmp_path, behind_seq=11)

    assert prune(tmp_path, behind_seq=12).removed


def test_a_prune_that_was_killed_in_its_midst_is_no_fault_and_is_finished_by_the_next(tmp_path, clerk):
    gone = tmp_path / "trading" / "audit-2026-11-21.jsonl.gz"
    raw = gone.read_bytes()
    prune(tmp_path)
    gone.write_bytes(raw)  # it was not removed yet

    assert verify(tmp_path).faults == []
    assert prune(tmp_path).removed == [gone.name]


def test_the_history_is_told_why_it_lacks_lines(tmp_path, clerk):
    prune(tmp_path)
    told = []
    lines = clerk.lines_behind(0, lambda *found: told.append(found))

    assert (lines[0]["seq"], lines[-1]["seq"]) == (13, 36)
    assert told == [("pruned.json", "lines up to seq 12 of 2026-11-21 were removed on purpose")]


def test_nothing_old_means_nothing_done(tmp_path):
    Clerk(tmp_path, now_ms=NOON).write(2)

    assert prune(tmp_path, 400).removed == []
    assert len(lines_in(tmp_path)) == 3


@pytest.mark.parametrize("planted", [".pruned.json.new", "pruned.json", "pruned.json.PID"])
def test_no_link_leads_the_note_to_another_file(tmp_path, clerk, planted):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    elsewhere.chmod(0o600)
    (tmp_path / "trading" / planted.replace("PID", str(os.getpid()))).symlink_to(elsewhere)
    prune(tmp_path)
    note = tmp_path / "trading/pruned.json"

    assert elsewhere.read_text() == "precious"
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert (note.is_symlink(), stat.S_IMODE(note.stat().st_mode)) == (False, 0o640)
    assert verify(tmp_path).faults == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
def test_a_note_that_root_writes_is_the_folders_owners(tmp_path, clerk):
    os.chown(tmp_path / "trading", 4321, 4322)
    prune(tmp_path)
    status = (tmp_path / "trading/pruned.json").stat()

    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (4321, 4322, 0o640)

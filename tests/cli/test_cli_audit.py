"""`audit verify`: what it prints, its exit status, and its one JSON object."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.canned_monitor import Commands
from tests.journal.clerk import DAY, NOON, Clerk, files_in, lines_in


def audit_of_two_days(folder: Path) -> Path:
    clerk = Clerk(folder)
    clerk.write(3)
    clerk.now_ms += DAY
    clerk.write(3)
    return folder


def test_an_intact_audit_is_said_with_its_last_line_and_zero(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    last = lines_in(log)[-1]
    result = hlposmon.run("audit", "verify", "--log-dir", str(log))

    assert result.stdout.splitlines() == [
        f"{log}/trading: intact: 2 files, 8 lines, seq 1 to 8",
        f"last line: 8:{last['hash']}",
    ]
    assert (result.stderr, result.exit_code) == ("", 0)


def test_each_fault_is_a_line_with_its_place_and_the_status_is_one(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    path = files_in(log)[1]
    path.write_bytes(path.read_bytes().replace(b'"quantity":"1"', b'"quantity":"9"', 1))
    result = hlposmon.run("audit", "verify", LOG_DIR=str(log))

    assert result.stdout.splitlines()[:2] == [
        "audit-2026-11-21.jsonl:2: altered: seq 6 has a hash that is not that of the bytes",
        f"{log}/trading: 1 fault: 2 files, 8 lines, seq 1 to 8",
    ]
    assert result.exit_code == 1


def test_the_status_is_that_of_the_audit_when_nobody_reads_to_the_end(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    path = files_in(log)[1]
    path.write_bytes(path.read_bytes().replace(b'"quantity":"1"', b'"quantity":"9"', 1))
    reader, writer = os.pipe()
    os.close(reader)
    verify = hlposmon.start("audit", "verify", "--log-dir", str(log), stdout=writer)
    os.close(writer)

    assert verify.wait(timeout=60) == 1
    assert verify.stderr is not None and verify.stderr.read() == ""
    verify.stderr.close()


def test_json_is_one_object(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    lines = lines_in(log)
    path = files_in(log)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    result = hlposmon.run("audit", "verify", "--json", "--log-dir", str(log))
    said = json.loads(result.stdout)

    [fault] = said.pop("faults")
    assert said == {
        "intact": False,
        "folder": f"{log}/trading",
        "files": ["audit-2026-11-20.jsonl", "audit-2026-11-21.jsonl"],
        "lines": 6,
        "first_seq": 1,
        "first_hash": lines[0]["hash"],
        "last_seq": 8,
        "last_hash": lines[-1]["hash"],
        "marked": [],
        "notes": [],
    }
    assert (fault["kind"], fault["file"], fault["line"]) == ("removed", "audit-2026-11-21.jsonl", 1)
    assert (fault["seq"], fault["seq_last"], result.exit_code) == (3, 4, 1)
    assert result.stdout.count("\n") == 1


def test_half_a_line_that_is_marked_is_told_and_is_no_fault(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    path = files_in(log)[1]
    os.truncate(path, path.stat().st_size - 200)
    Clerk(log, now_ms=10**12).write()
    result = hlposmon.run("audit", "verify", "--log-dir", str(log))

    assert ":4: marked: half written by a crash" in result.stdout.splitlines()[0]
    assert result.exit_code == 0


def test_days_can_be_chosen_and_a_noted_line_is_looked_for(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    here = ("audit", "verify", "--log-dir", str(log))
    hash_ = lines_in(log)[3]["hash"]

    assert "1 file, 4 lines, seq 5 to 8" in hlposmon.run(*here, "--from", "2026-11-21").stdout
    assert "seq 1 to 4" in hlposmon.run(*here, "--to", "2026-11-20").stdout
    assert hlposmon.run(*here, "--expect-last", f"4:{hash_}").exit_code == 0
    result = hlposmon.run(*here, "--expect-last", f"9:{hash_}")
    assert "audit-2026-11-21.jsonl: truncated: seq 9 was noted, the files end before it" in result.stdout
    assert result.exit_code == 1


def test_a_wrong_command_line_is_two(hlposmon: Commands, tmp_path: Path):
    for wrong in (
        ("--from", "yesterday"),
        ("--from", "2026-11-21", "--to", "2026-11-20"),
        ("--expect-last", "7"),
        ("--bogus",),
    ):
        result = hlposmon.run("audit", "verify", *wrong)
        assert (result.exit_code, result.stdout) == (2, "")


def test_where_there_are_no_files_it_says_where_it_looked(hlposmon: Commands, tmp_path: Path):
    result = hlposmon.run("audit", "verify", "--log-dir", str(tmp_path / "none"))

    assert f"there is no folder {tmp_path}/none/trading; give the log folder with --log-dir" in result.stderr
    assert (result.exit_code, result.stdout) == (1, "")

    (tmp_path / "none/trading").mkdir(parents=True)
    result = hlposmon.run("audit", "verify", "--log-dir", str(tmp_path / "none"))
    assert f"there are no audit files in {tmp_path}/none/trading; give" in result.stderr
    assert "--simulate" in result.stderr


def test_no_permission_is_four(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "log")
    (log / "trading").chmod(0)
    tmp_path.chmod(0o755)
    (tmp_path / "log").chmod(0o755)
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:  # root reads everything: become somebody else
                os.setuid(65534)
            os._exit(hlposmon.run("audit", "verify", "--log-dir", str(log)).exit_code)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4


def test_a_reader_that_has_had_enough_is_no_error(hlposmon: Commands, tmp_path: Path):
    process = hlposmon.start("audit", "verify", "--log-dir", str(audit_of_two_days(tmp_path / "log")))
    assert process.stdout is not None
    process.stdout.close()

    assert process.wait(timeout=120) == 0


def test_the_audit_of_simulated_runs_is_found_by_name(hlposmon: Commands, tmp_path: Path):
    log = audit_of_two_days(tmp_path / "hlposmon/simulated/log")
    result = hlposmon.run("audit", "verify", "--simulate", XDG_STATE_HOME=str(tmp_path))

    assert (result.exit_code, result.stdout.split(": ")[0]) == (0, f"{log}/trading")


def test_prune_says_what_it_removed_and_verify_says_why(hlposmon: Commands, tmp_path: Path):
    log = tmp_path / "log"
    clerk = Clerk(log, now_ms=NOON - 2000 * DAY)  # long ago, whatever day it is
    for _ in range(3):
        clerk.write(3)
        clerk.now_ms += DAY
    clerk.journal.close()
    first = files_in(log)[0]
    last = lines_in(log)[3]
    where = ("--log-dir", str(log), "--state-dir", str(tmp_path))
    result = hlposmon.run("audit", "prune", "--keep", "400", *where)

    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [f"removed {first}", f"{log}/trading: pruned up to 4:{last['hash']}"]
    note, *_ = hlposmon.run("audit", "verify", "--log-dir", str(log)).stdout.splitlines()
    assert note.startswith("note: the files begin with seq 5: what was before, up to seq 4 of 2021-")
    assert hlposmon.run("audit", "prune", "--keep", "1", "--log-dir", str(log)).exit_code == 2


@pytest.mark.parametrize("broken", [b"no database at all" * 1000, b""])
def test_prune_removes_nothing_that_a_broken_history_would_be_filled_from(
    hlposmon: Commands, tmp_path: Path, broken: bytes
):
    log = tmp_path / "log"
    clerk = Clerk(log, now_ms=NOON - 2000 * DAY)
    for _ in range(3):
        clerk.write(3)
        clerk.now_ms += DAY
    clerk.journal.close()
    (tmp_path / "history.sqlite3").write_bytes(broken)
    names = [path.name for path in files_in(log)]
    where = ("--log-dir", str(log), "--state-dir", str(tmp_path))
    result = hlposmon.run("audit", "prune", "--keep", "400", *where)

    assert result.exit_code == 1
    assert result.stderr.startswith(
        "hlposmon: nothing was removed: whether the history has taken these lines"
    )
    assert [path.name for path in files_in(log)] == names
    nowhere = ("--log-dir", str(log), "--state-dir", str(tmp_path / "nowhere"))
    assert hlposmon.run("audit", "prune", "--keep", "400", *nowhere).exit_code == 1

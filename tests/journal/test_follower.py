"""The follower: whatever becomes of the journal's files, each line is taken once, in order."""

import gzip
import os
import random

import pytest

from hlposmon.journal.follower import Diverged, Follower, Hole, Line
from hlposmon.journal.lines import FIRST_PREV, event, seal
from tests.journal.clerk import DAY, Clerk, files_in, lines_in


def all_of(follower: Follower, most: int = 1000) -> list[Line | Hole]:
    found: list[Line | Hole] = []
    while taken := follower.take(most):
        found += taken
    return found


def seqs(found: list[Line | Hole]) -> list[int]:
    assert all(isinstance(one, Line) for one in found), found
    return [one.seq for one in found if isinstance(one, Line)]


@pytest.fixture
def clerk(tmp_path):
    made = Clerk(tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def follower(clerk):
    here = Follower(clerk.folder / "trading", 0, FIRST_PREV)
    yield here
    here.close()


@pytest.mark.parametrize("seed", range(25))
def test_each_line_is_taken_once_and_in_order_whatever_rotation_does(clerk, follower, seed):
    rng = random.Random(seed)
    found: list[Line | Hole] = []
    for _ in range(60):
        match rng.randrange(6):
            case 0 | 1:
                clerk.write(rng.randint(1, 40))
            case 2:
                clerk.now_ms += DAY
            case 3:
                plain = files_in(clerk.folder)
                if plain:
                    path = rng.choice(plain)
                    path.rename(path.with_name(f"{path.name}.{rng.randrange(1 << 40)}"))
            case 4:
                names = [path for path in (clerk.folder / "trading").iterdir() if ".gz" not in path.name]
                names = [path for path in names if not path.with_name(f"{path.name}.gz").exists()]
                if names:
                    path = rng.choice(names)
                    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
                    path.unlink()
            case 5:
                found += all_of(follower, rng.randint(1, 50))
    found += all_of(follower)

    assert seqs(found) == list(range(1, clerk.journal.seq + 1))
    assert found[-1].hash == clerk.journal.hash


def test_another_follower_goes_on_behind_any_line(clerk, follower):
    for _ in range(3):
        clerk.write(200)
        clerk.now_ms += DAY
    lines = seqs(all_of(follower))
    for line in lines_in(clerk.folder)[::37]:
        other = Follower(follower.folder, line["seq"], line["hash"])
        assert seqs(all_of(other)) == lines[line["seq"] :]
        other.close()


def test_nothing_is_taken_twice_where_a_failed_write_was_cut_off_and_written_again(clerk, follower):
    clerk.write(5)
    found = all_of(follower)
    [path] = files_in(clerk.folder)
    before = path.stat().st_size
    clerk.write(5)
    whole = path.read_bytes()
    for length in range(before, len(whole), 211):
        os.truncate(path, length)
        found += all_of(follower)
        path.write_bytes(whole[: length + 300])
        found += all_of(follower)
    path.write_bytes(whole)
    found += all_of(follower)

    assert seqs(found) == list(range(1, clerk.journal.seq + 1))


def test_an_altered_line_is_a_hole(clerk, follower):
    clerk.write(9)
    [path] = files_in(clerk.folder)
    path.write_bytes(
        path.read_bytes().replace(b'"quantity":"1","price":"100.5"', b'"quantity":"1","price":"999.5"', 3)
    )
    found = all_of(follower)

    assert found[1] == Hole(2, 4)
    assert seqs([found[0], *found[2:]]) == [1, 5, 6, 7, 8, 9, 10]


def test_a_folder_that_comes_late_is_waited_for(tmp_path):
    follower = Follower(tmp_path / "trading", 0, FIRST_PREV)
    assert all_of(follower) == []
    clerk = Clerk(tmp_path)
    clerk.write(3)

    assert seqs(all_of(follower)) == [1, 2, 3, 4]
    follower.close()


def test_another_journal_is_told_at_once_and_its_lines_are_not_taken(clerk, follower):
    clerk.write(5)
    all_of(follower)
    other = Follower(follower.folder, 3, "ab" * 32)
    with pytest.raises(Diverged) as told:
        other.take(10)
    other.close()

    assert told.value.found == lines_in(clerk.folder)[2]["hash"]


def appended(path, seq: int, prev: str, count: int) -> str:
    with path.open("ab") as file:
        for number in range(seq, seq + count):
            line, prev = seal(event("start", now_ms=0, other=True), seq=number, prev=prev)
            file.write(line)
    return prev


def test_a_journal_that_lost_its_end_diverges_when_it_goes_on_otherwise(clerk, follower):
    clerk.write(9)
    all_of(follower)
    [path] = files_in(clerk.folder)
    kept = path.read_bytes().splitlines(keepends=True)[:6]
    path.write_bytes(b"".join(kept))
    assert all_of(follower) == []  # it may yet go on behind us
    appended(path, 7, lines_in(clerk.folder)[-1]["hash"], 1)

    with pytest.raises(Diverged):
        follower.take(10)


def test_a_journal_that_lost_its_files_and_goes_on_behind_our_line_is_followed(clerk, follower):
    clerk.write(9)
    all_of(follower)
    [path] = files_in(clerk.folder)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:6]))
    assert all_of(follower) == []
    appended(path.with_name("audit-2026-11-25.jsonl"), 11, clerk.journal.hash, 3)

    assert seqs(all_of(follower)) == [11, 12, 13]


def test_what_cannot_be_read_is_raised_and_then_read_from_where_it_stood(clerk, follower):
    clerk.write(5)
    all_of(follower)
    [path] = files_in(clerk.folder)
    clerk.write(5)
    path.rename(path.with_name("kept"))
    path.mkdir()
    assert seqs(follower.take(100)) == [7, 8, 9, 10, 11]  # out of the file that is open
    with pytest.raises(OSError, match="directory"):
        follower.take(100)
    path.rmdir()
    path.with_name("kept").rename(path)
    clerk.write(2)

    assert seqs(all_of(follower)) == [12, 13]

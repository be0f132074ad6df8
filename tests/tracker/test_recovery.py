"""What a book begins with: the journal's lines; where those are lost, the history's last checkpoint."""

import random

import pytest

from hlposmon.domain.views import Memory
from hlposmon.history.importer import Importer
from hlposmon.history.writer import History
from hlposmon.journal.lines import body_of, checkpoint
from hlposmon.journal.writer import Journal
from hlposmon.tracker.recovery import recover
from tests.domain.exchange import Life
from tests.domain.language import ACCOUNT
from tests.history.archivist import ADDRESS, BTC, NOON, Clerk

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _nothing_is_left_open():
    yield
    Clerk.ends_all()


def journal_at(folder) -> Journal:
    return Journal(folder / "log", fsync="off", checkpoint=lambda: checkpoint([], {}, {}))


def files(folder):
    return sorted((folder / "log" / "trading").glob("audit-*.jsonl"))


def spoil(path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


def test_a_whole_journal_is_enough(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.start()
    clerk.write(5)
    clerk.close()
    beginning = recover(journal_at(tmp_path), tmp_path / "state", NOON)

    assert beginning.found.memories == {("main", BTC): clerk.last}
    assert beginning.history_seq == clerk.journal.seq


def test_without_a_history_there_is_the_journal_alone(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.start()
    clerk.journals(5)
    clerk.journal.close()
    beginning = recover(journal_at(tmp_path), tmp_path / "nowhere", NOON)

    assert beginning.found.memories == {("main", BTC): clerk.last}
    assert beginning.history_seq == 0


@pytest.mark.parametrize("seed", range(20))
def test_for_any_life_a_journal_without_a_sound_checkpoint_and_a_history_say_what_the_whole_journal_said(
    tmp_path, seed
):
    rng, book, last = random.Random(seed), {}, [NOON]

    def memory():
        return checkpoint(list(book.values()), {ACCOUNT: {"": 1}}, {ACCOUNT: ADDRESS}, mode="live")

    def as_journalled() -> dict[str, Memory]:
        found = recover(journal_at(tmp_path), tmp_path / "nowhere", NOON).found
        return {key: one for (_, key), one in found.memories.items()}

    journal = Journal(tmp_path / "log", fsync="off", checkpoint=memory)
    journal.recover(NOON)
    for number, change in enumerate(Life(seed, changes=True).run().said):
        body = body_of(change, now_ms=NOON)
        if body is None:
            continue
        journal.append(body, NOON + number)
        last[0] = NOON + number
        if rng.random() < 0.05:
            journal.commit(number)
            book.update(as_journalled())
            journal.append_checkpoint(NOON + number)
    journal.close()
    importer = Importer(journal.folder, History(tmp_path / "state", fsync="off"))
    while importer.step(1.0, NOON):
        pass
    importer.close()
    whole = recover(journal_at(tmp_path), tmp_path / "nowhere", NOON).found
    for path in files(tmp_path):
        spoil(path, b'"type":"checkpoint"', b'"type":"checkpoynt"')

    found = recover(journal_at(tmp_path), tmp_path / "state", NOON).found
    assert found.memories == whole.memories
    assert (found.addresses, found.base_ms, found.mode) == (whole.addresses, whole.base_ms, whole.mode)
    assert {name: keys for name, keys in found.unsure.items() if keys} == {
        name: keys for name, keys in whole.unsure.items() if keys
    }


def test_without_logs_the_book_is_that_of_the_last_checkpoint_and_the_chain_goes_on(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.start()
    clerk.write(5)
    clerk.journal.append_checkpoint(clerk.now_ms)
    then = clerk.last
    clerk.write(5)
    clerk.close()
    for path in files(tmp_path):
        path.unlink()
    journal = journal_at(tmp_path)
    beginning = recover(journal, tmp_path / "state", NOON)

    assert beginning.found.memories == {("main", BTC): then}
    assert (journal.seq, journal.hash) == (clerk.journal.seq, clerk.journal.hash)
    assert journal.missing == (1, clerk.journal.seq)


def test_an_end_that_was_lost_is_not_taken_for_lost_logs(tmp_path):
    clerk = Clerk(tmp_path)
    clerk.start()
    for _ in range(10):
        clerk.write(1)
    clerk.close()
    [path] = files(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-4]))
    journal = journal_at(tmp_path)
    beginning = recover(journal, tmp_path / "state", NOON)

    assert [one.position.size for one in beginning.found.memories.values()] == [6]
    assert journal.seq == clerk.journal.seq - 4
    assert journal.missing is None


def test_a_history_of_another_journal_is_not_believed(tmp_path):
    clerk = Clerk(tmp_path / "one")
    clerk.start()
    for _ in range(10):
        clerk.write(1)
    clerk.close()
    other = Clerk(tmp_path / "other", now_ms=NOON - 5)
    other.journals(3)
    other.journal.close()
    journal = Journal(tmp_path / "other" / "log", fsync="off", checkpoint=dict)
    beginning = recover(journal, tmp_path / "one" / "state", NOON)

    assert [one.position.size for one in beginning.found.memories.values()] == [3]
    assert journal.seq == other.journal.seq


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, None])
def test_a_history_that_cannot_be_read_takes_no_part(tmp_path, content):
    clerk = Clerk(tmp_path)
    clerk.journals(5)
    clerk.journal.close()
    path = tmp_path / "state" / "history.sqlite3"
    if content is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir()
        path.write_bytes(content)
    beginning = recover(journal_at(tmp_path), tmp_path / "state", NOON)

    assert beginning.found.memories == {("main", BTC): clerk.last}
    assert beginning.history_seq == 0

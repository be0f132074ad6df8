"""The history: each line once, whatever dies, fills up or breaks; and it restarts what the journal does."""

import contextlib
import gc
import gzip
import itertools
import json
import os
import random
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from hlposmon.client.history import History as Reader
from hlposmon.domain.changes import Adopted, Drift, Filled, Funded, Gap, Healed, Reason
from hlposmon.domain.payments import Payments
from hlposmon.domain.position import Effect, Position
from hlposmon.domain.reports import Funding, Side, StatedPosition, Statement
from hlposmon.domain.views import Memory
from hlposmon.history import transaction as history_rows
from hlposmon.history import writer as histories
from hlposmon.history.file import Keeper, connect
from hlposmon.history.rows import memory_of
from hlposmon.history.schema import APPLICATION_ID, STEPS, VERSION
from hlposmon.history.writer import History
from hlposmon.journal import writer as journals
from hlposmon.journal.lines import FIRST_PREV, Recovered, body_of, event, open_line
from hlposmon.journal.writer import Journal
from hlposmon.tracker.archive import Archive
from tests.clock import awake_s
from tests.domain.exchange import Life
from tests.domain.language import ACCOUNT
from tests.history.archivist import ADDRESS, BTC, NOON, Clerk, fill
from tests.journal.clerk import lines_in as lines_of_audit

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    while Clerk.made:
        Clerk.made.pop().history._shut()


def tables(folder):
    """A connection to look at the tables with, beside the writer."""
    db = sqlite3.connect(f"file:{folder}/state/history.sqlite3?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    return db


def rows(folder, sql):
    with contextlib.closing(tables(folder)) as db:
        return [dict(row) for row in db.execute(sql)]


def sizes(folder):
    with Reader.open(folder / "state" / "history.sqlite3") as reader:
        return [int(row.position.size) for row in reader.fills()]


def lines_in(folder):
    found = []
    for path in sorted((folder / "log" / "trading").glob("audit-*.jsonl")):
        found += [open_line(raw) for raw in path.read_bytes().splitlines(keepends=True)]
    return found


def state_of(found: Recovered):
    """What a restart takes up; an account without doubts is the same as none."""
    unsure = {name: keys for name, keys in found.unsure.items() if keys}
    return (found.seq, found.prev, found.mode, found.addresses, found.base_ms, found.memories, unsure)


# ------------------------------------------------------------------ lines and rows


def started(tmp_path) -> Clerk:
    clerk = Clerk(tmp_path)
    clerk.start()
    return clerk


def says(clerk: Clerk, *changes):
    for change in changes:
        body = body_of(change, now_ms=clerk.now_ms)
        assert body is not None
        clerk.journal.append(body, clerk.now_ms)
    clerk.commit()


def test_a_fill_is_a_row_with_the_position_after_it(tmp_path):
    clerk = started(tmp_path)
    clerk.write(3)
    with Reader.open(clerk.history.path) as reader:
        assert reader.seq == clerk.journal.seq
        *_, row = reader.fills()

    line = lines_in(tmp_path)[-1]
    assert (row.seq, row.time_ms, row.heard_ms) == (line["seq"], NOON + 3, NOON + 8)
    assert (row.account, row.address, row.mode, row.key) == ("main", ADDRESS, "live", BTC)
    assert (row.side, row.quantity, row.price, row.fee) == ("buy", 1, Decimal("100.5"), Decimal("0.1"))
    assert (row.tid, row.fill_id, row.order_id, row.start_position) == (3, "3", 3, 2)
    assert (row.direction, row.effect, row.late, row.crossed) == ("Open Long", "added", False, False)
    assert row.hash_of_transaction == line["hash_of_transaction"] == "0x" + f"{3:064x}"
    assert (row.position.size, row.position.entry_price, row.position.fills) == (3, 100, 3)


@pytest.mark.parametrize(
    "text", ["", "0x" + "0" * 64, "0x" + "AB" * 32, "0x" + "ab" * 32, "0xabc", "0x00", "nonsense"]
)
def test_a_transactions_hash_comes_back_as_it_was(tmp_path, text):
    clerk = started(tmp_path)
    says(clerk, Filled(fill(1, time_ms=NOON, hash=text), Effect.OPENED, Position(Decimal(1), Decimal(1))))

    with Reader.open(clerk.history.path) as reader:
        assert [row.hash_of_transaction for row in reader.fills()] == [text]


def test_a_fill_without_a_trade_id_or_an_effect_is_told_as_such(tmp_path):
    clerk = started(tmp_path)
    made = fill(1, time_ms=NOON, trade_id=None, side=Side.SELL, liquidation="liquidated")
    says(clerk, Filled(made, None, Position(Decimal(-1), Decimal(-1)), late=True))

    with Reader.open(clerk.history.path) as reader:
        [row] = reader.fills()
    assert (row.tid, row.fill_id, row.effect, row.late) == (None, f"1-{NOON}", None, True)
    assert (row.side, row.liquidation) == ("sell", "liquidated")


def test_endless_money_has_ten_decimals_and_what_a_restart_needs_has_all(tmp_path):
    clerk = started(tmp_path)
    third = Position(Decimal(3), Decimal(1) / 3, realized=Decimal(2) / 3, fees=Decimal("0.1"))
    says(clerk, Filled(fill(3, time_ms=NOON), Effect.ADDED, third))

    with Reader.open(clerk.history.path) as reader:
        [row] = reader.fills()
    assert (str(row.position.realized_pnl), str(row.position.fees)) == ("0.6666666667", "0.1")
    assert clerk.history.recovered().memories["main", BTC].position == third


def test_every_other_kind_of_line_has_its_row(tmp_path):
    clerk = started(tmp_path)
    one, two = Position(Decimal(1), Decimal(100)), Position(Decimal(2), Decimal(210))
    paid = Funding("main", BTC, NOON + 1, Decimal("-0.25"), Decimal(1), Decimal("0.0001"))
    says(
        clerk,
        Adopted("main", BTC, Reason.START, Position(), one, NOON),
        Funded(paid, replace(one, funding=Decimal("-0.25"))),
        Gap("main", BTC, Decimal(1), Decimal(3), NOON, NOON + 5),
        Healed("main", BTC, 2, NOON),
        Gap("main", BTC, Decimal(1), Decimal(4), NOON + 6, NOON + 7),
        Drift("main", BTC, Decimal(1), Decimal(2), "no fill explains it", NOON + 9),
        Adopted("main", BTC, Reason.DRIFT, one, two, NOON + 9),
    )
    for live, since_ms in ((False, NOON + 10), (True, None)):
        facts = {"live": live, "since_ms": since_ms, "reason": "lost"}
        clerk.journal.append(event("feed", now_ms=NOON, account="main", **facts), NOON)
    clerk.commit()

    [funding] = rows(tmp_path, "SELECT * FROM funding")
    assert (funding["amount"], funding["position_funding"], funding["time_ms"]) == (
        "-0.25",
        "-0.25",
        NOON + 1,
    )
    gaps = rows(tmp_path, "SELECT * FROM gaps")
    assert [(gap["found"], gap["ended_by"], gap["missing"]) for gap in gaps] == [
        ("3", "fills", 2),
        ("4", "drift", None),
    ]
    [drift] = rows(tmp_path, "SELECT * FROM drifts")
    assert (drift["book_size"], drift["venue_size"], drift["cause"]) == ("1", "2", "no fill explains it")
    changes = rows(tmp_path, "SELECT * FROM adoptions")
    assert [(row["event"], row["before_size"], row["position_size"]) for row in changes] == [
        ("start", "0", "1"),
        ("drift", "1", "2"),
    ]
    [outage] = rows(tmp_path, "SELECT * FROM outages")
    assert (outage["since_ms"], outage["reason"], outage["ended_ms"]) == (NOON + 10, "lost", NOON)


def test_a_gap_that_is_open_at_a_start_is_ended_by_it(tmp_path):
    clerk = started(tmp_path)
    says(clerk, Gap("main", BTC, Decimal(1), Decimal(3), NOON, NOON + 5))
    clerk.close()
    started(tmp_path)

    assert [gap["ended_by"] for gap in rows(tmp_path, "SELECT * FROM gaps")] == ["restart"]


def test_a_line_that_is_not_understood_is_counted_and_holds_nothing_up(tmp_path):
    clerk = started(tmp_path)
    clerk.journal.append(event("fill", now_ms=NOON, account="main", key=BTC), NOON)
    says(clerk, Filled(fill(1, time_ms=NOON, order_id=1 << 70), Effect.ADDED, Position(Decimal(1))))
    clerk.number = 1
    clerk.write()

    assert (clerk.history.skipped, clerk.history.failure) == (2, None)
    assert sizes(tmp_path) == [2]


def test_a_name_that_stands_for_another_address_or_mode_is_another_account(tmp_path):
    clerk = started(tmp_path)
    clerk.write()
    clerk.mode, clerk.last = "simulated", None
    clerk.start()
    clerk.write()

    assert rows(tmp_path, "SELECT name, address, mode FROM accounts") == [
        {"name": "main", "address": ADDRESS, "mode": mode} for mode in ("live", "simulated")
    ]
    with Reader.open(clerk.history.path) as reader:
        assert [row.mode for row in reader.fills()] == ["live", "simulated"]
    assert len(rows(tmp_path, "SELECT * FROM holdings")) == 1


# ------------------------------------------------------------------ statements


def statement(size: str, at_ms: int) -> Statement:
    stated = (StatedPosition(BTC, Decimal(size), None),) if Decimal(size) else ()
    return Statement("main", "hyperliquid", at_ms, 1.0, stated)


def test_a_statement_that_was_asked_for_is_noted_and_a_pushed_one_when_it_says_something_new(tmp_path):
    clerk = started(tmp_path)
    note = clerk.history.statement
    note(statement("1", NOON), source="rest", differing=[], heard_ms=NOON + 1)
    note(statement("1.0", NOON + 1), source="push", differing=[], heard_ms=NOON + 2)
    note(statement("2", NOON + 2), source="push", differing=[BTC], heard_ms=NOON + 3)
    note(statement("2", NOON + 3), source="push", differing=[BTC], heard_ms=NOON + 4)
    note(statement("2", NOON + 4), source="rest", differing=[BTC], heard_ms=NOON + 5)
    clerk.commit()
    kept = rows(tmp_path, "SELECT * FROM statements")

    assert [(row["source"], row["statement_ms"] - NOON, row["agreed"]) for row in kept] == [
        ("rest", 0, 1),
        ("push", 2, 0),
        ("rest", 4, 0),
    ]
    assert kept[0]["digest"] != kept[1]["digest"] == kept[2]["digest"]
    assert [json.loads(row["differing"] or "[]") for row in kept] == [[], [BTC], [BTC]]


def test_statements_older_than_thirty_days_go(tmp_path):
    clerk = started(tmp_path)
    for days in (0, 29, 31):
        clerk.now_ms = NOON + days * DAY
        at_ms = clerk.now_ms
        clerk.history.statement(statement("1", at_ms), source="rest", differing=[], heard_ms=at_ms)
        clerk.commit()

    kept = rows(tmp_path, "SELECT statement_ms FROM statements")
    assert [(row["statement_ms"] - NOON) // DAY for row in kept] == [29, 31]


# ------------------------------------------------------------------ restarts


def test_a_restart_from_the_history_is_one_from_the_journal(tmp_path):
    clerk = started(tmp_path)
    clerk.write(20)
    clerk.close()
    history = History(clerk.state, fsync="off")
    assert history.open(1.0, NOON)
    journal = Journal(clerk.log, fsync="off", checkpoint=dict)

    assert state_of(history.recovered()) == state_of(journal.recover(NOON))
    assert history.recovered().memories == {("main", BTC): clerk.last}


@pytest.mark.parametrize("seed", range(40))
def test_for_any_life_a_restart_from_the_history_is_one_from_the_journal(tmp_path, seed):
    life = Life(seed, changes=True).run()
    rng = random.Random(seed)
    history = History(tmp_path / "state", fsync="off")
    book: dict[str, Memory] = {}

    def memory():
        from hlposmon.journal.lines import checkpoint

        return checkpoint(list(book.values()), {ACCOUNT: 1}, {ACCOUNT: ADDRESS}, mode="live")

    journal = Journal(tmp_path / "log", fsync="off", checkpoint=memory, sealed=history.take)
    history.open(1.0, NOON)
    journal.recover(NOON)
    for number, change in enumerate(life.said):
        body = body_of(change, now_ms=NOON)
        if body is None:
            continue
        journal.append(body, NOON + number)
        if rng.random() < 0.05:
            book.update(_memories(tmp_path, journal, number))
            journal.append_checkpoint(NOON + number)
        if rng.random() < 0.5:
            journal.commit(number)
            history.commit(number, NOON, written_seq=journal.written_seq)
    journal.close()
    history.commit(1e9, NOON, written_seq=journal.written_seq)
    history.close()

    again = History(tmp_path / "state", fsync="off")
    again.open(1.0, NOON)
    found = Journal(tmp_path / "log", fsync="off", checkpoint=dict).recover(NOON)
    assert state_of(again.recovered()) == state_of(found)
    told = [change.fill for change in life.said if isinstance(change, Filled)]
    with Reader.open(again.path) as reader:
        assert sum(1 for _ in reader.fills()) + again.repeated == len(told)


def _memories(tmp_path, journal, number):
    """The book as the journal has it: what a checkpoint of that moment holds."""
    journal.commit(number)
    found = Journal(tmp_path / "log", fsync="off", checkpoint=dict).recover(NOON)
    return {key: memory for (_, key), memory in found.memories.items()}


def test_a_history_that_is_behind_is_brought_the_rest(tmp_path):
    clerk = started(tmp_path)
    clerk.write(5)
    clerk.close()
    alone = Clerk(tmp_path)
    alone.journal._tail.sealed = None  # the process dies between the journal and the history
    alone.write(2_000)
    alone.journal.close()
    again = Clerk(tmp_path)

    assert again.found.memories == {("main", BTC): alone.last}
    assert again.history.seq == again.journal.seq
    assert sizes(tmp_path) == list(range(1, 2_006))
    assert state_of(again.history.recovered()) == state_of(again.found)


def test_a_history_is_filled_from_all_days_of_an_older_journal(tmp_path):
    clerk = started(tmp_path)
    for _ in range(4):
        clerk.write(3)
        clerk.now_ms += DAY
    clerk.close()
    for path in clerk.state.iterdir():
        path.unlink()
    oldest = sorted((clerk.log / "trading").iterdir())[0]
    oldest.with_suffix(".jsonl.gz").write_bytes(gzip.compress(oldest.read_bytes()))
    oldest.unlink()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)

    assert sizes(tmp_path) == list(range(1, 13))
    assert state_of(again.history.recovered()) == state_of(again.found)


def days(clerk: Clerk, count: int, each: int = 3):
    """The files of so many days, each with a few fills; the history is gone."""
    for _ in range(count):
        clerk.write(each)
        clerk.now_ms += DAY
    clerk.close()
    for path in clerk.state.iterdir():
        path.unlink()
    return sorted((clerk.log / "trading").iterdir())


def cut_short(raw):
    return raw[: len(raw) * 2 // 3]


def overwritten(raw):
    return raw[:40] + bytes(len(raw) - 40)


def no_gzip(raw):
    return b"not gzip at all" * 10


@pytest.mark.parametrize("damage", [cut_short, overwritten, no_gzip])
def test_a_damaged_old_file_is_passed_over_and_what_is_missing_is_said(tmp_path, damage, caplog):
    files = days(clerk := started(tmp_path), 4)
    packed = files[1].with_suffix(".jsonl.gz")
    packed.write_bytes(damage(gzip.compress(files[1].read_bytes())))
    files[1].unlink()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.start()

    found = sizes(tmp_path)
    assert set(range(1, 4)) | set(range(7, 13)) <= set(found) < set(range(1, 13))
    [hole] = [line for line in lines_in(tmp_path) if line["type"] == "history_hole"]
    assert hole["files"] == [packed.name]
    assert hole["reason"]
    assert (hole["last"], hole["count"]) == (10, hole["last"] - hole["first"] + 1)
    assert "audit lines are missing: the history lacks them" in caplog.text
    again.close()
    Clerk(tmp_path, now_ms=again.now_ms).start()
    assert [line["type"] for line in lines_in(tmp_path)].count("history_hole") == 1


def test_a_file_that_is_missing_when_the_history_is_filled_is_said(tmp_path):
    files = days(clerk := started(tmp_path), 4)
    files[1].unlink()
    Clerk(tmp_path, now_ms=clerk.now_ms).start()

    assert sizes(tmp_path) == [1, 2, 3, *range(7, 13)]
    [hole] = [line for line in lines_in(tmp_path) if line["type"] == "history_hole"]
    assert (hole["first"], hole["last"], hole["count"], hole["files"]) == (7, 10, 4, [])


def test_holes_without_end_are_told_in_a_few_lines(tmp_path):
    [path] = days(clerk := started(tmp_path), 1, each=100)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [*lines[:-1:2], lines[-1]]
    path.write_bytes(b"".join(kept))
    Clerk(tmp_path, now_ms=clerk.now_ms).start()

    holes = [line for line in lines_in(tmp_path) if line["type"] == "history_hole"]
    assert len(holes) == 21
    assert sum(hole["count"] for hole in holes) == len(lines) - len(kept)


@pytest.mark.parametrize("gone", ["folder", "newest file"])
def test_a_journal_whose_files_are_gone_goes_on_behind_the_history(tmp_path, gone):
    clerk = started(tmp_path)
    clerk.write(5)
    clerk.now_ms += DAY
    clerk.write(5)
    clerk.close()
    files = sorted((clerk.log / "trading").iterdir())
    for path in files if gone == "folder" else files[1:]:
        path.unlink()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    assert again.found.memories == {("main", BTC): clerk.last}
    again.start()
    again.write(2)
    again.commit()
    lines = lines_in(tmp_path)
    first_new = next(line for line in lines if line["seq"] > clerk.journal.seq)
    [rejoined] = [line for line in lines if line["type"] == "rejoined"]

    assert first_new["prev"] == clerk.journal.hash
    assert first_new["type"] in ("checkpoint", "start")
    assert (rejoined["first"], rejoined["last"]) == (1 if gone == "folder" else 9, clerk.journal.seq)
    assert sizes(tmp_path) == list(range(1, 13))
    again.close()
    assert Clerk(tmp_path, now_ms=again.now_ms).found.memories == {("main", BTC): again.last}


@pytest.mark.parametrize("lines", [1, 3, 7])
def test_an_end_that_the_journal_lost_is_forgotten_by_the_history_and_told_again_once(tmp_path, lines):
    clerk = started(tmp_path)
    clerk.write(10)
    clerk.close()
    [path] = (clerk.log / "trading").iterdir()
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-lines]) + whole[-lines][:30])  # what a power cut leaves
    again = Clerk(tmp_path)
    assert again.number == 10 - lines
    again.start()
    again.write(lines)  # the exchange lists them still
    found = lines_of_audit(again.log)  # asserts that they chain

    assert [int(line["position"]["size"]) for line in found if line["type"] == "fill"] == list(range(1, 11))
    assert sizes(tmp_path) == list(range(1, 11))
    assert [line["type"] for line in found].count("end_lost") == 1
    again.close()
    assert Clerk(tmp_path).found.memories == {("main", BTC): again.last}


@pytest.mark.parametrize("half", [0, 40])
def test_lines_that_the_journal_could_not_write_survive_a_crash(tmp_path, half):
    clerk = started(tmp_path)
    clerk.write(5)
    clerk.journal._file.close()
    trading = clerk.log / "trading"
    trading.rename(tmp_path / "kept")
    trading.write_text("in the way")
    clerk.write(7)
    assert clerk.journal.failure is not None
    assert clerk.history.failure is None
    told = clerk.history.unwritten()
    assert [one.seq for one in told] == list(range(clerk.journal.seq - 6, clerk.journal.seq + 1))
    del clerk  # it is killed here: nothing of it is closed
    trading.unlink()
    (tmp_path / "kept").rename(trading)
    if half:  # it had begun to write the first of them
        [path] = trading.iterdir()
        with path.open("ab") as file:
            file.write(told[0].line[:half])
    again = Clerk(tmp_path)
    assert again.number == 12
    again.start()

    lines = lines_in(tmp_path)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["prev"] == before["hash"] for before, line in itertools.pairwise(lines))
    assert [int(line["position"]["size"]) for line in lines if line["type"] == "fill"] == list(range(1, 13))
    assert "rejoined" not in [line["type"] for line in lines]
    again.commit()
    assert again.history.unwritten() == []
    assert sizes(tmp_path) == list(range(1, 13))


def test_lines_are_let_go_of_when_the_journal_has_written_them(tmp_path):
    clerk = started(tmp_path)
    trading = clerk.log / "trading"
    clerk.journal._file.close()
    trading.rename(tmp_path / "kept")
    trading.write_text("in the way")
    clerk.write(7)
    trading.unlink()
    (tmp_path / "kept").rename(trading)
    clerk.commit()

    assert clerk.journal.failure is None
    assert clerk.history.unwritten() == []
    assert len(lines_in(tmp_path)) == clerk.journal.seq


@contextlib.contextmanager
def no_log_folder(clerk, tmp_path):
    """The log folder cannot be written."""
    trading = clerk.log / "trading"
    clerk.journal._file.close()
    trading.rename(tmp_path / "kept")
    trading.write_text("in the way")
    yield
    trading.unlink()
    (tmp_path / "kept").rename(trading)


def test_lines_for_which_the_journal_had_no_room_survive_a_crash_in_the_history(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "BACKLOG_LINES", 10)
    clerk = started(tmp_path)
    with no_log_folder(clerk, tmp_path):
        for _ in range(10):
            clerk.write(4)
        assert clerk.journal.lost == 30
        assert len(clerk.history.unwritten()) == 40
        clerk.history._shut()  # it is killed here
    again = Clerk(tmp_path)
    again.start()

    lines = lines_in(tmp_path)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert [int(line["position"]["size"]) for line in lines if line["type"] == "fill"] == list(range(1, 41))
    again.commit()
    assert again.history.unwritten() == []


def test_lines_that_the_journal_lost_are_said_to_be_in_the_history_and_let_go_of_then(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "BACKLOG_LINES", 10)
    clerk = started(tmp_path)
    with no_log_folder(clerk, tmp_path):
        for _ in range(10):
            clerk.write(4)
    clerk.commit()

    [lost] = [line for line in lines_in(tmp_path) if line["type"] == "lost"]
    assert (lost["count"], lost["in_history"]) == (30, 30)
    clerk.commit()
    assert clerk.history.unwritten() == []
    assert sizes(tmp_path) == list(range(1, 41))


def test_what_the_history_keeps_for_the_journal_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(history_rows, "UNWRITTEN_LINES", 20)
    clerk = started(tmp_path)
    with no_log_folder(clerk, tmp_path):
        for _ in range(10):
            clerk.write(4)
        kept = [one.seq for one in clerk.history.unwritten()]

    assert kept == list(range(clerk.journal.seq - 19, clerk.journal.seq + 1))


def test_another_journal_is_said_and_no_fill_is_doubled(tmp_path, caplog):
    one, other = tmp_path / "one", tmp_path / "other"
    clerk = started(one)
    clerk.write(5)
    clerk.close()
    second = Clerk(other, now_ms=NOON)
    second.write(4)  # without a start line: its hashes are others
    second.write(20)
    second.close()
    (one / "log").rename(tmp_path / "away")
    (other / "log").rename(one / "log")
    again = Clerk(one)
    again.start()
    again.commit()

    assert again.found.memories == {("main", BTC): second.last}
    assert "the history was written from another journal" in caplog.text
    assert "other_journal" in [line["type"] for line in lines_in(one)]
    assert len(sizes(one)) == len(set(sizes(one)))
    assert max(sizes(one)) == 24


# ------------------------------------------------------------------ kill -9

WRITER = """
import os, sys
from pathlib import Path
from tests.history.archivist import Clerk
clerk = Clerk(Path(sys.argv[1]))
clerk.start()
while True:
    clerk.write(int(sys.argv[2]))
    os.write(1, clerk.number.to_bytes(8, "big"))
"""


@pytest.mark.parametrize("seed", [3, 4])
def test_killed_at_any_instant_each_fill_is_there_once(tmp_path, seed):
    """A process writes both as fast as it can and tells after each commit; it is killed at random."""
    rng = random.Random(seed)
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(rng.choice((1, 3, 200)))],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        told = process.stdout.read(8)
        time.sleep(rng.uniform(0, 0.1))  # the instant of the kill is what is tried here
        process.kill()
        told += process.stdout.read()
        process.wait()
        process.stdout.close()
        again = Clerk(tmp_path)
        assert again.number >= int.from_bytes(told[: len(told) // 8 * 8][-8:], "big")
        again.start()
        again.follow()  # rows may be late while the log is moved into the file
        assert state_of(again.history.recovered())[5] == {("main", BTC): again.last}
        again.close()
        assert sizes(tmp_path) == list(range(1, again.number + 1))
        assert again.history.repeated == 0


# ------------------------------------------------------------------ disks that refuse


@contextlib.contextmanager
def full_disk(folder):
    """Nothing may grow by more than a little: a limit on the size of files stands for a full disk."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_said_and_all_is_written_when_there_is_room(tmp_path):
    clerk = started(tmp_path)
    clerk.write(30)
    with full_disk(tmp_path):
        for _ in range(30):
            clerk.write(1)
        assert clerk.history.failure is not None
        assert str(clerk.history.path) in clerk.history.failure
        assert clerk.journal.failure is not None
        assert clerk.history.seq < clerk.journal.seq

    clerk.follow()
    assert (clerk.history.failure, clerk.journal.failure) == (None, None)
    assert sizes(tmp_path) == list(range(1, 61))
    assert [line["seq"] for line in lines_in(tmp_path)] == list(range(1, clerk.journal.seq + 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_file_system_without_room_is_said_and_all_is_written_when_there_is_some(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        clerk = started(small)
        clerk.write(10)
        with (small / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 512)
        for _ in range(100):
            clerk.write(1)
        assert "full" in (clerk.history.failure or "")
        (small / "ballast").unlink()
        clerk.follow()
        clerk.close()
        assert sizes(small) == list(range(1, 111))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.parametrize("hold", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_another_programs_transaction_holds_nothing_up_and_is_said_when_it_lasts(tmp_path, hold):
    clerk = started(tmp_path)
    clerk.write(3)
    with contextlib.closing(sqlite3.connect(clerk.history.path, isolation_level=None)) as other:
        other.execute(hold)
        began = awake_s()
        for _ in range(3):  # two seconds pass between them by the clerk's clock
            clerk.write(1)
        assert awake_s() - began < 1.5  # each waits a moment, and not a second
        assert clerk.history.failure is None
        assert (clerk.journal.failure, clerk.journal.backlog) == (None, 0)
        clerk.write(1)
        assert "another program holds it" in (clerk.history.failure or "")
        assert str(clerk.history.path) in (clerk.history.failure or "")
        other.execute("ROLLBACK")

    clerk.follow()
    assert clerk.history.failure is None
    assert sizes(tmp_path) == list(range(1, 8))


def test_a_folder_that_cannot_be_used_is_said_and_mended(tmp_path):
    (tmp_path / "state").write_text("in the way")
    clerk = started(tmp_path)
    clerk.write(5)
    assert clerk.history.failure is not None
    (tmp_path / "state").unlink()
    clerk.follow()

    assert clerk.history.failure is None
    assert sizes(tmp_path) == [1, 2, 3, 4, 5]


def test_a_file_that_may_only_be_read_is_said(tmp_path):
    tmp_path.chmod(0o755)
    clerk = started(tmp_path)
    clerk.write(2)
    clerk.close()
    for path in (clerk.history.path, clerk.state):
        path.chmod(0o555)
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setuid(65534)
            history = History(clerk.state, fsync="off")
            history.commit(1.0, NOON, written_seq=0)
            history.statement(statement("1", NOON), source="rest", differing=[], heard_ms=NOON)
            history.commit(3.0, NOON, written_seq=0)
            os.write(tell, (history.failure or "no failure").encode())
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(pid, 0)
    said = os.read(told, 4096).decode()
    os.close(told)
    clerk.state.chmod(0o755)

    assert str(clerk.history.path) in said


# ------------------------------------------------------------------ broken files


def garbage(path):
    path.write_bytes(b"\0garbage" * 4096)


def flipped(path):
    raw = bytearray(path.read_bytes())
    for at in range(4096, len(raw), 97):
        raw[at] ^= 0xFF
    path.write_bytes(raw)


def truncated(path):
    os.truncate(path, path.stat().st_size // 2 + 77)


def stump(path):
    os.truncate(path, 60)


def a_directory(path):
    path.unlink()
    path.mkdir()
    (path / "precious").write_text("kept")


def anothers(path):
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE precious (a)")


def tableless(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP VIEW fills")
        db.execute("DROP TABLE fill")


@pytest.mark.parametrize("damage", [garbage, flipped, truncated, stump, a_directory, anothers])
def test_a_broken_file_is_moved_aside_and_a_new_one_filled_from_the_journal(tmp_path, damage, caplog):
    clerk = started(tmp_path)
    clerk.write(300)
    clerk.now_ms += DAY
    clerk.write(20)
    clerk.close()
    damage(clerk.history.path)
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    assert again.found.memories == {("main", BTC): clerk.last}
    again.start()
    again.follow()

    assert sizes(tmp_path) == list(range(1, 321))
    [aside] = [path for path in clerk.state.iterdir() if ".corrupt-" in path.name]
    [rebuilt] = [line for line in lines_in(tmp_path) if line["type"] == "history_rebuilt"]
    assert rebuilt["kept_as"] == aside.name
    assert "the history is begun anew" in caplog.text
    assert state_of(again.history.recovered())[5] == {("main", BTC): again.last}


def test_an_empty_file_is_begun_anew_and_filled(tmp_path):
    clerk = started(tmp_path)
    clerk.write(30)
    clerk.close()
    os.truncate(clerk.history.path, 0)
    Clerk(tmp_path)

    assert sizes(tmp_path) == list(range(1, 31))


@pytest.mark.parametrize("damage", [garbage, tableless])
def test_a_file_that_breaks_while_it_is_used_is_moved_aside_and_filled_anew(tmp_path, damage):
    clerk = started(tmp_path)
    clerk.write(300)
    clerk.history._keeper.stop(within_s=5)
    with contextlib.closing(sqlite3.connect(clerk.history.path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(clerk.history.path)
    for _ in range(300):
        clerk.write(1)
    clerk.follow()

    assert sizes(tmp_path) == list(range(1, 601))
    assert len([path for path in clerk.state.iterdir() if path.name.endswith("Z")]) == 1
    clerk.commit()
    assert "history_rebuilt" in [line["type"] for line in lines_in(tmp_path)]


def test_a_file_that_is_taken_away_is_made_anew_and_filled(tmp_path):
    clerk = started(tmp_path)
    clerk.write(30)
    for path in clerk.state.iterdir():
        path.unlink()
    clerk.write(3)
    clerk.follow()

    assert sizes(tmp_path) == list(range(1, 34))


def test_files_that_break_one_after_the_other_are_not_moved_aside_without_end(tmp_path):
    clerk = started(tmp_path)
    clerk.write(3)
    for _ in range(5):
        clerk.history._shut()
        garbage(clerk.history.path)
        clerk.write(1)
        clerk.write(1)

    assert len([path for path in clerk.state.iterdir() if ".corrupt-" in path.name]) == 1
    assert "broken again" in (clerk.history.failure or "")


def test_a_check_that_is_too_long_for_the_start_is_finished_by_the_keeper(tmp_path):
    clerk = started(tmp_path)
    clerk.write(2_000)
    clerk.close()
    flipped(clerk.history.path)
    keeper = Keeper(clerk.history.path, check_first=True)
    deadline = time.monotonic() + 60
    while keeper.broken is None and time.monotonic() < deadline:
        time.sleep(0.01)  # between two looks at a condition
    keeper.stop(within_s=5)

    assert keeper.broken


def test_a_file_that_is_opened_while_the_monitor_runs_is_checked_by_the_keeper_alone(tmp_path):
    clerk = started(tmp_path)
    clerk.write(2_000)
    clerk.history._shut()  # as after a failure that let go of the file
    raw = bytearray(clerk.history.path.read_bytes())
    middle = len(raw) // 8192 * 4096
    raw[middle : middle + 4096] = bytes(4096)
    clerk.history.path.write_bytes(raw)
    db, checked = connect(clerk.history.path, "off", lambda: None, at_start=False)
    db.close()
    assert not checked

    deadline = time.monotonic() + 60
    while not [path for path in clerk.state.iterdir() if ".corrupt-" in path.name]:
        assert time.monotonic() < deadline
        clerk.write(1)
    clerk.follow()
    assert sizes(tmp_path) == list(range(1, clerk.number + 1))


# ------------------------------------------------------------------ versions


def test_a_file_of_version_one_is_brought_up_to_date_with_what_is_in_it(tmp_path):
    (tmp_path / "state").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "history.sqlite3")) as db:
        for sql in STEPS[1]:
            db.execute(sql)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO accounts (name, address, mode) VALUES ('main', '0x1', 'live')")
        db.commit()
    clerk = started(tmp_path)
    clerk.write(2)

    assert sizes(tmp_path) == [1, 2]
    assert rows(tmp_path, "PRAGMA user_version") == [{"user_version": VERSION}]
    assert rows(tmp_path, "SELECT address FROM accounts") == [{"address": "0x1"}, {"address": ADDRESS}]
    assert rows(tmp_path, "SELECT count(*) AS n FROM statements") == [{"n": 0}]


def test_a_holding_of_version_two_counts_funding_as_booked_up_to_its_newest():
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for sql in (*STEPS[1], *STEPS[2]):
            db.execute(sql)
        values = (1, 1, "2", "3", "0", "0", "0", "0", 1, NOON, NOON + 5, "[]")
        db.execute(f"INSERT INTO holdings VALUES ({', '.join('?' * len(values))})", values)
        for sql in STEPS[3]:
            db.execute(sql)
        _, _, *row = db.execute("SELECT * FROM holdings").fetchone()

    assert memory_of("main", BTC, row).payments == Payments(NOON + 5)


def test_a_file_of_a_later_version_is_left_alone_and_that_is_said(tmp_path):
    clerk = started(tmp_path)
    clerk.write(2)
    clerk.close()
    with contextlib.closing(sqlite3.connect(clerk.history.path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = clerk.history.path.read_bytes()
    again = Clerk(tmp_path)
    again.write(3)
    again.close()

    assert f"version {VERSION + 1}" in (again.history.failure or "")
    assert again.found.memories == {("main", BTC): clerk.last}
    assert clerk.history.path.read_bytes() == before


# ------------------------------------------------------------------ files and readers


def test_the_file_is_for_the_group_to_read_and_is_whole_after_a_close(tmp_path):
    before = os.umask(0o022)
    try:
        clerk = started(tmp_path)
        clerk.write(5)
        modes = {path.stat().st_mode & 0o777 for path in clerk.state.iterdir()}
        clerk.close()
    finally:
        os.umask(before)

    assert modes == {0o640}
    assert [path.name for path in clerk.state.iterdir()] == ["history.sqlite3"]


def test_the_end_waits_for_disks_and_locks_together_no_longer_than_it_may(tmp_path, monkeypatch):
    before = set(threading.enumerate())
    clerk = Clerk(tmp_path, fsync="batch")
    clerk.start()
    clerk.write(5)
    flows = threading.Event()
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: flows.wait(30) and real(fd))  # a disk that stands still
    with contextlib.closing(sqlite3.connect(clerk.history.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = awake_s()
        clerk.archive.close(clerk.now_s, clerk.now_ms, within_s=1.0)
        assert awake_s() - began < 2
    flows.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    again = Clerk(tmp_path)
    assert again.found.memories == {("main", BTC): clerk.last}
    assert sizes(tmp_path) == [1, 2, 3, 4, 5]


def signals_blocked_in(name):
    """What the kernel says of this process's threads of that name (proc(5), SigBlk)."""
    masks = []
    for thread in threading.enumerate():
        if thread.name == name:
            status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            masks.append(
                int(next(row for row in status.splitlines() if row.startswith("SigBlk")).split()[1], 16)
            )
    return masks


def test_the_keeper_takes_no_signals(tmp_path):
    started(tmp_path)

    masks = signals_blocked_in("history-keeper")
    assert masks
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        assert all(mask >> (number - 1) & 1 for mask in masks)


def test_descriptors_and_threads_are_given_back(tmp_path):
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208
    for _ in range(10):
        clerk = started(tmp_path)
        clerk.write()
        clerk.close()

    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before  # noqa: PTH208


def test_the_log_does_not_grow_while_rows_come_in(tmp_path, monkeypatch):
    from hlposmon.history import file as history_file

    monkeypatch.setattr(history_file, "WAL_BYTES", 200_000)
    monkeypatch.setattr(history_file, "_KEEP_S", 0.01)
    clerk = started(tmp_path)
    largest = 0
    for _ in range(3_000):
        clerk.write(1)
        largest = max(largest, (clerk.state / "history.sqlite3-wal").stat().st_size)

    assert largest < 12_000_000
    clerk.follow()
    assert len(sizes(tmp_path)) == 3_000


def log_head(clerk):
    """How often the write-ahead log has begun anew, and its salt (sqlite.org/fileformat2.html)."""
    return struct.unpack(">8I", (clerk.state / "history.sqlite3-wal").read_bytes()[:32])[3:6]


def test_the_log_begins_anew_in_the_keeper_and_never_in_the_tracker(tmp_path, monkeypatch):
    """The first to write behind a log that was wholly moved waits for the disk."""
    from hlposmon.history import file as history_file

    monkeypatch.setattr(history_file, "WAL_BYTES", 200_000)
    clerk = started(tmp_path)
    keeper = clerk.history._keeper
    keeper.stop(within_s=5)  # its turns are taken by hand here
    heads = []
    with contextlib.closing(keeper._connected()) as db:
        for _ in range(20):
            for _ in range(20):
                before = log_head(clerk)
                clerk.write(1)
                assert log_head(clerk) == before
            heads.append(before)
            keeper._look(db)
            assert (clerk.state / "history.sqlite3-wal").stat().st_size < 300_000

    assert len(set(heads)) > 5
    assert sizes(tmp_path) == list(range(1, 401))


def test_while_the_keeper_waits_for_the_disk_lines_wait_and_nobody_else_does(tmp_path):
    clerk = started(tmp_path)
    clerk.write(3)
    with clerk.history._keeper.turn:
        began = awake_s()
        for _ in range(20):
            clerk.write(1)
        assert awake_s() - began < 1
        assert (clerk.history.failure, clerk.journal.failure) == (None, None)
        assert clerk.history.seq < clerk.journal.seq
    clerk.follow()

    assert sizes(tmp_path) == list(range(1, 24))


def test_a_start_waits_for_the_keepers_turn_and_then_believes_the_history(tmp_path):
    clerk = started(tmp_path)
    clerk.write(5)
    clerk.close()
    alone = Clerk(tmp_path)
    alone.journal._tail.sealed = None  # the process dies between the journal and the history
    alone.write(20)
    alone.journal.close()
    alone.history._shut()
    [path] = (clerk.log / "trading").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"type":"checkpoint"', b'"type":"checkpoynt"'))

    history = History(clerk.state, fsync="off")
    journal = Journal(clerk.log, fsync="off", checkpoint=dict, sealed=history.take)
    assert history.open(1000.0, NOON)
    turn = history._keeper.turn
    turn.acquire()
    threading.Timer(0.5, turn.release).start()
    began, awake = time.monotonic(), awake_s()
    found = Archive(journal, history, beat=lambda: None).recover(1000.0, NOON)
    took, ran = time.monotonic() - began, awake_s() - awake
    history.close()

    assert 0.4 < took
    assert ran < 2.5
    assert found.memories == {("main", BTC): alone.last}


READER = """
import sys
from hlposmon.client.history import History
last, rounds = 0, 0
while last < int(sys.argv[2]):
    with History.open(sys.argv[1]) as history:
        found = [int(row.position.size) for row in history.fills()]
    assert found == list(range(1, len(found) + 1)), found[-5:]
    assert len(found) >= last
    last, rounds = len(found), rounds + 1
print(rounds)
"""


def test_another_process_reads_while_it_is_written(tmp_path):
    clerk = started(tmp_path)
    clerk.write(1)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(clerk.history.path), "3000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while clerk.number < 3_000:
        clerk.write(1)
    clerk.follow()
    said, errors = reader.communicate(timeout=120)

    assert reader.returncode == 0, errors
    assert int(said) > 1
    assert clerk.history.failure is None


def test_nothing_is_kept_beyond_the_buffer_and_what_is_behind_is_brought(tmp_path, monkeypatch):
    monkeypatch.setattr(histories, "BUFFER_LINES", 10)
    clerk = started(tmp_path)
    clerk.write(100)
    assert clerk.history.seq < clerk.journal.seq
    clerk.follow()

    assert sizes(tmp_path) == list(range(1, 101))


def test_a_new_history_begins_at_nothing(tmp_path):
    history = History(tmp_path, fsync="off")

    assert history.open(1.0, NOON)
    assert (history.seq, history.hash, history.recovered().memories) == (0, FIRST_PREV, {})


def test_a_history_that_is_a_link_is_kept_where_the_link_leads(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "history.sqlite3").symlink_to(tmp_path / "elsewhere" / "kept.sqlite3")
    clerk = started(tmp_path)
    clerk.write(50)
    clerk.close()

    assert clerk.history.path == tmp_path / "elsewhere" / "kept.sqlite3"
    assert not (tmp_path / "elsewhere" / "kept.sqlite3-wal").exists()
    assert sizes(tmp_path) == list(range(1, 51))


def cut_off(clerk: Clerk, lines: int) -> None:
    """The audit loses its last lines, as in a power cut."""
    [path] = (clerk.log / "trading").glob("audit-*")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-lines]))


def versioned(path: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("more", [2, 40])
def test_a_history_that_was_ahead_and_not_to_be_opened_at_the_start_lacks_nothing_afterwards(
    tmp_path, more, caplog
):
    before = started(tmp_path)
    before.write(20)
    before.close()
    cut_off(before, 10)
    versioned(before.history.path, VERSION + 1)  # not ours to open, all through the start
    again = Clerk(tmp_path, now_ms=before.now_ms)
    assert (again.number, again.history.seq) == (10, 0)
    again.start()
    again.write(more)
    versioned(before.history.path, VERSION)
    again.commit(100)
    again.follow()

    reader = Reader.open(again.history.path)
    lines = {line["seq"]: line for line in lines_in(tmp_path)}
    found = [(row.seq, int(row.position.size)) for row in reader.fills()]
    reader.close()
    fills = [line for line in lines.values() if line["type"] == "fill"]
    assert found == [(line["seq"], int(line["position"]["size"])) for line in fills]
    assert [int(line["position"]["size"]) for line in fills] == list(range(1, 11 + more))
    [told] = [line for line in lines.values() if line["type"] == "history_rebuilt"]
    assert told["reason"].startswith("it could not be opened at the start, and held lines 14 to 23,")
    assert "the history was ahead of the audit, and is brought its lines again" in caplog.messages
    again.history._shut()
    assert again.history.recovered().memories == {("main", BTC): again.last}


def test_one_that_was_far_ahead_is_kept_aside_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(histories, "FORGET_LINES", 5)
    before = started(tmp_path)
    before.write(20)
    before.close()
    cut_off(before, 10)
    versioned(before.history.path, VERSION + 1)
    again = Clerk(tmp_path, now_ms=before.now_ms)
    again.start()
    again.write(2)
    versioned(before.history.path, VERSION)
    again.commit(100)
    again.follow()

    [kept] = again.state.glob("*.corrupt-*Z")
    for path, last in ((kept, 20), (again.history.path, 12)):
        with Reader.open(path) as reader:
            assert [int(row.position.size) for row in reader.fills()] == list(range(1, last + 1))

"""The history: each of the journal's lines once, whatever dies, fills up, breaks or is moved away."""

import contextlib
import gc
import gzip
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from hlposmon.client.history import History as Reader
from hlposmon.domain.changes import Adopted, AdoptionReason, Drift, Filled, Funded, Gap, Healed
from hlposmon.domain.position import FillEffect, Position
from hlposmon.domain.reports import FillCause, Funding, Side, StatedPosition, Statement
from hlposmon.errors import WireError
from hlposmon.history import file as history_file
from hlposmon.history import transaction
from hlposmon.history.importer import Importer
from hlposmon.history.schema import APPLICATION_ID, STEPS, VERSION
from hlposmon.history.writer import History
from hlposmon.journal.files import written_below
from hlposmon.journal.lines import FIRST_PREV, body_of, open_line
from hlposmon.journal.statements import statement_line
from hlposmon.journal.verify import verify
from tests.history.archivist import ADDRESS, BTC, NOON, Clerk, fill
from tests.journal.clerk import lines_in as lines_of_audit

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    Clerk.ends_all()


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
        for raw in path.read_bytes().splitlines(keepends=True):
            with contextlib.suppress(WireError):  # half a line, which a crash left
                found.append(open_line(raw))
    return found


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
    says(clerk, Filled(fill(1, time_ms=NOON, hash=text), FillEffect.OPENED, Position(Decimal(1), Decimal(1))))

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


def test_a_fills_row_says_what_caused_it(tmp_path):
    clerk = started(tmp_path)
    after = Position(Decimal(1), Decimal(1))
    taken = fill(1, time_ms=NOON, liquidation="market", cause=FillCause.LIQUIDATION)
    slice_ = fill(
        2, time_ms=NOON + 1, cause=FillCause.TWAP, twap_id=3156, builder_fee=Decimal("0.002558"), trade_id=2
    )
    says(clerk, Filled(taken, FillEffect.ADDED, after), Filled(slice_, FillEffect.ADDED, after))

    with Reader.open(clerk.history.path) as reader:
        found = [(row.cause, row.liquidation, row.twap_id, row.builder_fee) for row in reader.fills()]
    assert found == [("liquidation", "market", None, None), ("twap", None, 3156, Decimal("0.002558"))]


def test_a_line_of_a_version_that_did_not_tell_causes_is_taken_without_one(tmp_path):
    clerk = started(tmp_path)
    body = body_of(
        Filled(fill(1, time_ms=NOON), FillEffect.ADDED, Position(Decimal(1), Decimal(1))), now_ms=NOON
    )
    assert body is not None
    older = {name: value for name, value in body.items() if name not in ("cause", "twap_id", "builder_fee")}
    assert len(older) == len(body) - 3
    clerk.journal.append(older, clerk.now_ms)
    clerk.commit()

    with Reader.open(clerk.history.path) as reader:
        found = [(row.fill_id, row.cause, row.twap_id, row.builder_fee) for row in reader.fills()]
    assert found == [("1", None, None, None)]
    assert clerk.history.skipped == 0
    clerk.close()
    assert verify(clerk.journal.folder).faults == []
    assert Clerk(tmp_path).found.memories["main", BTC].position.size == 1


def test_endless_money_has_ten_decimals(tmp_path):
    clerk = started(tmp_path)
    third = Position(Decimal(3), Decimal(1) / 3, realized=Decimal(2) / 3, fees=Decimal("0.1"))
    says(clerk, Filled(fill(3, time_ms=NOON), FillEffect.ADDED, third))

    with Reader.open(clerk.history.path) as reader:
        [row] = reader.fills()
    assert (str(row.position.realized_pnl), str(row.position.fees)) == ("0.6666666667", "0.1")


def test_every_other_kind_of_line_has_its_row(tmp_path):
    clerk = started(tmp_path)
    one, two = Position(Decimal(1), Decimal(100)), Position(Decimal(2), Decimal(210))
    paid = Funding("main", BTC, NOON + 1, Decimal("-0.25"), Decimal(1), Decimal("0.0001"))
    says(
        clerk,
        Adopted("main", BTC, AdoptionReason.START, Position(), one, NOON),
        Funded(paid, replace(one, funding=Decimal("-0.25"))),
        Gap("main", BTC, Decimal(1), Decimal(3), NOON, NOON + 5),
        Healed("main", BTC, 2, NOON),
        Gap("main", BTC, Decimal(1), Decimal(4), NOON + 6, NOON + 7),
        Drift("main", BTC, Decimal(1), Decimal(2), "no fill explains it", NOON + 9),
        Adopted("main", BTC, AdoptionReason.DRIFT, one, two, NOON + 9),
    )
    for live, since_ms in ((False, NOON + 10), (True, None)):
        clerk.say("feed", account="main", live=live, since_ms=since_ms, reason="lost")
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
    assert (outage["since_ms"], outage["reason"], outage["ended_ms"]) == (NOON + 10, "lost", clerk.now_ms)


def test_a_gap_that_is_open_at_a_start_is_ended_by_it(tmp_path):
    clerk = started(tmp_path)
    says(clerk, Gap("main", BTC, Decimal(1), Decimal(3), NOON, NOON + 5))
    clerk.close()
    started(tmp_path)

    assert [gap["ended_by"] for gap in rows(tmp_path, "SELECT * FROM gaps")] == ["restart"]


def test_a_line_that_is_not_understood_is_counted_and_holds_nothing_up(tmp_path):
    clerk = started(tmp_path)
    clerk.say("fill", account="main", key=BTC)
    says(clerk, Filled(fill(1, time_ms=NOON, order_id=1 << 70), FillEffect.ADDED, Position(Decimal(1))))
    clerk.number = 1
    clerk.write()

    assert (clerk.history.skipped, clerk.history.failure) == (2, None)
    assert sizes(tmp_path) == [2]


def test_a_name_that_stands_for_another_address_or_mode_is_another_account(tmp_path):
    clerk = started(tmp_path)
    clerk.write()
    assert rows(tmp_path, "SELECT base_ms FROM accounts") == [{"base_ms": NOON}]
    clerk.mode, clerk.last = "simulated", None
    clerk.start()
    clerk.write()

    assert rows(tmp_path, "SELECT name, address, mode FROM accounts") == [
        {"name": "main", "address": ADDRESS, "mode": mode} for mode in ("live", "simulated")
    ]
    with Reader.open(clerk.history.path) as reader:
        assert [row.mode for row in reader.fills()] == ["live", "simulated"]


# ------------------------------------------------------------------ statements


def notes(clerk: Clerk, size: str, at_ms: int, *, pushed: bool = False, differing: tuple[str, ...] = ()):
    stated = (StatedPosition(BTC, Decimal(size), None),) if Decimal(size) else ()
    statement = Statement("main", "hyperliquid", at_ms, 1.0, stated, pushed=pushed)
    clerk.journal.append(statement_line(statement, differing, now_ms=at_ms + 1), clerk.now_ms)


def test_a_statement_is_a_row_with_its_digest_and_where_the_book_differs(tmp_path):
    clerk = started(tmp_path)
    notes(clerk, "1", NOON)
    notes(clerk, "2", NOON + 2, pushed=True, differing=(BTC,))
    notes(clerk, "2", NOON + 4, differing=(BTC,))
    clerk.commit()
    kept = rows(tmp_path, "SELECT * FROM statements")
    lines = [line for line in lines_in(tmp_path) if line["type"] == "statement"]

    assert [(row["source"], row["statement_ms"] - NOON, row["agreed"]) for row in kept] == [
        ("rest", 0, 1),
        ("push", 2, 0),
        ("rest", 4, 0),
    ]
    assert [row["heard_ms"] - NOON for row in kept] == [1, 3, 5]
    assert kept[0]["digest"] != kept[1]["digest"] == kept[2]["digest"]
    assert [json.loads(row["differing"] or "[]") for row in kept] == [[], [BTC], [BTC]]
    told = [(line["seq"], line["digest"]) for line in lines]
    assert [(row["seq"], row["digest"].hex()) for row in kept] == told


def test_statements_older_than_thirty_days_go(tmp_path):
    clerk = started(tmp_path)
    for days in (0, 29, 31):
        clerk.now_ms = NOON + days * DAY
        notes(clerk, "1", clerk.now_ms)
        clerk.commit()

    kept = rows(tmp_path, "SELECT statement_ms FROM statements")
    assert [(row["statement_ms"] - NOON) // DAY for row in kept] == [29, 31]


# ------------------------------------------------------------------ behind the journal


def test_a_history_that_is_behind_is_brought_the_rest(tmp_path):
    clerk = started(tmp_path)
    clerk.write(5)
    clerk.close()
    alone = Clerk(tmp_path)
    alone.journals(2_000)  # the history's process is away
    alone.journal.close()
    again = Clerk(tmp_path)
    again.look()

    assert again.history.seq == again.journal.seq
    assert sizes(tmp_path) == list(range(1, 2_006))


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
    Clerk(tmp_path, now_ms=clerk.now_ms).look()

    assert sizes(tmp_path) == list(range(1, 13))


def rotated(path: Path) -> None:
    path.rename(path.with_name(path.name + ".1"))


def compressed(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize("rotate", [rotated, compressed, Path.unlink])
@pytest.mark.parametrize("is_read", [True, False])
def test_a_file_that_rotation_takes_away_under_the_follower_costs_no_line(tmp_path, rotate, is_read):
    clerk = started(tmp_path)
    for _ in range(3):
        clerk.journals(20)
        if is_read or rotate is Path.unlink:
            clerk.look()
        rotate(max((clerk.log / "trading").glob("*.jsonl")))
        clerk.write(5)
        clerk.now_ms += DAY

    assert sizes(tmp_path) == list(range(1, 76))
    assert "history_hole" not in [line["type"] for line in lines_in(tmp_path)]


def test_what_is_cut_off_behind_a_failed_write_and_written_again_is_taken_once(tmp_path):
    clerk = started(tmp_path)
    clerk.write(5)
    [path] = (clerk.log / "trading").iterdir()
    length = path.stat().st_size
    clerk.write(5)
    whole = path.read_bytes()
    for shorter in (length, length + 700, len(whole) - 30):
        os.truncate(path, shorter)
        clerk.look()
        path.write_bytes(whole)
        clerk.look()
    clerk.write(1)

    assert sizes(tmp_path) == list(range(1, 12))


def test_half_a_line_is_waited_for(tmp_path):
    clerk = started(tmp_path)
    clerk.journals(2)
    [path] = (clerk.log / "trading").iterdir()
    whole = path.read_bytes()
    for length in range(len(whole) - 900, len(whole), 50):
        path.write_bytes(whole[:length])
        clerk.look()
        assert clerk.importer.failure is None
    path.write_bytes(whole)
    clerk.look()

    assert sizes(tmp_path) == [1, 2]


def test_a_line_longer_than_what_is_read_at_once_is_read_whole(tmp_path):
    clerk = started(tmp_path)
    clerk.say("stop", reason="x" * 1_500_000)
    clerk.write(3)

    assert sizes(tmp_path) == [1, 2, 3]


def days(clerk: Clerk, count: int, each: int = 3) -> list[Path]:
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
def test_a_damaged_old_file_is_passed_over_and_what_is_missing_is_said(tmp_path, damage):
    files = days(clerk := started(tmp_path), 4)
    packed = files[1].with_suffix(".jsonl.gz")
    packed.write_bytes(damage(gzip.compress(files[1].read_bytes())))
    files[1].unlink()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.start()
    again.commit()

    found = sizes(tmp_path)
    assert set(range(1, 4)) | set(range(7, 13)) <= set(found) < set(range(1, 13))
    [hole] = [line for line in lines_in(tmp_path) if line["type"] == "history_hole"]
    assert hole["files"] == [packed.name]
    assert hole["reason"]
    assert (hole["last"], hole["count"]) == (10, hole["last"] - hole["first"] + 1)
    again.close()
    last = Clerk(tmp_path, now_ms=again.now_ms)
    last.start()
    last.commit()
    assert [line["type"] for line in lines_in(tmp_path)].count("history_hole") == 1


def test_a_file_that_is_missing_when_the_history_is_filled_is_said(tmp_path):
    files = days(clerk := started(tmp_path), 4)
    files[1].unlink()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.start()
    again.commit()

    assert sizes(tmp_path) == [1, 2, 3, *range(7, 13)]
    [hole] = [line for line in lines_in(tmp_path) if line["type"] == "history_hole"]
    assert (hole["first"], hole["last"], hole["count"], hole["files"]) == (7, 10, 4, [])


def test_holes_without_end_are_told_in_a_few_lines(tmp_path):
    [path] = days(clerk := started(tmp_path), 1, each=100)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [*lines[:-1:2], lines[-1]]
    path.write_bytes(b"".join(kept))
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.start()
    again.commit()

    holes = [line for line in lines_in(tmp_path) if line["type"] == "history_hole"]
    assert len(holes) == 21
    assert sum(hole["count"] for hole in holes) == len(lines) - len(kept)


# ------------------------------------------------------------------ other lines than the journal's


@pytest.mark.parametrize("gone", ["folder", "newest file"])
def test_a_journal_whose_files_are_gone_goes_on_behind_the_history(tmp_path, gone):
    clerk = started(tmp_path)
    clerk.write(5)
    clerk.now_ms += DAY
    clerk.write(5)
    clerk.now_ms += 1
    clerk.close()
    last = rows(tmp_path, "SELECT journal_seq, journal_hash FROM meta")[0]
    files = sorted((clerk.log / "trading").iterdir())
    for path in files if gone == "folder" else files[1:]:
        path.unlink()
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    assert again.number == 6  # the book of the last checkpoint, which began the second day
    again.now_ms = NOON + 6 + DAY
    again.start()
    again.write(6)  # the exchange lists the four that came behind it still
    lines = lines_in(tmp_path)
    first_new = next(line for line in lines if line["seq"] > last["journal_seq"])
    [rejoined] = [line for line in lines if line["type"] == "rejoined"]

    assert first_new["prev"] == last["journal_hash"]
    assert first_new["type"] in ("checkpoint", "rejoined")
    assert (rejoined["first"], rejoined["last"]) == (1 if gone == "folder" else 9, last["journal_seq"])
    assert sizes(tmp_path) == list(range(1, 13))
    assert again.history.repeated == 4
    again.close()
    assert Clerk(tmp_path, now_ms=again.now_ms).found.memories == {("main", BTC): again.last}


@pytest.mark.parametrize("lines", [1, 3, 7])
def test_an_end_that_the_journal_lost_is_forgotten_by_the_history_and_told_again_once(tmp_path, lines):
    clerk = started(tmp_path)
    for _ in range(10):
        clerk.write(1)
    clerk.close()
    [path] = (clerk.log / "trading").iterdir()
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-lines]) + whole[-lines][:30])  # what a power cut leaves
    again = Clerk(tmp_path)
    assert again.number == 10 - lines
    again.look()  # before the tracker has said which way it goes
    again.start()
    again.write(lines)  # the exchange lists them still
    again.commit()
    found = lines_of_audit(again.log)  # asserts that they chain

    assert [int(line["position"]["size"]) for line in found if line["type"] == "fill"] == list(range(1, 11))
    assert_equal_to_the_journal(tmp_path)
    assert [line["type"] for line in found].count("end_lost") == 1
    again.close()
    assert Clerk(tmp_path).found.memories == {("main", BTC): again.last}


def test_an_end_that_the_journal_lost_is_forgotten_where_its_older_files_are_gone_as_well(tmp_path):
    clerk = started(tmp_path)
    for _ in range(20):
        clerk.write(1)
        clerk.commit()
    clerk.now_ms += DAY
    for _ in range(6):
        clerk.write(1)
        clerk.commit()
    clerk.close()
    old, new = sorted((clerk.log / "trading").glob("audit-*"))
    old.unlink()  # as `audit prune` does
    new.write_bytes(b"".join(new.read_bytes().splitlines(keepends=True)[:-2]))
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    again.look()
    again.start()
    again.write(1)
    again.commit()

    with Reader.open(again.state / "history.sqlite3") as reader:
        sizes = [int(row.position.size) for row in reader.fills()]
    assert sizes == [*range(1, 26)], "those of the pruned file are kept"
    assert not [*again.state.glob("*.other-journal-*")]


def assert_equal_to_the_journal(folder: Path) -> None:
    """The fills of the history are those of the journal, each under the number of its line."""
    with Reader.open(folder / "state" / "history.sqlite3") as reader:
        found = [(row.seq, int(row.position.size)) for row in reader.fills()]
    lines = [line for line in lines_in(folder) if line["type"] == "fill"]
    assert found == [(line["seq"], int(line["position"]["size"])) for line in lines]


@pytest.mark.parametrize("seed", range(20))
def test_wherever_a_journal_is_cut_off_and_goes_on_the_history_becomes_equal_to_it(tmp_path, seed):
    rng = random.Random(seed)
    clerk = started(tmp_path)
    for _ in range(4):
        for _ in range(rng.randint(1, 8)):
            clerk.write(rng.randint(1, 30))
            if rng.random() < 0.2:
                clerk.now_ms += DAY
        if rng.random() < 0.5:
            clerk.close()
        else:
            clerk.dies()
        [*_, path] = sorted((clerk.log / "trading").glob("*.jsonl"))
        raw = path.read_bytes()
        os.truncate(path, rng.randint(raw.index(b"\n") + 1, len(raw)))
        clerk = Clerk(tmp_path, now_ms=clerk.now_ms)
        if rng.random() < 0.5:
            clerk.look()
        clerk.start()
        clerk.write(rng.randint(1, 30))
        clerk.commit()

        assert_equal_to_the_journal(tmp_path)
        assert rows(tmp_path, "SELECT * FROM checkpoint")[0]["seq"] == max(
            line["seq"] for line in lines_in(tmp_path) if line["type"] == "checkpoint"
        )


def test_what_lines_that_are_gone_had_ended_is_open_again(tmp_path):
    clerk = started(tmp_path)
    says(clerk, Gap("main", BTC, Decimal(1), Decimal(3), NOON, NOON + 5))
    clerk.say("feed", account="main", live=False, since_ms=NOON, reason="lost")
    clerk.commit()
    says(clerk, Healed("main", BTC, 2, NOON))
    clerk.say("feed", account="main", live=True, since_ms=None, reason="")
    clerk.commit()
    cut_off(clerk, 2)
    clerk.dies()
    again = Clerk(tmp_path)
    again.look()
    again.say("statement")  # anything: the journal goes on without them
    again.commit()

    assert [gap["ended_by"] for gap in rows(tmp_path, "SELECT * FROM gaps")] == [None]
    assert [one["ended_ms"] for one in rows(tmp_path, "SELECT * FROM outages")] == [None]


def test_a_history_of_another_journal_is_set_aside_and_a_new_one_begun(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    clerk = started(one)
    clerk.write(5)
    clerk.close()
    second = Clerk(other, now_ms=NOON)
    second.write(24)  # without a start line: its hashes are others
    second.close()
    (one / "log").rename(tmp_path / "away")
    (other / "log").rename(one / "log")
    again = Clerk(one)
    again.start()
    again.commit()

    assert again.found.memories == {("main", BTC): second.last}
    [told] = [line for line in lines_in(one) if line["type"] == "other_journal"]
    [kept] = again.state.glob("history.sqlite3.other-journal-*Z")
    assert (told["kept_as"], told["history_seq"]) == (kept.name, clerk.journal.seq)
    assert sizes(one) == list(range(1, 25))
    with Reader.open(kept) as reader:
        assert [int(row.position.size) for row in reader.fills()] == list(range(1, 6))


def test_marks_are_kept_for_the_newest_transactions_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(transaction, "MARKS_KEPT", 10)
    clerk = started(tmp_path)
    for _ in range(600):
        clerk.write(1)

    kept = [row["seq"] for row in rows(tmp_path, "SELECT seq FROM marks")]
    assert kept[-10:] == list(range(clerk.journal.seq - 9, clerk.journal.seq + 1))
    assert len(kept) < 10 + 256


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
        assert clerk.journal.failure is not None
        beside = History(tmp_path / "elsewhere", fsync="off")
        beside.open(1.0, NOON)
        importer = Importer(clerk.journal.folder, beside)
        importer.step(1.0, NOON)
        assert str(beside.path) in (importer.failure or "")
        beside._shut()

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
        clerk = started(tmp_path)
        clerk.write(10)
        history = History(small, fsync="off")
        importer = Importer(clerk.journal.folder, history)
        while importer.step(1.0, NOON):
            pass
        with (small / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 512)
        clerk.journals(1_000)
        importer.step(2.0, NOON)
        assert "full" in (importer.failure or "")
        (small / "ballast").unlink()
        while importer.step(4.0, NOON):
            pass
        assert importer.failure is None
        importer.close()
        with Reader.open(small / "history.sqlite3") as reader:
            assert [int(row.position.size) for row in reader.fills()] == list(range(1, 1_011))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.parametrize("hold", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_another_programs_transaction_holds_nothing_up_and_is_said_when_it_lasts(tmp_path, hold):
    clerk = started(tmp_path)
    clerk.write(3)
    with contextlib.closing(sqlite3.connect(clerk.history.path, isolation_level=None)) as other:
        other.execute(hold)
        for _ in range(3):  # two seconds pass between them by the clerk's clock
            clerk.write(1)
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
    alone = Clerk(tmp_path)
    alone.journals(2)
    alone.journal.close()
    for path in (clerk.history.path, clerk.state, clerk.log, *(clerk.log / "trading").iterdir()):
        path.chmod(0o555)
    for path in (clerk.log, clerk.log / "trading"):
        path.chmod(0o755)
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setuid(65534)
            importer = Importer(written_below(clerk.log), History(clerk.state, fsync="off"))
            importer.step(1.0, NOON)
            os.write(tell, (importer.failure or "no failure").encode())
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
def test_a_broken_file_is_moved_aside_and_a_new_one_filled_from_the_journal(tmp_path, damage):
    clerk = started(tmp_path)
    clerk.write(300)
    clerk.now_ms += DAY
    clerk.write(20)
    clerk.close()
    damage(clerk.history.path)
    again = Clerk(tmp_path, now_ms=clerk.now_ms)
    assert again.found.memories == {("main", BTC): clerk.last}
    again.start()
    again.commit()

    assert sizes(tmp_path) == list(range(1, 321))
    [aside] = [path for path in clerk.state.iterdir() if path.name.endswith("Z")]
    [rebuilt] = [line for line in lines_in(tmp_path) if line["type"] == "history_rebuilt"]
    assert rebuilt["kept_as"] == aside.name


def test_an_empty_file_is_begun_anew_and_filled(tmp_path):
    clerk = started(tmp_path)
    clerk.write(30)
    clerk.close()
    os.truncate(clerk.history.path, 0)
    Clerk(tmp_path).look()

    assert sizes(tmp_path) == list(range(1, 31))


@pytest.mark.parametrize("damage", [garbage, tableless])
def test_a_file_that_breaks_while_it_is_used_is_moved_aside_and_filled_anew(tmp_path, damage):
    clerk = started(tmp_path)
    clerk.write(300)
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
        clerk.dies()
        garbage(clerk.history.path)
        clerk.write(1)
        clerk.write(1)

    assert len([path for path in clerk.state.iterdir() if ".corrupt-" in path.name]) == 1
    assert "to be set aside again, so soon" in (clerk.history.failure or "")


def test_a_check_of_the_whole_file_ends_when_its_process_is_to_stop(tmp_path):
    clerk = started(tmp_path)
    for _ in range(10):
        clerk.write(2_000)
    clerk.close()
    asked = iter(range(1 << 30))
    history = History(clerk.state, fsync="off", go_on=lambda: next(asked) < 2)
    assert history.open(1.0, NOON)
    history._shut()

    assert next(asked) == 3
    assert history.seq == clerk.journal.seq


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
    gone = "SELECT name FROM sqlite_schema WHERE name IN ('holdings', 'doubts', 'unwritten')"
    assert rows(tmp_path, gone) == []


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_an_older_file_keeps_its_fills_and_goes_on_behind_its_last_line(tmp_path, version):
    """It is made of a file of today: what the steps behind its version have done is undone."""
    clerk = started(tmp_path)
    clerk.write(20)
    clerk.close()
    with contextlib.closing(sqlite3.connect(":memory:")) as old:
        for step in range(1, version + 1):
            for sql in STEPS[step]:
                old.execute(sql)
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute(f"PRAGMA user_version = {version}")
        with contextlib.closing(sqlite3.connect(clerk.history.path)) as new:
            for name in ("accounts", "instruments", "words", "fill"):
                had = ", ".join(column for _, column, *_ in old.execute(f"PRAGMA table_info({name})"))
                kept = new.execute(f"SELECT {had} FROM {name}").fetchall()
                old.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(kept[0]))})", kept)
            [meta] = new.execute("SELECT * FROM meta")
            old.execute("DELETE FROM meta")
            old.execute(f"INSERT INTO meta VALUES ({', '.join('?' * len(meta))})", meta)
        old.commit()
        clerk.history.path.write_bytes(old.serialize())
    again = Clerk(tmp_path)
    again.start()
    again.write(5)

    assert rows(tmp_path, "PRAGMA user_version") == [{"user_version": VERSION}]
    assert sizes(tmp_path) == list(range(1, 26))
    assert again.history.repeated == 0
    assert_equal_to_the_journal(tmp_path)


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

    assert f"version {VERSION + 1}" in (again.importer.failure or "")
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


def test_descriptors_and_threads_are_given_back(tmp_path):
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208
    for _ in range(10):
        clerk = started(tmp_path)
        clerk.write()
        clerk.close()

    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before  # noqa: PTH208


def test_the_log_does_not_grow_while_rows_come_in(tmp_path, monkeypatch):
    monkeypatch.setattr(history_file, "WAL_BYTES", 200_000)
    clerk = started(tmp_path)
    largest = 0
    for _ in range(3_000):
        clerk.write(1)
        largest = max(largest, (clerk.state / "history.sqlite3-wal").stat().st_size)

    assert largest < 2_000_000
    assert len(sizes(tmp_path)) == 3_000


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


def test_a_new_history_begins_at_nothing(tmp_path):
    history = History(tmp_path, fsync="off")

    assert history.open(1.0, NOON)
    assert (history.seq, history.hash) == (0, FIRST_PREV)
    history.close()


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
def test_a_history_that_was_ahead_and_not_to_be_opened_at_the_start_lacks_nothing_afterwards(tmp_path, more):
    before = started(tmp_path)
    for _ in range(20):
        before.write(1)
    before.close()
    cut_off(before, 10)
    versioned(before.history.path, VERSION + 1)  # not ours to open, all through the start
    again = Clerk(tmp_path, now_ms=before.now_ms)
    assert (again.number, again.history.seq) == (10, 0)
    again.start()
    again.write(more)
    versioned(before.history.path, VERSION)
    again.commit(100)
    again.write(1)  # where the journal ends before its last line, the history waits for the next
    again.follow()

    assert_equal_to_the_journal(tmp_path)
    assert sizes(tmp_path) == list(range(1, 12 + more))
    [told] = [line for line in lines_in(tmp_path) if line["type"] == "end_lost"]
    assert (told["first"], told["last"]) == (14, 23)


def test_one_that_left_the_journal_before_its_oldest_mark_is_kept_aside_whole(tmp_path):
    before = started(tmp_path)
    before.write(20)
    before.close()
    with contextlib.closing(sqlite3.connect(before.history.path)) as db:
        db.execute("DELETE FROM marks WHERE seq < ?", (before.journal.seq,))
        db.commit()
    cut_off(before, 10)
    again = Clerk(tmp_path, now_ms=before.now_ms)
    again.look()
    again.start()
    again.write(2)

    [kept] = again.state.glob("*.other-journal-*Z")
    for path, last in ((kept, 20), (again.history.path, 12)):
        with Reader.open(path) as reader:
            assert [int(row.position.size) for row in reader.fills()] == list(range(1, last + 1))

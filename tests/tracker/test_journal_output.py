"""The tracker and the history's process: what that says is told; without logs the book comes from it."""

import json
import logging
import shutil
import sqlite3
from contextlib import closing

from hlposmon.client.history import History
from hlposmon.domain.reports import HistoryEvent, HistoryRemark, HistoryState, Welcome
from tests.tracker.desk import Desk, desk, until
from tests.tracker.test_tracker import _proven


def rows(here: Desk):
    with History.open(here.settings.paths.state_dir / "history.sqlite3") as history:
        return list(history.fills())


def table(here: Desk, sql: str):
    with closing(sqlite3.connect(here.settings.paths.state_dir / "history.sqlite3")) as db:
        return db.execute(sql).fetchall()


def has_all(here: Desk) -> bool:
    """Health says that the history has every line of the journal."""
    health = here.api.health()
    return health["history"] == {"seq": health["journal"]["seq"], "backlog": 0, "failure": None}


def test_health_says_how_far_the_history_is_and_it_soon_has_every_fill():
    with desk() as here, here.running(), here.keeping_history():
        worker = _proven(here)
        for start in range(1, 20):
            worker.says(here.fills(here.fill("buy", "1", str(start))))
        until("all is there", lambda: here.position()["size"] == "20" and has_all(here))
        assert [row.fill_id for row in rows(here)] == [str(number) for number in range(1, 20)]


def test_a_history_that_cannot_be_written_is_said_and_made_good():
    with desk() as here:
        state = here.settings.paths.state_dir
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text("in the way")
        with here.running(), here.keeping_history():
            worker = _proven(here)
            worker.says(here.fills(here.fill("buy", "1", "1")))
            row = until("taken", lambda: (row := here.position()) and row["size"] == "2" and row)
            assert row["verdict"] == "proven"
            until("said", lambda: here.api.health()["history"]["failure"])
            health = here.api.health()
            assert health["status"] == "unhealthy"
            assert "the history cannot be written: " in health["reasons"][0]
            assert str(state) in health["reasons"][0]
            assert health["history"]["backlog"] > 0

            state.unlink()
            until("written again", lambda: has_all(here))
            assert here.api.health()["status"] == "healthy"
            assert [row.fill_id for row in rows(here)] == ["1"]


def test_a_new_tracker_is_told_how_far_the_history_is():
    with desk() as here, here.running():
        _proven(here)
        with here.keeping_history():
            until("told", lambda: has_all(here))
    with desk() as here:
        with here.running():
            _proven(here)
            with here.keeping_history():
                until("told", lambda: has_all(here))
        with here.running():
            assert here.api.health()["history"]["seq"] > 0  # as its file says, before its process does


def test_what_its_process_said_of_failure_ends_with_the_process():
    with desk() as here, here.running():
        _proven(here)
        history = here.join("history", "history")
        history.says(HistoryState(3, "the disk is full"))
        until("said", lambda: here.api.health()["history"]["failure"] == "the disk is full")
        history.queue.close()
        until("over", lambda: here.api.health()["history"]["failure"] is None)
        assert here.api.health()["history"]["seq"] == 3


def test_what_befalls_the_history_is_a_line_of_the_journal():
    with desk() as here, here.running():
        history = here.join("history", "history")
        facts = {"first": 3, "last": 4, "count": 2, "files": [], "reason": None}
        history.says(HistoryRemark(HistoryEvent.HOLE, facts))
        told = until("journalled", lambda: [one for one in here.lines() if one["type"] == "history_hole"])
        assert {name: told[0][name] for name in facts} == facts


def test_the_last_lines_of_a_tracker_are_brought_when_the_history_ends():
    with desk() as here:
        with here.keeping_history():
            with here.running():
                _proven(here)
            lines = here.lines()
        assert lines[-1]["type"] == "stop"
        assert table(here, "SELECT journal_seq, journal_hash FROM meta") == [
            (lines[-1]["seq"], lines[-1]["hash"])
        ]
        assert [path.name for path in here.settings.paths.state_dir.iterdir()] == ["history.sqlite3"]


def test_without_its_logs_a_tracker_takes_the_book_up_from_the_history():
    with desk() as here:
        with here.running(), here.keeping_history():
            worker = _proven(here)
            last = here.fill("buy", "0.5", "1", price="51000")
            worker.says(here.fills(last))
            until("taken", lambda: (row := here.position()) and row["size"] == "1.5")
            before = here.position()
            until("all is there", lambda: has_all(here))
        [(last_seq,)] = table(here, "SELECT journal_seq FROM meta")
        shutil.rmtree(here.settings.paths.log_dir)

        with here.running(), here.keeping_history():
            worker = here.join()
            # The last checkpoint is of the first statement, before the fill: the fill is wanted again.
            [welcome] = [ask for ask in worker.heard if isinstance(ask, Welcome)]
            assert welcome.high_water_ms["main"] < last.time_ms
            worker.says(here.fills(last))
            until("taken", lambda: (row := here.position()) and row["size"] == "1.5")
            row = here.position()
            assert before is not None
            assert row is not None
            same = ("size", "entry_price", "fees", "realized_pnl", "fills", "last_fill_time")
            assert {name: row[name] for name in same} == {name: before[name] for name in same}
            [rejoined] = until("said", lambda: [one for one in here.lines() if one["type"] == "rejoined"])
            assert (rejoined["first"], rejoined["last"]) == (1, last_seq)
            until("all is there", lambda: has_all(here))
        assert [row.fill_id for row in rows(here)] == [str(last.trade_id)]
        assert [line["type"] for line in here.lines()].count("fill") == 1


def test_a_history_that_breaks_is_filled_anew_while_positions_go_on(caplog):
    caplog.set_level(logging.WARNING)
    with desk() as here:
        with here.running(), here.keeping_history():
            worker = _proven(here)
            worker.says(here.fills(here.fill("buy", "1", "1")))
            until("taken", lambda: (row := here.position()) and row["size"] == "2")
        state = here.settings.paths.state_dir
        (state / "history.sqlite3").write_bytes(b"garbage" * 1000)
        with here.running(), here.keeping_history():
            worker = here.join()
            worker.is_live()
            worker.says(here.fills(here.fill("buy", "1", "2")))
            until("taken", lambda: (row := here.position()) and row["size"] == "3")
            until("filled anew", lambda: has_all(here) and len(rows(here)) == 2)
            until("said", lambda: "history_rebuilt" in [line["type"] for line in here.lines()])
        assert [path for path in state.iterdir() if ".corrupt-" in path.name]
        assert "the history is begun anew" in caplog.messages


def test_statements_leave_their_digests_and_say_where_they_differ():
    with desk() as here, here.running(), here.keeping_history():
        worker = _proven(here)
        worker.says(here.statement("1"), here.statement("7"))
        until("doubted", lambda: has_all(here) and len(table(here, "SELECT 1 FROM statements")) >= 3)
        said = table(here, "SELECT source, agreed, differing FROM statements ORDER BY heard_ms, agreed DESC")
        assert [(source, agreed) for source, agreed, _ in said] == [("rest", 1), ("rest", 1), ("rest", 0)]
        assert json.loads(said[-1][2]) == ["hyperliquid:Perp:BTC"]


def test_each_failure_of_the_audit_is_logged_and_so_is_an_end_with_lines_unwritten(caplog):
    caplog.set_level(logging.INFO)

    def said(text: str) -> int:
        return sum(text in record.getMessage() for record in caplog.records)

    with desk() as here:
        trading, kept = here.folder / "log" / "trading", here.folder / "kept"
        with here.running():
            worker = _proven(here)
            for time_of in (1, 2):
                trading.rename(kept)
                trading.write_text("in the way")
                worker.says(here.fills(here.fill("buy", "1", str(time_of))))
                until("it fails", lambda time_of=time_of: said("the audit cannot be written") == time_of)
                if time_of == 1:
                    trading.unlink()
                    kept.rename(trading)
                    until("it is written", lambda: said("the audit is written again") == 1)

    assert said("audit lines were not written before the end") == 1

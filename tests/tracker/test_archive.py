"""The tracker's history: behind the journal, before the client; said when it fails, and taken up again."""

import json
import shutil
import sqlite3

from hlposmon.client.history import History
from hlposmon.domain.reports import Welcome
from tests.tracker.desk import Desk, desk, until
from tests.tracker.test_tracker import _proven


def rows(here: Desk):
    with History.open(here.settings.paths.state_dir / "history.sqlite3") as history:
        return list(history.fills())


def table(here: Desk, sql: str):
    with sqlite3.connect(here.settings.paths.state_dir / "history.sqlite3") as db:
        return db.execute(sql).fetchall()


def test_a_fill_is_in_the_history_before_a_client_hears_of_it():
    with desk() as here, here.running():
        worker = _proven(here)
        with here.api.stream(events=["fill"]) as stream:
            messages = iter(stream)
            next(messages)
            for start in range(1, 20):
                worker.says(here.fills(here.fill("buy", "1", str(start))))
                message = next(messages)
                assert rows(here)[-1].fill_id == message["fill"]["fill_id"]
        health = here.api.health()
        assert health["history"] == {"seq": health["journal"]["seq"], "backlog": 0, "failure": None}


def test_a_history_that_cannot_be_written_is_said_and_made_good():
    with desk() as here:
        state = here.settings.paths.state_dir
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text("in the way")
        with here.running():
            worker = _proven(here)
            worker.says(here.fills(here.fill("buy", "1", "1")))
            row = until("taken", lambda: (row := here.position()) and row["size"] == "2" and row)
            assert row["verdict"] == "proven"
            health = here.api.health()
            assert health["status"] == "unhealthy"
            assert "the history cannot be written: " in health["reasons"][0]
            assert str(state) in health["reasons"][0]
            assert health["history"]["backlog"] > 0

            state.unlink()
            until("written again", lambda: here.api.health()["history"]["backlog"] == 0)
            assert here.api.health()["status"] == "healthy"
            assert [row.fill_id for row in rows(here)] == ["1"]


def test_without_its_logs_a_tracker_takes_the_book_up_from_the_history():
    with desk() as here:
        with here.running():
            worker = _proven(here)
            last = here.fill("buy", "0.5", "1", price="51000")
            worker.says(here.fills(last))
            until("taken", lambda: (row := here.position()) and row["size"] == "1.5")
            before = here.position()
        shutil.rmtree(here.settings.paths.log_dir)

        with here.running():
            worker = here.join()
            # What is remembered reaches back to the first statement, a second before the fill.
            assert worker.heard == [Welcome({"main": last.time_ms - 1000})]
            row = here.position()
            assert before is not None
            assert row is not None
            same = ("size", "entry_price", "fees", "realized_pnl", "fills", "last_fill_time")
            assert {name: row[name] for name in same} == {name: before[name] for name in same}
            until("said", lambda: "rejoined" in [line["type"] for line in here.lines()])
        assert [row.fill_id for row in rows(here)] == [str(last.trade_id)]


def test_a_history_that_breaks_is_filled_anew_while_positions_go_on():
    with desk() as here:
        with here.running():
            worker = _proven(here)
            worker.says(here.fills(here.fill("buy", "1", "1")))
            until("taken", lambda: (row := here.position()) and row["size"] == "2")
        state = here.settings.paths.state_dir
        (state / "history.sqlite3").write_bytes(b"garbage" * 1000)
        with here.running():
            worker = here.join()
            worker.is_live()
            worker.says(here.fills(here.fill("buy", "1", "2")))
            until("taken", lambda: (row := here.position()) and row["size"] == "3")
            until("filled anew", lambda: len(rows(here)) == 2)
            until("said", lambda: "history_rebuilt" in [line["type"] for line in here.lines()])
        assert [path for path in state.iterdir() if ".corrupt-" in path.name]


def test_statements_leave_their_digests_and_say_where_they_differ():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.says(here.statement("1"), here.statement("7"))
        until("doubted", lambda: len(table(here, "SELECT 1 FROM statements")) >= 3)
        said = table(here, "SELECT source, agreed, differing FROM statements ORDER BY heard_ms, agreed DESC")
        assert [(source, agreed) for source, agreed, _ in said] == [("rest", 1), ("rest", 1), ("rest", 0)]
        assert json.loads(said[-1][2]) == ["hyperliquid:Perp:BTC"]

"""The tracker, with real sockets and files: what it is told, what it says, keeps and asks for."""

import json
import re
import shutil
import socket
import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.client.snapshot import Snapshot
from hlposmon.config import Account
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.rendering import time_text
from hlposmon.domain.reports import (
    AccountEvent,
    AccountEventKind,
    AccountMode,
    BellReason,
    FeedState,
    Fetched,
    Fills,
    Following,
    Funding,
    Heard,
    Live,
    MarginMode,
    MarginTables,
    NotFetched,
    Notice,
    NoticeCode,
    Place,
    PlaceRead,
    TradedOnSpot,
    Welcome,
)
from hlposmon.domain.views import WINDOW_MS
from hlposmon.engine import requests
from tests.clock import awake_s
from tests.tracker.desk import ADDRESS, KEY, Desk, desk, until


def _proven(here: Desk, size: str = "1") -> Desk.Worker:
    """A worker whose account holds `size` BTC at 50000, stated and fresh."""
    worker = here.join()
    worker.is_live()
    worker.says(here.statement(size), here.marks("50000"))
    until("proven", lambda: (row := here.position()) and row["verdict"] == "proven")
    return worker


def _metrics(here: Desk) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(here.settings.paths.socket))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        raw = b""
        while part := sock.recv(65536):
            raw += part
    return raw


def test_a_fill_is_in_the_journal_before_a_client_hears_of_it():
    with desk() as here, here.running():
        worker = _proven(here)
        with here.api.stream(events=["fill"]) as stream:
            messages = iter(stream)
            assert next(messages)["type"] == "initial_state"
            for start in range(1, 40):
                worker.says(here.fills(here.fill("buy", "1", str(start))))
                message = next(messages)
                fills = [line for line in here.lines() if line["type"] == "fill"]
                assert fills[-1]["fill_id"] == message["fill"]["fill_id"]
                assert message["position"]["size"] == fills[-1]["position"]["size"] == str(start + 1)


def test_the_same_fill_from_two_feeds_is_told_once():
    with desk() as here, here.running():
        first = _proven(here)
        second = here.join("fill-2")
        one, two = here.fill("buy", "1", "1"), here.fill("sell", "2", "2")
        first.says(here.fills(one), here.fills(two))
        second.says(here.fills(one, two))
        until("closed", lambda: here.position() is None)

        second.says(here.fills(here.fill("buy", "3", "0")))
        until("opened", lambda: (row := here.position()) and row["size"] == "3")
        assert [line["quantity"] for line in here.lines() if line["type"] == "fill"] == ["1", "2", "3"]


def test_a_restart_takes_the_book_up_from_the_journal_and_tells_its_workers_where_it_stands():
    with desk() as here:
        with here.running():
            worker = _proven(here)
            last = here.fill("buy", "0.5", "1", price="51000")
            worker.says(
                here.fills(last), Funding("main", KEY, here.now_ms, Decimal("-0.25"), Decimal(1), Decimal(0))
            )
            until("taken", lambda: (row := here.position()) and row["funding"] == "-0.25")
            before = here.position()

        with here.running():
            worker = here.join()
            welcome = next(ask for ask in worker.heard if isinstance(ask, Welcome))
            assert last.time_ms - WINDOW_MS <= welcome.high_water_ms["main"] < last.time_ms
            row = here.position()
            assert before is not None
            assert row is not None
            same = ("size", "entry_price", "fees", "funding", "realized_pnl", "fills", "last_fill_time")
            assert {name: row[name] for name in same} == {name: before[name] for name in same}
            assert row["verdict"] in ("unproven", "stale")

            worker.is_live()
            worker.says(here.fills(last), here.statement("1.5", "50333.333333"), here.marks("50000"))
            until("proven again", lambda: (row := here.position()) and row["verdict"] == "proven")
            assert sum(line["type"] == "fill" for line in here.lines()) == 1


@pytest.mark.parametrize("lost", ["nothing", "history", "journal"])
def test_funding_that_is_owed_is_booked_after_a_restart_though_a_later_one_was(lost: str):
    with desk() as here:

        def paid(hours: int) -> Funding:
            at_ms = here.now_ms + hours * 3_600_000
            return Funding("main", KEY, at_ms, Decimal(hours), Decimal(1), Decimal(0))

        def is_booked(usd: int) -> bool:
            row = here.position()
            return row is not None and Decimal(row["funding"]) == usd

        with here.running(), here.keeping_history():
            worker = _proven(here)
            worker.says(paid(4), paid(2))
            until("two are booked", lambda: is_booked(6))
        # Behind the last checkpoint: without its logs a tracker is told of them again.
        if lost == "history":
            (here.settings.paths.state_dir / "history.sqlite3").unlink()
        elif lost == "journal":
            shutil.rmtree(here.settings.paths.log_dir)

        with here.running():
            worker = here.join()
            worker.says(paid(3), paid(2), paid(4))
            until("the third is booked, and none again", lambda: is_booked(9))


def test_another_address_under_the_same_name_takes_nothing_from_the_journal():
    with desk() as here:
        with here.running():
            _proven(here)
        other = Account("main", "0x" + "2" * 40)
        here.settings = replace(
            here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=(other,))
        )
        with here.running():
            worker = here.join()
            assert worker.heard == [Welcome({"main": None})]
            assert here.position() is None


def test_a_gap_rings_the_bell_with_the_time_to_fetch_from_and_rings_again_until_it_is_healed():
    with desk() as here, here.running():
        worker, reconcile = _proven(here), here.join("reconcile", "reconcile")
        known = here.fill("buy", "1", "1")
        missing, next_one = here.fill("buy", "1", "2"), here.fill("buy", "1", "3")
        worker.says(here.fills(known), here.fills(next_one))

        bell = until("the bell", reconcile.bells)[0]
        assert (bell.account, bell.since_ms) == ("main", known.time_ms)
        row = here.position()
        assert row is not None
        assert (row["size"], row["verdict"]) == ("2", "unproven")
        until("the bell again", lambda: len(reconcile.bells()) > 1)

        reconcile.says(here.fills(missing))
        until(
            "healed", lambda: (row := here.position()) and row["size"] == "4" and row["verdict"] == "proven"
        )
        kinds = [line["type"] for line in here.lines()]
        assert kinds.index("gap") < kinds.index("healed")


def test_prices_are_published_only_when_profit_moved_by_more_than_a_cent():
    with desk() as here, here.running():
        worker = _proven(here)
        with here.api.stream(events=["price_update"]) as stream:
            messages = iter(stream)
            next(messages)
            for price in ("50000.005", "50000.01", "50000.012", "50000.02", "50000.5"):
                worker.says(here.marks(price))
                until("taken", lambda price=price: (row := here.position()) and row["mark_price"] == price)
            worker.says(here.marks("51000"))

            said = [next(messages)["position"]["mark_price"] for _ in range(3)]
        assert said == ["50000.012", "50000.5", "51000"]


def test_every_compact_message_names_its_account():
    with desk() as here, here.running():
        worker = _proven(here)
        with here.api.stream(compact=True) as stream:
            told = iter(stream)
            next(told)
            missing, behind = here.fill("buy", "1", "1"), here.fill("buy", "1", "2")
            worker.says(here.fills(behind), here.fills(missing))
            said = {}

            def hear(*kinds: str) -> None:
                while {*kinds} - said.keys():
                    message = next(told)
                    said[message["e"]] = message

            hear("gap", "healed", "fill")
            worker.says(here.marks("51000"))
            hear("p")
            here.now_ms += 60_000
            first = here.statement("5")
            later = replace(
                first,
                asked_s=first.asked_s + 3,
                fills_from_ms=here.now_ms - 120_000,
                time_ms=first.time_ms + 3000,
            )
            worker.says(first, later)
            hear("drift", "verdict", "position_change")

        assert {kind: (one["a"], one["k"]) for kind, one in said.items()} == dict.fromkeys(
            said, ("main", "BTC-USD")
        )


def test_compact_messages_say_as_of_when_except_those_of_a_price():
    with desk() as here, here.running():
        worker = _proven(here)
        with here.api.stream(compact=True) as stream:
            told = iter(stream)
            next(told)
            one = here.fill("buy", "1", "1")
            worker.says(here.fills(one), here.marks("51000"))
            said = {}
            while {"fill", "p"} - said.keys():
                message = next(told)
                said[message["e"]] = message

        assert said["fill"]["t"] == time_text(one.time_ms)
        assert "t" not in said["p"]


def test_of_fills_that_are_taken_together_each_is_told_as_of_its_own_time():
    with desk() as here, here.running():
        worker = _proven(here)
        with here.api.stream(events=["fill"]) as stream:
            told = iter(stream)
            next(told)
            both = here.fill("buy", "1", "1"), here.fill("buy", "1", "2")
            worker.says(here.fills(*both))
            positions = [next(told)["position"] for _ in both]

        assert [(row["size"], row["as_of"]) for row in positions] == [
            ("2", time_text(both[0].time_ms)),
            ("3", time_text(both[1].time_ms)),
        ]


def test_before_the_first_statement_no_sum_is_known_on_any_surface():
    sums = ("total_exposure", "total_pnl", "realized_pnl", "unrealized_pnl", "fees", "funding")
    with desk() as here, here.running():
        summary, health = here.api.summary(), here.api.health()
        with here.api.stream() as stream:
            first = next(iter(stream))
        text = _metrics(here).decode()
        for answer in (summary, first, summary["accounts"]["main"], first["accounts"]["main"]):
            assert {name: answer[name] for name in sums} == dict.fromkeys(sums)
        assert summary["accounts"]["main"]["as_of"] is None
        assert health["unrealized_pnl"] is None
        assert "hlposmon_account_fees_usd{" not in text

        _proven(here)
        summary, text = here.api.summary(), _metrics(here).decode()
        assert None not in [summary[name] for name in sums]
        assert summary["accounts"]["main"]["as_of"] is not None
        assert "hlposmon_account_fees_usd{" in text


def test_a_statement_that_agrees_makes_a_position_newer_on_every_surface():
    with desk() as here, here.running():
        worker = _proven(here)
        here.now_ms += 60_000
        worker.says(here.statement("1"))
        wanted = time_text(here.now_ms)
        row = until("newer", lambda: (row := here.position()) and row["as_of"] == wanted and row)
        with Snapshot.open(here.settings.paths.snapshot) as opened:
            record = until(
                "in the snapshot", lambda: (r := opened.position(KEY)) and r.as_of_ms == here.now_ms and r
            )
        account = here.api.summary()["accounts"]["main"]
        text = _metrics(here).decode()

    assert (row["proof"], row["block"]) == (record.proof, record.block) == ("fills", None)
    assert account["as_of"] == wanted
    for name in (
        f'hlposmon_position_as_of_timestamp_seconds{{account="main",key="{KEY}"}}',
        'hlposmon_account_as_of_timestamp_seconds{account="main"}',
    ):
        [said] = [line.split()[-1] for line in text.splitlines() if line.startswith(name)]
        assert float(said) == here.now_ms / 1000
    labels = f'account="main",key="{KEY}"'
    proofs = {line for line in text.splitlines() if line.startswith("hlposmon_position_proof{")}
    assert proofs == {
        f'hlposmon_position_proof{{{labels},proof="fills"}} 1.0',
        f'hlposmon_position_proof{{{labels},proof="trades"}} 0.0',
        f'hlposmon_position_proof{{{labels},proof="statement"}} 0.0',
    }


def test_a_first_statement_waits_for_the_feed_of_fills():
    with desk() as here, here.running():
        worker = here.join()
        worker.says(here.statement("1"), Heard("fill", time.monotonic()))
        until("heard", lambda: here.api.health()["ages_s"]["fills"] is not None)
        assert here.position() is None

        worker.is_live()

        until("stated", here.position)


def test_a_feed_whose_process_is_gone_is_down_and_nothing_is_proven():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.queue.close()
        row = until("unproven", lambda: (row := here.position()) and row["verdict"] == "unproven" and row)
        assert "its process is gone" in row["verdict_reason"]
        assert here.api.health()["status"] == "degraded"


def test_losing_one_of_two_feeds_costs_nothing():
    with desk() as here, here.running():
        worker, second = _proven(here), here.join("fill-2")
        second.is_live()
        until("heard", lambda: "fill-2" in here.api.summary()["feeds"]["fill_feeds_s"])
        worker.says(FeedState("main", "fill", False, time.monotonic(), "lost"))
        second.says(here.fills(here.fill("buy", "1", "1")))
        row = until("taken", lambda: (row := here.position()) and row["size"] == "2" and row)
        assert row["verdict"] == "proven"


def test_an_audit_that_cannot_be_written_is_said_and_made_good():
    with desk() as here, here.running():
        worker = _proven(here)
        trading = here.folder / "log" / "trading"
        kept = trading.rename(here.folder / "kept")
        trading.write_text("in the way")  # the folder is gone: the open file is one that nobody finds
        here.tracker._lifecycle.journal.journal._file.close()
        worker.says(here.fills(here.fill("buy", "1", "1")))
        health = until("unhealthy", lambda: (h := here.api.health())["status"] == "unhealthy" and h)
        assert "the audit cannot be written" in health["reasons"][0]
        row = here.position()
        assert row is not None
        assert row["size"] == "2"

        trading.unlink()
        kept.rename(trading)
        until("written again", lambda: here.api.health()["journal"]["failure"] is None)
        assert [line["seq"] for line in here.lines()] == list(range(1, len(here.lines()) + 1))
        assert [line["quantity"] for line in here.lines() if line["type"] == "fill"] == ["1"]


def test_an_audit_that_cannot_be_read_at_the_start_is_said_and_written_behind_when_it_can_be():
    with desk() as here:
        with here.running():
            _proven(here)
        before = here.lines()
        [path] = (here.folder / "log" / "trading").iterdir()
        kept = path.rename(here.folder / "kept")
        path.mkdir()  # cannot be read, not even by root
        with here.running():
            worker = _proven(here)
            worker.says(here.fills(here.fill("buy", "1", "1")))
            until("taken", lambda: (row := here.position()) and row["size"] == "2")
            health = here.api.health()
            assert health["status"] == "unhealthy"
            assert "the audit cannot be read: Is a directory" in health["reasons"][0]
            assert health["journal"]["seq"] == 0
            assert health["journal"]["backlog"] > 3

            path.rmdir()
            kept.rename(path)
            until("written", lambda: here.api.health()["journal"]["failure"] is None)
        lines = here.lines()
        assert lines[: len(before)] == before
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert lines[len(before)]["type"] == "audit_unread"
        assert [line["quantity"] for line in lines if line["type"] == "fill"] == ["1"]


def test_altered_checkpoints_are_said_in_the_log_and_in_the_audit(caplog):
    with desk() as here:
        with here.running():
            _proven(here)
        [path] = (here.folder / "log" / "trading").iterdir()
        path.write_bytes(path.read_bytes().replace(b'"type":"checkpoint",', b'"type":"checkpoint", '))
        with here.running():
            _proven(here)
        said = [line for line in here.lines() if line["type"] == "audit_damaged"]
        assert said[-1]["reason"] == "no checkpoint of the audit is sound: the book begins anew"
        assert said[-1]["reason"] in caplog.messages


def test_a_notice_degrades_with_its_code_and_ends_with_its_cause():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.sees_everything()
        until("ready", lambda: here.api.health()["ready"])
        notice = Notice("main", NoticeCode.AGENT_ADDRESS, "this is an agent's address", "fill")
        worker.says(notice, notice)
        health = until("degraded", lambda: (h := here.api.health())["status"] == "degraded" and h)
        text = "account main: this is an agent's address"
        assert (health["ready"], health["reasons"]) == (False, [text])
        assert health["details"] == [{"code": "agent_address", "account": "main", "text": text}]
        assert here.api.summary()["accounts"]["main"]["notices"] == ["this is an agent's address"]

        worker.says(replace(notice, text=""))
        health = until("over", lambda: (h := here.api.health())["status"] == "healthy" and h)
        assert (health["ready"], health["details"]) == (True, [])


def test_the_notices_of_a_worker_end_when_it_begins_anew():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.says(Notice("main", NoticeCode.FEED_REFUSED, "too many users", "fill"))
        until("said", lambda: here.api.summary()["accounts"]["main"]["notices"])
        here.join()

        until("forgotten", lambda: not here.api.summary()["accounts"]["main"]["notices"])


def test_a_dex_that_cannot_be_read_is_named_and_keeps_it_from_being_ready():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.sees_everything()
        until("ready", lambda: here.api.health()["ready"])
        worker.says(PlaceRead("main", Place.DEXES, ("xyz",)))
        health = until("degraded", lambda: (h := here.api.health())["status"] == "degraded" and h)
        assert not health["ready"]
        [detail] = health["details"]
        assert (detail["code"], detail["account"]) == ("not_watched", "main")
        assert "what it holds on the dex xyz is not known" in detail["text"]
        worker.says(PlaceRead("main", Place.DEXES, ()))
        until("over", lambda: here.api.health()["ready"])


def test_a_trade_on_spot_asks_for_its_balances():
    with desk() as here, here.running():
        worker, reconcile = _proven(here), here.join("reconcile", "reconcile")
        worker.sees_everything()
        until("ready", lambda: here.api.health()["ready"])
        worker.says(TradedOnSpot("main", ("@107",)))
        until("the bell", lambda: BellReason.SPOT in [bell.reason for bell in reconcile.bells()])
        assert here.api.health()["ready"]


def test_what_no_push_tells_of_other_dexes_is_asked_for(monkeypatch):
    monkeypatch.setattr(requests, "UNSEEN_S", 0.2)
    with desk() as here, here.running():
        _proven(here)
        reconcile = here.join("reconcile", "reconcile")

        until("the bell", lambda: BellReason.NOT_WATCHED in [bell.reason for bell in reconcile.bells()])


def test_the_money_of_an_account_is_null_until_its_mode_is_known_and_says_why():
    with desk() as here, here.running():
        worker = _proven(here)

        def account():
            return here.api.summary()["accounts"]["main"]

        assert [account()[name] for name in ("equity", "margin_used", "withdrawable", "mode")] == [None] * 4
        assert "account mode" in account()["equity_reason"]
        worker.says(AccountMode("main", "unifiedAccount", plain=False, reason="kept in spot"))
        until("known", lambda: account()["mode"] == "unifiedAccount")
        assert (account()["equity"], account()["equity_reason"]) == (None, "kept in spot")
        worker.says(AccountMode("main", "default", plain=True))
        until("plain", lambda: account()["mode"] == "default")
        assert (account()["equity"], account()["equity_reason"]) == (
            None,
            "it is not known yet what it holds on spot",
        )
        worker.says(PlaceRead("main", Place.SPOT, ()))
        until("all known", lambda: account()["equity"] == "1000.00")
        assert account()["equity_reason"] is None


def test_an_equity_that_falls_to_zero_rings_for_the_mode():
    with desk() as here, here.running():
        worker, reconcile = _proven(here), here.join("reconcile", "reconcile")
        worker.sees_everything()
        until("known", lambda: here.api.summary()["accounts"]["main"]["equity"])
        worker.says(replace(here.statement("1"), equity=Decimal(0)))

        until("the bell", lambda: BellReason.MODE in [bell.reason for bell in reconcile.bells()])
        assert here.api.summary()["accounts"]["main"]["equity"] is None


def test_a_feed_that_comes_up_is_fetched_for_and_told_when_it_is_live():
    with desk() as here, here.running():
        _proven(here)
        reconcile, second = here.join("reconcile", "reconcile"), here.join("fill-2")
        began_s = time.monotonic()
        second.says(Following("main", "fill-2", began_s))
        bell = until("the bell", lambda: [b for b in reconcile.bells() if b.reason is BellReason.FEED])[0]
        assert bell.since_ms is not None

        reconcile.says(Fetched("main", bell.since_ms, began_s - 0.1))  # it began before the feed did
        reconcile.says(Heard("nobody", began_s))
        assert not [ask for ask in second.hear() if isinstance(ask, Live)]
        reconcile.says(Fetched("main", bell.since_ms, time.monotonic()))

        until("live", lambda: [ask for ask in second.hear() if isinstance(ask, Live)])
        [live] = [ask for ask in second.hear() if isinstance(ask, Live)]
        assert (live.account, live.since_s) == ("main", began_s)
        assert live.known_ms is not None and live.known_ms >= bell.since_ms


def test_fills_from_before_a_fetch_are_held_until_it_is_there_and_shown_when_it_fails():
    with desk() as here, here.running():
        worker, reconcile = _proven(here), here.join("reconcile", "reconcile")
        worker.says(FeedState("main", "fill", False, time.monotonic(), "lost"))
        missed, heard = here.fill("buy", "1", "1"), here.fill("buy", "1", "2")
        since_s = time.monotonic()
        worker.says(Following("main", "fill", since_s), Fills("main", "fill", (heard,), since_s))
        bell = until("the bell", lambda: [b for b in reconcile.bells() if b.reason is BellReason.FEED])[0]
        assert "gap" not in [line["type"] for line in here.lines()]

        reconcile.says(Fills("main", "fetch", (missed,)), Fetched("main", bell.since_ms, time.monotonic()))
        until("all", lambda: (row := here.position()) and row["size"] == "3")
        assert "gap" not in [line["type"] for line in here.lines()]

        worker.says(FeedState("main", "fill", False, time.monotonic(), "lost"))
        here.fill("buy", "1", "3")
        late = here.fill("buy", "1", "4")
        worker.says(Following("main", "fill", time.monotonic()), Fills("main", "fill", (late,), since_s))
        reconcile.says(NotFetched("main", "500: null"))
        until("a gap", lambda: "gap" in [line["type"] for line in here.lines()])
        row = here.position()
        assert row is not None
        assert row["verdict"] == "unproven"


def test_a_live_fill_is_taken_before_all_that_a_fetch_has_to_say():
    with desk() as here, here.running():
        reconcile = here.join("reconcile", "reconcile")
        worker = _proven(here)
        ended = threading.Event()

        def keep_full() -> None:
            while not ended.is_set():
                reconcile.queue.put(Heard("nobody", 0.0), lambda: not ended.is_set())

        flood = threading.Thread(target=keep_full)
        flood.start()
        try:
            with here.api.stream(events=["fill"]) as stream:
                messages = iter(stream)
                next(messages)
                for start in range(1, 6):
                    worker.says(here.fills(here.fill("buy", "1", str(start))))
                    assert next(messages)["position"]["size"] == str(start + 1)
        finally:
            ended.set()
            flood.join()


def test_a_reload_watches_other_accounts_and_keeps_the_old_ones():
    with desk() as here, here.running():
        _proven(here)
        accounts = (Account("main", ADDRESS), Account("hedge", "0x" + "3" * 40))
        here.next_settings = replace(
            here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=accounts)
        )
        here.pulse.reload()
        until("both", lambda: set(here.api.summary()["accounts"]) == {"main", "hedge"})
        assert here.api.summary()["positions"]["main/BTC-USD"]["size"] == "1"


def test_every_surface_says_the_same_of_a_position():
    with desk() as here, here.running():
        worker = _proven(here, "-3")
        worker.says(here.fills(here.fill("buy", "1", "-3", price="49000")), here.marks("48000.5"))
        row = until("marked", lambda: (row := here.position()) and row["mark_price"] == "48000.5" and row)
        with Snapshot.open(here.settings.paths.snapshot) as opened:
            record = until(
                "in the snapshot",
                lambda: (r := opened.position(KEY)) and str(r.mark_price) == "48000.5" and r,
            )
        assert row["unrealized_pnl"] == "3999.00"
        for name in ("size", "entry_price", "unrealized_pnl", "realized_pnl", "fees", "notional_value"):
            assert str(getattr(record, name)) == row[name], name
        assert (record.verdict, record.side) == (row["verdict"], row["side"])
        status, _ = here.api.get("/api/v1/positions/health")
        assert status == 200


def test_the_metrics_are_prometheus_text():
    with desk() as here, here.running():
        _proven(here)
        raw = _metrics(here)
        assert b'hlposmon_position_size{account="main",key="hyperliquid:Perp:BTC"} 1.0' in raw
        assert b'hlposmon_heard_timestamp_seconds{news="prices"}' in raw


def test_a_stop_is_journalled_and_the_snapshot_goes():
    with desk() as here:
        with here.running():
            _proven(here)
            assert here.settings.paths.snapshot.exists()
        assert here.lines()[-1]["type"] == "stop"
        assert not here.settings.paths.snapshot.exists()


@pytest.mark.parametrize("raw", ["{", "[]", '{"action": "sell everything"}', '{"action": 1}', "\x00"])
def test_rubbish_from_a_client_of_the_stream_is_answered_with_an_error(raw: str):
    from websockets.sync.client import unix_connect

    with (
        desk() as here,
        here.running(),
        unix_connect(str(here.settings.paths.socket), "ws://localhost/api/v1/positions/stream") as stream,
    ):
        stream.recv(timeout=30)
        stream.send(raw)
        assert json.loads(stream.recv(timeout=30))["type"] == "error"


def _welcomed_ms(worker: Desk.Worker) -> int | None:
    return next(ask for ask in worker.heard if isinstance(ask, Welcome)).high_water_ms["main"]


def test_fills_that_come_in_during_an_outage_do_not_hide_it_from_a_restarted_tracker():
    with desk() as here:
        with here.running():
            worker = _proven(here)
            before = here.fill("buy", "1", "1")
            worker.says(here.fills(before))
            worker.says(FeedState("main", "fill", False, time.monotonic(), "lost"))
            here.now_ms += 60_000
            worker.says(here.fills(here.fill("buy", "1", "2")))
            until("taken", lambda: (row := here.position()) and row["size"] == "3")
        with here.running():
            worker = here.join()
            assert _welcomed_ms(worker) == before.time_ms
            worker.is_live()
            until("live", lambda: here.tracker._engine.book.is_live("main"))
            assert (_welcomed_ms(here.join("fill-2")) or 0) > before.time_ms


def test_an_open_gap_survives_a_restart():
    other = "hyperliquid:Perp:ETH"
    with desk() as here:
        with here.running():
            worker = _proven(here)
            gapped = here.fill("buy", "1", "7", key=other)
            worker.says(here.fills(gapped))
            until("in doubt", lambda: "ETH-USD" in here.api.summary()["positions"])
            since = here.lines()[-1]
            here.now_ms += 60_000
            worker.says(here.fills(here.fill("buy", "1", "1")))
            until("taken", lambda: (row := here.position()) and row["size"] == "2")
            gap = next(line for line in here.lines() if line["type"] == "gap")
        with here.running():
            assert _welcomed_ms(here.join()) == gap["since_ms"] <= gapped.time_ms, since


def test_a_tracker_that_begins_again_knows_how_old_the_last_fill_is():
    with desk() as here:
        here.now_ms = int(time.time() * 1000) - 61_000
        with here.running():
            assert "no fills yet" in " ".join(here.api.health()["reasons"])
            worker = _proven(here)
            worker.says(here.fills(here.fill("buy", "1", "1")))
            until("taken", lambda: (row := here.position()) and row["size"] == "2")
        with here.running():
            health = here.api.health()
    said = re.search(r"no feed of fills was heard yet, the last fill is (\d+) s old", health["late"]["fills"])

    assert said is not None and 50 <= int(said[1]) < 90
    assert health["ages_s"]["fills"] is None, "no feed was heard: what rests on it is not fresh"


def test_a_flat_coin_in_doubt_is_listed_and_the_account_is_not_proven():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.says(here.fills(here.fill("sell", "1", "5", key="hyperliquid:Perp:SOL")))
        row = until("listed", lambda: here.api.summary()["positions"].get("SOL-USD"))
        assert (row["is_flat"], row["verdict"]) == (True, "unproven")
        health = here.api.health()
        assert (health["status"], health["ready"]) == ("degraded", False)
        assert here.api.summary()["accounts"]["main"]["verdict"] == "unproven"
        counts = health["positions"], health["flat_in_doubt"]
        assert (counts, sum(health["verdicts"].values())) == ((1, 1), 2)


def test_before_the_first_statement_no_count_of_positions_is_known():
    with desk() as here, here.running():
        here.join()
        summary, health = here.api.summary(), here.api.health()

    assert summary["stated"] is health["stated"] is False
    counts = (summary["active_positions"], summary["accounts"]["main"]["active_positions"])
    assert (*counts, health["positions"], health["flat_in_doubt"]) == (None,) * 4


def test_margin_and_liquidation_price_are_of_the_stated_size_only():
    with desk() as here, here.running():
        worker = _proven(here)
        statement = here.statement("1")
        stated = replace(
            statement.positions[0],
            margin_used=Decimal(5000),
            liquidation_price=Decimal(41000),
            leverage=Decimal(10),
        )
        worker.says(replace(statement, positions=(stated,)))
        until("detailed", lambda: (row := here.position()) and row["liquidation_price"] == "41000")

        worker.says(here.fills(here.fill("sell", "3", "1")))

        row = until("flipped", lambda: (row := here.position()) and row["size"] == "-2" and row)
        assert (row["liquidation_price"], row["margin_used"], row["leverage"]) == (None, None, "10")


def test_how_near_a_position_and_its_account_are_to_liquidation_is_shown():
    with desk() as here, here.running():
        worker = _proven(here)
        worker.says(
            AccountMode("main", "default", plain=True),
            MarginTables("", {KEY: MarginTable.single(Decimal(20))}),
            here.marks("50000"),
        )
        statement = here.statement("1")
        row = replace(
            statement.positions[0],
            mark_price=Decimal(50000),
            liquidation_price=Decimal(45000),
            margin_mode=MarginMode.CROSS,
            max_leverage=Decimal(20),
        )
        margin = {"cross_equity": Decimal(6250), "cross_maintenance": Decimal(1250)}
        worker.says(replace(statement, positions=(row,), **margin))

        shown = until("known", lambda: (row := here.position()) and row["maintenance_margin"] and row)
        assert (shown["maintenance_margin"], shown["liquidation_distance"]) == ("1250.00", "0.1")
        assert (shown["margin_mode"], shown["max_leverage"]) == ("cross", "20")
        account = here.api.summary()["accounts"]["main"]
        assert [account[name] for name in ("maintenance_margin", "margin_ratio", "margin_reason")] == [
            "1250.00",
            "0.2",
            None,
        ]


def test_the_journal_of_a_simulated_run_is_not_taken_for_real():
    with desk() as here:
        here.settings = replace(here.settings, simulated=True)
        with here.running():
            _proven(here)
        here.settings = replace(here.settings, simulated=False)
        with here.running():
            assert here.join().heard == [Welcome({"main": None})]
            assert here.position() is None
            assert here.api.summary()["mode"] == "live"


def test_a_reload_that_changes_an_address_begins_that_account_anew():
    with desk() as here, here.running():
        _proven(here)
        other = Account("main", "0x" + "2" * 40)
        here.next_settings = replace(
            here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=(other,))
        )
        here.pulse.reload()
        until("anew", lambda: here.position() is None)
        until("journalled", lambda: here.lines()[-1].get("addresses") == {"main": other.address})
        with Snapshot.open(here.settings.paths.snapshot) as opened:
            assert opened.positions(all=True) == []


def test_a_mark_that_the_price_feed_never_tells_again_is_taken_from_a_statement():
    with desk() as here, here.running():
        worker = _proven(here)
        late = replace(here.statement("1"), asked_s=time.monotonic() + 20)
        stated = replace(late.positions[0], mark_price=Decimal(60000))
        worker.says(replace(late, positions=(stated,)))
        until("marked", lambda: (row := here.position()) and row["mark_price"] == "60000")


def test_a_pushed_state_that_differs_is_told_at_once_and_a_fetch_is_wanted():
    with desk() as here, here.running():
        worker, reconcile = _proven(here), here.join("reconcile", "reconcile")
        here.now_ms += 60_000
        with here.api.stream() as stream:
            told = iter(stream)
            next(told)
            said_s = awake_s()
            worker.says(replace(here.statement("3"), pushed=True))
            verdict = next(one for one in told if one.get("event_type") == "verdict")
            took_s = awake_s() - said_s

        assert verdict["position"]["verdict"] == "unproven"
        assert "the venue states 3" in verdict["position"]["verdict_reason"]
        assert took_s < 1
        until("a bell", lambda: any(bell.since_ms is not None for bell in reconcile.bells()))


def test_a_drift_names_its_cause_on_every_surface_and_in_the_journal():
    with desk() as here, here.running():
        worker = _proven(here)
        here.now_ms += 60_000
        first = here.statement("3")
        later = replace(
            first,
            asked_s=first.asked_s + 3,
            fills_from_ms=here.now_ms - 120_000,
            time_ms=first.time_ms + 3000,
        )
        cause = AccountEvent(
            "main", first.time_ms, AccountEventKind.LIQUIDATION, "liquidation of BTC", (KEY,)
        )
        worker.says(replace(first, pushed=True), cause, first, later)
        until("adopted", lambda: (here.position() or {}).get("size") == "3")
        health = here.api.health()
        [line] = [line for line in here.lines() if line["type"] == "drift"]

        assert (line["book_size"], line["venue_size"]) == ("1", "3")
        assert "liquidation" in line["cause"]
        assert health["incidents"]["drift"] == 1
        assert any("liquidation" in reason for reason in health["reasons"])
        assert b'hlposmon_drifts_total{account="main"} 1.0' in _metrics(here)


def test_what_a_worker_tells_of_the_old_address_is_not_taken_for_the_new_one():
    with desk() as here, here.running():
        old = here.join(addresses={"main": ADDRESS})
        old.is_live()
        old.says(here.statement("1"), here.marks("50000"))
        until("proven", lambda: (row := here.position()) and row["verdict"] == "proven")
        new = here.join("fill-2", addresses={"main": "0x" + "2" * 40})
        new.says(here.statement("7"))  # it was sooner than the tracker
        other = Account("main", "0x" + "2" * 40)
        here.next_settings = replace(
            here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=(other,))
        )
        here.pulse.reload()
        until("anew", lambda: here.position() is None)
        old.says(here.fills(here.fill("buy", "1", "1")), here.statement("2"))
        until("it is welcomed again", lambda: sum(isinstance(ask, Welcome) for ask in new.hear()) == 2)
        new.is_live()
        new.says(here.statement("5"), here.marks("50000"))
        until("stated", lambda: (row := here.position()) and row["size"] == "5")

        assert [line["type"] for line in here.lines() if line["type"] == "fill"] == []


def _watching(here: Desk, **addresses: str) -> None:
    accounts = tuple(Account(name, address) for name, address in addresses.items())
    here.next_settings = replace(
        here.settings, hyperliquid=replace(here.settings.hyperliquid, accounts=accounts)
    )
    here.pulse.reload()
    until("reloaded", lambda: set(here.api.summary()["accounts"]) == set(addresses))


def _welcomes(worker: Desk.Worker) -> list[set[str]]:
    return [set(ask.high_water_ms) for ask in worker.hear() if isinstance(ask, Welcome)]


def test_a_reload_welcomes_only_those_who_tell_of_a_new_account_and_of_that_alone():
    both = {"main": ADDRESS, "hedge": "0x" + "3" * 40}
    with desk() as here, here.running():
        old = here.join("fill", addresses={"main": ADDRESS})
        new = here.join("fill-2", addresses=both)  # it was sooner than the tracker
        _watching(here, **both)

        until("it is welcomed again", lambda: _welcomes(new) == [{"main"}, {"hedge"}])
        assert _welcomes(old) == [{"main"}]


def test_fills_let_through_before_a_feed_is_live_do_not_hide_what_was_lost_in_a_crash():
    """Nothing says that a feed went down, as the tracker was killed: what came between is fetched."""
    with desk() as here:
        with here.running():
            _proven(here)
        lines = here.lines()
        known_ms = here.now_ms
        [path] = (here.folder / "log" / "trading").iterdir()
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines[:-2]))
        with here.running():
            worker, reconcile = here.join(), here.join("reconcile", "reconcile")
            since_s = time.monotonic()
            here.now_ms += 60_000
            worker.says(Following("main", "fill", since_s), NotFetched("main", "500"))
            worker.says(Fills("main", "fill", (here.fill("buy", "1", "1"),), since_s))
            until("taken", lambda: (row := here.position()) and row["size"] == "2")
            reconcile.queue.close()

            again = here.join("reconcile", "reconcile")
            bell = until("the bell", lambda: [b for b in again.bells() if b.reason is BellReason.FEED])[0]
            assert bell.since_ms is not None
            assert bell.since_ms <= known_ms


def test_an_account_whose_first_statement_waits_can_be_taken_away_by_a_reload():
    with desk() as here:
        accounts = (Account("main", ADDRESS), Account("hedge", "0x" + "3" * 40))
        one = here.settings
        two = replace(one, hyperliquid=replace(one.hyperliquid, accounts=accounts))
        here.settings, here.next_settings = two, one
        with here.running():
            worker = here.join()
            worker.says(replace(here.statement("1"), account="hedge"), Heard("fill", time.monotonic()))
            until("heard", lambda: here.api.health()["ages_s"]["fills"] is not None)
            here.pulse.reload()
            until("one", lambda: set(here.api.summary()["accounts"]) == {"main"})
            worker.is_live()
            worker.says(here.statement("1"))

            until("it goes on", here.position)


def test_the_notices_of_a_feed_that_is_wanted_no_more_end_with_a_reload():
    with desk() as here, here.running():
        _proven(here)
        second = here.join("fill-2")
        second.is_live()
        second.says(Notice("main", NoticeCode.FEED_REFUSED, "too many users", "fill-2"))
        until("said", lambda: here.api.summary()["accounts"]["main"]["notices"])
        venue = replace(here.settings.hyperliquid, fill_feeds=1)
        here.next_settings = replace(here.settings, hyperliquid=venue)
        here.pulse.reload()

        until("over", lambda: not here.api.summary()["accounts"]["main"]["notices"])


def test_a_position_that_was_never_read_is_named_and_shown_as_no_number():
    with desk() as here, here.running():
        worker = here.join()
        worker.is_live()
        worker.says(replace(here.statement(), unread={KEY: "szi: not a plain decimal"}), here.marks("50000"))
        summary = until("stated", lambda: (s := here.api.summary())["stated"] and s)

        assert summary["positions"] == {}
        assert [summary[name] for name in ("total_exposure", "unrealized_pnl", "total_pnl")] == [None] * 3

        def reason():
            return here.api.summary()["accounts"]["main"]["verdict_reason"] or ""

        until("the reason", lambda: "could not be read" in reason())


def test_while_fills_are_taken_seconds_after_they_were_heard_no_size_is_proven():
    with desk() as here, here.running():
        worker = _proven(here)
        heard_s = time.monotonic() - 2.5
        worker.says(Fills("main", "fill", (here.fill("buy", "1", "1"),), heard_s))
        row = until("taken", lambda: (row := here.position()) and row["size"] == "2" and row)
        assert row["verdict"] == "unproven"
        assert "this machine is too busy" in row["verdict_reason"]

        worker.says(Fills("main", "fill", (here.fill("buy", "1", "2"),), time.monotonic()))
        until("proven again", lambda: (row := here.position()) and row["verdict"] == "proven")

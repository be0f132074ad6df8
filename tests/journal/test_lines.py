"""The journal's lines: what is altered is found, what is replayed is the book, and no float is in any."""

import json
import os
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlposmon.domain.book import Book
from hlposmon.domain.cash import CashMemory
from hlposmon.domain.changes import Doubt, Drift, Gap, Healed, VerdictChanged
from hlposmon.domain.reports import FeedState, Fill, Fills, Funding, Side, StatedPosition, Statement
from hlposmon.domain.verdict import Verdict
from hlposmon.errors import WireError
from hlposmon.journal.lines import FIRST_PREV, Recovered, body_of, checkpoint, event, open_line, replay, seal
from tests.domain.exchange import Life

RECORDED = int(os.environ.get("HLPOSMON_SEEDS", "40"))
T0 = 1_790_000_000_000
BTC, ETH = "hyperliquid:Perp:BTC", "hyperliquid:Perp:ETH"
ADDRESSES = {"main": "0x" + "ab" * 20}


class Teller:
    """A venue that trades by numbers, a book that hears of it, and the lines that are written of it."""

    def __init__(self, seed=0):
        self.book = Book(["main"])
        self.sizes = {}
        self.now_ms = T0
        self.tid = 0
        self.asked_s = 10.0
        self.rng = random.Random(seed)
        self.lines = [event("checkpoint", now_ms=T0, **self.checkpoint())]

    def checkpoint(self):
        return checkpoint(self.book.memories(), self.book.base_ms(), ADDRESSES)

    def tell(self, changes):
        for change in changes:
            body = body_of(change, now_ms=self.now_ms)
            if body is not None:
                self.lines.append(body)
        return changes

    def trade(self, key, side, size, price="100.5", *, later_ms=1000):
        self.now_ms += later_ms
        self.tid += 1
        start = self.sizes.get(key, Decimal(0))
        one = Fill(
            account="main",
            key=key,
            time_ms=self.now_ms,
            side=side,
            size=Decimal(size),
            price=Decimal(price),
            start_position=start,
            fee=Decimal("0.031"),
            fee_token="USDC",
            closed_pnl=Decimal("0.5"),
            order_id=self.tid * 10,
            trade_id=self.tid,
            hash="0x1",
            direction="Open Long",
            crossed=True,
        )
        self.sizes[key] = one.end_position
        return one

    def hear(self, *fills, source="fill"):
        return self.tell(self.book.apply(Fills("main", source, fills, from_ms=0)))

    def state(self, *, fills_from_ms=None, later_s=5.0, entry="100.5"):
        self.asked_s += later_s
        self.now_ms += 20_000
        positions = tuple(
            StatedPosition(key, size, Decimal(entry), Decimal("101"))
            for key, size in self.sizes.items()
            if size
        )
        first = not self.book.is_stated("main")
        changes = self.tell(
            self.book.reconcile(
                Statement(
                    "main", "hyperliquid", self.now_ms, self.asked_s, positions, fills_from_ms=fills_from_ms
                )
            )
        )
        if first:
            base_ms = self.book.base_ms()["main"][""]
            self.lines.append(event("stated", now_ms=self.now_ms, account="main", base_ms=base_ms))
        return changes

    def pay(self, key):
        self.now_ms += 1000
        paid = Funding("main", key, self.now_ms, Decimal("-0.25"), Decimal(1), Decimal("0.0000125"))
        return self.tell(self.book.apply_funding(paid))

    def ghost(self, key, size):
        self.sizes[key] = Decimal(size)

    def some_trades(self, count):
        for _ in range(count):
            key, side = self.rng.choice([BTC, ETH]), self.rng.choice(list(Side))
            size, price = (
                f"0.{self.rng.randint(1, 9)}",
                f"{self.rng.randint(90, 110)}.{self.rng.randint(1, 9)}",
            )
            later_ms = self.rng.choice([0, 1, 700])
            yield self.trade(key, side, size, price, later_ms=later_ms)


def replayed(lines):
    found = Recovered()
    for line in lines:
        replay(line, found)
    return found


def as_written(lines):
    """The lines as they come back from a file."""
    prev, found = FIRST_PREV, []
    for seq, body in enumerate(lines, 1):
        line, prev = seal(body, seq=seq, prev=prev)
        found.append(open_line(line))
    return found


def known(memories):
    """Memories by key; in which order fills of one millisecond are remembered is of no matter."""
    return {
        (one.account, one.key): (
            one.position,
            one.known_ms,
            one.payments,
            frozenset(one.seen),
            one.is_first,
        )
        for one in memories
    }


def assert_replays(teller, lines=None):
    found = replayed(as_written(lines or teller.lines))
    assert known(found.memories.values()) == known(teller.book.memories())
    assert found.base_ms == teller.book.base_ms()
    assert found.addresses == ADDRESSES


# ------------------------------------------------------------------ sealing


def test_a_line_says_its_number_the_hash_before_and_its_own():
    line, digest = seal({"type": "start"}, seq=7, prev="ab")

    assert line.endswith(b"}\n")
    assert open_line(line) == {"seq": 7, "type": "start", "prev": "ab", "hash": digest}
    assert line.count(b"\n") == 1


def test_any_altered_byte_is_found():
    line, _ = seal({"type": "fill", "symbol": "BTC-USD", "note": 'a ","hash":" trap'}, seq=7, prev="ab" * 32)

    assert open_line(line)["note"] == 'a ","hash":" trap'
    for at in range(len(line)):
        for flip in (1, 0x20, 0x80):
            altered = line[:at] + bytes([line[at] ^ flip]) + line[at + 1 :]
            with pytest.raises(WireError):
                open_line(altered)


def test_a_shortened_or_a_lengthened_line_is_found():
    line, _ = seal({"type": "fill"}, seq=7, prev="ab")

    for altered in (*(line[:end] for end in range(len(line) - 1)), b" " + line, line[:-1] + b" \n", line * 2):
        with pytest.raises(WireError):
            open_line(altered)


@given(st.binary(max_size=80))
def test_what_was_never_sealed_is_a_wire_error(raw):
    with pytest.raises(WireError):
        open_line(raw)


# ------------------------------------------------------------------ replaying


def test_replaying_fills_gives_the_book():
    teller = Teller()
    teller.ghost(BTC, "1.5")
    teller.state()
    for one in teller.some_trades(60):
        teller.hear(one)

    assert_replays(teller)


@pytest.mark.parametrize("seed", range(20))
def test_replaying_a_day_of_everything_gives_the_book(seed):
    teller = Teller(seed)
    teller.ghost(BTC, "1.5")
    teller.state()
    for one in teller.some_trades(12):
        teller.hear(one)
    teller.pay(BTC)
    delayed = list(teller.some_trades(6))
    teller.rng.shuffle(delayed)
    for one in delayed:
        teller.hear(one)  # gaps, and what heals them
    teller.pay(ETH)
    teller.hear(*teller.some_trades(8))
    teller.state(entry="99.25")  # an entry price that is not ours is adopted
    teller.ghost(ETH, "77")
    for _ in range(3):
        teller.state(fills_from_ms=0)  # the venue has other sizes, and says so again
    for one in teller.some_trades(5):
        teller.hear(one)

    assert any(line["type"] == "position_change" and line["event"] == "drift" for line in teller.lines)
    assert_replays(teller)


def test_a_checkpoint_in_the_middle_is_all_that_replay_needs():
    teller = Teller(3)
    teller.state()
    for one in teller.some_trades(20):
        teller.hear(one)
    middle = event("checkpoint", now_ms=teller.now_ms, **teller.checkpoint())
    at = len(teller.lines)
    teller.lines.append(middle)
    for one in teller.some_trades(20):
        teller.hear(one)

    assert_replays(teller, teller.lines[at:])


def test_a_checkpoint_that_is_ahead_of_its_report_loses_nothing_when_the_report_is_cut_short():
    """A checkpoint within a report's lines holds all of the report; a crash may leave only some lines."""
    teller = Teller()
    teller.state()
    changes = teller.hear(*(teller.trade(BTC, Side.BUY, "0.1") for _ in range(4)))
    ahead = event("checkpoint", now_ms=teller.now_ms, **teller.checkpoint())
    bodies = [body_of(change, now_ms=teller.now_ms) for change in changes]

    for left in range(len(bodies) + 1):
        assert_replays(teller, [ahead, *bodies[:left]])


def doubted(*events):
    """What is unsure behind a checkpoint and these events."""
    lines = [event("checkpoint", now_ms=T0, **checkpoint([], {}, ADDRESSES))]
    return replayed([*lines, *(event(kind, now_ms=T0, **facts) for kind, facts in events)]).unsure["main"]


def test_positions_that_were_started_before_a_crash_and_all_are_not_known_yet_are_none_of_a_stated_account():
    """Where the lines of some are lost these would count as flat."""
    teller = Teller()
    teller.ghost(BTC, "2")
    teller.ghost(ETH, "3")
    teller.state()
    kinds = [line["type"] for line in teller.lines]
    assert kinds == ["checkpoint", "position_change", "position_change", "stated"]

    assert replayed(as_written(teller.lines[:2])).base_ms == {}
    assert_replays(teller)


def test_a_fetch_that_had_not_ended_is_known_behind_a_crash():
    begun = ("fetching", {"account": "main", "key": BTC, "since_ms": T0 - 9})
    other = ("fetching", {"account": "main", "key": ETH, "since_ms": T0 - 5})
    ended = ("fetched", {"account": "main", "key": BTC})

    assert doubted(begun, other) == {BTC: T0 - 9, ETH: T0 - 5}
    assert doubted(begun, other, ended) == {ETH: T0 - 5}


def test_a_gap_and_a_fetch_of_one_position_end_each_by_itself():
    gap = ("gap", {"account": "main", "key": BTC, "since_ms": T0 - 5})
    healed = ("healed", {"account": "main", "key": BTC})
    begun = ("fetching", {"account": "main", "key": BTC, "since_ms": T0 - 9})
    ended = ("fetched", {"account": "main", "key": BTC})

    assert doubted(gap, begun) == {BTC: T0 - 9}
    assert doubted(gap, begun, ended) == {BTC: T0 - 5}
    assert doubted(begun, gap, healed) == {BTC: T0 - 9}
    assert doubted(gap, begun, healed, ended) == {}
    kept = checkpoint([], {}, ADDRESSES, unsure={"main": {BTC: T0}}, unfinished={"main": {BTC: T0 - 1}})
    line = event("checkpoint", now_ms=T0, **kept)
    assert replayed([line]).unsure == {"main": {BTC: T0 - 1}}
    assert replayed([line, event(ended[0], now_ms=T0, **ended[1])]).unsure == {"main": {BTC: T0}}


def test_a_fill_before_the_first_statement_is_known_begins_what_is_remembered():
    """What is older is history: to take it up again would book it."""
    teller = Teller()
    one = teller.trade(BTC, Side.BUY, "1")
    teller.book.feed(FeedState("main", "fill", True, 0.0))
    teller.tell(teller.book.apply(Fills("main", "fill", (one,), heard_s=1.0)))
    teller.state()
    kinds = [line["type"] for line in teller.lines]
    assert kinds == ["checkpoint", "fill", "stated"]

    for lines in (teller.lines, teller.lines[:2]):
        memory = replayed(as_written(lines)).memories["main", BTC]
        assert memory.known_ms == one.time_ms


def test_a_checkpoint_of_former_times_takes_what_has_no_fills_for_first_stated():
    teller = Teller()
    teller.ghost(BTC, "2")
    teller.ghost(ETH, "3")
    teller.state()
    teller.hear(teller.trade(BTC, Side.BUY, "1"))
    body = teller.checkpoint()
    for row in body["book"]:
        del row["is_first"]
    memories = replayed([{**event("checkpoint", now_ms=teller.now_ms), **body}]).memories

    assert {key: one.is_first for (_, key), one in memories.items()} == {BTC: False, ETH: True}


def test_fills_that_a_drift_holds_are_wanted_until_all_their_lines_and_a_checkpoint_are_there():
    teller = Teller()
    teller.state()
    for one in teller.some_trades(5):
        teller.hear(one)
    teller.trade(BTC, Side.BUY, "1")
    waits = teller.trade(BTC, Side.BUY, "1")
    teller.hear(waits)
    gap = teller.lines[-1]
    assert gap["type"] == "gap"
    teller.ghost(BTC, "7")
    teller.state(fills_from_ms=0)
    teller.state(fills_from_ms=0)
    bodies = as_written(teller.lines)
    at = next(index for index, line in enumerate(bodies) if line.get("event") == "drift")
    assert [line["type"] for line in bodies[at - 1 : at + 2]] == ["drift", "position_change", "fill"]
    assert bodies[at]["holds_since_ms"] == waits.time_ms

    assert replayed(bodies[:at]).unsure["main"] == {BTC: gap["since_ms"]}
    for cut in (at + 1, at + 2):
        found = replayed(bodies[:cut])
        assert found.unsure["main"] == {BTC: waits.time_ms}
        assert found.memories["main", BTC].known_ms <= waits.time_ms
    whole = [*bodies, event("checkpoint", now_ms=teller.now_ms, **teller.checkpoint())]
    assert replayed(whole).unsure.get("main", {}) == {}


def test_an_entry_price_that_is_adopted_says_nothing_of_fills_on_their_way():
    teller = Teller()
    teller.state()
    teller.hear(teller.trade(BTC, Side.BUY, "1", "100"))
    before_ms = teller.book.memories()[0].known_ms
    assert [type(change) for change in teller.state(entry="90")] == [Doubt]
    changes = teller.state(entry="90", fills_from_ms=0)

    assert [change.reason for change in changes] == ["entry"]
    assert replayed(teller.lines).memories["main", BTC].known_ms == before_ms


def test_an_account_that_is_watched_anew_forgets_what_was_known_of_it():
    teller = Teller()
    teller.ghost(BTC, "2")
    teller.state()
    teller.hear(teller.trade(BTC, Side.BUY, "1"))
    teller.book.watch([])
    teller.book.watch(["main"])
    teller.sizes.clear()
    teller.state()

    assert replayed(as_written(teller.lines)).memories == {}
    assert_replays(teller)


def test_funding_of_an_instrument_that_was_not_held_at_first_is_replayed():
    teller = Teller()
    teller.state()
    teller.pay(ETH)

    found = replayed(as_written(teller.lines))
    assert known(found.memories.values()) == known(teller.book.memories())


def test_funding_that_comes_out_of_order_is_replayed():
    teller = Teller()
    teller.state()
    for back_ms in (0, 7_200_000, -3_600_000, 3_600_000):
        teller.now_ms += back_ms
        teller.pay(BTC)
    teller.lines.append(
        {
            **event("checkpoint", now_ms=teller.now_ms),
            **checkpoint(teller.book.memories(), teller.book.base_ms(), {"main": "0x1"}),
        }
    )
    teller.pay(BTC)

    found = replayed(as_written(teller.lines))
    [memory] = found.memories.values()
    assert len(memory.payments.booked) == 5
    assert known([memory]) == known(teller.book.memories())


def test_a_checkpoint_of_before_that_has_the_newest_payment_alone():
    teller = Teller()
    teller.state()
    teller.pay(BTC)
    body = checkpoint(teller.book.memories(), teller.book.base_ms(), {"main": "0x1"})
    for row in body["book"]:
        del row["funding_floor_ms"], row["fundings"]

    found = replayed([{**event("checkpoint", now_ms=teller.now_ms), **body}])
    [memory] = found.memories.values()
    assert (memory.payments.floor_ms, memory.payments.booked) == (teller.now_ms, ())


def test_a_book_that_was_recalled_goes_on_like_the_one_that_was_lost():
    teller = Teller(5)
    teller.ghost(BTC, "1.5")
    teller.state()
    for one in teller.some_trades(30):
        teller.hear(one)
    found = replayed(as_written(teller.lines))
    again = Book(["main"])
    again.recall(found.memories.values(), found.base_ms)
    more = list(teller.some_trades(30))
    teller.hear(*more)
    again.apply(Fills("main", "fill", tuple(more)))

    sizes = {view.key: view.position for view in teller.book.views()}
    assert {view.key: view.position for view in again.views()} == sizes


def long_told(count, *, later_ms):
    """A venue that fills one coin for long, and what was lost of it: a round trip near the end."""
    teller = Teller()
    teller.state()
    for _ in range(count):
        teller.hear(teller.trade(BTC, Side.BUY, "1", later_ms=later_ms))
    lost = [teller.trade(BTC, side, "1", later_ms=later_ms) for side in (Side.BUY, Side.SELL)]
    teller.hear(teller.trade(BTC, Side.BUY, "1", later_ms=later_ms))
    return teller, lost


@pytest.mark.parametrize(("count", "later_ms"), [(3, 1000), (300, 1000), (300, 10), (300, 0)])
def test_a_round_trip_that_was_lost_before_a_restart_is_booked_once_by_the_replayed_book(count, later_ms):
    teller, lost = long_told(count, later_ms=later_ms)
    assert_replays(teller)
    found = replayed(as_written(teller.lines))
    again = Book(["main"])
    again.recall(found.memories.values(), found.base_ms)
    teller.book = again

    assert [change.effect for change in teller.hear(*lost)] == [None, None]
    assert teller.hear(*lost) == []
    assert_replays(teller)


@pytest.mark.parametrize("later_ms", [10, 100])
def test_a_checkpoint_holds_two_hundred_fills_of_a_key_at_most(later_ms):
    teller, _ = long_told(1000, later_ms=later_ms)
    [row] = teller.checkpoint()["book"]

    assert len(row["seen"]) == 200
    assert len(replayed(as_written(teller.lines)).memories["main", BTC].seen) == 200


def test_a_checkpoint_of_former_times_that_knows_the_last_fill_alone_is_read_and_its_window_grows():
    teller, _ = long_told(5, later_ms=1000)
    facts = teller.checkpoint()
    [row] = facts["book"]
    row["known_ms"], row["seen"] = teller.now_ms, row["seen"][-1:]
    former = [event("checkpoint", now_ms=teller.now_ms, **facts)]
    found = replayed(as_written(former))
    teller.book = Book(["main"])
    teller.book.recall(found.memories.values(), found.base_ms)
    teller.lines = former
    assert_replays(teller)

    for _ in range(3):
        teller.hear(teller.trade(BTC, Side.BUY, "1"))
    assert_replays(teller)
    assert len(teller.book.memories()[0].seen) == 4


def test_fills_of_before_a_statement_that_lagged_are_remembered_by_the_replayed_book():
    teller = Teller()
    teller.now_ms -= 15_000
    early = [teller.trade(BTC, Side.BUY, "1") for _ in range(2)]
    teller.sizes.clear()
    teller.now_ms -= 12_000
    teller.state()
    teller.sizes[BTC] = Decimal(2)
    teller.hear(early[0])

    assert early[0].time_ms < teller.book.base_ms()["main"][""]
    assert_replays(teller)
    teller.hear(early[1])
    teller.hear(teller.trade(BTC, Side.BUY, "1", later_ms=20_000))
    assert_replays(teller)


class RecordedLife(Life):
    """A life that is taken up again from the lines that were written of it."""

    def __init__(self, seed, *, early=False):
        super().__init__(seed, restarts=True, early=early)
        self.lines = [event("checkpoint", now_ms=self.now_ms, **checkpoint([], {}, ADDRESSES))]
        self.written = 0

    def _remembered(self):
        bodies = [body_of(change, now_ms=self.now_ms) for change in self.said[self.written :]]
        self.written = len(self.said)
        self.lines += [body for body in bodies if body is not None]
        found = replayed(as_written(self.lines))
        return list(found.memories.values()), self.book.base_ms()

    def _hear(self, changes):
        if not self.said and self.book.is_stated("main"):
            base_ms = self.book.base_ms()["main"][""]
            self.lines.append(event("stated", now_ms=self.now_ms, account="main", base_ms=base_ms))
        super()._hear(changes)


@pytest.mark.parametrize("early", [False, True], ids=["from a statement", "from live fills"])
def test_lives_that_are_taken_up_again_from_their_lines_end_as_the_exchange_does(early):
    lives = [RecordedLife(seed, early=early).run() for seed in range(RECORDED)]

    assert sum(life.restarted for life in lives) > 20
    assert [(seed, life.faults()) for seed, life in enumerate(lives) if life.faults()] == []


# ------------------------------------------------------------------ the text of lines


def no_float(text):
    raise AssertionError(f"a float in a line: {text}")


def test_no_line_holds_a_float():
    teller = Teller(1)
    teller.ghost(BTC, "1.5")
    teller.state()
    for one in teller.some_trades(40):
        teller.hear(one)
    teller.pay(BTC)
    teller.ghost(ETH, "7.25")
    for _ in range(3):
        teller.state(fills_from_ms=0)
    teller.lines += [
        event("checkpoint", now_ms=T0, **teller.checkpoint()),
        event("stop", now_ms=T0, backlog=0),
    ]

    for seq, body in enumerate(teller.lines, 1):
        line, _ = seal(body, seq=seq, prev=FIRST_PREV)
        json.loads(line, parse_float=no_float)


def test_a_fill_line_has_the_contracts_fields_and_the_position_after_it():
    teller = Teller()
    teller.state()
    teller.hear(teller.trade(BTC, Side.BUY, "0.10", "50000.50"))
    line = next(line for line in teller.lines if line["type"] == "fill")

    assert line["timestamp"] == "2026-09-21T14:13:41.000Z"
    assert {
        name: line[name] for name in ("account", "key", "symbol", "side", "quantity", "price", "fee")
    } == {
        "account": "main",
        "key": BTC,
        "symbol": "BTC-USD",
        "side": "buy",
        "quantity": "0.1",
        "price": "50000.5",
        "fee": "0.031",
    }
    assert (line["fee_token"], line["fill_id"], line["order_id"], line["start_position"]) == (
        "USDC",
        "1",
        "10",
        "0",
    )
    assert line["position"] == {
        "size": "0.1",
        "entry_price": "50000.5",
        "cost": "5000.05",
        "realized_pnl": "0",
        "closed_pnl": "0.5",
        "fees": "0.031",
        "funding": "0",
        "fills": 1,
    }


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (
            Gap("main", BTC, Decimal("0.1"), Decimal("0.30"), T0, T0 + 5),
            {"type": "gap", "expected": "0.1", "found": "0.3", "since": "2026-09-21T14:13:20.000Z"},
        ),
        (Healed("main", BTC, 2, T0), {"type": "healed", "missing": 2, "since": "2026-09-21T14:13:20.000Z"}),
        (
            Drift("main", BTC, Decimal("0.1"), Decimal(0), "no fill explains it", T0),
            {"type": "drift", "book_size": "0.1", "venue_size": "0", "cause": "no fill explains it"},
        ),
        (
            VerdictChanged("main", BTC, Verdict.STALE, "no fills yet", None),
            {"type": "verdict", "verdict": "stale", "reason": "no fills yet", "before": None},
        ),
    ],
)
def test_what_is_not_a_fill_has_its_own_fields(change, facts):
    body = body_of(change, now_ms=T0)

    assert body is not None
    assert {name: body[name] for name in facts} == facts
    assert (body["account"], body["key"], body["symbol"]) == ("main", BTC, "BTC-USD")


def test_a_first_doubt_is_not_journalled():
    assert body_of(Doubt("main", BTC, Decimal(1), Decimal(2), T0), now_ms=T0) is None


# --------------------------------------------------------------------- cash


def cash_lines(*lines):
    found = [event("checkpoint", now_ms=T0, **checkpoint([], {"main": {"": T0}}, ADDRESSES))]
    return [*found, *(event(kind, now_ms=T0 + 1, **facts) for kind, facts in lines)]


LEDGER = {
    "account": "main", "scope": "", "quote": "USDC", "statement_ms": T0 + 5, "since_ms": T0,
    "opening": "1000", "equity": "1040", "unrealized_pnl": "0", "realized_pnl": "0",
    "fees": "10", "funding": "0",
    "transfers": "50", "unexplained": "0",
}  # fmt: skip


def moved(amount, time_ms, name="0x1|deposit"):
    moves = [{"scope": "", "token": "USDC", "amount": amount}, {"scope": "spot", "token": "A", "amount": "1"}]
    return {"account": "main", "time_ms": time_ms, "id": name, "transfer_type": "deposit", "moves": moves}


def test_the_cash_of_an_account_is_known_after_a_restart():
    lines = cash_lines(
        ("ledger", LEDGER), ("transfer", moved("25", T0 + 9)), ("transfer", moved("25", T0 + 9))
    )
    found = replayed(as_written(lines))
    memory = found.cash["main"]

    assert memory.dexes[""] == CashMemory(Decimal(1000), T0, Decimal(75), Decimal(0), T0 + 5)
    assert memory.seen == ((T0 + 9, "0x1|deposit"),)
    body = checkpoint([], {"main": {"": T0}}, ADDRESSES, cash=found.cash)
    assert replayed([event("checkpoint", now_ms=T0, **body)]).cash == found.cash


def test_a_checkpoint_of_before_the_cash_was_compared_is_read():
    body = checkpoint([], {"main": {"": T0}}, ADDRESSES)
    del body["cash"]
    assert replayed([event("checkpoint", now_ms=T0, **body)]).cash == {}

"""A book that lives long stays small and quick. `-s` shows the figures."""

import os
import random
import resource
import sys
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from hlposmon.domain.ledger import RECENT_FILLS, Ledger
from hlposmon.domain.reports import Fill
from tests.domain.language import ACCOUNT, Desk, book_of, fill, key

# Processor time, so that a busy machine does not fail; a tracer (coverage) makes all of it slower.
SLOWER = 20 if sys.gettrace() else 1
MODEL = fill("buy 1 BTC @ 100")


def flow(count: int, *, step_ms: int, first: int = 0) -> list[Fill]:
    """Fills that chain: up to nine and down again, for ever."""
    made = []
    for number in range(first, first + count):
        place = number % 18
        up = place < 9
        start = place if up else 18 - place
        side = MODEL.side if up else fill("sell 1 BTC @ 1").side
        made.append(
            replace(
                MODEL,
                side=side,
                time_ms=MODEL.time_ms + number * step_ms,
                start_position=Decimal(start),
                order_id=number + 1,
                trade_id=number + 1,
                price=Decimal(100 + number % 7),
            )
        )
    return made


def ledger_of(desk: Desk) -> Ledger:
    return desk.book._accounts[ACCOUNT].scopes[""].holdings[key("BTC")].ledger


def per_fill_us(began: float, count: int) -> float:
    return (time.process_time() - began) / count * 1e6


@pytest.mark.parametrize(("count", "step_ms"), [(30_000, 1), (30_000, 40)])
def test_what_is_remembered_stays_bounded(count, step_ms):
    desk = book_of("")
    sizes = []
    for first in range(0, count, 5000):
        for one in flow(5000, step_ms=step_ms, first=first):
            desk.told(one)
        desk.said.clear()
        ledger = ledger_of(desk)
        sizes.append((len(ledger.applied), len(ledger._seen), len(ledger._included), len(ledger.waiting)))

    assert max(size[0] for size in sizes) <= RECENT_FILLS
    assert max(size[1] for size in sizes) <= RECENT_FILLS + 2000
    assert max(size[2] + size[3] for size in sizes) == 0
    assert desk.position().fills == count


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif("HLPOSMON_LONG" not in os.environ, reason="a minute long: HLPOSMON_LONG=1 runs it")
def test_a_million_fills_leave_no_trace_in_memory():
    desk = book_of("")
    resident_kb = []
    began = time.process_time()
    for first in range(0, 1_000_000, 10_000):
        for one in flow(10_000, step_ms=50, first=first):
            desk.told(one)
        desk.said.clear()
        resident_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    grown_mb = (resident_kb[-1] - resident_kb[4]) / 1000
    print(f"\na million fills: {per_fill_us(began, 1_000_000):.0f} us each, grown by {grown_mb:.1f} MB")
    assert desk.position().fills == 1_000_000
    assert grown_mb < 20


def test_fills_are_taken_quickly_in_order_reversed_and_again():
    fills = flow(4000, step_ms=100)
    desk = book_of("")
    began = time.process_time()
    for one in fills:
        desk.told(one)
    in_order = per_fill_us(began, len(fills))
    began = time.process_time()
    for one in fills:
        desk.told(one)
    again = per_fill_us(began, len(fills))
    desk = book_of("")
    began = time.process_time()
    desk.told(*fills[:1000][::-1])
    backwards = per_fill_us(began, 1000)

    print(f"\nus per fill: in order {in_order:.0f}, again {again:.1f}, a reversed batch {backwards:.0f}")
    assert sum(desk.filled().values()) == 1000
    assert in_order < 1000 * SLOWER
    assert again < 200 * SLOWER


@pytest.mark.parametrize("step_ms", [0, 1, 100])
def test_a_reversed_batch_of_two_thousand_takes_no_second(step_ms):
    fills = flow(2000, step_ms=step_ms)
    desk = book_of("")
    began = time.process_time()
    desk.told(*fills[::-1])

    assert time.process_time() - began < SLOWER
    assert sum(desk.filled().values()) == 2000
    assert desk.book.doubtful() == []


def test_two_thousand_fills_one_by_one_backwards_and_mixed_take_few_seconds():
    fills = flow(2000, step_ms=5)
    for order in (fills[::-1], random.Random(5).sample(fills, len(fills))):
        desk = book_of("")
        began = time.process_time()
        for one in order:
            desk.told(one)
        took = time.process_time() - began

        print(f"\none by one out of order: {took / 2000 * 1e6:.0f} us per fill")
        assert took < 6 * SLOWER
        assert desk.size() == fills[-1].end_position
        assert desk.book.doubtful() == []

"""Every worker with a feed says how many connections it has had; and a fill, when it was heard."""

import time

import pytest

from hlposmon.domain.reports import Connected, Fills


@pytest.mark.parametrize("kind", ["fill", "price", "state"])
def test_connections_are_told_as_they_are_made_and_again_to_a_new_tracker(stage, kind):
    one = stage()
    one.start(getattr(one, f"{kind}_worker"))
    one.tracker.until(lambda: one.tracker.of(Connected) == [Connected("worker", 1)])
    one.control.drop()
    one.tracker.until(lambda: one.tracker.of(Connected)[-1] == Connected("worker", 2))
    one.tracker.renew()

    one.tracker.until(lambda: one.tracker.of(Connected)[-1:] == [Connected("worker", 2)])


def test_a_fill_of_the_stream_carries_when_it_was_heard_and_a_fetched_one_does_not(stage):
    one = stage()
    old = one.buy()
    one.tracker.high_water_ms = {account.name: 1 for account in one.accounts}
    one.following()
    began_s = time.monotonic()
    new = one.buy()
    one.tracker.until(lambda: new in one.tracker.tids())
    heard_s = {fill.trade_id: batch.heard_s for batch in one.tracker.of(Fills) for fill in batch.fills}

    assert heard_s[old] is None
    assert began_s <= heard_s[new] <= time.monotonic()

"""One account for all processes: what one spends the others lack, and a heal always finds room."""

import multiprocessing
import time

import pytest

from hlposmon.transport.quota import HEADROOM, SCOUT_S, SILENCE_S, URGENT_SILENCE_S, WEIGHT_PER_MINUTE, Quota


class Clock:
    """Seconds that only pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_what_one_process_spends_the_others_lack(clock):
    quota = Quota(per_minute=100, headroom=0)
    one, other = quota.share(0, clock), quota.share(1, clock)

    assert one.take(80, urgent=False)[0] == 0
    assert other.take(40, urgent=False)[0] > 0
    assert other.take(20, urgent=False)[0] == 0


def test_what_may_wait_leaves_room_for_a_heal(clock):
    share = Quota().share(0, clock)
    while share.take(20, urgent=False)[0] == 0:
        pass

    assert share.quota.weight.used(clock()) == WEIGHT_PER_MINUTE - HEADROOM
    assert [share.take(120, urgent=True)[0] for _ in range(3)] == [0, 0, 0]  # three full pages


def test_a_heal_cannot_spend_more_than_there_is(clock):
    share = Quota(per_minute=100, headroom=50).share(0, clock)
    assert share.take(90, urgent=True)[0] == 0

    assert share.take(20, urgent=True)[0] == pytest.approx(61)


def test_what_was_not_counted_can_be_spent_again(clock):
    share = Quota(per_minute=100, headroom=0).share(0, clock)
    _, taken_s = share.take(100, urgent=True)
    share.give_back(80, taken_s)

    assert share.take(80, urgent=True)[0] == 0


def test_a_429_silences_everybody_who_may_wait_and_a_heal_for_less(clock):
    quota = Quota()
    one, other = quota.share(0, clock), quota.share(1, clock)
    one.punish()

    assert other.take(2, urgent=False)[0] == pytest.approx(SILENCE_S[0])
    assert other.take(2, urgent=True)[0] == pytest.approx(URGENT_SILENCE_S[0])


def test_one_429_after_another_silences_for_longer_up_to_a_minute(clock):
    quota = Quota()
    share, silences = quota.share(0, clock), []
    for _ in range(5):
        share.punish()
        silences.append((quota.silent_s(clock()), quota.silent_s(clock(), urgent=True)))

    assert silences[0] == (10, 2)
    assert silences[1] == (20, 4)
    assert silences[-1] == (60, 15)
    clock.now_s += 200
    share.punish()
    assert quota.silent_s(clock()) == pytest.approx(10)


def test_all_processes_open_no_more_connections_than_the_venue_allows(clock):
    quota = Quota(connections=30)
    shares = [quota.share(party, clock) for party in range(4)]
    opened = 0
    for share in shares * 20:
        if share.connect() == 0:
            share.opened()
            opened += 1
        clock.now_s += 0.1

    assert opened == 30
    assert shares[0].connect() > 40


def test_while_the_venue_is_away_one_scout_at_a_time_is_enough(clock):
    quota = Quota()
    one, other = quota.share(0, clock), quota.share(1, clock)
    assert one.connect() == 0
    one.failed()

    assert other.connect() == pytest.approx(SCOUT_S)
    clock.now_s += SCOUT_S
    assert other.connect() == 0
    other.opened()
    assert one.connect() == 0, "it is back, for everybody at once"
    assert one.opened_s == pytest.approx(clock())


@pytest.mark.parametrize("kwargs", [{"headroom": 1200}, {"headroom": -1}, {"per_minute": 100}])
def test_headroom_that_leaves_nothing_is_refused(kwargs):
    with pytest.raises(ValueError):
        Quota(**kwargs)


@pytest.mark.parametrize("party", [-1, 24])
def test_a_party_that_has_no_place_is_refused(party):
    with pytest.raises(ValueError):
        Quota().share(party)


def spend(share, started, pipe):
    started.wait()
    taken = 0
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        taken += 7 * (share.take(7, urgent=True)[0] == 0)
    pipe.send(taken)


def test_processes_that_spend_at_once_never_spend_more_than_there_is():
    quota = Quota.shared()
    fork = multiprocessing.get_context("fork")
    started, pipes, children = fork.Event(), [], []
    for party in range(4):
        here, there = fork.Pipe()
        pipes.append(here)
        children.append(fork.Process(target=spend, args=(quota.share(party), started, there)))
        children[-1].start()
    started.set()
    taken = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join(30)
    used = [quota.weight.used(time.monotonic(), party) for party in range(4)]
    quota.close()

    assert used == taken, "each process's own figures outlive it"
    assert WEIGHT_PER_MINUTE - 4 * 7 < sum(taken) <= WEIGHT_PER_MINUTE

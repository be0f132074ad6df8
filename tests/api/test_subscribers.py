"""Subscribers are sent what they lack while there is time, and by turns. Time is given."""

from dataclasses import dataclass, field

import pytest

from hlposmon.api import subscribers
from hlposmon.api.subscribers import Listener, Published, Subscribers


@dataclass(eq=False)
class Peer:
    """A client of which nothing is known but what it was sent; a send takes `cost_s` of the clock."""

    stage: "Stage"
    buffered: int = 0
    sent: bytes = b""
    was_cut_off: bool = False
    closed: int | None = None
    cost_s: float = 0.001

    def send_frame(self, frame):
        self.sent += frame
        self.stage.now_s += self.cost_s

    def cut_off(self):
        self.was_cut_off = True

    def close(self, code, reason):
        self.closed = code

    @property
    def seqs(self):
        return [int(word) for word in self.sent.split()]


@dataclass
class Stage:
    now_s: float = 0.0
    peers: list[Peer] = field(default_factory=list)

    def __post_init__(self):
        self.subscribers = Subscribers(1000, clock=lambda: self.now_s)

    @property
    def seq(self):
        return self.subscribers.seq

    def pass_s(self, seconds):
        self.now_s += seconds

    def peer(self, since=None, **wanted):
        self.peers.append(Peer(self))
        self.subscribers.join(Listener(self.peers[-1], **wanted), since)
        return self.peers[-1]

    def say(self, event="fill", size=1):
        seq = self.seq + 1
        self.subscribers.publish(Published(seq, event, "main", f"{seq}".encode() + b" " * size))
        return seq

    def flush(self):
        self.subscribers.flush()


@pytest.fixture
def stage():
    return Stage()


def test_a_message_is_sent_to_all_while_there_is_time(stage):
    peers = [stage.peer() for _ in range(5)]
    stage.say()
    stage.flush()

    assert [peer.seqs for peer in peers] == [[1001]] * 5
    assert not stage.subscribers.is_owed


def test_messages_that_were_published_together_are_sent_in_one_piece(stage):
    peer = stage.peer()
    pieces = []
    send = peer.send_frame
    peer.send_frame = lambda frame: (pieces.append(frame), send(frame))
    seqs = [stage.say() for _ in range(20)]
    stage.flush()

    assert (peer.seqs, len(pieces)) == (seqs, 1)


def test_a_flush_takes_so_long_and_no_longer(stage):
    peers = [stage.peer() for _ in range(300)]
    seqs = [stage.say() for _ in range(200)]
    assert stage.now_s == 0.0, "to publish sends nothing"
    flushes = 0
    while any(peer.seqs != seqs for peer in peers):
        began_s, flushes = stage.now_s, flushes + 1
        stage.flush()
        assert stage.now_s - began_s <= subscribers.FLUSH_S + peers[0].cost_s
        assert flushes < 100
        assert stage.subscribers.is_owed == any(peer.seqs != seqs for peer in peers)
    assert all(peer.seqs == seqs for peer in peers)


def test_those_who_were_not_reached_come_first(stage):
    peers = [stage.peer() for _ in range(60)]
    for _ in range(8):
        stage.say()
        stage.flush()

    behind = [stage.seq - (peer.seqs or [1000])[-1] for peer in peers]
    assert max(behind) <= 6, behind


def test_who_reads_slowly_is_sent_nothing_more_before_it_has_read(stage):
    slow, other = stage.peer(), stage.peer()
    stage.say()
    stage.flush()
    slow.buffered = 1
    stage.say()
    stage.flush()
    assert (slow.seqs, other.seqs) == ([1001], [1001, 1002])
    slow.buffered = 0
    stage.subscribers.drained(slow)

    assert slow.seqs == [1001, 1002]


def test_who_is_behind_what_is_kept_is_cut_off(stage, monkeypatch):
    monkeypatch.setattr(subscribers, "REPLAY_MESSAGES", 10)
    slow = stage.peer()
    stage.say()
    stage.flush()
    slow.buffered = 1
    for _ in range(10):
        stage.say()
        stage.flush()
    assert not slow.was_cut_off
    stage.say()
    stage.flush()

    assert slow.was_cut_off


def test_who_wants_few_messages_is_not_cut_off_for_the_others(stage, monkeypatch):
    monkeypatch.setattr(subscribers, "REPLAY_MESSAGES", 10)
    slow = stage.peer(events=frozenset({"fill"}))
    slow.buffered = 1
    for _ in range(40):
        stage.say("price_update")
        stage.flush()
    wanted = stage.say("fill")
    slow.buffered = 0
    stage.flush()
    assert (slow.was_cut_off, slow.seqs) == (False, [wanted])
    slow.buffered = 1
    stage.say("fill")
    for _ in range(10):
        stage.say("price_update")
        stage.flush()

    assert slow.was_cut_off, "a message that it wants is gone"


def test_what_is_lacked_comes_in_pieces_that_are_not_large(stage):
    late = stage.peer()
    late.buffered = 1
    seqs = [stage.say(size=5000) for _ in range(20)]
    late.buffered = 0
    sizes = []
    send = late.send_frame
    late.send_frame = lambda frame: (sizes.append(len(frame)), send(frame))
    stage.flush()

    assert late.seqs == seqs
    assert max(sizes) <= subscribers.SLICE_BYTES + 5004
    assert len(sizes) == 5


def test_questions_are_answered_one_a_turn(stage):
    peer, answered = stage.peer(), []
    peer.buffered = 1
    for number in range(5):
        stage.subscribers.ask(peer, lambda _, number=number: answered.append(number))
    peer.buffered = 0
    for turn in range(1, 6):
        stage.flush()
        assert answered == list(range(turn))
    seq = stage.say()
    stage.flush()

    assert peer.seqs == [seq]


def test_many_questions_of_some_do_not_keep_who_is_behind_waiting(stage):
    askers = [stage.peer() for _ in range(20)]
    for peer in askers:
        for _ in range(100):
            stage.subscribers.ask(peer, lambda _: stage.pass_s(0.002))
    late = stage.peer()
    late.buffered = 1
    seq = stage.say()
    late.buffered = 0
    turns = 0
    while not late.seqs:
        began_s, turns = stage.now_s, turns + 1
        stage.flush()
        assert stage.now_s - began_s <= subscribers.FLUSH_S + 0.003

    assert (late.seqs, turns <= 6) == ([seq], True)


def test_a_flush_that_sends_nothing_asks_for_no_other(stage):
    peers = [stage.peer() for _ in range(5)]
    stage.say()
    stage.flush()
    for peer in peers:
        peer.buffered = 1
    stage.say()
    stage.flush()

    assert not stage.subscribers.is_owed


@pytest.mark.parametrize("how", ["too many", "a failure"])
def test_who_is_turned_out_is_answered_no_more(stage, how):
    def fail(listener):
        raise LookupError("the source has failed")

    peer, answered = stage.peer(), []
    peer.buffered = 1
    if how == "a failure":
        stage.subscribers.ask(peer, fail)
    for _ in range(subscribers.WAITING_QUESTIONS + 1 if how == "too many" else 5):
        stage.subscribers.ask(peer, answered.append)
    peer.buffered = 0
    for _ in range(5):
        stage.flush()

    assert answered == []
    assert (peer.was_cut_off, peer.closed) == ((True, None) if how == "too many" else (False, 1011))


def test_who_leaves_is_forgotten_wherever_it_was(stage):
    current, behind = stage.peer(), stage.peer()
    behind.buffered = 1
    stage.say()
    stage.flush()
    for peer in (current, behind):
        stage.subscribers.leave(peer)
    stage.say()
    stage.flush()

    assert len(stage.subscribers) == 0
    assert (current.seqs, behind.seqs) == ([1001], [])

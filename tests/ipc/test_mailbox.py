"""The newest value: what is put replaces what was, for a reader of now and for one that is spawned later."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from hlposmon.ipc.mailbox import Newest
from tests.clock import awake_s


@pytest.fixture
def way() -> Iterator[Newest[str]]:
    made = Newest("first")
    yield made
    made.close()


def test_until_something_is_put_it_is_what_it_was_made_with(way: Newest[str]):
    assert way.get() == "first"


def test_the_newest_is_found_and_stays(way: Newest[str]):
    way.put("second")
    way.put("third")

    assert [way.get(), way.get()] == ["third", "third"]


def test_a_reader_who_never_looks_does_not_hold_up_the_writer(way: Newest[str]):
    began_s = awake_s()
    for number in range(5000):
        way.put(f"{number}" * 1000)

    assert way.get() == "4999" * 1000
    assert awake_s() - began_s < 5


def test_what_is_too_large_to_be_sent_changes_nothing(way: Newest[str]):
    way.put("second")
    with pytest.raises(OSError, match="too long"):
        way.put("x" * 10_000_000)

    assert way.get() == "second"


def _read(way: Newest[str], said: Connection) -> None:
    said.send(way.get())
    said.recv()
    said.send(way.get())


def test_a_reader_begins_with_the_value_of_its_start_and_is_told_the_next(way: Newest[str]):
    way.put("of a reader that died before it looked")
    for before, after in (("second", "third"), ("fourth", "fifth")):
        way.put(before)
        ours, theirs = multiprocessing.Pipe()
        reader = multiprocessing.get_context("spawn").Process(target=_read, args=(way, theirs))
        reader.start()
        assert ours.recv() == before
        way.put(after)
        ours.send("look again")
        assert ours.recv() == after
        reader.join(30)
        assert reader.exitcode == 0

"""A recorded run of the real tracker gives the same journal when it is lived again, byte for byte."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.replay import calls, replay
from tests.tracker.desk import Desk, desk, until


@pytest.fixture
def recorded() -> Iterator[Desk]:
    with desk() as one:
        one.settings = replace(one.settings, record=one.folder / "record")
        one.next_settings = one.settings
        yield one


def trade(one: Desk) -> None:
    """Two feeds, fills, a gap that a fetch closes, prices, and a statement that differs for a moment."""
    worker, second = one.join(), one.join("fill-2")
    reconciler = one.join("reconcile", "reconcile")
    worker.is_live()
    worker.sees_everything()
    worker.says(one.marks("50000"), one.statement())
    until("a statement is taken", lambda: one.api.summary()["accounts"]["main"]["verdict"] == "proven")
    first, lost, third = one.fill("buy", "1", "0"), one.fill("buy", "2", "1"), one.fill("sell", "1", "3")
    worker.says(one.fills(first), one.marks("50010"), one.fills(third))
    until("the gap is rung for", reconciler.bells)
    second.says(one.fills(first, lost))
    until("all three are in", lambda: (one.position() or {}).get("size") == "2")
    reconciler.says(one.statement("2"), one.marks("50020"))
    until("it is shown", lambda: (one.position() or {}).get("mark_price") == "50020")


def journal(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("audit-*.jsonl")))


def test_a_recorded_run_gives_the_same_journal_again(recorded: Desk, tmp_path: Path):
    with recorded.running():
        trade(recorded)
    [path] = (recorded.folder / "record").iterdir()
    written = journal(recorded.folder / "log")

    paths = replace(recorded.settings.paths, log_dir=tmp_path / "log", state_dir=tmp_path / "state")
    replay(path, replace(recorded.settings, paths=paths, record=None))

    assert b'"type":"healed"' in written
    assert journal(tmp_path / "log") == written


def test_the_run_after_it_does_so_behind_the_journal_that_it_found(recorded: Desk, tmp_path: Path):
    with recorded.running():
        trade(recorded)
    shutil.copytree(recorded.folder / "log", tmp_path / "log")
    shutil.rmtree(recorded.folder / "record")
    with recorded.running():
        worker = recorded.join()
        worker.is_live()
        worker.says(recorded.marks("50030"), recorded.fills(recorded.fill("sell", "2", "2")))
        until("it is flat", lambda: recorded.position() is None)
    [path] = (recorded.folder / "record").iterdir()

    paths = replace(recorded.settings.paths, log_dir=tmp_path / "log", state_dir=tmp_path / "state")
    replay(path, replace(recorded.settings, paths=paths, record=None))

    assert journal(tmp_path / "log") == journal(recorded.folder / "log")


def test_a_recording_that_cannot_be_written_costs_the_run_nothing(recorded: Desk):
    (recorded.folder / "record").write_text("no folder")
    with recorded.running():
        trade(recorded)

    assert b'"type":"healed"' in journal(recorded.folder / "log")


def test_what_a_killed_tracker_wrote_half_of_is_passed_over(tmp_path: Path):
    path = tmp_path / "tracker.jsonl"
    path.write_text('["tick",1.5,2]\n["tick",1.')

    assert list(calls(path)) == [["tick", 1.5, 2]]

"""The locks of a monitor are kept, whoever removes their files."""

import contextlib
import logging
from pathlib import Path

import pytest

from hlposmon.errors import InUse
from hlposmon.ipc.listeners import Lock
from hlposmon.service import places
from hlposmon.service.places import Locks, lock
from tests.tracker.shell import settings_in


def test_a_lock_that_was_removed_is_made_again_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(places, "LOOK_S", 0.0)
    settings = settings_in(tmp_path, {"main": "0x" + "1" * 40})
    for folder in (settings.paths.state_dir, settings.paths.log_dir):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        locks = lock(stack, settings)
        path = settings.paths.log_dir / ".lock"
        locks.look()
        assert not caplog.records
        path.unlink()
        locks.look()
        locks.look()
        with pytest.raises(InUse, match="run this one with --socket, --state-dir and --log-dir"):
            lock(stack, settings)
    assert [record.message for record in caplog.records] == ["a lock's file was gone: it is made again"]
    assert not path.exists()


def test_a_lock_that_cannot_be_made_again_is_an_error_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(places, "LOOK_S", 0.0)
    folder = tmp_path / "log"
    folder.mkdir()
    with Lock(folder / ".lock", "the log folder") as held:
        locks = Locks([held])
        (folder / ".lock").unlink()
        folder.rmdir()
        locks.look()
        locks.look()
        folder.mkdir()
        locks.look()
        assert (folder / ".lock").exists()

    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]

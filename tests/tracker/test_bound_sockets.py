"""A socket file that was removed is bound again; another monitor's is never touched."""

import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from typing import Any

import pytest

from hlposmon.client.api import Api
from hlposmon.client.snapshot import Snapshot
from hlposmon.errors import HlposmonError
from hlposmon.ipc.listeners import file_of, open_door
from hlposmon.ipc.queue import listen
from tests.tracker.desk import Desk, desk, until


@contextlib.contextmanager
def connected(here: Desk) -> Iterator[socket.socket]:
    """A client that came while the socket had its file."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(here.settings.paths.socket))
        yield client


def health(client: socket.socket) -> dict[str, Any]:
    client.sendall(b"GET /api/v1/positions/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = HTTPResponse(client)
    answer.begin()
    found: dict[str, Any] = json.loads(answer.read())
    return found


def answers(here: Desk) -> bool:
    with contextlib.suppress(HlposmonError):
        return bool(here.api.health()["running"])
    return False


def test_a_socket_file_that_was_removed_is_bound_again_and_said(caplog: pytest.LogCaptureFixture):
    with desk() as here, here.running():
        path = here.settings.paths.socket
        assert answers(here)
        for _ in range(2):
            before = file_of(path)
            path.unlink()
            until("it is bound again", lambda: answers(here))
            assert file_of(path) != before, "the number of the first is kept by the socket that is open still"
        assert here.api.health()["reasons"] == [r for r in here.api.health()["reasons"] if "socket" not in r]
        said = [record for record in caplog.records if "it is bound again" in record.message]

    assert len(said) == 2


def test_a_folder_that_was_removed_is_made_again_for_this_user_alone():
    with desk() as here:
        folder = here.folder / "run"
        folder.mkdir()
        paths = replace(here.settings.paths, socket=folder / "m.sock", snapshot=folder / "snapshot")
        here.settings = replace(here.settings, paths=paths)
        here.api = Api(paths.socket, timeout_s=10)
        with here.running():
            assert answers(here)
            shutil.rmtree(folder)
            until("it is reached again", lambda: answers(here))
            until("the snapshot is there again", paths.snapshot.exists)
            assert folder.stat().st_mode & 0o777 == 0o700


def test_who_was_connected_before_is_served_on():
    with desk() as here, here.running(), connected(here) as client:
        assert health(client)["running"]
        here.settings.paths.socket.unlink()
        until("it is bound again", lambda: answers(here))
        assert health(client)["running"]


def test_a_snapshot_that_was_removed_with_it_is_written_again():
    with desk() as here, here.running():
        worker = here.join()
        worker.is_live()
        worker.says(here.statement("3"))
        until("it is stated", here.position)
        paths = here.settings.paths
        for path in (paths.snapshot, paths.socket):
            path.unlink()
        until("it is bound again", lambda: answers(here))
        with Snapshot.open(paths.snapshot) as opened:
            assert [str(record.size) for record in opened.positions()] == ["3"]


def test_the_sockets_mode_is_as_before():
    with desk() as here, here.running():
        path = here.settings.paths.socket
        mode = path.stat().st_mode
        path.unlink()
        until("it is bound again", lambda: answers(here))

        assert path.stat().st_mode == mode


def test_a_workers_queue_that_was_removed_lets_new_workers_in():
    with desk() as here, here.running():
        first = here.join("fill")
        (here.folder / "q").unlink()
        until("it is bound again", lambda: file_of(here.folder / "q"))
        here.join("fill-2")  # it is welcomed
        first.says(here.marks("50000"))


def test_the_socket_of_another_living_monitor_is_left_alone_and_is_a_reason_meanwhile():
    with desk() as here, here.running(), connected(here) as client:
        path = here.settings.paths.socket
        path.unlink()
        with open_door(path):
            theirs = file_of(path)
            reasons = until(
                "a reason", lambda: [r for r in health(client)["details"] if r["code"] == "socket"]
            )
            assert "is in use by a live monitor" in reasons[0]["text"]
            assert health(client)["status"] != "healthy"
            assert file_of(path) == theirs
        until("it is ours again", lambda: answers(here))  # the other one has died and left its file
        until("no reason", lambda: "socket" not in [r["code"] for r in health(client)["details"]])


def test_the_queue_of_another_living_monitor_is_left_alone():
    with desk() as here, here.running():
        path = here.folder / "q"
        path.unlink()
        with contextlib.closing(listen(path)):
            theirs = file_of(path)
            until("a reason", lambda: "socket" in [one["code"] for one in here.api.health()["details"]])
            assert file_of(path) == theirs
        until(
            "it is ours again", lambda: "socket" not in [one["code"] for one in here.api.health()["details"]]
        )
        here.join("fill")


def test_what_a_tracker_bound_again_and_left_behind_is_bound_by_the_next():
    """The supervisor's socket has no file any more, and what stands there is nobody's."""
    with desk() as here:
        path = here.settings.paths.socket
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(here.folder / "dead"))
        with here.running():
            path.unlink()
            (here.folder / "dead").rename(path)
            until("it is bound again", lambda: answers(here))

"""What systemd hears, on a real datagram socket."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervision_stage import Manager, descriptors

from hlposmon.supervision.systemd import Notifier
from tests.clock import awake_s


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    yield manager
    manager.close()


def test_each_word_is_one_datagram(manager: Manager):
    notifier = Notifier()
    notifier.ready()
    notifier.watchdog()
    notifier.status("2 of 2 up")
    notifier.stopping()

    assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=2 of 2 up", "STOPPING=1"]


def test_a_reload_carries_the_time_it_began(manager: Manager):
    before = time.monotonic_ns() // 1000
    Notifier().reloading()
    (message,) = manager.heard()
    word, stamp = message.split("\n")

    assert word == "RELOADING=1"
    assert stamp.startswith("MONOTONIC_USEC=")
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_of_ascii(manager: Manager):
    Notifier().status("größe\nREADY=1")

    assert manager.heard() == ["STATUS=gr??e READY=1"]


def test_an_abstract_socket_is_spoken_to_as_well(monkeypatch: pytest.MonkeyPatch):
    manager = Manager(f"@hlposmon-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    Notifier().ready()

    assert manager.heard() == ["READY=1"]
    manager.close()


def test_children_do_not_inherit_the_variables(manager: Manager, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    Notifier()

    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("30000000", "ours", 15.0),
        ("30000000", "", 15.0),
        ("30000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("soon", "", None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked_and_only_by_whom_it_watches(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, interval_s: float | None
):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)

    assert Notifier().watchdog_interval_s == interval_s


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    before = len(descriptors())
    notifier = Notifier()
    for speak in (notifier.ready, notifier.reloading, notifier.stopping, notifier.watchdog):
        speak()
    notifier.status("nobody listens")

    assert len(descriptors()) == before


def test_a_manager_that_is_gone_is_no_error(manager: Manager):
    notifier = Notifier()
    manager.close()
    Path(manager.address).unlink()
    notifier.ready()
    notifier.watchdog()


@pytest.mark.parametrize("address", ["/nowhere/at/all", "no-slash", "@" + "x" * 200])
def test_an_address_that_cannot_be_reached_is_no_error(monkeypatch: pytest.MonkeyPatch, address: str):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    Notifier().ready()


def test_a_manager_that_does_not_read_is_not_waited_for_and_hears_the_last_change_later(manager: Manager):
    notifier = Notifier()
    start = awake_s()
    for _ in range(2000):
        notifier.watchdog()
    notifier.ready()
    assert awake_s() - start < 5.0
    assert "READY=1" not in manager.heard()

    notifier.watchdog()
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]


def test_a_closed_notifier_says_nothing_more(manager: Manager):
    notifier = Notifier()
    notifier.close()
    notifier.ready()

    assert manager.heard() == []

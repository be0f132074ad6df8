"""When systemd hears READY, STATUS and WATCHDOG from the supervisor, and when it hears nothing."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sleepers import crash_before_the_first_beat, crash_unless, hang_before_the_first_beat, work
from supervision_stage import Manager, Script, Stage

from hlposmon.supervision.child import ChildSpec


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    yield manager
    manager.close()


def test_ready_is_said_once_and_only_when_every_child_is_up(manager: Manager):
    stage = Stage(ChildSpec("a", work), ChildSpec("b", work))

    def script(stage: Stage) -> Script:
        while "READY=1" not in manager.heard():
            yield
        assert stage.states() == {"a": "up", "b": "up"}
        yield from stage.for_s(0.5)

    assert stage.run(script) == 0
    manager.heard()
    assert manager.all_heard.count("READY=1") == 1


def test_until_then_the_status_names_those_it_waits_for(manager: Manager):
    stage = Stage(ChildSpec("quick", work), ChildSpec("slow", hang_before_the_first_beat))

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: "STATUS=1 of 2 up, waiting for slow" in manager.heard())
        assert "READY=1" not in manager.all_heard

    assert stage.run(script) == 0


def test_once_up_the_status_is_the_services_own(manager: Manager):
    stage = Stage(ChildSpec("a", work), status_text=lambda: "2 positions, all proven")

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: "STATUS=2 positions, all proven" in manager.heard())

    assert stage.run(script) == 0


def test_the_watchdog_is_fed_while_all_is_well_and_through_a_restart(manager: Manager):
    stage = Stage(ChildSpec("a", work), patience={"backoff_s": 2.0, "backoff_max_s": 2.0})

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        os.kill(stage.row("a").pid or 0, signal.SIGKILL)
        yield from stage.until(lambda: stage.row("a").state == "backoff")
        manager.heard()
        for _ in range(2):
            yield from stage.until(lambda: "WATCHDOG=1" in manager.heard())
        assert stage.row("a").state == "backoff"

    assert stage.run(script) == 0


def test_the_watchdog_starves_while_a_child_keeps_dying_and_is_fed_again_when_it_is_mended(
    manager: Manager, tmp_path: Path
):
    mended = tmp_path / "mended"
    stage = Stage(
        ChildSpec("well", work),
        ChildSpec("a", crash_unless, (mended,)),
        patience={"flap_limit": 1, "healthy_s": 0.2},
    )

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").flapping)
        manager.heard()
        yield from stage.for_s(1.0)
        assert "WATCHDOG=1" not in manager.heard()
        mended.touch()
        yield from stage.until(lambda: "WATCHDOG=1" in manager.heard())
        assert not stage.row("a").flapping

    assert stage.run(script) == 0


def test_stopping_is_said_before_the_children_go(manager: Manager):
    stage = Stage(ChildSpec("a", work))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        os.kill(os.getpid(), signal.SIGTERM)
        yield from stage.until(lambda: "STOPPING=1" in manager.heard())
        yield from stage.until(lambda: stage.states() == {"a": "down"})

    assert stage.run(script) == 0
    assert manager.all_heard.count("STOPPING=1") == 1


def test_while_a_child_dies_before_its_first_beat_nothing_is_ready(manager: Manager):
    stage = Stage(
        ChildSpec("well", work), ChildSpec("a", crash_before_the_first_beat), patience={"backoff_max_s": 0.05}
    )

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").restarts >= 2)

    assert stage.run(script) == 0
    manager.heard()
    assert "READY=1" not in manager.all_heard

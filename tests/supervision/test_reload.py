"""SIGHUP: what each kind of child does, what is new, what goes, and what a bad configuration changes."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sleepers import (
    exit_with,
    guard,
    ignore_being_asked,
    refuse_the_configuration,
    say,
    work,
    work_and_note_reloads,
)
from supervision_stage import Manager, Script, Stage, lines

from hlposmon.errors import ConfigError
from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.supervisor import SERVICE_STATUS_EVERY_S


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


class Wish:
    """What the next reload asks for; counts how often it was asked."""

    def __init__(self, specs: Sequence[ChildSpec] | None) -> None:
        self.specs = specs
        self.asked = 0

    def __call__(self) -> Sequence[ChildSpec] | None:
        self.asked += 1
        return self.specs


def test_each_child_is_reloaded_in_the_way_its_spec_says(tmp_path: Path):
    diary = tmp_path / "diary"
    specs = [
        ChildSpec("new process", say, (tmp_path / "said", "old"), reload="respawn"),
        ChildSpec("the same", work, reload="respawn"),
        ChildSpec("told", work_and_note_reloads, (diary,), reload="signal"),
        ChildSpec("left alone", work_and_note_reloads, (diary,), reload="keep"),
    ]
    changed = [ChildSpec("new process", say, (tmp_path / "said", "new"), reload="respawn"), *specs[1:]]
    stage = Stage(*specs, on_reload=Wish(changed))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        before = {row.name: row.pid for row in stage.board.rows()}
        hang_up()
        yield from stage.until(lambda: stage.row("new process").pid not in (None, before["new process"]))
        yield from stage.until(lambda: lines(diary) == ["told reloaded"])
        yield from stage.all_up()
        assert stage.row("told").pid == before["told"]
        assert stage.row("the same").pid == before["the same"]
        assert stage.row("left alone").pid == before["left alone"]
        assert [row.restarts for row in stage.board.rows()] == [0, 0, 0, 0]  # a reload is no failure

    assert stage.run(script) == 0
    assert lines(diary) == ["told reloaded"]


def test_a_new_process_runs_with_the_new_arguments(tmp_path: Path):
    diary = tmp_path / "diary"
    stage = Stage(
        ChildSpec("a", say, (diary, "old")),
        on_reload=Wish([ChildSpec("a", say, (diary, "new"), kind="fresh")]),
    )

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        hang_up()
        yield from stage.until(lambda: lines(diary) == ["old", "new"])
        assert stage.row("a").kind == "fresh"

    assert stage.run(script) == 0


def test_a_child_that_is_kept_takes_the_new_arguments_when_it_next_dies(tmp_path: Path):
    diary = tmp_path / "diary"
    stage = Stage(
        ChildSpec("a", say, (diary, "old")),
        on_reload=Wish([ChildSpec("a", say, (diary, "new"), reload="keep")]),
    )

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        hang_up()
        yield from stage.for_s(0.3)
        assert lines(diary) == ["old"]
        os.kill(stage.row("a").pid or 0, signal.SIGKILL)
        yield from stage.until(lambda: lines(diary) == ["old", "new"])

    assert stage.run(script) == 0


def test_new_children_come_and_missing_ones_go_with_their_rows():
    stage = Stage(
        ChildSpec("a", work), ChildSpec("b", work), on_reload=Wish([ChildSpec("c", work, kind="new")])
    )

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        hang_up()
        yield from stage.until(lambda: stage.states() == {"c": "up"})
        assert stage.row("c").kind == "new"

    assert stage.run(script) == 0


def test_a_child_that_is_wanted_back_before_it_has_gone_comes_back():
    both = [ChildSpec("a", ignore_being_asked), ChildSpec("b", work, reload="keep")]
    wish = Wish(both[1:])
    stage = Stage(*both, on_reload=wish, patience={"stop_grace_s": 0.5})

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        first = stage.row("a").pid
        hang_up()
        yield from stage.until(lambda: stage.row("a").state == "stopping")
        wish.specs = both
        hang_up()
        yield from stage.until(lambda: stage.row("a").state == "up" and stage.row("a").pid != first)

    assert stage.run(script) == 0


def test_a_child_that_keeps_dying_is_given_a_fresh_chance_at_once():
    dying = ChildSpec("a", exit_with, (3,))
    stage = Stage(
        dying, on_reload=Wish([ChildSpec("a", work)]), patience={"backoff_s": 60.0, "backoff_max_s": 60.0}
    )

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: stage.row("a").state == "backoff")
        hang_up()
        yield from stage.all_up()

    assert stage.run(script) == 0


def refuse() -> Sequence[ChildSpec] | None:
    raise ConfigError(["prices.interval_s: is 'often', must be a number", "stream: unknown"])


@pytest.mark.parametrize("on_reload", [refuse, Wish(None), None])
def test_a_reload_that_brings_nothing_keeps_everything(on_reload, caplog: pytest.LogCaptureFixture):
    stage = Stage(ChildSpec("a", work), on_reload=on_reload)
    said = "not reloaded: bad configuration" if on_reload is refuse else "reloaded"

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        pid = stage.row("a").pid
        hang_up()
        yield from stage.until(lambda: said in caplog.messages)
        yield from stage.for_s(0.3)
        assert (stage.row("a").pid, stage.row("a").state) == (pid, "up")

    caplog.set_level("INFO")
    assert stage.run(script) == 0
    mistakes = [r.fields["mistake"] for r in caplog.records if "mistake" in getattr(r, "fields", {})]
    assert len(mistakes) == (2 if on_reload is refuse else 0)
    assert caplog.messages.count("reloaded") == (0 if on_reload is refuse else 1)


def test_more_children_than_the_board_has_room_for_are_refused_and_nothing_changes(caplog):
    crowd = [ChildSpec(f"c{n}", work) for n in range(18)]
    stage = Stage(ChildSpec("a", work), on_reload=Wish(crowd))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        pid = stage.row("a").pid
        hang_up()
        yield from stage.until(lambda: any("not reloaded" in message for message in caplog.messages))
        yield from stage.for_s(0.3)
        assert [(row.name, row.pid) for row in stage.board.rows()] == [("a", pid)]

    assert stage.run(script) == 0


def test_a_configuration_refused_after_a_reload_does_not_stop_the_service():
    bad = [ChildSpec("good", work, reload="keep"), ChildSpec("bad", refuse_the_configuration)]
    stage = Stage(bad[0], on_reload=Wish(bad))

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        hang_up()
        yield from stage.until(lambda: stage.states().get("bad") and stage.row("bad").last_exit == 78)
        yield from stage.until(lambda: stage.row("bad").restarts >= 1)
        assert stage.row("good").state == "up"

    assert stage.run(script) == 0


def test_a_reload_while_stopping_is_not_asked_for():
    wish = Wish([])
    stage = Stage(ChildSpec("a", ignore_being_asked), on_reload=wish, patience={"stop_grace_s": 0.5})

    def script(stage: Stage) -> Script:
        yield from stage.all_up()
        os.kill(os.getpid(), signal.SIGTERM)
        yield from stage.until(lambda: stage.row("a").state == "stopping")
        hang_up()
        yield from stage.until(lambda: stage.row("a").state == "down")

    assert stage.run(script) == 0
    assert wish.asked == 0


def test_systemd_hears_that_a_reload_begins_and_when_everything_is_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    old, new = (ChildSpec("a", say, (tmp_path / "said", word)) for word in ("old", "new"))
    stage = Stage(old, on_reload=Wish([new]))

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: "READY=1" in manager.heard())
        hang_up()
        yield from stage.until(lambda: any(word.startswith("RELOADING=1") for word in manager.heard()))
        assert "READY=1" not in manager.all_heard[-1:]
        yield from stage.until(lambda: "READY=1" in manager.heard())
        assert stage.states() == {"a": "up"}

    assert stage.run(script) == 0
    manager.close()


def test_systemd_hears_at_once_what_came_of_a_reload_and_that_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    manager = Manager(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    said = ["well"]

    def refuse() -> None:
        said.append("not reloaded: bad")
        raise ConfigError(["bad"])

    stage = Stage(ChildSpec("a", work), on_reload=refuse, status_text=lambda: said[-1])

    def script(stage: Stage) -> Script:
        yield from stage.until(lambda: "STATUS=well" in manager.heard())
        at_s = time.monotonic()
        hang_up()
        yield from stage.until(lambda: "STATUS=not reloaded: bad" in manager.heard())
        assert time.monotonic() - at_s < SERVICE_STATUS_EVERY_S
        kinds = [word.partition("=")[0] for word in manager.all_heard]
        assert kinds[-3:] == ["RELOADING", "READY", "STATUS"]

    assert stage.run(script) == 0
    manager.close()


class Posts:
    """Guards of one kind before and after a reload: the old ones serve, the new ones from `relief` on."""

    def __init__(self, folder: Path, *, before: int = 2, after: int = 2, **patience: float) -> None:
        self.old, self.new = folder / "old", folder / "new"
        self.old.touch()
        self.wish = Wish(self._guards(self.new, after))
        self.stage = Stage(*self._guards(self.old, before), on_reload=self.wish, patience=patience)

    def _guards(self, post: Path, count: int) -> list[ChildSpec]:
        return [ChildSpec(f"g{n}", guard, (post,), kind="guard", guard=True) for n in range(1, count + 1)]

    def reload(self) -> Script:
        """Hang up once all serve; `first` is who was there."""
        yield from self.stage.all_up()
        yield from self.stage.until(lambda: all(self.serves(row.name) for row in self.stage.board.rows()))
        self.first = {row.name: row.pid for row in self.stage.board.rows()}
        hang_up()

    def serves(self, name: str) -> bool:
        return self.stage.board.row(name).serving

    def is_another(self, name: str) -> bool:
        row = self.stage.row(name)
        return row.state == "up" and row.pid != self.first.get(name)

    def stays(self, name: str) -> bool:
        return self.stage.row(name).pid == self.first[name] and self.serves(name)


def test_of_two_guards_the_second_stays_until_the_relief_of_the_first_serves(tmp_path: Path):
    posts = Posts(tmp_path)

    def script(stage: Stage) -> Script:
        yield from posts.reload()
        yield from stage.until(lambda: posts.is_another("g1"))
        yield from stage.for_s(0.3)
        assert posts.stays("g2")
        posts.new.touch()
        yield from stage.until(lambda: posts.serves("g1") and posts.is_another("g2"))
        assert stage.row("g2").restarts == 0

    assert posts.stage.run(script) == 0


def test_a_guard_that_is_not_relieved_in_time_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    posts = Posts(tmp_path, handover_s=0.5)

    def script(stage: Stage) -> Script:
        yield from posts.reload()
        yield from stage.until(lambda: posts.is_another("g1") and posts.is_another("g2"))
        assert not posts.serves("g1")

    assert posts.stage.run(script) == 0
    assert caplog.messages.count("not relieved in time") == 1


def test_guards_that_do_not_serve_go_at_once(tmp_path: Path):
    posts = Posts(tmp_path, handover_s=60.0)

    def script(stage: Stage) -> Script:
        yield from posts.reload()
        yield from stage.until(lambda: posts.is_another("g1"))
        posts.old.unlink()
        yield from stage.until(lambda: posts.is_another("g2"))

    assert posts.stage.run(script) == 0


def test_a_guard_that_is_wanted_no_more_stays_until_the_others_serve(tmp_path: Path):
    posts = Posts(tmp_path, before=2, after=1, handover_s=60.0)

    def script(stage: Stage) -> Script:
        yield from posts.reload()
        yield from stage.until(lambda: posts.is_another("g1"))
        yield from stage.for_s(0.3)
        assert posts.stays("g2")
        posts.new.touch()
        yield from stage.until(lambda: stage.states() == {"g1": "up"})

    assert posts.stage.run(script) == 0


def test_a_lone_guard_stays_until_one_that_is_new_serves(tmp_path: Path):
    posts = Posts(tmp_path, before=1, after=2, handover_s=60.0)

    def script(stage: Stage) -> Script:
        yield from posts.reload()
        yield from stage.until(lambda: "g2" in stage.states() and stage.row("g2").state == "up")
        yield from stage.for_s(0.3)
        assert posts.stays("g1")
        posts.new.touch()
        yield from stage.until(lambda: posts.serves("g2") and posts.is_another("g1"))

    assert posts.stage.run(script) == 0


def test_a_stop_waits_for_no_relief(tmp_path: Path):
    posts = Posts(tmp_path, handover_s=60.0, stop_grace_s=10.0, stop_total_s=30.0)

    def script(stage: Stage) -> Script:
        yield from posts.reload()
        yield from stage.until(lambda: posts.is_another("g1"))

    assert posts.stage.run(script) == 0
    assert {row.last_exit for row in posts.stage.final.values()} == {0}

"""What a child that is replaced after hours starts from: a supervisor that has not grown."""

from pathlib import Path

from sleepers import crash
from supervision_stage import Script, Stage

from hlposmon.supervision.child import ChildSpec


def anonymous_kb() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))


def test_two_hundred_restarts_do_not_make_the_supervisor_larger():
    stage = Stage(
        ChildSpec("a", crash),
        patience={"flap_limit": 1000, "backoff_s": 0.001, "backoff_max_s": 0.001},
    )
    sizes: list[int] = []

    def script(stage: Stage) -> Script:
        for restarts in (50, 250):
            yield from stage.until(lambda n=restarts: stage.row("a").restarts >= n, 90.0)
            sizes.append(anonymous_kb())

    assert stage.run(script) == 0
    assert sizes[1] - sizes[0] < 1024

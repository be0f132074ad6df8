"""One run: one seed, one fresh exchange, one fresh monitor, a flow of fills, some faults, the equality.

It ends with everything being asked: exchange = book = snapshot = journal (and what else is kept), each
fill once, no claim was wrong on the way, nothing is left behind. What it found is a Result, as JSON.
"""

import contextlib
import heapq
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hlposmon.errors import HlposmonError
from hlposmon.simulator.client import ControlError
from tests.chaos import places
from tests.chaos.faults.table import BY_NAME
from tests.chaos.plan import Plan, Step, plan_of
from tests.chaos.stage import Stage
from tests.chaos.trial import LOG_DISK, OLD_SERVER, STATE_DISK, Act, Trial, Wound
from tests.chaos.witness import Witness
from tests.system.world import alive, until

SETTLE_S = 90.0  # a round trip that was lost is found by the look of each minute
HEAL_S = 100.0  # a fetch may have to wait for the next minute of what may be asked
SLOW_S = 8.0
GAP_S = 10.0
LONG_S = 30.0  # a run that took so long is kept to be looked at, though it ended well
FEEDS = 2
DISKS = {LOG_DISK: "log", STATE_DISK: "state"}
STEP_S = 0.05
CONFIG = """
[supervision]
backoff_s = 0.2
backoff_max_s = 1.0
silent_s = 3.0
[reconcile]
interval_s = {interval_s}
[audit]
fsync = "{fsync}"
"""
NO_SUCH_FEED = "connections, and no "
KEPT = {"state", "log", "xdg", "monitor.log", "hlposmon.toml", "clock"}


@dataclass(slots=True)
class Result:
    """What a run found. `wrong`: claims that were not true; `unequal`: what did not agree at the end;
    `unsaid`: what the health had to say and did not, or said when it was over."""

    seed: int
    plan: str
    ok: bool = False
    slow: list[str] = field(default_factory=list)  # beyond its limit, which is no failure
    wrong: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)
    drifts: int = 0
    error: str = ""
    skipped: list[str] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    fills: int = 0
    fundings: int = 0
    claims: int = 0
    restarts: int = 0
    seconds: float = 0.0
    settle_s: float = 0.0
    waited_for: list[str] = field(default_factory=list)  # what was last to agree, if that took long
    kept: str = ""


def run(seed: int, *, only: str | None = None, keep: Path | None = None) -> Result:
    """Do the run of a seed. Never raises; the folder of a failed run is kept below `keep`."""
    plan = plan_of(seed, only=only)
    result = Result(seed, plan.line())
    began_s = time.monotonic()
    # A short path: a Unix socket's may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="hlc-"))
    try:
        with contextlib.ExitStack() as stack:
            _Run(plan, result, folder, stack, only).go()
            found = (result.wrong, result.unequal, result.unsaid, result.left, result.drifts, result.error)
            result.ok = not any(found)
            if not result.ok or result.settle_s > LONG_S or result.slow:
                _keep(folder, keep, result)
    except Exception as error:  # noqa: BLE001 - whatever it was, it belongs to this seed
        result.ok = False
        result.error = "".join(traceback.format_exception(error, limit=-6))
        _keep(folder, keep, result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result.seconds = round(time.monotonic() - began_s, 2)
    return result


class _Run:
    def __init__(
        self, plan: Plan, result: Result, folder: Path, stack: contextlib.ExitStack, only: str | None
    ) -> None:
        self.plan, self.result, self.folder = plan, result, folder
        disks, clock = self._places(stack)
        self.stage = Stage(folder)
        stack.callback(self.stage.close)
        chance = random.Random(f"trial {plan.seed} {only}")
        self.trial = Trial(
            self.stage, chance, disks=disks, clock=clock, statements_s=plan.interval_s,
            old_server=OLD_SERVER in plan.needs,
        )  # fmt: skip
        self.clock = clock
        stack.callback(self._close_clients)
        self.stack = stack

    def go(self) -> None:
        plan, stage, trial = self.plan, self.stage, self.trial
        stage.open_exchange(
            "--seed", str(plan.seed), "--pace", "0", "--coins", str(plan.coins),
            "--builder-coins", str(plan.builder_coins), "--accounts", str(plan.accounts), "--no-limits",
        )  # fmt: skip
        stage.flatten()
        if plan.scale:
            stage.control.scale(plan.scale)
        if trial.old_server:
            trial.refuse_newer()
        if self.clock is not None:
            stage.monitor_environ = self.clock.environ
        stage.watch(plan.accounts, CONFIG.format(interval_s=plan.interval_s, fsync=plan.fsync))
        begun = {name: stage.made(name) for name in stage.names}
        self.witness = Witness(stage, trial.blind, begun)
        self.stack.callback(self.witness.close)
        until("both feeds are up", lambda: len(trial.feeds()) == FEEDS)
        before = _descriptors(trial.pids())
        stage.control.pace(plan.pace)
        wounds = self._together() if plan.together else self._one_by_one()
        self._settle(begun)
        self._measure(wounds)
        self._end(before)

    # ---------------------------------------------------------------- before

    def _places(self, stack: contextlib.ExitStack) -> tuple[dict[str, places.Disk], places.Clock | None]:
        disks, clock = {}, None
        for need in sorted(self.plan.needs):
            try:
                if need in DISKS:
                    disks[need] = stack.enter_context(places.disk(self.folder / DISKS[need]))
                elif need == "clock":
                    clock = places.clock(self.folder)
            except places.Unavailable as why:
                self.result.skipped.append(f"{need}: {why}")
        return disks, clock

    def _steps(self) -> list[Step]:
        had = {"", OLD_SERVER, *self.trial.disks, *(["clock"] if self.trial.clock else [])}
        return [step for step in self.plan.steps if step.fault.needs in had]

    # ---------------------------------------------------------------- faults

    def _together(self) -> list[Wound]:
        """All of them begin within a few seconds and go on side by side."""
        began_s = time.monotonic()
        queue: list[tuple[float, int, Act, Wound]] = []
        wounds = []
        for number, step in enumerate(self._steps()):
            wound = Wound(step.fault.name, 0.0, alone=False)
            wounds.append(wound)
            heapq.heappush(queue, (began_s + step.after_s, number, self._act(step), wound))
        while queue:
            due_s, number, act, wound = heapq.heappop(queue)
            self._wait_until(due_s)
            wait_s = self._go_on(act, wound)
            if wait_s is not None:
                heapq.heappush(queue, (time.monotonic() + wait_s, number, act, wound))
        return wounds

    def _one_by_one(self) -> list[Wound]:
        """Each begins when all is well again after the one before."""
        wounds = []
        for step in self._steps():
            self._heal("all is well", time.monotonic() - 0.4)
            self._wait_until(time.monotonic() + step.after_s)
            act, wound = self._act(step), Wound(step.fault.name, 0.0)
            wounds.append(wound)
            while (wait_s := self._go_on(act, wound)) is not None:
                self._wait_until(time.monotonic() + wait_s)
            over_s = wound.over_s or time.monotonic()
            self._heal(f"all is well after {wound.name}", over_s)
        return wounds

    def _heal(self, what: str, since_s: float) -> None:
        def well() -> bool:
            self.trial.keep_up()
            return self.witness.is_whole_since(since_s) is not None

        until(what, well, within_s=HEAL_S)

    def _act(self, step: Step) -> Act:
        return step.fault.act(self.trial, random.Random(step.seed))

    def _go_on(self, act: Act, wound: Wound) -> float | None:
        self.trial.wound = wound
        wound.began_s = wound.began_s or time.monotonic()
        try:
            return next(act, None)
        except HlposmonError:
            return None  # the monitor was away when it was asked: what was done so far is the fault
        except ControlError as error:
            if NO_SUCH_FEED not in str(error):
                raise
            wound.notes.append("the connection was gone already")
            return None
        finally:
            self.trial.wound = None

    def _wait_until(self, due_s: float) -> None:
        """The random pauses are the timing of the faults: part of what the seed stands for."""
        while (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, STEP_S))
            self.trial.keep_up()

    # ------------------------------------------------------------------- end

    def _settle(self, begun: dict[str, int]) -> None:
        """Let the exchange be well and silent, and wait until all agree."""
        control, began_s = self.stage.control, time.monotonic()
        control.pace(0)
        control.clear()
        if self.trial.old_server:
            self.trial.refuse_newer()
        control.resume()
        self._close_clients()
        wrong: list[str] = ["never asked"]

        def agree() -> bool:
            self.trial.keep_up()
            wrong[:] = [*self.stage.all_disagreements(begun), *self.stage.unexplained()]
            if wrong and time.monotonic() - began_s > SLOW_S:
                self.result.waited_for = wrong[:3]
            return not wrong and self.witness.is_whole_since(time.monotonic() - 0.4) is not None

        try:
            until("all agree", agree, within_s=SETTLE_S)
        except AssertionError:
            self.result.unequal = wrong
            self.result.error = self.stage.log()
        self.result.settle_s = round(time.monotonic() - began_s, 2)
        self.result.fundings = sum(1 for name in self.stage.names for _ in self.stage.payments(name))
        self.result.fills = sum(self.stage.made(name) - begun[name] for name in self.stage.names)

    def _close_clients(self) -> None:
        for sock in self.trial.open:
            sock.close()

    def _measure(self, wounds: list[Wound]) -> None:
        witness, result = self.witness, self.result
        for wound in wounds:
            row: dict[str, Any] = {"name": wound.name, "notes": "; ".join(wound.notes)}
            if wound.alone:
                noticed_s = witness.noticed_after(wound.began_s)
                healed_s = witness.is_whole_since(max(wound.over_s or 0.0, noticed_s or 0.0))
                row["notice_s"] = None if noticed_s is None else round(noticed_s - wound.began_s, 3)
                # What nobody had to notice was never broken.
                if noticed_s is not None and healed_s is not None:
                    row["heal_s"] = round(healed_s - max(wound.over_s or 0.0, wound.began_s), 3)
            result.faults.append(row)
            result.slow += _too_slow(row)
        result.gaps_s = [round(each, 3) for each in witness.gaps()]
        # Of faults that came together one may rightly keep the gap of another open.
        if not self.plan.together:
            result.slow += [f"a gap open for {each:.1f} s" for each in result.gaps_s if each > GAP_S]
        result.wrong, result.claims = witness.wrong[:20], witness.claims
        result.unsaid = self.trial.unsaid
        result.drifts = len(witness.drifts())

    def _end(self, before: dict[str, tuple[int, list[str]]]) -> None:
        """Stop it, and look at what is left."""
        stage, result, left = self.stage, self.result, self.result.left
        with contextlib.suppress(HlposmonError):
            result.restarts = sum(stage.restarts().values())
        self.witness.close()
        after = _descriptors(self.trial.pids())
        for name, (pid, open_now) in after.items():
            # A connection to the exchange that is kept alive, or one that is just being made.
            had = before[name][1] if name in before and before[name][0] == pid else open_now
            if len(open_now) > len(had) + 4:
                more = sorted(set(open_now) - set(had))
                left.append(f"{name} has {len(open_now)} descriptors, and had {len(had)}: {more}")
        family = set(self.trial.everything()) | self.trial.family
        try:
            status = stage.stop(signal.SIGINT)
        except Exception as error:  # noqa: BLE001 - whatever it was, the run says it
            left.append(f"it did not stop: {error!r}")
            return
        if status != 0:
            left.append(f"exit status {status}")
        try:
            until("all processes are gone", lambda: not any(map(alive, family)), within_s=3)
        except AssertionError:
            left.append(f"processes {sorted(pid for pid in family if alive(pid))} are left")
        places.sweep(family)
        left += [f"file {name}" for name in _left_files(self.folder)]
        result.left = left


def _too_slow(row: dict[str, Any]) -> Iterator[str]:
    """What a fault that came alone took longer for than it may."""
    fault = BY_NAME[row["name"]]
    if (noticed_s := row.get("notice_s") or 0.0) > fault.noticed_within_s:
        yield f"{fault.name}: noticed after {noticed_s:.1f} s"
    if (healed_s := row.get("heal_s") or 0.0) > fault.healed_within_s:
        yield f"{fault.name}: healed after {healed_s:.1f} s"


def _descriptors(pids: dict[str, int]) -> dict[str, tuple[int, list[str]]]:
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            found[name] = pid, [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return found


def _left_files(folder: Path) -> Iterator[str]:
    """Sockets, locks and the snapshot; in shared memory what bears our name."""
    yield from (path.name for path in folder.iterdir() if path.name not in KEPT)
    yield from (str(path.relative_to(folder)) for path in folder.rglob("*.lock"))
    yield from (
        path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("hlposmon", "psm_"))
    )


def _keep(folder: Path, keep: Path | None, result: Result) -> None:
    """The logs and the journal of a failed run, for those who look for the cause."""
    if keep is None:
        return
    target = keep / f"seed-{result.seed}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        folder, target, ignore=lambda _, names: [name for name in names if name.endswith((".sock", ".q"))],
        ignore_dangling_symlinks=True,
    )  # fmt: skip
    result.kept = str(target)


def as_row(result: Result) -> dict[str, Any]:
    return asdict(result)

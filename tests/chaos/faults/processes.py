"""Faults of processes: killed, stopped for a time, stopped for good; one, two, or all of them at once."""

import os
import random
import re
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.chaos.trial import STALE_S, Act, Trial

RESTARTED_S = 6.0  # a process is there again, on a machine with much else to do, and has said something
# The tracker sees the end of a feed at once.
KILLED = {"tracker_s": STALE_S, "fills_s": 3.0, "pushes_s": RESTARTED_S}
STOPPED_LAG_S = 8.0  # silent for 3 s, aborted, killed 2 s later, and started again


def _victims(trial: Trial, chance: random.Random, kind: str, count: int = 1) -> dict[str, int]:
    """So many processes of a kind ("*": of any, but not the supervisor) by name."""
    found = {
        name: pid
        for name, pid in sorted(trial.pids().items())
        if name != "supervisor" and (kind == "*" or re.fullmatch(rf"{kind}(-\d+)?", name))
    }
    chosen = chance.sample(sorted(found), min(count, len(found)))
    return {name: found[name] for name in chosen}


def _blinds(
    trial: Trial, victims: Iterable[str], *, tracker_s: float, fills_s: float, pushes_s: float
) -> None:
    """What is shown may be old for so long: while the tracker is away, or until the end of a feed is seen.

    Who asks for prices and statements brings no fill, and is not waited for.
    """
    names = {name.split("-")[0] for name in victims}
    if "tracker" in names:
        trial.may_lag(tracker_s)
    if "fill" in names:
        trial.may_lag(fills_s)
    if names & {"tracker", "state"}:
        trial.hurts_pushes(pushes_s)


def kill(kind: str, count: int = 1) -> Callable[[Trial, random.Random], Act]:
    """SIGKILL, at any instant."""

    def act(trial: Trial, chance: random.Random) -> Act:
        yield chance.uniform(0, 0.4)  # the instant that the fault is about
        victims = _victims(trial, chance, kind, count)
        trial.note("+".join(victims) or "nobody was up")
        _blinds(trial, victims, **KILLED)
        trial.begins()
        trial.send(signal.SIGKILL, *victims.values())
        trial.over()

    return act


def kill_again(trial: Trial, chance: random.Random) -> Act:
    """The same process three times, each time as soon as it is there again."""
    kind = chance.choice(("fill", "tracker", "reconcile", "price", "state", "history"))
    trial.note(kind)
    trial.begins()
    killed: set[int] = set()
    for _ in range(60):
        for name, pid in _victims(trial, chance, kind).items():
            if pid not in killed:
                _blinds(trial, [name], **KILLED)
                trial.send(signal.SIGKILL, pid)
                killed.add(pid)
        if len(killed) >= 3:
            break
        yield chance.uniform(0.05, 0.3)
    trial.over()


def stop(kind: str, count: int = 1) -> Callable[[Trial, random.Random], Act]:
    """SIGSTOP and, before anybody loses patience, SIGCONT."""

    def act(trial: Trial, chance: random.Random) -> Act:
        yield chance.uniform(0, 0.4)
        victims, seconds = _victims(trial, chance, kind, count), chance.uniform(0.2, 2.0)
        trial.note(f"{'+'.join(victims)} {seconds:.1f} s")
        _blinds(trial, victims, tracker_s=seconds + 3, fills_s=seconds + 3, pushes_s=seconds + 3)
        trial.begins()
        trial.send(signal.SIGSTOP, *victims.values())
        yield seconds
        trial.send(signal.SIGCONT, *victims.values())
        trial.over()

    return act


def stop_for_good(trial: Trial, chance: random.Random) -> Act:
    """SIGSTOP and nothing after: the supervisor has to replace it."""
    victims = _victims(trial, chance, "*", chance.choice((1, 1, 2)))
    trial.note("+".join(victims))
    _blinds(trial, victims, tracker_s=STALE_S, fills_s=STOPPED_LAG_S, pushes_s=STOPPED_LAG_S)
    trial.begins()
    trial.send(signal.SIGSTOP, *victims.values())
    yield 5.5
    trial.over()


def stop_supervisor(trial: Trial, chance: random.Random) -> Act:
    """Its children must go on, and be found well by it afterwards."""
    pid, seconds = trial.pids().get("supervisor"), chance.uniform(0.5, 3.5)
    if pid is None:  # another fault has ended it just now
        trial.note("it was away")
        return
    trial.note(f"{seconds:.1f} s")
    trial.begins()
    trial.send(signal.SIGSTOP, pid)
    yield seconds
    trial.send(signal.SIGCONT, pid)
    trial.over()


def stop_all(trial: Trial, chance: random.Random) -> Act:
    """The whole monitor stands still, as on a machine that was suspended, and goes on."""
    pids, seconds = trial.everything(), chance.uniform(0.3, 2.5)
    trial.note(f"{seconds:.1f} s")
    trial.may_lag(seconds + 3)
    trial.hurts_pushes(seconds)
    trial.begins()
    trial.send(signal.SIGSTOP, *pids)
    yield seconds
    trial.send(signal.SIGCONT, *pids)
    trial.over()


def kill_supervisor(trial: Trial, chance: random.Random) -> Act:
    """Its children go with it; it is started again, as a service manager would."""
    yield chance.uniform(0, 0.4)
    assert trial.stage.monitor is not None
    trial.everything()
    yield from _down(trial, [trial.stage.monitor.pid], chance.uniform(0.05, 0.5))
    trial.over()


def power_cut(trial: Trial, chance: random.Random) -> Act:
    """Everything at once, in the midst of writes; then a start on the same folders."""
    yield chance.uniform(0, 0.4)
    pids = trial.everything()
    chance.shuffle(pids)
    yield from _down(trial, pids, chance.uniform(0.05, 0.8))
    trial.over()


def power_cut_torn(trial: Trial, chance: random.Random) -> Act:
    """As above, and what had not reached the disk yet is lost: the end of the audit is cut off."""
    yield chance.uniform(0, 0.4)
    act = _down(trial, trial.everything(), chance.uniform(0.2, 0.8))
    wait_s = next(act)
    cut = chance.choice((1, 7, 60, 300, 1500))
    paths = sorted((trial.stage.log_dir / "trading").glob("audit-*.jsonl"))
    if paths:
        # Only what came after the last checkpoint can have been waiting: that was synced before it.
        size, mark = paths[-1].stat().st_size, _last_checkpoint(paths[-1])
        try:
            os.truncate(paths[-1], max(mark, size - cut))
        except OSError as error:  # another fault has made the folder read-only
            trial.note(str(error.strerror))
        trial.note(f"{size - paths[-1].stat().st_size} bytes")
    yield wait_s
    trial.over()


def _down(trial: Trial, pids: list[int], seconds: float) -> Act:
    trial.may_lag(STALE_S)
    trial.hurts_pushes(seconds + RESTARTED_S)
    trial.begins()
    trial.cut_down(pids, for_s=seconds)
    yield seconds


def _last_checkpoint(path: Path) -> int:
    """Where the line after the last checkpoint begins."""
    raw = path.read_bytes()
    mark = raw.rfind(b'"type":"checkpoint"')
    return raw.find(b"\n", mark) + 1 if mark >= 0 else 0


def reload(trial: Trial, chance: random.Random) -> Act:
    """SIGHUP in the midst of it."""
    yield chance.uniform(0, 0.4)
    trial.may_lag(6)
    trial.hurts_pushes(RESTARTED_S)
    trial.begins()
    if (pid := trial.pids().get("supervisor")) is not None:
        trial.send(signal.SIGHUP, pid)
    trial.over()

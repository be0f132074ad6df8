"""One life: an exchange, the workers, a tracker that is killed now and then; faults, and then their end.

Everything is drawn from the seed. What is not as it must be is in `wrong`.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hlposmon.domain.position import Position
from hlposmon.domain.reports import Fill
from hlposmon.engine.engine import Watched
from hlposmon.engine.freshness import ROUNDS_STALE
from hlposmon.journal.files import written_below
from tests.simulation.audit import Audit
from tests.simulation.disk import FaultyDisk, ProcessEnded
from tests.simulation.places import folder_for_a_life
from tests.simulation.plan import Plan
from tests.simulation.result import NOT_WHOLE
from tests.simulation.scheduler import Scheduler
from tests.simulation.shell import FEEDS, Shell, watched
from tests.simulation.states import States
from tests.simulation.trace import effect_text, fill_text, report_text
from tests.simulation.venue import Name, Venue
from tests.simulation.witness import LOOK_S, Witness
from tests.simulation.workers import FeedWorker, PriceWorker, ReconcileWorker, StateWorker, Worker

# Within so long after the last fault all is proven, equal, and stays so.
CONVERGED_S = 60.0
# After the faults: how long trading goes on, and how long all must stay whole.
TRADES_ON_S, STAYS_S = 4.0, 4.0
UNDER_WAY_S = 8.0
# A long gap begins when a first statement surely holds nothing of it, and lasts for longer than the fills
# that are remembered over a restart and those that are told again from before them.
LONG_GAP_AFTER_S, LONG_GAP_S = 15.0, 64.0
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Crash:
    """At one call of the disk or one sending, counted from the first: that fails once, or the process ends
    there; with `power` the machine, too."""

    call: int
    fails: bool = False
    power: bool = False


class Life:
    def __init__(
        self,
        seed: int,
        plan: Plan | None = None,
        *,
        say: Callable[[str], None] | None = None,
        crash: Crash | None = None,
    ) -> None:
        self.seed, self._say = seed, say
        self.dice = random.Random(seed)
        self.plan = plan or Plan.drawn(self.dice).with_polled(random.Random(f"polled {seed}"))
        self.time = Scheduler()
        self.states = States()
        self.venue = Venue(self.plan, self.dice, self.time, seed)
        self.disk = FaultyDisk(random.Random(f"disk {seed}"))
        self._loses_power = False
        if crash is not None:
            self._loses_power = crash.power
            self.disk.fails_at = crash.call if crash.fails else None
            self.disk.ends_at = None if crash.fails else crash.call
        # The accounts that no feed follows, as the settings have it.
        self.polled = tuple(self.venue.names[len(self.venue.names) - self.plan.polled :])
        self.witness = Witness(self.venue, self.time)
        self.folder = folder_for_a_life()
        self.shell: Shell | None = None
        self.shells: list[Shell] = []  # all that there were
        self.workers: list[Worker] = [
            *(FeedWorker(self, name) for name in FEEDS[: self.plan.feeds]),
            PriceWorker(self, "price"),
            StateWorker(self, "state"),
            ReconcileWorker(self, "reconcile"),
        ]
        self.wrong: list[str] = []
        # What a feed lost in silence: it is found when something differs, or by a look at the fills.
        self.dropped: set[Fill] = set()
        self.published = bytearray()  # all frames of all processes
        self.converged_s: float | None = None
        self._first_seq = 1
        self._written_seq = 0  # of the tracker before
        # The positions that it had, where all that it had decided was written when it was killed.
        self._left_behind: dict[Name, tuple[Any, ...]] | None = None
        self._turn: list[Any] | None = None
        self._stalled_until_s = 0.0
        self._has_lost_lines = self._has_holes = False
        self._days: set[int] = set()
        self._look_s = 0.0
        self._is_calm = False
        # In two lives of five money is moved; how often in a minute.
        self._transfers = random.Random(f"transfers {seed}").choice((0.0, 0.0, 0.0, 3.0, 12.0))

    # ------------------------------------------------------------------ running

    def run(self) -> "Life":
        try:
            self._run()
            self._judge()
        finally:
            self.disk.ends()
            shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def let_go(self) -> None:
        """What it is made of knows one another, and is forgotten one by one: to leave that to the garbage
        collector takes longer than to free it. Nothing of it can be used any more."""
        for one in (*self.workers, *self.shells, self.time, self):
            vars(one).clear()

    def _run(self) -> None:
        plan, dice, time = self.plan, self.dice, self.time
        if plan.is_open_at_start:
            for name in self.venue.names:
                self.venue.trade(name)
        for _ in range(plan.trades_before):
            self._trade()
            time.run_until(time.s + dice.uniform(0.001, 3.0))
        self._begin_tracker()
        for worker in dice.sample(self.workers, len(self.workers)):
            time.after(dice.uniform(0.0, 2.0), worker.start)
        self._plan_trades(time.s, dice.randint(4, 14))
        self._plan_faults(time.s + plan.faults_s)
        time.run_until(time.s + plan.faults_s)
        time.run_until(time.awake_s)
        self._calm()
        self._plan_trades(time.s, 3, within_s=TRADES_ON_S)
        ended_s = time.s
        while time.s < ended_s + CONVERGED_S:
            time.run_until(time.s + 0.5)
            if time.is_over:
                return
            if self.shell is None or not self.witness.is_whole(self.shell):
                self.converged_s = None
            elif self.converged_s is None:
                self.converged_s = time.s - ended_s
                # What was under way when the faults ended has come by then.
                self.witness.calm_since_s = max(time.s, ended_s + UNDER_WAY_S)
            elif time.s > ended_s + max(TRADES_ON_S, self.converged_s) + STAYS_S + self._rounds_s:
                return

    @property
    def _rounds_s(self) -> float:
        """How long it takes until a polled account surely had a round."""
        return ROUNDS_STALE * self.plan.round_s if self.polled else 0.0

    def _plan_trades(self, from_s: float, blocks: int, within_s: float | None = None) -> None:
        at_s = 0.0
        for _ in range(blocks):
            at_s += self.dice.expovariate(1 / self.plan.pace_s)
            if self.dice.random() < 0.1:
                at_s += self.dice.uniform(0.0, 15.0)  # a pause
            self.time.at_venue(at_s % (within_s or self.plan.faults_s), self._trade)

    def _plan_faults(self, until_s: float) -> None:
        plan = self.plan
        for rate, act in (
            (plan.drops, self._drop),
            (plan.deaths, self._kill_worker),
            (plan.restarts, self._end_tracker),
            (plan.power_cuts, self._cut_power),
            (plan.stalls, self._stall),
            (plan.outages, self._be_away),
            (plan.disk_faults, self._break_disk),
            (plan.leaps, self._leap),
            (plan.sleeps, self._sleep),
            (plan.price_pauses, self._pause_prices),
            (plan.corrections, self._correct),
            (plan.fundings, self._fund),
            (plan.closings, self._close),
            (plan.strays, self._stray),
            (plan.reloads, self._reload),
            (self._transfers, self._transfer),
            (plan.turns, self._turn_one),
        ):
            at_s = self.time.s
            while rate and (at_s := at_s + self.dice.expovariate(rate / 60)) < until_s:
                self.time.at_venue(at_s - self.time.s, self._befall, act)
        if plan.has_long_gap:
            self.time.at_venue(LONG_GAP_AFTER_S, self._befall, self._cut_amid_gap)
        if plan.accounts > 1:
            self.states.add("several accounts")
        if self.polled:
            self.states.add("polled accounts")

    def _calm(self) -> None:
        """The faults are over: what is down comes up, and all goes its way within a third of a second."""
        self._trace("the faults are over")
        self._is_calm = True
        self.plan = replace(
            self.plan,
            loss=0.0,
            both_lost=0.0,
            twice=0.0,
            out_of_order=0.0,
            unreadable=0.0,
            delay_s=min(0.3, self.plan.delay_s),
            push_s=1.0,
            push_loss=0.0,
            push_lag_s=min(0.4, self.plan.push_lag_s),
            answer_lag_s=min(0.5, self.plan.answer_lag_s),
            answer_early_s=0.0,
            answer_loss=0.0,
            answer_delay_s=min(0.3, self.plan.answer_delay_s),
        )
        self.venue.plan = self.plan
        self._be_back()
        self.disk.refuses = frozenset()
        for worker in self.workers:
            if isinstance(worker, StateWorker):
                worker.revive()

    # ------------------------------------------------------------------ exchange

    def _trade(self) -> None:
        name = self.dice.choice(self.venue.names)
        self._send(name, self.venue.trade(name))

    def _close(self) -> None:
        name = self.dice.choice(self.venue.names)
        if fills := self.venue.close_by_force(name):
            self.states.add("liquidated or settled")
            self._send(name, fills)

    def _stray(self) -> None:
        """Of these blocks no feed brings the first and the fourth, and the second comes behind the last: a
        gap is open by then, and reaches further back for it."""
        name = self.dice.choice(self.venue.names)
        lost, late, third, lost_too, last = self.venue.back_and_forth(name)
        self._trace(f"{name}: a round trip of which half is lost, and a gap behind it")
        self.dropped.update((*lost, *lost_too))
        for worker in self.workers:
            if isinstance(worker, FeedWorker):
                for delay_s, fills in ((0.001, third), (0.008, last), (0.016, late)):
                    worker.bring(delay_s, name, fills)

    def _cut_amid_gap(self) -> None:
        """Half of a round trip is lost, nothing is answered, and the power goes when another coin's memory
        begins behind it: what is missing is known by what the tracker was unsure of, and by no size."""
        name = self.dice.choice(self.venue.names)
        coins = self.venue.flat_and_other(name)
        if coins is None or self.venue.is_away:
            return
        coin, other = coins
        self._trace(f"{name}: half of a round trip of {coin} is lost, and nothing is answered")
        self.states.add("power cut amid a long gap")
        self.venue.silent_until_s = self.time.s + LONG_GAP_S + 0.1
        self.dropped.update(self.venue.move(name, coin, 1))
        self._bring(name, self.venue.move(name, coin, -1))
        self.time.at_venue(LONG_GAP_S, lambda: self._bring(name, self.venue.move(name, other, 1)))
        self.time.at_venue(LONG_GAP_S + 0.05, self._befall, self._cut_power)

    def _bring(self, name: str, fills: list[Any]) -> None:
        for worker in self.workers:
            if isinstance(worker, FeedWorker):
                worker.bring(0.001, name, fills)

    def _send(self, name: str, fills: list[Any]) -> None:
        self._trace(f"{name}: " + ", ".join(fill_text(fill) for fill in fills))
        if not any(isinstance(worker, FeedWorker) and worker.follows(name) for worker in self.workers):
            return  # a round finds them
        if any(len(fill.end_position.as_tuple().digits) > 13 for fill in fills):
            self.states.add("size of 15 digits")
        if self.dice.random() < self.plan.both_lost:
            self.states.add("both feeds lost fills")
            self._trace("  no feed brings these")
            self.dropped.update(fills)
            return
        for worker in self.workers:
            if isinstance(worker, FeedWorker):
                worker.send(name, fills)

    def _fund(self) -> None:
        for paid in self.venue.fund():
            for worker in self.workers:
                if isinstance(worker, FeedWorker):
                    worker.send_funding(paid)

    def _transfer(self) -> None:
        self.venue.transfer(self.dice.choice(self.venue.names))
        self.states.add("money was moved")

    def _correct(self) -> None:
        name = self.dice.choice(self.venue.names)
        self._trace(f"{name}: a size changes without a fill")
        self.venue.correct(name)
        self.states.add("size changed without a fill")

    # ------------------------------------------------------------------ faults

    def saw(self, state: str) -> None:
        self.states.add(state)

    def _befall(self, act: Callable[[], None]) -> None:
        """A machine that sleeps is left alone."""
        if not self.time.is_asleep:
            act()

    def _drop(self) -> None:
        feeds = [worker for worker in self.workers if isinstance(worker, FeedWorker)]
        feed = self.dice.choice(feeds)
        self._trace(f"{feed.name}: its connection is lost")
        feed.lose("connection lost")

    def _kill_worker(self) -> None:
        worker = self.dice.choice(self.workers)
        if worker.is_alive:
            self._trace(f"{worker.name} is killed")
            self.states.add("worker died")
            worker.die(self.dice.uniform(0.3, 2.0))

    def _stall(self) -> None:
        self._stalled_until_s = self.time.mono_s + self.dice.uniform(1.0, 5.0)
        self.states.add("tracker kept from its work")

    def _be_away(self) -> None:
        if self.venue.is_away:
            return
        seconds = self.dice.choice((1.0, 5.0, 12.0, 20.0))
        self._trace(f"the exchange is away for {seconds:g} s")
        self.venue.is_away = True
        self.states.add("exchange away")
        self.time.at_venue(seconds, self._be_back)

    def _be_back(self) -> None:
        """What was sent meanwhile on a connection that has lasted is there now, as TCP has it."""
        self.venue.is_away = False
        for worker in self.workers:
            if isinstance(worker, FeedWorker):
                worker.hear_late()

    def _break_disk(self) -> None:
        kinds = self.dice.choice(
            ({"write"}, {"sync"}, {"write", "truncate"}, {"write", "open"}, {"sync", "write", "open"})
        )
        self._trace(f"the disk refuses: {', '.join(sorted(kinds))}")
        self.disk.refuses = frozenset(kinds)
        self.time.at_venue(self.dice.uniform(0.5, 4.0), self._mend_disk)

    def _mend_disk(self) -> None:
        self.disk.refuses = frozenset()

    def _leap(self) -> None:
        self.time.wall_offset_ms += self.dice.choice((-3_600_000, -5_000, 5_000, 3_700_000, 90_000_000))
        self._trace(f"the wall clock is {self.time.wall_offset_ms / 1000:g} s off")
        self.states.add("wall clock leapt")

    def _sleep(self) -> None:
        seconds = self.dice.choice((1.0, 5.0, 30.0, 400.0))
        self._trace(f"the machine sleeps for {seconds:g} s")
        self.states.add("machine slept")
        self.time.suspend(seconds)
        if seconds > 10.0:
            for worker in self.workers:
                if isinstance(worker, FeedWorker):
                    self.time.after(0.05, worker.lose, "the exchange has closed it")

    def _pause_prices(self) -> None:
        for worker in self.workers:
            if isinstance(worker, PriceWorker) and worker.is_alive:
                worker.paused_until_s = self.time.mono_s + self.dice.choice((3.0, 20.0))
                self.states.add("prices paused")

    def _reload(self) -> None:
        if self.shell is not None:
            self.states.add("reload")
            self._do(Shell.reload, self._watched)

    @property
    def _watched(self) -> Watched:
        plan = self.plan
        return watched(dict(self.venue.addresses), plan.feeds, plan.interval_s, self.polled, plan.round_s)

    def _turn_one(self) -> None:
        """An account is polled from now on, or followed; workers begin anew a little later than the tracker
        has the settings."""
        name = self.dice.choice(self.venue.names)
        polled = {*self.polled} ^ {name}
        self.polled = tuple(one for one in self.venue.names if one in polled)
        self._trace(f"{name} is {'polled' if name in polled else 'followed'} from now on")
        self.states.add("polled from now on" if name in polled else "followed from now on")
        if self.shell is not None:
            self._do(Shell.reload, self._watched)
        for worker in self.workers:
            if worker.is_alive and not isinstance(worker, PriceWorker):
                self.time.after(self.dice.uniform(0.0, 0.5), worker.begin_anew, worker.number)

    # ------------------------------------------------------------------ tracker

    def wake_tracker(self) -> None:
        """Something waits for it."""
        if self._turn is None and self.shell is not None:
            delay_s = max(self.dice.uniform(0.0005, 0.004), self._stalled_until_s - self.time.mono_s)
            self._turn = self.time.after(delay_s, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        most = self.dice.choice((1, 3, 256, 256))
        self._do(Shell.take_turn, most)
        if self.shell is not None and self.shell.waiting:
            self.wake_tracker()

    def _tick(self, shell: Shell) -> None:
        if shell is not self.shell:
            return
        if self.time.mono_s < self._stalled_until_s:
            self.time.after(self._stalled_until_s - self.time.mono_s, self._tick, shell)
            return
        self._do(Shell.tick)
        self.time.after(self.plan.tick_s, self._tick, shell)

    def _do(self, act: Callable[..., None], *facts: Any) -> None:
        """One step of the tracker, which may be its last."""
        shell = self.shell
        if shell is None:
            return
        try:
            act(shell, *facts)
        except ProcessEnded as ended:
            self.states.add("tracker killed in the midst of a call")
            self._trace(f"the tracker is killed in a {ended}")
            self._tracker_has_ended(shell)
            return
        if shell.steps or self.time.s >= self._look_s:
            self._look_s = self.time.s + LOOK_S
            if shell.steps:
                self._note(shell)
            self.witness.look(shell)
            shell.steps.clear()
            shell.rung.clear()

    def _note(self, shell: Shell) -> None:
        self.states.note(shell.steps)
        if self._say is not None:
            self._trace_steps(shell)
        if shell.journal.failure is not None:
            self.states.add("disk refused to write")
        if shell.journal.backlog:
            self.states.add("lines waited for the disk")
        self._days.add(self.time.now.ms // DAY_MS)

    def _trace_steps(self, shell: Shell) -> None:
        for step in shell.steps:
            if step.report is not None and (text := report_text(step.report, step.then_s)) is not None:
                self._trace(f"  {text}")
            for effect in step.effects:
                if (text := effect_text(effect)) is not None:
                    self._trace(f"    {text}")

    def _begin_tracker(self) -> None:
        if self.shell is not None:
            return
        shell = Shell(
            self.plan,
            self.time,
            self.disk,
            self.folder,
            self._watched,
            self._first_seq,
        )
        self.shells.append(shell)
        if not self._is_calm and self.plan.restarts and self.dice.random() < 0.2:
            self.disk.ends_at = self.disk.calls + self.dice.randint(1, 4)
        try:
            shell.begin()
        except ProcessEnded:
            self.states.add("tracker killed while it recovered")
            self._trace("the tracker is killed while it recovers")
            self.disk.ends()
            self._maybe_lose_power()
            shell.background.forget()
            self.time.after(0.5, self._begin_tracker)
            return
        found = shell.recovered
        for name, sums in (self._left_behind or {}).items():
            memory = found.memories.get(name)
            if sums_of(memory.position if memory else Position()) != sums:
                self.wrong.append(f"{name} was left as {sums}, and is taken up as {memory}")
        if found.seq < self._written_seq:
            self.states.add("published, and lost with the power")
        self._trace(f"a tracker begins behind line {found.seq}, unsure of {found.unsure}")
        for unsure in found.unsure.values():
            if unsure.keys() - {""}:
                self.states.add("restart with an open gap")
        self.shell = shell
        shell.background.ended = lambda: self._tracker_has_ended(shell)
        self.time.after(0.01, self._tick, shell)

    def _end_tracker(self) -> None:
        """Killed between two turns, in the midst of a call, or asked to end."""
        shell = self.shell
        if shell is None:
            return
        how = self.dice.random()
        if how < 0.3:
            self.disk.ends_at = self.disk.calls + self.dice.randint(1, 15)
        elif how < 0.8:
            self.states.add("tracker killed between turns")
            self._trace("the tracker is killed")
            self._tracker_has_ended(shell)
            if not shell.journal.backlog:
                memories = shell.engine.book.memories()
                self._left_behind = {(one.account, one.key): sums_of(one.position) for one in memories}
        else:
            self._trace("the tracker ends")
            self._do(Shell.leave)
            if self.shell is shell:
                self.states.add("tracker stopped")
                self._tracker_has_ended(shell)

    def _cut_power(self) -> None:
        """The machine is off: what was not synced is lost, and all processes begin anew."""
        shell, self.shell = self.shell, None
        self._trace("the power is cut")
        self._left_behind = None
        self.states.add("power cut")
        if shell is not None:
            self._forget(shell)
        self.disk.ends()
        lost = self.disk.loses_power()
        if lost:
            self.states.add("power cut that lost lines")
            self._has_lost_lines = True
            # Without a sync a file of the day before may lose its end, and the newest one lose nothing.
            self._has_holes |= any(name < self.newest_file for name in lost)
        self.witness.process_begins(whole=not lost and (shell is None or not shell.journal.backlog))
        for worker in self.workers:
            worker.die(self.dice.uniform(1.0, 3.0))
        if shell is not None:
            self.time.after(self.dice.uniform(1.0, 3.0), self._begin_tracker)

    def _tracker_has_ended(self, shell: Shell) -> None:
        backlog = shell.journal.backlog
        if backlog:
            self._has_lost_lines = True
        self._forget(shell)
        self.shell = None
        self.disk.ends()
        self._maybe_lose_power()
        self.witness.process_begins(whole=not backlog)
        for worker in self.workers:
            worker.tracker_is_gone()
        self.time.after(self.dice.uniform(0.2, 2.0), self._begin_tracker)

    def _maybe_lose_power(self) -> None:
        """Where the end of the tracker is that of the whole machine."""
        if self._loses_power and self.disk.loses_power():
            self._has_lost_lines = True

    def _forget(self, shell: Shell) -> None:
        shell.background.forget()
        if shell.engine.book.doubtful():
            self.states.add("restart with a doubt")
        self._written_seq = shell.journal.written_seq
        self._left_behind = None
        self._first_seq = shell.subscribers.seq + 1000
        for frame in shell.client.raw:
            self.published += frame
        if self._turn is not None:
            self.time.cancel(self._turn)
            self._turn = None

    # ------------------------------------------------------------------ judged

    def _judge(self) -> None:
        self.wrong += self.witness.wrong
        if self.witness.has_polled:
            self.states.add("a polled account proven by a round")
        shell = self.shell
        if not self.wrong:
            if shell is None:
                self.wrong.append("there is no tracker at the end")
            elif self.converged_s is None:
                self.wrong.append(f"{NOT_WHOLE} {CONVERGED_S:g} s after the last fault")
                self.wrong += self.witness.differences(shell)
            else:
                self.wrong += self.witness.differences(shell)
                if self.plan.tells_every_fill_in_time and not self._has_lost_lines:
                    self.wrong += self.witness.unexplained(shell)
        if shell is not None:
            self._do(Shell.leave)
            if self.shell is None:  # killed even then: who begins next finds what it left
                self.time.run_until(self.time.s + 5.0)
                self._do(Shell.leave)
            if self.shell is not None:
                self._forget(self.shell)
        audit = Audit.read(written_below(self.folder))
        if not self._has_holes:
            self.wrong += audit.check(has_lost_lines=self._has_lost_lines)
            # What lines were lost of, and is listed no more, is told by nobody.
            told = self.witness.told if self.plan.horizon is None else set()
            if self.plan.horizon is None:
                told |= {fill for fills in self.venue.fills.values() for fill in fills} - self.dropped
            # Fills around a size that changed without one may count as in it.
            told = {fill for fill in told if (fill.account, fill.key) not in self.venue.corrected}
            self.wrong += (f"never journalled: {fill_text(fill)}" for fill in audit.missing(told))
        for line in audit.lines:
            if line["type"] == "torn":
                self.states.add("half a line, marked")
            elif line["type"] == "resynced":
                self.states.add("disk refused to sync, and was written again")
        if len(self._days) > 1:
            self.states.add("day turned")
        self.journal = b"".join(
            path.read_bytes() for path in sorted(written_below(self.folder).glob("*.jsonl"))
        )

    @property
    def newest_file(self) -> str:
        return max((path.name for path in written_below(self.folder).glob("*.jsonl")), default="")

    def _trace(self, text: str) -> None:
        if self._say is not None:
            self._say(f"{self.time.s:9.3f} {text}")


def sums_of(position: Position) -> tuple[Any, ...]:
    """What has to outlive a restart."""
    return position.size, position.realized, position.fees, position.funding, position.fills

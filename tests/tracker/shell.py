"""An engine with the tracker's own outputs, and a worker's queue in the test's hand."""

import selectors
from pathlib import Path

from hlposmon.api.publisher import Publisher
from hlposmon.api.subscribers import Subscribers
from hlposmon.config import Flags, Settings, load
from hlposmon.domain.rendering import Renderer
from hlposmon.engine.effects import Effect
from hlposmon.ipc.queue import Queue, listen
from hlposmon.metrics.measures import Counts
from hlposmon.tracker.agents import Agents
from hlposmon.tracker.answers import Answers
from hlposmon.tracker.lifecycle import Lifecycle
from hlposmon.tracker.outputs import Outputs
from hlposmon.tracker.snapshot_output import SnapshotOutput
from hlposmon.tracker.worker_queues import WorkerQueues
from tests.engine.language import Bench


class Shell(Bench):
    """So many accounts of so many positions of one unit each, all live, stated and marked. What it decides is
    carried out where a test says so (`carries_out`)."""

    def __init__(self, folder: Path, accounts: int, positions: int) -> None:
        super().__init__(*(f"a{number}" for number in range(accounts)))
        self.coins = [f"C{number}" for number in range(positions)]
        self._listener = listen(folder / "q")
        self._selector = selectors.DefaultSelector()
        counts, renderer = Counts(), Renderer()
        self.renderer = renderer
        self.queues = WorkerQueues(self._listener, self._selector, dict(self.addresses), counts)
        lifecycle = Lifecycle(settings_in(folder, self.addresses), self.engine)
        lifecycle.recover(self.now)
        self.snapshot = SnapshotOutput(renderer)
        self.snapshot.renew(lifecycle.settings, [])
        subscribers = Subscribers(1)
        publisher = Publisher(subscribers, renderer)
        agents = Agents(folder, "", lambda: None)
        self.outputs = Outputs(lifecycle.journal, publisher, self.snapshot, self.queues, counts, agents)
        self._lifecycle = lifecycle
        self.answers = Answers(
            lifecycle.settings,
            self.engine,
            lifecycle.journal,
            self.snapshot,
            subscribers,
            publisher,
            renderer,
            self.queues,
            counts,
            board=list,
            usage=dict,
            spent=lambda name: None,
        )
        self.end = Queue.connect(folder / "q")
        self.carries_out(self.join("reconcile"))
        for name in self.addresses:
            self.carries_out(self.goes_live(name))
            self.carries_out(self.says(self.statement(name, **dict.fromkeys(self.coins, "1"))))
        self.carries_out(self.says(self.marks(**dict.fromkeys(self.coins, "100"))))
        self.carries_out(self.revalues())
        self.carries_out(self.passes(1))

    def carries_out(self, effects: list[Effect]) -> None:
        self.outputs.carry_out(effects, self.now)

    def takes(self) -> None:
        """Take what waits in the queue, as a turn of the tracker does."""
        self.queues.hear([key.fileobj for key, _ in self._selector.select(0)])
        effects: list[Effect] = []
        for report in self.queues.reports(most=10):
            effects += self.engine.receive(report, self.now)
        self.outputs.carry_out(effects, self.now)

    def moves_prices(self, price: str) -> None:
        """All marks move, and everything that they move is shown."""
        self.carries_out(self.says(self.marks(**dict.fromkeys(self.coins, price))))
        while self.engine.has_moved:
            self.carries_out(self.engine.revalue(self.now, 16))

    def close(self) -> None:
        self.end.close()
        self.queues.close()
        self._selector.close()
        self._listener.close()
        self.snapshot.close()
        self._lifecycle.leave(self.now, 0.0)


def settings_in(folder: Path, addresses: dict[str, str]) -> Settings:
    environ = {"XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    flags = Flags(
        addresses=tuple(f"{name}={address}" for name, address in addresses.items()),
        socket=folder / "m.sock",
        log_dir=folder / "log",
    )
    return load(flags, environ)

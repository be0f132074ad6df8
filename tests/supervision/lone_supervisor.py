"""A supervisor in a process of its own, to be killed, stopped or left without a terminal.

    lone_supervisor.py SILENT_S TARGET...

Writes the children's pids to stdout once all are up, then goes on; the exit status is the supervisor's.
"""

import json
import sys
from dataclasses import replace

import sleepers
from supervision_stage import QUICK

from hlposmon.supervision import logs
from hlposmon.supervision.child import ChildSpec
from hlposmon.supervision.heartbeat import Board
from hlposmon.supervision.supervisor import Supervisor
from hlposmon.supervision.systemd import Notifier


def main(silent_s: float, targets: list[str]) -> int:
    logs.configure("INFO", name="supervisor")
    specs = [ChildSpec(f"{target}-{n}", getattr(sleepers, target)) for n, target in enumerate(targets)]
    board = Board([spec.name for spec in specs])
    told: list[bool] = []

    def tell() -> None:
        rows = board.rows()
        if not told and all(row.state == "up" for row in rows):
            told.append(True)
            # One write: under PYTHONUNBUFFERED print writes the end of the line by itself, maybe too late.
            sys.stdout.write(json.dumps([row.pid for row in rows]) + "\n")
            sys.stdout.flush()

    policy = replace(QUICK, silent_s=silent_s)
    return Supervisor(specs, board, policy=policy, notifier=Notifier(), on_tick=tell).run()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))

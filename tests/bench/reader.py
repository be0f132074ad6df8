"""A reader of the snapshot, as a program would use it: `python -m tests.bench.reader SNAPSHOT KEY`.

It runs by the interpreter and the code of the checkout that is measured. It looks at one position up to ten
thousand times a second, and notes when its size changed (CLOCK_MONOTONIC, ns) and how long each look took;
now and then it reads all. For a line on its standard input it answers with one of JSON and ends.
"""

import json
import select
import sys
import time

from hlposmon.client.snapshot import Snapshot

NAP_S = 0.0001
ALL_EVERY = 200


def main() -> None:
    path, key = sys.argv[1:]
    changes, looks, alls = [], [], []
    with Snapshot.open(path) as snapshot:
        seen = snapshot.position(key)
        print("ready", flush=True)
        number = 0
        while not select.select([sys.stdin], [], [], NAP_S)[0]:
            began_ns = time.perf_counter_ns()
            held = snapshot.position(key)
            looks.append((time.perf_counter_ns() - began_ns) / 1000)
            if held is not None and (seen is None or held.size != seen.size):
                changes.append(time.monotonic_ns())
            seen = held
            number += 1
            if number % ALL_EVERY == 0:
                began_ns = time.perf_counter_ns()
                snapshot.positions()
                alls.append((time.perf_counter_ns() - began_ns) / 1000)
    print(json.dumps({"changes": changes, "looks_us": looks, "alls_us": alls}), flush=True)


if __name__ == "__main__":
    main()

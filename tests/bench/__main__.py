"""All benchmarks: `make bench`, or `python -m tests.bench`. Writes docs/performance.md and .json.

It takes about half an hour. With names of scenarios only those are measured and nothing is written, unless
`--write` says where.
"""

import subprocess
import sys
from pathlib import Path

from tests.bench.contestants import NAMES
from tests.bench.report import page
from tests.bench.service import arguments, as_json, run
from tests.bench.services import HERE

# Parts on their own: each prints its figures.
PARTS = ("snapshot", "history", "metrics", "health", "crowd")


def parts() -> dict[str, str]:
    """What each script printed; where one failed, that it did."""
    found = {}
    for name in PARTS:
        print(f"\n{name}", flush=True)
        made = subprocess.run(
            [sys.executable, "-m", f"tests.bench.{name}"],
            cwd=HERE,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        found[name] = made.stdout if made.returncode == 0 else f"{made.stdout}it failed: {made.returncode}"
        print(found[name], flush=True)
    return found


def main() -> None:
    parser = arguments("python -m tests.bench", __doc__, NAMES)
    parser.add_argument("--write", type=Path, help="the folder of performance.md and performance.json")
    results, given = run(parser)
    folder = given.write or (None if given.scenario or given.quick else HERE / "docs")
    if folder is not None:
        printed = {} if given.scenario else parts()
        (folder / "performance.json").write_text(as_json(results))
        (folder / "performance.md").write_text(page(results, printed))
        print(f"written: {folder / 'performance.md'}")
    sys.exit(bool(results.failures))


if __name__ == "__main__":
    main()

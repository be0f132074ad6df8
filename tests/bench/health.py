"""What a health check costs beside `python -c pass` of the same interpreter, on a monitor that runs.

`python -m tests.bench.health`. The two are run in turn, so that what else the machine does falls on both,
in a venv with nothing else in it: the one for development starts more slowly, and would flatter.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("hlposmon")
PACKAGE = Path(__file__).parents[2] / "hlposmon"
ROUNDS = 40


@dataclass(frozen=True)
class Cost:
    """Milliseconds, and how many times the interpreter's start that is: by the fastest and by the medians."""

    fastest_ms: float
    median_ms: float
    by_fastest: float
    by_median: float


def install(folder: Path) -> Path:
    """A venv with the package copied into it and the script that pip made; answers where its commands are."""
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    shutil.copytree(PACKAGE, site / "hlposmon", ignore=shutil.ignore_patterns("__pycache__"))
    _, _, script = SCRIPT.read_text().partition("\n")
    (folder / "bin/hlposmon").write_text(f"#!{folder}/bin/python\n{script}")
    (folder / "bin/hlposmon").chmod(0o755)
    return folder / "bin"


def once_ms(command: Sequence[str], environ: Mapping[str, str]) -> float:
    start_ns = time.perf_counter_ns()
    done = subprocess.run(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    took_ms = (time.perf_counter_ns() - start_ns) / 1e6
    assert done.returncode < 2, done.stderr.decode()
    return took_ms


def cost_of(
    binaries: Path, arguments: Sequence[str], environ: Mapping[str, str], rounds: int = ROUNDS
) -> Cost:
    """`hlposmon` with these arguments against the start of its interpreter."""
    command = [str(binaries / "hlposmon"), *arguments]
    nothing = [str(binaries / "python"), "-c", "pass"]
    once_ms(command, environ)  # byte code is written by the first
    pairs = [(once_ms(nothing, environ), once_ms(command, environ)) for _ in range(rounds)]
    starts, takes = zip(*pairs, strict=True)
    fastest, median = min(takes), statistics.median(takes)
    return Cost(fastest, median, fastest / min(starts), median / statistics.median(starts))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "HOME": folder,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": f"{folder}/run",
            "PATH": os.environ["PATH"],
        }
        binaries = install(Path(folder) / "venv")
        Path(environ["XDG_RUNTIME_DIR"]).mkdir(mode=0o700)
        monitor = subprocess.Popen(
            [SCRIPT, "run", "--simulate"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            subprocess.run([SCRIPT, "wait", "--ready", "--timeout", "60"], env=environ, check=True)
            for name, options in (
                ("hlposmon health", []),
                ("hlposmon health -w fills_age=10", ["-w", "fills_age=10"]),
                ("hlposmon health -w exposure=1000000", ["-w", "exposure=1000000"]),
                ("hlposmon health --textfile", ["--textfile", f"{folder}/hlposmon.prom"]),
            ):
                cost = cost_of(binaries, ["health", *options], environ)
                print(
                    f"{name:<38}{cost.fastest_ms:>7.1f} ms fastest{cost.median_ms:>7.1f} ms median"
                    f"{cost.by_fastest:>6.2f} and{cost.by_median:>5.2f} times python -c pass"
                )
        finally:
            monitor.terminate()
            monitor.wait(30)


if __name__ == "__main__":
    main()

"""`python -m tests.fuzz [TARGET ...] --seconds 600`: the readers under a coverage-guided fuzzer.

The time is shared by the targets, each in a process of its own. A finding is written to fuzz-findings/ and
the exit status is 1. Without atheris it says so and how to have it, and the status is 0.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Where most bytes of strangers come in, the time counts double.
WEIGHTS = {"http": 3, "frames": 3, "http_tcp": 2, "venue": 2, "stream": 2}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=600, help="of all targets together")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print(
            f"not fuzzed: atheris is not installed for Python {sys.version.split()[0]}"
            " (pip install -e '.[fuzz]'); the same readers are tested with hypothesis by make test",
            file=sys.stderr,
        )
        return 0
    if given.one:
        run_one(given.one, [*rest, *given.targets])
        return 0
    from tests.fuzz.targets import TARGETS

    return run_all(given.targets or list(TARGETS), given.seconds, given.findings)


def run_all(names: list[str], seconds: int, findings: Path) -> int:
    """Each target for its share; a line of figures for each, status 1 when one found something."""
    findings.mkdir(exist_ok=True)
    whole = sum(WEIGHTS.get(name, 1) for name in names)
    failed = 0
    for name in names:
        share_s = max(1, seconds * WEIGHTS.get(name, 1) // whole)
        with tempfile.TemporaryDirectory(prefix="hlp-corpus-") as corpus:
            write_seeds(name, Path(corpus))
            done = subprocess.run(
                [sys.executable, "-m", "tests.fuzz", "--one", name, f"-max_total_time={share_s}",
                 "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=1",
                 f"-artifact_prefix={findings}/{name}-", corpus],
                capture_output=True, text=True, timeout=share_s + 120, check=False,
            )  # fmt: skip
        said = done.stderr + done.stdout
        runs = re.findall(r"number_of_executed_units:\s*(\d+)", said) or re.findall(r"#(\d+)\s", said)
        cover = re.findall(r"cov: (\d+)", said)
        verdict = "nothing found" if done.returncode == 0 else f"FOUND (status {done.returncode})"
        figures = f"{runs[-1] if runs else '?':>10} executions  cov {cover[-1] if cover else '?':>6}"
        print(f"{name:10} {share_s:5} s  {figures}  {verdict}", flush=True)
        if done.returncode:
            failed += 1
            print(said[-4000:], flush=True)
    return 1 if failed else 0


def write_seeds(name: str, corpus: Path) -> None:
    from tests.fuzz.seeds import SEEDS

    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)


def run_one(name: str, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["hlposmon", "h11", "wsproto", "tomllib"]):
        from tests.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

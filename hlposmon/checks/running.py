"""Runs all checks at once, each in its own thread. A check that exceeds the time limit counts as failed."""

import threading
import time
from collections.abc import Sequence

from hlposmon.checks.findings import FAIL, SKIPPED, Check, Finding, Place
from hlposmon.system.threads import start_deaf

GRACE_S = 0.4  # for threads that notice their own limit


def examine(checks: Sequence[Check], place: Place, *, offline: bool = False) -> list[Finding]:
    """Run the checks and return their findings in the order of `checks`, after at most GRACE_S more
    than the longest of their limits.

    With `offline`, checks that ask the exchange are skipped. A check that raises or does not end in time
    yields one finding that says so; nothing is raised.
    """
    results: dict[str, list[Finding]] = {}
    threads: list[tuple[threading.Thread, float]] = []
    began_s = time.monotonic()
    for check in checks:
        if offline and check.asks:
            results[check.name] = [Finding(check.name, SKIPPED, "left out (--offline)")]
        else:
            thread = start_deaf(lambda check=check: _look(check, place, results), name=check.name)  # type: ignore[misc]
            threads.append((thread, began_s + check.limit_s + GRACE_S))
    for thread, until_s in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    late = "look at it by itself: a disk, a name server or the exchange does not answer"
    return [
        finding
        for check in checks
        for finding in results.get(
            check.name, [Finding(check.name, FAIL, f"did not end within {check.limit_s:g} s", late)]
        )
    ]


def _look(check: Check, place: Place, results: dict[str, list[Finding]]) -> None:
    try:
        results[check.name] = list(check.look(place))
    except Exception as error:  # noqa: BLE001 - one check that fails must not cost the others
        said = f"the check itself failed: {type(error).__name__}"
        results[check.name] = [Finding(check.name, FAIL, said, "please report it")]

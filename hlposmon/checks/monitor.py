"""Checks of a running monitor: its health, its notices, and the request weight that it uses."""

from collections.abc import Iterator
from pathlib import Path

from hlposmon.checks.findings import FAIL, OK, SKIPPED, WARN, Finding, Place
from hlposmon.client.api import Api
from hlposmon.errors import HlposmonError, MonitorNotRunning, NotPermitted

BUSY_WEIGHT = 0.8  # share of the weight limit above which another program is suspected
TIMEOUT_S = 1.0


def mode_at(socket: Path) -> str | None:
    """The mode of the monitor that serves at this socket: live or simulated; None if none answers."""
    try:
        return str(Api(socket, timeout_s=TIMEOUT_S).health().get("mode"))
    except HlposmonError:
        return None


def weight_used_at(socket: Path) -> int | None:
    """The request weight that the live monitor at this socket has used in the last minute; None if none
    answers there, or it does not say."""
    try:
        summary = Api(socket, timeout_s=TIMEOUT_S).summary()
    except HlposmonError:
        return None
    used = (summary.get("quota") or {}).get("weight_used")
    return int(used) if isinstance(used, int | float) and summary.get("mode") == "live" else None


def monitor(place: Place) -> Iterator[Finding]:
    """Findings from its API: health, notices of accounts, request weight. Skipped if no monitor runs."""
    api = Api(place.paths.socket, timeout_s=TIMEOUT_S)
    try:
        health = api.health()
        summary = api.summary()
    except MonitorNotRunning:
        yield Finding("monitor", SKIPPED, f"none is running at {place.paths.socket}")
        return
    except NotPermitted as error:
        yield Finding("monitor", SKIPPED, str(error))
        return
    except HlposmonError as error:
        yield Finding("monitor", FAIL, str(error), "see its log, and 'hlposmon workers'")
        return
    status = str(health.get("status"))
    reasons = "; ".join(map(str, health.get("reasons") or []))[:300]
    state = {"healthy": OK, "degraded": WARN}.get(status, FAIL)
    mode = "" if health.get("mode", "live") == "live" else f"{health['mode']}, "
    yield Finding("monitor", state, f"{mode}{status}{': ' if reasons else ''}{reasons}")
    for name, account in (summary.get("accounts") or {}).items():
        for notice in account.get("notices") or []:
            yield Finding("monitor", WARN, f"account {name}: {str(notice)[:200]}")
    quota = summary.get("quota") or {}
    used, limit = quota.get("weight_used"), quota.get("weight_limit")
    if isinstance(used, int | float) and isinstance(limit, int | float) and limit:
        said = f"{used:g} of {limit:g} request weight was used in the last minute"
        busy = used > BUSY_WEIGHT * limit
        yield Finding(
            "weight",
            WARN if busy else OK,
            said,
            "does another program ask from this IP address?" if busy else "",
        )

"""How the monitor is: healthy, degraded, unhealthy or stopping, and every reason for it. Pure.

Frozen data never looks healthy: a feed that is late degrades, and when nothing is fresh all is unhealthy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, View
from hlposmon.tracker.clocks import Limits
from hlposmon.wire.published import is_listed, symbol_of

# Until then after a start, feeds that have said nothing yet are only late.
GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds since each was last heard; None for never."""

    fills: float | None
    prices: float | None
    reconcile: float | None
    pushes: float | None = None
    rest: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`ready`: every listed position is proven and every account confirmed. `late`: the reason by feed."""

    status: str
    reasons: tuple[str, ...]
    ready: bool
    verdicts: dict[str, int] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)


def assess(
    views: Sequence[View],
    accounts: Sequence[AccountView],
    ages: Ages,
    limits: Limits,
    *,
    uptime_s: float,
    stopping: bool,
    journal_failure: str | None,
    history_failure: str | None = None,
    snapshot_failure: str | None = None,
    workers_down: Sequence[str] = (),
    flapping: Sequence[str] = (),
    drifts: Sequence[str] = (),
) -> Health:
    """The health and its reasons, the worst first. `drifts` are those of late that are over."""
    listed = [view for view in views if is_listed(view)]
    bad, doubtful = _bad(listed, journal_failure), _doubtful(listed, accounts)
    if history_failure is not None:
        bad.append(f"the history cannot be written: {history_failure}")
    if snapshot_failure is not None:
        bad.append(f"the snapshot cannot be written: {snapshot_failure}")
    late, dead = _late(ages, limits)
    if len(dead) == len(late) == 3 and uptime_s > GRACE_S:
        bad.append("nothing is fresh: " + "; ".join(dead))
        late = {}
    flaps = [f"{name} restarts again and again" for name in flapping]
    restarting = [f"{name} is not up" for name in workers_down]
    mild = [*late.values(), *_unchecked(ages, limits), *doubtful, *drifts, *flaps, *restarting]
    status = "unhealthy" if bad else "degraded" if mild else "healthy"
    verdicts = [view.verdict for view in listed]
    proven = all(verdict is Verdict.PROVEN for verdict in [*verdicts, *(one.verdict for one in accounts)])
    return Health(
        status="stopping" if stopping else status,
        reasons=(*bad, *mild),
        ready=proven and not late and not dead and not stopping,
        verdicts=dict(Counter(verdict.value for verdict in verdicts)),
        late=late,
    )


def _bad(listed: Sequence[View], journal_failure: str | None) -> list[str]:
    bad = [
        f"drift: {view.account} {symbol_of(view.key)}: {view.reason}"
        for view in listed
        if view.verdict is Verdict.DRIFT
    ]
    if journal_failure is not None:
        bad.append(f"the audit cannot be written: {journal_failure}")
    return bad


def _doubtful(listed: Sequence[View], accounts: Sequence[AccountView]) -> list[str]:
    doubts = []
    for account in accounts:
        if account.verdict is not Verdict.PROVEN:
            doubts.append(f"account {account.account} is {account.verdict}: {account.reason}")
        doubts.extend(f"account {account.account}: {notice}" for notice in account.grave)
    said = {account.reason for account in accounts}
    doubts.extend(
        f"{view.account} {symbol_of(view.key)} is {view.verdict}: {view.reason}"
        for view in listed
        if view.verdict in (Verdict.UNPROVEN, Verdict.STALE) and view.reason not in said
    )
    return doubts


def _late(ages: Ages, limits: Limits) -> tuple[dict[str, str], list[str]]:
    late: dict[str, str] = {}
    dead = []
    for feed, name, age, (warn_s, stale_s) in (
        ("fills", "fills", ages.fills, limits.fills),
        ("prices", "prices", ages.prices, limits.prices),
        ("reconcile", "statements", ages.reconcile, limits.reconcile),
    ):
        if age is None:
            late[feed] = f"no {name} yet"
            dead.append(f"no {name} yet")
        elif age > warn_s:
            late[feed] = f"{name} are {age:.0f} s old"
            if age > stale_s:
                dead.append(f"{name} are {age:.0f} s old")
    return late, dead


def _unchecked(ages: Ages, limits: Limits) -> list[str]:
    """Of the two ways by which the venue states an account, one may be lost while the other hides it."""
    said = []
    if ages.pushes is not None and ages.pushes > limits.pushes[0]:
        said.append(f"no state was pushed for {ages.pushes:.0f} s: statements come by REST only")
    if ages.rest is not None and ages.rest > limits.reconcile[1] and ages.reconcile != ages.rest:
        said.append(f"no statement by REST for {ages.rest:.0f} s: pushed states only")
    return said

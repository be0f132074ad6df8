"""How the monitor is: healthy, degraded, unhealthy or stopping, and every reason for it. Pure.

Frozen data never looks healthy: a feed that is late degrades, and when nothing is fresh all is unhealthy.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hlposmon.domain.rendering import symbol_of
from hlposmon.domain.reports import NoticeCode
from hlposmon.domain.verdict import Verdict
from hlposmon.domain.views import AccountView, View
from hlposmon.engine.freshness import FreshnessLimits

# Startup grace: until then, feeds that have not been heard yet are late and not a reason for `unhealthy`.
GRACE_S = 15.0
# Startup grace: until then, an account that is not fully known yet (UNSETTLED) does not degrade health.
SETTLED_S = 60.0


class ReasonCode(StrEnum):
    """What a reason is about, beside the codes of notices (NoticeCode)."""

    DRIFT = "drift"
    AUDIT = "audit"
    HISTORY = "history"
    SNAPSHOT = "snapshot"
    SOCKET = "socket"
    RELOAD = "reload"
    NOTHING_FRESH = "nothing_fresh"
    LATE = "late"
    UNPROVEN = "unproven"
    UNSETTLED = "unsettled"
    PAST_DRIFT = "past_drift"
    FLAPPING = "flapping"
    NOT_UP = "not_up"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why it is not healthy, or not ready; `account` where it is about one."""

    code: ReasonCode | NoticeCode
    text: str
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds since each was last heard since the start; None for never. `last_fill` is the age of the newest
    fill in the book, whenever it came, and may be left None where a feed of fills was heard."""

    fills: float | None
    prices: float | None
    reconcile: float | None
    pushes: float | None = None
    rest: float | None = None
    last_fill: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`ready`: every account is stated and proven, every listed position is, and nothing that an account
    holds is left out. `reasons`: the worst first. `late`: the reason by feed."""

    status: str
    reasons: tuple[Reason, ...]
    ready: bool
    verdicts: dict[str, int] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """The texts of all reasons, in their order."""
        return [reason.text for reason in self.reasons]


def assess(
    doubtful: Sequence[View],
    verdicts: Mapping[Verdict, int],
    accounts: Sequence[AccountView],
    ages: Ages,
    limits: FreshnessLimits,
    *,
    uptime_s: float,
    stopping: bool,
    journal_failure: str | None,
    history_failure: str | None = None,
    snapshot_failure: str | None = None,
    snapshot_complaints: Sequence[tuple[str, str]] = (),
    socket_failure: str | None = None,
    reload_failure: str | None = None,
    workers_down: Sequence[str] = (),
    flapping: Sequence[str] = (),
    drifts: Sequence[tuple[str, str]] = (),
) -> Health:
    """The health and its reasons, the worst first.

    `doubtful` are the listed positions that are not proven, `verdicts` counts all that are listed. `drifts`
    are recent drifts that are over; `snapshot_complaints` name positions that the snapshot cannot show
    exactly. An unreachable socket and a failed reload only degrade, since the figures shown are right.
    """
    bad, mild = list(_drifts(doubtful)), [*_unproven(doubtful, accounts), *_left_out(accounts)]
    for code, what, failure in (
        (ReasonCode.AUDIT, "the audit", journal_failure),
        (ReasonCode.HISTORY, "the history", history_failure),
        (ReasonCode.SNAPSHOT, "the snapshot", snapshot_failure),
    ):
        if failure is not None:
            bad.append(Reason(code, f"{what} cannot be written: {failure}"))
    late, dead = _late(ages, limits)
    if len(dead) == len(late) == 3 and uptime_s > GRACE_S:
        bad.append(Reason(ReasonCode.NOTHING_FRESH, "nothing is fresh: " + "; ".join(dead)))
        late = {}
    mild = [
        *(Reason(ReasonCode.LATE, text) for text in (*late.values(), *_unchecked(ages, limits, uptime_s))),
        *mild,
        *(Reason(ReasonCode.SNAPSHOT, f"in the snapshot {text}", name) for name, text in snapshot_complaints),
        *_of_service(socket_failure, reload_failure),
        *(Reason(ReasonCode.PAST_DRIFT, text, name) for name, text in drifts),
        *(Reason(ReasonCode.FLAPPING, f"{name} restarts again and again") for name in flapping),
        *(Reason(ReasonCode.NOT_UP, f"{name} is not up") for name in workers_down),
    ]
    proven = not doubtful and all(one.verdict is Verdict.PROVEN for one in accounts)
    covered = not any(account.severe or account.unsettled for account in accounts)
    return Health(
        status=_status(bad, mild, stopping=stopping, is_young=uptime_s < SETTLED_S),
        reasons=(*bad, *mild),
        ready=proven and covered and not late and not dead and not stopping,
        verdicts={verdict.value: count for verdict, count in verdicts.items() if count},
        late=late,
    )


def _status(bad: Sequence[Reason], mild: Sequence[Reason], *, stopping: bool, is_young: bool) -> str:
    """The status. UNSETTLED reasons do not degrade it in the first SETTLED_S after a start."""
    if stopping:
        return "stopping"
    if bad:
        return "unhealthy"
    hurts = [one for one in mild if not is_young or one.code is not ReasonCode.UNSETTLED]
    return "degraded" if hurts else "healthy"


def _drifts(doubtful: Sequence[View]) -> Iterator[Reason]:
    for view in doubtful:
        if view.verdict is Verdict.DRIFT:
            text = f"drift: {view.account} {symbol_of(view.key)}: {view.reason}"
            yield Reason(ReasonCode.DRIFT, text, view.account)


def _unproven(doubtful: Sequence[View], accounts: Sequence[AccountView]) -> Iterator[Reason]:
    for account in accounts:
        if account.verdict is not Verdict.PROVEN:
            text = f"account {account.account} is {account.verdict}: {account.reason}"
            yield Reason(ReasonCode.UNPROVEN, text, account.account)
    said = {account.reason for account in accounts}
    for view in doubtful:
        if view.verdict in (Verdict.UNPROVEN, Verdict.STALE) and view.reason not in said:
            text = f"{view.account} {symbol_of(view.key)} is {view.verdict}: {view.reason}"
            yield Reason(ReasonCode.UNPROVEN, text, view.account)


def _of_service(socket_failure: str | None, reload_failure: str | None) -> Iterator[Reason]:
    if socket_failure is not None:
        yield Reason(ReasonCode.SOCKET, f"the socket cannot be reached: {socket_failure}")
    if reload_failure is not None:
        said = "not reloaded, the configuration before is in force"
        yield Reason(ReasonCode.RELOAD, f"{said}: {reload_failure}")


def _left_out(accounts: Sequence[AccountView]) -> Iterator[Reason]:
    """What of an account is not watched as its owner intends, or is not known yet."""
    for account in accounts:
        for notice in account.severe:
            yield Reason(notice.code, f"account {account.account}: {notice.text}", account.account)
        if account.unsettled is not None and account.verdict is Verdict.PROVEN:
            text = f"account {account.account}: {account.unsettled}"
            yield Reason(ReasonCode.UNSETTLED, text, account.account)


def _late(ages: Ages, limits: FreshnessLimits) -> tuple[dict[str, str], list[str]]:
    late: dict[str, str] = {}
    dead = []
    for feed, name, age, (warn_s, stale_s) in (
        ("fills", "fills", ages.fills, limits.fills),
        ("prices", "prices", ages.prices, limits.prices),
        ("reconcile", "statements", ages.reconcile, limits.reconcile),
    ):
        if age is None:
            late[feed] = f"no {name} yet"
            if feed == "fills" and ages.last_fill is not None:
                late[feed] = f"no feed of fills was heard yet, the last fill is {ages.last_fill:.0f} s old"
            dead.append(late[feed])
        elif age > warn_s:
            late[feed] = f"{name} are {age:.0f} s old"
            if age > stale_s:
                dead.append(f"{name} are {age:.0f} s old")
    return late, dead


def _unchecked(ages: Ages, limits: FreshnessLimits, uptime_s: float) -> list[str]:
    """Reasons for a lost source of statements: pushes and REST each hide the loss of the other."""
    said = []
    if ages.rest is None and ages.pushes is not None and uptime_s > SETTLED_S:
        said.append("no statement by REST yet: pushed states only")
    if ages.pushes is not None and ages.pushes > limits.pushes[0]:
        said.append(f"no state was pushed for {ages.pushes:.0f} s: statements come by REST only")
    if ages.rest is not None and ages.rest > limits.reconcile[1] and ages.reconcile != ages.rest:
        said.append(f"no statement by REST for {ages.rest:.0f} s: pushed states only")
    return said

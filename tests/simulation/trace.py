"""What a trace of a life says of reports and effects: a line each, as a person reads them."""

from hlposmon.domain.changes import (
    Adopted,
    Change,
    Doubt,
    Drift,
    Filled,
    Funded,
    Gap,
    Healed,
    VerdictChanged,
    whose,
)
from hlposmon.domain.rendering import number
from hlposmon.domain.reports import Fill, Fills, Funding, Marks, Report, Statement
from hlposmon.engine.effects import (
    Effect,
    JournalChange,
    JournalCheckpoint,
    JournalEvent,
    JournalStatement,
    Log,
    LogChange,
    Publish,
    PublishPrice,
    Ring,
    Show,
    Tell,
)


def coin_of(key: str) -> str:
    return key.rpartition(":")[2]


def fill_text(fill: Fill) -> str:
    sign = "+" if fill.side == "buy" else "-"
    start = number(fill.start_position)
    return f"{coin_of(fill.key)} {start} {sign}{number(fill.size)} @ {number(fill.price)}"


def report_text(report: Report, then_s: float | None) -> str | None:
    """None for what comes each second and tells little."""
    match report:
        case Fills():
            how = "live" if report.heard_s is not None else "fetched"
            rows = ", ".join(fill_text(fill) for fill in report.fills)
            return f"{report.account}: {how} by {report.source}: {rows}"
        case Statement():
            how = "pushed" if report.pushed else f"asked at {report.asked_s:.3f}"
            held = ", ".join(f"{coin_of(one.key)} {number(one.size)}" for one in report.positions) or "flat"
            fetched = "" if report.fills_from_ms is None else f", fills since {report.fills_from_ms}"
            return f"{report.account}: {how}, as of {then_s:.3f}: {held}{fetched}"
        case Marks():
            return None
        case Funding():
            return f"{report.account}: funding {coin_of(report.key)} {number(report.amount)}"
    return repr(report)


def effect_text(effect: Effect) -> str | None:
    """None for what another line tells too."""
    match effect:
        case JournalChange(change=change):
            return _change_text(change)
        case JournalEvent():
            return f"event {effect.kind} {dict(effect.facts)}"
        case JournalCheckpoint():
            return "checkpoint"
        case Ring() | Tell():
            return repr(effect)
        case Log():
            return f"log {effect.message}"
        case LogChange(change=Doubt() as doubt):
            return f"{_of(doubt)}: doubt: {number(doubt.ours)}, stated {number(doubt.theirs)}"
        case LogChange() | Publish() | PublishPrice() | Show() | JournalStatement():
            return None


def _of(change: Change) -> str:
    account, key = whose(change)
    return f"{account} {coin_of(key)}"


def _change_text(change: Change) -> str:
    of = _of(change)
    match change:
        case Filled():
            late = ", late" if change.late else ""
            after = number(change.position.size)
            return f"{of}: filled {fill_text(change.fill)} ({change.effect}{late}), then {after}"
        case Adopted():
            return f"{of}: adopted ({change.reason}): {number(change.position.size)}"
        case Gap():
            found, expected = number(change.found), number(change.expected)
            return f"{of}: gap: starts at {found}, not {expected}, since {change.since_ms}"
        case Healed():
            return f"{of}: healed, {change.missing} missing"
        case Drift():
            return f"{of}: drift: {number(change.ours)}, stated {number(change.theirs)}: {change.cause}"
        case VerdictChanged():
            return f"{of}: {change.verdict}" + (f": {change.reason}" if change.reason else "")
        case Funded():
            return f"{of}: funded {number(change.funding.amount)}"
        case Doubt():
            return f"{of}: doubt"

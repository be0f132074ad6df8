"""Reads the times that people and programs name: a date, an ISO 8601 time, or an age."""

import re
from datetime import UTC, datetime

FORMS = "2026-11-20, 2026-11-20T10:00:00Z, or 90m, 2h, 3d for so long ago"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,7})([smhdw])\Z", re.ASCII)


def moment_ms(text: str, now_ms: int) -> int:
    """The time that `text` names, in Unix milliseconds: a date (UTC), an ISO 8601 time (UTC unless it says
    otherwise), or an age before `now_ms` such as 90m. Raises ValueError for anything else."""
    if ago := _AGO.match(text):
        return max(0, now_ms - int(ago[1]) * _UNITS_S[ago[2]] * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is no time: {FORMS}") from error
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000

"""Times as people name them."""

import pytest

from hlposmon.domain.moments import moment_ms

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-11-20", 1_795_132_800_000),
        ("2026-11-20T10:00:00Z", 1_795_168_800_000),
        ("2026-11-20T10:00:00.250+02:00", 1_795_161_600_250),
        ("2026-11-20T10:00:00", 1_795_168_800_000),
        ("90m", NOW - 5_400_000),
        ("2w", NOW - 1_209_600_000),
        ("9999999w", 0),
    ],
)
def test_dates_times_and_ages_are_read(text, at_ms):
    assert moment_ms(text, NOW) == at_ms


@pytest.mark.parametrize("text", ["", "yesterdayish", "5y", "2026-13-01", "-5m"])
def test_anything_else_is_refused_with_the_forms_there_are(text):
    with pytest.raises(ValueError, match=r"is no time: 2026-11-20"):
        moment_ms(text, NOW)

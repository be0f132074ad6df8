"""The short form of the soak: a day and a bit, over a midnight at least."""

import pytest

from tests.chaos import places
from tests.chaos.soak import soak

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def test_a_day_of_hourly_funding_over_a_midnight_is_booked_to_the_last_payment():
    try:
        found = soak(25, 0.3)
    except places.Unavailable as why:
        pytest.skip(str(why))

    assert list(found.check()) == []
    assert found.audit_files >= 2
    assert found.fundings >= 25 * 50

"""The short form of the long flow."""

import pytest

from tests.chaos.flow import flow

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def test_no_drift_is_said_while_200_fills_a_second_meet_a_statement_each_second():
    found = flow(15, 200)

    assert found.ok, f"{found}"
    assert found.gaps == 0
    # The fills come by chance, and a machine with much else to do makes somewhat fewer of them.
    assert found.rate > 140, f"{found.rate:.0f} fills a second were made, and not 200"

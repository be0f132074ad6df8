"""The short form of the long flow."""

import pytest

from tests.chaos.flow import flow

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def test_no_drift_is_said_while_200_fills_a_second_meet_a_statement_each_second():
    found = flow(15, 200)

    assert found.ok, f"{found}"
    assert found.gaps == 0
    assert found.fills > 1000  # a machine with much else to do may not make all of them

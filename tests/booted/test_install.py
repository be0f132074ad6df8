"""From the wheel to a green light, by the commands of docs/operations.md as they stand there."""

from tests.booted.conftest import Host


def test_the_documents_commands_lead_to_an_active_service_and_a_green_light(installed: Host):
    assert "hlposmon.toml: ok, live on mainnet, main 0x0123" in installed.printed["configure"]
    assert installed.printed["start"].splitlines()[-1] == "active"
    assert "HLPOSMON OK - " in installed.printed["start"]
    assert "all proven" in installed.printed["start"]

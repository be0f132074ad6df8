"""`hlposmon doctor`: checks set-up, addresses, clock, limits, permissions and stray keys, one line a finding.

It needs no running monitor and changes nothing. Exit status 0 if nothing failed, 1 otherwise.
"""

import json
import os
import sys
from dataclasses import asdict, replace

import click

from hlposmon.checks import keys, machine, monitor, permissions, setup
from hlposmon.checks.findings import FAIL, OK, UNKNOWN, WARN, Check, Finding, Place
from hlposmon.checks.running import examine
from hlposmon.cli import stdout
from hlposmon.cli.options import given_socket, parse_addresses, socket_option
from hlposmon.config import Flags, load, locate
from hlposmon.errors import ConfigError

LOCAL = (
    Check("config", setup.configuration),
    Check("accounts", setup.accounts),
    Check("program", setup.program),
    Check("systemd", setup.unit),
    Check("runtime", permissions.runtime),
    Check("group", permissions.group),
    Check("files", permissions.files),
    Check("keys", keys.keys),
    Check("limits", machine.limits),
    Check("room", machine.room),
    Check("ntp", machine.clock_keeper),
    Check("monitor", monitor.monitor),
)
_COLOURS = {"ok": "green", WARN: "yellow", FAIL: "red", "skipped": "blue", UNKNOWN: "magenta"}


@click.command("doctor", short_help="Check set-up, addresses, clock, limits, permissions.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
@click.option("--offline", is_flag=True, help="Leave out what asks the exchange.")
@click.option(
    "--address", "addresses", multiple=True, metavar="0x...", callback=parse_addresses, help="As for 'run'."
)
@click.option("--api-url", metavar="URL", help="The exchange's REST address.")
@click.option("--ws-url", metavar="URL", help="The exchange's WebSocket address.")
@click.option("--simulate", is_flag=True, help="As 'run --simulate' would be.")
@click.option("--config", metavar="FILE", help="The configuration file.")
@click.option("--env-file", metavar="FILE", help="As for 'run'.")
@socket_option
@click.pass_context
def command(
    ctx: click.Context,
    as_json: bool,
    offline: bool,
    addresses: tuple[str, ...],
    api_url: str | None,
    ws_url: str | None,
    simulate: bool,
    config: str | None,
    env_file: str | None,
    socket: str | None,
) -> int:
    """Check the set-up: lines of ok, warn, fail, skipped or unknown, and below what to do.

    Of each address: whose it is, what it holds on each dex and on spot, and what it has that is not watched
    (sub-accounts, vault stakes, staking). What cannot be had is unknown, with the reason.

    Beside a simulated run it checks what that one needs, unless --address, --api-url, --ws-url, --config or
    --env-file names another. Each check has two seconds, that of an address
    eight. Exit status 0 when nothing failed, 1 otherwise.
    """
    place_given = given_socket(ctx, socket)
    flags = Flags(addresses, api_url, ws_url, place_given, None, None, simulate, config, env_file)
    findings = look(flags, offline=offline)
    failed = sum(finding.state == FAIL for finding in findings)
    try:
        if as_json:
            click.echo(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}))
        else:
            for finding in findings:
                show(finding)
            click.echo(counted(findings))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`: the status is that of the checks all the same
        stdout.silence()
    return 1 if failed else 0


def look(flags: Flags, *, offline: bool) -> list[Finding]:
    """Run all checks for the configuration that flags and environment select, and return their findings.

    If the flags select nothing and the running monitor is a simulated one, its needs are checked. `offline`
    skips the checks that ask the exchange.
    """
    found = []
    socket = locate(flags, os.environ).socket
    if not _names_a_run(flags) and monitor.mode_at(socket) == "simulated":
        flags = replace(flags, simulate=True)
        said = (
            f"the monitor at {socket} is a simulated run, and what it needs is checked here: --address or"
            " --config checks a live one"
        )
        found.append(Finding("config", OK, said))
    try:
        settings = load(flags, os.environ)
        place = Place(flags, dict(os.environ), settings.paths, settings, ())
    except ConfigError as error:
        place = Place(flags, dict(os.environ), locate(flags, os.environ), None, tuple(error.mistakes))
    checks = list(LOCAL)
    if not offline:
        from hlposmon.checks.venue import exchange_checks, uncovered  # its libraries take a third of a second

        used = monitor.weight_used_at(socket)
        checks += [*exchange_checks(place, weight_used=used), Check("not covered", uncovered)]
    else:
        checks.append(Check("exchange", lambda _: (), asks=True))
    return found + examine(checks, place, offline=offline)


def _names_a_run(flags: Flags) -> bool:
    """Whether the command line selects a configuration to check. HLPOSMON_CONFIG does not count, since the
    simulated run may have it too."""
    given = (flags.addresses, flags.api_url, flags.ws_url, flags.config, flags.env_file)
    return flags.simulate or any(given)


def counted(findings: list[Finding]) -> str:
    """`nothing failed, 2 warnings`, and how much is not known if there is any."""
    failed, warned, unknown = (
        sum(finding.state == state for finding in findings) for state in (FAIL, WARN, UNKNOWN)
    )
    said = f"{failed or 'nothing'} failed, {warned or 'no'} warning{'' if warned == 1 else 's'}"
    return f"{said}, {unknown} not known" if unknown else said


def show(finding: Finding) -> None:
    """Print `STATE   CHECK: TEXT`, and for all but ok and skipped the remedy below."""
    state = finding.state.ljust(8)
    if "NO_COLOR" not in os.environ:
        state = click.style(state, fg=_COLOURS[finding.state])
    click.echo(f"{state}{finding.check}: {finding.text}")
    if finding.remedy and finding.state in (WARN, FAIL, UNKNOWN):
        click.echo(f"{'':8}-> {finding.remedy}")

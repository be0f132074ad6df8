"""The exchange, inside the machine's network, under its real name and with TLS, as the monitor knows it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import trustme

from hlposmon.simulator.client import Control
from tests.booted.machine import Machine

HOST = "api.hyperliquid.xyz"


class Venue:
    """The simulated exchange; all that is asked of it is asked inside."""

    def __init__(self, machine: Machine, url: str, accounts: list[str]) -> None:
        self._machine, self._control = machine, Control(url)
        self.accounts = accounts

    def do(self, action: str, **given: Any) -> dict[str, Any]:
        return self._machine.inside(lambda: self._control.do(action, **given))

    def pace(self, per_second: float) -> None:
        self.do("pace", per_second=per_second)

    def skew(self, seconds: float) -> None:
        self._machine.inside(lambda: self._control.clock_skew(seconds))

    def made(self) -> int:
        """How many fills the first account has."""
        state = self._machine.inside(self._control.state)
        return int(state["accounts"][self.accounts[0]]["fills"])

    def fills(self, *, since: int = 0) -> list[dict[str, Any]]:
        """Every fill of the first account but the first `since`."""
        return self._machine.inside(lambda: list(self._control.made(self.accounts[0], since=since)))

    def sizes(self) -> dict[str, Decimal]:
        state = self._machine.inside(self._control.state)
        held = state["accounts"][self.accounts[0]]["positions"]
        return {coin: Decimal(row["szi"]) for coin, row in held.items() if Decimal(row["szi"])}


@contextlib.contextmanager
def open_venue(machine: Machine, *words: str) -> Iterator[Venue]:
    """Start it; the machine resolves the exchange's name to it and trusts its certificate."""
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    pems = [certificate.private_key_pem, *certificate.cert_chain_pems]
    machine.write("/etc/exchange.pem", "".join(pem.bytes().decode() for pem in pems), mode="600")
    machine.write("/usr/local/share/ca-certificates/test.crt", authority.cert_pem.bytes().decode())
    machine.must("update-ca-certificates")
    machine.must(f"echo '127.0.0.1 {HOST}' >> /etc/hosts")
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "hlposmon", "simulate", "--no-limits", *words]
        exchange = machine.beside(*command, stdout=subprocess.PIPE)
        stack.callback(_end, exchange)
        assert exchange.stdout is not None
        said = json.loads(exchange.stdout.readline())
        port = said["api_url"].rpartition(":")[2]
        machine.must(
            "systemd-run --quiet --unit=exchange-tls socat"
            " OPENSSL-LISTEN:443,bind=127.0.0.1,reuseaddr,fork,cert=/etc/exchange.pem,verify=0,nodelay"
            f" TCP:127.0.0.1:{port},nodelay"
        )
        yield Venue(machine, said["api_url"], said["accounts"])


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()

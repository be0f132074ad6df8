"""The positions over the Unix socket, with the standard library alone and without hlposmon installed.

    python summary.py /run/hlposmon/hlposmon.sock

Exit status: 0 all proven, 1 something is in doubt, 3 no monitor answers.
"""

import http.client
import json
import os
import socket
import sys
from decimal import Decimal


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float = 2.0) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path: str, target: str) -> dict:
    connection = UnixConnection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"{answer.status}: {body['error']['message']}")
    return body


def main() -> int:
    given = sys.argv[1:] or [os.environ.get("HLPOSMON_SOCKET", "/run/hlposmon/hlposmon.sock")]
    try:
        summary = ask(given[0], "/api/v1/positions/summary")
    except OSError as error:
        print(f"{given[0]}: {error}", file=sys.stderr)
        return 3
    profit = Decimal(0)  # never a float: the strings are exact
    for name, position in summary["positions"].items():
        print(name, position["size"], position["unrealized_pnl"] or "-", position["verdict"], sep="\t")
        profit += Decimal(position["unrealized_pnl"] or 0)
    print(f"unrealised P&L {profit} USD, {summary['health']}")
    verdicts = [row["verdict"] for row in (*summary["positions"].values(), *summary["accounts"].values())]
    return 0 if summary["stated"] and set(verdicts) == {"proven"} else 1


if __name__ == "__main__":
    sys.exit(main())

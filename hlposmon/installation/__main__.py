"""`python -m hlposmon.installation remove|purge`: used by make, since the command itself may be broken."""

import argparse
import sys
from pathlib import Path

from hlposmon.errors import HlposmonError
from hlposmon.installation.system import remove


def main() -> int:
    """Remove or purge the installation. Return 0, or 1 after writing the reason of a failure to stderr."""
    parser = argparse.ArgumentParser(prog="hlposmon.installation", description="Remove an installation.")
    parser.add_argument("what", choices=("remove", "purge"))
    parser.add_argument("--root", type=Path, default=Path("/"))
    given = parser.parse_args()
    try:
        remove(given.root.resolve(), _say, purge=given.what == "purge")
    except (HlposmonError, OSError) as error:
        _say(f"hlposmon: {error}")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())

"""Which sub-accounts of configured accounts are watched: found by the monitor, kept in the state folder.

An account with `discover = ["subaccounts"]` has its sub-accounts watched too. What the venue has listed is
kept in `subaccounts.json`, by server and master: `{"https://...": {"0x<master>": {"0x<sub>": "name"}}}`. The
name is that of the first time, since another name would be another account. A file that cannot be read counts
as empty: then the venue is asked again.
"""

import json
import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from hlposmon.config.accounts import MAX_NAME, plain_address
from hlposmon.config.settings import SUB_ACCOUNTS, Account

log = logging.getLogger(__name__)

SUB_ACCOUNTS_FILE = "subaccounts.json"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def known_sub_accounts(state_dir: Path, api_url: str) -> dict[str, dict[str, str]]:
    """The sub-accounts that this server has listed, by their master's address: their names by address."""
    return all_known_sub_accounts(state_dir).get(api_url, {})


def all_known_sub_accounts(state_dir: Path) -> dict[str, dict[str, dict[str, str]]]:
    """What is known of sub-accounts, by server."""
    try:
        servers = json.loads((state_dir / SUB_ACCOUNTS_FILE).read_text(encoding="utf-8"))
        return {
            str(url): {
                plain_address(master): {plain_address(sub): str(name) for sub, name in subs.items()}
                for master, subs in masters.items()
            }
            for url, masters in servers.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        log.warning("%s cannot be read: %s", state_dir / SUB_ACCOUNTS_FILE, error)
        return {}


def with_sub_accounts(accounts: Sequence[Account], known: dict[str, dict[str, str]]) -> tuple[Account, ...]:
    """The accounts, and behind them the known sub-accounts of those that have them discovered.

    One that is configured itself stays as it is: no address is watched twice.
    """
    found = list(accounts)
    names = {account.name for account in accounts}
    addresses = {account.address for account in accounts}
    for master in accounts:
        if SUB_ACCOUNTS not in master.discover:
            continue
        for address, given in known.get(master.address, {}).items():
            if address not in addresses:
                name = sub_account_name(master.name, given, address, names)
                names.add(name)
                addresses.add(address)
                found.append(Account(name, address))
    return tuple(found)


def sub_account_name(master: str, given: str, address: str, taken: Collection[str]) -> str:
    """`<master>/<given>` as a name of an account: safe, at most 32 bytes, and none of those `taken`.

    Characters of `given` that a name cannot have become `-`. A name that is too long or taken is cut, and
    ends with the last digits of the address: `main/market-making-on-many-7f3a`.
    """
    safe = _UNSAFE.sub("-", given).strip("-._") or "sub"
    name = f"{master}/{safe}"
    if len(name) <= MAX_NAME and name not in taken:
        return name
    for digits in range(4, 29):
        mark = f"-{address[-digits:]}"
        room = MAX_NAME - len(mark)
        cut = master[: max(1, room - 1 - min(len(safe), room // 2))]
        name = f"{cut}/{safe}"[:room].rstrip("-._/") + mark
        if name not in taken:
            return name
    raise AssertionError("addresses with 28 equal digits are one address")

"""Which configured addresses are agents (API wallets), and whose: kept in the state folder.

An agent signs for its account and holds nothing: the venue answers for its address as for an empty account.
Once the venue has named the account behind it, that one is watched under the configured name. The answer is
final, so it is asked once and kept in `agents.json`, by server: `{"https://...": {"0x<agent>":
"0x<account>"}}`. A file that cannot be read counts as empty: then the venue is asked again.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hlposmon.config.accounts import plain_address
from hlposmon.config.settings import Account

log = logging.getLogger(__name__)

AGENTS_FILE = "agents.json"


def known_agents(state_dir: Path, api_url: str) -> dict[str, str]:
    """The account's address by that of its agent, as far as this server has named them."""
    found = all_known_agents(state_dir).get(api_url, {})
    return dict(found)


def all_known_agents(state_dir: Path) -> dict[str, dict[str, str]]:
    """What is known of agents, by server."""
    try:
        servers = json.loads((state_dir / AGENTS_FILE).read_text(encoding="utf-8"))
        return {
            str(url): {plain_address(agent): plain_address(owner) for agent, owner in found.items()}
            for url, found in servers.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        log.warning("%s cannot be read: %s", state_dir / AGENTS_FILE, error)
        return {}


def behind_agents(accounts: Sequence[Account], known: dict[str, str]) -> tuple[Account, ...]:
    """The accounts, each known agent replaced by the account behind it.

    One whose account is configured itself, or stands behind another agent too, stays as it is: no address is
    watched twice.
    """
    taken = {account.address for account in accounts}
    found = []
    for account in accounts:
        owner = known.get(account.address)
        if owner is not None and owner not in taken:
            taken.add(owner)
            found.append(replace(account, address=owner, agent=account.address))
        else:
            found.append(account)
    return tuple(found)

"""Scripted actions on who an address is and what it has beside its positions: agents, sub-accounts, vaults.

Each reads all its arguments before it acts. The table in `control` lists the arguments.
"""

from collections.abc import Callable

from hlposmon.simulator.facts import Row
from hlposmon.simulator.ledger import ZERO
from hlposmon.simulator.owned import Vault
from hlposmon.simulator.question import BadRequest, address_of
from hlposmon.simulator.script import Script, ScriptError
from hlposmon.simulator.stage import Stage


def _address(script: Script, name: str) -> str:
    try:
        return address_of(script.value(name))
    except BadRequest:
        raise ScriptError(f"{name} must be a 0x address") from None


def agent(stage: Stage, script: Script) -> Row:
    """Make an address an API wallet of another."""
    address, master = _address(script, "address"), _address(script, "master")
    expires_ms = script.whole("expires_ms", 0)
    is_listed = script.flag("listed", default=True)
    script.end()
    info = stage.hub.info
    info.roles[address] = {"role": "agent", "data": {"user": master}}
    info.expiries.pop(address, None)
    if expires_ms or not is_listed:
        info.expiries[address] = expires_ms if is_listed else None
    return {}


def sub_account(stage: Stage, script: Script) -> Row:
    """Make an address a sub-account of another; what it holds stays its own."""
    address, master = _address(script, "address"), _address(script, "master")
    name = str(script.value("name"))
    script.end()
    stage.hub.info.owned.subs.setdefault(master, {})[address] = name
    stage.hub.info.roles[address] = {"role": "subAccount", "data": {"master": master}}
    return {}


def vault(stage: Stage, script: Script) -> Row:
    """Make an address a vault, with children a parent of them."""
    address, leader = _address(script, "address"), _address(script, "leader")
    name, given = str(script.value("name")), script.value("children", [])
    try:
        children = [address_of(child) for child in given]
    except (BadRequest, TypeError):
        raise ScriptError("children must be a list of 0x addresses") from None
    script.end()
    stage.hub.info.owned.vaults[address] = Vault(name, leader, children)
    stage.hub.info.roles[address] = {"role": "vault"}
    return {}


def vault_stake(stage: Stage, script: Script) -> Row:
    """Set what an address has in a vault."""
    address, of = _address(script, "address"), _address(script, "vault")
    equity, locked_ms = script.exact("equity"), script.whole("locked_until_ms", 0)
    script.end()
    stage.hub.info.owned.equities.setdefault(address, {})[of] = (equity, locked_ms)
    return {}


def staking(stage: Stage, script: Script) -> Row:
    """Set what an address has staked."""
    address, delegated = _address(script, "address"), script.exact("delegated")
    undelegated, withdrawing = script.exact("undelegated", ZERO), script.exact("withdrawing", ZERO)
    script.end()
    stage.hub.info.owned.staked[address] = (delegated, undelegated, withdrawing)
    return {}


ACTIONS: dict[str, Callable[[Stage, Script], Row]] = {
    "agent": agent,
    "sub_account": sub_account,
    "vault": vault,
    "vault_stake": vault_stake,
    "staking": staking,
}

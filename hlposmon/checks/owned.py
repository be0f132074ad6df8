"""What an address holds that is in none of its own states: sub-accounts, vault stakes, staking.

None of it is watched unless a sub-account is configured too, so each is an attention if it holds anything.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

from hlposmon.checks.asking import Asker
from hlposmon.checks.findings import OK, UNKNOWN, WARN, Finding
from hlposmon.checks.words import holdings, label, moment
from hlposmon.config import Account
from hlposmon.config.settings import SUB_ACCOUNTS
from hlposmon.domain.amounts import plain
from hlposmon.venues.port import SubAccount, Vault, VaultStake

SUBS, STAKES, STAKING, VAULT = "sub-accounts", "vault stakes", "staking", "vault"
NAMED_VAULTS = 3  # whose names are asked for, the largest stakes first: 20 of request weight each
_DISCOVER = (
    'to watch them all: discover = ["subaccounts"] at this account; to watch one: a table'
    " [[venues.hyperliquid.accounts]] with its address"
)
_DISCOVERED = "a running monitor finds and watches them within an hour (discover)"
_REPORT = "please report it with this line"


def findings(asker: Asker, account: Account, role: str | None, watched: dict[str, str]) -> Iterator[Finding]:
    """What the account owns; `role` is that of its address, None if it is not known."""
    if role == "vault":
        yield from _vault(asker, account, watched)
    if role in ("user", None):  # no other has sub-accounts
        yield from _sub_accounts(asker, account, watched)
    yield from _vault_stakes(asker, account)
    yield from _staking(asker, account)


# ------------------------------------------------------------------ sub-accounts


def _sub_accounts(asker: Asker, account: Account, watched: dict[str, str]) -> Iterator[Finding]:
    now_ms = int(time.time() * 1000)
    answer = asker.ask(SUBS, lambda client: client.sub_accounts(account, now_ms=now_ms))
    if isinstance(answer, Finding):
        yield answer
        return
    subs, unread = answer
    for text in unread:
        yield Finding(asker.name, WARN, f"{SUBS}: {text}", _REPORT, SUBS)
    others = [sub for sub in subs if sub.address not in watched]
    holding = [sub for sub in others if holdings(sub.statements)]
    dark = [sub for sub in others if sub not in holding and sub.unread]
    facts = {"total": len(subs), "watched": len(subs) - len(others), "holding": len(holding)}
    remedy = _DISCOVERED if SUB_ACCOUNTS in account.discover else _DISCOVER
    yield replace(
        _sub_summary(asker.name, subs, others, holding, dark, facts), remedy=remedy if others else ""
    )
    for sub in holding + dark:
        yield _sub_account(asker.name, sub)


def _sub_summary(
    name: str,
    subs: list[SubAccount],
    others: list[SubAccount],
    holding: list[SubAccount],
    dark: list[SubAccount],
    facts: dict[str, int],
) -> Finding:
    """One line over all sub-accounts; those that hold something, or of which that is not known, follow."""
    if not others:
        said = f"{SUBS}: {len(subs)}, all watched" if subs else f"{SUBS}: none"
        return Finding(name, OK, said, "", SUBS, facts)
    said = f"{SUBS}: {len(subs)}, of which {len(others)} not watched"
    if holding:
        said += f": {len(holding)} of these hold{'s' if len(holding) == 1 else ''} something"
    if dark:
        said += f"{',' if holding else ':'} of {len(dark)} it is not known"
    if not holding and not dark:
        listed = ", ".join(f"{label(sub.name)} {sub.address}" for sub in others[:10])
        said += f" and holding nothing: {listed}" + (", ..." if len(others) > 10 else "")
        return Finding(name, OK, said, "", SUBS, facts)
    return Finding(name, WARN if holding else UNKNOWN, said, "", SUBS, facts)


def _sub_account(name: str, sub: SubAccount) -> Finding:
    held = holdings(sub.statements)
    said = f"not watched: sub-account {label(sub.name)} {sub.address}: {held or 'not known'}"
    if sub.unread:
        said += f" ({'; '.join(sub.unread)[:200]})"
    facts = {"name": sub.name, "address": sub.address, "holds": held or None, "unread": list(sub.unread)}
    return Finding(name, WARN if held else UNKNOWN, said, "", SUBS, facts)


# ------------------------------------------------------------------ vaults


def _vault(asker: Asker, account: Account, watched: dict[str, str]) -> Iterator[Finding]:
    """Who leads a vault, and which addresses hold its positions if it is a parent."""
    vault = asker.ask(VAULT, lambda client: client.vault(account.address))
    if isinstance(vault, Finding):
        yield vault
        return
    if vault is None:
        yield Finding(asker.name, UNKNOWN, f"{VAULT}: not known: the exchange answers null", "", VAULT)
        return
    facts = {"name": vault.name, "leader": vault.leader, "relation": vault.relation}
    said = f"{VAULT}: {label(vault.name)}, led by {vault.leader}"
    yield Finding(asker.name, OK, said, "", VAULT, facts | {"children": list(vault.children)})
    yield from _children(asker.name, vault, watched)


def _children(name: str, vault: Vault, watched: dict[str, str]) -> Iterator[Finding]:
    for text in vault.unread:
        yield Finding(name, WARN, f"{VAULT}: a child could not be read: {text}", _REPORT, VAULT)
    missing = [address for address in vault.children if address not in watched]
    if missing:
        said = f"{VAULT}: its positions are in its children, not watched: {', '.join(missing)}"
        remedy = "write one more [[venues.hyperliquid.accounts]] for each child"
        yield Finding(name, WARN, said, remedy, VAULT, {"not_watched": missing})


def _vault_stakes(asker: Asker, account: Account) -> Iterator[Finding]:
    answer = asker.ask(STAKES, lambda client: client.vault_stakes(account))
    if isinstance(answer, Finding):
        yield answer
        return
    stakes, unread = answer
    for text in unread:
        yield Finding(asker.name, WARN, f"{STAKES}: {text}", _REPORT, STAKES)
    if not stakes and not unread:
        yield Finding(asker.name, OK, f"{STAKES}: none", "", STAKES)
    for place, stake in enumerate(sorted(stakes, key=lambda one: one.equity, reverse=True)):
        name = None
        if place < NAMED_VAULTS:  # without its name a stake is as well said
            found = asker.ask(VAULT, lambda client, stake=stake: client.vault(stake.vault))  # type: ignore[misc]
            name = found.name if isinstance(found, Vault) else None
        yield _vault_stake(asker.name, stake, name)


def _vault_stake(check: str, stake: VaultStake, name: str | None) -> Finding:
    said = f"not watched: {plain(stake.equity)} USDC in the vault {label(name) if name else ''} {stake.vault}"
    locked = None
    if stake.locked_until_ms is not None and stake.locked_until_ms > time.time() * 1000:
        locked = moment(stake.locked_until_ms)
        said += f", locked until {locked}"
    facts = {"vault": stake.vault, "name": name, "equity": plain(stake.equity), "locked_until": locked}
    remedy = "it is in no equity here: the exchange's page has it. The vault itself may be watched by address"
    return Finding(check, WARN, " ".join(said.split()), remedy, STAKES, facts)


# ------------------------------------------------------------------ staking


def _staking(asker: Asker, account: Account) -> Iterator[Finding]:
    staking = asker.ask(STAKING, lambda client: client.staking(account))
    if isinstance(staking, Finding):
        yield staking
        return
    parts = {
        "delegated": staking.delegated,
        "undelegated": staking.undelegated,
        "withdrawing": staking.withdrawing,
    }
    facts = {name: plain(amount) for name, amount in parts.items()}
    said = ", ".join(f"{plain(amount)} HYPE {name}" for name, amount in parts.items() if amount)
    if not said:
        yield Finding(asker.name, OK, f"{STAKING}: none", "", STAKING, facts)
        return
    remedy = "it is in no balance and no equity here: the exchange's page has it"
    yield Finding(asker.name, WARN, f"not watched: {STAKING}: {said}", remedy, STAKING, facts)

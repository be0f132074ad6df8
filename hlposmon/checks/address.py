"""The check of one address: whose it is, what it holds on each market, and how the monitor covers that."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hlposmon.checks import owned
from hlposmon.checks.asking import Asker, Exchange, unheard
from hlposmon.checks.findings import FAIL, OK, WARN, Finding, Place
from hlposmon.checks.words import FIRST_DEX, dex_name, label, moment, on_dex, token_amounts
from hlposmon.config import Account
from hlposmon.domain.amounts import plain
from hlposmon.domain.reports import FIRST_SCOPE, AccountMode, Statement

_ROLES = {"user": "an account", "subAccount": "a sub-account", "vault": "a vault"}
KEY_WARN_MS = 14 * 86_400_000  # before a key's expiry


class Address:
    """Looks at one configured account; `watched` has the names of all of them by their addresses."""

    def __init__(self, account: Account, watched: dict[str, str], exchange: Exchange) -> None:
        self._account, self._watched, self._exchange = account, watched, exchange
        self._name = f"address {account.name}"
        self._share = exchange.share()

    def __call__(self, _place: Place) -> list[Finding]:
        """The findings in the order in which they are asked for; one that is not known costs no other."""
        asker = Asker(self._exchange, self._name, self._share)
        found = []
        try:
            for finding in self._look(asker):
                found.append(finding)
                if (reason := asker.silence) is not None:
                    return [unheard(self._name, self._exchange.settings.hyperliquid.api_url, reason)]
        finally:
            asker.close()
        return found

    def _look(self, asker: Asker) -> Iterator[Finding]:
        found = asker.ask("role", lambda client: client.role(self._account))
        if not isinstance(found, Finding) and found[0] == "agent" and found[1] is not None:
            agent, owner = self._account.address, found[1]
            said = f"{agent} is an agent (API wallet): its account {owner} is watched"
            yield self._say(OK, "role", said, facts={"role": "agent", "owner": owner})
            self._account = replace(self._account, address=owner, agent=agent)
            yield self._key(asker)
            found = asker.ask("role", lambda client: client.role(self._account))
        role = None
        if isinstance(found, Finding):
            hint = "; if this is an agent's address, what follows is the agent's, and not of its account"
            yield replace(found, text=found.text + hint)
        else:
            role, owner_of = found
            yield self._role(role, owner_of)
        if role in ("missing", "agent"):
            return  # it holds nothing
        yield self._following()
        yield from self._positions(asker)
        mode = asker.ask("account mode", lambda client: client.mode(self._account))
        yield mode if isinstance(mode, Finding) else self._mode(mode)
        yield from self._spot(asker)
        yield from owned.findings(asker, self._account, role, self._watched)

    def _say(
        self, state: str, about: str, text: str, remedy: str = "", facts: Mapping[str, Any] | None = None
    ) -> Finding:
        return Finding(self._name, state, text, remedy, about, facts)

    def _role(self, role: str, owner: str | None) -> Finding:
        address = self._account.address
        facts = {"role": role, "owner": owner}
        if role in _ROLES:
            said = f"{address} is {_ROLES[role]}"
            if owner:
                name = self._watched.get(owner)
                said += f" of {owner}, " + (f"which is watched as {name}" if name else "which is not watched")
            return self._say(OK, "role", said, facts=facts)
        if role == "agent":
            remedy = f"watch {owner}" if owner else "watch the account that it trades for"
            said = f"{address} is an agent (API wallet) and holds no positions"
            return self._say(FAIL, "role", said, remedy, facts=facts)
        if role == "missing":
            said = f"the exchange does not know {address}"
            return self._say(FAIL, "role", said, "is it of the other network (testnet)?", facts=facts)
        said = f"{address} has the role {label(role)}, which is not known here"
        return self._say(WARN, "role", said, facts=facts)

    def _key(self, asker: Asker) -> Finding:
        """When the agent's key expires. The account stays watched all the same: it is read by address."""
        expiry_ms = asker.ask("the agent's key", lambda client: client.key_expiry_ms(self._account))
        if isinstance(expiry_ms, Finding):
            return expiry_ms
        remedy = "have the agent approved again, or configure the account's own address"
        if expiry_ms is None:
            said = "the agent's key: the account does not list it, so when it expires is not known"
            return self._say(OK, "the agent's key", said, facts={"expires": None})
        date = moment(expiry_ms)
        left_ms = expiry_ms - time.time() * 1000
        facts = {"expires": date}
        if left_ms <= 0:
            said = f"the agent's key expired at {date}: its programs cannot trade any more"
            return self._say(WARN, "the agent's key", said, remedy, facts=facts)
        days = int(left_ms // 86_400_000)
        said = f"the agent's key expires at {date}, in {days} day{'' if days == 1 else 's'}"
        soon = left_ms < KEY_WARN_MS
        return self._say(WARN if soon else OK, "the agent's key", said, remedy if soon else "", facts=facts)

    def _following(self) -> Finding:
        """Whether the exchange's streams follow the account, or it is one too many for them."""
        venue = self._exchange.settings.hyperliquid
        names = [account.name for account in venue.accounts]
        place, most = names.index(self._account.name) + 1, venue.max_users
        if place <= most:
            said = f"followed by the exchange's streams: account {place} of at most {most}"
            return self._say(OK, "following", said, facts={"followed": "stream"})
        said = f"asked for by REST alone, which proves nothing: account {place}, and max_users is {most}"
        return self._say(WARN, "following", said, "watch it from another machine", {"followed": "poll"})

    def _positions(self, asker: Asker) -> Iterator[Finding]:
        """The positions and money of each dex on which there are any; all dexes are watched."""
        shown: list[str] = []
        facts: dict[str, object] = {}
        others = asker.dexes()
        if isinstance(others, Finding):
            yield others
            others = []
        for dex in (FIRST_SCOPE, *others):
            statement = asker.ask(
                f"positions on {dex_name(dex)}",
                lambda client, dex=dex: client.statement(self._account, scope=dex, asked_s=0.0, now_ms=0),  # type: ignore[misc]
            )
            if isinstance(statement, Finding):
                yield statement
                continue
            yield from self._unread(statement)
            facts[dex] = {
                "positions": len(statement.positions),
                "equity": None if statement.equity is None else plain(statement.equity),
            }
            if dex == FIRST_SCOPE or statement.holds_something:
                shown.append(on_dex(statement))
        if facts:
            looked = len([dex for dex in facts if dex])
            text = f"{', '.join(shown) or 'nothing'} ({looked} other dexes were looked at)"
            yield self._say(
                OK, "positions", text, facts={dex or FIRST_DEX: found for dex, found in facts.items()}
            )

    def _unread(self, statement: Statement) -> Iterator[Finding]:
        for key, reason in statement.unread.items():
            said = f"{key} on {dex_name(statement.scope)} could not be read: {reason}"
            yield self._say(WARN, "positions", said, "please report it with this line", {"key": key})

    def _mode(self, mode: AccountMode) -> Finding:
        if mode.mode is None:
            said = "the exchange does not say how its balances are kept: equity is not shown"
            return self._say(WARN, "account mode", said, facts={"mode": None})
        if mode.plain:
            return self._say(OK, "account mode", f"account mode {mode.mode}", facts={"mode": mode.mode})
        said = f"account mode {mode.mode}: its balances are kept in its spot state: equity is not shown"
        return self._say(WARN, "account mode", said, facts={"mode": mode.mode})

    def _spot(self, asker: Asker) -> Iterator[Finding]:
        """The balances of tokens, which are watched as positions of type BaseToken."""
        statement = asker.ask(
            "spot balances", lambda client: client.spot(self._account, asked_s=0.0, time_ms=0)
        )
        if isinstance(statement, Finding):
            yield statement
            return
        yield from self._unread(statement)
        balances = token_amounts(statement)
        said = ", ".join(f"{size} {token}" for token, size in balances.items())
        yield self._say(OK, "spot balances", f"spot balances: {said or 'none'}", facts=balances)

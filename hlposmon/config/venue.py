"""Selects the accounts to watch and the venue's URLs, each from the source of the highest precedence.

Sources are never mixed. All accounts come from the flags, or from the environment, or from the file. A flag
for one URL determines both, so that prices of one exchange are never combined with positions of another.
"""

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from hlposmon.config.accounts import (
    KEY_NAME,
    NAME_WANTED,
    ZERO_ADDRESS,
    address_of_key,
    is_name,
    named_account,
    plain_address,
    shown,
    with_names,
)
from hlposmon.config.paths import Surroundings, unreadable_config
from hlposmon.config.settings import (
    DISCOVERABLE,
    MAINNET_API,
    MAINNET_WS,
    TESTNET_API,
    TESTNET_WS,
    Account,
    Flags,
)
from hlposmon.config.tables import Reader

NO_ACCOUNT = (
    "no account to watch: give one by the flag --address 0x..., by HYPERLIQUID_ACCOUNT_ADDRESS=0x..., or in"
    ' the config by [[venues.hyperliquid.accounts]] with address = "0x..." (or try it out: --simulate)'
)


def read_accounts(table: Reader) -> tuple[Account, ...] | None:
    """The accounts in the file: None if it names none, empty if all of them are invalid."""
    entries = table.tables("accounts")
    pairs = []
    discover: dict[str, tuple[str, ...]] = {}  # by address
    for entry in entries:
        name = entry.text("name", "")
        if name and not is_name(name):
            entry.wrong("name", shown(name), NAME_WANTED)
        address = entry.text("address", "")
        wanted = _discoverable(entry)
        try:
            pairs.append((name, plain_address(address)))
            discover[pairs[-1][1]] = wanted
        except ValueError as error:
            table.mistakes.append(f"{table.file}: {entry.key('address')}: {error}")
        entry.done()
    where = f"{table.file}: {table.key('accounts')}"
    if not entries:
        return None
    named = with_names(pairs, table.mistakes, where)
    return tuple(replace(account, discover=discover[account.address]) for account in named)


def _discoverable(entry: Reader) -> tuple[str, ...]:
    """What an account's `discover` names, each once."""
    found = entry.texts("discover")
    choices = ", ".join(f'"{one}"' for one in DISCOVERABLE)
    for text in found:
        if text not in DISCOVERABLE:
            entry.wrong("discover", shown(text), f"a list of: {choices}")
    return tuple(one for one in DISCOVERABLE if one in found)


def watched_accounts(
    around: Surroundings,
    configured: tuple[Account, ...] | None,
    *,
    needed: bool,
    mistakes: list[str],
    notices: list[str],
) -> tuple[Account, ...]:
    """The accounts of the first source that names any: flags, environment, file, private key.

    `configured` are those of the file (`read_accounts`). `needed` is False in a simulated run, which may have
    no accounts. Problems are added to `mistakes`, remarks for the log to `notices`.
    """
    named = _from_outside(around, mistakes)
    accounts = configured if named is None else named
    key = around.environ.get(KEY_NAME, "").strip()
    if key and (accounts is not None or not needed):
        notices.append(
            f"{KEY_NAME} is set and not needed: it was dropped unused; take it out of the environment"
        )
    if accounts is None and needed:
        accounts = _derived(around, key, mistakes, notices)
    for account in accounts or ():
        if account.address == ZERO_ADDRESS:
            notices.append(f"account {account.name}: {ZERO_ADDRESS} is a placeholder; put your address there")
    return accounts or ()


def _from_outside(around: Surroundings, mistakes: list[str]) -> tuple[Account, ...] | None:
    """Accounts from the flags or the environment; None if neither names any."""
    flags = around.flags
    if flags.addresses or flags.simulate:
        # The simulated exchange of --simulate brings accounts of its own.
        return _parsed(flags.addresses, "--address", mistakes)
    listed = around.environ.get("HYPERLIQUID_ACCOUNT_ADDRESS", "").split(",")
    texts = [text for text in listed if text.strip()]
    return _parsed(texts, "environment: HYPERLIQUID_ACCOUNT_ADDRESS", mistakes) if texts else None


def _derived(
    around: Surroundings, key: str, mistakes: list[str], notices: list[str]
) -> tuple[Account, ...] | None:
    """The account of the private key; without a key, those derived from it at start (`derived_addresses`)."""
    if key:
        try:
            address = address_of_key(key)
        except ValueError as error:
            mistakes.append(f"environment: {KEY_NAME}: {error}")
            return None
        notices.append(
            f"the account {address} was derived from {KEY_NAME}, which is not needed and was dropped: set"
            f" HYPERLIQUID_ACCOUNT_ADDRESS={address} in its place (an agent's key stands for the agent, whose"
            " address holds no positions: give the master account's)"
        )
        return (Account("main", address),)
    if around.flags.derived_addresses:
        return _parsed(around.flags.derived_addresses, KEY_NAME, mistakes)
    skipped = unreadable_config(around)
    mistakes.append(NO_ACCOUNT + (f"; {skipped} is there, but this user may not read it" if skipped else ""))
    return None


def _parsed(texts: Iterable[str], where: str, mistakes: list[str]) -> tuple[Account, ...]:
    pairs = []
    for text in texts:
        try:
            pairs.append(named_account(text))
        except ValueError as error:
            mistakes.append(f"{where}: {error}")
    return with_names(pairs, mistakes, where)


def read_urls(table: Reader, flags: Flags, testnet: bool) -> tuple[str, str]:
    """(api_url, ws_url), without a trailing slash. If only one is given, the other is derived from it; if
    none is, they are those of mainnet or `testnet`.

    Example: http://localhost:80 and ws://localhost:80/ws belong together.
    """
    api, ws = table.text("api_url", ""), table.text("ws_url", "")
    _check_url(table, "api_url", api, testnet)
    _check_url(table, "ws_url", ws, testnet)
    if flags.api_url or flags.ws_url:
        api, ws = flags.api_url or "", flags.ws_url or ""
        for flag, url, schemes in (("--api-url", api, _HTTP), ("--ws-url", ws, _WS)):
            if url and not _is_url(url, schemes):
                table.mistakes.append(f"{flag}: found {shown(url)}, wanted {_url_wanted(schemes)}")
    api, ws = api.rstrip("/"), ws.rstrip("/")
    if not api and not ws:
        return (TESTNET_API, TESTNET_WS) if testnet else (MAINNET_API, MAINNET_WS)
    return api or "http" + ws[2:].removesuffix("/ws"), ws or "ws" + api[4:] + "/ws"


_HTTP = ("http://", "https://")
_WS = ("ws://", "wss://")


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # brackets without an IPv6 address, or a port beyond 65535
        return False
    return has_place and url.startswith(schemes) and url.isprintable() and " " not in url


def _url_wanted(schemes: tuple[str, ...]) -> str:
    return (
        f"a URL that starts with {' or '.join(schemes)} and names a host, with a port of 1 to 65535 or none"
    )


def _check_url(table: Reader, key: str, url: str, testnet: bool) -> None:
    """Note a mistake if a URL of the file is malformed or belongs to the other network."""
    schemes, mainnet, other = (
        (_HTTP, MAINNET_API, TESTNET_API) if key == "api_url" else (_WS, MAINNET_WS, TESTNET_WS)
    )
    own, foreign = (other, mainnet) if testnet else (mainnet, other)
    if url and not _is_url(url, schemes):
        table.wrong(key, shown(url), _url_wanted(schemes))
    elif url.rstrip("/") == foreign:
        table.wrong(key, shown(url), f"{own} (or nothing), since testnet is {str(testnet).lower()}")

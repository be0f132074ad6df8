"""Parses account addresses, and derives an address from a private key.

An address is public, a key is secret. Text that looks like a key never appears in a message.
"""

import re
from collections.abc import Iterable, MutableMapping

from hlposmon.config.settings import Account

KEY_NAME = "HYPERLIQUID_PRIVATE_KEY"
ZERO_ADDRESS = "0x" + "0" * 40

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_PRIVATE_KEY = re.compile(r"(0[xX])?[0-9a-fA-F]{64}")
MAX_NAME = 32  # bytes, as a record of the snapshot has room for
NAME_WANTED = "1 to 32 ASCII letters, digits, '.', '_' or '-', a letter or digit first"
_WANTED = "0x and 40 hexadecimal digits"


def looks_like_a_key(text: str) -> bool:
    """Whether the text contains 64 hexadecimal digits in a row, the shape of a private key."""
    return _PRIVATE_KEY.search(text) is not None


def shown(value: object) -> str:
    """The value as a message may show it: quoted, at most 80 characters, and never a private key."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    if looks_like_a_key(text):
        return "what looks like a private key (not shown)"
    return text if len(text) <= 80 else text[:77] + "..."


def named_account(text: str) -> tuple[str, str]:
    """Parse `0x...` or `name=0x...` into (name or "", lower-case address). Raises ValueError."""
    name, equals, address = text.strip().rpartition("=")
    name, address = name.strip(), plain_address(address.strip())
    if equals and _NAME.fullmatch(name) is None:
        raise ValueError(f"found the account name {shown(name)}, wanted {NAME_WANTED}")
    return name, address


def plain_address(text: str) -> str:
    """The address in lower case. Raises ValueError unless it is 0x and 40 hexadecimal digits."""
    if _ADDRESS.fullmatch(text) is None:
        hint = "; give the address, never the key" if looks_like_a_key(text) else ""
        raise ValueError(f"found {shown(text)}, wanted {_WANTED}{hint}")
    return text.lower()


def account_of(text: str) -> Account:
    """The account of `0x...` or `name=0x...`; without a name it is called `main`. Raises ValueError."""
    name, address = named_account(text)
    return Account(name or "main", address)


def is_name(text: str) -> bool:
    """Whether this is a valid account name: NAME_WANTED."""
    return _NAME.fullmatch(text) is not None


def with_names(pairs: Iterable[tuple[str, str]], mistakes: list[str], where: str) -> tuple[Account, ...]:
    """The accounts of (name or "", address) pairs, with missing names filled in.

    One account without a name becomes `main`, the nth of several `account-n`. Duplicate names and addresses
    are added to `mistakes`; `where` names their source.
    """
    given = list(pairs)
    accounts: list[Account] = []
    for number, (name, address) in enumerate(given, start=1):
        default = "main" if len(given) == 1 else f"account-{number}"
        account = Account(name or default, address)
        for other in accounts:
            if other.address == account.address:
                mistakes.append(
                    f"{where}: found the address {address} twice ({other.name}, {account.name}),"
                    " wanted each address once"
                )
            elif other.name == account.name:
                mistakes.append(f"{where}: found the name {shown(account.name)} twice, wanted unique names")
        accounts.append(account)
    return tuple(accounts)


def address_of_key(key: str) -> str:
    """The lower-case address of a private key, derived by eth-account.

    Raises ValueError, without the key in its text, for an invalid key or if eth-account is not installed.
    """
    replace = f"set HYPERLIQUID_ACCOUNT_ADDRESS to the account's 0x address and remove {KEY_NAME}"
    try:
        from eth_account import Account as KeyAccount
    except ImportError:
        raise ValueError(
            f"found a private key and no address, and eth-account is not installed to derive it; {replace}"
            " (or pip install 'hlposmon[key]')"
        ) from None
    try:
        address = KeyAccount.from_key(key.strip()).address
    except Exception:  # noqa: BLE001  any error of the library may contain the key, so none is passed on
        raise ValueError(f"found something that is no private key (not shown); {replace}") from None
    return str(address).lower()


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove the private key from the environment. Call it before any child starts."""
    environ.pop(KEY_NAME, None)

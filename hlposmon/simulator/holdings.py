"""Scripted actions on an account's cash, ledger, spot balances and mode.

Each reads all its arguments before it acts. The table in `control` lists the arguments.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hlposmon.simulator import metas
from hlposmon.simulator.deeds import account_of
from hlposmon.simulator.facts import Row
from hlposmon.simulator.info import MODES
from hlposmon.simulator.ledger import ZERO
from hlposmon.simulator.script import Script, ScriptError
from hlposmon.simulator.stage import Stage

NULL = "null"
ONE, HUNDRED = Fraction(1), Fraction(100)
OTHER = metas.NULL_ADDRESS
# Every type of a ledger row but `liquidation`, with what stands in it unless a script says otherwise.
# Source: the venue's documents and captures of its own answers.
LEDGER: dict[str, dict[str, Any]] = {
    "deposit": {"usdc": HUNDRED},
    "withdraw": {"usdc": HUNDRED, "nonce": 1, "fee": ONE},
    "internalTransfer": {"usdc": HUNDRED, "user": OTHER, "destination": OTHER, "fee": ZERO},
    "accountClassTransfer": {"usdc": HUNDRED, "toPerp": False},
    "subAccountTransfer": {"usdc": HUNDRED, "user": OTHER, "destination": OTHER},
    "spotTransfer": {
        "token": "HYPE", "amount": ONE, "usdcValue": HUNDRED, "user": OTHER, "destination": OTHER,
        "fee": ZERO, "nativeTokenFee": ZERO, "nonce": None, "feeToken": "",
    },
    "send": {
        "user": OTHER, "destination": OTHER, "sourceDex": "", "destinationDex": "spot", "token": "USDC",
        "amount": HUNDRED, "usdcValue": HUNDRED, "fee": ZERO, "nativeTokenFee": ZERO,
        "nonce": 1, "feeToken": "",
    },
    "spotGenesis": {"token": "PURR", "amount": ONE},
    "rewardsClaim": {"amount": ONE, "token": "USDC"},
    "vaultCreate": {"vault": OTHER, "usdc": HUNDRED, "fee": HUNDRED},
    "vaultDeposit": {"vault": OTHER, "usdc": HUNDRED},
    "vaultDistribution": {"vault": OTHER, "usdc": HUNDRED},
    "vaultWithdraw": {
        "vault": OTHER, "user": OTHER, "requestedUsd": HUNDRED, "commission": ZERO,
        "closingCost": ZERO, "basis": HUNDRED, "netWithdrawnUsd": HUNDRED,
    },
    "vaultLeaderCommission": {"user": OTHER, "usdc": ONE},
    "cStakingTransfer": {"token": "HYPE", "amount": ONE, "isDeposit": True},
    "borrowLend": {
        "token": "USDC", "operation": "supply", "amount": HUNDRED, "interestAmount": ZERO,
    },
    "activateDexAbstraction": {"dex": "xyz", "token": "USDC", "amount": HUNDRED},
    "deployGasAuction": {"token": "HYPE", "amount": ONE},
    "gossipPriorityGasAuction": {"token": "HYPE", "amount": Fraction("0.342")},
}  # fmt: skip


def transfer(stage: Stage, script: Script) -> Row:
    """Deposit or withdraw USDC; for another dex than the first, have it sent there or from there."""
    account, usdc = account_of(stage, script.value("account")), script.exact("usdc")
    dex = script.value("dex", "")
    script.end()
    if not usdc or (usdc * 10**6).denominator != 1 or dex not in ("", "xyz"):
        raise ScriptError('usdc must not be 0 and has at most 6 decimals; dex is "" or "xyz"')
    delta: Row = {"type": "deposit", "usdc": usdc}
    if dex:
        ends = (OTHER, account.address) if usdc > 0 else (account.address, OTHER)
        delta = {
            "type": "send",
            **LEDGER["send"],
            **dict(zip(("user", "destination"), ends, strict=True)),
            **dict.fromkeys(("sourceDex", "destinationDex"), dex),
            **dict.fromkeys(("amount", "usdcValue"), abs(usdc)),
            "nonce": stage.now(),
        }
    elif usdc < 0:
        delta = {"type": "withdraw", "usdc": -usdc, "nonce": stage.now(), "fee": ZERO}
    return {"update": stage.world.transfer(account, delta, usdc, stage.now(), dex).exact_row()}


def ledger(stage: Stage, script: Script) -> Row:
    """Add a ledger row of a type; no balance changes."""
    account, kind = account_of(stage, script.value("account")), script.one_of("type", tuple(LEDGER))
    usual = LEDGER[kind]
    delta: Row = {"type": kind}
    for name, value in usual.items():
        is_amount = isinstance(value, Fraction)
        delta[name] = script.exact(name, value) if is_amount else script.value(name, value)
    script.end()
    world = stage.world
    return {"update": world.note(account, delta, world.block(stage.now())).exact_row()}


def spot(stage: Stage, script: Script) -> Row:
    """Set a spot balance."""
    account, coin, total = (
        account_of(stage, script.value("account")),
        script.value("coin"),
        script.exact("total"),
    )
    script.end()
    if coin not in metas.TOKENS and not str(coin).startswith("+"):
        raise ScriptError(f"coin must be one of {', '.join(metas.TOKENS)}, or an outcome such as +107580")
    stage.hub.info.balances.setdefault(account.address, {})[coin] = total
    return {}


def mode(stage: Stage, script: Script) -> Row:
    """Set what userAbstraction answers for an account."""
    account, given = account_of(stage, script.value("account")), script.value("mode")
    word = None if given in (None, NULL) else script.one_of("mode", (*MODES, NULL))
    script.end()
    stage.hub.info.modes[account.address] = word
    return {}


ACTIONS: dict[str, Callable[[Stage, Script], Row]] = {
    "transfer": transfer,
    "ledger": ledger,
    "spot": spot,
    "mode": mode,
}

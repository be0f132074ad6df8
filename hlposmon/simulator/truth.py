"""The exact state of the exchange, against which tests check a monitor.

Reads only.
"""

from hlposmon.simulator.account import Account
from hlposmon.simulator.facts import Row
from hlposmon.simulator.ledger import ZERO
from hlposmon.simulator.numbers import text
from hlposmon.simulator.stage import Stage

PAGE = 1000


def state(stage: Stage) -> Row:
    """Everything but fills and payments. Exact entries are written "numerator/denominator"."""
    hub, now = stage.hub, stage.clock()
    budgets = hub.budgets
    return {
        "time": stage.now(),
        "coins": list(stage.world.coins),
        "accounts": {address: _account(stage, account) for address, account in stage.world.accounts.items()},
        "connections": [
            {
                "sent": feed.sent,
                "stalled": feed.stalled,
                "subscriptions": [one.row() for one in feed.subscriptions],
            }
            for feed in hub.feeds
        ],
        "weight_used": budgets.weight.used(now),
        "weight_most": budgets.asked.most,
        "new_connections": budgets.connections.used(now),
        "messages": budgets.messages.used(now),
        "requests": dict(hub.asked),
        "flows": [flow_row(flow.number, flow.count, flow.done) for flow in stage.schedule.flows],
        "pace": stage.schedule.pace,
    }


def flow_row(number: int, count: int, done: int) -> Row:
    """How far a flow is."""
    return {"flow": number, "count": count, "done": done, "finished": done >= count}


def _account(stage: Stage, account: Account) -> Row:
    positions = {}
    for coin, held in account.positions.items():
        positions[coin] = {
            "szi": text(held.size),
            "entry": f"{held.entry.numerator}/{held.entry.denominator}",
            "entryPx": text(held.shown_entry),
            "markPx": text(stage.world.quotes[coin].mark),
            "isolated": held.margin.isolated,
            "leverage": held.margin.leverage,
            "rawUsd": text(held.raw),
            "fundingSinceOpen": text(held.funding_open),
        }
    return {
        "positions": positions,
        "cash": {dex: text(cash) for dex, cash in account.cash.items()},
        "closedPnl": text(account.closed_pnl),
        "fees": text(account.fees),
        "funding": text(sum(account.funding.values(), ZERO)),
        "fills": len(account.fills),
        "fundings": len(account.fundings),
        "ledgerUpdates": len(account.updates),
    }


def fills(stage: Stage, address: str, offset: int, limit: int) -> Row:
    """A page of an account's fills in execution order, from its first (offset 0)."""
    made = stage.world.account(address).fills
    page = made[offset : offset + min(limit, PAGE)]
    return {"total": len(made), "offset": offset, "fills": [fill.exact_row() for fill in page]}


def fundings(stage: Stage, address: str, offset: int, limit: int) -> Row:
    """A page of an account's funding payments in their order, from its first (offset 0)."""
    paid = stage.world.account(address).fundings
    page = paid[offset : offset + min(limit, PAGE)]
    return {"total": len(paid), "offset": offset, "fundings": [payment.exact_row() for payment in page]}

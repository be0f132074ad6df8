"""What the cross positions of a dex have above their maintenance margin at present marks.

With cross margin the liquidation price of each position moves with the marks of all of them. Between two
statements it follows from the cash that the last one states, as long as that is the present cash and the
positions are the stated ones:

    equity    = cash + sum(size * mark)          source: the exchange's accountValue, totalRawUsd
    available = equity - sum(maintenance(|size| * mark))

Example: 1000 of cash and 2 ETH long at 2500 that were bought with it and 4000 of credit: the cash is -4000,
the equity 1000, and at 50x the maintenance margin 50: 950 are available. At the mark 2400 the equity is 800
and the maintenance margin 48: 752 are. The liquidation price, 2020.20, is the same by both; a second position
would move it.
"""

from collections.abc import Mapping
from decimal import Decimal

from hlposmon.domain.amounts import exactly
from hlposmon.domain.holding import Holding
from hlposmon.domain.margin import MarginTable
from hlposmon.domain.reports import MarginMode, Statement


def available_at_marks(
    said: Statement, holdings: Mapping[str, Holding], tables: Mapping[str, MarginTable]
) -> Decimal | None:
    """The equity of the cross positions above their maintenance margin. None where that does not follow: the
    cash is not stated, a row was not read, or a size, mark or margin tier is not known or another one."""
    if said.cross_cash is None or said.unread:
        return None
    available = said.cross_cash
    with exactly():
        for row in said.positions:
            holding, table = holdings.get(row.key), tables.get(row.key)
            if row.margin_mode is MarginMode.ISOLATED:
                continue
            if row.margin_mode is None or holding is None or holding.mark is None or table is None:
                return None
            if holding.ledger.position.size != row.size or not table.grants(row.max_leverage):
                return None
            value = row.size * holding.mark
            available += value - table.maintenance(abs(value))
    return available
